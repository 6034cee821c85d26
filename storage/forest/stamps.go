package forest

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// accountAtStamp returns the ordinal of the first account with at least this timestamp. If there is
// none, it returns the next ordinal.
func (f *Forest) accountAtStamp(timestamp uint64) uint64 {
	for _, m := range [2]*memtable{f.filling, f.flushing} {
		if m == nil || m.createdCount == 0 {
			continue
		}
		if m.created[0].Timestamp > timestamp && m.accountsFirst > 0 {
			continue // an account before this memtable may match
		}
		low, high := uint32(0), m.createdCount
		for low < high {
			middle := (low + high) / 2
			if m.created[middle].Timestamp < timestamp {
				low = middle + 1
			} else {
				high = middle
			}
		}
		return uint64(m.accountsFirst) + uint64(low)
	}
	key := keys.Number(timestamp)
	c := &f.stampCursor
	for _, r := range f.levels.Tree(storage.TreeAccountStamp).Runs() { // disjoint runs: accounts come in order of timestamps
		c.Open(f.levels, storage.TreeAccountStamp, r)
		if c.Seek(&key); !c.IsValid() {
			continue
		}
		found := *c.Key()
		var value [4]byte
		ok := f.levels.Find(storage.TreeAccountStamp, &found, value[:])
		assert.That(ok, "a key that a cursor found is in its tree")
		return uint64(binary.LittleEndian.Uint32(value[:]))
	}
	return uint64(f.accountsFlushed())
}

// accountsFlushed is the number of accounts that are in the trees.
func (f *Forest) accountsFlushed() accounting.AccountOrdinal {
	if f.flushing != nil {
		return f.flushing.accountsFirst
	}
	return f.filling.accountsFirst
}

// transfersFlushed is the number of transfers whose ids and postings are in the trees. The rows of
// the last ones may still be in the carried tail.
func (f *Forest) transfersFlushed() accounting.TransferOrdinal {
	if f.flushing != nil {
		return f.flushing.transfersFirst
	}
	return f.filling.transfersFirst
}

// accountStamp is the timestamp of an account.
func (f *Forest) accountStamp(ordinal accounting.AccountOrdinal) uint64 {
	entry := f.cache.find(ordinal)
	if entry == noEntry {
		entry = f.accountLoad(ordinal)
	}
	return f.cache.accounts[entry].Timestamp
}
