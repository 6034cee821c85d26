package rows

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// EntriesCount implements storage.FlushSource.
func (m *memtable) EntriesCount(tree storage.TreeID) uint32 {
	switch tree {
	case storage.TreeTransferLog:
		return m.RowsCount()
	case storage.TreeTransferID:
		return m.rowsCount + m.deadCount
	case storage.TreeAccountID, storage.TreeAccount, storage.TreeAccountStamp:
		return m.createdCount
	case storage.TreeBalances:
		return m.accountsChanged
	case storage.TreePending:
		return m.pending.count + m.changesCount
	case storage.TreeExpiry:
		return m.expiry.EntriesCount()
	case storage.TreeExpired:
		return m.expiredCount
	case storage.TreeTransferDebit, storage.TreeTransferCredit:
		return m.rowsCount
	}
	if tree <= storage.TreeTransferCode {
		return m.fields[tree-storage.TreeTransferUser128].count
	}
	assert.Below(tree, storage.TreesCount, "trees")
	return m.accountFields[tree-storage.TreeAccountUser128].count
}

// Columns implements storage.FlushSource: for ids and postings.
func (m *memtable) Columns(tree storage.TreeID, out *storage.Columns) bool {
	switch {
	case tree == storage.TreeTransferID || keys.IsTransferPosting(tree):
		*out = storage.Columns{OrdinalFirst: uint64(m.transfersFirst)}
	case tree == storage.TreeAccountID || keys.IsPosting(tree):
		*out = storage.Columns{OrdinalFirst: uint64(m.accountsFirst)}
	default:
		return false
	}
	switch {
	case tree == storage.TreeTransferID:
		out.Wide, out.Dead = m.rowIDs[:m.rowsCount], m.dead[:m.deadCount]
	case tree == storage.TreeAccountID:
		out.Wide = m.createdIDs[:m.createdCount]
	case tree == storage.TreeTransferDebit:
		out.Narrow = m.debits[:m.rowsCount]
	case tree == storage.TreeTransferCredit:
		out.Narrow = m.credits[:m.rowsCount]
	case tree <= storage.TreeTransferCode:
		m.fields[tree-storage.TreeTransferUser128].column(m.rowsCount, out)
	default:
		m.accountFields[tree-storage.TreeAccountUser128].column(m.createdCount, out)
	}
	return true
}

// Changes implements storage.FlushSource.
func (m *memtable) Changes(out *storage.Changes) {
	*out = storage.Changes{
		Debits: m.debits[:m.rowsCount], Credits: m.credits[:m.rowsCount], Rows: m.rows[:m.rowsCount],
		Expired: m.expired[:m.expiredCount], ExpiredAt: m.expiredAt[:m.expiredCount],
	}
}

// Entry implements storage.FlushSource, for the trees that have no columns.
func (m *memtable) Entry(tree storage.TreeID, index uint32) (key storage.Key, tombstone bool) {
	switch tree {
	case storage.TreeAccount:
		return keys.Account(m.accountsFirst + accounting.AccountOrdinal(index)), false
	case storage.TreeAccountStamp:
		return keys.Number(m.created[index].Timestamp), false
	case storage.TreePending:
		if index < m.pending.count {
			return keys.Number(uint64(m.transfersFirst) + uint64(m.pending.indexes[index])), false
		}
		return keys.Number(uint64(m.changes[index-m.pending.count].Ordinal)), false
	case storage.TreeExpiry:
		return m.expiry.Entry(index)
	case storage.TreeExpired:
		return keys.Number(m.expired[index].Timestamp), false
	}
	assert.That(false, "a tree without columns is known")
	return key, false
}

// Value implements storage.FlushSource. Values are little-endian.
func (m *memtable) Value(tree storage.TreeID, index uint32, value []byte) {
	switch tree {
	case storage.TreeAccountID, storage.TreeAccountStamp:
		binary.LittleEndian.PutUint32(value, uint32(m.accountsFirst)+index)
	case storage.TreeAccount:
		keys.PutAccount(value, &m.created[index])
	case storage.TreePending:
		if index < m.pending.count {
			value[0] = byte(m.statuses[m.pending.indexes[index]])
		} else {
			value[0] = byte(m.changes[index-m.pending.count].Status)
		}
	case storage.TreeExpired:
		keys.PutExpired(value, &m.expired[index])
	default:
		assert.That(storage.Trees[tree].ValueBytes == 0, "the tree has no values")
	}
}

// RowsFirst implements storage.FlushSource.
func (m *memtable) RowsFirst() accounting.TransferOrdinal { return m.tail.first }

// RowsCount implements storage.FlushSource.
func (m *memtable) RowsCount() uint32 { return m.tail.count + m.rowsCount }

// Row implements storage.FlushSource.
func (m *memtable) Row(index uint32) *accounting.TransferRow {
	if index < m.tail.count {
		return &m.tail.rows[index]
	}
	assert.Below(index-m.tail.count, m.rowsCount, "rows of a memtable")
	return &m.rows[index-m.tail.count]
}
