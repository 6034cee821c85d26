package peer

import (
	"ledger/internal/assert"
	"ledger/limits"
)

// GreetingsMax is the number of accepted connections in a handshake at a time. A further one closes
// the oldest of those that have sent no authentic hello, and only if there is none, the oldest. So
// strangers cannot keep a replica out by holding connections, nor by opening ever new ones.
const GreetingsMax = limits.PeerGreetingsMax

// aliveNs is the time in which a peer that has been heard keeps another process of its index out.
// Two backups send each other nothing but a ping and a pong every second. So they hear each other
// at least every second, and a delay more. With one second, a second process would get in after
// some tries.
const aliveNs = 2000 * millisecond

// place states.
type placeState uint8

const (
	placeFree placeState = iota
	placeConnecting
	placeGreeting
	placeLive
	placeClosing // until Closed: the port may still use its buffers
)

// place is one connection: the memory that it costs before it is identified.
type place struct {
	state     placeState
	side      Side
	peer      uint8
	handshake Handshake
	frames    [2][FrameBytes]byte // the last two that were sent
	turn      uint8
	link      Link // of a live connection
}

// next is the memory of the next frame. The port may still read the one before.
func (c *place) next() []byte {
	c.turn ^= 1
	return c.frames[c.turn][:]
}

// peerState is what is known of one peer.
type peerState struct {
	dialer
	live    uint32 // place of its identified connection, or noPlace
	process uint64 // and attempt: of that connection
	attempt uint64
	heardNs uint64 // when it last sent an authentic message
}

const noPlace = ^uint32(0)

// Table is all connections to peers, from the first byte to the last: whom to call and when, whom
// to let in, which of two connections stays. It has one identified connection to a peer at most.
type Table struct {
	self   *Self
	random random
	peers  [limits.MembersMax]peerState
	places []place
	called uint32 // the first places are for connections that this replica makes
	log    refusalLog

	// Counters for the metrics.
	Counters TableCounters
}

// TableCounters count since the start.
type TableCounters struct {
	Accepted, Displaced, Turned uint64 // accepted connections; closed for a newer one; closed for want of a place
	Identified, Lost            uint64
	Refused, RefusalsUnlogged   uint64
	Silent                      uint64 // identified connections closed because nothing came
}

// NewTable makes the table. seed is random and secret.
func NewTable(self *Self, seed [SeedBytes]byte) *Table {
	self.check()
	others := uint32(self.peersCount())
	t := &Table{self: self, random: newRandom(seed), called: others}
	t.places = make([]place, t.called+2*(GreetingsMax+others))
	for i := range t.peers {
		p := &t.peers[i]
		p.live, p.place = noPlace, noPlace
		if uint8(i) < self.calledCount() {
			p.state = DialPausing // due at once
		}
	}
	return t
}

// PlacesMax is the number of places: connections that the caller must have room for.
func (t *Table) PlacesMax() uint32 { return uint32(len(t.places)) }

// State of the connection to a peer, for the metrics.
func (t *Table) State(peer uint8) DialState {
	p := &t.peers[peer]
	if p.live != noPlace {
		return DialLive
	}
	return p.state
}

// LinkOf returns the link of a peer's connection, or nil.
func (t *Table) LinkOf(peer uint8) (l *Link, place uint32) {
	if p := &t.peers[peer]; p.live != noPlace {
		return &t.places[p.live].link, p.live
	}
	return nil, noPlace
}

// take returns a free place of a range, or noPlace.
func (t *Table) take(first, end uint32) uint32 {
	for at := first; at < end; at++ {
		if t.places[at].state == placeFree {
			return at
		}
	}
	return noPlace
}

// Accepted takes a connection whose first bytes are those of a peer. If ok is false, the caller
// closes it.
func (t *Table) Accepted(nowNs uint64, out *TableActions) (at uint32, ok bool) {
	t.Counters.Accepted++
	victim, count := noPlace, 0
	for i := t.called; i < uint32(len(t.places)); i++ {
		if t.places[i].state != placeGreeting {
			continue
		}
		count++
		if victim == noPlace || t.places[i].handshake.goesBefore(&t.places[victim].handshake) {
			victim = i
		}
	}
	if count == GreetingsMax {
		t.Counters.Displaced++
		t.close(victim, false, out)
	}
	if at = t.take(t.called, uint32(len(t.places))); at == noPlace {
		t.Counters.Turned++
		return noPlace, false
	}
	t.places[at] = place{state: placeGreeting, side: SideAcceptor, peer: PeerUnknown}
	t.places[at].handshake.accept(t.self, t.random.nonce(), nowNs)
	return at, true
}

