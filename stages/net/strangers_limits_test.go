package net

import (
	"testing"

	"ledger/limits"
	"ledger/wire"
)

// v4 and v6 are addresses of clients, as the port tells them.
func v4(a, b, c, d byte) [18]byte {
	return [18]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}

func v6(network, host byte) [18]byte { return [18]byte{0: 0x20, 7: network, 15: host} }

func (b *bench) connectFrom(address [18]byte) int {
	b.network.from = address
	return b.connect()
}

// Goal: an address that opens ever new connections displaces its own ones, and not the older one of
// another address that has not got to its first message yet.
func TestAddressDisplacesItself(t *testing.T) {
	for _, replicas := range []uint32{1, 3} {
		l := limits.Production()
		l.ConnectionsMax, l.ReplicasCount = 4, replicas
		b := newBenchWith(t, testCluster, 4*(4+l.StrangersRoom()), l)
		b.network.connections = make([]fakeConnection, PortConnectionsMax(&l))
		client := b.connectFrom(v4(10, 0, 0, 1))
		slow := b.connectFrom(v4(10, 0, 0, 2))
		for i := range 100 {
			flooder := b.connectFrom(v6(1, byte(i))) // other addresses of one network
			if !b.isOpen(flooder) || !b.isOpen(client) || !b.isOpen(slow) {
				t.Fatalf("%d replicas, connection %d: it is open %v, those of others %v and %v", replicas, i, b.isOpen(flooder),
					b.isOpen(client), b.isOpen(slow))
			}
		}
		b.register(client, 1)
		b.register(slow, 2)
		if got, room := b.stage.Counters.ClosedCount[CauseDisplaced], 4+l.StrangersRoom()-2; got != uint64(100-room) {
			t.Errorf("%d replicas: %d connections were displaced, want %d", replicas, got, 100-room)
		}
		b.checkKinds()
	}
}

// Goal: an address has as many clients as it may have, and as many strangers. A further one takes
// the place of the one that has been longest without a registered client, or is closed. Other
// addresses and this machine are not concerned. Each is counted, and there are lines.
func TestConnectionsPerAddress(t *testing.T) {
	l := limits.Production()
	l.ConnectionsMax, l.ConnectionsPerAddress = 32, 2
	b := newBenchWith(t, testCluster, 4*32, l)
	b.network.connections = make([]fakeConnection, PortConnectionsMax(&l))
	host := v4(10, 0, 0, 1)
	// Of three clients, the one without a session goes, although it is older than the newcomer.
	b.register(b.connectFrom(host), 1)
	without := b.connectFrom(host)
	b.write(without, pingFrame(2))
	b.pong(false)
	b.register(b.connectFrom(host), 3)
	if b.isOpen(without) || b.stage.Counters.ClosedCount[CauseAddress] != 1 {
		t.Fatalf("a client without a session is open %v; %d closed", b.isOpen(without), b.stage.Counters.ClosedCount[CauseAddress])
	}
	// Two registered clients: a further one is refused when its first message has come.
	third := b.connectFrom(host)
	b.write(third, pingFrame(4))
	b.noEvent()
	if b.isOpen(third) || b.stage.Counters.ClosedCount[CauseAddress] != 2 {
		t.Fatalf("a third client is open %v; %d closed", b.isOpen(third), b.stage.Counters.ClosedCount[CauseAddress])
	}
	last := b.logs[len(b.logs)-1]
	if last.Kind != LogRefused || last.Limit != 2 || last.Reason == "" || [16]byte(last.Peer[:16]) != [16]byte(host[:16]) {
		t.Errorf("logged %+v", last)
	}
	// Of three strangers the oldest goes; the clients stay.
	first, second := b.connectFrom(host), b.connectFrom(host)
	newest := b.connectFrom(host)
	if b.isOpen(first) && first != newest || !b.isOpen(second) || !b.isOpen(newest) {
		t.Errorf("of three strangers, the oldest is open %v, the others %v and %v", b.isOpen(first), b.isOpen(second), b.isOpen(newest))
	}
	// A client that comes back on another connection is taken, and the earlier one is replaced.
	b.register(second, 1)
	if !b.isOpen(second) {
		t.Error("a client that comes back is closed")
	}
	// One network of IPv6 is one address, and two are two.
	before := b.stage.Counters.ClosedCount[CauseAddress]
	for host := range byte(3) {
		b.connectFrom(v6(1, host))
	}
	for host := range byte(2) {
		b.connectFrom(v6(2, host))
	}
	if got := b.stage.Counters.ClosedCount[CauseAddress] - before; got != 1 {
		t.Errorf("of five connections in two networks, %d are closed", got)
	}
	for range 4 {
		for _, loopback := range [][18]byte{v4(127, 0, 0, 1), v4(127, 9, 9, 9), {15: 1}} {
			b.connectFrom(loopback)
		}
	}
	if got := b.stage.Counters.ClosedCount[CauseAddress] - before; got != 1 {
		t.Errorf("connections from this machine are limited: %d closed", got-1)
	}
	b.checkKinds()
}

