package journal

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/metrics"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Kinds of disk operations, in the low bits of a tag. The other bits are the index of the append or
// read.
const (
	tagPrepare = iota
	tagTwin
	tagSync
	tagRead
	tagSuperblockWrite
	tagSuperblockRead
	tagKinds
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
	toSync  bool // its writes are durable only after a sync behind them
	writes  int  // writes that have not completed
	slot    stages.Slot
	op      uint64
	sector  []byte // of a large prepare: its twin, which is the header and zeros
	times   metrics.JournalTimes
}

type readState struct {
	busy bool
	slot stages.Slot
	op   uint64
}

// superblockStep is the event for which the write of a superblock waits.
type superblockStep uint8

const (
	superblockIdle superblockStep = iota
	superblockWriting
	superblockReading
)

// Actions are the outputs of a step, in order. The slices are preallocated, and a step never
// exceeds them.
type Actions struct {
	Disk      []DiskAction
	Consensus []stages.JournalToConsensus
}

// diskKind of an action.
type diskKind uint8

const (
	diskRead diskKind = iota
	diskWrite
	diskSync
)

// DiskAction is one operation to queue. A sync uses only the tag.
type DiskAction struct {
	Kind        diskKind
	Flags       ports.WriteFlags
	Tag         uint64
	OffsetBytes uint64
	Buffer      []byte
}

// Reset empties the actions.
func (a *Actions) Reset() {
	a.Disk, a.Consensus = a.Disk[:0], a.Consensus[:0]
}

// NewActions returns actions with room for all outputs of one step.
func NewActions() Actions {
	return Actions{
		Disk:      make([]DiskAction, 0, 64),
		Consensus: make([]stages.JournalToConsensus, 0, 64),
	}
}

// Stage decides; see doc.go.
type Stage struct {
	limits  limits.Limits
	layout  datafile.Layout
	cluster wire.U128
	slots   *stages.Slots

	headers []byte // header of each slot's content on disk

	syncing bool // a sync is under way
	appends [stages.BudgetJournalAppends]appendState
	reads   [stages.BudgetJournalReads]readState

	superblock         *datafile.Superblock
	superblockStep     superblockStep
	superblockCopy     uint32
	superblockRight    int
	superblockChecksum wire.Checksum
	superblockBuffer   []byte

	fault storage.Fault
	// failed: a fault was reported. After that, nothing is acknowledged.
	failed bool

	// Counters for the metrics.
	AppendsCount, BytesWritten uint64
	measures                   measures
}

// New makes the stage. headers is the table that Recover returned, or that of a new file. It
// belongs to the stage from then on.
func New(l limits.Limits, cluster wire.U128, slots *stages.Slots, headers []byte, memory *arena.Arena) *Stage {
	assert.Equal(len(headers), int(l.JournalSlotsCount*limits.HeaderBytes), "header table has one header for each slot")
	s := &Stage{limits: l, layout: datafile.NewLayout(&l), cluster: cluster, slots: slots, headers: headers}
	buffers := memory.Bytes(uint64(len(s.appends))*uint64(l.SectorBytes), uint64(l.SectorBytes), "journal twin sectors")
	for i := range s.appends {
		s.appends[i].sector = buffers[uint32(i)*l.SectorBytes : uint32(i+1)*l.SectorBytes]
	}
	s.superblockBuffer = memory.Bytes(datafile.SuperblockContentBytes, 4096, "journal superblock")
	return s
}

// Events are the inputs of a step: first completions of the disk, then requests of consensus.
type Events struct {
	Disk      []ports.DiskCompletion
	Consensus []stages.ConsensusToJournal
}

// Step handles the events, in the order of the fields of Events. The same state, time and events
// always give the same actions. The driver submits the disk operations in the order of the actions.
func (s *Stage) Step(nowNs uint64, events Events, out *Actions) {
	s.measures.nowNs = nowNs
	for i := range events.Disk {
		s.onDisk(&events.Disk[i], out)
	}
	for i := range events.Consensus {
		s.onConsensus(&events.Consensus[i], out)
	}
}

