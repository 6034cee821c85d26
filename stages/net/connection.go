package net

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/stages"
	"ledger/wire"
)

type connectionState uint8

const (
	connectionFree connectionState = iota
	connectionOpen
	connectionClosing // until NetworkClosed: the port may still use its buffers
)

// connectionKind says which program is at the other end, and so which state machine handles what
// comes from there.
type connectionKind uint8

const (
	// kindStranger: no whole message has come. It is handled like a client, whose first message
	// identifies it.
	kindStranger connectionKind = iota
	kindClient
	kindsCount
	// kindPeer: another replica, whose place in the hub is place; see peers.go. It is in no count of
	// kinds.
	kindPeer = kindsCount
)

// connection is one socket. Received bytes lie in [start, end) of its slot.
type connection struct {
	state       connectionState
	kind        connectionKind
	receiving   bool // the port is filling the slot from end on
	headerRight bool // the header at start was checked, and messageBytes is the size of its message
	logged      bool
	waiting     bool // for a free slot
	queued      bool // in waiters; may be left over from an earlier connection with this index
	// waitsForBytes: a stranger, whose first message would exceed StrangerBytesMax.
	waitsForBytes bool
	served        bool // its turn has come: it may take one slot before the waiting ones
	// incarnation counts the connections of this index, so that an answer to an earlier one does
	// not go to a later one.
	incarnation  uint16
	slot         stages.Slot // SlotNone while there is nothing to receive into
	start, end   uint32
	messageBytes uint32
	client       wire.U128 // zero until a message names it
	turn         uint64    // orders connections by how long they have been without a registered client
	deadlineNs   uint64    // for the first whole message
	bytesHeld    uint32    // of a stranger: what its first message counts for StrangerBytesMax
	heldNs       uint64    // since when
	beganNs      uint64    // when the first bytes of the message at start arrived
	place        uint32    // of a peer, in the hub
	peer         [18]byte

	sending    bool // the port is sending the first of sends
	hasReply   bool // one of sends is a reply
	sendFirst  uint32
	sendsCount uint32
	sends      [sendsMax]send
}

// The name of a connection at consensus consists of index and incarnation.
const (
	incarnationShift = 16
	connectionsMax   = 1 << incarnationShift
)

func (s *Stage) nameOf(index uint32) ports.ConnectionID {
	return ports.ConnectionID(index | uint32(s.connections[index].incarnation)<<incarnationShift)
}

// indexOf returns the index behind a name, if it still is the same connection.
func (s *Stage) indexOf(name ports.ConnectionID) (index uint32, ok bool) {
	index = uint32(name) & (connectionsMax - 1)
	assert.Below(index, uint32(len(s.connections)), "a connection that consensus names")
	c := &s.connections[index]
	return index, c.state == connectionOpen && c.incarnation == uint16(uint32(name)>>incarnationShift)
}

func (s *Stage) onAccepted(index uint32, c *connection, peer [18]byte, out *Actions) {
	assert.That(c.state == connectionFree, "an accepted connection is new")
	*c = connection{state: connectionOpen, incarnation: c.incarnation + 1, queued: c.queued, slot: stages.SlotNone, peer: peer,
		turn: s.turnNext, deadlineNs: s.nowNs + FirstMessageNs}
	s.turnNext++
	s.deadlineNextNs = min(s.deadlineNextNs, c.deadlineNs)
	s.Counters.AcceptedCount++
	s.Counters.ConnectionsCount++
	s.kindCounts[kindStranger]++
	if s.kindCounts[kindStranger]+s.kindCounts[kindClient] > s.openMax+s.strangersRoom && !s.makeRoom(index, kindStranger, out) {
		return
	}
	if !s.keepShare(index, out) {
		return
	}
	s.advance(index, c, out)
}

// becomeClient makes a stranger a client. Clients have openMax places, and the places for strangers
// beyond these stay free of them. stays tells whether the connection stays.
func (s *Stage) becomeClient(index uint32, c *connection, out *Actions) (stays bool) {
	s.release(c)
	s.kindCounts[c.kind]--
	c.kind = kindClient
	s.kindCounts[c.kind]++
	return (s.kindCounts[kindClient] <= s.openMax || s.makeRoom(index, kindClient, out)) && s.keepShare(index, out)
}

// refuse closes a connection because of a fault of its peer.
func (s *Stage) refuse(index uint32, c *connection, cause Cause, fault wire.Fault, out *Actions) {
	s.log(c, fault, true, out)
	s.close(index, c, cause, out)
}

// close begins to close a connection. The port may use its buffers until NetworkClosed, so slot and
// leases stay until then.
func (s *Stage) close(index uint32, c *connection, cause Cause, out *Actions) {
	assert.That(c.state == connectionOpen, "a connection is closed once")
	s.release(c)
	c.state, c.waiting = connectionClosing, false
	s.routes.forget(c.client, index)
	s.Counters.ClosedCount[cause]++
	s.Counters.ConnectionsCount--
	s.kindCounts[c.kind]--
	out.Network = append(out.Network, NetworkAction{Kind: NetworkClose, Connection: ports.ConnectionID(index)})
}

func (s *Stage) onClosed(c *connection, out *Actions) {
	assert.That(c.state == connectionClosing, "a closed connection was closing")
	if c.slot != stages.SlotNone {
		s.slots.Put(c.slot)
		s.heldCount--
		c.slot = stages.SlotNone
	}
	s.returnLeases(c, out)
	c.state = connectionFree
}

// log reports a fault of a peer, once for each connection.
func (s *Stage) log(c *connection, fault wire.Fault, closed bool, out *Actions) {
	if c.logged {
		return
	}
	c.logged = true
	if !s.mayLog() {
		return
	}
	out.Log = append(out.Log, LogEntry{Peer: c.peer, Client: c.client, Reason: fault, Closed: closed})
}
