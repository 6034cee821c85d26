package net

import (
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/stages"
	"ledger/wire"
)

// newFullBench is a bench whose port has the places that a full table needs.
func newFullBench(t *testing.T, connections uint32) *bench {
	b := newBench(t, connections, 4*connections)
	b.network.connections = make([]fakeConnection, PortConnectionsMax(&b.limits))
	return b
}

// register lets consensus answer a message of the client as it answers one with a session.
func (b *bench) register(id int, client uint64) {
	b.write(id, pingFrame(client))
	b.pong(true)
}

// pong answers the oldest ping.
func (b *bench) pong(registered bool) {
	e := b.message()
	b.send(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: limits.HeaderBytes, Connection: e.Connection,
		Registered: registered})
}

// Goal: connections that never become clients, whether silent, with half a message or with a ping
// of no session, give way to newcomers, the longest one first; a connection with a registered
// client never does.
func TestStrangersMakeRoom(t *testing.T) {
	b := newFullBench(t, 5)
	client := b.connect()
	b.register(client, 1)
	silent, half := b.connect(), b.connect()
	b.write(half, requestFrame(2, 1, 0)[:255])
	pinged := b.connect()
	b.write(pinged, pingFrame(3))
	b.pong(false)
	last := b.connect()
	want := []int{silent, half, pinged, last}
	for i, victim := range want {
		newcomer := b.connect()
		if b.isOpen(victim) && victim != newcomer {
			t.Fatalf("newcomer %d: connection %d is open still", i, victim)
		}
		if !b.isOpen(newcomer) || !b.isOpen(client) {
			t.Fatalf("newcomer %d: it is open %v, the client %v", i, b.isOpen(newcomer), b.isOpen(client))
		}
		if got := b.stage.Counters.ClosedCount[CauseDisplaced]; got != uint64(i+1) {
			t.Errorf("newcomer %d: %d connections displaced", i, got)
		}
		b.register(newcomer, uint64(10+i))
	}
	// All have a registered client now: the newcomer is refused, counted and logged.
	logs := len(b.logs)
	if newcomer := b.connect(); b.isOpen(newcomer) {
		t.Error("a newcomer stays although all connections have registered clients")
	}
	if b.stage.Counters.ClosedCount[CauseRefused] != 1 || b.stage.Counters.ConnectionsCount != 5 {
		t.Errorf("%d refused, %d open", b.stage.Counters.ClosedCount[CauseRefused], b.stage.Counters.ConnectionsCount)
	}
	if len(b.logs) != logs+1 || b.logs[logs].Kind != LogRefused || b.logs[logs].Limit != 5 || b.logs[logs].Refused != 1 {
		t.Errorf("logged %+v", b.logs[logs:])
	}
	// A client that loses its session counts as a stranger from then on.
	b.write(client, pingFrame(1))
	b.pong(false)
	newcomer := b.connect()
	if !b.isOpen(newcomer) || b.stage.Counters.ClosedCount[CauseDisplaced] != uint64(len(want)+1) {
		t.Errorf("newcomer open %v, displaced %d", b.isOpen(newcomer), b.stage.Counters.ClosedCount[CauseDisplaced])
	}
}

// fillWithClients opens connections of clients 1, 2, ... that have sessions, until the table is
// full.
func (b *bench) fillWithClients() (ids []int) {
	for client := range uint64(b.limits.ConnectionsMax) {
		id := b.connect()
		b.register(id, client+1)
		ids = append(ids, id)
	}
	return ids
}

// displaces connects a newcomer and asserts which connection is closed for it: the newcomer's own
// if want is -1.
func (b *bench) displaces(what string, want int, open ...int) (newcomer int) {
	b.t.Helper()
	newcomer = b.connect()
	if b.isOpen(newcomer) != (want >= 0) || want >= 0 && want != newcomer && b.isOpen(want) {
		b.t.Fatalf("%s: the newcomer is open %v, connection %d is to be closed for it", what, b.isOpen(newcomer), want)
	}
	for _, id := range open {
		if !b.isOpen(id) {
			b.t.Fatalf("%s: connection %d is closed", what, id)
		}
	}
	return newcomer
}

// Goal: a client whose session made room for another one's counts as a stranger at once, although
// it sends nothing; so does one that gets its last reply after its session has ended.
func TestClientWithoutSessionMakesRoom(t *testing.T) {
	b := newFullBench(t, 3)
	ids := b.fillWithClients()
	b.displaces("all have sessions", -1, ids...)
	b.send(stages.ConsensusToNet{Kind: stages.NetSessionEnded, Client: wire.U128From(2)})
	b.send(stages.ConsensusToNet{Kind: stages.NetSessionEnded, Client: wire.U128From(77)}) // it has no connection
	newcomer := b.displaces("client 2 has lost its session", ids[1], ids[0], ids[2])
	b.register(newcomer, 4)
	reply := b.slots.Get(stages.SlotReply)
	b.send(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: 256, Client: wire.U128From(3)})
	b.displaces("client 3 got its last reply", ids[2], ids[0], newcomer)
}

