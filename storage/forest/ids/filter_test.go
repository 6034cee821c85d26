package ids

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/table"
)

// drawID draws ids of the kinds that clients use: random, counting, a time and then random bits.
func drawID(random *rand.Rand, kind int, counter uint64) accounting.U128 {
	switch kind {
	case 0:
		return accounting.U128{Lo: random.Uint64(), Hi: random.Uint64()}
	case 1:
		return accounting.U128{Lo: counter}
	}
	return accounting.U128{Lo: random.Uint64(), Hi: counter<<16 | random.Uint64N(1<<16)}
}

// ask returns how many of these ids pass the filter.
func ask(f *Filter, ids []accounting.U128) (passed int) {
	for len(ids) > 0 {
		var candidates [32]Candidate
		count := min(len(ids), len(candidates))
		for i, id := range ids[:count] {
			var key storage.Key
			binary.BigEndian.PutUint64(key[:], id.Hi)
			binary.BigEndian.PutUint64(key[8:], id.Lo)
			candidates[i] = Candidate{Index: i, ID: id, Key: key, Filter: table.FilterKeyOf(&key)}
		}
		maybe := f.Maybe(candidates[:count])
		indexes := 0
		for _, c := range candidates[:count] {
			indexes |= 1 << c.Index
		}
		if indexes != 1<<count-1 {
			panic("a candidate is lost")
		}
		passed += maybe
		ids = ids[count:]
	}
	return passed
}

// Goal: memtable after memtable is fed, in parts of any size, the next one while the one before is
// flushed. Over many generations no id that was added is taken for new, and few that were not are
// taken for old. A memtable of ids that counted up is not added. When memory is used up, that is
// said before an id is added.
func TestFilter(t *testing.T) {
	random := seeded.Rand(t)
	l := limits.Development()
	l.MemtableRowsSeal = 64
	memory := arena.New()
	defer memory.Close()
	const idsFeed = 300
	f := NewFilter(memory, &l, 1<<17, idsFeed)
	var all []accounting.U128
	added := func(feed *Feed, ids Fed) []accounting.U128 {
		return append(append([]accounting.U128(nil), ids.Rows[:feed.rows]...), ids.Dead[:feed.dead]...)
	}
	isFull := false
	for n := 1; !isFull; n++ {
		ids := Fed{Rows: make([]accounting.U128, 1+random.IntN(idsFeed-50)), Dead: make([]accounting.U128, random.IntN(50))}
		for i := range ids.Rows {
			ids.Rows[i] = drawID(random, n%3, uint64(len(all)+i))
		}
		for i := range ids.Dead {
			ids.Dead[i] = drawID(random, n%3, uint64(len(all)+len(ids.Rows)+i))
		}
		count := len(ids.Rows) + len(ids.Dead)
		ids.Older = uint32(count)
		if n%8 == 0 {
			ids.Older = uint32(count / olderOf)
		}
		var feed Feed
		for part := 0; part < count && random.IntN(4) > 0; {
			part += 1 + random.IntN(count-part)
			rows := min(part, len(ids.Rows))
			shown := Fed{Rows: ids.Rows[:rows], Dead: ids.Dead[:part-rows], Older: ids.Older * uint32(part) / uint32(count)}
			if f.Feed(&feed, shown, uint32(random.IntN(idsFeed))) && ask(&f, added(&feed, shown)) < part {
				t.Fatalf("not all %d ids that are said to be in the filter are there", part)
			}
		}
		covered := f.FeedEnd(&feed, ids)
		switch {
		case n%8 == 0 && feed.to == nil:
			if covered {
				t.Fatal("ids that were not added are said to be in the filter")
			}
			continue
		case !covered:
			isFull = true
			if feed.rows+feed.dead > 0 {
				t.Fatal("there was room for some of a memtable's ids")
			}
			continue
		}
		all = append(append(all, ids.Rows...), ids.Dead...)
	}
	if f.Generations() < 6 || f.idsSum > 3*uint64(len(all))+f.idsFirst {
		t.Errorf("%d generations with room for %d ids hold %d", f.Generations(), f.idsSum, len(all))
	}
	if passed := ask(&f, all); passed != len(all) {
		t.Errorf("%d of %d ids are taken for new", len(all)-passed, len(all))
	}
	fresh := make([]accounting.U128, 100_000)
	for i := range fresh {
		fresh[i] = accounting.U128{Lo: random.Uint64(), Hi: random.Uint64()}
	}
	// Expected: some 0.1 % of each full generation.
	if passed := ask(&f, fresh); passed > len(fresh)/200*f.Generations() {
		t.Errorf("%d of %d ids that were never added pass %d generations", passed, len(fresh), f.Generations())
	}
}

// Goal: the ids of a checkpoint, early and late ones, pass the filter once a loader has added them,
// and so do ids of memtables that come meanwhile. Few others pass, because the late ids have a
// generation with enough room and nobody else's ids come into it. A filter without memory says so.
// After Reset it is as new.
func TestFilterOpen(t *testing.T) {
	random := seeded.Rand(t)
	l := limits.Development()
	l.MemtableRowsSeal = 64
	memory := arena.New()
	defer memory.Close()
	const idsFeed, idsMax = 300, 1 << 17
	f := NewFilter(memory, &l, idsMax, idsFeed)
	loader := NewLoader(memory, &f)
	draw := func(count uint64) (ids []accounting.U128) {
		for range count {
			ids = append(ids, drawID(random, 0, 0))
		}
		return ids
	}
	for round := range 12 {
		counts := []uint64{0, 1 + random.Uint64N(200), 1 + random.Uint64N(20_000)}
		early, late := draw(counts[round%3]), draw(counts[round/3%3])
		room, ok := f.Open(uint64(len(early)), uint64(len(late)))
		if !ok {
			t.Fatalf("no room for %d early and %d late ids", len(early), len(late))
		}
		if round == 11 {
			late = append(late, draw(room)...) // of runs that were merged
		}
		var fed []accounting.U128
		for part, ids := range [][]accounting.U128{early, late} {
			loader.Begin(part == 0)
			for len(ids) > 0 {
				count := min(len(ids), 1+random.IntN(900))
				var hashes []uint64
				for _, id := range ids[:count] {
					hashes = append(hashes, table.FilterHash(id.Hi, id.Lo))
				}
				loader.Add(hashes)
				ids = ids[count:]
				var feed Feed
				rows := draw(1 + random.Uint64N(idsFeed))
				if !f.FeedEnd(&feed, Fed{Rows: rows, Older: uint32(len(rows))}) {
					t.Fatal("no room for a memtable")
				}
				fed = append(fed, rows...)
			}
			for loader.Empty() {
			}
		}
		for name, ids := range map[string][]accounting.U128{"early": early, "late": late, "fed": fed} {
			if passed := ask(&f, ids); passed != len(ids) {
				t.Fatalf("round %d: %d of %d %s ids pass", round, passed, len(ids), name)
			}
		}
		if fresh := draw(20_000); ask(&f, fresh) > len(fresh)/200*max(1, f.Generations()) {
			t.Errorf("round %d: %d of %d ids that were never added pass %d generations", round, ask(&f, fresh), len(fresh), f.Generations())
		}
		for f.Reset(random.Uint64N(4096) + 1) {
		}
		if f.Generations() != 0 || ask(&f, append(early, late...)) > 0 {
			t.Fatal("ids pass after a reset")
		}
	}
	if _, ok := f.Open(10, 2*idsMax); ok {
		t.Error("more ids than the memory has room for are taken")
	}
}
