package net

import (
	"testing"

	"ledger/limits"
)

// newClusterBench is a bench of a replica in a cluster of three.
func newClusterBench(t *testing.T, connections uint32) *bench {
	l := limits.Production()
	l.ConnectionsMax, l.ReplicasCount = connections, 3
	b := newBenchWith(t, testCluster, 4*(connections+l.StrangersRoom()), l)
	b.network.connections = make([]fakeConnection, PortConnectionsMax(&b.limits))
	return b
}

// checkKinds compares the counts of the kinds with the connections.
func (b *bench) checkKinds() {
	b.t.Helper()
	var counts [kindsCount]uint32
	for i := range b.stage.connections {
		if c := &b.stage.connections[i]; c.state == connectionOpen {
			counts[c.kind]++
		}
	}
	if counts != b.stage.kindCounts {
		b.t.Fatalf("%v connections of each kind, counted %v", counts, b.stage.kindCounts)
	}
}

// Goal: in a cluster, a newcomer is accepted although registered clients have all their places. Of
// more strangers than have room, the oldest gives way, and no client does.
func TestStrangersHaveRoom(t *testing.T) {
	b := newClusterBench(t, 4)
	clients := b.fillWithClients()
	var strangers []int
	for i := range 3 * int(b.limits.StrangersRoom()) {
		newcomer := b.connect()
		if !b.isOpen(newcomer) {
			t.Fatalf("newcomer %d is refused", i)
		}
		if strangers = append(strangers, newcomer); len(strangers) > int(b.limits.StrangersRoom()) {
			if b.isOpen(strangers[0]) && strangers[0] != newcomer {
				t.Fatalf("newcomer %d: the oldest stranger is open", i)
			}
			strangers = strangers[1:]
		}
		for _, id := range append(strangers, clients...) {
			if !b.isOpen(id) {
				t.Fatalf("newcomer %d: connection %d is closed", i, id)
			}
		}
		b.checkKinds()
	}
}

// Goal: clients do not take the room of strangers. A stranger that becomes a client while all
// clients are registered is refused; otherwise the client gives way that has been longest without a
// session.
func TestClientsLeaveRoomForStrangers(t *testing.T) {
	b := newClusterBench(t, 4)
	clients := b.fillWithClients()
	late := b.connect()
	b.write(late, pingFrame(100))
	if b.isOpen(late) || b.stage.Counters.ClosedCount[CauseRefused] != 1 {
		t.Fatalf("a fifth client is open %v, refused %d", b.isOpen(late), b.stage.Counters.ClosedCount[CauseRefused])
	}
	b.noEvent() // its message is not told
	b.checkKinds()
	// Two clients lose their sessions, the second one first.
	for _, client := range []uint64{2, 1} {
		b.write(clients[client-1], pingFrame(client))
		b.pong(false)
	}
	for i, victim := range []int{clients[1], clients[0]} {
		stranger := b.connect()
		if !b.isOpen(victim) {
			t.Fatalf("a client is closed for stranger %d", i)
		}
		b.register(stranger, uint64(200+i))
		if !b.isOpen(stranger) || b.isOpen(victim) && victim != stranger {
			t.Fatalf("client %d: it is open %v, the one without a session %v", i, b.isOpen(stranger), b.isOpen(victim))
		}
		b.checkKinds()
	}
	if !b.isOpen(clients[2]) || !b.isOpen(clients[3]) || b.stage.Counters.ClosedCount[CauseDisplaced] != 2 {
		t.Errorf("clients are open %v and %v, %d displaced", b.isOpen(clients[2]), b.isOpen(clients[3]),
			b.stage.Counters.ClosedCount[CauseDisplaced])
	}
}

// Goal: a client with a session that connects again is taken, although clients have all their
// places: its previous connection gives way.
func TestClientConnectsAgain(t *testing.T) {
	b := newClusterBench(t, 4)
	clients := b.fillWithClients()
	again := b.connect()
	b.write(again, requestFrame(3, 1, 0))
	if !b.isOpen(again) || b.isOpen(clients[2]) {
		t.Errorf("the new connection is open %v, the previous one %v", b.isOpen(again), b.isOpen(clients[2]))
	}
	b.message()
	for _, id := range []int{clients[0], clients[1], clients[3]} {
		if !b.isOpen(id) {
			t.Errorf("connection %d of another client is closed", id)
		}
	}
	b.checkKinds()
}

// Goal: places are counted by the number of replicas; a cluster of one has none of them.
func TestPlacesOfPort(t *testing.T) {
	for replicas := uint32(1); replicas <= limits.ReplicasMax; replicas++ {
		l := limits.Production()
		l.ReplicasCount = replicas
		wantMax, wantReserved := l.ConnectionsMax+spareConnections, uint32(0)
		if replicas > 1 {
			wantMax, wantReserved = wantMax+16+3*(replicas-1)+2*8, replicas-1
		}
		if got := PortConnectionsMax(&l); got != wantMax {
			t.Errorf("%d replicas: a port of %d connections, want %d", replicas, got, wantMax)
		}
		if got := PortConnectsReserved(&l); got != wantReserved {
			t.Errorf("%d replicas: %d connections reserved, want %d", replicas, got, wantReserved)
		}
	}
}
