package consensus

import "testing"

// Goal: a replica that waits for the checkpoint before its end sleeps. Only events end that wait, so
// no time is due for ever.
func TestSettleWaitsAsleep(t *testing.T) {
	w := newTester(t, tailLimits())
	f := w.register(5)
	for range 8 {
		f = w.create(f, 10)
	}
	w.leaves = true
	steps := 0
	for w.turn(); !w.left && steps < 1000; steps++ {
		w.finishAppend()
		w.finishCommit() // and no checkpoint
		w.turn()
		if w.snapshotIsLent() && w.appending == nil && len(w.commits) == 0 {
			break
		}
	}
	if w.left || steps == 1000 {
		t.Fatalf("left %v, head %d, after %d steps", w.left, w.head, steps)
	}
	for range 5 {
		w.nowNs += pulseIdleNs
		w.turn()
		if at := w.stage.TimerNs(); at <= w.nowNs {
			t.Fatalf("%d ns after it began to wait for the checkpoint, a step is due since %d ns", w.nowNs, w.nowNs-at)
		}
	}
}

func (w *tester) snapshotIsLent() bool { return w.stage.snapshot.isLent() }
