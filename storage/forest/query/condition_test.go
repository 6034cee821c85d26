package query

import (
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
)

// pair opens a condition on two values of one tree, of which a row has one or the other, or on one.
func (w *world) pair(streams []postings, first, last uint64, reversed bool) (c condition, list []uint64) {
	tree, value := w.draw()
	values := []accounting.U128{value}
	for range 20 {
		if other, different := w.draw(); other == tree && different != value && w.random.IntN(2) == 0 {
			values = append(values, different)
			break
		}
	}
	for i, value := range values {
		streams[i].open(w.query, tree, value, first, last, reversed)
		c.streams[i] = &streams[i]
		list = append(list, w.ordinals(tree, value, first, last, reversed)...)
	}
	c.count = len(values)
	slices.Sort(list)
	if reversed {
		slices.Reverse(list)
	}
	return c, list
}

// Goal: a condition on one field or on two gives their ordinals together, in order and each once,
// in pieces of any size, with parts skipped; and it answers for single ordinals.
func TestConditionAgainstWalk(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 12_000)
	streams := []postings{newPostings(), newPostings()}
	counts, empty := [3]int{}, 0
	for range 300 {
		first, last := w.bounds()
		reversed := random.IntN(2) == 0
		c, want := w.pair(streams, first, last, reversed)
		counts[c.count]++
		if len(want) == 0 {
			empty++
		}
		if c.estimate(); c.surely > uint64(len(want)) || c.entries < c.surely || len(want) > 0 && c.pages == 0 {
			t.Fatalf("%d entries on %d pages, surely %d; there are %d", c.entries, c.pages, c.surely, len(want))
		}
		for range 10 {
			target := first + random.Uint64N(last-first+1)
			if got := c.has(target); got != slices.Contains(want, target) {
				t.Fatalf("%d is of the condition: %v", target, got)
			}
			at := slices.IndexFunc(want, func(o uint64) bool { return o == target || (o > target) != reversed })
			got, ok := c.seek(target)
			inside := ok && got >= first && got <= last
			if inside != (at >= 0) || inside && got != want[at] {
				t.Fatalf("from %d on, reversed %v: %d (%v)", target, reversed, got, ok)
			}
		}
		left := want
		for len(left) > 0 {
			if random.IntN(4) == 0 { // on from some ordinal
				target := left[random.IntN(len(left))]
				c.skip(target)
				left = left[slices.Index(left, target):]
			}
			out := make([]uint64, 1+random.IntN(2*streamOrdinals))
			taken := c.take(out)
			for taken > 0 && (out[taken-1] < first || out[taken-1] > last) {
				taken-- // a stream may go on beyond its bounds
			}
			if taken != min(len(out), len(left)) || !slices.Equal(out[:taken], left[:taken]) {
				t.Fatalf("%d of %d ordinals, want %d of %d, or others", taken, len(out), min(len(out), len(left)), len(left))
			}
			left = left[taken:]
		}
		if out := make([]uint64, 1); len(want) > 0 && c.take(out) > 0 && out[0] >= first && out[0] <= last {
			t.Fatalf("ordinal %d comes behind the last one", out[0])
		}
	}
	if counts[1] < 20 || counts[2] < 20 || empty == 0 {
		t.Errorf("%v conditions of one and of two fields, %d without a row: the test shows little", counts, empty)
	}
}

