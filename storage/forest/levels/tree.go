package levels

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/manifest"
	"ledger/storage/forest/pages"
	"ledger/storage/freeset"
	"ledger/storage/table"
)

// Room of the manifest in tables, and of filters, for 2 TiB of blocks. A forest that needs more
// treats it as a full disk.
const (
	poolTablesMax = 1 << 23 // slices grow by doubling, so up to half of it is room to grow
	filtersMax    = 1 << 18 // 5 billion ids

	levelsMax  = storage.LevelsMax
	runsMax    = manifest.RunsMax
	runsMerged = storage.MergeRunsMax
)

// RunsMax is the largest number of runs of a tree.
const RunsMax = levelsMax * runsMax

// merge is a merge under way: the oldest runs of a level become one run of the next level.
type merge struct {
	inputs      int // the oldest runs of the level; 0: no merge
	output      Run // invisible until the merge has ended
	entriesLeft uint64
	entriesAll  uint64
	rowsAll     uint64
	credit      uint64 // entries that may be merged
	from        bool
	fromKey     storage.Key
}

// level holds runs, the oldest first.
type level struct {
	runs  []Run
	merge merge
}

// Tree is levels of runs. A deeper level is older.
type Tree struct {
	id         storage.TreeID
	spec       storage.TreeSpec
	shape      table.Shape
	runsMerged int // a level that holds as many runs is merged
	levels     [levelsMax]level
	ordered    []*Run // all visible runs, the oldest first
	runsCount  int
}

// Runs are all visible runs, the oldest first. They stay until the end of the bar.
func (t *Tree) Runs() []*Run { return t.ordered }

// IsEmpty tells whether the tree has no run.
func (t *Tree) IsEmpty() bool { return t.runsCount == 0 }

// Shape is the layout of the tree's tables.
func (t *Tree) Shape() *table.Shape { return &t.shape }

// order rebuilds the list of visible runs. It must be called after every change of levels.
func (t *Tree) order() {
	t.ordered = t.ordered[:0]
	for i := levelsMax - 1; i >= 0; i-- {
		for j := range t.levels[i].runs {
			t.ordered = append(t.ordered, &t.levels[i].runs[j])
		}
	}
	t.runsCount = len(t.ordered)
}

// deepest is the deepest level that holds runs.
func (t *Tree) deepest() (deepest int) {
	for i := range t.levels {
		if len(t.levels[i].runs) > 0 {
			deepest = i
		}
	}
	return deepest
}

// Levels are all trees. They belong to one thread.
type Levels struct {
	pages      *pages.Reader
	free       *freeset.Set
	trees      [storage.TreesCount]Tree
	pool       *tablePool
	filters    filterPool
	filterIDs  uint64 // ids for which there are filters at most
	plan       plan
	cover      cover
	merges     [levelsMax]uint64
	changes    uint64 // of visible runs
	movedCount uint64
}

// New reserves all memory and returns empty trees.
//
// free:      the addresses of the data file.
// rowBlocks: the most blocks that a flush writes rows to.
func New(l *limits.Limits, a *arena.Arena, p *pages.Reader, free *freeset.Set, rowBlocks uint64) *Levels {
	addressesMax := freeset.AddressesMax(*l)
	s := &Levels{pages: p, free: free, pool: newTablePool(a, min(4*addressesMax+64, poolTablesMax))}
	// Each level has a part of one slice. A slice for each of them would make a start slow.
	runs := make([]Run, int(storage.TreesCount-storage.TreeTransferLog-1)*RunsMax)
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		t := &s.trees[id]
		t.id, t.spec, t.shape, t.runsMerged = id, storage.Trees[id], table.ShapeOf(*l, id), storage.MergeRuns(l, id)
		t.ordered = make([]*Run, 0, levelsMax*runsMax)
		for i := range t.levels {
			t.levels[i].runs, runs = runs[:0:runsMax], runs[runsMax:]
		}
	}
	ids, accounts := &s.trees[storage.TreeTransferID].shape, &s.trees[storage.TreeAccountID].shape
	filters := min(addressesMax, filtersMax)
	s.filters = newFilterPool(a, uint64(max(ids.FilterBytesMax(), accounts.FilterBytesMax())), filters)
	s.filterIDs = filters * uint64(ids.EntriesMax())
	s.plan = newPlan(s, l, a, rowBlocks)
	s.cover = newCover(l)
	return s
}

// Tree returns a tree.
func (s *Levels) Tree(id storage.TreeID) *Tree { return &s.trees[id] }

// Changes counts the changes of visible runs.
func (s *Levels) Changes() uint64 { return s.changes }

// FilterIDsMax is the number of ids whose filters fit the memory.
func (s *Levels) FilterIDsMax() uint64 { return s.filterIDs }

// TablesMax is the number of tables of which the manifest can be certain.
func (s *Levels) TablesMax() uint64 { return uint64(len(s.pool.tables)) }

// filterRef is the reference to the filter of a table in a slot. 0: none.
func (s *Levels) filterRef(t *storage.Table, slot uint32) filterRef {
	return filterRef{slot: slot, bytes: s.trees[t.Tree].shape.FilterBytes(t.Entries)}
}

// tableAppend adds a table to a list.
func (s *Levels) tableAppend(list *tableList, t *storage.Table, filter uint32) {
	if len(list.tables) == cap(list.tables) && !s.pool.grow(list) {
		s.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit,
			Reason: "the manifest is full: the data file holds more tables than this release supports"})
	}
	list.tables = append(list.tables, *t)
	list.fences = append(list.fences, fenceOf(&t.KeyMax))
	list.filters = append(list.filters, s.filterRef(t, filter))
}

// add adds the newest run of a level.
func (l *level) add(r Run) {
	assert.Below(len(l.runs), runsMax, "runs of a level")
	l.runs = append(l.runs, r)
}
