package connections

import (
	"slices"
	"testing"

	"ledger/internal/ports"
)

// polled takes all events.
func polled(table *Table) (events []ports.NetworkEvent, isFreed bool) {
	var out [8]ports.NetworkEvent
	count, isFreed := table.Poll(out[:])
	return out[:count], isFreed
}

func kinds(events []ports.NetworkEvent) (list []ports.NetworkEventKind) {
	for _, event := range events {
		list = append(list, event.Kind)
	}
	return list
}

// Goal: a connection is free again when its last event has been polled, not before; what was not
// polled before its Close never appears.
func TestLives(t *testing.T) {
	table := New(2, 0)
	first, second := table.Take(Connecting), table.Take(Open)
	if first == second || !table.IsFull() || table.State(first) != Connecting || table.State(second) != Open {
		t.Fatalf("connections %d in state %d, %d in state %d", first, table.State(first), second, table.State(second))
	}
	table.Opened(first)
	table.Push(ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: first})
	table.Push(ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: second, Bytes: 5})
	events, isFreed := polled(table)
	if want := []ports.NetworkEventKind{ports.NetworkConnected, ports.NetworkReceived}; !slices.Equal(kinds(events), want) || isFreed {
		t.Fatalf("events %+v, freed %v; want %v", events, isFreed, want)
	}
	table.Push(ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: first, Bytes: 5})
	table.Closed(first)
	table.Push(ports.NetworkEvent{Kind: ports.NetworkSent, Connection: first, Bytes: 5})
	if events, _ := polled(table); len(events) > 0 || !table.IsFull() {
		t.Fatalf("events %+v of a connection that is closed", events)
	}
	table.Push(ports.NetworkEvent{Kind: ports.NetworkClosed, Connection: first})
	if table.EventsCount() != 1 || !table.IsFull() {
		t.Fatalf("%d events, full %v before the last event is polled", table.EventsCount(), table.IsFull())
	}
	if events, isFreed := polled(table); len(events) != 1 || !isFreed || table.IsFull() || table.State(first) != Free {
		t.Fatalf("events %+v, freed %v", events, isFreed)
	}
	if again := table.Take(Open); again != first || !table.IsFull() {
		t.Fatalf("connection %d is free, want %d", again, first)
	}
	table.GiveBack(first)
	if table.IsFull() || table.EventsCount() != 0 {
		t.Fatal("a connection that is given back is free at once")
	}
}

// Goal: accepted connections leave the reserved ones to Connect, which may use all. The place of an
// accepted connection may be accepted again, that of a Connect only within the limit.
func TestReserved(t *testing.T) {
	table := New(3, 1)
	accepted := []ports.ConnectionID{table.Take(Open), table.Take(Open)}
	if table.MayAccept() || table.IsFull() {
		t.Fatalf("may accept %v, full %v with the reserved connection free", table.MayAccept(), table.IsFull())
	}
	connect := table.Take(Connecting)
	if table.MayAccept() || !table.IsFull() {
		t.Fatal("a connection is free that is not there")
	}
	end := func(id ports.ConnectionID) {
		table.Closed(id)
		table.Push(ports.NetworkEvent{Kind: ports.NetworkClosed, Connection: id})
		polled(table)
	}
	table.Opened(connect)
	end(connect)
	if table.MayAccept() {
		t.Fatal("the place of a Connect goes to an accepted connection beyond their limit")
	}
	table.Take(Connecting)
	end(accepted[0])
	if !table.MayAccept() {
		t.Fatal("the place of an accepted connection is not free for the next")
	}
	table.Take(Connecting) // more than are reserved
	if table.MayAccept() || !table.IsFull() {
		t.Fatal("a connection is free that is not there")
	}
	end(accepted[1])
	if !table.MayAccept() {
		t.Fatal("one connection is free, and none is accepted")
	}
}

// Goal: a Connect that failed frees its connection with its only event.
func TestFailedConnect(t *testing.T) {
	table := New(1, 0)
	id := table.Take(Connecting)
	table.Push(ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: id, Bytes: -111})
	if events, isFreed := polled(table); len(events) != 1 || !isFreed || table.IsFull() {
		t.Fatalf("events %+v, freed %v", events, isFreed)
	}
}

// Goal: the failure of an accept is told once, before the events, the latest of several.
func TestFailedAccept(t *testing.T) {
	table := New(1, 0)
	table.Push(ports.NetworkEvent{Kind: ports.NetworkAccepted, Connection: table.Take(Open)})
	table.AcceptFailed(23)
	table.AcceptFailed(24)
	if table.EventsCount() != 2 {
		t.Fatalf("%d events, want 2", table.EventsCount())
	}
	if count, _ := table.Poll(nil); count != 0 {
		t.Fatal("there was room for no event")
	}
	events, _ := polled(table)
	want := []ports.NetworkEventKind{ports.NetworkAcceptFailed, ports.NetworkAccepted}
	if !slices.Equal(kinds(events), want) || events[0].Bytes != -24 {
		t.Fatalf("events %+v, want %v", events, want)
	}
	if table.EventsCount() != 0 {
		t.Fatalf("%d events are left", table.EventsCount())
	}
}

// Goal: a second Close is our own mistake, and stops the process.
func TestClosedTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second Close went unnoticed")
		}
	}()
	table := New(1, 0)
	id := table.Take(Open)
	table.Closed(id)
	table.Closed(id)
}
