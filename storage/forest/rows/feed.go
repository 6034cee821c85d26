package rows

import "ledger/storage/forest/ids"

// fed returns the ids of a memtable for the filter of all ids. No chain may be open: its ids may be
// rolled back.
func (m *memtable) fed() ids.Fed {
	return ids.Fed{Rows: m.rowIDs[:m.rowsCount], Dead: m.dead[:m.deadCount], Older: m.idsOlder}
}

// feedBegin adds the ids that have come since the previous request. It tells askIDs whether
// the flushing memtable is in the filter. It runs between requests, when no chain is open.
func (s *Rows) feedBegin() {
	idsMax := 2 * s.limits.OpEventsMax() // more than one request brings, so that a late start catches up
	s.flushingFed = s.flushing != nil && s.filter.Feed(&s.flushing.feed, s.flushing.fed(), idsMax)
	s.filter.Feed(&s.filling.feed, s.filling.fed(), idsMax)
}

// feedEnd adds the remaining ids of a memtable that was flushed. After that its run is
// covered.
func (s *Rows) feedEnd(m *memtable) {
	s.flushingFed = s.filter.FeedEnd(&m.feed, m.fed())
}
