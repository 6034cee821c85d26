package journal

import (
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
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
}

// NewDriver joins a stage, its disk and its rings.
func NewDriver(stage *Stage, disk ports.Disk, in *ring.SPSC[stages.ConsensusToJournal],
	out stages.Sender[stages.JournalToConsensus]) *Driver {
	return &Driver{stage: stage, disk: disk, in: in, out: out, actions: NewActions()}
}

// SetBoard sets the board that the recorder of slow ops reads. Without one, nothing is written.
func (d *Driver) SetBoard(board *metrics.Board) { d.board = board }

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
	d.out.Push(d.actions.Consensus)
	return len(events.Disk)+len(events.Consensus) > 0
}

// NextTurnNs implements stages.Driver: every step of it begins with a request or a completion.
func (d *Driver) NextTurnNs() uint64 { return stages.NoTurn }
