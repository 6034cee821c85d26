package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/stages"
	"ledger/wire"
)

// early is the requests that came before a single replica served, one of each connection. They are
// admitted when it serves. If they were dropped, their clients would send them again, but after
// pauses that double: a client that came at the beginning of a long start would wait for nearly as
// long once more. Others have the pings of a client, and a second request of a connection, which is
// the first one again: they are dropped.
type early struct {
	requests []stages.NetToConsensus
}

func newEarly(l *limits.Limits) early {
	return early{requests: make([]stages.NetToConsensus, 0, l.ConnectionsMax)}
}

// keep takes a message and its slot, or returns false.
func (w *early) keep(e *stages.NetToConsensus, command wire.Command) bool {
	if command != wire.CommandRequest || len(w.requests) == cap(w.requests) {
		return false
	}
	for i := range w.requests {
		if w.requests[i].Connection == e.Connection {
			return false
		}
	}
	w.requests = append(w.requests, *e)
	return true
}

// onEarly takes a client's message while the replica does not serve.
func (s *Stage) onEarly(e *stages.NetToConsensus) {
	command := wire.HeaderOf(s.slots.bytes(e.Slot)[:limits.HeaderBytes]).Command()
	if s.isCluster() || s.status.isFailed() || !s.early.keep(e, command) {
		s.drop(e) // the client sends it again
	}
}

// admitEarly admits the requests that waited, in the order in which they came. Their times begin
// now: they did not wait for another request, but for the start.
func (s *Stage) admitEarly() {
	assert.That(s.status.isServing(), "requests are admitted by a replica that serves")
	for i := range s.early.requests {
		e := &s.early.requests[i]
		e.ArrivingNs, e.ReceivedNs = s.timers.now(), s.timers.now()
		s.onRequest(e, wire.HeaderOf(s.slots.bytes(e.Slot)[:limits.HeaderBytes]))
	}
	s.early.requests = s.early.requests[:0]
}

// dropEarly gives the requests that waited back, because the replica will not serve.
func (s *Stage) dropEarly() {
	for i := range s.early.requests {
		s.drop(&s.early.requests[i])
	}
	s.early.requests = s.early.requests[:0]
}
