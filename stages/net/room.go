package net

import (
	"ledger/wire"
)

// strangersMax is the number of remembered addresses of peers that named another cluster. Each of
// them is logged once.
const strangersMax = 64

// makeRoom brings the open connections back to openMax after a newcomer was accepted. It closes the
// connection that has been longest without a registered client. If all other connections have a
// registered client, it closes the newcomer. stays tells whether the newcomer stays.
func (s *Stage) makeRoom(newcomer uint32, out *Actions) (stays bool) {
	victim, cause := newcomer, CauseRefused
	for i := range s.connections {
		c := &s.connections[i]
		// A connection with a reply on its way counts as registered: its client was registered when
		// the reply was made.
		if c.state == connectionOpen && !c.registered && !c.hasReply && c.turn < s.connections[victim].turn {
			victim, cause = uint32(i), CauseDisplaced
		}
	}
	c := &s.connections[victim]
	s.refusedUnlogged++
	c.logged = true // the refusal's line tells the reason
	if s.mayLog() {
		fault := wire.Fault("the table of connections is full, and it was longest without a registered client")
		if cause == CauseRefused {
			fault = "the table of connections is full of registered clients"
		}
		out.Log = append(out.Log, LogEntry{Kind: LogRefused, Peer: c.peer, Client: c.client, Reason: fault, Closed: true,
			Limit: s.openMax, Refused: s.refusedUnlogged})
		s.refusedUnlogged = 0
	}
	s.close(victim, c, cause, out)
	return cause == CauseDisplaced
}

// closeSilent closes the connections whose first whole message is overdue. It needs no timer of its
// own, because no thread sleeps longer than a second. If a connection waits for a slot, the server
// causes the delay, so the connection's time starts again.
func (s *Stage) closeSilent(out *Actions) {
	s.deadlineNextNs = ^uint64(0)
	for i := range s.connections {
		c := &s.connections[i]
		if c.state != connectionOpen || c.spoke {
			continue
		}
		if c.waiting {
			c.deadlineNs = s.nowNs + FirstMessageNs
		}
		if s.nowNs >= c.deadlineNs {
			s.refuse(uint32(i), c, CauseSilent, "no whole message within 30 seconds", out)
			continue
		}
		s.deadlineNextNs = min(s.deadlineNextNs, c.deadlineNs)
	}
}

// setRegistered notes whether the connection's client has a session. A connection whose client
// loses its session counts as newest among those without a registered client.
func (s *Stage) setRegistered(c *connection, registered bool) {
	if c.registered && !registered {
		c.turn = s.turnNext
		s.turnNext++
	}
	c.registered = registered
}

// mayLog takes one of the lines of this second. It returns false if none is left.
func (s *Stage) mayLog() bool {
	if s.logsLeft == 0 {
		s.Counters.LogsSuppressed++
		return false
	}
	s.logsLeft--
	return true
}

// logMismatch reports a peer that names another cluster, once for each of the latest addresses,
// because clients with a wrong configuration connect again and again.
func (s *Stage) logMismatch(c *connection, theirs wire.U128, out *Actions) {
	s.Counters.ClusterMismatches++
	c.logged = true // this line replaces the line of the fault
	address := [16]byte(c.peer[:16])
	for i := range min(s.strangersCount, strangersMax) {
		if s.strangers[i] == address {
			return
		}
	}
	if !s.mayLog() {
		return
	}
	s.strangers[s.strangersCount%strangersMax] = address
	s.strangersCount++
	out.Log = append(out.Log, LogEntry{Kind: LogMismatch, Peer: c.peer, Client: c.client, Reason: "another cluster", Closed: true,
		Cluster: theirs, Ours: s.cluster})
}

// logEviction reports an eviction with its reason.
func (s *Stage) logEviction(c *connection, h *wire.Header, out *Actions) {
	if !s.mayLog() {
		return
	}
	out.Log = append(out.Log, LogEntry{Kind: LogEvicted, Peer: c.peer, Client: h.EvictionClient(), Eviction: h.EvictionReason(),
		Reason: "evicted"})
}
