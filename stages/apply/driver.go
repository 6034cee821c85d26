package apply

import (
	"ledger/assert"
	"ledger/ports"
	"ledger/ring"
	"ledger/stages"
)

// Driver performs what the stage decides: it pops the rings and pushes the actions. Page reads go through the disk that
// New was given: the stage's grid queues them and collects their completions.
type Driver struct {
	stage         *Stage
	fromConsensus *ring.SPSC[stages.ConsensusToApply]
	toConsensus   stages.Sender[stages.ApplyToConsensus]
	fromCompact   *ring.SPSC[stages.CompactToApply]
	toCompact     stages.Sender[stages.ApplyToCompact]

	requests [16]stages.ConsensusToApply
	done     [4]stages.CompactToApply
	events   []Event
	actions  Actions
}

// NewDriver joins a stage and its rings. disk is the one that New got.
func NewDriver(stage *Stage, disk ports.Disk, fromConsensus *ring.SPSC[stages.ConsensusToApply], toConsensus stages.Sender[stages.ApplyToConsensus],
	fromCompact *ring.SPSC[stages.CompactToApply], toCompact stages.Sender[stages.ApplyToCompact]) *Driver {
	assert.That(disk != nil, "apply has a disk")
	d := &Driver{
		stage: stage, fromConsensus: fromConsensus, toConsensus: toConsensus, fromCompact: fromCompact, toCompact: toCompact,
		actions: NewActions(),
	}
	d.events = make([]Event, 0, len(d.requests)+2*len(d.done))
	return d
}

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.events = d.events[:0]
	d.actions.Reset()
	for _, done := range d.done[:d.fromCompact.Pop(d.done[:])] {
		if done.Checkpoint != nil {
			d.events = append(d.events, Event{Kind: EventCheckpoint, Checkpoint: done.Checkpoint})
		}
		if done.Generation != nil {
			d.events = append(d.events, Event{Kind: EventGeneration, Generation: done.Generation})
		}
	}
	for i := range d.requests[:d.fromConsensus.Pop(d.requests[:])] {
		d.events = append(d.events, eventOf(&d.requests[i]))
	}
	readsBefore := d.stage.grid.InFlight()
	d.stage.Step(nowNs, d.events, &d.actions)
	d.toConsensus.Push(d.actions.Consensus)
	d.toCompact.Push(d.actions.Compact)
	return len(d.events) > 0 || d.actions.More || d.stage.grid.InFlight() != readsBefore
}

func eventOf(request *stages.ConsensusToApply) Event {
	e := Event{Slot: request.Slot, ReplySlot: request.ReplySlot, Op: request.Op, Sessions: request.Sessions}
	switch request.Kind {
	case stages.ApplySequenced:
		e.Kind = EventSequenced
	case stages.ApplyCommit:
		e.Kind = EventCommit
	case stages.ApplySessions:
		e.Kind = EventSessions
	case stages.ApplyCheckpointDurable:
		e.Kind = EventDurable
	default:
		assert.That(false, "a request to apply has a known kind")
	}
	return e
}
