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
	next := uint64(0)
	for i := range f.log.count {
		name(f.log.tables[i].Address, "the row log")
		assert.Equal(f.log.firsts[i], next, "rows follow each other")
		next += uint64(f.log.tables[i].Entries)
	}
	assert.Equal(next, uint64(f.tail.first), "the tail follows the log")
	assert.Equal(next+uint64(f.tail.count), uint64(f.transfersFlushed()), "the memtables follow the tail")
	if !f.log.partial.IsZero() {
		name(f.log.partial.Address, "the partial block")
	}
	f.levels.Check(name)
	for _, address := range f.checkpoint.trailers[:f.checkpoint.trailersCount] {
		name(address, "a trailer")
	}
	assert.Equal(uint64(len(named))+f.freeSet.WaitingCount(), f.freeSet.AcquiredCount(), "what is acquired is named or waits")
	f.checkCache()
}

// checkCache checks that every account in the cache, and no other account, is found by its id.
func (f *Forest) checkCache() {
	c, count := f.cache, uint32(0)
	for entry := range c.count {
		if _, _, ok := c.at(entry); ok {
			count++
			state := c.states[entry]
			assert.Equal(c.findID(c.accounts[entry].ID, c.hash(entry)), entry, "an account in the cache is found by its id")
			c.states[entry] = state // restore the bit of use
		}
	}
	assert.Equal(c.ids.Count(), count, "ids of the cache are its accounts'")
}
