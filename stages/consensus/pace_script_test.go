package consensus

import (
	"testing"

	"ledger/peer"
	"ledger/vsr"
)

// fullOpsSeveral is a cluster under a closed loop of requests that are prepares of their own, and
// that keep each machine busy for 10 ms. So execution is what bounds it.
func fullOpsSeveral(t *testing.T, seed uint64) *several {
	t.Helper()
	w := smallOpsSeveral(t, 3, 8, seed)
	w.opBytes = smallRequestBytesMax + 1024
	for _, m := range w.machines {
		m.workNs = 10_000_000
	}
	w.run(2 * second)
	return w
}

// Goal: a backup that was stopped under requests that keep all machines busy is back soon. It does
// not go on as fast as the others, and as far behind them.
func TestSeveralReturnsUnderFullLoad(t *testing.T) {
	for i, awayNs := range []uint64{second, 4 * second} {
		w := fullOpsSeveral(t, 340+uint64(i))
		m := w.machines[(w.primary().index+1)%3]
		m.isStopped = true
		w.run(awayNs)
		m.isStopped = false
		begunNs, begun, missed := w.nowNs, w.oracle.highest, w.oracle.highest-m.executed
		for m.executed+16 < w.oracle.highest {
			if w.run(second / 100); w.nowNs > begunNs+awayNs+10*second {
				t.Fatalf("a backup that was stopped for %d s and missed %d ops is %d behind after %d s: %s", awayNs/second, missed,
					w.oracle.highest-m.executed, (w.nowNs-begunNs)/second, w.text())
			}
		}
		took := w.nowNs - begunNs
		perSecond, paced := (w.oracle.highest-begun)*second/took, w.primary().stage.pace.TotalNs()
		if perSecond < 40 || paced > took {
			t.Fatalf("until it is back, after %d ms, the cluster executes %d ops per second, and keeps a pace for %d ms", took/1_000_000, perSecond,
				paced/1_000_000)
		}
		t.Logf("stopped for %d s: %d ops missed, near %d ms later, %d ops per second meanwhile", awayNs/second, missed, took/1_000_000, perSecond)
		w.heal()
		w.close()
	}
}

// Goal: the primary waits for a backup that was stopped as soon as that executes again and tells
// how much it misses. It does not wait for pings, of which the first one tells of nothing.
func TestSeveralPaceBeginsAtOnce(t *testing.T) {
	w := fullOpsSeveral(t, 349)
	m := w.machines[(w.primary().index+1)%3]
	m.isStopped = true
	w.run(3 * second)
	m.isStopped = false
	executed := m.executed
	w.until("the backup executes", func() bool { return m.executed > executed })
	begunNs, keptNs := w.nowNs, w.primary().stage.pace.TotalNs()
	w.run(second)
	if kept := w.primary().stage.pace.TotalNs() - keptNs; kept < 3*second/4 {
		t.Fatalf("a pace was kept for %d ms of %d ms after the return: %s", kept/1_000_000, (w.nowNs-begunNs)/1_000_000, w.text())
	}
	w.close()
}

// Goal: one that comes back by state sync has pauses of its own until it is near. From then on it
// is waited for like one that comes back by the log, though it has not got all blocks yet.
func TestSeveralPaceAfterASync(t *testing.T) {
	w := fullOpsSeveral(t, 351)
	s, other := w.primary().stage, (w.primary().index+1)%3
	w.quiet(true)
	w.run(second)
	near := vsr.NearOps(&w.l)
	for _, c := range []struct {
		lagOps uint64
		isOn   bool
	}{{near + 1, false}, {near, true}} {
		now := s.timers.now()
		s.spacing.tell(other, true, vsr.Return{OpenNs: second}, now)
		s.pace.Executed(now, other, 1_000_000+now, near+1)
		s.paceReported(other, &peer.State{CommitMax: 1000, CommitMin: 1000 - c.lagOps, SyncOp: 1})
		if isOn := s.pace.IsOn(now + vsr.PaceAfterNs); isOn != c.isOn {
			t.Errorf("a syncing backup that is %d ops behind, of %d that are near: a pace is kept: %v", c.lagOps, near, isOn)
		}
	}
}

// Goal: one that never comes near does not hold up the others for longer than a minute, and they go
// on meanwhile.
func TestSeveralPaceEnds(t *testing.T) {
	w := fullOpsSeveral(t, 345)
	w.syncOff()
	slow := w.machines[(w.primary().index+1)%3]
	slow.workNs = 45_000_000
	least, most, keptNs := uint64(second), uint64(0), uint64(0)
	for range 75 {
		from := w.oracle.highest
		w.run(second)
		done := w.oracle.highest - from
		if least, most = min(least, done), max(most, done); done < 15 {
			t.Fatalf("%d ops in a second for a backup that is slow: %s", done, w.text())
		}
		keptNs = w.primary().stage.pace.TotalNs()
	}
	if keptNs < 10*second || keptNs > 62*second {
		t.Fatalf("a pace was kept for %d ms: %s", keptNs/1_000_000, w.text())
	}
	t.Logf("%d to %d ops per second, a pace was kept for %d ms", least, most, keptNs/1_000_000)
	slow.workNs = 10_000_000
	w.close()
}

// Goal: nobody waits for a backup that executes nothing, though it is heard.
func TestSeveralNoPaceForOneThatHangs(t *testing.T) {
	w := fullOpsSeveral(t, 347)
	w.machines[(w.primary().index+1)%3].holdsWork = true
	w.run(3 * second)
	from := w.oracle.highest
	w.run(4 * second)
	if done := w.oracle.highest - from; done < 360 || w.primary().stage.pace.TotalNs() > second {
		t.Fatalf("%d ops in 4 s, and a pace was kept for %d ms, while a backup hangs", done, w.primary().stage.pace.TotalNs()/1_000_000)
	}
	w.close()
}