// Goal: a client whose request is at consensus, its register above all, is not closed for
// newcomers until the request is answered or ignored; a repetition that is ignored changes
// nothing.
func TestRegisterInFlightStays(t *testing.T) {
	b := newFullBench(t, 3)
	asking := b.connect()
	b.write(asking, requestFrame(1, 1, 256))
	b.connect()
	b.connect()
	flood := func(what string) {
		t.Helper()
		for range 10 {
			newcomer := b.connect()
			if !b.isOpen(asking) || !b.isOpen(newcomer) {
				t.Fatalf("%s: the asking connection is open %v, the newcomer %v", what, b.isOpen(asking), b.isOpen(newcomer))
			}
		}
	}
	flood("a register is at consensus")
	first := b.message()
	b.write(asking, requestFrame(1, 1, 256))
	ignored := free(b.message())
	ignored.Ignored = true
	b.send(ignored)
	flood("its repetition is ignored")
	b.send(free(first)) // its bytes are in the log
	flood("its slot is free")
	reply := b.slots.Get(stages.SlotReply)
	b.send(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: 256, Client: wire.U128From(1), Registered: true})
	flood("it is registered")
	b.send(stages.ConsensusToNet{Kind: stages.NetSessionEnded, Client: wire.U128From(1)})

	// Requests that consensus ignores protect a connection only as long as they are there.
	b = newFullBench(t, 2)
	asking = b.connect()
	b.write(asking, requestFrame(1, 1, 0))
	ignored = free(b.message())
	ignored.Ignored = true
	other := b.connect()
	b.displaces("the request is at consensus", other, asking)
	b.send(ignored)
	b.displaces("the request was ignored", asking)

	// An eviction is an answer too, and leaves the client without a session.
	b = newFullBench(t, 2)
	asking = b.connect()
	b.write(asking, requestFrame(1, 1, 0))
	e := b.message()
	b.connect()
	b.send(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes, Client: wire.U128From(1)})
	if b.stage.routes.of(wire.U128From(1)).asksCount != 0 {
		t.Error("an evicted client's request still counts")
	}
}

// Goal: a client with a session keeps one connection for itself, not the whole table.
func TestOneClientDoesNotFillTheTable(t *testing.T) {
	b := newFullBench(t, 4)
	var ids []int
	for range 4 {
		id := b.connect()
		b.write(id, requestFrame(1, 1, 0))
		b.send(free(b.message()))
		reply := b.slots.Get(stages.SlotReply)
		b.send(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: 256, Client: wire.U128From(1), Registered: true})
		b.pop() // the lease
		ids = append(ids, id)
	}
	for i, victim := range ids[:3] {
		b.register(b.displaces("a newcomer", victim, ids[3]), uint64(10+i))
	}
	b.displaces("all have sessions of their own", -1, ids[3])
}

// Goal: what a flood of newcomers writes is bounded, and the lines tell how many connections they
// stand for.
func TestRefusedLogIsBounded(t *testing.T) {
	b := newFullBench(t, 2)
	const floods = 1000
	for range floods + 2 {
		b.connect()
	}
	if len(b.logs) != LogsPerSecondMax {
		t.Errorf("%d lines in one second, want %d", len(b.logs), LogsPerSecondMax)
	}
	b.nowNs += 2_000_000_000
	b.turn()
	b.connect()
	sum := uint64(0)
	for _, e := range b.logs {
		sum += e.Refused
	}
	if sum != floods+1 || b.stage.Counters.ClosedCount[CauseDisplaced] != floods+1 {
		t.Errorf("lines stand for %d, displaced %d, want %d", sum, b.stage.Counters.ClosedCount[CauseDisplaced], floods+1)
	}
}

