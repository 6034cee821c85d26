package levels

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
	"ledger/storage/table"
)

// Goal: the runs that overlap another one, and no others, become covered in the end, and all ids of
// a covered run pass the filter of all ids.
func TestCoverAgainstWalk(t *testing.T) {
	random := seeded.Rand(t)
	for round := range 6 {
		w := newWorld(t, foresttest.Limits(), random)
		for range 30 {
			w.bar(w.rows(60, random.IntN(3) == 0))
		}
		g := w.Ground.Again()
		trees := w.on(g)
		filter := ids.NewFilter(g.Memory, &g.Limits, trees.FilterIDsMax(), uint64(g.Limits.MemtableRowsMax()))
		loader := ids.NewLoader(g.Memory, &filter)
		count := trees.CoverOverlapping()
		wanted := map[*Run]bool{}
		sum := uint64(0)
		for _, r := range trees.Tree(storage.TreeTransferID).Runs() {
			for _, other := range trees.Tree(storage.TreeTransferID).Runs() {
				if r != other && r.Table(0).KeyMin.Compare(other.KeyMax()) <= 0 && other.Table(0).KeyMin.Compare(r.KeyMax()) <= 0 {
					wanted[r] = true
				}
			}
			if wanted[r] {
				sum += r.entries
			}
		}
		if count != sum {
			t.Fatalf("%d ids are to be covered, want %d", count, sum)
		}
		if count > 0 && !filter.Open(count) {
			t.Fatal("the filter has no room")
		}
		for steps := 0; trees.IsCovering(); steps++ {
			if !trees.CoverStep(g.Grid, &loader) {
				g.Grid.Poll()
			}
			if steps > 100_000 {
				t.Fatal("covering never ends")
			}
			for _, r := range trees.Tree(storage.TreeTransferID).Runs() {
				if r.IsCovered() && steps%500 == 0 {
					w.passes(trees, &filter, r)
				}
			}
		}
		covered := 0
		for _, r := range trees.Tree(storage.TreeTransferID).Runs() {
			if r.IsCovered() != wanted[r] {
				t.Fatalf("a run is covered: %v, want %v", r.IsCovered(), wanted[r])
			}
			if r.IsCovered() {
				covered++
				w.passes(trees, &filter, r)
			}
		}
		if round == 0 && covered == 0 {
			t.Error("no run is covered: the test shows little")
		}
		trees.CoverEnd(g.Grid, &loader)
	}
}

// passes demands that all ids of a run pass the filter of all ids.
func (w *world) passes(trees *Levels, filter *ids.Filter, r *Run) {
	w.t.Helper()
	c := NewCursor()
	c.Open(trees, storage.TreeTransferID, r)
	least := storage.Key{}
	for c.Seek(&least); c.IsValid(); c.Next() {
		key := *c.Key()
		candidates := []ids.Candidate{{ID: keys.IDOf(&key), Key: key, Filter: table.FilterKeyOf(&key)}}
		if filter.Maybe(candidates) != 1 {
			w.t.Fatalf("id %v of a covered run does not pass", keys.IDOf(&key))
		}
	}
}

// Goal: the filter of a run's table passes every key of it, few others, and none above the run's
// last key.
func TestFilterOf(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	w.bar(w.rows(700, false))
	tree := w.trees.Tree(storage.TreeTransferID)
	r := tree.Runs()[0]
	has := func(key storage.Key) bool {
		filter := w.trees.FilterOf(tree, r, &key)
		of := table.FilterKeyOf(&key)
		return filter != nil && of.Has(filter)
	}
	for id := range w.model.ids {
		if !has(keys.ID(id)) {
			t.Fatalf("id %v does not pass its filter", id)
		}
	}
	passed := 0
	for range 10_000 {
		if has(keys.ID(accounting.U128{Lo: random.Uint64(), Hi: random.Uint64() >> random.UintN(64)})) {
			passed++
		}
	}
	if passed > 100 {
		t.Errorf("%d of 10,000 ids that nobody has pass", passed)
	}
	id := keys.IDOf(r.KeyMax())
	if id.Lo++; id.Lo == 0 {
		id.Hi++
	}
	if above := keys.ID(id); w.trees.FilterOf(tree, r, &above) != nil {
		t.Error("a key above all of the run has a filter")
	}
}

// Goal: the output of a merge is covered if all inputs are, and is never wanted together with ids
// for which the filter has no room.
func TestInherit(t *testing.T) {
	covered, wanted, neither := Run{covered: true}, Run{wanted: true}, Run{}
	for _, c := range []struct {
		inputs              []Run
		isCovered, isWanted bool
	}{
		{[]Run{covered, covered}, true, false},
		{[]Run{wanted, wanted}, false, true},
		{[]Run{wanted, covered}, false, false},
		{[]Run{neither, wanted}, false, false},
		{[]Run{covered, neither}, false, false},
	} {
		var out Run
		out.inherit(c.inputs)
		if out.covered != c.isCovered || out.wanted != c.isWanted {
			t.Errorf("%+v: covered %v, wanted %v", c.inputs, out.covered, out.wanted)
		}
	}
}
