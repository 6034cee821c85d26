package levels

import (
	"ledger/storage/forest/ids"
	"ledger/storage/grid"
)

// Reset makes the trees empty. No job may be out: a plan that compact has returned is forgotten.
func (s *Levels) Reset(g *grid.Grid, loader *ids.Loader) {
	s.CoverEnd(g, loader)
	s.cover.wanted, s.cover.room = false, 0
	for i := range s.trees {
		t := &s.trees[i]
		for j := range t.levels {
			t.levels[j].runs = t.levels[j].runs[:0]
			t.levels[j].merge = merge{}
		}
		t.order()
	}
	s.pool.reset()
	s.filters.reset()
	s.plan.under = false
}
