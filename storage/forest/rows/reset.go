package rows

import (
	"ledger/accounting"
	"ledger/storage"
)

// Reset makes the state empty. It breathes each time after clearing bytesMax bytes.
func (k Keeper) Reset(bytesMax uint64) {
	s := k.s
	s.flushingFed = false
	s.memtables[0].begin(0, 0, 0, 0)
	s.memtables[1].begin(0, 0, 0, 0)
	s.filling, s.flushing = s.memtables[0], nil
	s.tail.first, s.tail.count = 0, 0
	s.pages.Breathe()
	s.cache.reset()
	s.pages.Breathe()
	for s.pendings.reset(bytesMax) {
		s.pages.Breathe()
	}
	s.epoch, s.idMax = 1, accounting.U128{}
	s.chainOpen, s.undo.count, s.undo.accountsCount = false, 0, 0
	s.log.count, s.log.partial = 0, storage.Table{}
	s.flushedRows, s.barStart = 0, 0
	s.warm.head, s.warm.count = 0, 0
	s.Lookahead(nil)
	s.LookupTransfers(nil)
}
