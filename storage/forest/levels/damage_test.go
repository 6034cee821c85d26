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
	wanted := 6
	if testing.Short() {
		wanted = 2
	}
	faults, rounds := 0, 0
	for ; faults < wanted && rounds < 300; rounds++ { // most damage is where nothing is read
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
	if faults < wanted {
		t.Errorf("%d of %d rounds met the damage: the test shows little", faults, rounds)
	}
}
