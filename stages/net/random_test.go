package net

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/ports"
	"ledger/internal/seeded"
	"ledger/stages"
	"ledger/wire"
)

func receivedEvent(id, count int) ports.NetworkEvent {
	return ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: ports.ConnectionID(id), Bytes: int32(count)}
}

// randomFrame is mostly valid; the rest breaks some rule or is noise.
func randomFrame(random *rand.Rand, client uint64, number uint32) []byte {
	sizes := []int{0, 0, 128, 1000, bodyHashBytesMin, 70_000}
	frame := requestFrame(client, number, sizes[random.IntN(len(sizes))])
	switch random.IntN(24) {
	case 0:
		frame = broken(frame, random.IntN(len(frame)))
	case 1:
		frame = changed(frame, func(h *wire.Header) { h[random.IntN(wire.HeaderBytes)] ^= 1 << random.IntN(8) })
	case 2:
		frame = changed(frame, func(h *wire.Header) { h.SetRelease(0) })
	case 3, 4, 5, 6:
		frame = pingFrame(client)
	case 7:
		frame = changed(pingFrame(client), func(h *wire.Header) { h.SetReplica(3) })
	}
	return frame
}

// reference is the whole-frame result: the messages that a stream contains, and whether it ends in
// a closed connection.
func reference(stream []byte) (messages [][]byte, closed bool) {
	parser := wire.NewParser(wire.U128From(testCluster), wire.SideServer)
	var client wire.U128
	for len(stream) >= wire.HeaderBytes {
		h := wire.HeaderOf(stream)
		if verdict, _ := parser.ParseHeader(h); verdict != wire.VerdictOK {
			return messages, true
		}
		size := int(h.SizeBytes())
		if len(stream) < size {
			return messages, false
		}
		if verdict, _ := parser.VerifyBody(h, stream[wire.HeaderBytes:size]); verdict != wire.VerdictOK {
			return messages, true
		}
		verdict, _ := parser.CheckMessage(h)
		if verdict == wire.VerdictDrop {
			return messages, true
		}
		if id := h.Client(); !id.IsZero() {
			if !client.IsZero() && client != id {
				return messages, true
			}
			client = id
		}
		if verdict == wire.VerdictOK {
			messages = append(messages, stream[:size])
		}
		stream = stream[size:]
	}
	return messages, false
}

// runStreams sends one stream per connection in random segments, in random order, against a
// consensus that frees slots at random, and compares what arrives with the whole-frame result.
func runStreams(t *testing.T, random *rand.Rand, streams [][]byte) {
	connections := uint32(len(streams))
	b := newBench(t, connections, connections+1+uint32(random.IntN(4)))
	var want [][][]byte
	var wantClosed []bool
	for i, stream := range streams {
		messages, closed := reference(stream)
		want, wantClosed = append(want, messages), append(wantClosed, closed)
		if b.network.accept() != i {
			t.Fatal("connections are taken in order")
		}
		b.network.connections[i].toServer = bytes.Clone(stream)
	}
	var held []stages.NetToConsensus
	for idle := 0; idle < 50; idle++ {
		if b.turn() {
			idle = 0
		}
		for i := range streams {
			if random.IntN(3) > 0 && b.network.deliver(i, 1+random.IntN(1<<(1+random.IntN(17)))) {
				idle = 0
			}
			if random.IntN(3) == 0 && b.network.finish(i) {
				idle = 0
			}
		}
		for {
			e := b.pop()
			if e.Kind == 0 {
				break
			}
			id := int(e.Connection) & (connectionsMax - 1)
			if len(want[id]) == 0 {
				t.Fatalf("connection %d: one message too many", id)
			}
			b.checkMessage(e, want[id][0])
			want[id] = want[id][1:]
			held = append(held, e)
		}
		for len(held) > 0 && random.IntN(3) > 0 {
			i := random.IntN(len(held))
			b.toNet.PushOne(free(held[i]))
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
			idle = 0
		}
	}
	for i := range streams {
		if len(want[i]) != 0 || b.isOpen(i) == wantClosed[i] {
			t.Errorf("connection %d: %d messages did not arrive; open %v, want %v", i, len(want[i]), b.isOpen(i), !wantClosed[i])
		}
		b.network.connections[i].peerClosed = true
	}
	b.settle()
	pool := b.slots.Pools[stages.SlotClient]
	if pool.FreeCount() != pool.SlotsCount() || b.stage.Counters.ConnectionsCount != 0 || b.stage.routes.count != 0 {
		t.Errorf("%d of %d slots are free, %d connections and %d routes left", pool.FreeCount(), pool.SlotsCount(),
			b.stage.Counters.ConnectionsCount, b.stage.routes.count)
	}
}

