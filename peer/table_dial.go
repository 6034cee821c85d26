package peer

import (
	"ledger/internal/assert"
	"ledger/limits"
)

// ActionKind of an Action.
type ActionKind uint8

// What the caller has to do for the table.
const (
	ActionResolve ActionKind = iota + 1 // the address of Peer, and call Resolved with Attempt
	ActionConnect                       // Place to Address, and call Connected or Closed
	ActionSend                          // Frame, which stays as it is until the place's next frame but one
	ActionClose                         // Place, behind what is being sent if AfterSend, and call Closed
	ActionLive                          // Peer is identified: messages go over Place, behind a frame that is being sent
	ActionLost                          // Place is no longer the connection of Peer: return its leases
	ActionRefused                       // log the line of Refusal
	ActionWarning                       // log Warning
)

// Action is an output of the table.
type Action struct {
	Kind      ActionKind
	Peer      uint8
	AfterSend bool
	Place     uint32
	Attempt   uint64
	Address   [18]byte // as in ports.NetworkEvent
	Frame     []byte
	Refusal   Refusal
	Unlogged  uint64 // refusals since the last line
	Warning   Warning
}

// TableActions are the outputs of one call, in order. The caller resets them after each call.
type TableActions struct{ All []Action }

// NewActions returns actions with room for all outputs of one call.
func (t *Table) NewActions() TableActions { return TableActions{make([]Action, 0, 4*len(t.places)+8)} }

// Reset empties the actions.
func (a *TableActions) Reset() { a.All = a.All[:0] }

func (a *TableActions) add(one Action) {
	assert.Below(len(a.All), cap(a.All), "actions of one call")
	a.All = append(a.All, one)
}

// Tick does what is due. The caller calls it at NextNs or later, and after a start.
func (t *Table) Tick(nowNs uint64, out *TableActions) {
	for at := range uint32(len(t.places)) {
		c := &t.places[at]
		switch c.state {
		case placeGreeting:
			if r := c.handshake.expired(nowNs); r.Refused() {
				t.refused(at, &r, nowNs, out)
				t.close(at, false, out)
			}
		case placeLive:
			if nowNs >= t.peers[c.peer].heardNs+SilentNs {
				t.Counters.Silent++
				t.close(at, false, out)
			}
		}
	}
	for peer := range t.self.calledCount() {
		t.dial(peer, nowNs, out)
	}
}

// dial does the next step towards one peer of a lower index, if it is due.
func (t *Table) dial(peer uint8, nowNs uint64, out *TableActions) {
	p := &t.peers[peer]
	if nowNs < p.dueNs {
		return
	}
	switch p.state {
	case DialPausing:
		p.tries++
		p.state, p.dueNs = DialResolving, nowNs+ResolveNs
		out.add(Action{Kind: ActionResolve, Peer: peer, Attempt: p.tries})
	case DialResolving:
		p.pause(nowNs, &t.random)
	case DialConnecting:
		if t.places[p.place].state == placeConnecting {
			t.close(p.place, false, out)
		}
	}
}

// Resolved brings the address of a peer, or that its name has none. An answer to an earlier
// question is ignored.
func (t *Table) Resolved(peer uint8, attempt uint64, address [18]byte, ok bool, nowNs uint64, out *TableActions) {
	p := &t.peers[peer]
	if p.state != DialResolving || p.tries != attempt {
		return
	}
	at := t.take(0, t.called)
	if !ok || at == noPlace {
		p.pause(nowNs, &t.random)
		return
	}
	t.places[at] = place{state: placeConnecting, side: SideConnector, peer: peer}
	p.state, p.place, p.dueNs = DialConnecting, at, nowNs+ConnectNs
	out.add(Action{Kind: ActionConnect, Peer: peer, Place: at, Address: address})
}

// Connected tells that a connection is made. The caller calls Closed if it failed.
func (t *Table) Connected(at uint32, nowNs uint64, out *TableActions) {
	c := &t.places[at]
	if c.state != placeConnecting {
		return // closed by this step
	}
	p := &t.peers[c.peer]
	c.state, p.state = placeGreeting, DialGreeting
	hello := c.next()
	c.handshake.connect(t.self, c.peer, p.tries, t.random.nonce(), nowNs, hello)
	out.add(Action{Kind: ActionSend, Place: at, Frame: hello})
}

// NextNs is when the next Tick has something to do.
func (t *Table) NextNs() uint64 {
	next := ^uint64(0)
	for at := range t.places {
		switch c := &t.places[at]; c.state {
		case placeGreeting:
			next = min(next, c.handshake.beganNs+IdentifyNs)
		case placeLive:
			next = min(next, t.peers[c.peer].heardNs+SilentNs)
		}
	}
	for peer := range t.self.calledCount() {
		switch p := &t.peers[peer]; p.state {
		case DialPausing, DialResolving, DialConnecting:
			next = min(next, p.dueNs)
		}
	}
	return next
}

// refused counts a refusal, makes the next try wait, and logs it unless the line would repeat
// itself.
func (t *Table) refused(at uint32, r *Refusal, nowNs uint64, out *TableActions) {
	t.Counters.Refused++
	if c := &t.places[at]; c.side == SideConnector {
		t.peers[c.peer].refused = true
	}
	if unlogged, ok := t.log.mayLog(r, nowNs); ok {
		out.add(Action{Kind: ActionRefused, Place: at, Peer: r.Peer, Refusal: *r, Unlogged: unlogged})
		return
	}
	t.Counters.RefusalsUnlogged++
}

// refusalLog keeps lines of refusals from filling the log: those of the same reason come once a
// minute, and those of one peer, or of all strangers together, once a second.
type refusalLog struct {
	lines    [limits.MembersMax + 1]refusalLine // the last one is of all strangers
	unlogged uint64
}

type refusalLine struct {
	of   Refusal
	atNs uint64
}

// mayLog tells whether to log a refusal, and how many were not logged since the last line.
func (l *refusalLog) mayLog(r *Refusal, nowNs uint64) (unlogged uint64, ok bool) {
	line := &l.lines[limits.MembersMax]
	if r.Reason.proven() && r.Peer < limits.MembersMax {
		line = &l.lines[r.Peer] // it has proven the key
	}
	isSame := line.of.Reason == r.Reason && line.of.Peer == r.Peer && line.of.ByPeer == r.ByPeer && line.of.Fixed == r.Fixed
	pauseNs := uint64(1000 * millisecond)
	if isSame {
		pauseNs = 60_000 * millisecond
	}
	if line.of.Refused() && nowNs < line.atNs+pauseNs {
		l.unlogged++
		return 0, false
	}
	*line = refusalLine{*r, nowNs}
	unlogged, l.unlogged = l.unlogged, 0
	return unlogged, true
}
