package rows

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/rowlog"
)

// accountAtStamp returns the ordinal of the first account with at least this timestamp. If there is
// none, it returns the next ordinal.
func (s *Rows) accountAtStamp(timestamp uint64) uint64 {
	for _, m := range [2]*memtable{s.filling, s.flushing} {
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
	c := &s.stampCursor
	for _, r := range s.levels.Tree(storage.TreeAccountStamp).Runs() { // disjoint runs: accounts come in order of timestamps
		c.Open(s.levels, storage.TreeAccountStamp, r)
		if c.Seek(&key); !c.IsValid() {
			continue
		}
		found := *c.Key()
		var value [4]byte
		ok := s.levels.Find(storage.TreeAccountStamp, &found, value[:])
		assert.That(ok, "a key that a cursor found is in its tree")
		return uint64(binary.LittleEndian.Uint32(value[:]))
	}
	return uint64(s.accountsFlushed())
}

// accountsFlushed is the number of accounts that are in the trees.
func (s *Rows) accountsFlushed() accounting.AccountOrdinal {
	if s.flushing != nil {
		return s.flushing.accountsFirst
	}
	return s.filling.accountsFirst
}

// transfersFlushed is the number of transfers whose ids and postings are in the trees. The rows of
// the last ones may still be in the carried tail.
func (s *Rows) transfersFlushed() accounting.TransferOrdinal {
	if s.flushing != nil {
		return s.flushing.transfersFirst
	}
	return s.filling.transfersFirst
}

// accountStamp is the timestamp of an account.
func (s *Rows) accountStamp(ordinal accounting.AccountOrdinal) uint64 {
	entry := s.cache.find(ordinal)
	if entry == noEntry {
		entry = s.accountLoad(ordinal)
	}
	return s.cache.accounts[entry].Timestamp
}

// AccountStampMax implements accounting.Store.
func (s *Rows) AccountStampMax() uint64 { return s.filling.accountStampMax() }

// TransferStampMax implements accounting.Store.
func (s *Rows) TransferStampMax() uint64 { return s.filling.transferStampMax() }

// AccountStampExists implements accounting.Store.
func (s *Rows) AccountStampExists(timestamp uint64) bool {
	ordinal := s.accountAtStamp(timestamp)
	return ordinal < uint64(s.filling.accountsNext()) && s.accountStamp(accounting.AccountOrdinal(ordinal)) == timestamp
}

// TransferStampExists implements accounting.Store.
func (s *Rows) TransferStampExists(timestamp uint64) bool {
	ordinal := s.transferAtStamp(timestamp)
	if ordinal >= uint64(s.filling.transfersNext()) {
		return false
	}
	if row := s.row(accounting.TransferOrdinal(ordinal)); row != nil {
		return row.Transfer.Timestamp == timestamp
	}
	s.logReadTransfer(accounting.TransferOrdinal(ordinal), &s.transferScratch)
	return s.transferScratch.Timestamp == timestamp
}

// transferAtStamp returns the ordinal of the first transfer with at least this timestamp. If there
// is none, it returns the next ordinal.
func (s *Rows) transferAtStamp(timestamp uint64) uint64 {
	if rows := s.filling.rows[:s.filling.rowsCount]; len(rows) > 0 && rows[0].Transfer.Timestamp <= timestamp {
		return uint64(s.filling.transfersFirst) + firstAtStamp(rows, timestamp)
	}
	if m := s.flushing; m != nil {
		if rows := m.rows[:m.rowsCount]; len(rows) > 0 && rows[0].Transfer.Timestamp <= timestamp {
			return uint64(m.transfersFirst) + firstAtStamp(rows, timestamp)
		}
	}
	if rows := s.tail.rows[:s.tail.count]; len(rows) > 0 && rows[0].Transfer.Timestamp <= timestamp {
		return uint64(s.tail.first) + firstAtStamp(rows, timestamp)
	}
	at := lastAtMost(s.log.stamps[:s.log.count], timestamp)
	if at < 0 {
		return 0
	}
	t := &s.log.tables[at]
	number := s.shape.PageFindStamp(block.HeaderPage(s.pages.Page(t.Ref, 0)), timestamp)
	page := s.pages.Page(t.Ref, number)
	return uint64(rowlog.First(page)) + uint64(rowlog.SearchStamp(page, timestamp))
}

func firstAtStamp(rows []accounting.TransferRow, timestamp uint64) uint64 {
	low, high := 0, len(rows)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if rows[middle].Transfer.Timestamp < timestamp {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return uint64(low)
}
