package forest

import (
	"ledger/internal/assert"
	"ledger/storage"
)

// resetBytes is how much memory is cleared between two breaths: some 200 µs.
const resetBytes = 2 << 20

// Reset gives a forest in use the state that New returned, for another Open. Compact may have no
// job of it and no checkpoint. It waits for reads whose memory it needs, and it allocates nothing.
func (f *Forest) Reset() {
	f.isOpen = false
	f.levels.Reset(f.grid, &f.loader)
	f.pages.Reset()
	f.grid.Reset(f.waiter)
	for f.filter.Reset(resetBytes) {
		f.pages.Breathe()
	}
	f.expiry.Reset()
	f.keeper.Reset(resetBytes)
	f.freeSet.Reset()
	f.scrub = scrub{}
	f.checkpoint.trailersCount, f.checkpoint.state, f.checkpoint.job = 0, storage.Checkpoint{}, storage.CheckpointJob{}
	f.selfCheck()
	assert.Equal(f.freeSet.AcquiredCount(), 0, "addresses in use after a reset")
}
