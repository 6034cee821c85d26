package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/replica"
)

// Goal: a machine reaches another by its address. It is told why it does not if that machine is
// down, a path is cut in either direction, or nobody has the address. What it sends goes over the
// path there, and the answer over the path back.
func TestMachinesConnect(t *testing.T) {
	w := newWorld(Options{}, rand.New(rand.NewPCG(1, 0)), func(format string, arguments ...any) {
		panic(violation{fmt.Sprintf(format, arguments...)})
	})
	a, b := w.addCluster(false), w.addCluster(false)
	there, back := w.path(a.host, b.host, false), w.path(b.host, a.host, false)
	var some [4]ports.NetworkEvent
	// wait lets time pass until the network has an event.
	wait := func(n *Network) ports.NetworkEvent {
		t.Helper()
		for range 100_000 {
			if n.Poll(some[:1]) == 1 {
				return some[0]
			}
			w.events.nowNs = min(w.events.nextNs(), w.events.nowNs+nsPerMs)
			w.events.runDue()
		}
		t.Fatal("no event comes")
		return ports.NetworkEvent{}
	}
	connect := func(to [18]byte) int32 {
		t.Helper()
		if _, ok := a.network.Connect(to); !ok {
			t.Fatal("there is no place")
		}
		return wait(a.network).Bytes
	}
	if result := connect(addressOf(9)); result != -int32(unix.EHOSTUNREACH) {
		t.Errorf("an address that nobody has: %d", result)
	}
	if result := connect(b.address); result != -int32(unix.ECONNREFUSED) {
		t.Errorf("a machine that is down: %d", result)
	}
	b.replica = &replica.Replica{} // it is up; the test is its stages
	defer func() { b.replica = nil }()
	for _, p := range []*path{there, back} {
		p.cutNs = w.events.nowNs + nsPerMs
		if result := connect(b.address); result != -int32(unix.ETIMEDOUT) {
			t.Errorf("a cut path from %d to %d: %d", p.from, p.to, result)
		}
		p.heal()
	}
	if result := connect(b.address); result != 0 {
		t.Fatalf("a machine that is up: %d", result)
	}
	in := some[0].Connection
	out := wait(b.network).Connection

	// The path back is cut: what a sends arrives, what b answers comes when the path is whole.
	cutUntilNs := w.events.nowNs + 900*nsPerMs
	back.cutNs = cutUntilNs
	question, answer := make([]byte, 8), make([]byte, 8)
	b.network.Receive(out, question)
	a.network.Receive(in, answer)
	a.network.Send(in, []byte("ask"))
	if e := wait(b.network); e.Kind != ports.NetworkReceived || string(question[:e.Bytes]) != "ask" || w.events.nowNs >= cutUntilNs {
		t.Fatalf("b gets %+v, %q", e, question)
	}
	b.network.Send(out, []byte("tell"))
	for {
		if e := wait(a.network); e.Kind == ports.NetworkReceived {
			if string(answer[:e.Bytes]) != "tell" || w.events.nowNs < cutUntilNs {
				t.Errorf("a gets %q at %d, through a path that is cut until %d", answer[:e.Bytes], w.events.nowNs, cutUntilNs)
			}
			break
		}
	}
}
