package net

import (
	"bytes"
	"testing"

	"ledger/stages"
	"ledger/wire"
)

func free(e stages.NetToConsensus) stages.ConsensusToNet {
	return stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot}
}

// Goal: each rule of the wire protocol, 1.1 and 2, ends as it says: delivered, skipped, or closed.
func TestVerdicts(t *testing.T) {
	request, ping := requestFrame(1, 1, 128), pingFrame(1)
	cases := []struct {
		name      string
		frame     []byte
		delivered bool
		open      bool
		cause     Cause
	}{
		{"request", request, true, true, 0},
		{"ping", ping, true, true, 0},
		{"request of a megabyte", requestFrame(1, 1, wire.BodyBytesMax), true, true, 0},
		{"body to be hashed", requestFrame(1, 1, bodyHashBytesMin), true, true, 0},
		{"body not to be hashed", requestFrame(1, 1, bodyHashBytesMin-1), true, true, 0},
		{"header checksum", broken(request, 100), false, false, CauseHeader},
		{"body checksum", broken(request, 300), false, false, CauseBody},
		{"command 0", changed(request, func(h *wire.Header) { h.SetCommand(0) }), false, false, CauseHeader},
		{"command of a server", changed(request, func(h *wire.Header) { h.SetCommand(wire.CommandReply) }), false, false, CauseHeader},
		{"command unknown", changed(request, func(h *wire.Header) { h.SetCommand(99) }), false, false, CauseHeader},
		{"size too small", changed(request, func(h *wire.Header) { h.SetSizeBytes(255) }), false, false, CauseHeader},
		{"size too large", changed(request, func(h *wire.Header) { h.SetSizeBytes(wire.MessageBytesMax + 1) }), false, false, CauseHeader},
		{"cluster", changed(request, func(h *wire.Header) { h.SetCluster(wire.U128From(8)) }), false, false, CauseMessage},
		{"client 0", changed(request, func(h *wire.Header) { h.SetRequestClient(wire.U128{}) }), false, false, CauseMessage},
		{"release 0", changed(request, func(h *wire.Header) { h.SetRelease(0) }), false, true, 0},
		{"session 0", changed(request, func(h *wire.Header) { h.SetRequestSession(0) }), false, true, 0},
		{"ping with a view", changed(ping, func(h *wire.Header) { h.SetView(1) }), false, true, 0},
		{"ping of client 0", changed(ping, func(h *wire.Header) { h.SetPingClient(wire.U128{}) }), false, true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, 2, 8)
			id := b.connect()
			b.write(id, c.frame)
			if b.isOpen(id) != c.open {
				t.Errorf("open %v, want %v", b.isOpen(id), c.open)
			}
			if c.delivered {
				b.checkMessage(b.message(), c.frame)
			}
			b.noEvent()
			if !c.open && b.stage.Counters.ClosedCount[c.cause] != 1 {
				t.Errorf("closed by cause: %v, want one of %s", b.stage.Counters.ClosedCount, CauseNames[c.cause])
			}
			if wantLogs := !c.delivered; wantLogs != (len(b.logs) == 1) {
				t.Errorf("%d log entries %v, want one: %v", len(b.logs), b.logs, wantLogs)
			}
			if c.open { // still usable
				b.write(id, ping)
				b.checkMessage(b.message(), ping)
			}
		})
	}
}

// Goal: an oversized message is refused from its header alone, and an incomplete one leaves nothing
// behind.
func TestHeaderAlone(t *testing.T) {
	b := newBench(t, 1, 2)
	id := b.connect()
	b.write(id, changed(requestFrame(1, 1, 0), func(h *wire.Header) { h.SetSizeBytes(wire.MessageBytesMax + 1) }))
	if b.isOpen(id) {
		t.Error("an oversized message is waited for")
	}
	id = b.connect()
	b.write(id, requestFrame(1, 1, 1000)[:900])
	b.network.connections[id].peerClosed = true
	b.settle()
	if b.isOpen(id) || b.stage.heldCount != 0 {
		t.Errorf("open %v and %d slots held after the end of the stream", b.isOpen(id), b.stage.heldCount)
	}
	b.noEvent()
}

