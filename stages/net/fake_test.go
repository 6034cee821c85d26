package net

import (
	"bytes"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/wire"
)

// fakeNetwork is a port in memory. It keeps its side of ports.Network strictly, and misuses every
// freedom that it has: buffers of a closing connection are written to until NetworkClosed.
type fakeNetwork struct {
	t           testing.TB
	connections []fakeConnection
	events      []ports.NetworkEvent
	from        [18]byte // address of the next connections; zero: each has one in the same network
}

type fakeConnection struct {
	open, closing, peerClosed bool
	receive, send             []byte
	sendCopy                  []byte // what was to be sent, when it was queued
	toServer                  []byte
	toClient                  []byte
	lives                     int
}

func (n *fakeNetwork) accept() int {
	for i := range n.connections {
		c := &n.connections[i]
		if !c.open && !c.closing {
			*c = fakeConnection{open: true, lives: c.lives + 1}
			address := n.from
			if address == ([18]byte{}) {
				address[15] = byte(i)
			}
			address[17] = byte(i)
			n.events = append(n.events, ports.NetworkEvent{Kind: ports.NetworkAccepted, Connection: ports.ConnectionID(i), Peer: address})
			return i
		}
	}
	return -1
}

func (n *fakeNetwork) Connect([18]byte) (ports.ConnectionID, bool) {
	n.t.Fatal("net does not connect")
	return 0, false
}

func (n *fakeNetwork) Receive(id ports.ConnectionID, buffer []byte) {
	c := &n.connections[id]
	if !c.open || c.receive != nil || len(buffer) == 0 {
		n.t.Fatalf("receive on connection %d: open %v, outstanding %v, %d bytes", id, c.open, c.receive != nil, len(buffer))
	}
	c.receive = buffer
}

func (n *fakeNetwork) ReceiveAll(id ports.ConnectionID, buffer []byte) { n.Receive(id, buffer) }

func (n *fakeNetwork) Send(id ports.ConnectionID, buffer []byte) {
	c := &n.connections[id]
	if !c.open || c.send != nil || len(buffer) == 0 {
		n.t.Fatalf("send on connection %d: open %v, outstanding %v, %d bytes", id, c.open, c.send != nil, len(buffer))
	}
	c.send = buffer
	c.sendCopy = append(c.sendCopy[:0], buffer...)
}

func (n *fakeNetwork) SendParts(id ports.ConnectionID, header, body []byte) {
	n.t.Fatal("net sends messages that lie in one piece")
}

func (n *fakeNetwork) Close(id ports.ConnectionID) {
	c := &n.connections[id]
	if !c.open {
		n.t.Fatalf("connection %d is closed twice", id)
	}
	c.open, c.closing = false, true
	kept := n.events[:0]
	for _, e := range n.events {
		if e.Connection != id {
			kept = append(kept, e)
		}
	}
	n.events = kept
}

func (n *fakeNetwork) Poll(out []ports.NetworkEvent) int {
	count := copy(out, n.events)
	n.events = append(n.events[:0], n.events[count:]...)
	return count
}

// deliver hands up to bytesMax bytes to an outstanding receive.
func (n *fakeNetwork) deliver(id int, bytesMax int) (moved bool) {
	c := &n.connections[id]
	if !c.open || c.receive == nil || (len(c.toServer) == 0 && !c.peerClosed) {
		return false
	}
	count := copy(c.receive[:min(bytesMax, len(c.receive))], c.toServer)
	c.toServer = c.toServer[count:]
	c.receive = nil
	n.events = append(n.events, ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: ports.ConnectionID(id), Bytes: int32(count)})
	return true
}

// drain ends an outstanding send.
func (n *fakeNetwork) drain(id int) (moved bool) {
	c := &n.connections[id]
	if !c.open || c.send == nil {
		return false
	}
	if !bytes.Equal(c.send, c.sendCopy) {
		n.t.Fatalf("connection %d: bytes changed while they were being sent", id)
	}
	c.toClient = append(c.toClient, c.send...)
	n.events = append(n.events, ports.NetworkEvent{Kind: ports.NetworkSent, Connection: ports.ConnectionID(id), Bytes: int32(len(c.send))})
	c.send = nil
	return true
}

// finish ends a connection that is closing. The kernel may have written into its buffer until now.
func (n *fakeNetwork) finish(id int) (moved bool) {
	c := &n.connections[id]
	if !c.closing {
		return false
	}
	for i := range c.receive[:min(len(c.receive), 4096)] {
		c.receive[i] ^= 0xa5
	}
	if c.send != nil && !bytes.Equal(c.send, c.sendCopy) {
		n.t.Fatalf("connection %d: bytes changed before its end", id)
	}
	c.closing, c.receive, c.send = false, nil, nil
	n.events = append(n.events, ports.NetworkEvent{Kind: ports.NetworkClosed, Connection: ports.ConnectionID(id)})
	return true
}

// bench is a stage with a fake port and the ends of its rings.
type bench struct {
	t       testing.TB
	limits  limits.Limits
	slots   *stages.Slots
	stage   *Stage
	driver  *Driver
	network *fakeNetwork
	toNet   *ring.SPSC[stages.ConsensusToNet]
	fromNet *ring.SPSC[stages.NetToConsensus]
	logs    []LogEntry
	nowNs   uint64
}

const testCluster = 7

func newBench(t testing.TB, connections, clientSlots uint32) *bench {
	return newBenchOf(t, testCluster, connections, clientSlots)
}

func newBenchOf(t testing.TB, cluster uint64, connections, clientSlots uint32) *bench {
	l := limits.Production()
	l.ConnectionsMax = connections
	return newBenchWith(t, cluster, clientSlots, l)
}

