package ids

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage/table"
)

// maybe tells whether a filter lets an id pass.
func maybe(f *Filter, id accounting.U128) bool {
	hash := table.FilterHash(id.Hi, id.Lo)
	for n := range f.generations[:f.count] {
		if table.FilterPasses((*[table.FilterBucketBytes]byte)(table.FilterBucket(f.generations[n].filter, hash)), hash) {
			return true
		}
	}
	return false
}

// Goal: a memtable is added to the filter if more than one in 64 of its ids was not above all
// others, and then all of it is, in parts of at most so many ids. The room that it did not need is
// given back at its end, so that the next ones need no other generation.
func TestFeedRules(t *testing.T) {
	random := seeded.Rand(t)
	l := limits.Development()
	a := arena.New()
	defer a.Close()
	const most = 1000
	f := NewFilter(a, &l, 1<<20, most)
	draw := func(count int) (ids []accounting.U128) {
		for range count {
			ids = append(ids, accounting.U128{Lo: random.Uint64(), Hi: random.Uint64()})
		}
		return ids
	}
	for _, c := range []struct {
		rows, dead int
		older      uint32
		isAdded    bool
	}{
		{0, 0, 0, false}, {1, 0, 0, false}, {1, 0, 1, true}, {0, 1, 1, true}, {63, 0, 1, true}, {64, 0, 1, false}, {60, 4, 1, false},
		{64, 0, 2, true}, {127, 0, 1, false}, {127, 0, 2, true}, {100, 28, 2, false}, {100, 28, 3, true},
		{most, 0, 15, false}, {most, 0, 16, true},
	} {
		kept := uint64(0)
		if f.count > 0 {
			kept = f.generations[0].idsKept
		}
		ids := Fed{Rows: draw(c.rows), Dead: draw(c.dead), Older: c.older}
		feed, part, parts := Feed{}, 1+random.Uint32N(200), 0
		for !f.Feed(&feed, ids, part) {
			if parts++; parts > c.rows+c.dead+1 || feed.to == nil {
				break
			}
			if added := int(feed.rows + feed.dead); added != min(parts*int(part), c.rows+c.dead) {
				t.Fatalf("%+v: %d ids are added in %d parts of %d", c, added, parts, part)
			}
		}
		if all := f.FeedEnd(&feed, ids); all != c.isAdded {
			t.Fatalf("%+v: all ids are added: %v", c, all)
		}
		if !c.isAdded {
			if f.count > 0 && f.generations[0].idsKept != kept {
				t.Fatalf("%+v: room is kept for ids that are not added", c)
			}
			continue
		}
		for _, id := range append(ids.Rows, ids.Dead...) {
			if !maybe(&f, id) {
				t.Fatalf("%+v: id %v is taken for new", c, id)
			}
		}
		if got := f.generations[0].idsKept - kept; got != uint64(c.rows+c.dead) || f.Generations() != 1 {
			t.Fatalf("%+v: room for %d ids is kept, in %d generations", c, got, f.Generations())
		}
	}
}

// Goal: a filter that is reset, a part of its memory at a time, has no id and clean memory, and
// fills like a new one: the same generations at the same ids.
func TestFilterReset(t *testing.T) {
	random := seeded.Rand(t)
	l := limits.Development()
	l.MemtableRowsSeal = 1024 // a small first generation
	a := arena.New()
	defer a.Close()
	const most = 4000
	f := NewFilter(a, &l, 1<<19, most)
	seed := random.Uint64()
	fill := func() (ids []accounting.U128, generations []int) {
		for n := range uint64(60) {
			part := make([]accounting.U128, most)
			for i := range part {
				part[i] = accounting.U128{Lo: (seed + n*most + uint64(i)) * 0x9e3779b97f4a7c15, Hi: n ^ seed}
			}
			var feed Feed
			f.Feed(&feed, Fed{Rows: part, Older: most}, most)
			if !f.FeedEnd(&feed, Fed{Rows: part, Older: most}) {
				t.Fatalf("memtable %d has no room", n)
			}
			ids, generations = append(ids, part...), append(generations, f.Generations())
		}
		return ids, generations
	}
	ids, before := fill()
	if before[len(before)-1] < 4 {
		t.Fatalf("%d generations: the test shows little", before[len(before)-1])
	}
	for _, id := range ids {
		if !maybe(&f, id) {
			t.Fatalf("id %v is taken for new", id)
		}
	}
	const bytesMax = 10_000
	used, calls := f.usedBytes+f.firstBytes, uint64(1)
	for f.Reset(bytesMax) {
		calls++
	}
	if calls < used/bytesMax || calls > used/bytesMax+3 {
		t.Errorf("%d bytes are cleared in %d calls of %d bytes", used, calls, bytesMax)
	}
	for _, id := range ids {
		if maybe(&f, id) {
			t.Fatalf("id %v is known after a reset", id)
		}
	}
	for _, memory := range [][]byte{f.first, f.memory} {
		for at, b := range memory {
			if b != 0 {
				t.Fatalf("byte %d of the memory is %x after a reset", at, b)
			}
		}
	}
	if _, after := fill(); len(after) != len(before) {
		t.Fatal("not all is filled again")
	} else {
		for n := range after {
			if after[n] != before[n] {
				t.Fatalf("memtable %d: %d generations after a reset, %d before", n, after[n], before[n])
			}
		}
	}
}

