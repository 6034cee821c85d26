package levels

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/grid"
)

// coverReads is the number of tables that are read at the same time to cover a run.
const coverReads = 4

// cover is the work that covers the runs of an opened checkpoint: their ids are added to the filter
// of all ids. One run is covered at a time, its tables in order.
type cover struct {
	wanted bool   // some run may be wanted
	room   uint64 // for ids that are in the filter already, of runs that are merged with wanted ones
	under  bool   // a run is being covered, or was when the runs changed
	begun  int    // tables of the run whose reads began
	added  int    // tables of the run whose ids were added
	page   uint32 // of table added: the data page that comes next
	hashes []uint64
}

func newCover(l *limits.Limits) cover { return cover{hashes: make([]uint64, 0, l.PageBytes/8)} }

// CoverOverlapping decides which runs of transfer ids of an opened checkpoint the filter of all ids
// is to cover: those that overlap another run. The fences of other runs tell that an id lies beside
// them. Runs of up to earlyMax ids are covered before the first request, by CoverFirst. It returns
// the numbers of ids.
func (s *Levels) CoverOverlapping(earlyMax uint64) (early, late uint64) {
	t := &s.trees[storage.TreeTransferID]
	for _, r := range t.ordered {
		for _, other := range t.ordered {
			if r != other && r.reachesOver(other) {
				r.wanted = true
			}
		}
		if !r.wanted {
			continue
		}
		s.cover.wanted = true
		if r.early = r.entries <= earlyMax; r.early {
			early += r.entries
		} else {
			late += r.entries
		}
	}
	return early, late
}

// CoverRoom tells for how many ids the filter has room beyond those that are wanted.
func (s *Levels) CoverRoom(ids uint64) { s.cover.room = ids }

// CoverNone takes CoverOverlapping back, because the filter has no room.
func (s *Levels) CoverNone() {
	for _, r := range s.trees[storage.TreeTransferID].ordered {
		r.wanted = false
	}
	s.cover.wanted = false
}

// IsCovering tells whether some run is not covered yet that should be.
func (s *Levels) IsCovering() bool { return s.cover.wanted }

// CoverStep adds the ids of up to one page to the filter of all ids. It never waits. more: it could
// go on at once.
//
// A run is asked by itself until all of its ids are in the filter. The smallest run comes first:
// each run costs a lookup the same, whatever its size. A merge may end meanwhile. Its output is
// wanted if an input was; see inherit. So a run that vanishes while it is covered is just given up.
func (s *Levels) CoverStep(g *grid.Grid, loader *ids.Loader) (more bool) {
	c := &s.cover
	if !c.wanted {
		return false
	}
	r := s.coverRun(g, loader)
	if r == nil {
		return false
	}
	shape := &s.trees[storage.TreeTransferID].shape
	for c.begun < min(c.added+coverReads, r.count()) {
		tab := &r.tables[c.begun]
		pages := uint32(tab.PagesUsed) - 1 - shape.FilterPages(tab.Entries) // OpenFilters has seen that there are
		g.BlockStart(c.begun%coverReads, tab.Ref, 1, pages)
		c.begun++
	}
	if c.added < r.count() {
		return s.coverPage(g, loader, r)
	}
	if loader.Empty() {
		return true
	}
	r.covered, r.wanted, r.covering = true, false, false
	c.under = false
	return true
}

// CoverFirst covers the runs that are to be covered early. It waits for their tables.
func (s *Levels) CoverFirst(g *grid.Grid, loader *ids.Loader) {
	c := &s.cover
	for c.wanted {
		if !c.under {
			if r := s.coverNext(); r == nil || !r.early {
				return
			}
		}
		if s.CoverStep(g, loader) {
			s.pages.Breathe()
		} else if c.under {
			s.pages.Wait()
		}
	}
}

// coverNext returns the smallest run that is wanted, or nil.
func (s *Levels) coverNext() (smallest *Run) {
	for _, r := range s.trees[storage.TreeTransferID].ordered {
		if r.wanted && (smallest == nil || r.entries < smallest.entries) {
			smallest = r
		}
	}
	return smallest
}

// coverRun returns the run that is being covered, or begins with the smallest one that is wanted.
func (s *Levels) coverRun(g *grid.Grid, loader *ids.Loader) *Run {
	c := &s.cover
	for _, r := range s.trees[storage.TreeTransferID].ordered {
		if r.covering {
			assert.That(c.under, "a run is covered when its turn has come")
			return r
		}
	}
	assert.That(!c.under, "a run that vanishes while it is covered is given up at once")
	smallest := s.coverNext()
	if smallest == nil {
		c.wanted = false
		return nil
	}
	for i := range coverReads {
		if !g.BlockIsFree(i) { // of a run that has vanished
			return nil
		}
	}
	c.under, c.begun, c.added, c.page = true, 0, 0, 1
	smallest.covering = true
	loader.Begin(smallest.early)
	return smallest
}

// CoverVanished gives up the run that is being covered if a merge has replaced it. Its blocks are
// not in use any more: that one of them cannot be read must not be a fault.
func (s *Levels) CoverVanished(g *grid.Grid, loader *ids.Loader) {
	for _, r := range s.trees[storage.TreeTransferID].ordered {
		if r.covering {
			return
		}
	}
	s.CoverEnd(g, loader)
}

// CoverEnd gives up the run that is being covered.
func (s *Levels) CoverEnd(g *grid.Grid, loader *ids.Loader) {
	c := &s.cover
	if !c.under {
		return
	}
	for at := c.added; at < c.begun; at++ {
		g.BlockEnd(at % coverReads)
	}
	loader.Drop()
	c.under = false
}

// coverPage adds the ids of the next page.
func (s *Levels) coverPage(g *grid.Grid, loader *ids.Loader, r *Run) (more bool) {
	c := &s.cover
	t := &s.trees[storage.TreeTransferID]
	read := c.added % coverReads
	header, ok := g.BlockHeader(read)
	if !ok {
		return false
	}
	if c.page == 1 && !isTable(header, t, &r.tables[c.added]) {
		g.BlockRefuse(read, reasonOther)
		return false
	}
	page, ok := g.BlockPage(read, c.page)
	if !ok {
		c.page = 1 // it is read again; ids that are added twice do no harm
		return false
	}
	c.hashes = t.shape.FilterHashes(page, c.hashes[:0])
	loader.Add(c.hashes)
	if c.page++; c.page > header.DataPages() {
		g.BlockEnd(read)
		c.added, c.page = c.added+1, 1
	}
	return true
}
