package query

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/levels"
)

// source flushes postings of transfers: in each tree a value for each row, or none.
type source struct {
	first  uint64
	count  uint32
	values map[storage.TreeID][]accounting.U128
}

func (s *source) Columns(tree storage.TreeID, out *storage.Columns) bool {
	*out = storage.Columns{OrdinalFirst: s.first}
	for row, value := range s.values[tree] {
		if value.IsZero() {
			continue
		}
		out.Rows = append(out.Rows, uint32(row))
		switch tree {
		case storage.TreeTransferUser128:
			out.Wide = append(out.Wide, value)
		case storage.TreeTransferUser64:
			out.Numbers = append(out.Numbers, value.Lo)
		default:
			out.Narrow = append(out.Narrow, uint32(value.Lo))
		}
	}
	return s.values[tree] != nil
}
func (s *source) EntriesCount(tree storage.TreeID) (count uint32) {
	for _, value := range s.values[tree] {
		if !value.IsZero() {
			count++
		}
	}
	return count
}
func (s *source) Changes(*storage.Changes)                         { panic("no balances") }
func (s *source) Entry(storage.TreeID, uint32) (storage.Key, bool) { panic("no entries") }
func (s *source) Value(storage.TreeID, uint32, []byte)             {}
func (s *source) RowsFirst() accounting.TransferOrdinal            { return 0 }
func (s *source) RowsCount() uint32                                { return 0 }
func (s *source) Row(uint32) *accounting.TransferRow               { panic("no rows") }

// trees that the tests fill.
var trees = []storage.TreeID{storage.TreeTransferUser128, storage.TreeTransferUser64, storage.TreeTransferUser32, storage.TreeTransferCode}

// world is postings in trees, and the same in lists.
type world struct {
	*foresttest.Ground
	t      testing.TB
	random *rand.Rand
	query  *Query
	values map[storage.TreeID][]accounting.U128 // by ordinal
	count  uint64
}

// newWorld flushes rows rows, in memtables of many sizes, with merges under way.
func newWorld(t testing.TB, random *rand.Rand, rows uint64) *world {
	l := foresttest.Limits()
	l.MemtableRowsSeal = 3000
	g := foresttest.New(t, l, random)
	w := &world{Ground: g, t: t, random: random, values: map[storage.TreeID][]accounting.U128{}}
	lv := levels.New(&l, g.Memory, g.Pages, g.Free, 1)
	w.query = &Query{pages: g.Pages, levels: lv}
	stretch := uint64(1)
	for op := uint64(l.BarOps) - 1; w.count < rows; op += uint64(l.BarOps) {
		s := &source{first: w.count, values: map[storage.TreeID][]accounting.U128{}, count: 1 + random.Uint32N(700)}
		for range s.count {
			if random.IntN(500) == 0 {
				stretch = 1 + random.Uint64N(4)
			}
			for _, tree := range trees {
				value := uint64(0)
				switch tree {
				case storage.TreeTransferUser128: // in stretches
					value = stretch
				case storage.TreeTransferUser64: // often
					value = random.Uint64N(4)
				case storage.TreeTransferUser32: // nearly always
					value = min(1, random.Uint64N(30))
				default: // of every frequency
					value = random.Uint64N(2 << random.UintN(10))
				}
				s.values[tree] = append(s.values[tree], accounting.U128{Lo: value})
			}
		}
		for _, tree := range trees {
			w.values[tree] = append(w.values[tree], s.values[tree]...)
		}
		w.count += uint64(s.count)
		lv.PlanBegin(op, uint64(s.count))
		lv.PlanFlush(s)
		lv.PlanMerges()
		generation := lv.PlanEnd()
		g.Compact(generation)
		lv.Collect(generation)
		lv.Install(generation, &levels.Flushed{Source: s, Rows: uint64(s.count), TransfersFirst: s.first, TransfersEnd: w.count})
	}
	return w
}

