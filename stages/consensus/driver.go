package consensus

import (
	"ledger/ring"
	"ledger/stages"
	"ledger/storage"
)

// netEventsMax of net are taken in one turn.
const netEventsMax = 64

// Driver performs what the stage decides.
type Driver struct {
	stage *Stage

	fromNet     *ring.SPSC[stages.NetToConsensus]
	fromJournal *ring.SPSC[stages.JournalToConsensus]
	fromApply   *ring.SPSC[stages.ApplyToConsensus]
	toNet       stages.Sender[stages.ConsensusToNet]
	toJournal   stages.Sender[stages.ConsensusToJournal]
	toApply     stages.Sender[stages.ConsensusToApply]

	netEvents     [netEventsMax]stages.NetToConsensus
	journalEvents [32]stages.JournalToConsensus
	applyEvents   [32]stages.ApplyToConsensus
	actions       Actions

	onReady func()
	onFault func(*storage.Fault)
}

// Edges are the ends of consensus' rings.
type Edges struct {
	FromNet     *ring.SPSC[stages.NetToConsensus]
	FromJournal *ring.SPSC[stages.JournalToConsensus]
	FromApply   *ring.SPSC[stages.ApplyToConsensus]
	ToNet       stages.Sender[stages.ConsensusToNet]
	ToJournal   stages.Sender[stages.ConsensusToJournal]
	ToApply     stages.Sender[stages.ConsensusToApply]
}

// NewDriver joins a stage and its rings. onReady is called once, when clients are served; onFault when the replica must stop.
func NewDriver(stage *Stage, edges Edges, onReady func(), onFault func(*storage.Fault)) *Driver {
	return &Driver{
		stage:       stage,
		fromNet:     edges.FromNet,
		fromJournal: edges.FromJournal,
		fromApply:   edges.FromApply,
		toNet:       edges.ToNet,
		toJournal:   edges.ToJournal,
		toApply:     edges.ToApply,
		actions:     NewActions(&stage.limits),
		onReady:     onReady,
		onFault:     onFault,
	}
}

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.actions.Reset()
	out := &d.actions
	events := Events{
		WallNs:  wallNs,
		Journal: d.journalEvents[:d.fromJournal.Pop(d.journalEvents[:])],
		Apply:   d.applyEvents[:d.fromApply.Pop(d.applyEvents[:])],
		Net:     d.netEvents[:d.fromNet.Pop(d.netEvents[:])],
	}
	d.stage.Step(nowNs, events, out)
	busy = len(events.Journal)+len(events.Apply)+len(events.Net)+len(out.Net)+len(out.Journal)+len(out.Apply) > 0

	d.toJournal.Push(out.Journal)
	d.toApply.Push(out.Apply)
	d.toNet.Push(out.Net)
	if out.Ready {
		d.onReady()
	}
	if out.Fault != nil {
		d.onFault(out.Fault)
	}
	return busy
}

// TimerNs is when the stage wants a turn at the latest, on the monotonic clock.
func (d *Driver) TimerNs() uint64 { return d.stage.TimerNs() }
