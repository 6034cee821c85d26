package expiry

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/keys"
	"ledger/storage/forest/levels"
)

// source flushes a part.
type source struct{ part *Part }

func (s source) Columns(storage.TreeID, *storage.Columns) bool { return false }
func (s source) Changes(*storage.Changes)                      { panic("no balances") }
func (s source) EntriesCount(tree storage.TreeID) uint32 {
	if tree == storage.TreeExpiry {
		return s.part.EntriesCount()
	}
	return 0
}
func (s source) Entry(_ storage.TreeID, index uint32) (storage.Key, bool) { return s.part.Entry(index) }
func (s source) Value(storage.TreeID, uint32, []byte)                     {}
func (s source) RowsFirst() accounting.TransferOrdinal                    { return 0 }
func (s source) RowsCount() uint32                                        { return 0 }
func (s source) Row(uint32) *accounting.TransferRow                       { panic("no rows") }

// world is an index with its tree, and what it must answer.
type world struct {
	*foresttest.Ground
	t      testing.TB
	random *rand.Rand
	trees  *levels.Levels
	index  *Index
	live   map[keys.Expiry]bool
	next   accounting.TransferOrdinal
	op     uint64
	under  *storage.Generation
	sealed *Part
	part   int // that fills
	times  int // expiries have so many different times
}

func newWorld(t testing.TB, random *rand.Rand, window int) *world {
	g := foresttest.New(t, foresttest.Limits(), random)
	w := &world{Ground: g, t: t, random: random, live: map[keys.Expiry]bool{}, op: uint64(g.Limits.BarOps) - 1, times: 200}
	w.trees = levels.New(&g.Limits, g.Memory, g.Pages, g.Free, 1)
	w.index = New(&g.Limits, g.Memory, &g.Key, g.Pages, w.trees)
	w.index.NarrowWindow(window)
	return w
}

func (w *world) add(atNs uint64) {
	w.index.Add(atNs, w.next)
	w.live[keys.Expiry{AtNs: atNs, Ordinal: w.next}] = true
	w.next++
}

func (w *world) remove(e keys.Expiry) {
	w.index.Remove(e.AtNs, e.Ordinal)
	delete(w.live, e)
}