// draw returns a tree and one of its values, or one that it does not have.
func (w *world) draw() (tree storage.TreeID, value accounting.U128) {
	tree = trees[w.random.IntN(len(trees))]
	for value.IsZero() {
		value = w.values[tree][w.random.IntN(len(w.values[tree]))]
	}
	if w.random.IntN(10) == 0 {
		value.Lo = 60_000
	}
	return tree, value
}

// bounds returns a range of ordinals.
func (w *world) bounds() (first, last uint64) {
	first, last = w.random.Uint64N(w.count), w.random.Uint64N(w.count)
	if w.random.IntN(3) == 0 {
		return 0, w.count - 1
	}
	return min(first, last), max(first, last)
}

// ordinals are those of a value in first..last, in a scan's order.
func (w *world) ordinals(tree storage.TreeID, value accounting.U128, first, last uint64, reversed bool) (list []uint64) {
	for ordinal := first; ordinal <= last; ordinal++ {
		if w.values[tree][ordinal] == value {
			list = append(list, ordinal)
		}
	}
	if reversed {
		slices.Reverse(list)
	}
	return list
}

// Goal: a stream gives the ordinals of its value within the bounds in order, forth and back, also
// when parts of it are skipped.
func TestStreamAgainstWalk(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 20_000)
	p := newPostings()
	for range 400 {
		tree, value := w.draw()
		first, last := w.bounds()
		reversed := random.IntN(2) == 0
		p.open(w.query, tree, value, first, last, reversed)
		if random.IntN(3) == 0 {
			for range 2 * warmAhead { // in a small cache, pages push each other out
				if p.warmStart() {
					break
				}
				w.Wait()
			}
		}
		want := w.ordinals(tree, value, first, last, reversed)
		for {
			if len(want) > 0 && random.IntN(50) == 0 { // on from some ordinal
				target, ahead := want[random.IntN(len(want))], random.Uint64N(3)
				if reversed {
					target = max(first, target-min(target, ahead))
				} else {
					target = min(last, target+ahead)
				}
				p.skip(target)
				want = slices.DeleteFunc(want, func(o uint64) bool { return o != target && (o < target) != reversed })
			}
			if p.at == p.count && !p.refill() {
				break
			}
			got := p.buffer[p.at]
			p.at++
			if got < first || got > last { // a stream may go on beyond its bounds
				if len(want) > 0 {
					t.Fatalf("%d is out of %d..%d, and %d are missing", got, first, last, len(want))
				}
				break
			}
			if len(want) == 0 || got != want[0] {
				t.Fatalf("%s %v in %d..%d reversed %v: %d, want %d more", storage.Trees[tree].Name, value, first, last, reversed, got, len(want))
			}
			want = want[1:]
		}
		if len(want) > 0 {
			t.Fatalf("%d ordinals are missing", len(want))
		}
	}
}

// Goal: asking for one ordinal, for the next one from a target on, and marking a bitmap agree with
// a walk.
func TestSingleOrdinals(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 10_000)
	p := newPostings()
	for range 200 {
		tree, value := w.draw()
		reversed := random.IntN(2) == 0
		p.open(w.query, tree, value, 0, w.count-1, reversed)
		all := w.ordinals(tree, value, 0, w.count-1, reversed)
		for range 20 {
			target := random.Uint64N(w.count)
			p.warmHas(target)
			if got := p.has(target); got != slices.Contains(all, target) {
				t.Fatalf("%s %v has %d: %v", storage.Trees[tree].Name, value, target, got)
			}
			at := slices.IndexFunc(all, func(o uint64) bool { return o == target || (o > target) != reversed })
			got, ok := p.seek(target)
			if ok != (at >= 0) || ok && got != all[at] {
				t.Fatalf("%s %v from %d reversed %v: %d (%v)", storage.Trees[tree].Name, value, target, reversed, got, ok)
			}
		}
		first := random.Uint64N(w.count)
		bits := make([]uint64, 1+random.IntN(100))
		p.mark(first, bits)
		for i := range uint64(len(bits)) * 64 {
			want := first+i < w.count && w.values[tree][first+i] == value
			if got := bits[i/64]>>(i%64)&1 == 1; got != want {
				t.Fatalf("%s %v: ordinal %d is marked: %v", storage.Trees[tree].Name, value, first+i, got)
			}
		}
	}
}

