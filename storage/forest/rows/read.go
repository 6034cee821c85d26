package rows

import (
	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage/block"
	"ledger/storage/rowlog"
)

// logTable is the index of the block that holds ordinal.
func (s *Rows) logTable(ordinal uint64) int { return lastAtMost(s.log.firsts[:s.log.count], ordinal) }

// logHas tells whether a block holds ordinal, which is in a full block.
func (s *Rows) logHas(table uint32, ordinal uint64) bool {
	return s.log.firsts[table] <= ordinal && (table+1 == s.log.count || ordinal < s.log.firsts[table+1])
}

// logPage returns the page of the log that holds ordinal.
func (s *Rows) logPage(ordinal accounting.TransferOrdinal) []byte {
	assert.Below(ordinal, s.tail.first, "a transfer that is read from the log is in a full block")
	at := s.logTable(uint64(ordinal))
	assert.That(at >= 0, "the log starts at the first ordinal")
	t := &s.log.tables[at]
	number := s.shape.PageFind(block.HeaderPage(s.pages.Page(t.Ref, 0)), uint32(uint64(ordinal)-s.log.firsts[at]))
	return s.pages.Page(t.Ref, number)
}

// logReadTransfer reads a transfer that is not in memory.
func (s *Rows) logReadTransfer(ordinal accounting.TransferOrdinal,
	transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	s.warmExpiries(ordinal)
	debit, credit = rowlog.ReadObject(s.logPage(ordinal), ordinal, transfer)
	transfer.DebitAccountID = s.accountID(debit)
	transfer.CreditAccountID = s.accountID(credit)
	return debit, credit
}

// accountID is the id of an account.
func (s *Rows) accountID(ordinal accounting.AccountOrdinal) accounting.U128 {
	entry := s.cache.find(ordinal)
	if entry == noEntry {
		entry = s.accountLoad(ordinal)
	}
	return s.cache.accounts[entry].ID
}

// row returns the row of an ordinal that is in memory, or nil.
func (s *Rows) row(ordinal accounting.TransferOrdinal) *accounting.TransferRow {
	row := s.rowBare(ordinal)
	if row != nil && row.Transfer.DebitAccountID.IsZero() {
		return s.rowNamed(row)
	}
	return row
}

// rowBare is row, but a carried row that was read from a partial block has no ids of accounts.
func (s *Rows) rowBare(ordinal accounting.TransferOrdinal) *accounting.TransferRow {
	if ordinal >= s.filling.transfersFirst {
		index := uint64(ordinal - s.filling.transfersFirst)
		assert.Below(index, uint64(s.filling.rowsCount), "a transfer that is read exists")
		return &s.filling.rows[index]
	}
	if m := s.flushing; m != nil && ordinal >= m.transfersFirst {
		return &m.rows[ordinal-m.transfersFirst]
	}
	if ordinal >= s.tail.first {
		return &s.tail.rows[ordinal-s.tail.first]
	}
	return nil
}

// rowNamed returns a copy of a carried row that was read from a partial block, completed with the
// ids of its accounts. It is a copy, because a flush job may be reading the row itself.
func (s *Rows) rowNamed(bare *accounting.TransferRow) *accounting.TransferRow {
	row := &s.rowScratch
	*row = *bare
	row.Transfer.DebitAccountID = s.accountID(row.DebitOrdinal)
	row.Transfer.CreditAccountID = s.accountID(row.CreditOrdinal)
	return row
}
