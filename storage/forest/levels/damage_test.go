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
	foresttest.MeetsDamage(t, 6, func() (uint64, *storage.Fault) {
		l := foresttest.Limits()
		l.CacheGridBytes = 16 * uint64(l.PageBytes) // hardly a page is there still
		w := newWorld(t, l, random)
		for range 30 {
			w.bar(w.rows(random.IntN(60), false))
		}
		return w.DamageAny(random), foresttest.Fault(func() { w.answers(w.again()) })
	})
}
