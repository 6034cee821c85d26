package consensus

import (
	"testing"

	"ledger/wire"
)

// Goal: a disk that is slow is told from one whose times are mostly the wait for a core; an append
// that hangs counts before it ends; and what was measured long ago does not count.
func TestCosts(t *testing.T) {
	const ms = 1_000_000
	of := func(times ...uint64) (costs, uint64) {
		c, nowNs := newCosts(), uint64(second)
		for i := range 100 {
			sum := wire.Checksum{1, byte(i)}
			c.began(sum, nowNs)
			nowNs += times[i%len(times)] * ms
			c.written(sum, nowNs)
		}
		return c, nowNs
	}
	busy, _ := of(2, 40, 100, 3, 60, 200, 2, 30)
	slow, nowNs := of(32, 70, 130, 33, 90, 230, 32, 60)
	if fast := busy.write.ns; fast > 10*ms || slow.write.ns < 30*ms || slow.write.ns < 4*fast {
		t.Errorf("a busy machine: %d us; with 30 ms more for each write: %d us", fast/1000, slow.write.ns/1000)
	}
	before := slow.now(nowNs).WriteNs
	slow.began(wire.Checksum{2}, nowNs)
	if got := slow.now(nowNs + second - 1).WriteNs; got != before {
		t.Errorf("an append of less than a second counts: %d us", got/1000)
	}
	if got := slow.now(nowNs + 5*second).WriteNs; got != 5*second {
		t.Errorf("an append that hangs for 5 s: %d us", got/1000)
	}
	slow.written(wire.Checksum{2}, nowNs+6*second)
	if got := slow.now(nowNs + 9*second).WriteNs; got != 0 {
		t.Errorf("three seconds after the last append: %d us", got/1000)
	}
}
