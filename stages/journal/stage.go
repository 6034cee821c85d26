package journal

import (
	"fmt"
	"syscall"

	"ledger/arena"
	"ledger/assert"
	"ledger/limits"
	"ledger/ports"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Kinds of disk operations, in the low bits of a tag; the rest is the index of the append or read.
const (
	tagPrepare = iota
	tagHeader
	tagRead
	tagSuperblockWrite
	tagSuperblockRead
	tagKinds
)

// appendState of one prepare on its way to the disk.
type appendState struct {
	busy        bool
	queued      bool // waits for its header sector, which another append is writing
	written     bool // the prepare is durable, its header not yet
	slot        stages.Slot
	op          uint64
	sectorIndex uint32
	sector      []byte // the header sector with the new header in it
	beganNs     uint64 // for the metrics
}

type readState struct {
	busy bool
	slot stages.Slot
	op   uint64
}

// superblockStep says what the superblock write waits for.
type superblockStep uint8

const (
	superblockIdle superblockStep = iota
	superblockWriting
	superblockReading
)

// Actions is what a step wants done, in order. The slices are preallocated; a step never exceeds them.
type Actions struct {
	Disk      []DiskAction
	Consensus []stages.JournalToConsensus
}

// DiskAction is one read or write to queue.
type DiskAction struct {
	Write       bool
	Flags       ports.WriteFlags
	Tag         uint64
	OffsetBytes uint64
	Buffer      []byte
}

// Reset empties the actions.
func (a *Actions) Reset() {
	a.Disk, a.Consensus = a.Disk[:0], a.Consensus[:0]
}

// NewActions returns actions with room for everything that one step can want.
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

	headers []byte // as they are on disk

	appends [stages.BudgetJournalAppends]appendState
	reads   [stages.BudgetJournalReads]readState

	superblock         *stages.Superblock
	superblockStep     superblockStep
	superblockCopy     uint32
	superblockRight    int
	superblockChecksum storage.Checksum
	superblockBuffer   []byte

	fault storage.Fault
	// failed: a fault was reported; nothing is acknowledged any more.
	failed bool

	// Counters for the metrics.
	AppendsCount, BytesWritten uint64
	measures                   measures
}

// New makes the stage. headers is the table that Recover returned (or that of a fresh file); it stays the stage's.
func New(l limits.Limits, cluster wire.U128, slots *stages.Slots, headers []byte, memory *arena.Arena) *Stage {
	assert.Equal(len(headers), int(l.JournalSlotsCount*limits.HeaderBytes), "header table has one header for each slot")
	s := &Stage{limits: l, layout: datafile.NewLayout(&l), cluster: cluster, slots: slots, headers: headers}
	buffers := memory.Bytes(uint64(len(s.appends))*uint64(l.SectorBytes), uint64(l.SectorBytes), "journal header sectors")
	for i := range s.appends {
		s.appends[i].sector = buffers[uint32(i)*l.SectorBytes : uint32(i+1)*l.SectorBytes]
	}
	s.superblockBuffer = memory.Bytes(datafile.SuperblockContentBytes, 4096, "journal superblock")
	return s
}

