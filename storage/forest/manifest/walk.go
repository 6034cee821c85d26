package manifest

import (
	"math"

	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
)

// Table is a table as a manifest names it.
type Table struct {
	storage.Table
	// Level and Run are where a tree has it; the oldest run of a level is run 0. Rows of the log
	// have neither.
	Level, Run int
	// Output tells that the table belongs to a merge under way of Level, which nobody reads yet.
	Output bool
}

// Walk visits the tables that a manifest names, in its order: rows of the log, the partial block,
// the trees. It needs no forest. The reader is the forest's: what the forest accepts, it accepts.
//
// returns: the addresses of the blocks of trailers.
// error:   the manifest is damaged. Tables before the damage have been visited.
func Walk(in []byte, l *limits.Limits, visit func(t *Table)) (trailers []uint64, err error) {
	r := NewReader(in, math.MaxUint64, block.GeometryOf(*l).PagesMax)
	head := r.Head()
	blocks := head.LogCount
	if head.Partial {
		blocks++
	}
	each := func(t *storage.Table) { visit(&Table{Table: *t}) }
	next := uint64(0) // ordinal
	for i := uint64(0); i < blocks && !r.failed; i++ {
		t := r.Table(storage.TreeTransferLog)
		if next += uint64(t.Entries); r.Expect(t.Partial == (i == head.LogCount)) {
			each(&t)
		}
		r.Expect(i+1 != head.LogCount || next == head.TailFirst)
	}
	r.Expect(next == head.Transfers)
	for id := range storage.TreesCount {
		least := uint8(0)
		for i := uint8(0); i < head.Levels[id] && r.Expect(id != storage.TreeTransferLog); i++ {
			number, runs, inputs := r.Level(least, storage.MergeRuns(l, id))
			at := Table{Level: int(number)}
			add := func(t *storage.Table) {
				at.Table = *t
				visit(&at)
			}
			for at.Run = 0; at.Run < int(runs) && !r.failed; at.Run++ {
				out := r.Run(id, add)
				r.Expect(out.Entries > 0 && out.Rows > 0)
			}
			if at.Run, at.Output = 0, true; inputs > 0 && !r.failed {
				r.Run(id, add)
				r.Merge()
			}
			least = number + 1
		}
	}
	for i := uint64(0); i < head.Trailers && !r.failed; i++ {
		trailers = append(trailers, r.Trailer())
	}
	if !r.End() {
		return nil, ErrDamaged
	}
	return trailers, nil
}