// Goal: replies follow the latest connection of their client; a ping takes it over; a second client
// closes.
func TestRoutes(t *testing.T) {
	b := newBench(t, 4, 16)
	x, y := b.connect(), b.connect()
	reply := b.slots.Get(stages.SlotReply)
	copy(b.slots.Bytes(reply)[64:], "reply")
	answer := func(client uint64) (to int) {
		t.Helper()
		for i := range b.network.connections {
			b.network.connections[i].toClient = nil
		}
		b.send(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, OffsetBytes: 64, Bytes: 5, Client: wire.U128From(client)})
		if e := b.pop(); e.Kind != stages.NetSent || e.Slot != reply {
			t.Fatalf("%+v, want NetSent", e)
		}
		b.noEvent()
		for i := range b.network.connections {
			if string(b.network.connections[i].toClient) == "reply" {
				return i
			}
		}
		return -1
	}
	step := func(id int, frame []byte) {
		t.Helper()
		b.write(id, frame)
		b.send(free(b.message()))
	}
	if got := answer(1); got != -1 {
		t.Errorf("a reply without a route went to %d", got)
	}
	step(x, requestFrame(1, 1, 0))
	if got := answer(1); got != x {
		t.Errorf("reply went to %d, want the requests's connection %d", got, x)
	}
	step(y, requestFrame(1, 1, 0))
	if got := answer(1); got != y || !b.isOpen(x) {
		t.Errorf("reply went to %d, want the later connection %d; the earlier stays open: %v", got, y, b.isOpen(x))
	}
	step(x, pingFrame(1))
	if got := answer(1); got != x || b.isOpen(y) {
		t.Errorf("after a ping: reply went to %d, want %d; the other is open: %v", got, x, b.isOpen(y))
	}
	// A request on a third connection moves the route; a ping there closes the confirmed one.
	y = b.connect()
	step(y, requestFrame(1, 2, 0))
	if got := answer(1); got != y || !b.isOpen(x) {
		t.Errorf("reply went to %d, want %d", got, y)
	}
	step(y, pingFrame(1))
	if b.isOpen(x) || !b.isOpen(y) {
		t.Error("the connection that was confirmed earlier stays open")
	}
	// A skipped message makes a route too.
	z := b.connect()
	b.write(z, changed(requestFrame(2, 1, 0), func(h *wire.Header) { h.SetRequestSession(0) }))
	if got := answer(2); got != z {
		t.Errorf("reply went to %d, want %d, where a skipped request came from", got, z)
	}
	// When the route closes, an older confirmed connection is the route again; when all are closed
	// there is none.
	x = b.connect()
	step(x, requestFrame(1, 3, 0))
	b.network.connections[x].peerClosed = true
	b.settle()
	if got := answer(1); got != y {
		t.Errorf("reply went to %d, want the confirmed connection %d", got, y)
	}
	for _, second := range [][]byte{requestFrame(3, 1, 0), pingFrame(3)} {
		x = b.connect()
		step(x, requestFrame(4, 1, 0))
		b.write(x, second)
		b.noEvent()
		if b.isOpen(x) || answer(4) != -1 || answer(3) != -1 {
			t.Error("a second client on one connection is served")
		}
	}
	if got := b.stage.Counters.ClosedCount; got[CauseSecondClient] != 2 || got[CauseReplaced] != 2 {
		t.Errorf("closed by cause: %v", got)
	}
}

// Goal: a pong goes to the connection of its ping, never to a later one with the same index; its
// slot is free at once.
func TestShort(t *testing.T) {
	b := newBench(t, 1, 4)
	id := b.connect()
	b.write(id, pingFrame(1))
	e := b.message()
	pong := func(e stages.NetToConsensus) {
		b.send(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes, Connection: e.Connection})
	}
	pong(e)
	if !bytes.Equal(b.network.connections[id].toClient, pingFrame(1)) {
		t.Error("the answer did not arrive")
	}
	b.write(id, pingFrame(1))
	e = b.message()
	b.network.connections[id].peerClosed = true
	b.settle()
	if again := b.connect(); again != id {
		t.Fatal("the fake reuses indexes")
	}
	pong(e)
	if len(b.network.connections[id].toClient) != 0 || b.stage.Counters.ShortDropped != 1 {
		t.Error("an answer to an earlier connection went to a later one")
	}
	// An eviction follows the route.
	b.write(id, requestFrame(1, 1, 0))
	e = b.message()
	wire.BuildEviction(wire.HeaderOf(b.slots.Bytes(e.Slot)), &wire.ServerFields{Cluster: wire.U128From(testCluster),
		Release: wire.ReleaseOf(0, 17, 9)}, wire.U128From(1), wire.EvictionNoSession)
	b.send(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes, Client: wire.U128From(1)})
	if len(b.network.connections[id].toClient) != wire.HeaderBytes || b.stage.Counters.EvictionsCount != 1 {
		t.Error("the eviction did not arrive")
	}
	if b.stage.lentCount != 0 {
		t.Errorf("%d slots lent, want 0", b.stage.lentCount)
	}
}