// Frame takes FrameBytes of a connection in its handshake.
func (t *Table) Frame(at uint32, frame []byte, nowNs uint64, out *TableActions) {
	c := &t.places[at]
	if c.state != placeGreeting {
		return // closed by this step
	}
	reply := c.next()
	progress, refusal := c.handshake.receive(frame, reply)
	isHello := progress == ProgressReply
	if !refusal.Refused() && c.side == SideAcceptor {
		// Both times, because another connection may have come between hello and confirmation.
		if refusal = t.judge(c, nowNs); refusal.Refused() {
			if progress = ProgressClose; isHello {
				progress, _ = c.handshake.refuse(refusal, reply)
			}
		}
	}
	switch progress {
	case ProgressReply:
		out.add(Action{Kind: ActionSend, Place: at, Frame: reply})
	case ProgressRefused:
		out.add(Action{Kind: ActionSend, Place: at, Frame: reply})
		t.refused(at, &refusal, nowNs, out)
		t.close(at, true, out)
	case ProgressClose:
		t.refused(at, &refusal, nowNs, out)
		t.close(at, false, out)
	case ProgressDoneReply:
		out.add(Action{Kind: ActionSend, Place: at, Frame: reply})
		t.identified(at, nowNs, out)
	case ProgressDone:
		t.identified(at, nowNs, out)
	}
}

// judge tells whether a caller may become, or replace, the connection of its index.
func (t *Table) judge(c *place, nowNs uint64) Refusal {
	theirs := &c.handshake.theirs
	p := &t.peers[theirs.Index]
	switch {
	case p.live == noPlace:
		return Refusal{}
	case theirs.Process == p.process && theirs.Attempt <= p.attempt:
		return Refusal{Reason: ReasonAttempt, Peer: theirs.Index, Ours: Value{Lo: p.attempt}, Theirs: Value{Lo: theirs.Attempt}}
	case theirs.Process != p.process && nowNs < p.heardNs+aliveNs:
		return Refusal{Reason: ReasonProcess, Peer: theirs.Index, Ours: Value{Lo: p.process}, Theirs: Value{Lo: theirs.Process}}
	}
	return Refusal{}
}

// identified makes a connection the one of its peer.
func (t *Table) identified(at uint32, nowNs uint64, out *TableActions) {
	c := &t.places[at]
	theirs := &c.handshake.theirs
	p := &t.peers[theirs.Index]
	if p.live != noPlace {
		t.close(p.live, false, out)
	}
	assert.That(p.live == noPlace, "a peer has one identified connection")
	c.state, c.peer, c.link = placeLive, theirs.Index, c.handshake.link()
	p.live, p.process, p.attempt, p.heardNs = at, theirs.Process, theirs.Attempt, nowNs
	if c.side == SideConnector {
		p.state = DialLive
	}
	t.Counters.Identified++
	out.add(Action{Kind: ActionLive, Peer: c.peer, Place: at})
	if w := t.self.storageWarning(theirs); w.LimitBytes != 0 {
		out.add(Action{Kind: ActionWarning, Peer: c.peer, Place: at, Warning: w})
	}
}

// Heard notes an authentic message of an identified connection.
func (t *Table) Heard(at uint32, nowNs uint64) {
	if c := &t.places[at]; c.state == placeLive {
		p := &t.peers[c.peer]
		p.heardNs, p.failures = nowNs, 0
	}
}

// Close ends a connection, for example after a fault of a message.
func (t *Table) Close(at uint32, out *TableActions) { t.close(at, false, out) }

// close ends a connection, at once or behind what is being sent.
func (t *Table) close(at uint32, afterSend bool, out *TableActions) {
	c := &t.places[at]
	if c.state == placeFree || c.state == placeClosing {
		return
	}
	out.add(Action{Kind: ActionClose, Place: at, AfterSend: afterSend})
	t.lose(c, at, out)
	c.state = placeClosing
	if c.side == SideConnector {
		t.peers[c.peer].state = DialClosing
	}
}

// lose tells that an identified connection is one no more.
func (t *Table) lose(c *place, at uint32, out *TableActions) {
	if c.state != placeLive {
		return
	}
	p := &t.peers[c.peer]
	assert.Equal(p.live, at, "place of the peer's identified connection")
	p.live = noPlace
	t.Counters.Lost++
	out.add(Action{Kind: ActionLost, Peer: c.peer, Place: at})
}

// Closed tells that a connection is gone, by whichever side: its place is free.
func (t *Table) Closed(at uint32, nowNs uint64, out *TableActions) {
	c := &t.places[at]
	assert.That(c.state != placeFree, "a connection that is gone was there")
	t.lose(c, at, out)
	if c.side == SideConnector {
		p := &t.peers[c.peer]
		assert.Equal(p.place, at, "place of the connection to a peer")
		p.place = noPlace
		p.pause(nowNs, &t.random)
	}
	c.state = placeFree
}
