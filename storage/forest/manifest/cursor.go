package manifest

import (
	"math"

	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
)

// Cursor goes through the tables that a manifest names, in the order of Walk, one at a time, so
// that whoever needs them all can pause. The manifest was read by a forest, or written by one.
type Cursor struct {
	r      Reader
	head   Head
	limits *limits.Limits
	rows   uint64 // tables of the log of rows that are left
	tables uint64 // of the run
	tree   storage.TreeID
	levels uint8 // of the tree that are left
	least  uint8 // of the next level's number
	runs   uint8 // of the level that are left
	inputs uint8 // of the merge of the level, whose output comes behind the runs
	merges bool  // the run is the output of a merge
}

// NewCursor returns a cursor at the first table of a manifest.
func NewCursor(in []byte, l *limits.Limits) Cursor {
	c := Cursor{r: NewReader(in, math.MaxUint64, block.GeometryOf(*l).PagesMax), limits: l}
	c.head = c.r.Head()
	c.rows, c.levels = c.head.LogCount, c.head.Levels[0]
	if c.head.Partial {
		c.rows++
	}
	return c
}

// Next returns the next table. ok is false behind the last one.
func (c *Cursor) Next() (t storage.Table, ok bool) {
	for !c.r.failed {
		switch {
		case c.rows > 0:
			c.rows--
			return c.r.Table(storage.TreeTransferLog), !c.r.failed
		case c.tables > 0:
			c.tables--
			return c.r.Table(c.tree), !c.r.failed
		case c.merges:
			c.merges = false
			c.r.Merge()
		case c.runs > 0:
			c.runs--
			c.run()
		case c.inputs > 0:
			c.inputs, c.merges = 0, true
			c.run()
		case c.levels > 0:
			c.levels--
			c.least, c.runs, c.inputs = c.r.Level(c.least, storage.MergeRuns(c.limits, c.tree))
			c.least++
		case c.tree+1 < storage.TreesCount:
			c.tree++
			c.levels, c.least = c.head.Levels[c.tree], 0
		default:
			return storage.Table{}, false
		}
	}
	return storage.Table{}, false
}

// run reads the front of a run.
func (c *Cursor) run() {
	c.tables = c.r.u64()
	c.r.take(4 * 8)
}

// Failed tells whether the manifest is damaged.
func (c *Cursor) Failed() bool { return c.r.failed }
