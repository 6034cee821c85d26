package peer

import (
	"ledger/internal/assert"
	"ledger/limits"
)

// bufferBytes is the size of the buffer in which a peer's heads arrive: several small messages, or
// a head and the beginning of a body, with one receive.
const bufferBytes = 2048

// closeNs is the time that the last bytes of a connection have.
const closeNs = 1000 * millisecond

// Slots is where received messages go. The caller keeps the slots.
type Slots interface {
	// Take returns a slot for a message of InnerBytes and the body, and its memory, of at least as
	// many bytes. ok is false if none is free: then the message is dropped.
	Take(e *Envelope) (slot uint32, memory []byte, ok bool)
}

// line is the memory of an identified connection. A peer has two of them, because an older
// connection may still use its own when a newer one has replaced it.
type line struct {
	isUsed   bool
	receiver *Receiver
	queue    *Queue
	slot     uint32 // that the receiver has
}

const noLine = ^uint32(0)

// conn is what the port does with a place.
type conn struct {
	in        [FrameBytes]byte // a frame that arrives
	filled    uint32
	line      uint32 // of an identified connection
	peer      uint8
	receiving bool
	sending   bool
	ofQueue   bool   // what is being sent is a message
	frame     []byte // waits until the port is free
	closing   bool
	closeAtNs uint64 // close when all is sent, or at this time at the latest; 0: not
}

// Hub is the whole state machine: a Table, and for each identified connection a Receiver and a
// Queue. It decides each Receive, Send and Close of the port; at most one Receive and one Send are
// under way for each place.
//
// The caller performs the actions of each call, in order, before the next one.
type Hub struct {
	table  *Table
	slots  Slots
	conns  []conn
	lines  []line
	inside TableActions
	leases []Lease
	totals [limits.MembersMax]PeerCounters // of connections that are gone

	// Actions of the last calls, until Reset.
	Actions []HubAction
}

// NewHub makes the hub of a replica. scratch is memory for bodies that are dropped.
func NewHub(self *Self, bounds *Bounds, seed [SeedBytes]byte, slots Slots, scratch []byte) *Hub {
	h := &Hub{table: NewTable(self, seed), slots: slots}
	h.conns = make([]conn, h.table.PlacesMax())
	for i := range h.conns {
		h.conns[i] = conn{line: noLine, peer: PeerUnknown}
	}
	h.lines = make([]line, 2*int(self.peersCount()))
	h.inside = h.table.NewActions()
	for i := range h.lines {
		h.lines[i].receiver = NewReceiver(bounds, make([]byte, bufferBytes), scratch)
		h.lines[i].queue = NewQueue(bounds)
	}
	h.leases = make([]Lease, 0, h.lines[0].queue.LeasesMax())
	// The most of one call is all actions of a table, a buffer full of messages, and all leases.
	most := cap(h.inside.All) + bufferBytes/HeadBytes + len(h.lines)*(cap(h.leases)+2) + 2*len(h.conns)
	h.Actions = make([]HubAction, 0, most)
	return h
}

// Reset empties the actions.
func (h *Hub) Reset() { h.Actions = h.Actions[:0] }

func (h *Hub) add(a HubAction) {
	assert.Below(len(h.Actions), cap(h.Actions), "actions of a hub")
	h.Actions = append(h.Actions, a)
}

// PlacesMax is the number of connections that the caller must have room for.
func (h *Hub) PlacesMax() uint32 { return h.table.PlacesMax() }

// State of the connection to a peer, for the metrics.
func (h *Hub) State(peer uint8) DialState { return h.table.State(peer) }

// PeerCounters are those of all connections to one peer since the start.
type PeerCounters struct {
	Sent     QueueCounters
	Received ReceiverCounters
}

// CountersOf returns the counters of one peer, for the metrics.
func (h *Hub) CountersOf(peer uint8) PeerCounters {
	c := h.totals[peer]
	for at := range h.conns {
		if one := &h.conns[at]; one.line != noLine && one.peer == peer {
			c.Sent.add(&h.lines[one.line].queue.Counters)
			c.Received.add(&h.lines[one.line].receiver.Counters)
		}
	}
	return c
}

// TableCounters returns those of all connections together.
func (h *Hub) TableCounters() TableCounters { return h.table.Counters }

// NextNs is when the next Tick has something to do.
func (h *Hub) NextNs() uint64 {
	next := h.table.NextNs()
	for at := range h.conns {
		if c := &h.conns[at]; c.closeAtNs != 0 {
			next = min(next, c.closeAtNs)
		}
	}
	return next
}

// Tick does what is due.
func (h *Hub) Tick(nowNs uint64) {
	for at := range h.conns {
		if c := &h.conns[at]; c.closeAtNs != 0 && nowNs >= c.closeAtNs {
			h.closeNow(uint32(at))
		}
	}
	h.table.Tick(nowNs, &h.inside)
	h.perform(nowNs)
}

// Resolved brings the address of a peer, or that there is none.
func (h *Hub) Resolved(peer uint8, attempt uint64, address [18]byte, ok bool, nowNs uint64) {
	h.table.Resolved(peer, attempt, address, ok, nowNs, &h.inside)
	h.perform(nowNs)
}