// Goal: candidates are kept or dropped alike by a search for each and by a bitmap, forth and back:
// exactly those that the condition has, at the ends of the bitmap and over its limit as well.
func TestFilterWays(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 12_000)
	streams := []postings{newPostings(), newPostings()}
	s := newIntersection()
	kept, dropped := 0, 0
	for range 300 {
		reversed := random.IntN(2) == 0
		c, has := w.pair(streams, 0, w.count-1, reversed)
		c.estimate()
		s.open(w.query, 0, w.count, reversed)
		var list, want []uint64
		step := 1 + random.Uint64N(200)
		for ordinal := random.Uint64N(w.count); ordinal < w.count && len(list) < foundMax; ordinal += 1 + random.Uint64N(step) {
			list = append(list, ordinal)
		}
		if reversed {
			slices.Reverse(list)
		}
		for _, ordinal := range list {
			if slices.Contains(has, ordinal) {
				want = append(want, ordinal)
			}
		}
		kept, dropped = kept+len(want), dropped+len(list)-len(want)
		out := make([]uint64, len(list))
		if n := s.filterBySearch(&c, list, out); !slices.Equal(out[:n], want) {
			t.Fatalf("searches keep %d of %d, want %d", n, len(list), len(want))
		}
		low, high := min(list[0], list[len(list)-1]), max(list[0], list[len(list)-1])
		if n := s.filterByWindow(&c, low, high, list, slices.Clone(out)); n != len(want) {
			t.Fatalf("a bitmap keeps %d of %d, want %d", n, len(list), len(want))
		}
		far := w.count + windowOrdinals // behind all rows: another window
		if reversed {
			list = append([]uint64{far}, list...)
		} else {
			list = append(list, far)
		}
		if got := s.filter(&c, list); !slices.Equal(got, want) {
			t.Fatalf("%d are kept, want %d, or others", len(got), len(want))
		}
	}
	if kept < 1000 || dropped < 1000 {
		t.Errorf("%d are kept and %d dropped: the test shows little", kept, dropped)
	}
}

// Goal: the rarest condition comes first, and none is lost, whatever order they are added in. With
// none, or without a row, nothing is asked of the trees.
func TestChooseOrder(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 12_000)
	s := newIntersection()
	streams := make([]postings, conditionsMax)
	for i := range streams {
		streams[i] = newPostings()
	}
	for range 200 {
		first, last := w.bounds()
		s.open(w.query, first, last+1, false)
		count := random.IntN(conditionsMax + 1)
		for i := range count {
			tree, value := w.draw()
			streams[i].open(w.query, tree, value, first, last, false)
			s.add(&streams[i])
		}
		s.choose(uint32(1 + random.IntN(200)))
		seen := map[*postings]bool{}
		for i := range s.conditions[:s.count] {
			seen[s.conditions[i].streams[0]] = true
			if s.count > 1 && s.conditions[i].entries < s.conditions[0].entries {
				t.Fatalf("condition %d of %d entries comes behind one of %d", i, s.conditions[i].entries, s.conditions[0].entries)
			}
		}
		if len(seen) != count || s.sought > count || count > 0 && s.sought == 0 {
			t.Fatalf("%d of %d conditions are left, %d are checked", len(seen), count, s.sought)
		}
	}
	s.open(w.query, 5, 5, false)
	if _, ok := s.one(); ok || !s.ended {
		t.Error("no ordinal is wanted, and there is one")
	}
}

// Goal: the read-ahead of rows is a quarter of the cache, at least one row and at most so many.
func TestRowsAhead(t *testing.T) {
	l := foresttest.Limits()
	for _, c := range []struct {
		pages uint64
		want  int
	}{
		{0, 1}, {1, 1}, {7, 1}, {8, 2}, {16, 4},
		{4*rowsAheadMax - 1, rowsAheadMax - 1}, {4 * rowsAheadMax, rowsAheadMax}, {1 << 30, rowsAheadMax},
	} {
		l.CacheGridBytes = c.pages * uint64(l.PageBytes)
		if got := rowsAheadOf(&l); got != c.want {
			t.Errorf("with %d pages of cache, %d rows are read ahead, want %d", c.pages, got, c.want)
		}
	}
}

// Goal: an ordinal that no run has is of no value.
func TestOrdinalsOfNoRun(t *testing.T) {
	w := newWorld(t, seeded.Rand(t), 500)
	p := newPostings()
	tree, value := w.draw()
	p.open(w.query, tree, value, 0, w.count-1, false)
	for _, ordinal := range []uint64{w.count, w.count + 1, 1 << 39} {
		if _, ok := p.seek(ordinal); ok || p.has(ordinal) {
			t.Errorf("ordinal %d, behind all of %d, is of %s", ordinal, w.count, storage.Trees[tree].Name)
		}
	}
}
