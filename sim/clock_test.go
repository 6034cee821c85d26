package sim

import (
	"math/rand/v2"
	"testing"
)

// Goal: a timer of a machine's clock is due on its clock at the moment at which the world lets it
// be due, and not much earlier, however the clock drifts.
func TestClock(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 0))
	for range 2000 {
		q := &events{nowNs: random.Uint64N(1 << 40)}
		c := clock{machine: &Machine{random: random, events: q.agenda()}}
		c.boot()
		q.nowNs += random.Uint64N(1 << 44)
		timer := c.monotonicNs() + 1 + random.Uint64N(1<<random.IntN(45))
		at := c.worldNs(timer)
		if at <= q.nowNs {
			t.Fatalf("a timer that is not due is due at %d, and it is %d; drift %d", at, q.nowNs, c.driftPPM)
		}
		if q.nowNs = at; c.monotonicNs() < timer || c.monotonicNs() > timer+4 {
			t.Fatalf("the clock shows %d when the timer of %d is due; drift %d", c.monotonicNs(), timer, c.driftPPM)
		}
		if q.nowNs = c.bootNs; c.worldNs(1) != c.bootNs || c.worldNs(^uint64(0)) != ^uint64(0) {
			t.Fatal("a timer in the past, or one that is never due, is wrong")
		}
	}
}
