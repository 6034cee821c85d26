package rows

import (
	"ledger/accounting"
	"ledger/storage"
)

// Reset makes the rows, the caches and the index of expiries empty, as New returned them. It pauses
// after every resetBytes of memory, roughly.
func (k Keeper) Reset(resetBytes uint64) {
	s := k.s
	s.expiry.Reset()
	for _, m := range s.memtables {
		m.begin(0, 0, 0, 0)
		s.pages.Breathe()
	}
	s.filling, s.flushing = s.memtables[0], nil
	s.tail.first, s.tail.count = 0, 0
	s.log.count, s.log.partial = 0, storage.Table{}
	s.cache.reset()
	s.pages.Breathe()
	for s.pendings.reset(resetBytes) {
		s.pages.Breathe()
	}
	s.epoch, s.idMax = 1, accounting.U128{}
	s.chainOpen, s.undo.count, s.undo.accountsCount = false, 0, 0
	s.flushingFed, s.flushedRows, s.barStart = false, 0, 0
	s.warm.head, s.warm.count = 0, 0
	s.Lookahead(nil)
	s.LookupTransfers(nil)
}
