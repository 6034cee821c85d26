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
	answers     []stages.CompactToApply
	actions     Actions
	board       *metrics.WorkerBoard
	writing     int // writes of blocks in flight
	finding     func(*storage.Finding)
}

// NewDriver joins a stage, its disk and its rings.
func NewDriver(stage *Stage, disk ports.Disk, in *ring.SPSC[stages.ApplyToCompact], out stages.Sender[stages.CompactToApply]) *Driver {
	d := &Driver{stage: stage, disk: disk, in: in, out: out, actions: NewActions()}
	d.events = make([]Event, 0, 2*len(d.requests)+len(d.completions))
	d.answers = make([]stages.CompactToApply, 0, stages.BudgetCompact+1)
	return d
}

// SetBoard sets the board that the recorder of slow ops reads. Without one, nothing is written.
func (d *Driver) SetBoard(board *metrics.WorkerBoard) { d.board = board }

// OnFinding sets what is called for each finding of the scrubber, on the stage's thread. The
// finding counts only within the call.
func (d *Driver) OnFinding(finding func(*storage.Finding)) { d.finding = finding }

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.events, d.answers = d.events[:0], d.answers[:0]
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
		d.events = append(d.events, eventOf(&request))
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
	d.out.Push(d.answers)
	return len(d.events) > 0 || d.actions.More || len(d.actions.Items) > 0
}

// NextTurnNs implements stages.Driver. The scrubber has a timer. Every other step begins with a
// message or a completion.
func (d *Driver) NextTurnNs() uint64 { return d.stage.scrubNextNs() }

func eventOf(request *stages.ApplyToCompact) Event {
	e := Event{Job: request.Job, Checkpoint: request.Checkpoint, Ref: request.Ref, Slot: request.Slot, Bytes: request.Bytes}
	switch request.Kind {
	case stages.CompactJob:
		e.Kind = EventJob
	case stages.CompactCheckpoint:
		e.Kind = EventCheckpoint
	case stages.CompactReset:
		e.Kind = EventReset
	case stages.CompactBlockServe:
		e.Kind = EventServe
	case stages.CompactBlockRepair:
		e.Kind = EventRepair
	case stages.CompactBlockAgain:
		e.Kind = EventAgain
	case stages.CompactSync:
		e.Kind = EventSync
	case stages.CompactGiveUp:
		e.Kind = EventGiveUp
	case stages.CompactScrub:
		e.Kind = EventScrub
	default:
		assert.That(false, "a request to compact has a known kind")
	}
	return e
}

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
	case ActionAnswer:
		d.answers = append(d.answers, a.Answer)
	case ActionFinding:
		if d.finding != nil {
			d.finding(a.Finding)
		}
	default:
		assert.That(false, "compact action kind is known")
	}
}
