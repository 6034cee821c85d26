package net

import (
	"ledger/wire"
)

// strangersMax is the number of remembered addresses of peers that named another cluster. Each of
// them is logged once.
const strangersMax = 64

// makeRoom closes one connection after a newcomer was accepted (kindStranger), or has become a
// client while clients have all their places (kindClient). Of the connections without a registered
// client, in the second case of the clients among them, it takes those of the address that has most
// of them, and closes the one that has been longest without a registered client. So an address that
// opens ever new connections displaces its own. If all others have registered clients, it closes
// the newcomer. stays tells whether the newcomer stays.
func (s *Stage) makeRoom(newcomer uint32, kind connectionKind, out *Actions) (stays bool) {
	clear(s.addressCounts[:])
	for i := range s.connections {
		if c := &s.connections[i]; s.mayGiveWay(uint32(i), c, kind) {
			s.addressCounts[s.bucketOf(&c.peer)]++
		}
	}
	victim, cause, most := newcomer, CauseRefused, uint16(0)
	for i := range s.connections {
		c := &s.connections[i]
		if !s.mayGiveWay(uint32(i), c, kind) {
			continue
		}
		count := s.addressCounts[s.bucketOf(&c.peer)]
		if count > most || count == most && c.turn < s.connections[victim].turn {
			victim, most = uint32(i), count
		}
		if uint32(i) != newcomer {
			cause = CauseDisplaced
		}
	}
	fault := wire.Fault("the table of connections is full, and it was longest without a registered client")
	if cause == CauseRefused {
		fault = "the table of connections is full of registered clients"
	}
	s.logRefused(&s.connections[victim], fault, s.openMax, out)
	s.close(victim, &s.connections[victim], cause, out)
	return victim != newcomer
}

// mayGiveWay tells whether a connection may be closed for a newcomer of a kind.
func (s *Stage) mayGiveWay(index uint32, c *connection, kind connectionKind) bool {
	return c.state == connectionOpen && c.kind >= kind && c.kind != kindPeer && !s.isOfClient(index, c)
}

// onAcceptFailed counts a try to accept that failed, and reports the first of AcceptLogEveryNs. The
// peer waits in the backlog.
func (s *Stage) onAcceptFailed(result int32, out *Actions) {
	s.Counters.AcceptFailures++
	s.acceptUnlogged++
	if s.nowNs < s.acceptLogNs || !s.mayLog() {
		return
	}
	s.acceptLogNs = s.nowNs + AcceptLogEveryNs
	out.Log = append(out.Log, LogEntry{Kind: LogAcceptFailed, Errno: -result, Failures: s.acceptUnlogged})
	s.acceptUnlogged = 0
}

// closeSilent closes the connections whose first whole message is overdue, or has stalled while
// others wait for its bytes. If a connection waits for a slot or for bytes, the server causes the
// delay, so the connection's time starts again.
func (s *Stage) closeSilent(out *Actions) {
	s.deadlineNextNs = ^uint64(0)
	for i := range s.connections {
		c := &s.connections[i]
		if c.state != connectionOpen || c.kind != kindStranger {
			continue
		}
		if c.waiting || c.waitsForBytes {
			c.deadlineNs = s.nowNs + FirstMessageNs
		}
		if s.bytesWaiters > 0 && c.bytesHeld > 0 {
			if s.nowNs >= c.heldNs+StrangerStallNs {
				s.refuse(uint32(i), c, CauseStalled, "its first message has stalled, and others wait for the bytes that it holds", out)
				continue
			}
			s.deadlineNextNs = min(s.deadlineNextNs, c.heldNs+StrangerStallNs)
		}
		if s.nowNs >= c.deadlineNs {
			s.refuse(uint32(i), c, CauseSilent, "no whole message within 30 seconds", out)
			continue
		}
		s.deadlineNextNs = min(s.deadlineNextNs, c.deadlineNs)
	}
}

// isOfClient tells whether a connection counts as its client's. It does if it is the client's
// route and the client has a session, or a request at consensus: the register of a client that is
// about to have one. Consensus answers or ignores each request, so the latter ends. A client has
// one such connection, however many it opens.
func (s *Stage) isOfClient(index uint32, c *connection) bool {
	r := s.routes.of(c.client)
	return r != nil && r.current == index && (r.registered || r.asksCount > 0)
}

// setRegistered notes whether a client has a session. The connection of a client that loses its
// session counts as newest among those without a registered client.
func (s *Stage) setRegistered(r *route, registered bool) {
	if r.registered && !registered {
		s.connections[r.current].turn = s.turnNext
		s.turnNext++
	}
	r.registered = registered
}

// answered notes the answer to a client's requests: a reply or an eviction.
func (s *Stage) answered(r *route, registered bool) {
	r.asksCount = 0
	s.setRegistered(r, registered)
}

// ignored notes that a message in a slot that comes back gets no answer.
func (s *Stage) ignored(h *wire.Header) {
	if h.Command() != wire.CommandRequest {
		return
	}
	// The route may be a newer one than that on which the request came: then it counts no request,
	// or one more.
	if r := s.routes.of(h.RequestClient()); r != nil && r.asksCount > 0 {
		r.asksCount--
	}
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
