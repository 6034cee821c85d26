package consensus

import (
	"ledger/metrics"
	"ledger/ring"
	"ledger/stages"
	"ledger/storage"
)

// netEventsMax is the number of messages of net that one turn takes.
const netEventsMax = 64

// applyEventsMax is the same of apply.
const applyEventsMax = 32

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
	applyEvents   [applyEventsMax]stages.ApplyToConsensus
	actions       Actions

	callbacks Callbacks
	slowest   *metrics.Slowest
}

// Callbacks are called on the thread of consensus and must not block.
type Callbacks struct {
	Ready       func()                // once, when clients are served
	Leaves      func() bool           // asked in each turn: the process is about to end; may be nil
	Left        func()                // once, when it may end; may be nil
	Service     func(Service)         // of one of several replicas: whenever it has changed; may be nil
	Healing     func(Healing)         // how far repair is, once a second while it lasts; may be nil
	LostBlocks  func(LostBlocks)      // blocks of the grid are lost, or are not any more; may be nil
	SyncNews    func(SyncNews)        // of state sync; may be nil
	Upgrade     func(UpgradeNews)     // an upgrade has begun; may be nil
	ClockBehind func(behindNs uint64) // the wall clock is behind the newest timestamp; called at the start, then once an hour
	Fault       func(*storage.Fault)  // the replica must stop
}

// Edges are the ends of the rings of consensus.
type Edges struct {
	FromNet     *ring.SPSC[stages.NetToConsensus]
	FromJournal *ring.SPSC[stages.JournalToConsensus]
	FromApply   *ring.SPSC[stages.ApplyToConsensus]
	ToNet       stages.Sender[stages.ConsensusToNet]
	ToJournal   stages.Sender[stages.ConsensusToJournal]
	ToApply     stages.Sender[stages.ConsensusToApply]
}

// NewDriver joins a stage and its rings.
func NewDriver(stage *Stage, edges Edges, callbacks Callbacks) *Driver {
	return &Driver{
		stage:       stage,
		fromNet:     edges.FromNet,
		fromJournal: edges.FromJournal,
		fromApply:   edges.FromApply,
		toNet:       edges.ToNet,
		toJournal:   edges.ToJournal,
		toApply:     edges.ToApply,
		actions:     NewActions(&stage.limits),
		callbacks:   callbacks,
	}
}

// SetSlowest sets the recorder of slow ops, which belongs to this thread from then on. Without one,
// no records are kept.
func (d *Driver) SetSlowest(slowest *metrics.Slowest) { d.slowest = slowest }

// Slowest is the recorder of slow ops. To be called on the stage's thread.
func (d *Driver) Slowest() *metrics.Slowest { return d.slowest }

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.actions.Reset()
	out := &d.actions
	events := Events{
		Leaves:  d.callbacks.Leaves != nil && d.callbacks.Leaves(),
		WallNs:  wallNs,
		Journal: d.journalEvents[:d.fromJournal.Pop(d.journalEvents[:])],
		Apply:   d.applyEvents[:d.fromApply.Pop(d.applyEvents[:])],
		Net:     d.netEvents[:d.fromNet.Pop(d.netEvents[:])],
	}
	d.stage.Step(nowNs, events, out)
	busy = len(events.Journal)+len(events.Apply)+len(events.Net)+len(out.Net)+len(out.Journal)+len(out.Apply) > 0

	if d.slowest != nil {
		d.record(nowNs, events.Net)
	}
	d.toJournal.Push(out.Journal)
	d.toApply.Push(out.Apply)
	d.toNet.Push(out.Net)
	if out.Ready {
		d.callbacks.Ready()
	}
	if out.Left && d.callbacks.Left != nil {
		d.callbacks.Left()
	}
	if out.Service != nil && d.callbacks.Service != nil {
		d.callbacks.Service(*out.Service)
	}
	if out.Healing != nil && d.callbacks.Healing != nil {
		d.callbacks.Healing(*out.Healing)
	}
	if out.LostBlocks != nil && d.callbacks.LostBlocks != nil {
		d.callbacks.LostBlocks(*out.LostBlocks)
	}
	if out.SyncNews != nil && d.callbacks.SyncNews != nil {
		d.callbacks.SyncNews(*out.SyncNews)
	}
	if out.Upgrade != nil && d.callbacks.Upgrade != nil {
		d.callbacks.Upgrade(*out.Upgrade)
	}
	if out.ClockBehindNs > 0 && d.callbacks.ClockBehind != nil {
		d.callbacks.ClockBehind(out.ClockBehindNs)
	}
	if out.Fault != nil {
		d.callbacks.Fault(out.Fault)
	}
	return busy
}

// record passes the events of this turn to the recorder.
func (d *Driver) record(nowNs uint64, netEvents []stages.NetToConsensus) {
	d.slowest.Turn(nowNs)
	for i := range netEvents {
		if netEvents[i].Kind == stages.NetSent {
			d.slowest.Sent(nowNs, uint32(netEvents[i].Slot))
		}
	}
	for i := range d.actions.Ops {
		d.slowest.Ended(nowNs, &d.actions.Ops[i])
	}
}

// NextTurnNs implements stages.Driver.
func (d *Driver) NextTurnNs() uint64 { return d.stage.TimerNs() }
