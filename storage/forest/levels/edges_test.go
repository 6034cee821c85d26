package levels

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
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
	if outputs == 0 || pieces < 100 {
		t.Errorf("%d tables of merges under way, %d pieces: the test shows little", outputs, pieces)
	}
}

// Goal: a block is of the tree whose visible runs have it, by address and checksum. Blocks of others
// and of inputs that a merge has replaced are of none.
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
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	removals, pages := 0, 0
	for range 12 {
		s := w.rows(100+random.IntN(300), false)
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
		pages = max(pages, want)
	}
	if removals < 50 || pages < 4 {
		t.Errorf("%d removals, runs of at most %d pages: the test shows little", removals, pages)
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

// Goal: trees that are reset, with a generation planned, runs half covered and filters in use, are
// like new ones: they have no table, and then the same plans at the same addresses.
func TestResetIsNew(t *testing.T) {
	random := seeded.Rand(t)
	for round := range 4 {
		used := newWorld(t, foresttest.Limits(), random)
		for range 15 * round {
			used.bar(used.rows(random.IntN(120), round == 2))
		}
		filter := ids.NewFilter(used.Memory, &used.Limits, used.trees.FilterIDsMax(), uint64(used.Limits.MemtableRowsMax()))
		loader := ids.NewLoader(used.Memory, &filter)
		if room, ok := filter.Open(used.trees.CoverOverlapping(0)); ok {
			used.trees.CoverRoom(room)
			used.trees.CoverStep(used.Grid, &loader)
		}
		used.trees.PlanBegin(used.op, 10)
		used.trees.PlanFlush(used.rows(10, true))
		used.Compact(used.trees.PlanEnd())
		used.trees.Reset(used.Grid, &loader)
		used.Grid.Reset(used.Ground)
		used.Free.Reset()
		if used.trees.IsUnder() || used.trees.IsCovering() || used.trees.Next(&Listing{}, 1) != nil {
			t.Fatal("trees that were reset have a generation, a run to cover or a table")
		}
		seed := random.Uint64()
		var manifests [2][][]byte
		for i := range manifests {
			w := newWorld(t, foresttest.Limits(), random)
			if i == 1 {
				w.Ground, w.trees = used.Ground, used.trees
			}
			w.random = rand.New(rand.NewPCG(seed, 0))
			for bar := range 40 {
				w.bar(w.rows(10+bar*3, bar%10 < 3))
				w.check()
				manifests[i] = append(manifests[i], w.manifest())
			}
			w.answers(w.trees)
		}
		for bar := range manifests[0] {
			if !slices.Equal(manifests[0][bar], manifests[1][bar]) {
				t.Fatalf("after bar %d the manifest of trees that were reset is another one", bar)
			}
		}
	}
}
