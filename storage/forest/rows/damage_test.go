package rows

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
)

// Goal: while a block is damaged, every answer about accounts, transfers, statuses, ids and
// timestamps is right, or it is a fault that names the block. So no id is taken for new because
// the page that has it does not read back right, and no balance is an older one.
func TestAnswersOfADamagedBlock(t *testing.T) {
	random := seeded.Rand(t)
	foresttest.MeetsDamage(t, 6, func() (uint64, *storage.Fault) {
		w := filled(t, random, 12)
		return w.DamageAny(random), foresttest.Fault(func() {
			again := w.reopened() // nothing of it is in memory
			again.answers(true)
		})
	})
}

// Goal: answers are the same with any size of the caches, from those that hold hardly more than one
// request uses at a time to those that hold everything, and after a start as well.
func TestAnswersInAnyCache(t *testing.T) {
	random := seeded.Rand(t)
	bars := 40
	if testing.Short() {
		bars = 15
	}
	for _, c := range []struct {
		pages    uint64
		accounts uint32
	}{{16, 8}, {16, 256}, {48, 8}, {1 << 14, 1 << 12}} {
		l := foresttest.Limits()
		l.CacheGridBytes, l.CacheAccountsMax = c.pages*uint64(l.PageBytes), c.accounts
		w := worldOn(t, random, foresttest.New(t, l, random))
		for range 30 {
			w.account()
		}
		for bar := range bars {
			for range random.IntN(40) {
				w.step()
			}
			if random.IntN(3) == 0 {
				w.kill()
			}
			w.answers(false)
			w.bar(bar%9 == 8)
		}
		w.answers(true)
		evicted := w.keeper.Counters().DirtyEvicted
		if c.accounts == 8 && evicted == 0 || c.accounts == 1<<12 && evicted > 0 {
			t.Errorf("%d changed accounts leave a cache of %d", evicted, c.accounts)
		}
		w.bar(true) // all of it is on disk then
		w.reopened().answers(true)
	}
}
