package levels

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/manifest"
)

// decode tells whether trees accept a manifest without rows.
func decode(trees *Levels, g *foresttest.Ground, encoded []byte) (head manifest.Head, ok bool) {
	r := manifest.NewReader(encoded, math.MaxUint64, block.GeometryOf(g.Limits).PagesMax)
	head = r.Head()
	if head.LogCount != 0 || head.Partial || head.Trailers != 0 {
		return head, false // pieces of others
	}
	trees.Decode(&r, &head.Levels)
	return head, r.End()
}

// FuzzDecode: whatever trees accept as a manifest, they encode again byte by byte, and count its
// tables. Nothing panics. One state is reset and used again for every input.
func FuzzDecode(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 0))
	w := newWorld(f, foresttest.Limits(), random)
	f.Add(w.manifest())
	for bar := range 60 {
		w.bar(w.rows(random.IntN(40), bar < 20))
		if bar%12 == 1 {
			f.Add(w.manifest())
		}
	}
	for range 500 { // one wrong byte
		encoded := w.manifest()
		encoded[random.IntN(len(encoded))] ^= 1 << random.UintN(8)
		f.Add(encoded)
	}
	other := newWorld(f, foresttest.Limits(), random)
	filter := ids.NewFilter(other.Memory, &other.Limits, other.trees.FilterIDsMax(), uint64(other.Limits.MemtableRowsMax()))
	loader := ids.NewLoader(other.Memory, &filter)
	f.Fuzz(func(t *testing.T, encoded []byte) {
		defer other.trees.Reset(other.Grid, &loader)
		head, ok := decode(other.trees, other.Ground, encoded)
		if !ok {
			return
		}
		out := make([]byte, manifest.HeadBytes+other.trees.EncodedBytes())
		writer := manifest.NewWriter(out)
		other.trees.LevelsCount(&head.Levels)
		writer.Head(&head)
		other.trees.Encode(writer)
		if got := writer.End(nil); !bytes.Equal(got, encoded) {
			t.Fatalf("%x is accepted, and encoded as %x", encoded, got)
		}
		listed, c := uint64(0), Counters{}
		for at := (Listing{}); ; {
			piece := other.trees.Next(&at, 5)
			if len(piece) == 0 {
				break
			}
			listed += uint64(len(piece))
		}
		if other.trees.Count(&c); c.Named != listed {
			t.Fatalf("%d tables are counted, %d are listed", c.Named, listed)
		}
	})
}

// Goal: a manifest whose runs contradict their tables, or what a level may hold, is refused.
func TestDecodeRefuses(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, foresttest.Limits(), random)
	merging := func() *merge {
		for i := range w.trees.trees {
			for j := range w.trees.trees[i].levels {
				if m := &w.trees.trees[i].levels[j].merge; m.inputs > 0 && m.output.count() > 0 {
					return m
				}
			}
		}
		return nil
	}
	for range 500 {
		if w.bar(w.rows(100, false)); merging() != nil {
			break
		}
	}
	m := merging()
	if m == nil {
		t.Fatal("no merge is under way: the test would show little")
	}
	run := w.trees.Tree(storage.TreePending).Runs()[0]
	for _, c := range []struct {
		name string
		ok   bool
		do   func()
	}{
		{"nothing", true, func() {}},
		{"an entry more", false, func() { run.entries++ }},
		{"no rows", false, func() { run.rows = 0 }},
		{"ordinals that end before they begin", false, func() { run.ordinalFirst = run.ordinalEnd + 1 }},
		{"a table of another tree", false, func() { run.tables[0].Tree = storage.TreeExpiry }},
		{"a table without entries", false, func() { run.entries, run.tables[0].Entries = run.entries-uint64(run.tables[0].Entries), 0 }},
		{"a table without an address", false, func() { run.tables[0].Address = 0 }},
		{"a table of one page", false, func() { run.tables[0].PagesUsed = 1 }},
		{"a table of too many pages", false, func() { run.tables[0].PagesUsed = math.MaxUint16 }},
		{"a table that was never born", false, func() { run.tables[0].BornOp = 0 }},
		{"a table whose keys descend", false, func() { run.tables[0].KeyMin = storage.Key{0: 0xff} }},
		{"fewer inputs than a merge has", false, func() { m.inputs-- }},
		{"a merge without entries left", false, func() { m.entriesLeft = 0 }},
		{"more entries left than there were", false, func() { m.entriesLeft = m.entriesAll + 1 }},
		{"a merge without rows", false, func() { m.rowsAll = 0 }},
		{"an entry more in an output", false, func() { m.output.entries++ }},
	} {
		savedRun, savedTables, savedMerge := *run, append([]storage.Table(nil), run.tables...), *m
		c.do()
		encoded := w.manifest()
		*run, *m = savedRun, savedMerge
		copy(run.tables, savedTables)
		g := w.Ground.Again()
		if _, ok := decode(New(&w.Limits, g.Memory, g.Pages, g.Free, 1), g, encoded); ok != c.ok {
			t.Errorf("%s: the manifest is accepted: %v, want %v", c.name, ok, c.ok)
		}
	}
}

