package forest

import (
	"math"

	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
)

// ManifestTable is a table as a manifest names it.
type ManifestTable struct {
	storage.Table
	// Level and Run are where a tree has it; the oldest run of a level is run 0. Rows of the log
	// have neither.
	Level, Run int
	// Output tells that the table belongs to a merge under way of Level, which nobody reads yet.
	Output bool
}

// WalkManifest visits the tables that a manifest names, in its order: rows of the log, the partial
// block, the trees. It needs no forest. The decoder is the forest's: what the forest accepts, it
// accepts.
//
// returns: the addresses of the blocks of trailers.
// error:   the manifest is damaged. Tables before the damage have been visited.
func WalkManifest(in []byte, l *limits.Limits, visit func(t *ManifestTable)) (trailers []uint64, err error) {
	r := &reader{in: in, bornOpMax: math.MaxUint64}
	pagesMax := block.GeometryOf(*l).PagesMax
	head := r.head()
	each := func(t *storage.Table) { visit(&ManifestTable{Table: *t}) }
	next := uint64(0) // ordinal
	for i := uint64(0); i < head.logCount+uint64(head.partial) && !r.failed; i++ {
		t := r.table(storage.TreeTransferLog, pagesMax)
		if next += uint64(t.Entries); r.expect(t.Partial == (i == head.logCount)) {
			each(&t)
		}
		r.expect(i+1 != head.logCount || next == head.tailFirst)
	}
	r.expect(next == head.transfers)
	for id := range storage.TreesCount {
		least := uint8(0)
		for i := uint8(0); i < head.levels[id] && r.expect(id != storage.TreeTransferLog); i++ {
			number, runs, inputs := r.level(least, storage.MergeRuns(l, id))
			at := ManifestTable{Level: int(number)}
			add := func(t *storage.Table) {
				at.Table = *t
				visit(&at)
			}
			for at.Run = 0; at.Run < int(runs) && !r.failed; at.Run++ {
				out := r.run(id, pagesMax, add)
				r.expect(out.entries > 0 && out.rows > 0)
			}
			if at.Run, at.Output = 0, true; inputs > 0 && !r.failed {
				r.run(id, pagesMax, add)
				r.merge(&merge{})
			}
			least = number + 1
		}
	}
	for i := uint64(0); i < head.trailers && !r.failed; i++ {
		trailers = append(trailers, r.u64())
		r.expect(trailers[i] > 0)
	}
	if r.expect(r.u64() == manifestMark); r.failed || len(r.in) > 0 {
		return nil, errManifest
	}
	return trailers, nil
}
