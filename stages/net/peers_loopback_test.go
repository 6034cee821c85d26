package net

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/internal/uring"
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/wire"
)

// loopbackNames knows the ports of all replicas.
type loopbackNames struct {
	addresses [][18]byte
	answers   []ports.NameAnswer
}

func (n *loopbackNames) Resolve(replica uint8, attempt uint64) {
	n.answers = append(n.answers, ports.NameAnswer{Replica: replica, OK: true, Attempt: attempt, Address: n.addresses[replica]})
}

func (n *loopbackNames) Poll(out []ports.NameAnswer) int {
	count := copy(out, n.answers)
	n.answers = n.answers[count:]
	return count
}

// loopbackReplica is a net stage on a thread of its own, with a consensus that sends prepares to
// the others, and checks those that come.
type loopbackReplica struct {
	index   int
	kernel  ports.Thread
	driver  *Driver
	slots   *stages.Slots
	toNet   *ring.SPSC[stages.ConsensusToNet]
	fromNet *ring.SPSC[stages.NetToConsensus]
	number  uint64
	pending int // NetPeerSent that are awaited
	leases  map[stages.Slot]int
	live    int
	got     []int // prepares of each replica
	fault   string
}

// loopbackPrepare is the prepare of a number of a replica.
func loopbackPrepare(index int, number uint64) []byte {
	return testMessage(rand.New(rand.NewPCG(number, uint64(index))), peer.CommandPrepare, number)
}

// turn sends a prepare if few are under way, and takes what net says.
func (r *loopbackReplica) turn(peers uint16) (busy bool) {
	if r.live > 0 && r.pending < 4 {
		if slot := r.slots.Get(stages.SlotPrepare); slot != stages.SlotNone {
			r.number++
			bytes := copy(r.slots.Bytes(slot), loopbackPrepare(r.index, r.number))
			r.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetPeerSend, Slot: slot, Bytes: uint32(bytes),
				Command: uint8(peer.CommandPrepare), Peers: peers, View: testView + 1})
			r.leases[slot] = len(r.got) - 1
			r.pending += len(r.got) - 1
			busy = true
		}
	}
	for {
		e, ok := r.fromNet.PopOne()
		if !ok {
			return busy
		}
		busy = true
		switch e.Kind {
		case stages.NetPeerLive, stages.NetPeerLost:
			r.live++
			if e.Kind == stages.NetPeerLost {
				r.live -= 2
			}
			r.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetPeerNoted, Peer: e.Peer})
		case stages.NetPeerSent:
			r.pending--
			if r.leases[e.Slot]--; r.leases[e.Slot] == 0 {
				r.slots.Put(e.Slot)
			}
		case stages.NetPeerMessage:
			message := r.slots.Bytes(e.Slot)[:e.Bytes]
			number := prepare.Header(message[:prepare.HeaderBytes]).Op() - 1000
			if !bytes.Equal(message, loopbackPrepare(int(e.Peer), number)) {
				r.fault = "a prepare is not what was sent"
			}
			r.got[e.Peer]++
			r.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot})
		}
	}
}

// Goal: three replicas on threads of their own, over real sockets, connect to each other and
// exchange prepares of all sizes; each arrives whole, and each lease comes back.
func TestPeersOverLoopback(t *testing.T) {
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) { peersOverLoopback(t, backend.make) })
	}
}

func peersOverLoopback(t *testing.T, backend func(ports.ThreadOptions) (ports.Thread, error)) {
	const replicas, wanted = 3, 60
	l := limits.Production()
	l.ConnectionsMax, l.ReplicasCount = 4, replicas
	memory := arena.New()
	defer memory.Close()
	var addresses [][18]byte
	var list []*loopbackReplica
	for i := range replicas {
		kernel, err := backend(ports.ThreadOptions{WakeFd: -1})
		if errors.Is(err, uring.ErrUnavailable) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		addresses = append(addresses, posix.PeerFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)))
		r := &loopbackReplica{index: i, kernel: kernel, slots: &stages.Slots{}, leases: map[stages.Slot]int{}, got: make([]int, replicas)}
		count := l.SlotsCount()
		r.slots.Pools[stages.SlotClient] = arena.NewPool(memory, count.Client, wire.MessageBytesMax, "client slots")
		r.slots.Pools[stages.SlotPrepare] = arena.NewPool(memory, count.Prepare, wire.MessageBytesMax, "prepare slots")
		r.slots.Pools[stages.SlotPeer] = arena.NewPool(memory, count.Peer, wire.MessageBytesMax, "peer slots")
		r.slots.Pools[stages.SlotSmall] = arena.NewPool(memory, count.Small, limits.SmallSlotBytes, "small slots")
		stage := New(l, wire.U128From(testCluster), r.slots, memory,
			&PeersOptions{Self: testSelf(&l, wire.U128From(testCluster), uint8(i)), Seed: [peer.SeedBytes]byte{byte(i)}})
		r.toNet, r.fromNet = ring.NewSPSC[stages.ConsensusToNet](1024), ring.NewSPSC[stages.NetToConsensus](1024)
		r.driver = NewDriver(stage, kernel.Network(fd, PortConnectionsMax(&l), PortConnectsReserved(&l)), &loopbackNames{},
			r.toNet, stages.Sender[stages.NetToConsensus]{Ring: r.fromNet}, nil)
		list = append(list, r)
	}
	began, ready, end := time.Now(), atomic.Int32{}, time.Now().Add(time.Minute)
	var threads sync.WaitGroup
	for _, r := range list {
		r.driver.names.(*loopbackNames).addresses = addresses
		threads.Go(func() {
			runtime.LockOSThread()
			defer r.kernel.Close()
			if err := r.kernel.Start(); err != nil {
				t.Error(err)
				return
			}
			isReady := false
			for ready.Load() < replicas && time.Now().Before(end) {
				busy := r.driver.Turn(1+uint64(time.Since(began)), 0)
				busy = r.turn((1<<replicas-1)&^(1<<r.index)) || busy
				if r.kernel.Turn() == 0 && !busy {
					r.kernel.Wait(1_000_000)
				}
				enough := true
				for from, count := range r.got {
					enough = enough && (from == r.index || count >= wanted)
				}
				if enough && !isReady {
					isReady = true
					ready.Add(1)
				}
			}
		})
	}
	threads.Wait()
	for _, r := range list {
		if r.fault != "" || ready.Load() != replicas {
			t.Errorf("replica %d: %s; %d prepares of each", r.index, r.fault, r.got)
		}
	}
}