// Goal: levels of a tree come once and in order, none beyond the last, with as many runs as a level
// holds and all the inputs of a merge or none.
func TestDecodeLevels(t *testing.T) {
	w := newWorld(t, foresttest.Limits(), seeded.Rand(t))
	merged := storage.MergeRuns(&w.Limits, storage.TreePending)
	tab := storage.Table{Ref: storage.Ref{Address: 1}, Tree: storage.TreePending, PagesUsed: 2, Entries: 1, BornOp: 3}
	type level struct{ number, runs, inputs int }
	for _, c := range []struct {
		levels []level
		ok     bool
	}{
		{nil, true},
		{[]level{{0, 1, 0}}, true},
		{[]level{{0, 0, 0}}, false},
		{[]level{{0, 1, 0}, {1, 1, 0}}, true},
		{[]level{{1, 1, 0}, {levelsMax - 1, 1, 0}}, true},
		{[]level{{levelsMax, 1, 0}}, false},
		{[]level{{1, 1, 0}, {0, 1, 0}}, false},
		{[]level{{1, 1, 0}, {1, 1, 0}}, false},
		{[]level{{0, runsMax, 0}}, true},
		{[]level{{0, runsMax + 1, 0}}, false},
		{[]level{{0, merged, merged}}, true},
		{[]level{{0, merged, merged - 1}}, false},
		{[]level{{0, merged - 1, merged}}, false},
		{[]level{{0, merged - 1, merged - 1}}, false},
	} {
		out := manifest.NewWriter(make([]byte, 1<<20))
		var head manifest.Head
		head.Levels[storage.TreePending] = uint8(len(c.levels))
		out.Head(&head)
		for _, l := range c.levels {
			out.Level(l.number, l.runs, l.inputs)
			for range l.runs {
				out.Run(&manifest.Run{Tables: 1, Entries: 1, Rows: 1})
				out.Table(&tab)
			}
			if l.inputs > 0 {
				out.Run(&manifest.Run{})
				out.Merge(&manifest.Merge{EntriesLeft: 1, EntriesAll: 1, RowsAll: 1})
			}
		}
		g := foresttest.New(t, w.Limits, w.random)
		trees := New(&w.Limits, g.Memory, g.Pages, g.Free, 1)
		_, ok := decode(trees, g, out.End(nil))
		if ok != c.ok {
			t.Errorf("levels %+v are accepted: %v, want %v", c.levels, ok, c.ok)
		}
		if count := len(trees.Tree(storage.TreePending).Runs()); ok && c.levels != nil && count == 0 {
			t.Errorf("levels %+v have no run", c.levels)
		}
	}
}