// sorted are the live expiries.
func (w *world) sorted() []keys.Expiry {
	return slices.SortedFunc(maps.Keys(w.live), func(a, b keys.Expiry) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
}

// first compares First with the model.
func (w *world) first() (first keys.Expiry, ok bool) {
	w.t.Helper()
	first = keys.ExpiryMax
	for e := range w.live {
		if e.Less(first) {
			first, ok = e, true
		}
	}
	atNs, ordinal, gotOk := w.index.First()
	if gotOk != ok || ok && (atNs != first.AtNs || ordinal != first.Ordinal) {
		w.t.Fatalf("the first of %d expiries is %d of %d (%v), want %v (%v)", len(w.live), atNs, ordinal, gotOk, first, ok)
	}
	return first, ok
}

// any returns some live expiry; in tests, the same one for the same seed.
func (w *world) any() (keys.Expiry, bool) {
	sorted := w.sorted()
	if len(sorted) == 0 {
		return keys.Expiry{}, false
	}
	return sorted[w.random.IntN(len(sorted))], true
}

// step makes one random change.
func (w *world) step() {
	switch w.random.IntN(5) {
	case 0, 1:
		w.add(uint64(w.random.IntN(w.times)))
	case 2:
		if e, ok := w.any(); ok {
			w.remove(e)
		}
	default:
		if e, ok := w.first(); ok && w.random.IntN(2) == 0 {
			w.remove(e)
		}
	}
}

// bar ends a bar: it installs the flush before, if there is one, and may begin another.
func (w *world) bar(flush bool) {
	w.trees.Collect(w.under)
	if w.under != nil {
		w.trees.Install(w.under, &levels.Flushed{Source: source{w.sealed}, Rows: 1})
	}
	if w.sealed != nil {
		w.index.Flushed()
		w.sealed = nil
	}
	w.trees.PlanBegin(w.op, 10)
	if flush {
		w.sealed = w.index.Part(w.part)
		w.part = 1 - w.part
		w.index.Seal()
		w.trees.PlanFlush(source{w.sealed})
	}
	w.trees.PlanMerges()
	w.under = w.trees.PlanEnd()
	w.Compact(w.under)
	w.op += uint64(w.Limits.BarOps)
}

// Goal: First is the least expiry that was added and not removed, whatever lies in the filling
// part, in the flushing part and in the tree, while merges are under way, within chains and after
// they were rolled back, with a window of any size.
func TestFirstAgainstModel(t *testing.T) {
	random := seeded.Rand(t)
	bars := 300
	if testing.Short() {
		bars = 60
	}
	for _, window := range []int{1, 3, 100} {
		w := newWorld(t, random, window)
		if window == 3 {
			w.times = 2
		}
		for range bars {
			for range random.IntN(40) {
				if random.IntN(6) > 0 {
					w.step()
					continue
				}
				live, next := maps.Clone(w.live), w.next
				w.index.ChainOpen()
				for range random.IntN(8) {
					w.step()
				}
				if random.IntN(3) == 0 {
					w.index.ChainCommit()
				} else {
					w.index.ChainRollback()
					w.live, w.next = live, next
				}
				w.first()
			}
			w.bar(random.IntN(3) == 0)
			w.first()
			w.invariants()
		}
		for len(w.live) > 0 { // all come in order
			e, _ := w.first()
			w.remove(e)
			if random.IntN(5) == 0 {
				w.bar(random.IntN(4) == 0)
			}
		}
		w.first()
	}
}

// invariants checks what doc.go states of the parts.
func (w *world) invariants() {
	w.t.Helper()
	for i := range w.index.parts {
		p := &w.index.parts[i]
		if p != w.index.filling && p != w.index.flushing {
			continue
		}
		inHeap := map[uint32]bool{}
		for at, item := range p.heap[:p.heapCount] {
			if at > 0 && item.Less(p.heap[(at-1)/2].Expiry) {
				w.t.Fatalf("item %d of the heap is less than its parent", at)
			}
			if inHeap[item.add] || p.adds[item.add].Expiry != item.Expiry {
				w.t.Fatalf("item %d of the heap is there twice, or has another key", at)
			}
			inHeap[item.add] = true
		}
		for j := range p.addsCount {
			a := &p.adds[j]
			if a.InHeap != inHeap[j] {
				w.t.Fatalf("add %d says of the heap: %v", j, a.InHeap)
			}
			if index, ok := p.addOf.Find(uint64(a.Ordinal)); !ok || index != j {
				w.t.Fatalf("add %d is found at %d", j, index)
			}
			if w.live[a.Expiry] && (a.Removed || !a.InHeap) {
				w.t.Fatalf("add %d is live, but removed: %v, in the heap: %v", j, a.Removed, a.InHeap)
			}
		}
		for j, e := range p.removes[:p.removesCount] {
			if _, ok := p.addOf.Find(uint64(e.Ordinal)); ok {
				w.t.Fatalf("removal %d is of an add of the same part", j)
			}
			if w.live[e] {
				w.t.Fatalf("%v is removed, and live", e)
			}
		}
	}
	if win := &w.index.window; win.valid && win.at < win.count {
		for e := range w.live {
			if !w.inMemory(e) && e.Less(win.keys[win.at]) {
				w.t.Fatalf("%v of the tree is below the window's %v", e, win.keys[win.at])
			}
		}
	}
}

// inMemory tells whether a part has added an expiry that the tree does not have.
func (w *world) inMemory(e keys.Expiry) bool {
	for _, p := range []*Part{w.index.filling, w.index.flushing} {
		if p != nil {
			if _, ok := p.addOf.Find(uint64(e.Ordinal)); ok {
				return true
			}
		}
	}
	return false
}

// Goal: after a rollback the index is as it was, in every table and count but the order of the
// heap.
func TestRollbackRestores(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 3)
	for round := range 400 {
		for range random.IntN(10) {
			w.step()
		}
		if round%5 == 0 {
			w.bar(round%10 == 0)
		}
		p := w.index.filling
		adds, removes := slices.Clone(p.adds[:p.addsCount]), slices.Clone(p.removes[:p.removesCount])
		live, next := maps.Clone(w.live), w.next
		w.index.ChainOpen()
		for range 1 + random.IntN(12) {
			w.step()
		}
		w.index.ChainRollback()
		w.live, w.next = live, next
		if int(p.addsCount) != len(adds) || !slices.Equal(p.removes[:p.removesCount], removes) ||
			p.addOf.Count() != p.addsCount || p.removeOf.Count() != p.removesCount {
			t.Fatalf("%d adds and %d removals, want %d and %d", p.addsCount, p.removesCount, len(adds), len(removes))
		}
		for i := range adds {
			if got := p.adds[i]; got.Expiry != adds[i].Expiry || got.Removed != adds[i].Removed {
				t.Fatalf("add %d is %+v, want %+v", i, got, adds[i])
			}
		}
		w.invariants()
		w.first()
	}
}

