package net

import (
	"math/rand/v2"
	"strings"
	"testing"

	"ledger/internal/ports"
	"ledger/internal/seeded"
	"ledger/peer"
	"ledger/stages"
	"ledger/wire"
)

// refusals are the lines about refusals of a node.
func (n *peerNode) refusals() (lines []string) {
	for i := range n.logs {
		if e := &n.logs[i]; e.Kind == LogPeerRefused {
			lines = append(lines, e.Refusal.Error())
		}
	}
	return lines
}

// Goal: a replica of another cluster, index, number of replicas or format is refused, and both
// sides say so in one line with both values and a way out.
func TestPeerRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(self *peer.Self)
		want   string // in the lines of both sides
	}{
		"cluster":  {func(self *peer.Self) { self.Cluster = wire.U128From(8) }, "cluster: ours is "},
		"replicas": {func(self *peer.Self) { self.ReplicasCount = 3 }, "number of replicas: ours is "},
		"sessions": {func(self *peer.Self) { self.Fixed[14] = 77 }, "sessions: ours is "},
		"releases": {func(self *peer.Self) { self.Releases = peer.Range{Min: 2, Max: 3} }, "releases: ours is "},
		"a key on one side": {func(self *peer.Self) { self.Keys = peer.NewKeys([peer.KeyBytes]byte{1}) },
			"use of a key (1: yes): ours is "},
		"another key": {func(self *peer.Self) { self.Keys = peer.NewKeys([peer.KeyBytes]byte{1}) },
			"key of the cluster: ours is "},
	} {
		t.Run(name, func(t *testing.T) {
			replicas := 2
			w := newPeerWorld(t, seeded.Rand(t), replicas)
			w.change = func(index int, self *peer.Self) {
				if name == "another key" {
					self.Keys = peer.NewKeys([peer.KeyBytes]byte{2})
				}
				if index == 1 {
					c.change(self)
				}
			}
			if name == "replicas" {
				w.limitsOf = func(index int) uint32 { return uint32(2 + index) }
			}
			w.start()
			refused := func() bool { return len(w.nodes[0].refusals()) > 0 && len(w.nodes[1].refusals()) > 0 }
			w.pass("both sides refuse", refused)
			end := w.nowNs + 20_000_000_000
			w.pass("it is tried again", func() bool { return w.nowNs > end })
			for _, n := range w.nodes {
				lines := n.refusals()
				if len(lines) != 1 || !strings.Contains(lines[0], c.want) || !strings.Contains(lines[0], ", theirs is ") ||
					strings.Count(lines[0], ": ") < 3 {
					t.Errorf("node %d says %q", n.index, lines)
				}
				if n.live[1-n.index] {
					t.Errorf("node %d is connected", n.index)
				}
			}
			w.checkFree()
		})
	}
}

// Goal: of two processes with the same index, the newer is refused while the older speaks, and
// takes its place when the older has been silent for a second.
func TestSecondProcessOfAnIndex(t *testing.T) {
	w := newPeerWorld(t, seeded.Rand(t), 2)
	w.nodes = append(w.nodes, &peerNode{world: w, index: 1}) // another process of replica 1
	w.start()
	first, second := w.nodes[1], w.nodes[2]
	second.isDown = true
	w.pass("the first process is connected", func() bool { return w.nodes[0].live[1] })
	second.isDown = false
	for range 50 { // the first process speaks
		first.send(peer.CommandPing, 1)
		w.settle()
		w.nowNs += 100_000_000
	}
	if lines := second.refusals(); second.live[0] || len(lines) != 1 || !strings.Contains(lines[0], "stop one of the two processes") {
		t.Fatalf("the second process is connected %v, and says %q", second.live[0], lines)
	}
	if lines := w.nodes[0].refusals(); len(lines) != 1 || !strings.Contains(lines[0], "process of this index: ours is ") || !first.live[0] {
		t.Fatalf("replica 0 says %q, and is connected to the first process %v", lines, first.live[0])
	}
	// The first one says nothing any more.
	w.pass("the second process is connected", func() bool { return second.live[0] })
}

