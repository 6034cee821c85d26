package levels

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
)

// Goal: while a block is damaged, trees that a restart decodes give the newest value of each key,
// keep removals, and have the postings in order; or they end with a fault that names the block. A
// damaged page never makes an older version the newest one, and no key unknown.
func TestAnswersOfADamagedBlock(t *testing.T) {
	random := seeded.Rand(t)
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	faults := 0
	for range rounds {
		l := foresttest.Limits()
		l.CacheGridBytes = 16 * uint64(l.PageBytes) // hardly a page is there still
		w := newWorld(t, l, random)
		for range 30 {
			w.bar(w.rows(random.IntN(60), false))
		}
		address := w.DamageAny(random)
		fault := foresttest.Fault(func() { w.answers(w.again()) })
		if fault == nil {
			continue
		}
		if faults++; fault.What != storage.FaultBlock || fault.Address != address {
			t.Fatalf("block %d is damaged, and an answer ends with %v", address, fault)
		}
	}
	if faults < rounds/10 {
		t.Errorf("%d of %d rounds met the damage: the test shows little", faults, rounds)
	}
}
