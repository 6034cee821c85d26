package cluster

import (
	"testing"
	"time"
)

const (
	slowDelay  = 30 * time.Millisecond // of each disk request
	slowWindow = 10 * time.Second
)

// TestSlowPrimary makes each disk request of the primary take 30 ms longer, and measures how much
// of the throughput is there again after 10 s. A slow disk of the primary must not stop the
// cluster. The share is printed and decides nothing.
func TestSlowPrimary(t *testing.T) {
	isLong(t)
	_, seed := seeded(t)
	f, o := newFaults(t)
	o.isUngoverned = true // clients that rest for the slow one would say nothing of the others
	g := newGroup(t, o)
	p := newProbe(t, g)
	p.primary(g)
	l := newLoad(t, g, 4)
	h := newHistory(t, g, 4, seed)
	h.begin()
	l.begin(batchFull, 0)
	l.awaitCalls(g, 20)
	rate := func() float64 {
		begun, calls := time.Now(), l.calls.Load()
		l.awaitCalls(g, 40)
		return float64(l.calls.Load()-calls) / time.Since(begun).Seconds()
	}
	before := rate()
	old, begun := p.primary(g), time.Now()
	f.slow(old, slowDelay)
	for time.Since(begun) < slowWindow {
		l.awaitCalls(g, 1)
	}
	next := p.primary(g)
	after := rate()
	f.slow(old, 0)
	longest := p.longest(begun, time.Now())
	l.end()
	h.end()
	g.awaitCaughtUp(old)
	l.audit()
	g.settle(l)
	g.wantEqualDigests()
	t.Logf("the primary was replica %d, and %d later; %.1f batches/s before, %.1f after %v: %.0f %%; longest time without an answer %v",
		old, next, before, after, slowWindow, 100*after/before, longest)
	t.Logf("| slow primary | %v per disk request | %.0f %% of the throughput after %v | primary changed: %v |",
		slowDelay, 100*after/before, slowWindow, next != old)
}