// Goal: strangers that take every place and send nothing, garbage, half a handshake or the
// repetition of an old one keep no replica out. TestStrangersHaveRoom has the same of clients.
func TestStrangersDoNotKeepPeersOut(t *testing.T) {
	for _, first := range []string{"", "nothing that anybody knows, and long enough for a header", "half", "whole"} {
		t.Run(first, func(t *testing.T) {
			w := newPeerWorld(t, rand.New(rand.NewPCG(1, 0)), 3)
			w.start()
			n := w.nodes[0]
			w.nodes[1].isDown, w.nodes[2].isDown = true, true
			hello := peerHello(w)
			if len(hello) != peer.FrameBytes {
				t.Fatalf("a hello of %d bytes", len(hello))
			}
			bytes := []byte(first)
			switch first {
			case "half":
				bytes = hello[:100]
			case "whole":
				bytes = append([]byte{}, hello...)
			}
			strangers := 0
			flood := func() {
				for range 8 {
					if e := n.free(int(PortConnectsReserved(&w.limits))); e != nil {
						strangers++
						e.open, e.arriving = true, append([]byte{}, bytes...)
						n.tell(e, ports.NetworkAccepted, 0)
					}
				}
			}
			for range 50 {
				flood()
				w.settle()
			}
			w.nodes[1].isDown, w.nodes[2].isDown = false, false
			w.pass("the replicas are connected", func() bool {
				flood()
				w.settle()
				return w.allLive()
			})
			if strangers < 100 {
				t.Errorf("%d strangers came", strangers)
			}
			if got := len(n.refusals()); got > 40 {
				t.Errorf("%d lines about strangers", got)
			}
		})
	}
}

// peerHello is the hello of an earlier process of replica 1: authentic, and repeated.
func peerHello(w *peerWorld) (hello []byte) {
	n := w.nodes[1]
	n.driver.Turn(w.nowNs, 0)
	n.driver.Turn(w.nowNs, 0)
	for i := range n.ends {
		if e := &n.ends[i]; e.dialing {
			n.events = append(n.events, ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: ports.ConnectionID(e.id)})
			e.dialing = false
			n.driver.Turn(w.nowNs, 0)
			hello = append(hello, e.sendCopy...)
			break
		}
	}
	n.restart()
	return hello
}

// Goal: a replica that floods, while nothing is taken, loses its own messages. The messages of the
// others find their slots.
func TestPeerThatFloods(t *testing.T) {
	w := newPeerWorld(t, seeded.Rand(t), 3)
	w.start()
	w.pass("all are connected", w.allLive)
	n := w.nodes[0]
	n.isHolding = true
	for range 40 {
		for _, command := range []peer.Command{peer.CommandPrepareOK, peer.CommandBlock} {
			w.nodes[1].send(command, 1)
		}
		w.settle()
	}
	flooded := n.got
	if discarded := n.stage.peers.hub.CountersOf(1).Received.Discarded; discarded == 0 {
		t.Error("nothing of the flood is discarded")
	}
	own := int(w.limits.SmallSlotsOwn())
	for range own {
		w.nodes[2].send(peer.CommandPrepareOK, 1)
		w.settle()
	}
	for range w.limits.PeerSlotsOwn() {
		w.nodes[2].send(peer.CommandBlock, 1)
		w.settle()
	}
	if got := n.got[peer.CommandPrepareOK] - flooded[peer.CommandPrepareOK]; got != own {
		t.Errorf("%d small messages of the other replica arrive, want %d", got, own)
	}
	if got := n.got[peer.CommandBlock] - flooded[peer.CommandBlock]; got != int(w.limits.PeerSlotsOwn()) {
		t.Errorf("%d large messages of the other replica arrive, want %d", got, w.limits.PeerSlotsOwn())
	}
	n.isHolding = false
	w.checkFree()
}

// Goal: connections that come and go while consensus is busy do not fill the edge: there is one
// word about each peer on it, and the latest one follows when that is noted.
func TestPeerStateIsToldOnce(t *testing.T) {
	w := newPeerWorld(t, seeded.Rand(t), 2)
	w.start()
	w.pass("all are connected", w.allLive)
	n := w.nodes[0]
	n.isBusy = true
	for range 50 {
		w.mishapOf(w.nodes[1])
		w.pass("it is connected again", func() bool { return w.nodes[1].live[0] })
	}
	if count := n.fromNet.Len(); count != 1 {
		t.Fatalf("%d words are on the edge, want 1", count)
	}
	n.isBusy = false
	w.settle()
	if !n.live[1] || n.fromNet.Len() != 0 {
		t.Errorf("consensus knows that the peer is connected: %v", n.live[1])
	}
	w.checkFree()
}

