package consensus

import (
	"testing"

	"ledger/peer"
)

// begun is a cluster of three that serves, with its primary and the two that follow it in turn.
func begun(t *testing.T, seed uint64) (w *several, primary, next, last int) {
	t.Helper()
	w = newSeveral(t, 3, seed)
	w.addClients(3)
	w.run(4 * second)
	primary = w.server()
	if primary < 0 || w.replied() == 0 {
		t.Fatalf("nobody serves: %s", w.text())
	}
	return w, primary, (primary + 1) % 3, (primary + 2) % 3
}

// server is the machine that serves in the highest view, or -1.
func (w *several) server() int {
	found, view := -1, uint32(0)
	for i, m := range w.machines {
		if m.isUp && m.stage.mayOrder() && m.stage.views.now() >= view {
			found, view = i, m.stage.views.now()
		}
	}
	return found
}

// view is the highest view of any machine.
func (w *several) view() (view uint32) {
	for _, m := range w.machines {
		view = max(view, m.stage.views.now())
	}
	return view
}

// serves demands that the clients get replies within ns.
func (w *several) serves(ns uint64, what string) {
	w.t.Helper()
	for before, until := w.replied(), w.nowNs+ns; w.nowNs < until; {
		if w.run(second / 10); w.replied() >= before+20 {
			return
		}
	}
	w.t.Fatalf("%s: %s", what, w.text())
}

// Goal: a new primary that cannot fetch a prepare that its log has to have gives way. Primary and
// last have an op that next never had. next becomes the primary, chooses the op because of last's
// copy, and no prepare reaches it. last has everything.
func TestSeveralPrimaryWithoutAPrepare(t *testing.T) {
	w, primary, next, last := begun(t, 21)
	w.maySpread = true
	w.until("the checkpoints are equal for a while, so that nobody hands on", func() bool {
		checkpoint := w.machines[next].superblock.Checkpoint.Op
		for _, m := range w.machines {
			if m.superblock.Checkpoint.Op != checkpoint {
				return false
			}
		}
		return w.oracle.highest < checkpoint+50
	})
	w.onSend = func(_, to int, f *flight) bool {
		return to != next || f.command != peer.CommandPrepare && f.command != peer.CommandRepairPrepare
	}
	w.run(second / 5)
	w.machines[primary].crash()
	before, view := w.oracle.highest, w.view()
	if last := w.machines[last]; !last.has(before, w.oracle.committed[before]) || w.machines[next].has(before, w.oracle.committed[before]) {
		t.Fatalf("op %d is not where the schedule wants it: %s", before, w.text())
	}
	w.run(2 * second)
	w.machines[primary].start()
	w.serves(8*second, "a primary that misses a prepare stays")
	if now := w.view(); now < view+2 || w.server() == next {
		t.Fatalf("view %d after view %d: %s", now, view, w.text())
	}
	w.maySpread = false
	w.heal()
}

// Goal: a primary whose prepares reach nobody gives way, although its heartbeats are answered.
func TestSeveralPrepareWithoutAQuorum(t *testing.T) {
	w, primary, _, _ := begun(t, 22)
	w.onSend = func(from, _ int, f *flight) bool {
		return from != primary || f.command != peer.CommandPrepare
	}
	w.serves(6*second, "a primary whose prepares reach nobody stays")
	if w.server() == primary {
		t.Fatal(w.text())
	}
	w.heal()
}

// Goal: what the primary waits for is a checkpoint that its backups write slowly. Another primary
// would wait as well, so the view stays.
func TestSeveralCheckpointHoldsTheQuorum(t *testing.T) {
	w, primary, next, last := begun(t, 23)
	w.machines[next].isCheckpointHeld, w.machines[last].isCheckpointHeld = true, true
	view, replied := w.view(), -1
	w.maySpread = true
	for range 200 {
		before := w.replied()
		if w.run(second / 10); w.replied() == before && replied == before {
			break
		}
		replied = before
	}
	if m := w.machines[primary]; m.stage.pipeline.count() == 0 {
		t.Fatalf("nothing waits: %s", w.text())
	}
	w.run(5 * second)
	if w.view() != view || w.server() != primary {
		t.Fatalf("view %d ended: %s", view, w.text())
	}
	w.machines[next].isCheckpointHeld, w.machines[last].isCheckpointHeld = false, false
	w.serves(2*second, "the checkpoint is there, and nothing goes on")
	if w.view() != view {
		t.Fatalf("view %d ended: %s", view, w.text())
	}
}

// Goal: a cluster that cannot go on says why. The last op is committed by A and X, and both copies
// rot; Y never had it.
func TestSeveralStuckIsSaid(t *testing.T) {
	w, _, next, last := begun(t, 24)
	w.maySpread = true
	w.isolate(last, true)
	w.run(second / 10)
	w.quiet(true)
	w.run(second / 5)
	op := w.oracle.highest
	for i, m := range w.machines {
		m.crash()
		if i != last {
			m.disk[op%uint64(len(m.disk))] = diskSlot{[]byte{}, []byte{}}
		}
	}
	for _, m := range w.machines {
		m.start()
	}
	w.isolate(last, false)
	w.quiet(false)
	w.run(10 * second)
	if w.oracle.highest != op || !w.machines[next].away[AwayStuck] || w.machines[next].service.IsServing() {
		t.Fatalf("op %d of %d; said: %v: %s", op, w.oracle.highest, w.machines[next].away, w.text())
	}
}