// Goal: however frames are cut, joined and delayed, valid or not, the result is that of whole
// frames.
func TestSegmentation(t *testing.T) {
	random := seeded.Rand(t)
	for range 30 {
		streams := make([][]byte, 1+random.IntN(5))
		for i := range streams {
			for number := range 1 + random.IntN(40) {
				streams[i] = append(streams[i], randomFrame(random, uint64(i+1), uint32(number+1))...)
			}
			streams[i] = streams[i][:len(streams[i])-random.IntN(2)*random.IntN(200)]
		}
		runStreams(t, random, streams)
	}
}

// Goal: no bytes at all make the stage panic, leak or differ from the whole-frame result. With
// sealed, what looks like frames gets right checksums first, so that the rules behind them are
// reached.
func FuzzStream(f *testing.F) {
	f.Add(append(pingFrame(1), requestFrame(1, 1, 128)...), uint64(1), false)
	f.Add(append(pingFrame(1), requestFrame(1, 1, 128)...), uint64(5), true)
	f.Add(requestFrame(1, 1, 100)[:300], uint64(2), true)
	f.Add(append(requestFrame(1, 1, 5), broken(requestFrame(1, 2, 70), 300)...), uint64(3), false)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), uint64(4), false)
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, sealed bool) {
		stream = bytes.Clone(stream)
		if sealed {
			for rest := stream; len(rest) >= wire.HeaderBytes; {
				h := wire.HeaderOf(rest)
				size := min(max(int(h.SizeBytes()), wire.HeaderBytes), len(rest))
				h.SetSizeBytes(uint32(size))
				h.Seal(rest[wire.HeaderBytes:size])
				rest = rest[size:]
			}
		}
		runStreams(t, rand.New(rand.NewPCG(seed, 0)), [][]byte{stream})
	})
}

// Goal: for all that clients, network and consensus may do, in any order, each lease comes back
// exactly once, no slot is lost, answers reach only their client, and everything is free at the
// end.
func TestConservation(t *testing.T) {
	random := seeded.Rand(t)
	for range 8 {
		runChaos(t, random)
	}
}

