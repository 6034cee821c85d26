//go:build invariants

package forest

import (
	"fmt"

	"ledger/internal/assert"
)

// selfCheck compares the free set with what the manifest, the trailers and the waiting lists name,
// and the runs of every tree with their own rules. It runs after each install and each capture.
func (f *Forest) selfCheck() {
	named := map[uint64]string{}
	name := func(address uint64, what string) {
		if other, ok := named[address]; ok {
			assert.That(false, fmt.Sprintf("address %d belongs to one owner, not to %s and %s", address, other, what))
		}
		assert.That(f.freeSet.IsAcquired(address), "an address in use is acquired")
		named[address] = what
	}
	f.keeper.Check(name)
	f.levels.Check(name)
	for _, address := range f.checkpoint.trailers[:f.checkpoint.trailersCount] {
		name(address, "a trailer")
	}
	assert.Equal(uint64(len(named))+f.freeSet.WaitingCount(), f.freeSet.AcquiredCount(), "what is acquired is named or waits")
}