// Goal: a client that does not read costs one reply, one send and four short messages, and no
// client slot.
func TestSlowClient(t *testing.T) {
	b := newBench(t, 2, 16)
	id := b.connect()
	b.write(id, requestFrame(1, 1, 0))
	b.send(free(b.message()))
	stuck := func(e stages.ConsensusToNet) {
		b.toNet.PushOne(e)
		for b.turn() {
		}
	}
	first, second := b.slots.Get(stages.SlotReply), b.slots.Get(stages.SlotReply)
	stuck(stages.ConsensusToNet{Kind: stages.NetSend, Slot: first, Bytes: 1 << 20, Client: wire.U128From(1)})
	for range 7 {
		b.network.connections[id].toServer = pingFrame(1)
		b.network.deliver(id, 1<<20)
		b.turn()
		e := b.message()
		stuck(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes, Connection: e.Connection})
	}
	if b.stage.lentCount != 0 || b.stage.Counters.ShortDropped != 3 || b.stage.Counters.ShortCount != 4 {
		t.Errorf("lent %d, short messages %d and %d dropped; want 0, 4, 3", b.stage.lentCount, b.stage.Counters.ShortCount,
			b.stage.Counters.ShortDropped)
	}
	b.noEvent()
	stuck(stages.ConsensusToNet{Kind: stages.NetSend, Slot: second, Bytes: 100, Client: wire.U128From(1)})
	if e := b.pop(); e.Kind != stages.NetSent || e.Slot != second {
		t.Errorf("%+v, want the newer reply back at once", e)
	}
	if b.isOpen(id) {
		t.Error("the connection is open")
	}
	b.noEvent()
	b.settle()
	if e := b.pop(); e.Kind != stages.NetSent || e.Slot != first {
		t.Errorf("%+v, want the older reply back after NetworkClosed", e)
	}
	b.noEvent()
	if b.stage.Counters.ClosedCount[CauseSlow] != 1 || b.stage.Counters.RepliesDropped != 2 {
		t.Errorf("counters %+v", b.stage.Counters)
	}
}

// Goal: without free slots connections are not read; when slots come back those who wait get one
// each, in turn, and nothing is lost.
func TestBackPressure(t *testing.T) {
	const connections, slots, messages = 4, 5, 20
	b := newBench(t, connections, slots)
	var wantNumber [connections]uint32
	for i := range connections {
		b.connect()
		for number := range messages {
			c := &b.network.connections[i]
			c.toServer = append(c.toServer, requestFrame(uint64(i+1), uint32(number+1), 100*i)...)
		}
	}
	b.settle()
	got := 0
	for {
		count := b.fromNet.Len()
		if count == 0 {
			break
		}
		if count > slots {
			t.Fatalf("%d messages in %d slots", count, slots)
		}
		e := b.message()
		h := wire.HeaderOf(b.slots.Bytes(e.Slot))
		client := h.RequestClient().Lo - 1
		wantNumber[client]++
		if h.RequestNumber() != wantNumber[client] {
			t.Fatalf("client %d: request %d, want %d", client+1, h.RequestNumber(), wantNumber[client])
		}
		got++
		b.send(free(e))
		if got > slots && got < 2*messages {
			// In turn: nobody is far ahead of another that waits.
			for i := range wantNumber {
				if wantNumber[i]+uint32(slots)+2 < wantNumber[client] {
					t.Fatalf("requests served: %v", wantNumber)
				}
			}
		}
	}
	if got != connections*messages || b.stage.Counters.SlotWaitsCount == 0 {
		t.Errorf("%d messages, want %d; %d waits", got, connections*messages, b.stage.Counters.SlotWaitsCount)
	}
	if b.stage.lentCount != 0 {
		t.Errorf("%d slots lent", b.stage.lentCount)
	}
}

