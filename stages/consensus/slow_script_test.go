package consensus

import (
	"testing"

	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/wire"
)

// Goal: a primary whose disk or whose execution is much slower than those of its peers gives way
// after three seconds, once in a minute, and the next one stays.
func TestSeveralSlowPrimary(t *testing.T) {
	for _, what := range []string{"writes", "executes"} {
		w, primary, _, _ := begun(t, 51)
		m := w.machines[primary]
		begunNs := w.nowNs
		switch what {
		case "writes":
			m.writeNs = 60_000_000
		case "executes":
			m.executeNs = 60_000_000
			for _, other := range w.machines {
				if other != m {
					other.executeNs = 2_000_000
				}
			}
		}
		for w.server() == primary || w.server() < 0 {
			if w.run(second / 10); w.nowNs > begunNs+6*second {
				t.Fatalf("a primary that %s slowly stays: %s", what, w.text())
			}
		}
		if took := w.nowNs - begunNs; took < 3*second {
			t.Fatalf("a primary that %s slowly gave way after %d ms", what, took/1_000_000)
		}
		view := w.view()
		w.serves(second, "nobody serves")
		if w.run(10 * second); w.view() != view {
			t.Fatalf("%s: view %d ended: %s", what, view, w.text())
		}
	}
}

// Goal: a primary whose disk does not end its writes gives way when its log is full, and nothing
// waits for a quorum any more. If its peers go on long enough, it has given way before.
func TestSeveralStalledPrimary(t *testing.T) {
	w, primary, _, _ := begun(t, 55)
	w.machines[primary].holdsAppends = true
	w.serves(second, "commits need no write of the primary")
	for end := w.nowNs + 10*second; w.server() == primary || w.server() < 0; w.run(second / 10) {
		if w.nowNs > end {
			t.Fatalf("a primary whose own disk hangs stays: %s", w.text())
		}
	}
	w.serves(second, "nobody serves")
	w.machines[primary].holdsAppends = false
	w.heal()
}

// pong tells whether a machine answers a client's ping.
func (m *machine) pong() bool {
	slot := m.slots.Get(stages.SlotClient)
	b := m.slots.Bytes(slot)[:limits.HeaderBytes]
	wire.BuildPing(wire.HeaderOf(b), &wire.PingFields{Cluster: testCluster, Client: wire.U128{Lo: 77}, TimestampNs: 55,
		Release: wire.ReleaseOf(0, 17, 9)})
	m.netEvents = append(m.netEvents, clientMessage(slot, limits.HeaderBytes))
	m.turn()
	for _, a := range m.out.Net {
		if a.Kind == stages.NetSendFree && a.Slot == slot {
			return true
		}
	}
	return false
}

// Goal: a primary that does not know the cluster's time answers pings, and prepares no requests.
func TestSeveralPingWithoutAClock(t *testing.T) {
	w := newSeveral(t, 3, 52)
	w.addClients(1)
	w.run(second)
	m := w.machines[max(w.server(), 0)]
	if !m.stage.mayOrder() || m.stage.timers.wall() != 0 {
		t.Fatalf("no primary without a clock: %s", w.text())
	}
	if !m.pong() {
		t.Fatal("a ping is not answered")
	}
	if w.run(second / 2); w.replied() > 0 {
		t.Fatal("a request is answered before the time is known")
	}
	w.serves(3*second, "nobody serves")
}

// Goal: a primary that has lost the cluster's time gives way if another replica knows it. If no
// replica does, the view stays.
func TestSeveralClockIsLost(t *testing.T) {
	for _, isEverywhere := range []bool{false, true} {
		w, primary, _, _ := begun(t, 53)
		w.quiet(true)
		view := w.view()
		w.onSend = func(_, to int, f *flight) bool {
			return f.command != peer.CommandPong || to != primary && !isEverywhere
		}
		for m := w.machines[primary]; m.stage.timers.wall() != 0; w.run(second) {
			if m.stage.views.now() != view {
				t.Fatalf("view %d ended while the time was known: %s", view, w.text())
			}
		}
		w.run(5 * second)
		if hasLeft := w.server() != primary; hasLeft == isEverywhere || (w.view() != view) != hasLeft {
			t.Fatalf("the time is lost everywhere: %v: %s", isEverywhere, w.text())
		}
		w.quiet(false)
		if !isEverywhere {
			w.serves(second, "nobody serves")
		}
	}
}
