package journal

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
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
	tagScrub
	tagKinds
)

// Actions are the outputs of a step, in order. The slices are preallocated, and a step never
// exceeds them.
type Actions struct {
	Disk      []DiskAction
	Consensus []stages.JournalToConsensus
	Findings  []storage.Finding // of the scrubber
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
	a.Disk, a.Consensus, a.Findings = a.Disk[:0], a.Consensus[:0], a.Findings[:0]
}

// NewActions returns actions with room for all outputs of one step.
func NewActions() Actions {
	return Actions{
		Disk:      make([]DiskAction, 0, 64),
		Consensus: make([]stages.JournalToConsensus, 0, 64),
		Findings:  make([]storage.Finding, 0, 2),
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

	scrub scrubber
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
	if !s.failed {
		s.scrubStep(nowNs, out)
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
		s.onReadDone(index, c.Result, out)
	case tagSuperblockWrite:
		s.onSuperblockWritten(c.Result, out)
	case tagSuperblockRead:
		s.onSuperblockRead(c.Result, out)
	case tagScrub:
		s.onScrubRead(c.Result, out)
	}
}

// failDisk stops the stage with the disk's error.
func (s *Stage) failDisk(out *Actions, result int32, format string, arguments ...any) {
	s.stop(out, diskFault(result, format, arguments...))
}

// diskFault describes an operation that failed. The operator can free space on a full disk. Any
// other error counts as a failed disk.
func diskFault(result int32, format string, arguments ...any) storage.Fault {
	if why := storage.NoSpace(-result); why != "" {
		return storage.Fault{What: storage.FaultNoSpace, Reason: fmt.Sprintf("%s: %s", fmt.Sprintf(format, arguments...), why)}
	}
	return storage.Fault{What: storage.FaultDisk, Reason: fmt.Sprintf(format, arguments...)}
}

func (s *Stage) stop(out *Actions, fault storage.Fault) {
	s.failed, s.fault = true, fault
	out.Consensus = append(out.Consensus, stages.JournalToConsensus{Kind: stages.JournalFault, Fault: &s.fault})
}

// headerOf is the header of what lies on disk in the log slot of op.
func (s *Stage) headerOf(op uint64) prepare.Header { return headerAt(s.headers, s.slotIndex(op)) }

func (s *Stage) slotIndex(op uint64) uint64 { return op & uint64(s.limits.JournalSlotsCount-1) }

func (s *Stage) sectorsUp(bytes uint32) uint32 {
	return (bytes + s.limits.SectorBytes - 1) &^ (s.limits.SectorBytes - 1)
}
