package consensus

import (
	"testing"

	"ledger/peer"
)

// wishing counts the wishes to leave a view that leave any machine.
func (w *several) wishing() *int {
	count := new(int)
	w.onSend = func(_, _ int, f *flight) bool {
		if f.command == peer.CommandStartViewChange {
			*count++
		}
		return true
	}
	return count
}

// Goal: a replica that was held up does not take its own absence for the silence of the primary,
// nor for that of its backups: neither if what came meanwhile waits on the ring, nor if it has not
// been read yet.
func TestSeveralHeldUp(t *testing.T) {
	for _, isProcess := range []bool{false, true} {
		for _, isPrimary := range []bool{false, true} {
			w, primary, next, _ := begun(t, 31)
			m := w.machines[next]
			if isPrimary {
				m = w.machines[primary]
			}
			count := w.wishing()
			view, heldNs := w.view(), uint64(2*second)
			if isPrimary {
				heldNs = second / 4 // shorter than the time after which the others suspect it
			}
			if isProcess {
				m.isStopped = true
				w.run(heldNs)
				m.isStopped = false
				m.turn()
			} else {
				m.pausedNs = w.nowNs + heldNs
				w.run(heldNs)
			}
			w.serves(2*second, "nobody serves")
			if *count > 0 || w.view() != view {
				t.Fatalf("process %v, primary %v: %d wishes to leave view %d: %s", isProcess, isPrimary, *count, view, w.text())
			}
		}
	}
}

// Goal: a primary that was held up while a prepare waits is not deaf, although it has heard nobody
// for so long: what its backups have answered has not been read yet.
func TestSeveralHeldUpPrimary(t *testing.T) {
	w, primary, _, _ := begun(t, 36)
	w.quiet(true)
	w.run(15 * second)
	count, m := w.wishing(), w.machines[primary]
	w.quiet(false)
	for m.stage.pipeline.count() == 0 {
		w.run(1)
	}
	m.isStopped = true
	w.run(second)
	m.isStopped = false
	m.turn()
	w.serves(second, "nobody serves")
	if *count > 0 {
		t.Fatalf("%d wishes to leave view: %s", *count, w.text())
	}
}

// Goal: a replica that is held up in each of its steps still finds a silent primary, and a primary
// that nobody hears. Only the time in which it did not run does not count.
func TestSeveralAlwaysHeldUp(t *testing.T) {
	for _, isDead := range []bool{true, false} {
		w, primary, _, _ := begun(t, 37)
		if isDead {
			w.machines[primary].crash()
		} else {
			for i := range w.machines {
				w.isCut[i][primary] = true
			}
		}
		for end := w.nowNs + 5*second/2; w.server() == primary || w.server() < 0; w.run(10_000_000) {
			for _, m := range w.machines {
				if m.isUp && m.pausedNs <= w.nowNs {
					m.pausedNs = max(m.stage.TimerNs(), w.nowNs) + 60_000_000
				}
			}
			if w.nowNs > end {
				t.Fatalf("the primary is dead: %v, and stays: %s", isDead, w.text())
			}
		}
	}
}

// Goal: a sign of life counts from the step in which it comes, however long ago the last step was.
func TestSignOfLifeIsHeardNow(t *testing.T) {
	w, primary, next, _ := begun(t, 32)
	w.quiet(true)
	w.run(3 * second)
	m := w.machines[next]
	d := &m.stage.deadlines
	for m.netEvents = nil; len(m.netEvents) == 0; { // until the next heartbeat
		w.nowNs += 1_000_000
		w.deliver(primary, next)
		if primary := w.machines[primary]; w.nowNs >= primary.stage.TimerNs() {
			primary.finish()
			primary.turn()
		}
	}
	m.stage.deadlines.repair.Start(w.nowNs, 0)
	w.nowNs += 40_000_000
	m.turn()
	again := d.primary
	if again.Heard(w.nowNs); again != d.primary {
		t.Fatalf("the heartbeat was heard before %d: %+v", w.nowNs, d.primary)
	}
}

// Goal: a new prepare is a sign of life, so the own wish to leave the view ends.
func TestSeveralPrepareEndsTheWish(t *testing.T) {
	w, primary, next, _ := begun(t, 33)
	w.quiet(true)
	w.onSend = func(from, to int, f *flight) bool {
		return from != primary || to != next || f.command != peer.CommandCommit
	}
	w.run(3 * second)
	if !w.machines[next].stage.views.wished(next) {
		t.Fatalf("a replica that hears nothing has no wish: %s", w.text())
	}
	w.quiet(false)
	w.serves(second, "nobody serves")
	if w.machines[next].stage.views.wished(next) {
		t.Fatalf("a prepare has come, and the wish is still there: %s", w.text())
	}
}

// Goal: the first prepare after a pause may take longer than the time after which a primary that
// hears nobody is deaf, because the disks of its backups are slow. It asks them in between.
func TestSeveralSlowWriteAfterAPause(t *testing.T) {
	w, _, next, last := begun(t, 34)
	w.quiet(true)
	w.run(15 * second)
	view := w.view()
	w.machines[next].holdsAppends, w.machines[last].holdsAppends = true, true
	w.quiet(false)
	w.run(3 * second / 2)
	w.machines[next].holdsAppends, w.machines[last].holdsAppends = false, false
	w.serves(second, "nobody serves")
	if w.view() != view {
		t.Fatalf("view %d ended because of slow disks: %s", view, w.text())
	}
}

// Goal: under full load, with replicas that are held up and disks that are slow for a short time
// each, no view ends.
func TestSeveralFullLoad(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	w, _, _, _ := begun(t, 35)
	w.addClients(4)
	view, count := w.view(), w.wishing()
	for range rounds {
		m := w.machines[w.random.IntN(3)]
		switch w.random.IntN(4) {
		case 0:
			m.pausedNs = w.nowNs + uint64(w.random.IntN(second/5))
		case 1:
			m.holdsAppends = true
		case 2:
			m.isCheckpointHeld = true
		}
		w.run(uint64(second/5 + w.random.IntN(second/3)))
		m.holdsAppends, m.isCheckpointHeld = false, false
		w.run(uint64(w.random.IntN(second / 10)))
	}
	if w.view() != view {
		t.Fatalf("view %d ended after %d wishes: %s", view, *count, w.text())
	}
	w.serves(2*second, "nobody serves")
}
