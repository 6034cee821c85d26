package compact

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/stages"
	"ledger/storage"
)

// blockReader and blockWriter are the merger's view of the stage.
type (
	blockReader Stage
	blockWriter Stage
)

func (r *blockReader) ReadStart(slot int, address uint64, page uint32, buffer []byte) {
	s := (*Stage)(r)
	o := &s.reads[slot]
	assert.That(!o.busy, "a slot reads one block at a time")
	*o = operation{busy: true, action: Action{
		Kind: ActionRead, Tag: uint64(slot), OffsetBytes: s.gridAt + s.geometry.Offset(address, page), Buffer: buffer,
	}}
	s.act(o.action)
}

// Missing implements merge.BlockReader. Without other replicas, nobody has the block.
func (r *blockReader) Missing(ref storage.Ref, waiter storage.Waiter) (repaired bool) {
	s := (*Stage)(r)
	if !s.several || s.givesUp {
		return false
	}
	assert.That(s.want.IsZero(), "a worker wants one block at a time")
	s.want = ref
	s.answer(stages.CompactToApply{Kind: stages.CompactBlockWanted, Ref: ref})
	for !s.want.IsZero() && !s.givesUp {
		waiter.Wait()
	}
	s.want = storage.Ref{}
	return !s.givesUp
}

func (r *blockReader) ReadDone(slot int) (done bool, errno int32) { return r.reads[slot].take() }

func (w *blockWriter) WriteStart(slot int, address uint64, data []byte) {
	s := (*Stage)(w)
	if s.running != nil {
		s.running.writing++
	}
	s.writeStart(slot, s.running, address, 0, data)
}

// writeStart writes pages of a block, from page on, when the file has grown so far.
func (s *Stage) writeStart(slot int, t *task, address uint64, page uint32, data []byte) {
	o := &s.writes[slot]
	assert.That(!o.busy, "a slot writes one block at a time")
	*o = operation{busy: true, task: t, action: Action{
		Kind: ActionWrite, Tag: tagWrite + uint64(slot), OffsetBytes: s.gridAt + s.geometry.Offset(address, page), Buffer: data,
	}}
	if s.geometry.Offset(address+1, 0) <= s.grownBytes {
		s.act(o.action)
		return
	}
	o.held = true
	s.grow()
}

func (w *blockWriter) WriteDone(slot int) (done bool, errno int32) { return w.writes[slot].take() }

// take tells whether the operation has ended. If so, it frees the slot.
func (o *operation) take() (done bool, errno int32) {
	assert.That(o.busy, "an operation that is asked about was started")
	if !o.done {
		return false, 0
	}
	o.busy = false
	return true, o.errno
}

// end records the end of an operation. The job of a write has one block less being written.
func (o *operation) end() {
	o.done = true
	if o.task != nil {
		o.task.writing--
	}
}

// heldEnd is where the block of a held write ends in the grid zone.
func (s *Stage) heldEnd(o *operation) uint64 {
	size := uint64(s.geometry.BlockBytes)
	return ((o.action.OffsetBytes-s.gridAt)/size + 1) * size
}

// grow asks for disk space for the held writes, in large steps. A file that grows with every write
// is fragmented, and each write then also changes metadata.
func (s *Stage) grow() {
	if s.growing {
		return
	}
	end := uint64(0)
	for i := range s.writes {
		if o := &s.writes[i]; o.busy && o.held {
			end = max(end, s.heldEnd(o))
		}
	}
	if end <= s.grownBytes {
		return
	}
	if !s.growExactly {
		step := growBlocks * uint64(s.geometry.BlockBytes)
		end = min((end+step-1)/step*step, s.gridBytesMax)
	}
	s.growing, s.growToBytes = true, end
	s.act(Action{Kind: ActionAllocate, Tag: tagAllocate, OffsetBytes: s.gridAt + s.grownBytes, LengthBytes: end - s.grownBytes})
}

// onGrown starts the writes that waited. If the disk has no room for a step, a step of the exact
// size is tried once. Linux answers EINVAL to a range that ends behind the end of a block device,
// which is a full device.
func (s *Stage) onGrown(result int32) {
	assert.That(s.growing, "growth that ended was asked for")
	s.growing = false
	if result == -errnoInvalid {
		result = -errnoNoSpace
	}
	switch {
	case result >= 0 || result == -errnoNotSupported: // without the call, the writes themselves make the file grow
		s.grownBytes = s.growToBytes
	case storage.NoSpace(-result) != "" && !s.growExactly:
		s.growExactly = true
	default:
		for i := range s.writes {
			if o := &s.writes[i]; o.busy && o.held {
				o.held, o.errno = false, -result
				o.end()
			}
		}
		return
	}
	for i := range s.writes {
		if o := &s.writes[i]; o.busy && o.held && s.heldEnd(o) <= s.grownBytes {
			o.held = false
			s.act(o.action)
		}
	}
	s.grow()
}

// onDisk takes the end of a disk operation in.
func (s *Stage) onDisk(completion ports.DiskCompletion) {
	switch tag := completion.Tag; {
	case tag < tagWrite:
		s.onTransfer(&s.reads[tag], completion.Result)
	case tag < tagAllocate:
		s.onTransfer(&s.writes[tag-tagWrite], completion.Result)
	case tag == tagAllocate:
		s.onGrown(completion.Result)
	case tag == tagSync:
		assert.That(s.syncing != nil, "a sync that ended was asked for")
		if completion.Result < 0 {
			s.syncFailed("a checkpoint", completion.Result)
			s.syncing.Fault = s.syncFault
		}
		s.measures.syncNs.Record(s.measures.nowNs - s.measures.checkpointBeganNs)
		s.answer(stages.CompactToApply{Kind: stages.CompactCheckpointDone, Checkpoint: s.syncing})
		s.syncing = nil
	case tag == tagRepairSync:
		s.onRepairSync(completion.Result)
	case tag < tagScrub:
		s.onServeRead(int(tag-tagServe), completion.Result)
	case tag == tagScrub:
		s.onScrubRead(completion, s.measures.nowNs)
	default:
		assert.That(false, "an operation that ended is ours")
	}
}

// syncFailed notes a failed sync. After it, the content of the medium is unknown, and a second sync
// would prove nothing: Linux reports an error of writing once, so the second sync succeeds although
// the pages are lost.
func (s *Stage) syncFailed(of string, result int32) {
	s.syncFault = &storage.Fault{What: storage.FaultDisk, Reason: fmt.Sprintf("the sync of %s failed (errno %d)", of, -result)}
	if storage.NoSpace(-result) != "" {
		s.syncFault.What = storage.FaultNoSpace
	}
}

func (s *Stage) onTransfer(o *operation, result int32) {
	assert.That(o.busy && !o.done && !o.held, "an operation that ended was under way")
	o.end()
	switch {
	case result < 0:
		o.errno = -result
	case int(result) != len(o.action.Buffer):
		o.errno = errnoIO // the file ends here, though blocks were written behind
	}
}
