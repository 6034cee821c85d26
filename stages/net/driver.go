package net

import (
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/ring"
	"ledger/stages"
)

// Limits of one turn, so that the stages that share the thread stay responsive.
const (
	eventsPerTurn   = 64
	requestsPerTurn = 64
)

// Driver performs the stage's decisions: it pops the ring and the port's events, calls the port and
// pushes the actions.
type Driver struct {
	stage    *Stage
	network  ports.Network
	names    ports.Names // nil in a cluster of one
	in       *ring.SPSC[stages.ConsensusToNet]
	out      stages.Sender[stages.NetToConsensus]
	log      func(LogEntry)
	events   [eventsPerTurn]ports.NetworkEvent
	requests [requestsPerTurn]stages.ConsensusToNet
	actions  Actions

	connecting []Connecting // results of the Connects of the last turn
	answers    [limits.ReplicasMax]ports.NameAnswer
}

// NewDriver joins a stage, its ports and its rings (see BudgetToNet and BudgetToConsensus). names
// is nil in a cluster of one. log may be nil. It is called on the stage's thread, a bounded number
// of times in a second, and may allocate.
func NewDriver(stage *Stage, network ports.Network, names ports.Names, in *ring.SPSC[stages.ConsensusToNet],
	out stages.Sender[stages.NetToConsensus], log func(LogEntry)) *Driver {
	d := &Driver{stage: stage, network: network, names: names, in: in, out: out, log: log, actions: stage.NewActions()}
	d.connecting = make([]Connecting, 0, cap(d.actions.Connect))
	return d
}

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.actions.Reset()
	events := Events{
		Connecting: d.connecting,
		Network:    d.events[:d.network.Poll(d.events[:])],
		Consensus:  d.requests[:d.in.Pop(d.requests[:])],
	}
	if d.names != nil {
		events.Names = d.answers[:d.names.Poll(d.answers[:])]
	}
	d.stage.Step(nowNs, events, &d.actions)
	busy = len(events.Connecting)+len(events.Network)+len(events.Names)+len(events.Consensus) > 0
	d.connecting = d.connecting[:0]

	for i := range d.actions.Network {
		a := &d.actions.Network[i]
		switch a.Kind {
		case NetworkReceive:
			d.network.Receive(a.Connection, a.Buffer)
		case NetworkReceiveAll:
			d.network.ReceiveAll(a.Connection, a.Buffer)
		case NetworkSend:
			d.network.Send(a.Connection, a.Buffer)
		case NetworkSendParts:
			d.network.SendParts(a.Connection, a.Buffer, a.Body)
		case NetworkClose:
			d.network.Close(a.Connection)
		}
	}
	for _, a := range d.actions.Connect {
		connection, ok := d.network.Connect(a.Address)
		d.connecting = append(d.connecting, Connecting{Place: a.Place, Connection: connection, OK: ok, Address: a.Address})
	}
	for _, a := range d.actions.Resolve {
		d.names.Resolve(a.Replica, a.Attempt)
	}
	d.out.Push(d.actions.Consensus)
	if d.log != nil {
		for i := range d.actions.Log {
			d.log(d.actions.Log[i])
		}
	}
	// Another turn takes the results of a Connect, and an address that was known at once.
	return busy || len(d.actions.Connect)+len(d.actions.Resolve) > 0
}

// NextTurnNs implements stages.Driver.
func (d *Driver) NextTurnNs() uint64 { return min(d.stage.deadlineNextNs, d.stage.peers.nextNs) }
