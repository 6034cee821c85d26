package forest

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/rowlog"
)

// rowLog is the full blocks of the transfer log, in order of ordinals, and the partial block of the
// last checkpoint.
type rowLog struct {
	tables  []storage.Table
	firsts  []uint64 // first ordinal of each block
	stamps  []uint64 // first timestamp of each block
	count   uint32
	partial storage.Table // Address 0: none
}

func newRowLog(a *arena.Arena, blocksMax uint64) rowLog {
	const name = "manifest"
	index := arena.Options{Class: arena.Index}
	return rowLog{
		tables: arena.SliceWith[storage.Table](a, blocksMax, name, index),
		firsts: arena.SliceWith[uint64](a, blocksMax, name, index),
		stamps: arena.SliceWith[uint64](a, blocksMax, name, index),
	}
}

func (l *rowLog) add(t *storage.Table) bool {
	if uint64(l.count) == uint64(len(l.tables)) {
		return false
	}
	l.tables[l.count] = *t
	l.firsts[l.count] = binary.BigEndian.Uint64(t.KeyMin[0:])
	l.stamps[l.count] = binary.BigEndian.Uint64(t.KeyMin[8:])
	l.count++
	return true
}

// lastAtMost returns the index of the last element that is at most value, or -1. Elements ascend.
func lastAtMost(elements []uint64, value uint64) int {
	low, high := 0, len(elements)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if elements[middle] <= value {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1
}

// logTable is the index of the block that holds ordinal.
func (f *Forest) logTable(ordinal uint64) int { return lastAtMost(f.log.firsts[:f.log.count], ordinal) }

// logHas tells whether a block holds ordinal, which is in a full block.
func (f *Forest) logHas(table uint32, ordinal uint64) bool {
	return f.log.firsts[table] <= ordinal && (table+1 == f.log.count || ordinal < f.log.firsts[table+1])
}

// logPage returns the page of the log that holds ordinal.
func (f *Forest) logPage(ordinal accounting.TransferOrdinal) []byte {
	assert.Below(ordinal, f.tail.first, "a transfer that is read from the log is in a full block")
	at := f.logTable(uint64(ordinal))
	assert.That(at >= 0, "the log starts at the first ordinal")
	t := &f.log.tables[at]
	number := f.rowShape.PageFind(block.HeaderPage(f.pages.Page(t.Ref, 0)), uint32(uint64(ordinal)-f.log.firsts[at]))
	return f.pages.Page(t.Ref, number)
}

// logReadTransfer reads a transfer that is not in memory.
func (f *Forest) logReadTransfer(ordinal accounting.TransferOrdinal,
	transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	f.warmExpiries(ordinal)
	debit, credit = rowlog.ReadObject(f.logPage(ordinal), ordinal, transfer)
	transfer.DebitAccountID = f.accountID(debit)
	transfer.CreditAccountID = f.accountID(credit)
	return debit, credit
}

// rowRead reads the row of any transfer.
func (f *Forest) rowRead(ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	var c rowlog.Cursor
	f.rowReadNext(&c, ordinal, row)
}

// rowReadNext is rowRead for rows that are read one after the other; c remembers the position.
func (f *Forest) rowReadNext(c *rowlog.Cursor, ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	if inMemory := f.row(ordinal); inMemory != nil {
		*row = *inMemory
		return
	}
	c.Read(f.logPage(ordinal), ordinal, row)
	row.Transfer.DebitAccountID = f.accountID(row.DebitOrdinal)
	row.Transfer.CreditAccountID = f.accountID(row.CreditOrdinal)
}

func (f *Forest) accountID(ordinal accounting.AccountOrdinal) accounting.U128 {
	entry := f.cache.find(ordinal)
	if entry == noEntry {
		entry = f.accountLoad(ordinal)
	}
	return f.cache.accounts[entry].ID
}

// transferAtStamp returns the ordinal of the first transfer with at least this timestamp. If there
// is none, it returns the next ordinal.
func (f *Forest) transferAtStamp(timestamp uint64) uint64 {
	if rows := f.filling.rows[:f.filling.rowsCount]; len(rows) > 0 && rows[0].Transfer.Timestamp <= timestamp {
		return uint64(f.filling.transfersFirst) + firstAtStamp(rows, timestamp)
	}
	if m := f.flushing; m != nil {
		if rows := m.rows[:m.rowsCount]; len(rows) > 0 && rows[0].Transfer.Timestamp <= timestamp {
			return uint64(m.transfersFirst) + firstAtStamp(rows, timestamp)
		}
	}
	if rows := f.tail.rows[:f.tail.count]; len(rows) > 0 && rows[0].Transfer.Timestamp <= timestamp {
		return uint64(f.tail.first) + firstAtStamp(rows, timestamp)
	}
	at := lastAtMost(f.log.stamps[:f.log.count], timestamp)
	if at < 0 {
		return 0
	}
	t := &f.log.tables[at]
	number := f.rowShape.PageFindStamp(block.HeaderPage(f.pages.Page(t.Ref, 0)), timestamp)
	page := f.pages.Page(t.Ref, number)
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
