package net

import (
	"ledger/internal/ports"
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
	in       *ring.SPSC[stages.ConsensusToNet]
	out      stages.Sender[stages.NetToConsensus]
	log      func(LogEntry)
	events   [eventsPerTurn]ports.NetworkEvent
	requests [requestsPerTurn]stages.ConsensusToNet
	actions  Actions
}

// NewDriver joins a stage, its port and its rings (see BudgetToNet and BudgetToConsensus). log may
// be nil. It is called on the stage's thread, at most LogsPerSecondMax times in a second, and may
// allocate.
func NewDriver(stage *Stage, network ports.Network, in *ring.SPSC[stages.ConsensusToNet], out stages.Sender[stages.NetToConsensus],
	log func(LogEntry)) *Driver {
	return &Driver{stage: stage, network: network, in: in, out: out, log: log, actions: stage.NewActions()}
}

// Turn does one round and says whether anything happened.
func (d *Driver) Turn(nowNs, wallNs uint64) (busy bool) {
	d.actions.Reset()
	events := Events{
		Network:   d.events[:d.network.Poll(d.events[:])],
		Consensus: d.requests[:d.in.Pop(d.requests[:])],
	}
	d.stage.Step(nowNs, events, &d.actions)

	for i := range d.actions.Network {
		a := &d.actions.Network[i]
		switch a.Kind {
		case NetworkReceive:
			d.network.Receive(a.Connection, a.Buffer)
		case NetworkReceiveAll:
			d.network.ReceiveAll(a.Connection, a.Buffer)
		case NetworkSend:
			d.network.Send(a.Connection, a.Buffer)
		case NetworkClose:
			d.network.Close(a.Connection)
		}
	}
	d.out.Push(d.actions.Consensus)
	if d.log != nil {
		for i := range d.actions.Log {
			d.log(d.actions.Log[i])
		}
	}
	return len(events.Network)+len(events.Consensus) > 0
}

// NextTurnNs implements stages.Driver.
func (d *Driver) NextTurnNs() uint64 { return d.stage.deadlineNextNs }
