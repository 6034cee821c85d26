package levels

import (
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/grid"
)

const reasonOther = "the table is not what the manifest says"

// tableWalk visits the tables of all trees with filters, outputs of merges included. The zero walk
// begins before the first table.
type tableWalk struct {
	tree, level, run, table int
}

// next returns the next table: entry at of list. ok is false behind the last.
func (w *tableWalk) next(s *Levels) (t *Tree, list *tableList, at int, ok bool) {
	for ; w.tree < len(s.trees); w.tree, w.level = w.tree+1, 0 {
		t = &s.trees[w.tree]
		if !t.spec.Filter {
			continue
		}
		for ; w.level < levelsMax; w.level, w.run = w.level+1, 0 {
			l := &t.levels[w.level]
			for ; w.run <= len(l.runs); w.run, w.table = w.run+1, 0 {
				if list = &l.merge.output.tableList; w.run < len(l.runs) {
					list = &l.runs[w.run].tableList
				}
				if w.table < list.count() {
					w.table++
					return t, list, w.table - 1, true
				}
			}
		}
	}
	return nil, nil, 0, false
}

// FiltersMemory is the memory that OpenFilters will fill for a number of ids of transfers.
func (s *Levels) FiltersMemory(ids uint64) []byte {
	return s.filters.expected(ids, uint64(s.trees[storage.TreeTransferID].shape.EntriesMax()))
}

// OpenFilters reads the filters of all tables after Decode. Many are read at the same time. It
// waits for ever at a table whose filter cannot be read; the grid has the fault.
func (s *Levels) OpenFilters(g *grid.Grid) {
	for walk := (tableWalk{}); ; {
		_, list, at, ok := walk.next(s)
		if !ok {
			break
		}
		if list.filters[at].slot = s.filters.get(); list.filters[at].slot == 0 {
			s.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit, Reason: "the memory of filters is full"})
		}
	}
	var begin, end tableWalk
	begun, ended := 0, 0
	for {
		for begun < ended+grid.BlocksMax && g.BlockIsFree(begun%grid.BlocksMax) {
			t, list, at, ok := begin.next(s)
			if !ok {
				break
			}
			s.filterStart(g, begun%grid.BlocksMax, t, &list.tables[at])
			begun++
		}
		if begun == ended && !g.BlockIsFree(begun%grid.BlocksMax) { // its memory is still in use by an earlier read
			s.pages.Wait()
			continue
		}
		t, list, at, ok := end.next(s)
		if !ok {
			return
		}
		tab := &list.tables[at]
		filter := s.filters.of(list.filters[at])
		for !s.filterTake(g, ended%grid.BlocksMax, t, tab, filter) {
			s.pages.Wait()
		}
		g.BlockEnd(ended % grid.BlocksMax)
		ended++
		s.pages.Breathe()
	}
}

// filterStart begins to read the filter of a table, which is its last pages.
func (s *Levels) filterStart(g *grid.Grid, read int, t *Tree, tab *storage.Table) {
	pages := t.shape.FilterPages(tab.Entries)
	if pages+2 > uint32(tab.PagesUsed) {
		s.pages.Fail(&storage.Fault{What: storage.FaultBlock, Address: tab.Address, Reason: reasonOther})
	}
	g.BlockStart(read, tab.Ref, uint32(tab.PagesUsed)-pages, pages)
}

// filterTake copies a table's filter once it has been read.
func (s *Levels) filterTake(g *grid.Grid, read int, t *Tree, tab *storage.Table, filter []byte) bool {
	header, ok := g.BlockHeader(read)
	if !ok {
		return false
	}
	if !isTable(header, t, tab) {
		g.BlockRefuse(read, reasonOther)
		return false
	}
	for number := header.DataPages() + 1; number < header.PagesUsed(); number++ {
		page, ok := g.BlockPage(read, number)
		if !ok {
			return false
		}
		filter = filter[copy(filter, page):]
	}
	return true
}

// isTable tells whether a block is what the manifest says of a table.
func isTable(header block.HeaderPage, t *Tree, tab *storage.Table) bool {
	return header.Tree() == tab.Tree && header.Entries() == tab.Entries && header.PagesUsed() == uint32(tab.PagesUsed) &&
		header.FilterPages() == t.shape.FilterPages(tab.Entries)
}
