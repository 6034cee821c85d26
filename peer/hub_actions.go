package peer

import "ledger/internal/assert"

// HubActionKind of a HubAction.
type HubActionKind uint8

// What the caller does for the hub.
const (
	HubResolve  HubActionKind = iota + 1 // the address of Peer, and call Resolved with Attempt
	HubConnect                           // Place to Address, and call Connected or Closed
	HubReceive                           // into Buffer, and call Received
	HubSend                              // Buffer, and behind it BodyBytes of Lease, and call Sent
	HubClose                             // Place, and call Closed
	HubMessage                           // of Peer, in Slot, which is the caller's again
	HubSlotBack                          // Slot is the caller's again, and has no message
	HubReturned                          // Lease, of a message to Peer, is the caller's again
	HubLive                              // Peer is connected
	HubLost                              // and is so no more
	HubRefused                           // log Refusal
	HubWarning                           // log Warning
	HubFault                             // log Fault: Peer has sent what breaks a rule
)

// HubAction is an output of the hub.
type HubAction struct {
	Kind      HubActionKind
	Peer      uint8
	All       bool // the port may wait until Buffer is full
	Place     uint32
	Slot      uint32
	Lease     Lease
	BodyBytes uint32
	Buffer    []byte
	Envelope  Envelope
	Fault     Fault
	Attempt   uint64
	// Incarnation of the data file of the other end: HubLive.
	Incarnation uint64
	Address     [18]byte
	Refusal     Refusal
	Unlogged    uint64
	Warning     Warning
}

// perform does what the table wants, or passes it on.
func (h *Hub) perform(nowNs uint64) {
	for i := 0; i < len(h.inside.All); i++ {
		a := &h.inside.All[i] // more may be added meanwhile, but the slice never moves
		switch a.Kind {
		case ActionResolve:
			h.add(HubAction{Kind: HubResolve, Peer: a.Peer, Attempt: a.Attempt})
		case ActionConnect:
			h.conns[a.Place] = conn{line: noLine, peer: a.Peer}
			h.add(HubAction{Kind: HubConnect, Peer: a.Peer, Place: a.Place, Address: a.Address})
		case ActionSend:
			assert.That(h.conns[a.Place].frame == nil, "one frame waits")
			h.conns[a.Place].frame = a.Frame
			h.pump(a.Place, nowNs)
		case ActionClose:
			if c := &h.conns[a.Place]; a.AfterSend && (c.sending || c.frame != nil) {
				c.closeAtNs = nowNs + closeNs
				continue
			}
			h.closeNow(a.Place)
		case ActionLive:
			h.open(a.Peer, a.Place, nowNs)
		case ActionLost:
			h.lost(a.Peer, a.Place)
		case ActionRefused:
			h.add(HubAction{Kind: HubRefused, Peer: a.Peer, Place: a.Place, Refusal: a.Refusal, Unlogged: a.Unlogged})
		case ActionWarning:
			h.add(HubAction{Kind: HubWarning, Peer: a.Peer, Place: a.Place, Warning: a.Warning})
		}
	}
	h.inside.Reset()
}

// open gives an identified connection its memory. A peer that connects again and again, faster than
// the port forgets its older connections, has to wait.
func (h *Hub) open(peer uint8, place uint32, nowNs uint64) {
	c := &h.conns[place]
	for i := range h.lines {
		if l := &h.lines[i]; !l.isUsed {
			l.isUsed = true
			c.line, c.peer = uint32(i), peer
			l.receiver.Open(&h.table.places[place].link)
			l.queue.Open(&h.table.places[place].link, nowNs)
			h.add(HubAction{Kind: HubLive, Peer: peer, Place: place, Incarnation: h.table.places[place].link.Incarnation})
			return
		}
	}
	h.table.Close(place, &h.inside)
}

// lost drops what waits for a peer. What the port uses stays until Closed.
func (h *Hub) lost(peer uint8, place uint32) {
	c := &h.conns[place]
	if c.line == noLine {
		return // it never had one
	}
	l := &h.lines[c.line]
	l.queue.Close(&h.leases)
	h.returnLeases(peer)
	h.add(HubAction{Kind: HubLost, Peer: peer, Place: place})
}

// Close ends a connection, for example because consensus has found a message that breaks a rule.
func (h *Hub) Close(place uint32, nowNs uint64) {
	h.table.Close(place, &h.inside)
	h.perform(nowNs)
}

// Malformed ends the connection of a place, because a message that came there breaks a rule that
// only the caller can check: its parts do not fit together.
func (h *Hub) Malformed(place uint32, command Command, nowNs uint64) {
	c := &h.conns[place]
	if c.closing || c.closeAtNs != 0 || c.line == noLine {
		return
	}
	receiver := h.lines[c.line].receiver
	receiver.broken(fault(command, "list of headers", 0, "it must be a log that such a message can tell", 0))
	h.add(HubAction{Kind: HubFault, Place: place, Peer: c.peer, Fault: receiver.Fault})
	h.Close(place, nowNs)
}

func (h *Hub) closeNow(place uint32) {
	if c := &h.conns[place]; !c.closing {
		c.closing, c.closeAtNs = true, 0
		h.add(HubAction{Kind: HubClose, Place: place})
	}
}

// Closed tells that the connection of a place is gone, and its memory not used any more.
func (h *Hub) Closed(place uint32, nowNs uint64) {
	h.table.Closed(place, nowNs, &h.inside)
	h.perform(nowNs)
	c := &h.conns[place]
	if c.line != noLine {
		l := &h.lines[c.line]
		if l.receiver.Close() {
			h.add(HubAction{Kind: HubSlotBack, Slot: l.slot})
		}
		l.queue.Closed(&h.leases)
		h.returnLeases(c.peer)
		l.isUsed = false
		total := &h.totals[c.peer]
		total.Sent.add(&l.queue.Counters)
		total.Received.add(&l.receiver.Counters)
		l.queue.Counters, l.receiver.Counters = QueueCounters{}, ReceiverCounters{}
	}
	*c = conn{line: noLine, peer: PeerUnknown}
}

func (h *Hub) returnLeases(peer uint8) {
	for _, lease := range h.leases {
		h.add(HubAction{Kind: HubReturned, Peer: peer, Lease: lease})
	}
	h.leases = h.leases[:0]
}