// Goal: when several slots come back at once, each of those who wait gets one before anybody gets
// two.
func TestTurns(t *testing.T) {
	const connections, slots = 4, 8
	b := newBench(t, connections, slots)
	for range connections {
		b.connect()
	}
	for i := range connections {
		for number := range uint32(20) {
			c := &b.network.connections[i]
			c.toServer = append(c.toServer, requestFrame(uint64(i+1), number+1, 0)...)
		}
	}
	for b.settle(); ; b.settle() {
		for range b.fromNet.Len() {
			b.toNet.PushOne(free(b.message()))
		}
		if b.stage.waiters.Count() < connections {
			break
		}
		// All wait: of the slots that come back now, each gets its share.
		for b.turn() {
		}
		var served [connections + 1]int
		for at := range b.fromNet.Len() {
			e := b.message()
			if client := wire.HeaderOf(b.slots.Bytes(e.Slot)).RequestClient().Lo; at < connections {
				served[client]++
			}
			b.toNet.PushOne(free(e))
		}
		for client, got := range served {
			if got > 1 {
				t.Fatalf("client %d got %d of the first %d slots", client, got, connections)
			}
		}
	}
	if b.stage.Counters.MessagesCount < 20 {
		t.Errorf("%d messages: the test did not reach what it is for", b.stage.Counters.MessagesCount)
	}
}

// Goal: many short messages in one segment cost a bounded number of copies per byte, not a move of
// the rest for each.
func TestCopiesAreBounded(t *testing.T) {
	for _, sizes := range [][]int{{0}, {0, 0, 0, 100_000}, {300_000, 0, 400_000}, {128, 5000}, {1 << 19, 1 << 18}} {
		b := newBench(t, 1, 3)
		id := b.connect()
		var stream []byte
		for number := uint32(1); len(stream) < 3<<20; number++ {
			stream = append(stream, requestFrame(1, number, sizes[int(number)%len(sizes)])...)
		}
		b.network.connections[id].toServer = bytes.Clone(stream)
		received := make([]byte, 0, len(stream))
		for b.settle(); b.fromNet.Len() > 0; {
			e := b.message()
			received = append(received, b.slots.Bytes(e.Slot)[:e.Bytes]...)
			b.send(free(e))
		}
		if !bytes.Equal(received, stream) {
			t.Errorf("sizes %v: %d bytes arrived, want %d", sizes, len(received), len(stream))
		}
		if copied := b.stage.Counters.CopiedBytes; copied > 3*uint64(len(stream)) {
			t.Errorf("sizes %v: %d bytes copied of %d", sizes, copied, len(stream))
		}
	}
}

// Goal: a client that waits for its replies is never copied.
func TestNoCopyInTurn(t *testing.T) {
	b := newBench(t, 1, 2)
	id := b.connect()
	for number := range uint32(5) {
		frame := requestFrame(1, number+1, wire.BodyBytesMax)
		b.write(id, frame[:1000], frame[1000:])
		e := b.message()
		b.checkMessage(e, frame)
		b.send(free(e))
	}
	if b.stage.Counters.CopiedBytes != 0 {
		t.Errorf("%d bytes copied", b.stage.Counters.CopiedBytes)
	}
}

// Goal: peers cannot fill the log: one entry for each connection, and so many in a second.
func TestLogIsBounded(t *testing.T) {
	b := newBench(t, 1, 2)
	for range 3 * LogsPerSecondMax {
		id := b.connect()
		b.write(id, changed(pingFrame(1), func(h *wire.Header) { h.SetView(1) }), broken(pingFrame(1), 20))
	}
	if len(b.logs) != LogsPerSecondMax || b.stage.Counters.LogsSuppressed != 2*LogsPerSecondMax {
		t.Errorf("%d entries, %d suppressed", len(b.logs), b.stage.Counters.LogsSuppressed)
	}
	if b.logs[0].Closed || b.logs[0].Reason == "" {
		t.Errorf("first entry %+v, want the skipped ping", b.logs[0])
	}
	b.nowNs += 1_000_000_000
	b.turn()
	b.write(b.connect(), broken(pingFrame(1), 20))
	if len(b.logs) != LogsPerSecondMax+1 {
		t.Errorf("%d entries a second later", len(b.logs))
	}
}

