package consensus

import "testing"

// Goal: a backup whose execution lags makes the primary pause, for at most a tenth of the time. A
// backup that is silent for more than a second, or that is near, makes it pause no more.
func TestSeveralPressure(t *testing.T) {
	w := newSeveral(t, 3, 5)
	w.addClients(3)
	w.run(2 * second)
	primary, slow := w.machines[1], w.machines[2]
	if !primary.stage.isPrimary() {
		t.Fatal(w.text())
	}
	paused := func() uint64 { return primary.stage.pressure.pausedNs() }
	if paused() > 0 {
		t.Fatalf("pauses of %d ns without a backup that lags", paused())
	}

	slow.holdsWork = true
	from := w.nowNs
	w.maySpread = true
	for range 200 {
		if w.run(second / 20); paused() > 0 {
			break
		}
	}
	lag := primary.stage.pressure.lag(w.nowNs)
	if took := w.nowNs - from; paused() == 0 || paused() > took/10 {
		t.Fatalf("a backup lags by %d ops: pauses of %d ns in %d ns", lag, paused(), took)
	}

	w.quiet(true)
	w.isolate(2, true)
	if w.run(second / 4); primary.stage.pressure.lag(w.nowNs) != lag {
		t.Fatalf("a lag of %d ops does not count for a second", lag)
	}
	w.run(second)
	if lag := primary.stage.pressure.lag(w.nowNs); lag > 1 {
		t.Fatalf("a backup that is silent counts, with a lag of %d ops", lag)
	}
	w.quiet(false)
	w.maySpread = false

	w.isolate(2, false)
	slow.holdsWork = false
	w.run(3 * second)
	before := paused()
	w.run(second)
	if lag := primary.stage.pressure.lag(w.nowNs); paused() > before {
		t.Fatalf("all backups are near: a lag of %d ops, pauses of %d ns", lag, paused()-before)
	}
	w.heal()
}
