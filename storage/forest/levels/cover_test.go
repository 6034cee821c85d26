package levels

import (
	"cmp"
	"slices"
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
		early, late := trees.CoverOverlapping(uint64(round%3) * 40)
		count := early + late
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
		if count > 0 {
			room, ok := filter.Open(early, late)
			if !ok {
				t.Fatal("the filter has no room")
			}
			trees.CoverRoom(room)
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

// Goal: the output of a merge is covered if all inputs are. It is wanted if some are wanted and the
// others covered, as long as the filter has room for the ids of these. An input that is neither
// makes the output neither.
func TestInherit(t *testing.T) {
	covered, wanted, neither := Run{covered: true, entries: 10}, Run{wanted: true, entries: 100}, Run{entries: 1}
	for _, c := range []struct {
		inputs              []Run
		room                uint64
		isCovered, isWanted bool
		left                uint64
	}{
		{[]Run{covered, covered}, 0, true, false, 0},
		{[]Run{covered, covered}, 50, true, false, 50},
		{[]Run{wanted, wanted}, 0, false, true, 0},
		{[]Run{wanted, covered, covered}, 19, false, false, 19},
		{[]Run{wanted, covered, covered}, 20, false, true, 0},
		{[]Run{covered, wanted}, 25, false, true, 15},
		{[]Run{neither, wanted}, 50, false, false, 50},
		{[]Run{covered, neither}, 50, false, false, 50},
		{[]Run{covered, wanted, neither}, 50, false, false, 50},
	} {
		var out Run
		room := c.room
		out.inherit(c.inputs, &room)
		if out.covered != c.isCovered || out.wanted != c.isWanted || room != c.left {
			t.Errorf("%+v: covered %v, wanted %v, room %d left", c.inputs, out.covered, out.wanted, room)
		}
	}
}

// Goal: Ask lets all ids of a run pass and few others, for batches in any order and of any ids: the
// place where it begins, and how far ids are apart, do not matter.
func TestAsk(t *testing.T) {
	random := seeded.Rand(t)
	for range 4 {
		w := newWorld(t, foresttest.Limits(), random)
		for range 20 {
			w.bar(w.rows(60+random.IntN(600), random.IntN(3) == 0))
		}
		tree := w.trees.Tree(storage.TreeTransferID)
		var stored []accounting.U128
		for id := range w.model.ids {
			stored = append(stored, id)
		}
		slices.SortFunc(stored, func(a, b accounting.U128) int { // a map has no order that a seed repeats
			if a.Less(b) {
				return -1
			}
			return 1
		})
		holds := map[*Run]map[accounting.U128]bool{}
		for _, r := range tree.Runs() {
			holds[r] = map[accounting.U128]bool{}
			c := NewCursor()
			c.Open(w.trees, storage.TreeTransferID, r)
			for c.Seek(&storage.Key{}); c.IsValid(); c.Next() {
				holds[r][keys.IDOf(c.Key())] = true
			}
		}
		passed, absent, tables := 0, 0, 0
		for round := range 60 {
			var batch []ids.BatchEntry
			for i := range 1 + random.IntN(300) {
				id := stored[random.IntN(len(stored))]
				if random.IntN(3) == 0 {
					id = accounting.U128{Lo: random.Uint64(), Hi: random.Uint64() >> random.UintN(64)}
				}
				batch = append(batch, ids.BatchEntry{ID: id, Hash: table.FilterHash(id.Hi, id.Lo), Index: i})
			}
			switch round % 3 {
			case 0:
				slices.SortFunc(batch, func(a, b ids.BatchEntry) int { return cmp.Compare(a.ID.Hi, b.ID.Hi) })
			case 1:
				slices.SortFunc(batch, func(a, b ids.BatchEntry) int { return cmp.Compare(b.ID.Hi, a.ID.Hi) })
			}
			for _, r := range tree.Runs() {
				tables = max(tables, r.Count())
				asker, found := Asker{}, map[int]bool{}
				for chunk := range slices.Chunk(batch, AskMax) {
					for _, index := range w.trees.Ask(&asker, r, chunk, nil) {
						found[index] = true
					}
				}
				for _, e := range batch {
					if is := holds[r][e.ID]; is && !found[e.Index] {
						t.Fatalf("id %v of a run of %d tables does not pass", e.ID, r.Count())
					} else if !is {
						absent++
						if found[e.Index] {
							passed++
						}
					}
				}
			}
		}
		if passed > absent/100 {
			t.Errorf("%d of %d ids that a run does not hold pass", passed, absent)
		}
		if tables < 2*seekSteps {
			t.Errorf("no run has more than %d tables: the test shows little", tables)
		}
	}
}

// Goal: a block of a run that is being covered, and that cannot be read, is missed for as long as
// the run is there, and not any more when a merge has replaced it. The next run is covered then.
func TestVanishedRunIsNotMissed(t *testing.T) {
	random := seeded.Rand(t)
	missed, bars := 0, 0
	for ; missed < 5 && bars < 3000; bars++ {
		w := newWorld(t, foresttest.Limits(), random)
		for range 10 + random.IntN(30) {
			w.bar(w.rows(60, false))
		}
		filter := ids.NewFilter(w.Memory, &w.Limits, w.trees.FilterIDsMax(), uint64(w.Limits.MemtableRowsMax()))
		loader := ids.NewLoader(w.Memory, &filter)
		room, ok := filter.Open(w.trees.CoverOverlapping(random.Uint64N(100)))
		if !ok {
			t.Fatal("the filter has no room")
		}
		w.trees.CoverRoom(room)
		for range 10 {
			for range random.IntN(4) {
				w.trees.CoverStep(w.Grid, &loader)
			}
			s := w.rows(60, false)
			w.trees.PlanBegin(w.op, uint64(len(s.ids)))
			w.trees.PlanFlush(s)
			w.trees.PlanMerges()
			w.trees.CoverVanished(w.Grid, &loader)
			generation := w.trees.PlanEnd()
			w.Compact(generation)
			if r := w.vanishing(generation); r != nil {
				for i := range r.tables {
					w.Damage(r.tables[i].Address)
				}
				for range 1000 {
					w.trees.CoverStep(w.Grid, &loader)
					if w.Grid.Poll(); w.Grid.Fault() != nil {
						break
					}
				}
				if w.Grid.Fault() != nil {
					missed++
				}
			}
			w.trees.Collect(generation)
			w.trees.Install(generation, &Flushed{Source: s, Rows: uint64(max(1, len(s.ids))), TransfersFirst: s.first, TransfersEnd: s.end()})
			w.op += uint64(w.Limits.BarOps)
			if w.trees.CoverVanished(w.Grid, &loader); w.Grid.Fault() != nil {
				t.Fatalf("a block of a run that has vanished is missed: %v", w.Grid.Fault())
			}
		}
		for steps := 0; w.trees.IsCovering(); steps++ {
			if !w.trees.CoverStep(w.Grid, &loader) {
				w.Grid.Poll()
			}
			if steps > 100_000 {
				t.Fatal("covering never ends")
			}
		}
		for _, r := range w.trees.Tree(storage.TreeTransferID).Runs() {
			if r.IsCovered() {
				w.passes(w.trees, &filter, r)
			}
		}
	}
	if missed < 5 {
		t.Errorf("blocks were missed %d times: the test shows little", missed)
	}
}

// vanishing is the run that is being covered, if a merge of the generation will replace it.
func (w *world) vanishing(generation *storage.Generation) *Run {
	for i := range generation.Jobs {
		job := &generation.Jobs[i]
		if job.Kind != storage.JobMerge || job.Tree != storage.TreeTransferID || !job.Finished {
			continue
		}
		l := &w.trees.trees[storage.TreeTransferID].levels[w.trees.plan.levels[i]]
		for j := range l.runs[:l.merge.inputs] {
			if l.runs[j].covering {
				return &l.runs[j]
			}
		}
	}
	return nil
}
