package levels

import (
	"fmt"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/keys"
)

// Goal: a walk over the tables of all trees names each table once, those of a merge under way
// included, in pieces that are never larger than wanted and never of two runs.
func TestListing(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	if got := w.trees.Next(&Listing{}, 10); got != nil {
		t.Fatalf("empty trees have tables %v", got)
	}
	outputs, pieces := 0, 0
	for bar := range 120 {
		w.bar(w.rows(random.IntN(200), bar%30 < 10))
		if bar%10 != 9 {
			continue
		}
		want := map[storage.Ref]storage.TreeID{}
		runOf := map[storage.Ref]*Run{}
		add := func(tree storage.TreeID, r *Run) {
			for i := range r.tables {
				want[r.tables[i].Ref], runOf[r.tables[i].Ref] = tree, r
			}
		}
		for i := range w.trees.trees {
			for j := range w.trees.trees[i].levels {
				l := &w.trees.trees[i].levels[j]
				for k := range l.runs {
					add(storage.TreeID(i), &l.runs[k])
				}
				outputs += l.merge.output.count()
				add(storage.TreeID(i), &l.merge.output)
			}
		}
		for _, most := range []int{1, 2, 3, 1000} {
			seen := map[storage.Ref]bool{}
			for at := (Listing{}); ; {
				piece := w.trees.Next(&at, most)
				if len(piece) == 0 {
					break
				}
				if pieces++; len(piece) > most {
					t.Fatalf("%d tables at a time, want at most %d", len(piece), most)
				}
				for i := range piece {
					ref := piece[i].Ref
					if tree, ok := want[ref]; !ok || seen[ref] || tree != piece[i].Tree || runOf[ref] != runOf[piece[0].Ref] {
						t.Fatalf("table %d is named, known: %v, named before: %v", ref.Address, ok, seen[ref])
					}
					seen[ref] = true
				}
			}
			if len(seen) != len(want) {
				t.Fatalf("%d tables are named by pieces of %d, want %d", len(seen), most, len(want))
			}
		}
	}
	for _, tree := range []storage.TreeID{storage.TreeTransferLog + 1, storage.TreesCount - 1} { // none is beyond the walk
		tab := drawTable(random)
		tab.Tree = tree
		r := Run{rows: 1}
		w.trees.tableAppend(&r.tableList, &tab, 0)
		w.trees.trees[tree].levels[levelsMax-1].add(r)
		found := false
		for at := (Listing{}); !found; {
			piece := w.trees.Next(&at, 1)
			if len(piece) == 0 {
				t.Fatalf("a table of the deepest level of tree %d is not named", tree)
			}
			found = piece[0] == tab
		}
	}
	if outputs == 0 || pieces < 100 {
		t.Errorf("%d tables of merges under way, %d pieces: the test shows little", outputs, pieces)
	}
}

// Goal: a block is of the tree whose visible runs have it, by address and checksum. Blocks of
// others and of inputs that a merge has replaced are of none.
func TestTreeOf(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	gone, trees := 0, map[string]bool{}
	before := map[storage.Ref]string{}
	for bar := range 100 {
		w.bar(w.rows(random.IntN(100), false))
		if bar%10 != 9 {
			continue
		}
		now := map[storage.Ref]string{}
		for i := range w.trees.trees {
			for _, r := range w.trees.trees[i].ordered {
				for j := range r.tables {
					now[r.tables[j].Ref] = storage.Trees[i].Name
				}
			}
		}
		for ref, name := range now {
			if trees[name] = true; w.trees.TreeOf(ref) != name {
				t.Fatalf("block %d is of %q, want %q", ref.Address, w.trees.TreeOf(ref), name)
			}
			if ref.Checksum[0] ^= 1; w.trees.TreeOf(ref) != "" {
				t.Fatalf("a block with another checksum is of %q", w.trees.TreeOf(ref))
			}
		}
		for ref := range before {
			if _, ok := now[ref]; !ok {
				if gone++; w.trees.TreeOf(ref) != "" {
					t.Fatalf("block %d, which a merge has replaced, is of %q", ref.Address, w.trees.TreeOf(ref))
				}
			}
		}
		before = now
	}
	if gone == 0 || len(trees) < 4 {
		t.Errorf("%d blocks were replaced, %d trees have some: the test shows little", gone, len(trees))
	}
}

// pagesOf are limits with pages of another size.
func pagesOf(pageBytes uint32) limits.Limits {
	l := foresttest.Limits()
	l.PageBytes, l.BlockBytes = pageBytes, 8*pageBytes
	l.CacheGridBytes = 128 * uint64(pageBytes)
	return l
}

// entriesOf is what a merge of all runs should leave of a tree of expiries, run by run.
func entriesOf(w *world, r *Run) (live, removed []keys.Expiry) {
	c := NewCursor()
	c.Open(w.trees, storage.TreeExpiry, r)
	for c.Seek(&storage.Key{}); c.IsValid(); c.Next() {
		if e := keys.ExpiryOf(c.Key()); c.Tombstone() {
			removed = append(removed, e)
		} else {
			live = append(live, e)
		}
	}
	return live, removed
}

