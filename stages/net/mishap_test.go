package net

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/portstest"
	"ledger/stages"
	"ledger/wire"
)

const mishapClients = 3

// mishapClient sends a ping and then requests of several sizes, one after the other. When its
// connection ends it connects again and repeats what has no answer.
type mishapClient struct {
	id         uint64
	connection int // -1: none
	read       int // bytes of toClient that were looked at
	number     uint32
	ponged     bool
	lives      int
}

var mishapBodies = []int{128, 5000, bodyHashBytesMin, 0}

// mishapRun is a run of three such clients over a port with a mishap, with a consensus that
// answers at random turns.
type mishapRun struct {
	*bench
	plan    portstest.Plan
	clients [mishapClients]mishapClient
	replies map[stages.Slot]bool // leases
}

func newMishapRun(t *testing.T, mishap portstest.Mishap) *mishapRun {
	b := newBench(t, mishapClients, mishapClients+2)
	b.network.connections = make([]fakeConnection, PortConnectionsMax(&b.limits))
	r := &mishapRun{bench: b, plan: portstest.Plan{Mishap: mishap}, replies: map[stages.Slot]bool{}}
	r.driver = NewDriver(b.stage, portstest.NewMishapNetwork(b.network, &r.plan), nil, b.toNet,
		stages.Sender[stages.NetToConsensus]{Ring: b.fromNet},
		func(e LogEntry) { b.logs = append(b.logs, e) })
	for i := range r.clients {
		r.clients[i] = mishapClient{id: uint64(i + 1), connection: -1}
	}
	return r
}

func (c *mishapClient) done() bool { return int(c.number) == len(mishapBodies) }

// frame is what the client waits to have answered.
func (c *mishapClient) frame() []byte {
	if !c.ponged {
		return pingFrame(c.id)
	}
	return requestFrame(c.id, c.number+1, mishapBodies[c.number])
}

// act connects if there is no connection, and takes the next answer.
func (r *mishapRun) act(c *mishapClient) {
	if c.connection >= 0 && !r.isOpen(c.connection) {
		c.connection = -1
	}
	if c.connection < 0 {
		if c.connection = r.network.accept(); c.connection < 0 {
			return
		}
		c.lives++
		c.read = 0
		r.network.connections[c.connection].toServer = c.frame()
		return
	}
	connection := &r.network.connections[c.connection]
	rest := connection.toClient[c.read:]
	if len(rest) < wire.HeaderBytes || len(rest) < int(wire.HeaderOf(rest).SizeBytes()) {
		return
	}
	h := wire.HeaderOf(rest)
	c.read += int(h.SizeBytes())
	switch {
	case h.Checksum() != h.ComputeChecksum() || h.Command() == wire.CommandPongClient && c.ponged:
		r.t.Fatalf("%v: client %d gets a broken message, or a second pong", r.plan.Mishap, c.id)
	case h.Command() == wire.CommandPongClient:
		c.ponged = true
	case h.ReplyRequestChecksum() != wire.HeaderOf(c.frame()).Checksum():
		r.t.Fatalf("%v: client %d gets the reply to another request", r.plan.Mishap, c.id)
	default:
		c.number++
	}
	if !c.done() {
		connection.toServer = append(connection.toServer, c.frame()...)
	}
}

// answer plays consensus for one message.
func (r *mishapRun) answer() (busy bool) {
	e := r.pop()
	switch e.Kind {
	case stages.NetSent:
		if !r.replies[e.Slot] {
			r.t.Fatalf("%v: a lease comes back twice", r.plan.Mishap)
		}
		delete(r.replies, e.Slot)
		r.slots.Put(e.Slot)
		return true
	case stages.NetMessage:
	default:
		return false
	}
	h := wire.HeaderOf(r.slots.Bytes(e.Slot))
	server := wire.ServerFields{Cluster: wire.U128From(testCluster), Release: wire.ReleaseOf(0, 17, 9)}
	if h.Command() == wire.CommandPingClient {
		wire.BuildPong(h, &server, h.PingTimestampNs())
		r.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes,
			Connection: e.Connection, Registered: true})
		return true
	}
	frame := requestFrame(h.RequestClient().Lo, h.RequestNumber(), mishapBodies[h.RequestNumber()-1])
	if !bytes.Equal(r.slots.Bytes(e.Slot)[:e.Bytes], frame) {
		r.t.Fatalf("%v: a message is not what its client sent", r.plan.Mishap)
	}
	reply := r.slots.Get(stages.SlotReply)
	r.replies[reply] = true
	f := wire.ReplyFields{Cluster: wire.U128From(testCluster), Op: uint64(h.RequestNumber()), Timestamp: 1}
	f.SetRequest(h)
	out := r.slots.Bytes(reply)[:wire.HeaderBytes+1000]
	wire.BuildReply(wire.HeaderOf(out), &f, out[wire.HeaderBytes:])
	r.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: uint32(len(out)),
		Client: h.RequestClient(), Registered: true})
	r.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot})
	return true
}

