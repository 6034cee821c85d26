package forest

import (
	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
)

// resetBytes is how much memory is cleared between two breaths: some 200 µs.
const resetBytes = 2 << 20

// Reset gives a forest in use the state that New returned, for another Open. Compact may have no
// job of it and no checkpoint. It waits for reads whose memory it needs, and it allocates nothing.
func (f *Forest) Reset() {
	f.levels.Reset(f.grid, &f.loader)
	f.pages.Reset()
	f.grid.Reset(f.waiter)
	for f.identities.Reset(resetBytes) {
		f.pages.Breathe()
	}
	f.flushingFed = false
	f.memtables[0].begin(0, 0, 0, 0)
	f.memtables[1].begin(0, 0, 0, 0)
	f.filling, f.flushing = f.memtables[0], nil
	f.tail.first, f.tail.count = 0, 0
	f.pages.Breathe()
	f.cache.reset()
	f.pages.Breathe()
	for f.pendings.reset(resetBytes) {
		f.pages.Breathe()
	}
	f.epoch, f.idMax = 1, accounting.U128{}
	f.chainOpen, f.undo.count, f.undo.accountsCount = false, 0, 0
	f.log.count, f.log.partial = 0, storage.Table{}
	f.window.reset()
	f.freeSet.Reset()
	f.flushedRows, f.rowsBarStart = 0, 0
	f.checkpoint.trailersCount, f.checkpoint.state, f.checkpoint.job = 0, storage.Checkpoint{}, storage.CheckpointJob{}
	f.warm.head, f.warm.count = 0, 0
	f.Lookahead(nil)
	f.LookupTransfers(nil)
	f.selfCheck()
	assert.Equal(f.freeSet.AcquiredCount(), 0, "addresses in use after a reset")
}