// onConsensus takes one request of consensus.
func (s *Stage) onConsensus(e *stages.ConsensusToJournal, out *Actions) {
	if s.failed {
		return
	}
	switch e.Kind {
	case stages.JournalAppend:
		s.onAppend(e, out)
	case stages.JournalRead:
		s.onRead(e, out)
	case stages.JournalSuperblock:
		s.onSuperblock(e, out)
	default:
		assert.That(false, "journal request kind is known")
	}
}

// onDisk takes one completion.
func (s *Stage) onDisk(c *ports.DiskCompletion, out *Actions) {
	if s.failed {
		return
	}
	index := c.Tag / tagKinds
	switch c.Tag % tagKinds {
	case tagPrepare:
		s.onPrepareWritten(&s.appends[index], c.Result, out)
	case tagTwin:
		s.onTwinWritten(&s.appends[index], c.Result, out)
	case tagSync:
		s.onSynced(c.Result, out)
	case tagRead:
		s.onReadDone(&s.reads[index], c.Result, out)
	case tagSuperblockWrite:
		s.onSuperblockWritten(c.Result, out)
	case tagSuperblockRead:
		s.onSuperblockRead(c.Result, out)
	}
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
	a.toSync = a.isSmall && !h.IsGroup()
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

// write queues a prepare and its twin.
//
// The two copies of a small prepare are written in parallel, and one sync behind both makes them
// durable. That takes two thirds of the time of two durable writes one after the other. The copies
// of a group are the exception: each is durable by itself. This thread would have to start the
// sync, and with many clients it is busy with the replies to the previous group at that time.
//
// The header of a large prepare proves that the prepare was durable before, so its write is linked
// behind that of the prepare.
func (s *Stage) write(index uint64, prepare, twin []byte, out *Actions) {
	a := &s.appends[index]
	flags := ports.WriteDurable
	if a.toSync {
		flags = 0
	}
	first := flags
	if !a.isSmall {
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
	assert.That(a.isSmall || a.writes == 1, "the header of a large prepare is written behind it")
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
	copy(s.headers[s.slotIndex(a.op)*limits.HeaderBytes:][:limits.HeaderBytes], s.slots.Bytes(a.slot))
	a.step = appendIdle
	a.times.DurableNs = s.measures.nowNs
	s.measures.sample.WriteNs.Record(a.times.DurableNs - a.times.SubmittedNs)
	out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: a.slot, Op: a.op, Times: a.times})
}

func (s *Stage) onRead(e *stages.ConsensusToJournal, out *Actions) {
	for i := range s.reads {
		r := &s.reads[i]
		if r.busy {
			continue
		}
		header := prepare.Header(s.headers[s.slotIndex(e.Op)*limits.HeaderBytes:][:limits.HeaderBytes])
		assert.Equal(header.Op(), e.Op, "op of the prepare to read")
		*r = readState{true, e.Slot, e.Op}
		out.Disk = append(out.Disk, DiskAction{
			Tag:         uint64(i)*tagKinds + tagRead,
			OffsetBytes: s.layout.PrepareAt(s.slotIndex(e.Op)),
			Buffer:      s.slots.Bytes(e.Slot)[:s.sectorsUp(header.SizeBytes())],
		})
		return
	}
	assert.That(false, "consensus keeps to its budget of reads")
}

func (s *Stage) onReadDone(r *readState, result int32, out *Actions) {
	assert.That(r.busy, "a finished read was in flight")
	r.busy = false
	bytes := s.slots.Bytes(r.slot)
	want := s.headers[s.slotIndex(r.op)*limits.HeaderBytes:][:limits.HeaderBytes]
	size := prepare.Header(want).SizeBytes()
	if result < 0 || uint32(result) != s.sectorsUp(size) {
		s.failDisk(out, result, "reading the prepare of op %d: result %d", r.op, result)
		return
	}
	if string(bytes[:limits.HeaderBytes]) != string(want) || !prepare.ValidBody(bytes[:size]) || prepare.Validate(bytes[:size]) != nil {
		s.fail(out, storage.FaultLog, "the prepare of op %d is damaged; a start looks for another copy", r.op)
		return
	}
	s.measures.sample.ReadsCount++
	s.measures.sample.BytesRead += uint64(result)
	out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalReadDone, Slot: r.slot, Op: r.op})
}

