package journal

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/prepare"
	"ledger/stages"
)

// appendStep is the event for which an append waits.
type appendStep uint8

const (
	appendIdle    appendStep = iota
	appendWriting            // at least one of its writes is under way
	appendWritten            // both writes have completed, and no sync has begun since
	appendSyncing            // the sync that began since has not ended
)

// appendState is a prepare that is being written.
type appendState struct {
	step    appendStep
	isSmall bool // its twin is a whole copy
	inTurn  bool // the prepare is durable before the twin is written
	toSync  bool // its writes are durable only after a sync behind them
	writes  int  // writes that have not completed
	slot    stages.Slot
	op      uint64
	sector  []byte // of a large prepare: its twin, which is the header and zeros
	times   metrics.JournalTimes
}

func (s *Stage) onAppend(e *stages.ConsensusToJournal, out *Actions) {
	index := -1
	for i := range s.appends {
		if s.appends[i].step == appendIdle {
			index = i
			break
		}
	}
	assert.That(index >= 0, "consensus keeps to its budget of appends")
	assert.That(!s.isWriting(e.Op), "one prepare at a time is written into a slot of the log")
	a := &s.appends[index]
	bytes := s.slots.Bytes(e.Slot)
	h := prepare.Header(bytes[:prepare.HeaderBytes])
	assert.Equal(h.Op(), e.Op, "op of the appended prepare")
	assert.That(h.Command() == prepare.CommandPrepare, "what is appended is a prepare")
	size := h.SizeBytes()
	padded := s.sectorsUp(size)
	clear(bytes[size:padded])
	a.step, a.writes, a.slot, a.op = appendWriting, 2, e.Slot, e.Op
	a.isSmall = isSmall(h, &s.limits)
	a.inTurn = e.InTurn || !a.isSmall
	a.toSync = a.isSmall && !h.IsGroup() && !e.InTurn && s.limits.ReplicasCount == 1
	a.times = metrics.JournalTimes{SubmittedNs: s.measures.nowNs}
	twin := bytes[:padded]
	if !a.isSmall {
		copy(a.sector, bytes[:prepare.HeaderBytes])
		twin = a.sector
	}
	s.write(uint64(index), bytes[:padded], twin, out)
	s.AppendsCount++
	s.BytesWritten += uint64(len(twin)) + uint64(padded)
}

// isWriting tells whether a prepare is being written into the log slot of op.
func (s *Stage) isWriting(op uint64) bool {
	for i := range s.appends {
		if a := &s.appends[i]; a.step != appendIdle && s.slotIndex(a.op) == s.slotIndex(op) {
			return true
		}
	}
	return false
}

// write queues a prepare and its twin.
//
// The two copies of a small prepare are written in parallel, and one sync behind both makes them
// durable. That takes two thirds of the time of two durable writes one after the other. The copies
// of a group are the exception: each is durable by itself. This thread would have to start the
// sync, and with many clients it is busy with the replies to the previous group at that time.
//
// In a cluster each copy is durable by itself, always: an op that was acknowledged must read as
// torn only after two faults, and a flush that the disk only pretends to do would strike both
// copies.
//
// The header of a large prepare proves that the prepare was durable before, so its write is linked
// behind that of the prepare. The same holds for the copies in a faulty slot. Both at once could
// leave, after a crash, what looks like a torn write, although the op was acknowledged.
func (s *Stage) write(index uint64, prepare, twin []byte, out *Actions) {
	a := &s.appends[index]
	flags := ports.WriteDurable
	if a.toSync {
		flags = 0
	}
	first := flags
	if a.inTurn {
		first |= ports.WriteLinked
	}
	out.Disk = append(out.Disk,
		DiskAction{diskWrite, first, index*tagKinds + tagPrepare, s.layout.PrepareAt(s.slotIndex(a.op)), prepare},
		DiskAction{diskWrite, flags, index*tagKinds + tagTwin, s.layout.TwinAt(s.slotIndex(a.op)), twin})
}

func (s *Stage) onPrepareWritten(a *appendState, result int32, out *Actions) {
	if want := s.sectorsUp(s.sizeOf(a)); result != int32(want) {
		s.failDisk(out, result, "writing the prepare of op %d: result %d, want %d bytes", a.op, result, want)
		return
	}
	s.onWritten(a, out)
}

func (s *Stage) onTwinWritten(a *appendState, result int32, out *Actions) {
	want := s.limits.SectorBytes
	if a.isSmall {
		want = s.sectorsUp(s.sizeOf(a))
	}
	if result != int32(want) {
		s.failDisk(out, result, "writing the twin of op %d: result %d, want %d bytes", a.op, result, want)
		return
	}
	assert.That(!a.inTurn || a.writes == 1, "a twin that is written in turn is written behind the prepare")
	s.onWritten(a, out)
}

func (s *Stage) onWritten(a *appendState, out *Actions) {
	assert.That(a.step == appendWriting && a.writes > 0, "a finished write was in flight")
	a.writes--
	if a.writes > 0 {
		a.times.CopiedNs = s.measures.nowNs
		return
	}
	a.times.WrittenNs = s.measures.nowNs
	if a.toSync {
		a.step = appendWritten
		s.sync(out)
		return
	}
	s.appended(a, out)
}

// sync makes the completed writes durable. If a sync is under way, it does not cover them, and the
// next one begins when it has ended.
func (s *Stage) sync(out *Actions) {
	if s.syncing {
		return
	}
	for i := range s.appends {
		if a := &s.appends[i]; a.step == appendWritten {
			a.step = appendSyncing
			s.syncing = true
		}
	}
	if s.syncing {
		out.Disk = append(out.Disk, DiskAction{Kind: diskSync, Tag: tagSync})
	}
}

func (s *Stage) onSynced(result int32, out *Actions) {
	assert.That(s.syncing, "a finished sync was in flight")
	s.syncing = false
	if result != 0 {
		// The covered writes may be on the medium or not, and a second sync would prove nothing. No
		// client has been told of them.
		s.failDisk(out, result, "syncing the log: result %d", result)
		return
	}
	for {
		oldest := -1
		for i := range s.appends {
			if a := &s.appends[i]; a.step == appendSyncing && (oldest < 0 || a.op < s.appends[oldest].op) {
				oldest = i
			}
		}
		if oldest < 0 {
			break
		}
		s.appended(&s.appends[oldest], out)
	}
	s.sync(out)
}

// appended: the prepare and its twin survive any fault that strikes only one of them.
func (s *Stage) appended(a *appendState, out *Actions) {
	copy(s.headerOf(a.op), s.slots.Bytes(a.slot))
	a.step = appendIdle
	s.scrubAppended(a.op)
	a.times.DurableNs = s.measures.nowNs
	s.measures.sample.WriteNs.Record(a.times.DurableNs - a.times.SubmittedNs)
	header := prepare.Header(s.slots.Bytes(a.slot)[:prepare.HeaderBytes])
	out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: a.slot, Op: a.op,
		Checksum: header.Checksum(), Times: a.times})
}

func (s *Stage) sizeOf(a *appendState) uint32 {
	return prepare.Header(s.slots.Bytes(a.slot)[:prepare.HeaderBytes]).SizeBytes()
}