// Goal: a connection has FirstMessageNs for its first whole message, however its bytes drip;
// afterwards it may be silent. While it has a deadline, that is the driver's timer.
func TestFirstMessageIsDue(t *testing.T) {
	b := newFullBench(t, 4)
	b.nowNs = 5
	if timer := b.driver.NextTurnNs(); timer != stages.NoTurn {
		t.Errorf("without connections, a turn is wanted at %d", timer)
	}
	silent, dripping, speaking := b.connect(), b.connect(), b.connect()
	b.write(speaking, pingFrame(1))
	b.pong(false)
	frame := requestFrame(2, 1, 0)
	for i := range 255 {
		b.nowNs = 5 + uint64(i)*(FirstMessageNs/256)
		b.write(dripping, frame[i:i+1])
	}
	b.nowNs = 5 + FirstMessageNs - 1
	b.settle()
	if !b.isOpen(silent) || !b.isOpen(dripping) {
		t.Fatal("closed before the time is over")
	}
	if timer := b.driver.NextTurnNs(); timer != b.nowNs+1 {
		t.Errorf("a turn is wanted at %d, want it at %d", timer, b.nowNs+1)
	}
	b.nowNs++
	b.settle()
	if b.isOpen(silent) || b.isOpen(dripping) || !b.isOpen(speaking) {
		t.Errorf("open: silent %v, dripping %v, speaking %v", b.isOpen(silent), b.isOpen(dripping), b.isOpen(speaking))
	}
	if got := b.stage.Counters.ClosedCount[CauseSilent]; got != 2 || len(b.logs) != 2 {
		t.Errorf("%d closed as silent, %d lines, want 2 and 2", got, len(b.logs))
	}
	if timer := b.driver.NextTurnNs(); timer != stages.NoTurn {
		t.Errorf("without silent connections, a turn is wanted at %d", timer)
	}
	b.nowNs += 100 * FirstMessageNs
	b.settle()
	if !b.isOpen(speaking) {
		t.Error("a connection that has spoken is closed for its silence")
	}
}

// Goal: a peer of another cluster is logged once for its address, with both ids, and counted each
// time.
func TestMismatchLoggedOnce(t *testing.T) {
	b := newFullBench(t, 4)
	frame := changed(pingFrame(1), func(h *wire.Header) { h.SetCluster(wire.U128From(8)) })
	for range 3 {
		b.write(b.connect(), frame)
	}
	if len(b.logs) != 1 || b.logs[0].Kind != LogMismatch || b.logs[0].Cluster != wire.U128From(8) ||
		b.logs[0].Ours != wire.U128From(testCluster) {
		t.Errorf("logged %+v", b.logs)
	}
	if b.stage.Counters.ClusterMismatches != 3 {
		t.Errorf("counted %d", b.stage.Counters.ClusterMismatches)
	}
}

// Goal: an eviction is logged with its reason, the client and its address.
func TestEvictionLogged(t *testing.T) {
	b := newFullBench(t, 4)
	id := b.connect()
	b.write(id, pingFrame(9))
	e := b.message()
	h := wire.HeaderOf(b.slots.Bytes(e.Slot)[:limits.HeaderBytes])
	wire.BuildEviction(h, &wire.ServerFields{Cluster: wire.U128From(testCluster), Release: 1}, wire.U128From(9), wire.EvictionNoSession)
	b.send(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: limits.HeaderBytes, Connection: e.Connection,
		Client: wire.U128From(9)})
	if len(b.logs) != 1 || b.logs[0].Kind != LogEvicted || b.logs[0].Eviction != wire.EvictionNoSession ||
		b.logs[0].Client != wire.U128From(9) || b.logs[0].Peer[15] != byte(id) {
		t.Errorf("logged %+v", b.logs)
	}
}

// Goal: tries to accept that fail are all counted, reported at once and then at most every
// AcceptLogEveryNs; the lines stand for all of them. They harm no connection.
func TestAcceptFailuresAreReported(t *testing.T) {
	b := newFullBench(t, 4)
	b.nowNs = 1
	id := b.connect()
	const tries = 250 // ten a second
	for i := range tries {
		b.network.events = append(b.network.events, ports.NetworkEvent{Kind: ports.NetworkAcceptFailed, Bytes: -int32(unix.EMFILE)})
		b.turn()
		if i == 0 && len(b.logs) != 1 {
			t.Fatalf("the first failure is reported by %+v", b.logs)
		}
		b.nowNs += 100_000_000
	}
	sum := uint64(0)
	for _, e := range b.logs {
		if e.Kind != LogAcceptFailed || e.Errno != int32(unix.EMFILE) {
			t.Errorf("logged %+v", e)
		}
		sum += e.Failures
	}
	if len(b.logs) != 3 || sum != 201 || b.stage.Counters.AcceptFailures != tries {
		t.Errorf("%d lines stand for %d failures, want 3 and 201; %d are counted", len(b.logs), sum, b.stage.Counters.AcceptFailures)
	}
	b.register(id, 1)
	if !b.isOpen(id) {
		t.Error("a connection is closed, because another one could not be accepted")
	}
}
