//go:build invariants

package forest

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
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
	for i := range f.trees {
		t := &f.trees[i]
		end := uint64(0)
		for _, r := range t.ordered {
			f.checkRun(t, r, name)
			if keys.IsPosting(t.id) {
				assert.That(r.ordinalFirst >= end, "runs of postings follow each other")
				end = r.ordinalEnd
			}
		}
		for j := range t.levels {
			f.checkRun(t, &t.levels[j].merge.output, name)
		}
	}
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
	assert.Equal(c.ids.count, count, "ids of the cache are its accounts'")
}

func (f *Forest) checkRun(t *tree, r *run, name func(uint64, string)) {
	entries := uint64(0)
	for i := range r.tables {
		name(r.tables[i].Address, t.spec.Name)
		entries += uint64(r.tables[i].Entries)
		assert.That(r.fences[i] == fenceOf(&r.tables[i].KeyMax), "a fence is its table's last key")
		assert.That(i == 0 || r.tables[i-1].KeyMax.Compare(&r.tables[i].KeyMin) < 0, "tables of a run ascend")
		assert.That(t.spec.Filter == (r.filters[i] != 0), "a table has its filter")
		assert.That(r.tables[i].Tree == storage.TreeID(t.id), "a table belongs to its tree")
	}
	assert.Equal(entries, r.entries, "entries of a run")
}
