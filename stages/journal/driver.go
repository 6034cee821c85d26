package journal

import (
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
	"ledger/storage"
)

// Driver performs the stage's decisions: it pops the ring and the disk's completions and pushes the
// actions.
type Driver struct {
	stage       *Stage
	disk        ports.Disk
	in          *ring.SPSC[stages.ConsensusToJournal]
	out         stages.Sender[stages.JournalToConsensus]
	requests    [16]stages.ConsensusToJournal
	completions [32]ports.DiskCompletion
	actions     Actions
	board       *metrics.Board
	finding     func(*storage.Finding)
}

// NewDriver joins a stage, its disk and its rings.
func NewDriver(stage *Stage, disk ports.Disk, in *ring.SPSC[stages.ConsensusToJournal],
	out stages.Sender[stages.JournalToConsensus]) *Driver {
	return &Driver{stage: stage, disk: disk, in: in, out: out, actions: NewActions()}
}

// SetBoard sets the board that the recorder of slow ops reads. Without one, nothing is written.
func (d *Driver) SetBoard(board *metrics.Board) { d.board = board }

// OnFinding sets what is called for each finding of the scrubber, on the stage's thread. The
// finding counts only within the call.
func (d *Driver) OnFinding(finding func(*storage.Finding)) { d.finding = finding }

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.actions.Reset()
	events := Events{
		Disk:      d.completions[:d.disk.Poll(d.completions[:])],
		Consensus: d.requests[:d.in.Pop(d.requests[:])],
	}
	d.stage.Step(nowNs, events, &d.actions)
	for i := range d.actions.Disk {
		a := &d.actions.Disk[i]
		switch a.Kind {
		case diskRead:
			d.disk.Read(a.Tag, a.OffsetBytes, a.Buffer)
		case diskWrite:
			d.disk.Write(a.Tag, a.OffsetBytes, a.Buffer, a.Flags)
		case diskSync:
			d.disk.Sync(a.Tag)
		}
	}
	if d.board != nil {
		d.board.Superblock.Set(nowNs, d.stage.superblockStep != superblockIdle)
	}
	for i := range d.actions.Findings {
		if d.finding != nil {
			d.finding(&d.actions.Findings[i])
		}
	}
	d.out.Push(d.actions.Consensus)
	return len(events.Disk)+len(events.Consensus)+len(d.actions.Disk) > 0
}

// NextTurnNs implements stages.Driver. The scrubber has a timer. Every other step begins with a
// request or a completion.
func (d *Driver) NextTurnNs() uint64 { return d.stage.scrubNextNs() }
