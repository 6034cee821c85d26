package rows

import (
	"ledger/storage"
	"ledger/storage/grid"
	"ledger/storage/rowlog"
)

// OpenTail reads the carried rows back from the partial block. The block does not contain the ids
// of their accounts; row fills them in.
func (k Keeper) OpenTail(g *grid.Grid) {
	s := k.s
	partial := &s.log.partial
	if partial.IsZero() {
		return
	}
	const read = 0
	g.BlockStart(read, partial.Ref, 0, 0)
	for s.tail.count < partial.Entries {
		s.openRows(g, read)
		if s.tail.count < partial.Entries {
			s.tail.count = 0
			s.pages.Wait()
		}
	}
	g.BlockEnd(read)
}

// openRows takes the carried rows once their block has been read.
func (s *Rows) openRows(g *grid.Grid, read int) {
	partial := &s.log.partial
	header, ok := g.BlockHeader(read)
	if !ok {
		return
	}
	if header.Tree() != storage.TreeTransferLog || header.Entries() != partial.Entries || partial.Entries > uint32(len(s.tail.rows)) {
		g.BlockRefuse(read, "the table is not what the manifest says")
		return
	}
	for number := uint32(1); number <= header.DataPages(); number++ {
		page, ok := g.BlockPage(read, number)
		if !ok {
			return
		}
		count := uint32(rowlog.Count(page))
		if s.tail.count+count > partial.Entries || uint64(rowlog.First(page)) != uint64(s.tail.first)+uint64(s.tail.count) {
			g.BlockRefuse(read, "the rows do not follow the log")
			return
		}
		rowlog.ReadRows(page, 0, s.tail.rows[s.tail.count:s.tail.count+count])
		s.tail.count += count
	}
	if s.tail.count != partial.Entries {
		g.BlockRefuse(read, "rows are missing")
	}
}