// Goal: of a stranger, no more than a page is received before its header is right. The bytes of
// larger first messages are bounded for all strangers together: a further one waits, and goes on
// when one has become a client. One that stalls for a second while another waits is closed.
func TestUnidentifiedBytes(t *testing.T) {
	l := limits.Production()
	l.ConnectionsMax = 64
	b := newBenchWith(t, testCluster, 4*64, l)
	b.network.connections = make([]fakeConnection, PortConnectionsMax(&l))
	const body = wire.MessageBytesMax - wire.HeaderBytes
	room := int(l.StrangerBytesMax() / wire.MessageBytesMax)
	var holders []int
	for client := range room {
		id := b.connect()
		if got := len(b.network.connections[id].receive); got != strangerBytesFree {
			t.Fatalf("a stranger may send %d bytes at once", got)
		}
		b.write(id, requestFrame(uint64(client+1), 1, body)[:5000])
		holders = append(holders, id)
	}
	if got := b.stage.Counters.StrangerBytes; got != l.StrangerBytesMax() || b.stage.Counters.StrangerWaits != 0 {
		t.Fatalf("%d bytes are held, %d had to wait", got, b.stage.Counters.StrangerWaits)
	}
	// Small first messages pass by.
	b.register(b.connect(), 100)
	waiting := [2]int{b.connect(), b.connect()}
	for i, id := range waiting {
		b.write(id, requestFrame(uint64(200+i), 1, body))
		if c := &b.network.connections[id]; c.receive != nil || len(c.toServer) != wire.MessageBytesMax-strangerBytesFree {
			t.Fatalf("a stranger beyond the bound has %d bytes left to send", len(c.toServer))
		}
	}
	// A holder that becomes a client makes room for the one that has waited longest.
	b.write(holders[0], requestFrame(1, 1, body)[5000:])
	b.checkMessage(b.message(), requestFrame(1, 1, body))
	b.checkMessage(b.message(), requestFrame(200, 1, body))
	b.checkMessage(b.message(), requestFrame(201, 1, body)) // behind it, for the same room
	b.noEvent()
	// Now one waits, and nobody goes on: after a second the oldest holder is closed, no earlier.
	more := b.connect()
	b.write(more, requestFrame(301, 1, body)[:5000])
	late := b.connect()
	b.write(late, requestFrame(302, 1, body))
	b.noEvent()
	b.nowNs += StrangerStallNs - 1
	if b.settle(); !b.isOpen(holders[1]) {
		t.Fatal("a holder is closed too early")
	}
	b.nowNs++
	b.settle()
	b.checkMessage(b.message(), requestFrame(302, 1, body))
	if got := b.stage.Counters.ClosedCount[CauseStalled]; got == 0 || b.stage.bytesWaiters != 0 {
		t.Errorf("%d stalled connections are closed, %d wait", got, b.stage.bytesWaiters)
	}
	if last := b.logs[len(b.logs)-1]; last.Kind != LogFault || !last.Closed {
		t.Errorf("logged %+v", last)
	}
	// What is held comes back with the connections.
	b.nowNs += FirstMessageNs
	b.settle()
	if got := b.stage.Counters.StrangerBytes; got != 0 {
		t.Errorf("%d bytes are held by nobody", got)
	}
	b.checkKinds()
}