// Connected tells that the connection of a place is made. Closed tells that it failed.
func (h *Hub) Connected(place uint32, nowNs uint64) {
	h.table.Connected(place, nowNs, &h.inside)
	h.perform(nowNs)
	h.receive(place)
}

// Accepted takes a connection whose first bytes IsPeer has recognised: up to FrameBytes of them. A
// replica sends no more before it is answered. If ok is false, the caller closes it.
func (h *Hub) Accepted(first []byte, nowNs uint64) (place uint32, ok bool) {
	assert.AtMost(len(first), FrameBytes, "bytes of a connection that may be a peer's")
	place, ok = h.table.Accepted(nowNs, &h.inside)
	if ok {
		h.conns[place] = conn{line: noLine, peer: PeerUnknown}
	}
	h.perform(nowNs)
	if !ok {
		return place, false
	}
	c := &h.conns[place]
	c.filled = uint32(copy(c.in[:], first))
	h.advance(place, nowNs)
	return place, true
}

// Received tells that a receive of a place has ended: with so many bytes, or 0 and below if the
// connection has.
func (h *Hub) Received(place uint32, result int32, nowNs uint64) {
	c := &h.conns[place]
	assert.That(c.receiving, "a finished receive was under way")
	c.receiving = false
	switch {
	case c.closing:
		return
	case result <= 0:
		h.Close(place, nowNs)
		return
	case c.line != noLine:
		h.lines[c.line].receiver.Received(uint32(result))
	default:
		c.filled += uint32(result)
		assert.AtMost(c.filled, FrameBytes, "bytes of a frame")
	}
	h.advance(place, nowNs)
}

// advance takes whole frames and messages, and asks for more bytes.
func (h *Hub) advance(place uint32, nowNs uint64) {
	c := &h.conns[place]
	if c.line == noLine && c.filled == FrameBytes {
		c.filled = 0
		h.table.Frame(place, c.in[:], nowNs, &h.inside)
		h.perform(nowNs)
	}
	for !c.closing && c.line != noLine {
		l := &h.lines[c.line]
		switch l.receiver.Next() {
		case ReceivedBytes:
			h.receive(place)
			return
		case ReceivedHead:
			h.table.Heard(place, nowNs)
			slot, memory, ok := h.slots.Take(&l.receiver.Envelope)
			if !ok {
				l.receiver.Discard()
				continue
			}
			l.slot = slot
			l.receiver.Give(memory)
		case ReceivedMessage:
			h.add(HubAction{Kind: HubMessage, Place: place, Peer: c.peer, Slot: l.slot, Envelope: l.receiver.Envelope})
		case ReceivedFault:
			h.add(HubAction{Kind: HubFault, Place: place, Peer: c.peer, Fault: l.receiver.Fault})
			h.Close(place, nowNs)
		}
	}
	h.receive(place)
}

// receive asks the port for more bytes of a place.
func (h *Hub) receive(place uint32) {
	c := &h.conns[place]
	if c.closing || c.receiving || c.closeAtNs != 0 {
		return
	}
	c.receiving = true
	into, all := c.in[c.filled:], false
	if c.line != noLine {
		into, all = h.lines[c.line].receiver.Buffer()
	}
	h.add(HubAction{Kind: HubReceive, Place: place, Buffer: into, All: all})
}

// Send queues a message to a peer. head has the inner header behind the envelope's place. e has
// command, view and body. The lease comes back as HubReturned.
func (h *Hub) Send(peer uint8, e *Envelope, head []byte, lease Lease, nowNs uint64) (ok bool) {
	self := h.table.self
	e.Author, e.Incarnation = self.Index, self.Incarnation
	e.Encode(head)
	_, place := h.table.LinkOf(peer)
	if place == noPlace {
		if lease != NoLease {
			h.add(HubAction{Kind: HubReturned, Peer: peer, Lease: lease})
		}
		return false
	}
	l := &h.lines[h.conns[place].line]
	ok = l.queue.Offer(head, lease, nowNs, &h.leases)
	h.returnLeases(peer)
	h.pump(place, nowNs)
	return ok
}

// Sent tells that the send of a place has ended: all of it, or that the connection has.
func (h *Hub) Sent(place uint32, ok bool, nowNs uint64) {
	c := &h.conns[place]
	assert.That(c.sending, "a finished send was under way")
	if !ok {
		h.Close(place, nowNs)
		return
	}
	c.sending = false
	if c.ofQueue {
		h.lines[c.line].queue.Sent(nowNs, &h.leases)
		c.ofQueue = false
		h.returnLeases(c.peer)
	}
	h.pump(place, nowNs)
}

// pump gives the port what is to be sent next: frames, then messages, then the end.
func (h *Hub) pump(place uint32, nowNs uint64) {
	c := &h.conns[place]
	switch {
	case c.sending || c.closing:
		return
	case c.frame != nil:
		h.add(HubAction{Kind: HubSend, Place: place, Buffer: c.frame, Lease: NoLease})
		c.frame, c.sending = nil, true
	case c.closeAtNs != 0:
		h.closeNow(place)
	case c.line != noLine:
		if o, ok := h.lines[c.line].queue.Start(nowNs); ok {
			h.add(HubAction{Kind: HubSend, Place: place, Buffer: o.Head, Lease: o.Lease, BodyBytes: o.BodyBytes})
			c.sending, c.ofQueue = true, true
		}
	}
}