// Goal: an authentic message that breaks a rule ends its connection, and one line a second says
// which field has which value. The replicas connect again.
func TestPeerFault(t *testing.T) {
	w := newPeerWorld(t, seeded.Rand(t), 2)
	w.start()
	from, to := w.nodes[0], w.nodes[1]
	for range 5 {
		w.pass("both are connected", w.allLive)
		slot := from.slots.Get(stages.SlotSend)
		copy(from.slots.Bytes(slot), testMessage(w.random, peer.CommandPing, 5))
		from.leases[slot] = 1
		from.pending[1]++
		from.push(stages.ConsensusToNet{Kind: stages.NetPeerSend, Slot: slot, Bytes: peer.InnerBytes, Command: uint8(peer.CommandPing),
			Peers: 2, View: testView - 1})
		w.settle()
		if to.live[0] {
			t.Fatal("the connection goes on")
		}
	}
	if len(to.logs) == 0 || to.logs[0].Kind != LogPeerFault || to.logs[0].Replica != 0 || !to.logs[0].PeerFault.Authentic() ||
		!strings.Contains(to.logs[0].PeerFault.Error(), "ping: log view is 4: it must be at most the view (3)") {
		t.Fatalf("it says %+v", to.logs)
	}
	unlogged := uint64(0)
	for i := range to.logs {
		unlogged += to.logs[i].Unlogged
	}
	if lines := uint64(len(to.logs)); lines+unlogged+to.stage.peers.lines[0].faultsUnlogged != 5 || lines == 5 {
		t.Errorf("%d lines, and %d faults without one, of 5", lines, unlogged)
	}
	if got := to.stage.peers.hub.CountersOf(0).Received.Malformed; got != 5 {
		t.Errorf("%d malformed messages are counted, want 5", got)
	}
	w.pass("both are connected", w.allLive)
	w.checkFree()
}

// Goal: a message that consensus finds fault with ends its connection, is counted and logged, and
// its slot comes back. One of a connection that has ended by itself meanwhile ends no other one.
func TestPeerBlamed(t *testing.T) {
	w := newPeerWorld(t, seeded.Rand(t), 2)
	w.start()
	from, to := w.nodes[0], w.nodes[1]
	to.blames = peer.CommandDoViewChange
	for range 3 {
		w.pass("both are connected", w.allLive)
		if !from.send(peer.CommandDoViewChange, 2) {
			t.Fatal("the message found no room")
		}
		w.pass("the connection ends", func() bool { return !to.live[0] })
	}
	if got := to.stage.peers.hub.CountersOf(0).Received.Malformed; got != 3 {
		t.Errorf("%d malformed messages are counted, want 3", got)
	}
	if len(to.logs) == 0 || to.logs[0].Kind != LogPeerFault || to.logs[0].Replica != 0 || !to.logs[0].PeerFault.Authentic() ||
		!strings.Contains(to.logs[0].PeerFault.Error(), "do_view_change: list of headers") {
		t.Fatalf("it says %+v", to.logs)
	}
	w.pass("both are connected", w.allLive)
	stale := to.stage.nameOf(to.stage.peers.connections[0]) ^ 1<<incarnationShift
	to.stage.onPeerMalformed(&stages.ConsensusToNet{Connection: stale, Command: uint8(peer.CommandPing)}, &Actions{})
	if w.settle(); !to.live[0] {
		t.Error("the message of an older connection ended this one")
	}
	w.checkFree()
}

// Goal: a --limit-storage that is too small for another replica's file is one line a minute on each
// side, however often they connect.
func TestPeerStorageWarning(t *testing.T) {
	w := newPeerWorld(t, seeded.Rand(t), 2)
	w.change = func(index int, self *peer.Self) {
		if index == 1 {
			self.StorageBytesMax = 1 << 20
		}
	}
	w.start()
	for range 5 {
		w.pass("both are connected", w.allLive)
		w.mishapOf(w.nodes[0])
		w.settle()
	}
	for _, n := range w.nodes {
		if len(n.logs) != 1 || n.logs[0].Kind != LogPeerWarning ||
			n.logs[0].Warning != (peer.Warning{Replica: 1, LimitBytes: 1 << 20, FileBytes: 1 << 30}) {
			t.Errorf("node %d says %+v", n.index, n.logs)
		}
	}
}