// Goal: a cursor tells removals from entries, over all groups and pages of a run, and says at which
// entries a page begins: as many as the run has pages.
func TestCursorOverRemovals(t *testing.T) {
	for _, pageBytes := range []uint32{512, 4096} { // one group in a page, or several
		t.Run(fmt.Sprintf("pages of %d bytes", pageBytes), func(t *testing.T) { cursorOverRemovals(t, pageBytes) })
	}
}

func cursorOverRemovals(t *testing.T, pageBytes uint32) {
	random := seeded.Rand(t)
	w := newWorld(t, pagesOf(pageBytes), random)
	removals, pages, largest := 0, 0, uint64(0)
	for range 24 {
		s := w.rows(400+random.IntN(800), false)
		runs := len(w.trees.Tree(storage.TreeExpiry).Runs())
		w.bar(s)
		ordered := w.trees.Tree(storage.TreeExpiry).Runs()
		if len(ordered) != runs+1 {
			continue // a merge has ended as well
		}
		r := ordered[len(ordered)-1]
		live, removed := entriesOf(w, r)
		var wantLive, wantRemoved []keys.Expiry
		for i, e := range s.expiries {
			if s.removed[i] {
				wantRemoved = append(wantRemoved, e)
			} else {
				wantLive = append(wantLive, e)
			}
		}
		for _, list := range [][]keys.Expiry{wantLive, wantRemoved} {
			slices.SortFunc(list, func(a, b keys.Expiry) int {
				if a.Less(b) {
					return -1
				}
				return 1
			})
		}
		if !slices.Equal(live, wantLive) || !slices.Equal(removed, wantRemoved) {
			t.Fatalf("%d entries and %d removals, want %d and %d, or others", len(live), len(removed), len(wantLive), len(wantRemoved))
		}
		removals += len(removed)
		want, got := 0, 0
		for i := range r.tables {
			want += int(r.tables[i].PagesUsed) - 1
		}
		c := NewCursor()
		c.Open(w.trees, storage.TreeExpiry, r)
		for c.Seek(&storage.Key{}); c.IsValid(); c.Next() {
			if c.BeginsPage() {
				got++
			}
		}
		if got != want {
			t.Fatalf("%d entries begin a page, the run has %d pages", got, want)
		}
		pages, largest = max(pages, want), max(largest, r.entries/uint64(want))
	}
	if removals < 50 || pages < 3 || pageBytes > 512 && largest < 2*cursorKeys {
		t.Errorf("%d removals, runs of at most %d pages of %d entries: the test shows little", removals, pages, largest)
	}
}

// Goal: a removal stays while an older run may have its key, and is dropped by the merge that has
// the oldest runs of the tree. So a tree from which all was removed becomes empty again.
func TestRemovalsAreDropped(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	for range 40 {
		w.bar(w.rows(60, true))
	}
	s := &source{first: w.next} // removes all that is left
	for _, e := range w.model.added {
		if w.model.live[e] {
			s.expiries, s.removed = append(s.expiries, e), append(s.removed, true)
			w.model.live[e] = false
		}
	}
	w.bar(s)
	added := len(w.model.added)
	for bar := 0; ; bar++ {
		one := &source{first: w.next} // flushes of one entry, which make merges due
		e := keys.Expiry{AtNs: 1 << 40, Ordinal: accounting.TransferOrdinal(w.next)}
		one.expiries, one.removed = []keys.Expiry{e}, []bool{bar%2 == 1}
		w.bar(one)
		entries := uint64(0)
		for _, r := range w.trees.Tree(storage.TreeExpiry).Runs() {
			entries += r.entries
		}
		if bar%50 == 0 {
			w.check()
			w.answersOfExpiries(added)
		}
		if entries < 200 {
			break
		}
		if bar > 5000 {
			t.Fatalf("%d entries are left, although all of %d were removed", entries, added)
		}
	}
	w.answersOfExpiries(added)
}

// answersOfExpiries demands that the removed ones are gone.
func (w *world) answersOfExpiries(count int) {
	w.t.Helper()
	for _, e := range w.model.added[:count] {
		key := keys.OfExpiry(e)
		if w.trees.Find(storage.TreeExpiry, &key, nil) {
			w.t.Fatalf("expiry %v was removed, and is found", e)
		}
	}
}

// Goal: merges end without any more rows: a level that was due is merged in so many bars, and no
// level holds as many runs as make a merge due once nothing is planned any more.
func TestMergesEndWithoutRows(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	for range 60 {
		w.bar(w.rows(60, false))
	}
	idle := 0
	for bars := 0; idle < 200; bars++ {
		if generation := w.bar(&source{first: w.next}); generation == nil {
			idle++
		} else {
			idle = 0
		}
		if bars > 20_000 {
			t.Fatal("merges never end")
		}
	}
	for i := range w.trees.trees {
		tree := &w.trees.trees[i]
		for j := range levelsMax - 1 {
			if l := &tree.levels[j]; l.merge.inputs != 0 || tree.runsMerged > 0 && len(l.runs) >= tree.runsMerged {
				t.Errorf("level %d of %s has %d runs, %d of them in a merge", j, tree.spec.Name, len(l.runs), l.merge.inputs)
			}
		}
	}
	w.check()
	w.answers(w.trees)
}
