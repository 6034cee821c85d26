package levels

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
)

// Goal: before the first request exactly the small runs are covered, whatever the pages take to
// come. The large ones follow step by step. Without room for them nothing is wanted any more.
func TestCoverFirst(t *testing.T) {
	random := seeded.Rand(t)
	early, late, breaths := 0, 0, 0
	for _, earlyMax := range []uint64{0, 60, 150, 400, 1 << 40} {
		w := newWorld(t, foresttest.Limits(), random)
		for range 30 {
			w.bar(w.rows(20+random.IntN(60), false))
		}
		g := w.Ground.Again()
		g.OnBreath = func() { breaths++ }
		trees := w.on(g)
		filter := ids.NewFilter(g.Memory, &g.Limits, trees.FilterIDsMax(), uint64(g.Limits.MemtableRowsMax()))
		loader := ids.NewLoader(g.Memory, &filter)
		soon, later := trees.CoverOverlapping(earlyMax)
		room, ok := filter.Open(soon, later)
		if !ok {
			t.Fatal("the filter has no room")
		}
		trees.CoverRoom(room)
		trees.CoverFirst(g.Grid, &loader)
		for _, r := range trees.Tree(storage.TreeTransferID).Runs() {
			if want := r.early && r.entries <= earlyMax; r.IsCovered() != want || r.IsCovered() && r.wanted {
				t.Fatalf("a run of %d entries, where up to %d are small, is covered: %v", r.entries, earlyMax, r.IsCovered())
			}
			if r.IsCovered() {
				early++
				w.passes(trees, &filter, r)
			} else if r.wanted {
				late++
			}
		}
		trees.CoverNone()
		if trees.IsCovering() || trees.CoverStep(g.Grid, &loader) {
			t.Fatal("something is covered, although nothing is wanted")
		}
		for _, r := range trees.Tree(storage.TreeTransferID).Runs() {
			if r.wanted || r.covering {
				t.Fatal("a run is wanted that nobody wants")
			}
		}
	}
	if early == 0 || late == 0 || breaths == 0 {
		t.Errorf("%d runs are covered first, %d later, in %d breaths: the test shows little", early, late, breaths)
	}
}

// Goal: a block of a run that is covered, and that is sound but another table, is missed by its
// name.
func TestCoverRefuses(t *testing.T) {
	w := newWorld(t, foresttest.Limits(), seeded.Rand(t))
	for range 3 {
		w.bar(w.rows(60, false))
	}
	g := w.Ground.Again()
	trees := w.on(g)
	filter := ids.NewFilter(g.Memory, &g.Limits, trees.FilterIDsMax(), uint64(g.Limits.MemtableRowsMax()))
	loader := ids.NewLoader(g.Memory, &filter)
	room, ok := filter.Open(trees.CoverOverlapping(1 << 40))
	trees.CoverRoom(room)
	runs := trees.Tree(storage.TreeTransferID).Runs()
	if !ok || len(runs) < 2 {
		t.Fatal("nothing is to be covered")
	}
	first := trees.coverNext()
	at := first.Table(0)
	for _, r := range runs {
		if r != first {
			at.Ref = r.Table(0).Ref // of the same tree, with other ids
			if at.Entries == r.Table(0).Entries {
				at.Entries++
			}
		}
	}
	fault := foresttest.Fault(func() { trees.CoverFirst(g.Grid, &loader) })
	if fault == nil || fault.What != storage.FaultBlock || fault.Address != at.Address || first.IsCovered() {
		t.Errorf("the fault is %v, want one of block %d; the run is covered: %v", fault, at.Address, first.IsCovered())
	}
}