func (s *Stage) onSuperblock(e *stages.ConsensusToJournal, out *Actions) {
	assert.That(s.superblockStep == superblockIdle, "one superblock is written at a time")
	s.superblock, s.superblockStep, s.superblockCopy = e.Superblock, superblockWriting, 0
	s.measures.superblockBeganNs = s.measures.nowNs
	s.writeSuperblockCopy(out)
}

func (s *Stage) writeSuperblockCopy(out *Actions) {
	s.superblockChecksum = datafile.EncodeSuperblock(s.superblockBuffer, s.superblock, &s.limits, s.superblockCopy)
	out.Disk = append(out.Disk, DiskAction{diskWrite, ports.WriteDurable, tagSuperblockWrite, s.layout.SuperblockCopyAt(s.superblockCopy),
		s.superblockBuffer})
}

func (s *Stage) readSuperblockCopy(out *Actions) {
	out.Disk = append(out.Disk, DiskAction{Tag: tagSuperblockRead, OffsetBytes: s.layout.SuperblockCopyAt(s.superblockCopy),
		Buffer: s.superblockBuffer})
}

func (s *Stage) onSuperblockWritten(result int32, out *Actions) {
	assert.That(s.superblockStep == superblockWriting, "a finished superblock write was in flight")
	if result != datafile.SuperblockContentBytes {
		s.failDisk(out, result, "writing copy %d of the superblock: result %d", s.superblockCopy, result)
		return
	}
	s.measures.sample.SuperblockBytes += uint64(result)
	s.superblockCopy++
	if s.superblockCopy < s.limits.SuperblockCopies {
		s.writeSuperblockCopy(out)
		return
	}
	s.superblockStep, s.superblockCopy, s.superblockRight = superblockReading, 0, 0
	s.readSuperblockCopy(out)
}

func (s *Stage) onSuperblockRead(result int32, out *Actions) {
	assert.That(s.superblockStep == superblockReading, "a finished superblock read was in flight")
	if result == datafile.SuperblockContentBytes && datafile.CopyIsRight(s.superblockBuffer, s.superblockChecksum, s.superblockCopy) {
		s.superblockRight++
	}
	s.superblockCopy++
	if s.superblockCopy < s.limits.SuperblockCopies {
		s.readSuperblockCopy(out)
		return
	}
	s.superblockStep = superblockIdle
	if s.superblockRight < datafile.VerifyQuorum {
		s.fail(out, storage.FaultDisk, "only %d copies of the superblock were right after writing them: the disk loses writes", s.superblockRight)
		return
	}
	done := stages.JournalToConsensus{Kind: stages.JournalSuperblockDone, Op: s.superblock.Sequence}
	done.Checksum = s.superblockChecksum
	s.measures.sample.SuperblocksCount++
	s.measures.sample.SuperblockNs.Record(s.measures.nowNs - s.measures.superblockBeganNs)
	out.Consensus = append(out.Consensus, done)
}

// failDisk stops the stage with the disk's error. The operator can free space on a full disk. Any
// other error counts as a failed disk.
func (s *Stage) failDisk(out *Actions, result int32, format string, arguments ...any) {
	if why := storage.NoSpace(-result); why != "" {
		s.fail(out, storage.FaultNoSpace, "%s: %s", fmt.Sprintf(format, arguments...), why)
		return
	}
	s.fail(out, storage.FaultDisk, format, arguments...)
}

func (s *Stage) fail(out *Actions, what, format string, arguments ...any) {
	s.failed = true
	s.fault = storage.Fault{What: what, Reason: fmt.Sprintf(format, arguments...)}
	out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalFault, Fault: &s.fault})
}

func (s *Stage) slotIndex(op uint64) uint64 { return op & uint64(s.limits.JournalSlotsCount-1) }

func (s *Stage) sizeOf(a *appendState) uint32 {
	return prepare.Header(s.slots.Bytes(a.slot)[:prepare.HeaderBytes]).SizeBytes()
}

func (s *Stage) sectorsUp(bytes uint32) uint32 {
	return (bytes + s.limits.SectorBytes - 1) &^ (s.limits.SectorBytes - 1)
}