// Goal: hash tables are at most half full, say so at exactly that count, and find their entries
// where a run goes on from the last slot to the first one. Indexes reach from 0 to the largest one.
func TestTablesAtEdges(t *testing.T) {
	a := arena.New()
	defer a.Close()
	options := arena.Options{Class: arena.Table}
	for _, c := range []struct{ first, most, slots, slotsMost uint32 }{
		{1, 1, 16, 16}, {8, 8, 16, 16}, {8, 9, 16, 32}, {9, 9, 32, 32}, {100, 9, 32, 32}, {1, 1000, 16, 2048},
	} {
		const indexesMax = 1 << 20
		ids := NewTable(a, c.first, c.most, indexesMax, "test", options)
		key := hashing.NewKey(3)
		numbers := NewNumbers(a, &key, c.first, c.most, "test", options)
		if len(ids.slots) != int(c.slots) || cap(ids.slots) != int(c.slotsMost) || len(numbers.slots) != int(c.slots) {
			t.Fatalf("%+v: %d of %d slots, %d of numbers", c, len(ids.slots), cap(ids.slots), len(numbers.slots))
		}
		of := func(i uint32) uint64 { return uint64(i) + 1<<39 } // numbers reach up to 40 bits
		for n := range c.most {
			if full := n == ids.countFull; ids.Full() != full || numbers.Full() != full {
				t.Fatalf("%+v: with %d of %d entries a table is full: %v, of numbers %v", c, n, ids.countFull, ids.Full(), numbers.Full())
			}
			if ids.Full() {
				ids.Grow()
				numbers.Grow(of)
				for i := range n {
					ids.Insert(lastHome(i), indexesMax-1-i)
				}
			}
			ids.Insert(lastHome(n), indexesMax-1-n)
			numbers.Insert(of(n), n)
		}
		for n := range c.most {
			found := false
			for at := lastHome(n); !found; at++ {
				index, ok := ids.Probe(&at, lastHome(n))
				if !ok {
					t.Fatalf("%+v: entry %d is not found", c, n)
				}
				found = index == indexesMax-1-n
			}
			if index, ok := numbers.Find(of(n)); !ok || index != n {
				t.Fatalf("%+v: number %d is %d (%v)", c, of(n), index, ok)
			}
		}
		if _, ok := numbers.Find(of(c.most)); ok {
			t.Fatalf("%+v: a number is found that was never inserted", c)
		}
		for n := c.most; n > 0; n-- { // as a rollback does
			ids.RemoveLast(lastHome(n-1), indexesMax-n)
			numbers.RemoveLast(of(n - 1))
		}
		for _, slot := range ids.slots {
			if slot != 0 {
				t.Fatalf("%+v: a slot is taken in an empty table", c)
			}
		}
		if _, ok := numbers.Find(of(0)); ok || ids.Count() != 0 || numbers.Count() != 0 {
			t.Fatalf("%+v: %d ids and %d numbers are left", c, ids.Count(), numbers.Count())
		}
	}
}

// lastHome is a hash whose home is the last slot, of any table. Its tag depends on n.
func lastHome(n uint32) uint64 { return uint64(n%5)<<60 | 0xffff_ffff }
