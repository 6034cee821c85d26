// Package connections is what every ports.Network keeps of its connections: which ids are free, in
// which state the others are, and the events that wait to be polled.
//
//	Take --> Connecting --Opened--> Open --Closed--> Closing
//	  ^  `----------------------------^                 | NetworkClosed is polled
//	  +------------------- Free <-----------------------+ (or a failed NetworkConnected)
//
// In:     what the network learns from the kernel, and its caller's Connect and Close.
// Out:    ids, and events in the order in which they were pushed.
// Owns:   its slices and queue; nothing is allocated after New.
// Limits: the number of connections given to New, and four events of each: accepted or connected,
// received, sent, closed.
// Faults: none. One thread owns a table.
package connections

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/internal/ports/fifo"
)

// State of a connection.
type State uint8

const (
	Free State = iota
	Connecting
	Open
	Closing // until NetworkClosed has been polled
)

// Table has the state of each connection.
type Table struct {
	states      []State
	isAccepted  []bool // of those that are not free: Connect has not opened them
	free        []ports.ConnectionID
	acceptedMax uint32 // the others are reserved for Connect
	accepted    uint32
	events      *fifo.Queue[ports.NetworkEvent]
	acceptErrno int32 // of the latest accept that failed, until it has been polled
}

// New returns a table of free connections. connectsReserved of them are only for Connect.
func New(connectionsMax, connectsReserved uint32) *Table {
	assert.That(connectionsMax > 0, "a network has connections")
	assert.AtMost(connectsReserved, connectionsMax, "connections that are reserved for Connect")
	t := &Table{
		states:      make([]State, connectionsMax),
		isAccepted:  make([]bool, connectionsMax),
		free:        make([]ports.ConnectionID, 0, connectionsMax),
		acceptedMax: connectionsMax - connectsReserved,
		events:      fifo.New[ports.NetworkEvent](4 * connectionsMax),
	}
	for id := connectionsMax; id > 0; id-- {
		t.free = append(t.free, ports.ConnectionID(id-1))
	}
	return t
}

// IsFull tells whether no connection is free.
func (t *Table) IsFull() bool { return len(t.free) == 0 }

// MayAccept tells whether a connection is free that is not reserved for Connect.
func (t *Table) MayAccept() bool { return len(t.free) > 0 && t.accepted < t.acceptedMax }

// State of a connection.
func (t *Table) State(id ports.ConnectionID) State { return t.states[id] }

// Take gives a free connection a new life, as Connecting or, for one that was accepted, as Open.
func (t *Table) Take(state State) ports.ConnectionID {
	id := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	assert.That(t.states[id] == Free, "a connection that is taken is free")
	t.states[id], t.isAccepted[id] = state, state == Open
	if t.isAccepted[id] {
		t.accepted++
		assert.AtMost(t.accepted, t.acceptedMax, "accepted connections")
	}
	return id
}

// GiveBack frees a connection of which nobody has heard.
func (t *Table) GiveBack(id ports.ConnectionID) {
	t.states[id] = Free
	if t.isAccepted[id] {
		t.accepted--
	}
	t.free = append(t.free, id)
}

// Opened ends Connecting.
func (t *Table) Opened(id ports.ConnectionID) { t.states[id] = Open }

// Closed begins Closing: of what is pushed and not polled, only NetworkClosed still counts.
func (t *Table) Closed(id ports.ConnectionID) {
	assert.That(t.states[id] == Open || t.states[id] == Connecting, "a connection is closed once")
	t.states[id] = Closing
}

// Push adds an event.
func (t *Table) Push(event ports.NetworkEvent) { t.events.Push(event) }

// AcceptFailed adds the event of an accept that failed. Of several between two polls the latest
// counts.
func (t *Table) AcceptFailed(errno int32) { t.acceptErrno = errno }

// EventsCount is how many events wait to be polled.
func (t *Table) EventsCount() uint32 {
	if t.acceptErrno != 0 {
		return t.events.Count() + 1
	}
	return t.events.Count()
}

// Poll is ports.Network's; isFreed tells whether a connection became free. It becomes free when its
// last event is polled, and not before. So an event of the old connection is never taken for one of
// a new connection with the same id.
func (t *Table) Poll(out []ports.NetworkEvent) (count int, isFreed bool) {
	if t.acceptErrno != 0 && len(out) > 0 {
		out[0] = ports.NetworkEvent{Kind: ports.NetworkAcceptFailed, Bytes: -t.acceptErrno}
		t.acceptErrno, count = 0, 1
	}
	for count < len(out) && t.events.Count() > 0 {
		event := t.events.Pop()
		if t.states[event.Connection] == Closing && event.Kind != ports.NetworkClosed {
			continue
		}
		if event.Kind == ports.NetworkClosed || (event.Kind == ports.NetworkConnected && event.Bytes < 0) {
			t.GiveBack(event.Connection)
			isFreed = true
		}
		out[count] = event
		count++
	}
	return count, isFreed
}