// run goes on until all clients have all answers and nothing moves any more.
func (r *mishapRun) run() {
	for quiet, turns := 0, 0; quiet < 2*portstest.DelayPolls; turns++ {
		if turns > 20_000 {
			r.t.Fatalf("%v: it never ends: %+v", r.plan.Mishap, r.clients)
		}
		busy := r.turn()
		for i := range r.network.connections {
			busy = r.network.deliver(i, 3000) || busy
			busy = r.network.drain(i) || busy
			busy = r.network.finish(i) || busy
		}
		busy = r.answer() || busy
		for i := range r.clients {
			if c := &r.clients[i]; !c.done() {
				r.act(c)
				busy = true
			}
		}
		if quiet++; busy {
			quiet = 0
		}
	}
}

// Goal: each receive, send, accept and close may fail, be short or be late. Every client gets the
// answer to every request, the one whose connection broke by connecting again; nobody else's
// connection ends, and no slot, lease or route is left behind.
func TestEveryMishap(t *testing.T) {
	calm := newMishapRun(t, portstest.Mishap{})
	calm.run()
	runs := 0
	errno := func(kind portstest.Kind) unix.Errno {
		if kind == portstest.KindAccept {
			return unix.EMFILE
		}
		return unix.ECONNRESET
	}
	portstest.Mishaps(calm.plan.Counts, 64, errno, func(m portstest.Mishap) {
		runs++
		r := newMishapRun(t, m)
		r.run()
		if !r.plan.Happened && m.Kind != portstest.KindClose {
			t.Errorf("%v: it did not happen", m)
			return
		}
		ended := 0
		for i := range r.clients {
			ended += r.clients[i].lives - 1
		}
		closed := &r.stage.Counters.ClosedCount
		want := uint64(1)
		if m.How == portstest.Delay || m.Kind == portstest.KindAccept || m.Kind == portstest.KindReceive && m.How == portstest.Shorten {
			want = 0
		}
		if closed[CausePeer] != want {
			t.Errorf("%v: %d connections are counted as broken, want %d", m, closed[CausePeer], want)
		}
		// If the end of a send is told later than the client's next request is answered, the
		// client looks slow.
		slow := closed[CauseSlow]
		if slow > 1 || slow > 0 && !(m.Kind == portstest.KindSend && m.How == portstest.Delay) {
			t.Errorf("%v: %d connections are closed as slow", m, slow)
		}
		// A client that has all its answers does not connect again.
		if ended > int(closed[CausePeer]+slow) {
			t.Errorf("%v: %d connections ended, of which %d broke and %d were slow", m, ended, closed[CausePeer], slow)
		}
		if failures := r.stage.Counters.AcceptFailures; (failures == 1) != (m.Kind == portstest.KindAccept && m.How == portstest.Fail) {
			t.Errorf("%v: %d failures to accept", m, failures)
		}
		r.checkFree(m)
	})
	if runs < 100 && !testing.Short() {
		t.Errorf("only %d runs", runs)
	}
}

// checkFree closes all connections and asserts that nothing is held.
func (r *mishapRun) checkFree(m portstest.Mishap) {
	for i := range r.network.connections {
		r.network.connections[i].peerClosed = true
	}
	r.run()
	pool := r.slots.Pools[stages.SlotClient]
	if pool.FreeCount() != pool.SlotsCount() || len(r.replies) != 0 || r.stage.routes.count != 0 || r.stage.Counters.ConnectionsCount != 0 {
		r.t.Errorf("%v: %d of %d slots are free, %d leases, %d routes, %d connections", m, pool.FreeCount(), pool.SlotsCount(),
			len(r.replies), r.stage.routes.count, r.stage.Counters.ConnectionsCount)
	}
	for i := range r.stage.connections {
		if c := &r.stage.connections[i]; c.state != connectionFree || c.slot != stages.SlotNone {
			r.t.Errorf("%v: connection %d is %+v", m, i, c)
		}
	}
}