// Goal: of what a part added and removed itself, nothing reaches the disk; of the rest, the adds
// reach it as keys and the removals as tombstones.
func TestEntries(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 3)
	inTree := map[keys.Expiry]bool{} // live ones that earlier flushes brought
	for range 60 {
		before := maps.Clone(w.live)
		for range random.IntN(30) {
			w.step()
		}
		w.bar(true)
		got := map[keys.Expiry]bool{} // tombstones
		for i := range w.sealed.EntriesCount() {
			key, tombstone := w.sealed.Entry(i)
			e := keys.ExpiryOf(&key)
			if _, twice := got[e]; twice {
				t.Fatalf("%v has two entries", e)
			}
			got[e] = tombstone
		}
		for e, tombstone := range got {
			if tombstone != before[e] || tombstone == w.live[e] || tombstone != inTree[e] {
				t.Fatalf("%v: tombstone %v, it was there: %v, it is live: %v", e, tombstone, before[e], w.live[e])
			}
		}
		for e := range w.live {
			if _, ok := got[e]; !ok && !before[e] {
				t.Fatalf("%v has no entry", e)
			}
		}
		for e := range before {
			if tombstone, ok := got[e]; !w.live[e] && !(ok && tombstone) {
				t.Fatalf("%v has no tombstone", e)
			}
		}
		inTree = maps.Clone(w.live)
		w.bar(false)
	}
}

// Goal: Ahead names, in each pass, every transfer whose removal comes behind the current one, once
// and in order, and no further than the pass's distance.
func TestAhead(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 100)
	const count = 1500
	for range count {
		w.add(uint64(random.IntN(1000)))
	}
	w.bar(true)
	due := w.sorted()
	for _, e := range due { // what a pulse does first
		w.remove(e)
	}
	var named [8][]accounting.TransferOrdinal
	for i, e := range due { // then it reads them
		index, ok := w.index.Removal(e.Ordinal)
		if !ok || int(index) != i {
			t.Fatalf("the removal of %v is at %d (%v), want %d", e, index, ok, i)
		}
		for pass := range w.index.Passes() {
			for {
				next, ok := w.index.Ahead(pass, index)
				if !ok {
					break
				}
				named[pass] = append(named[pass], next)
				if distance := len(named[pass]) - i; distance > int(ahead[pass]) {
					t.Fatalf("pass %d is %d removals ahead", pass, distance)
				}
			}
		}
	}
	for pass := range w.index.Passes() {
		if len(named[pass]) != count-1 {
			t.Fatalf("pass %d names %d transfers of %d", pass, len(named[pass]), count-1)
		}
		for i, ordinal := range named[pass] {
			if ordinal != due[i+1].Ordinal {
				t.Fatalf("pass %d names %d at %d, want %d", pass, ordinal, i, due[i+1].Ordinal)
			}
		}
	}
	if _, ok := w.index.Removal(w.next); ok {
		t.Error("an expiry that nobody removed has a removal")
	}
}

// Goal: after a reset the index is empty, and can be used like a new one.
func TestReset(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 3)
	for range 20 {
		for range 20 {
			w.step()
		}
		w.bar(random.IntN(2) == 0)
	}
	w.index.ChainOpen()
	w.step()
	fresh := newWorld(t, random, 3)
	w.trees, w.index.levels, w.index.pages, w.Ground = fresh.trees, fresh.trees, fresh.Pages, fresh.Ground
	w.index.Reset()
	w.live, w.next, w.op, w.under, w.sealed, w.part = map[keys.Expiry]bool{}, 0, fresh.op, nil, nil, 0
	w.first()
	for range 60 {
		for range random.IntN(20) {
			w.step()
		}
		w.bar(random.IntN(3) == 0)
		w.first()
		w.invariants()
	}
}
