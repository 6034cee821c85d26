package forest

import "ledger/storage/forest/ids"

// fed returns the ids of a memtable for the filter of all ids. No chain may be open: its ids may be
// rolled back.
func (m *memtable) fed() ids.Fed {
	return ids.Fed{Rows: m.rowIDs[:m.rowsCount], Dead: m.dead[:m.deadCount], Older: m.idsOlder}
}

// identityFeedBegin adds the ids that have come since the previous request. It tells askIDs whether
// the flushing memtable is in the filter. It runs between requests, when no chain is open.
func (f *Forest) identityFeedBegin() {
	idsMax := 2 * f.limits.OpEventsMax() // more than one request brings, so that a late start catches up
	f.flushingFed = f.flushing != nil && f.identities.Feed(&f.flushing.feed, f.flushing.fed(), idsMax)
	f.identities.Feed(&f.filling.feed, f.filling.fed(), idsMax)
}

// identityFeedEnd adds the remaining ids of a memtable that was flushed. After that its run is
// covered.
func (f *Forest) identityFeedEnd(m *memtable) {
	f.flushingFed = f.identities.FeedEnd(&m.feed, m.fed())
}