func newBenchWith(t testing.TB, cluster uint64, clientSlots uint32, l limits.Limits) *bench {
	memory := arena.New()
	t.Cleanup(memory.Close)
	b := &bench{t: t, limits: l, slots: &stages.Slots{}}
	b.slots.Pools[stages.SlotClient] = arena.NewPool(memory, clientSlots, wire.MessageBytesMax, "client slots")
	b.slots.Pools[stages.SlotReply] = arena.NewPool(memory, 8, wire.MessageBytesMax, "reply slots")
	var others *PeersOptions
	if l.PeersCount() > 0 {
		count := l.SlotsCount()
		b.slots.Pools[stages.SlotPeer] = arena.NewPool(memory, count.Peer, wire.MessageBytesMax, "peer slots")
		b.slots.Pools[stages.SlotSmall] = arena.NewPool(memory, count.Small, limits.SmallSlotBytes, "small slots")
		others = &PeersOptions{Self: testSelf(&l, wire.U128From(cluster), 0)}
	}
	b.stage = New(l, wire.U128From(cluster), b.slots, memory, others)
	b.network = &fakeNetwork{t: t, connections: make([]fakeConnection, l.ConnectionsMax)}
	b.toNet = ring.NewSPSC[stages.ConsensusToNet](4096)
	b.fromNet = ring.NewSPSC[stages.NetToConsensus](4096)
	b.driver = NewDriver(b.stage, b.network, nil, b.toNet, stages.Sender[stages.NetToConsensus]{Ring: b.fromNet},
		func(e LogEntry) { b.logs = append(b.logs, e) })
	return b
}

func (b *bench) turn() bool { return b.driver.Turn(b.nowNs, 0) }

// settle runs until nothing moves, with unlimited segments.
func (b *bench) settle() {
	for moved := true; moved; {
		moved = b.turn()
		for i := range b.network.connections {
			moved = b.network.deliver(i, 1<<30) || moved
			moved = b.network.drain(i) || moved
			moved = b.network.finish(i) || moved
		}
	}
}

// connect opens a connection and returns its index.
func (b *bench) connect() int {
	id := b.network.accept()
	if id < 0 {
		b.t.Fatal("no connection is free")
	}
	b.settle()
	return id
}

// write sends frames from the client of a connection and lets everything settle.
func (b *bench) write(id int, frames ...[]byte) {
	for _, frame := range frames {
		b.network.connections[id].toServer = append(b.network.connections[id].toServer, frame...)
	}
	b.settle()
}

func (b *bench) isOpen(id int) bool { return b.network.connections[id].open }

// pop takes one event of net; kind 0 means that there is none.
func (b *bench) pop() (e stages.NetToConsensus) {
	e, _ = b.fromNet.PopOne()
	return e
}

func (b *bench) message() stages.NetToConsensus {
	b.t.Helper()
	e := b.pop()
	if e.Kind != stages.NetMessage {
		b.t.Fatalf("event %+v, want a message", e)
	}
	return e
}

func (b *bench) send(e stages.ConsensusToNet) {
	if !b.toNet.PushOne(e) {
		b.t.Fatal("the ring is full")
	}
	b.settle()
}

// noEvent asserts that net has told nothing more.
func (b *bench) noEvent() {
	b.t.Helper()
	if e := b.pop(); e.Kind != 0 {
		b.t.Fatalf("event %+v, want none", e)
	}
}

// frames for tests

func requestFrame(client uint64, number uint32, bodyBytes int) []byte {
	frame := make([]byte, wire.HeaderBytes+bodyBytes)
	body := frame[wire.HeaderBytes:]
	for i := range body {
		body[i] = byte(i*7) ^ byte(number) ^ byte(client)
	}
	wire.BuildRequest(wire.HeaderOf(frame), &wire.RequestFields{Cluster: wire.U128From(testCluster), Client: wire.U128From(client),
		Session: 5, Number: number, Release: wire.ReleaseOf(0, 17, 9), Operation: wire.OperationCreateTransfers}, body)
	return frame
}

func pingFrame(client uint64) []byte {
	frame := make([]byte, wire.HeaderBytes)
	wire.BuildPing(wire.HeaderOf(frame), &wire.PingFields{Cluster: wire.U128From(testCluster), Client: wire.U128From(client),
		TimestampNs: 99, Release: wire.ReleaseOf(0, 17, 9)})
	return frame
}

// changed returns a frame with one change, sealed again.
func changed(frame []byte, change func(h *wire.Header)) []byte {
	frame = bytes.Clone(frame)
	h := wire.HeaderOf(frame)
	change(h)
	h.SetChecksum(h.ComputeChecksum())
	return frame
}

// broken returns a frame with one bit turned.
func broken(frame []byte, at int) []byte {
	frame = bytes.Clone(frame)
	frame[at] ^= 1
	return frame
}

// checkMessage compares a delivered message with its frame.
func (b *bench) checkMessage(e stages.NetToConsensus, frame []byte) {
	b.t.Helper()
	if int(e.Bytes) != len(frame) || !bytes.Equal(b.slots.Bytes(e.Slot)[:e.Bytes], frame) {
		b.t.Fatalf("a message of %d bytes is not the frame of %d bytes that was sent", e.Bytes, len(frame))
	}
	body := frame[wire.HeaderBytes:]
	if e.BodyHashed != (len(body) >= bodyHashBytesMin) {
		b.t.Fatalf("a body of %d bytes: hashed %v", len(body), e.BodyHashed)
	}
	if e.BodyHashed && e.BodySum != prepare.Sum(body) {
		b.t.Fatal("BodySum is not the body's")
	}
}
