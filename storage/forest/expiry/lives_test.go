package expiry

import (
	"maps"
	"slices"
	"testing"

	"ledger/internal/seeded"
	"ledger/storage/forest/keys"
)

// flushed brings all expiries into the tree.
func (w *world) flushed() {
	w.bar(true)
	w.bar(true)
	w.bar(false)
}

// Goal: an index that is reset while its tree holds expiries, as before another checkpoint is
// opened, answers like a new one over the same tree: adds and removals in memory are gone, chains
// too, and nothing is left of how far the window was.
func TestResetForgets(t *testing.T) {
	random := seeded.Rand(t)
	forgotten := 0
	for round := range 60 {
		w := newWorld(t, random, 1+random.IntN(5))
		for range 5 + random.IntN(60) {
			w.add(uint64(random.IntN(50)))
		}
		w.flushed()
		inTree := maps.Clone(w.live)
		for range random.IntN(30) { // moves the window, in a chain or not
			if round%3 == 0 {
				w.index.ChainOpen()
			}
			w.step()
		}
		if len(w.live) != len(inTree) {
			forgotten++
		}
		if random.IntN(3) == 0 {
			w.index.Seal()
		}
		w.index.Reset()
		w.part, w.live = 0, inTree
		for {
			w.invariants()
			first, ok := w.first()
			if !ok {
				break
			}
			w.remove(first)
			if random.IntN(4) == 0 {
				w.add(uint64(random.IntN(50)))
			}
			if random.IntN(4) == 0 {
				if e, ok := w.any(); ok {
					w.remove(e)
				}
			}
		}
	}
	if forgotten < 20 {
		t.Errorf("%d of 60 indexes had something to forget: the test shows little", forgotten)
	}
}

// Goal: when expiries come due they leave in order of time, and those of the same time in order of
// ordinals: all of them, once, across flushes and merges at any moment.
func TestDrainInOrder(t *testing.T) {
	random := seeded.Rand(t)
	for _, window := range []int{1, 2, 7, 100} {
		w := newWorld(t, random, window)
		w.times = 1 + random.IntN(40)
		var drained []keys.Expiry
		want := map[keys.Expiry]bool{}
		for range 40 {
			for range random.IntN(25) {
				w.add(uint64(100 + random.IntN(w.times)))
			}
			if random.IntN(3) == 0 {
				w.bar(random.IntN(3) > 0)
			}
		}
		maps.Copy(want, w.live)
		for {
			first, ok := w.first()
			if !ok {
				break
			}
			drained = append(drained, first)
			w.remove(first)
			if random.IntN(10) == 0 {
				w.bar(random.IntN(3) > 0)
			}
		}
		if len(drained) != len(want) {
			t.Fatalf("window of %d: %d of %d expiries came", window, len(drained), len(want))
		}
		if !slices.IsSortedFunc(drained, func(a, b keys.Expiry) int {
			if a.Less(b) {
				return -1
			}
			return 1
		}) {
			t.Fatalf("window of %d: the expiries did not come in order", window)
		}
		w.flushed()
		w.flushed()
		if _, _, ok := w.index.First(); ok {
			t.Fatalf("window of %d: an expiry comes twice", window)
		}
	}
}

// Goal: the window reads the tree as seldom as its size allows: it is filled once for so many keys,
// and not at all while nothing changes.
func TestWindowIsFilledSeldom(t *testing.T) {
	random := seeded.Rand(t)
	const window, count = 20, 400
	w := newWorld(t, random, window)
	for range count {
		w.add(uint64(random.IntN(1000)))
	}
	w.flushed()
	fills, before := 0, w.index.window.next
	for {
		first, ok := w.first()
		if w.index.window.next != before {
			fills, before = fills+1, w.index.window.next
		}
		if !ok {
			break
		}
		at := w.index.window.at
		for range 3 {
			if w.first(); w.index.window.at != at || w.index.window.next != before || !w.index.window.valid {
				t.Fatal("the window moves though nothing changed")
			}
		}
		w.remove(first)
	}
	if fills > count/window+1 {
		t.Errorf("the window of %d keys is filled %d times for %d expiries", window, fills, count)
	}
}

// Goal: the read-ahead of removals begins anew with each part: the removals of the next one are
// named from the first on.
func TestAheadOfTheNextPart(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random, 100)
	for range 3 {
		for range 200 {
			w.add(uint64(random.IntN(100)))
		}
		w.flushed()
		var removed []keys.Expiry
		for {
			first, ok := w.first()
			if !ok {
				break
			}
			removed = append(removed, first)
			w.remove(first)
		}
		for pass := range w.index.Passes() {
			for i := range removed {
				index, ok := w.index.Removal(removed[i].Ordinal)
				if !ok || int(index) != i {
					t.Fatalf("removal %d has index %d (%v)", i, index, ok)
				}
			}
			for i := 1; i < len(removed); i++ {
				if got, ok := w.index.Ahead(pass, 0); !ok || got != removed[i].Ordinal {
					t.Fatalf("pass %d: %d (%v) is ahead, want %d", pass, got, ok, removed[i].Ordinal)
				}
			}
			if got, ok := w.index.Ahead(pass, 0); ok {
				t.Fatalf("pass %d: %d is ahead of all", pass, got)
			}
		}
		w.flushed()
	}
}