func runChaos(t *testing.T, random *rand.Rand) {
	const connections, clients = 6, 4
	b := newBench(t, connections, connections+2+uint32(random.IntN(8)))
	leases := map[stages.Slot]int{}
	replies := []stages.Slot{}
	for range 8 {
		replies = append(replies, b.slots.Get(stages.SlotReply))
	}
	// Reply i is full of the byte i+1, for client i%clients+1 alone.
	for i, slot := range replies {
		copy(b.slots.Bytes(slot), bytes.Repeat([]byte{byte(i + 1)}, 3000))
	}
	owner := make([]uint64, connections) // the client that writes on a connection
	var held []stages.NetToConsensus
	drainEvents := func() {
		for {
			e := b.pop()
			switch e.Kind {
			case stages.NetMessage:
				held = append(held, e)
				continue
			case stages.NetSent:
				leases[e.Slot]--
				if leases[e.Slot] < 0 {
					t.Fatal("a lease came back twice")
				}
				continue
			}
			return
		}
	}
	for step := range 4000 {
		switch i := random.IntN(connections); random.IntN(12) {
		case 0:
			if id := b.network.accept(); id >= 0 {
				owner[id] = 1 + uint64(random.IntN(clients))
			}
		case 1, 2:
			if b.isOpen(i) && len(b.network.connections[i].toServer) < 1<<20 {
				c := &b.network.connections[i]
				c.toServer = append(c.toServer, randomFrame(random, owner[i], uint32(step+1))...)
			}
		case 3, 4:
			b.network.deliver(i, 1+random.IntN(100_000))
		case 5:
			b.network.drain(i)
		case 6:
			b.network.finish(i)
		case 7:
			if random.IntN(10) == 0 {
				b.network.connections[i].peerClosed = true
			}
		case 8, 9:
			if len(held) > 0 {
				at := random.IntN(len(held))
				e := held[at]
				held[at] = held[len(held)-1]
				held = held[:len(held)-1]
				// The slot was consensus' alone: nothing has written to it since it was checked.
				message := b.slots.Bytes(e.Slot)[:e.Bytes]
				if h := wire.HeaderOf(message); h.Checksum() != h.ComputeChecksum() || h.ChecksumBody() != wire.ChecksumOf(message[wire.HeaderBytes:]) {
					t.Fatal("a message changed after it was given away")
				}
				request := stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot, Ignored: true}
				switch h := wire.HeaderOf(message); {
				case random.IntN(3) == 0:
				case h.Command() == wire.CommandPingClient && random.IntN(2) == 0:
					request.Kind, request.Bytes, request.Connection = stages.NetSendFree, wire.HeaderBytes, e.Connection
					request.Registered = random.IntN(2) == 0
				default:
					request.Kind, request.Bytes, request.Client = stages.NetSendFree, wire.HeaderBytes, h.Client()
				}
				b.toNet.PushOne(request)
				if random.IntN(8) == 0 {
					b.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetSessionEnded, Client: wire.U128From(1 + uint64(random.IntN(clients)))})
				}
			}
		case 10:
			i := random.IntN(len(replies))
			leases[replies[i]]++
			b.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetSend, Slot: replies[i], OffsetBytes: uint32(random.IntN(100)),
				Bytes: 1 + uint32(random.IntN(2000)), Client: wire.U128From(uint64(i%clients + 1)), Registered: random.IntN(2) == 0})
		default:
			b.turn()
			drainEvents()
		}
	}
	// Nobody gets another client's bytes: replies are recognised by their repeated byte, short
	// messages by their client.
	for id := range b.network.connections {
		checkOutput(t, b.network.connections[id].toClient, owner[id], clients)
	}
	for _, closed := range []bool{false, true} {
		for i := range connections {
			b.network.connections[i].peerClosed = closed
			b.network.connections[i].toServer = nil
		}
		for range 50 {
			b.settle()
			drainEvents()
			for _, e := range held {
				b.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot, Ignored: true})
			}
			held = held[:0]
		}
		for i := range b.stage.routes.places {
			if r := &b.stage.routes.places[i]; r.asksCount != 0 {
				t.Errorf("all requests of %v have ended, %d are counted", r.client, r.asksCount)
			}
		}
	}
	for slot, count := range leases {
		if count != 0 {
			t.Errorf("reply slot %d: %d leases did not come back", slot.Handle(), count)
		}
	}
	pool := b.slots.Pools[stages.SlotClient]
	if pool.FreeCount() != pool.SlotsCount() || b.stage.routes.count != 0 {
		t.Errorf("%d of %d slots are free, %d routes left", pool.FreeCount(), pool.SlotsCount(), b.stage.routes.count)
	}
}

// checkOutput walks what a client got: short messages start with the header of its own message,
// replies are one byte repeated.
func checkOutput(t *testing.T, output []byte, client, clients uint64) {
	t.Helper()
	for len(output) > 0 {
		if len(output) >= wire.HeaderBytes {
			h := wire.HeaderOf(output)
			if h.Checksum() == h.ComputeChecksum() {
				if got := h.Client().Lo; got != client {
					t.Fatalf("client %d got a message to client %d", client, got)
				}
				output = output[wire.HeaderBytes:]
				continue
			}
		}
		// Replies of several ops follow each other without a header here; each byte names its client.
		if got := uint64(output[0]-1)%clients + 1; output[0] == 0 || output[0] > 8 || got != client {
			t.Fatalf("client %d got the byte %d of a reply to client %d", client, output[0], got)
		}
		output = output[1:]
	}
}

// Goal: the route table agrees with a map under random changes, also when ids collide.
func TestRoutesModel(t *testing.T) {
	random := seeded.Rand(t)
	b := newBench(t, 16, 17)
	r := &b.stage.routes
	model := map[wire.U128]uint32{}
	for range 20_000 {
		client := wire.U128{Lo: uint64(random.IntN(40)) << (random.IntN(2) * 40), Hi: 1}
		index := uint32(random.IntN(16))
		switch at, known := model[client]; {
		case known && random.IntN(2) == 0:
			r.forget(client, at)
			delete(model, client)
		case known:
			r.put(client).current = index
			model[client] = index
		case len(model) < 16:
			r.put(client).current = index
			model[client] = index
		default:
			r.forget(client, index)
		}
		got := r.of(client)
		if want, in := model[client]; (got != nil) != in || in && got.current != want {
			t.Fatalf("the route of %v is %+v, want %v", client, got, model)
		}
		if r.count != len(model) {
			t.Fatalf("%d routes, want %d", r.count, len(model))
		}
	}
	for client, want := range model {
		if got := r.of(client); got == nil || got.current != want {
			t.Errorf("route of %v is %+v, want %d", client, got, want)
		}
	}
}