// Goal: a step allocates nothing.
func TestNoAllocation(t *testing.T) {
	b := newBench(t, 2, 8)
	id := b.connect()
	reply := b.slots.Get(stages.SlotReply)
	frame := append(pingFrame(1), requestFrame(1, 1, 40_000)...)
	requests := make([]stages.ConsensusToNet, 0, 8)
	var sendCopy, toClient []byte
	round := func() {
		c := &b.network.connections[id]
		c.toServer, c.sendCopy, c.toClient = frame, sendCopy, toClient[:0]
		for b.turn() || b.network.deliver(id, 1000) || b.network.drain(id) {
			requests = requests[:0]
			for {
				e, ok := b.fromNet.PopOne()
				if !ok {
					break
				}
				if e.Kind == stages.NetMessage {
					requests = append(requests, stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes,
						Connection: e.Connection})
					if e.BodyHashed {
						requests = append(requests, stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: 320, Client: wire.U128From(1)})
					}
				}
			}
			b.toNet.Push(requests)
		}
		sendCopy, toClient = c.sendCopy, c.toClient
	}
	round()
	if allocs := testing.AllocsPerRun(50, round); allocs != 0 {
		t.Errorf("a round allocates %.1f times, want 0", allocs)
	}
	if b.stage.Counters.RepliesCount < 50 || b.stage.Counters.RepliesDropped != 0 {
		t.Errorf("counters %+v", b.stage.Counters)
	}
}

// BenchmarkReceive is the path of one request: checked, hashed, handed over, its slot freed. The
// bytes lie in the slot already.
func BenchmarkReceive(b *testing.B) {
	for _, c := range []struct {
		name      string
		bodyBytes int
	}{{"128", 128}, {"16KiB", 16 << 10}, {"1MiB", wire.BodyBytesMax}} {
		b.Run(c.name, func(b *testing.B) {
			bench := newBench(b, 1, 2)
			id := bench.connect()
			frame := requestFrame(1, 1, c.bodyBytes)
			// Two slots take turns.
			for range 2 {
				bench.write(id, frame)
				bench.send(free(bench.message()))
			}
			network := &bench.network.connections[id]
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				network.receive = nil
				bench.network.events = append(bench.network.events[:0], receivedEvent(id, len(frame)))
				bench.turn()
				e, _ := bench.fromNet.PopOne()
				if int(e.Bytes) != len(frame) {
					b.Fatal("the request did not arrive")
				}
				bench.toNet.PushOne(free(e))
			}
		})
	}
}

// Goal: a stored reply that is sent again lies in the client slot that asked for it: sent whole,
// then the slot is free; so too without a route, behind another reply, and when the connection
// closes in the middle.
func TestRepeatedReply(t *testing.T) {
	b := newBench(t, 2, 16)
	id := b.connect()
	repeat := func() stages.ConsensusToNet {
		b.write(id, requestFrame(1, 1, 0))
		return stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: b.message().Slot, Bytes: 5000, Client: wire.U128From(1)}
	}
	e := repeat()
	copy(b.slots.Bytes(e.Slot)[4000:], "the reply")
	b.send(e)
	if got := b.network.connections[id].toClient; len(got) != 5000 || string(got[4000:4009]) != "the reply" {
		t.Fatalf("%d bytes arrived, want the reply's 5000", len(got))
	}
	if b.stage.lentCount != 0 {
		t.Fatalf("%d slots lent after the send, want 0", b.stage.lentCount)
	}
	stranger := repeat()
	stranger.Client = wire.U128From(2)
	b.send(stranger)
	if b.stage.lentCount != 0 || b.stage.Counters.RepliesDropped != 1 {
		t.Fatalf("%d slots lent, %d dropped; want 0 and 1 without a route", b.stage.lentCount, b.stage.Counters.RepliesDropped)
	}
	reply := b.slots.Get(stages.SlotReply)
	waiting := repeat()
	b.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: 1 << 20, Client: wire.U128From(1)})
	b.toNet.PushOne(waiting)
	for b.turn() {
	}
	if b.stage.lentCount != 0 || b.stage.Counters.RepliesDropped != 2 {
		t.Fatalf("%d slots lent, %d dropped; want 0 and 2 behind another reply", b.stage.lentCount, b.stage.Counters.RepliesDropped)
	}
}
