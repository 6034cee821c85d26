package consensus

import (
	"testing"

	"ledger/limits"
	"ledger/vsr"
)

// Goal: the time for which pauses are made for a replica is that in which it is connected. It does
// not begin anew with each connection, nor pass while there is none; after a long absence, or when
// the replica was near, there is all of it again.
func TestSpacingCountsTheConnection(t *testing.T) {
	l := limits.Production()
	p, own := spacing{}, vsr.Cost{WriteNs: 1_000_000}
	r := vsr.Return{OpenNs: 9 * second, Cost: own}
	now := uint64(100 * second)
	connected := func(ns uint64) bool {
		p.tell(1, true, r, now)
		now += ns
		return p.waitsFor(&l, 1, own, now-1)
	}
	for i := range 3 {
		if !connected(20 * second) {
			t.Fatalf("no pause in connection %d", i)
		}
		p.left(1, now)
		if now += 100 * second; p.waitsFor(&l, 1, own, now) {
			t.Fatal("pauses for a replica that is away")
		}
		p.left(1, now)
	}
	if connected(20 * second) {
		t.Fatal("the time begins anew with a connection")
	}
	p.left(1, now)
	if now += spacedAnewNs; !connected(20 * second) {
		t.Fatal("no pause after a long absence")
	}
	now += vsr.SpacingMaxNs
	p.tell(1, false, r, now) // it is near
	if !connected(20 * second) {
		t.Fatal("no pause for a replica that was near")
	}
}