// Goal: at a start every table of a tree with filters gets its own filter, as its block has it. A
// block that is sound but another table is a fault that names it, and so is a manifest with more
// tables than there is memory for filters.
func TestOpenFilters(t *testing.T) {
	random := seeded.Rand(t)
	large := pagesOf(4096)
	large.BlockBytes = 16 * large.PageBytes // filters of several pages
	if _, pages := openedFilters(t, newWorld(t, large, random), 5, 3000); pages < 2 {
		t.Errorf("filters of %d pages: the test shows little", pages)
	}
	w := newWorld(t, foresttest.Limits(), random)
	checked, _ := openedFilters(t, w, 30, 100)
	if checked < 20 {
		t.Fatalf("%d filters: the test shows little", checked)
	}

	tab := func(trees *Levels) *storage.Table { return trees.Tree(storage.TreeTransferID).Runs()[1].Table(0) }
	other := *w.trees.Tree(storage.TreePending).Runs()[0].Table(0)
	for _, c := range []struct {
		name, what, reason string
		do                 func(trees *Levels)
	}{
		{"a block of another tree", storage.FaultBlock, reasonOther, func(trees *Levels) { tab(trees).Ref = other.Ref }},
		{"an entry more", storage.FaultBlock, reasonOther, func(trees *Levels) { tab(trees).Entries++ }},
		{"a page less", storage.FaultBlock, reasonOther, func(trees *Levels) { tab(trees).PagesUsed-- }},
		{"no room for a filter", storage.FaultBlock, reasonOther, func(trees *Levels) { tab(trees).PagesUsed = 2 }},
		{"no memory for filters", storage.FaultStorageLimit, "filters", func(trees *Levels) {
			trees.filters.memory = trees.filters.memory[:uint64(checked-1)*trees.filters.slotBytes]
		}},
		{"just memory for filters", "", "", func(trees *Levels) {
			trees.filters.memory = trees.filters.memory[:uint64(checked)*trees.filters.slotBytes]
		}},
	} {
		g := w.Ground.Again()
		trees := New(&w.Limits, g.Memory, g.Pages, g.Free, 1)
		if _, ok := decode(trees, g, w.manifest()); !ok {
			t.Fatal("the manifest is refused")
		}
		c.do(trees)
		address := tab(trees).Address
		fault := foresttest.Fault(func() { trees.OpenFilters(g.Grid) })
		switch {
		case c.what == "":
			if fault != nil {
				t.Errorf("%s: %v", c.name, fault)
			}
		case fault == nil || fault.What != c.what || !strings.Contains(fault.Reason, c.reason):
			t.Errorf("%s: the fault is %v, want %q", c.name, fault, c.reason)
		case c.what == storage.FaultBlock && fault.Address != address:
			t.Errorf("%s: block %d is named, want %d", c.name, fault.Address, address)
		}
	}
}

// openedFilters compares the filters that a start reads with those of the blocks, after some bars.
// It returns their number and the pages of the largest one.
func openedFilters(t *testing.T, w *world, bars, rows int) (checked int, pagesMax uint32) {
	t.Helper()
	for range bars {
		w.bar(w.rows(rows, false))
	}
	again := w.again()
	for walk := (tableWalk{}); ; {
		tree, list, at, ok := walk.next(again)
		if !ok {
			break
		}
		tab := &list.tables[at]
		pages := tree.shape.FilterPages(tab.Entries)
		var want []byte
		for number := uint32(tab.PagesUsed) - pages; number < uint32(tab.PagesUsed); number++ {
			want = append(want, again.pages.Page(tab.Ref, number)...)
		}
		got := again.filters.of(list.filters[at])
		if len(got) == 0 || len(got) > len(want) || !bytes.Equal(got, want[:len(got)]) {
			t.Fatalf("table %d of %s has a filter of %d bytes that is not the one of its block", at, tree.spec.Name, len(got))
		}
		checked, pagesMax = checked+1, max(pagesMax, pages)
	}
	again.Check(func(uint64, string) {})
	return checked, pagesMax
}
