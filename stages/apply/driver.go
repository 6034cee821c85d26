package apply

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
)

// Driver performs the stage's decisions: it pops the rings and pushes the actions. Page reads take
// another way. The stage's grid queues them on the disk that New was given, and collects their
// completions.
type Driver struct {
	stage         *Stage
	fromConsensus *ring.SPSC[stages.ConsensusToApply]
	toConsensus   stages.Sender[stages.ApplyToConsensus]
	workers       []Worker

	requests [requestsMax]stages.ConsensusToApply
	done     [16]stages.CompactToApply
	events   []Event
	actions  Actions
	board    *metrics.Board
}

// Worker is the edge to and from one worker of compact.
type Worker struct {
	To   stages.Sender[stages.ApplyToCompact]
	From *ring.SPSC[stages.CompactToApply]
}

// NewDriver joins a stage and its rings. disk is the one that New got. The limits give the number
// of workers.
func NewDriver(stage *Stage, disk ports.Disk, fromConsensus *ring.SPSC[stages.ConsensusToApply],
	toConsensus stages.Sender[stages.ApplyToConsensus],
	workers []Worker) *Driver {
	assert.That(disk != nil, "apply has a disk")
	assert.Equal(len(workers), len(stage.dealer.loads), "workers of compact")
	d := &Driver{
		stage: stage, fromConsensus: fromConsensus, toConsensus: toConsensus, workers: workers,
		actions: NewActions(len(workers)),
	}
	d.events = make([]Event, 0, len(d.requests)+len(workers)*len(d.done))
	return d
}

// SetBoard sets the board that the recorder of slow ops reads. Without one, nothing is written.
func (d *Driver) SetBoard(board *metrics.Board) { d.board = board }

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.events = d.events[:0]
	d.actions.Reset()
	d.actions.NewsMax = max(d.toConsensus.Ring.Capacity()/2-d.toConsensus.Ring.Len(), 0)
	for i := range d.workers {
		for _, done := range d.done[:d.workers[i].From.Pop(d.done[:])] {
			switch done.Kind {
			case stages.CompactJobDone:
				d.events = append(d.events, Event{Kind: EventJob, Job: done.Job, Worker: i})
			case stages.CompactCheckpointDone:
				d.events = append(d.events, Event{Kind: EventCheckpoint, Checkpoint: done.Checkpoint})
			case stages.CompactScrubAsked:
				d.events = append(d.events, Event{Kind: EventScrub, Scrub: done.Scrub})
			default:
				d.events = append(d.events, Event{Kind: EventBlock, Block: done, Worker: i})
			}
		}
	}
	for i := range d.requests[:d.fromConsensus.Pop(d.requests[:])] {
		d.events = append(d.events, eventOf(&d.requests[i]))
	}
	readsBefore := d.stage.readsInFlight()
	d.stage.Step(nowNs, d.events, &d.actions)
	if d.board != nil {
		d.board.Checkpoint.Set(nowNs, d.stage.newest != d.stage.durable)
		d.board.PageReads.Set(nowNs, d.stage.grid.InFlight() > 0)
	}
	d.toConsensus.Push(d.actions.Consensus)
	for i := range d.workers {
		d.workers[i].To.Push(d.actions.Compact[i])
	}
	return len(d.events) > 0 || d.actions.More || d.stage.readsInFlight() != readsBefore
}

// NextTurnNs implements stages.Driver: every step of it begins with a message or a completion. The
// first one, which begins to open the checkpoint, is a turn that every driver has.
func (d *Driver) NextTurnNs() uint64 { return stages.NoTurn }

func eventOf(request *stages.ConsensusToApply) Event {
	e := Event{Slot: request.Slot, ReplySlot: request.ReplySlot, MayBeLate: request.MayBeLate, Op: request.Op,
		Sessions: request.Sessions, Opened: &request.Checkpoint,
		SyncOpMin: request.SyncOpMin, SyncOpMax: request.SyncOpMax, Ref: request.Ref, Bytes: request.Bytes}
	switch request.Kind {
	case stages.ApplySequenced:
		e.Kind = EventSequenced
	case stages.ApplyCommit:
		e.Kind = EventCommit
	case stages.ApplySessions:
		e.Kind = EventSessions
	case stages.ApplyCheckpointDurable:
		e.Kind = EventDurable
	case stages.ApplyOpen:
		e.Kind = EventOpen
	case stages.ApplyReplies:
		e.Kind = EventReplies
	case stages.ApplyBlockServe:
		e.Kind = EventServe
	case stages.ApplyBlockArrived:
		e.Kind = EventArrived
	default:
		assert.That(false, "a request to apply has a known kind")
	}
	return e
}
