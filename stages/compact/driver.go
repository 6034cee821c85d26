package compact

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
	"ledger/storage"
)

// Driver performs the stage's decisions: it pops the ring and the disk's completions and performs
// the actions.
type Driver struct {
	stage       *Stage
	disk        ports.Disk
	in          *ring.SPSC[stages.ApplyToCompact]
	out         stages.Sender[stages.CompactToApply]
	requests    [16]stages.ApplyToCompact
	completions [32]ports.DiskCompletion
	events      []Event
	done        []stages.CompactToApply
	actions     Actions
	board       *metrics.WorkerBoard
	writing     int // writes of blocks in flight
	finding     func(*storage.Finding)
}

// NewDriver joins a stage, its disk and its rings.
func NewDriver(stage *Stage, disk ports.Disk, in *ring.SPSC[stages.ApplyToCompact], out stages.Sender[stages.CompactToApply]) *Driver {
	d := &Driver{stage: stage, disk: disk, in: in, out: out, actions: NewActions()}
	d.events = make([]Event, 0, 2*len(d.requests)+len(d.completions))
	d.done = make([]stages.CompactToApply, 0, stages.BudgetCompact+1)
	return d
}

// SetBoard sets the board that the recorder of slow ops reads. Without one, nothing is written.
func (d *Driver) SetBoard(board *metrics.WorkerBoard) { d.board = board }

// OnFinding sets what is called for each finding of the scrubber, on the stage's thread. The
// finding counts only within the call.
func (d *Driver) OnFinding(finding func(*storage.Finding)) { d.finding = finding }

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.events, d.done = d.events[:0], d.done[:0]
	d.actions.Reset()
	completionsCount := d.disk.Poll(d.completions[:])
	for _, completion := range d.completions[:completionsCount] {
		if completion.Tag >= tagWrite && completion.Tag < tagAllocate {
			d.writing--
		}
		d.events = append(d.events, Event{Kind: EventDisk, Disk: completion})
	}
	requestsCount := d.in.Pop(d.requests[:])
	for _, request := range d.requests[:requestsCount] {
		switch request.Kind {
		case stages.CompactJob:
			d.events = append(d.events, Event{Kind: EventJob, Job: request.Job})
		case stages.CompactCheckpoint:
			d.events = append(d.events, Event{Kind: EventCheckpoint, Checkpoint: request.Checkpoint})
		case stages.CompactReset:
			d.events = append(d.events, Event{Kind: EventReset})
		case stages.CompactScrub:
			d.events = append(d.events, Event{Kind: EventScrub})
		default:
			assert.That(false, "a request to compact has a known kind")
		}
	}
	d.stage.Step(nowNs, d.events, &d.actions)
	for i := range d.actions.Items {
		d.perform(&d.actions.Items[i])
	}
	if d.board != nil {
		d.board.Writes.Set(nowNs, d.writing > 0)
		d.board.Sync.Set(nowNs, d.stage.syncing != nil)
		d.board.Growth.Set(nowNs, d.stage.growing)
	}
	d.out.Push(d.done)
	return len(d.events) > 0 || d.actions.More || len(d.actions.Items) > 0
}

// NextTurnNs implements stages.Driver. The scrubber has a timer. Every other step begins with a
// message or a completion.
func (d *Driver) NextTurnNs() uint64 { return d.stage.scrubNextNs() }

func (d *Driver) perform(a *Action) {
	switch a.Kind {
	case ActionRead:
		d.disk.Read(a.Tag, a.OffsetBytes, a.Buffer)
	case ActionWrite:
		d.disk.Write(a.Tag, a.OffsetBytes, a.Buffer, 0)
		d.writing++
		if d.board != nil {
			d.board.WrittenBytes.Store(d.board.WrittenBytes.Load() + uint64(len(a.Buffer)))
		}
	case ActionAllocate:
		d.disk.Allocate(a.Tag, a.OffsetBytes, a.LengthBytes)
	case ActionSync:
		d.disk.Sync(a.Tag)
	case ActionJobDone:
		d.done = append(d.done, stages.CompactToApply{Kind: stages.CompactJobDone, Job: a.Job})
	case ActionCheckpointDone:
		d.done = append(d.done, stages.CompactToApply{Kind: stages.CompactCheckpointDone, Checkpoint: a.Checkpoint})
	case ActionScrub:
		d.done = append(d.done, stages.CompactToApply{Kind: stages.CompactScrubAsked, Scrub: a.Scrub})
	case ActionFinding:
		if d.finding != nil {
			d.finding(a.Finding)
		}
	default:
		assert.That(false, "compact action kind is known")
	}
}
