package levels

import "ledger/storage"

// TreeCounters of one tree.
type TreeCounters struct {
	Runs         [storage.LevelsMax]uint64 // by level
	MergeEntries uint64                    // entries that merges under way still have to read
}

// Counters are the figures of all trees for metrics and tests.
type Counters struct {
	Trees       [storage.TreesCount]TreeCounters
	Merges      [storage.LevelsMax]uint64 // ended merges, by the level whose runs they read
	TablesMoved uint64                    // moved to the next level without being read
	Named       uint64                    // blocks that the trees and the plan name
}

// Count fills out with the current figures.
func (s *Levels) Count(out *Counters) {
	*out = Counters{Merges: s.merges, TablesMoved: s.movedCount}
	if s.plan.under {
		out.Named += s.plan.used
	}
	for i := range s.trees {
		tree, t := &s.trees[i], &out.Trees[i]
		for j := range tree.levels {
			level := &tree.levels[j]
			t.Runs[j] = uint64(len(level.runs))
			t.MergeEntries += level.merge.entriesLeft
			out.Named += uint64(level.merge.output.count())
		}
		for _, r := range tree.ordered {
			out.Named += uint64(r.count())
		}
	}
}