// Goal: an estimate is exact where it counts, has no more than is sure as its lower bound, and is
// not far off.
func TestEstimate(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 20_000)
	p := newPostings()
	for range 300 {
		tree, value := w.draw()
		first, last := w.bounds()
		p.open(w.query, tree, value, first, last, false)
		p.estimate()
		want := uint64(len(w.ordinals(tree, value, first, last, false)))
		if p.surely > want || p.entries < p.surely || p.entries < want/2 || want > 0 && p.pages == 0 {
			t.Fatalf("%s %v in %d..%d: %d entries on %d pages, surely %d; there are %d", storage.Trees[tree].Name, value, first, last,
				p.entries, p.pages, p.surely, want)
		}
		if p.pages <= 2 && p.entries != want {
			t.Fatalf("%d entries on %d pages are taken for %d", want, p.pages, p.entries)
		}
	}
}

// Goal: an intersection gives, in order, exactly the ordinals in its range that satisfy the
// conditions which it checks, whichever way it takes: streams of two trees, bitmaps, searches,
// skips.
func TestIntersectionAgainstWalk(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 30_000)
	s := newIntersection()
	streams := make([]postings, 2*conditionsMax)
	for i := range streams {
		streams[i] = newPostings()
	}
	ways := map[int]int{}
	for range 500 {
		first, last := w.bounds()
		reversed := random.IntN(2) == 0
		s.open(w.query, first, last+1, reversed)
		type wanted struct {
			tree  [2]storage.TreeID
			value [2]accounting.U128
			count int
		}
		conditions := map[*postings]wanted{} // by the first stream
		used := 0
		for range random.IntN(4) {
			var c wanted
			var opened []*postings
			for c.count = 0; c.count == 0 || c.count == 1 && random.IntN(3) == 0; c.count++ {
				c.tree[c.count], c.value[c.count] = w.draw()
				if c.count == 1 && c.tree[0] == c.tree[1] && c.value[0] == c.value[1] {
					break // two streams of one condition have no ordinal in common
				}
				p := &streams[used]
				used++
				p.open(w.query, c.tree[c.count], c.value[c.count], first, last, reversed)
				opened = append(opened, p)
			}
			if len(opened) == 2 && c.tree[0] != c.tree[1] {
				opened, c.count = opened[:1], 1 // values of two fields: a row may have both
			}
			s.add(opened...)
			conditions[opened[0]] = c
		}
		limit := 1 + random.IntN(1<<random.IntN(15))
		s.choose(uint32(limit))
		ways[s.sought]++
		matches := func(ordinal uint64) bool {
			for i := range s.conditions[:s.sought] {
				c := conditions[s.conditions[i].streams[0]]
				has := false
				for j := range c.count {
					has = has || w.values[c.tree[j]][ordinal] == c.value[j]
				}
				if !has {
					return false
				}
			}
			return true
		}
		var want []uint64
		for ordinal := first; ordinal <= last; ordinal++ {
			if matches(ordinal) {
				want = append(want, ordinal)
			}
		}
		if reversed {
			slices.Reverse(want)
		}
		for i := range limit {
			got, ok := s.one()
			if ok != (i < len(want)) || ok && got != want[i] {
				t.Fatalf("%d conditions, %d checked, %d..%d reversed %v: ordinal %d of %d is %d (%v)", s.count, s.sought, first, last, reversed, i,
					len(want), got, ok)
			}
			if !ok {
				break
			}
		}
	}
	if len(ways) < 3 {
		t.Errorf("numbers of conditions that were checked: %v: the test shows little", ways)
	}
}
