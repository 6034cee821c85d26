package rows

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/storage/forest/ids"
)

// Goal: exactly the accounts that are in the cache are found, by ordinal and by id, for any order
// in which accounts come, leave and are dropped. Ids of a counter, which fill whole lines of the
// index, are found while the cache is full.
func TestCache(t *testing.T) {
	random := seeded.Rand(t)
	for range 100 {
		a := arena.New()
		c := newCache(a, &testKey, uint32(1+random.IntN(300)), false)
		idOf := func(ordinal accounting.AccountOrdinal) accounting.U128 {
			return accounting.U128{Lo: uint64(ordinal) + 1}
		}
		if random.IntN(2) == 0 {
			idOf = func(ordinal accounting.AccountOrdinal) accounting.U128 {
				return accounting.U128{Hi: uint64(ordinal) * 0x9e3779b97f4a7c15, Lo: 1}
			}
		}
		spread := uint32(1) << (1 + random.IntN(10))
		in := map[accounting.AccountOrdinal]uint32{} // epochs
		for range 2000 {
			ordinal := accounting.AccountOrdinal(random.Uint32N(spread))
			switch entry := c.find(ordinal); {
			case random.IntN(8) == 0:
				c.drop(ordinal)
				delete(in, ordinal)
			case entry == noEntry:
				entry = c.place(ordinal)
				if dropped, epoch, ok := c.at(entry); ok {
					if in[dropped] != epoch {
						t.Fatalf("account %d leaves with epoch %d, want %d", dropped, epoch, in[dropped])
					}
					delete(in, dropped)
				}
				in[ordinal] = random.Uint32N(epochMax)
				c.put(entry, ordinal, &accounting.Account{ID: idOf(ordinal), Timestamp: uint64(ordinal)}, in[ordinal])
			}
			ordinal = accounting.AccountOrdinal(random.Uint32N(spread))
			id := idOf(ordinal)
			entry := c.findID(id, ids.Hash(&testKey, id))
			epoch, want := in[ordinal]
			if (entry != noEntry) != want || entry != c.find(ordinal) {
				t.Fatalf("account %d is at %d by id and %d by ordinal, want one: %v", ordinal, entry, c.find(ordinal), want)
			}
			if want && (c.epoch(entry) != epoch || c.accounts[entry].Timestamp != uint64(ordinal)) {
				t.Fatalf("account %d has epoch %d, want %d", ordinal, c.epoch(entry), epoch)
			}
		}
		if int(c.ids.Count()) != len(in) {
			t.Fatalf("%d ids, want %d", c.ids.Count(), len(in))
		}
		for ordinal := range in {
			c.drop(ordinal)
		}
		if c.ids.Count() != 0 {
			t.Fatalf("%d ids are in the table, and no account is there", c.ids.Count())
		}
		a.Close()
	}
}

// Goal: a full cache of ids that a client counted guesses nearly all of them right.
func TestCacheGuess(t *testing.T) {
	a := arena.New()
	defer a.Close()
	const count = 1 << 16
	c := newCache(a, &testKey, count, false)
	for i := range uint32(count) {
		c.put(i, accounting.AccountOrdinal(i), &accounting.Account{ID: accounting.U128{Lo: uint64(i) + 1}}, epochNone)
	}
	wrong := 0
	for i := range uint32(count) {
		if c.guess(c.hash(i)) != i {
			wrong++
		}
	}
	if wrong > count/500 {
		t.Errorf("of %d ids %d are guessed wrong", count, wrong)
	}
	t.Logf("of %d ids %d are guessed wrong", count, wrong)
}

// Goal: a cache has at least one set and no part of one. Each of the first accounts has an entry of
// its own, so that as many as fit push none out. The next one pushes out an account of its set that
// was not used since the hand passed, and any one only if all were.
func TestCacheIsFilled(t *testing.T) {
	random := seeded.Rand(t)
	for _, c := range []struct{ accountsMax, count uint32 }{{0, 8}, {1, 8}, {7, 8}, {8, 8}, {9, 8}, {15, 8}, {16, 16}, {300, 296}} {
		a := arena.New()
		cache := newCache(a, &testKey, c.accountsMax, false)
		if cache.count != c.count {
			t.Fatalf("a cache for %d accounts has %d entries, want %d", c.accountsMax, cache.count, c.count)
		}
		put := func(ordinal accounting.AccountOrdinal, entry uint32) {
			cache.put(entry, ordinal, &accounting.Account{ID: accounting.U128{Lo: uint64(ordinal) + 1}}, epochNone)
		}
		for _, at := range random.Perm(int(c.count)) {
			entry := cache.place(accounting.AccountOrdinal(at))
			if _, _, ok := cache.at(entry); ok || entry != uint32(at) {
				t.Fatalf("account %d of %d goes to entry %d, which is taken: %v", at, c.count, entry, ok)
			}
			put(accounting.AccountOrdinal(at), entry)
		}
		cache.check()
		for round := range uint32(50) {
			ordinal := accounting.AccountOrdinal(c.count + round*97)
			base := cache.home(ordinal) &^ (cacheWays - 1)
			for way := range uint32(cacheWays) { // the hand has passed all of them
				cache.states[base+way] &^= stateUsed
			}
			isUsed := map[uint32]bool{}
			for range random.IntN(2 * cacheWays) {
				entry := base + random.Uint32N(cacheWays)
				used, _, _ := cache.at(entry)
				isUsed[entry] = true
				if random.IntN(2) == 0 {
					cache.find(used)
				} else {
					cache.findID(cache.accounts[entry].ID, cache.hash(entry))
				}
			}
			if round == 0 {
				for way := range uint32(cacheWays) { // all of them
					isUsed[base+way] = true
					cache.setEpoch(base+way, epochNone)
				}
			}
			entry := cache.place(ordinal)
			if entry < base || entry >= base+cacheWays {
				t.Fatalf("account %d goes to entry %d, which is not in its set at %d", ordinal, entry, base)
			}
			if isUsed[entry] && len(isUsed) < cacheWays {
				t.Fatalf("round %d: an account that was used lately leaves, and %d were not", round, cacheWays-len(isUsed))
			}
			put(ordinal, entry)
		}
		cache.check()
		a.Close()
	}
}