// OnConsensus takes one request of consensus.
func (s *Stage) OnConsensus(e *stages.ConsensusToJournal, out *Actions) {
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

// OnDisk takes one completion.
func (s *Stage) OnDisk(c *ports.DiskCompletion, out *Actions) {
	if s.failed {
		return
	}
	index := c.Tag / tagKinds
	switch c.Tag % tagKinds {
	case tagPrepare:
		s.onPrepareWritten(&s.appends[index], c.Result, out)
	case tagHeader:
		s.onHeaderWritten(&s.appends[index], c.Result, out)
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
		if !s.appends[i].busy {
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
	a.busy, a.written, a.slot, a.op = true, false, e.Slot, e.Op
	a.beganNs = s.measures.nowNs
	a.sectorIndex = uint32(s.slotIndex(e.Op)) / s.headersPerSector()
	a.queued = s.sectorBusy(index, a.sectorIndex)
	if !a.queued {
		s.write(uint64(index), a, out)
	}
}

// write queues the prepare and, linked behind it, its header sector: the kernel starts the second only after the first is
// durable, and one wake serves both.
func (s *Stage) write(index uint64, a *appendState, out *Actions) {
	bytes := s.slots.Bytes(a.slot)
	size := prepare.Header(bytes[:prepare.HeaderBytes]).SizeBytes()
	padded := s.sectorsUp(size)
	clear(bytes[size:padded])
	at := uint64(a.sectorIndex) * uint64(s.limits.SectorBytes)
	copy(a.sector, s.headers[at:])
	inSector := uint32(s.slotIndex(a.op)) % s.headersPerSector() * limits.HeaderBytes
	copy(a.sector[inSector:inSector+limits.HeaderBytes], bytes)
	out.Disk = append(out.Disk,
		DiskAction{true, ports.WriteLinked | ports.WriteDurable, index*tagKinds + tagPrepare, s.layout.PrepareAt(s.slotIndex(a.op)), bytes[:padded]},
		DiskAction{true, ports.WriteDurable, index*tagKinds + tagHeader, s.layout.HeadersAt + at, a.sector})
	s.AppendsCount++
	s.BytesWritten += uint64(padded + s.limits.SectorBytes)
}

func (s *Stage) onPrepareWritten(a *appendState, result int32, out *Actions) {
	assert.That(a.busy, "a finished prepare write was in flight")
	bytes := s.slots.Bytes(a.slot)
	want := int32(s.sectorsUp(prepare.Header(bytes[:prepare.HeaderBytes]).SizeBytes()))
	if result != want {
		s.failDisk(out, result, "writing the prepare of op %d: result %d, want %d bytes", a.op, result, want)
		return
	}
	a.written = true
}

func (s *Stage) onHeaderWritten(a *appendState, result int32, out *Actions) {
	assert.That(a.busy, "a finished header write was in flight")
	if result != int32(s.limits.SectorBytes) {
		s.failDisk(out, result, "writing the redundant header of op %d: result %d", a.op, result)
		return
	}
	assert.That(a.written, "a header is written behind its prepare")
	header := s.headers[s.slotIndex(a.op)*limits.HeaderBytes:][:limits.HeaderBytes]
	copy(header, s.slots.Bytes(a.slot)[:limits.HeaderBytes])
	a.busy = false
	s.measures.sample.WriteNs.Record(s.measures.nowNs - a.beganNs)
	out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: a.slot, Op: a.op})
	// The oldest append that waited for this sector goes next.
	next := -1
	for i := range s.appends {
		w := &s.appends[i]
		if w.busy && w.queued && w.sectorIndex == a.sectorIndex && (next < 0 || w.op < s.appends[next].op) {
			next = i
		}
	}
	if next >= 0 {
		s.appends[next].queued = false
		s.write(uint64(next), &s.appends[next], out)
	}
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
		s.fail(out, storage.FaultLog, "the prepare of op %d is damaged, and this is the only copy", r.op)
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
	out.Disk = append(out.Disk, DiskAction{true, ports.WriteDurable, tagSuperblockWrite, s.layout.SuperblockCopyAt(s.superblockCopy), s.superblockBuffer})
}

func (s *Stage) readSuperblockCopy(out *Actions) {
	out.Disk = append(out.Disk, DiskAction{Tag: tagSuperblockRead, OffsetBytes: s.layout.SuperblockCopyAt(s.superblockCopy), Buffer: s.superblockBuffer})
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

// failDisk stops with what the disk answered: a full disk is the operator's to mend, anything else is the disk's end.
func (s *Stage) failDisk(out *Actions, result int32, format string, arguments ...any) {
	what := storage.FaultDisk
	if result == -int32(syscall.ENOSPC) {
		what = storage.FaultNoSpace
	}
	s.fail(out, what, format, arguments...)
}

func (s *Stage) fail(out *Actions, what, format string, arguments ...any) {
	s.failed = true
	s.fault = storage.Fault{What: what, Reason: fmt.Sprintf(format, arguments...)}
	out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalFault, Fault: &s.fault})
}

// sectorBusy tells whether another append is writing a header sector, or waits for it already.
func (s *Stage) sectorBusy(index int, sectorIndex uint32) bool {
	for i := range s.appends {
		if i != index && s.appends[i].busy && s.appends[i].sectorIndex == sectorIndex {
			return true
		}
	}
	return false
}

func (s *Stage) slotIndex(op uint64) uint64 { return op & uint64(s.limits.JournalSlotsCount-1) }

func (s *Stage) headersPerSector() uint32 { return s.limits.SectorBytes / limits.HeaderBytes }

func (s *Stage) sectorsUp(bytes uint32) uint32 {
	return (bytes + s.limits.SectorBytes - 1) &^ (s.limits.SectorBytes - 1)
}
