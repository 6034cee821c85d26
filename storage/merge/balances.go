package merge

import (
	"math/bits"

	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/table"
)

// flushBalances writes the balances of the accounts that the rows of a memtable changed. The last
// row of an account has its balances.
func (m *Merger) flushBalances(job *storage.Job) {
	c := &m.columns.changes
	job.Source.Changes(c)
	changes := m.lastChanges(c)
	shape := &m.shapes[job.Tree]
	m.packer.Reset(shape, 1)
	for from := 0; from < len(changes); from += emitEntries {
		part := changes[from:min(from+emitEntries, len(changes))]
		// Rows are spread over memory, and the balances of a row lie in two cache lines. This loop
		// only loads these lines, so that the processor fetches many at once.
		sum := uint64(0)
		for _, slot := range part {
			after := c.After(uint32(slot & m.columns.indexMask))
			sum += after.DebitsPending.Lo + uint64(after.Flags)
		}
		m.columns.sink += sum
		value := m.columns.balances[:]
		for _, slot := range part {
			storage.PutBalances(value, c.After(uint32(slot&m.columns.indexMask)))
			m.add(job, table.Words{A: slot >> m.columns.indexBits << 32}, false, value)
		}
		m.spend(2 * len(part))
	}
	m.finishTable(job)
	m.statistics.EntriesFlushed += uint64(len(changes))
}

// lastChanges returns a slot for each changed account, in order of the accounts: the account and,
// below it, the index of its last change.
func (m *Merger) lastChanges(c *storage.Changes) []uint64 {
	assert.AtMost(uint64(c.Count()), m.entriesMax, "changes in a memtable")
	assert.Equal(len(c.Debits), len(c.Credits), "accounts of rows")
	assert.Equal(len(c.Debits), len(c.Rows), "rows and their accounts")
	indexBits := m.columns.indexBits
	slots := m.columns.slots[0][:c.Count()]
	rows := len(c.Debits)
	differ := uint32(0)
	for from := 0; from < rows; from += passRecords {
		end := min(from+passRecords, rows)
		credits := c.Credits[from:end]
		for i, debit := range c.Debits[from:end] {
			index := 2 * uint64(from+i)
			slots[index] = uint64(debit)<<indexBits | index
			slots[index+1] = uint64(credits[i])<<indexBits | index + 1
			differ |= debit | credits[i]
		}
		m.spend((end - from) / 16)
	}
	for i := range c.Expired {
		index := 2 * uint64(rows+i)
		debit, credit := uint32(c.Expired[i].DebitOrdinal), uint32(c.Expired[i].CreditOrdinal)
		slots[index] = uint64(debit)<<indexBits | index
		slots[index+1] = uint64(credit)<<indexBits | index + 1
		differ |= debit | credit
	}
	m.spend(len(c.Expired) / 8)
	m.sortSlots(slots, m.columns.slots[1], indexBits, uint(bits.Len32(differ)))
	count := 0
	for start := 0; start < len(slots); {
		end := start + 1
		for end < len(slots) && (slots[end]^slots[start])>>indexBits == 0 {
			end++
		}
		slots[count] = m.lastOf(c, slots[start:end])
		count++
		if count%passRecords == 0 {
			m.spend(passRecords / 8)
		}
		start = end
	}
	return slots[:count]
}

// lastOf returns the last change of one account. It compares the last of its rows with the last of
// its expiries.
func (m *Merger) lastOf(c *storage.Changes, slots []uint64) uint64 {
	last := slots[len(slots)-1]
	expiry := int(last&m.columns.indexMask)/2 - len(c.Debits)
	if expiry < 0 {
		return last
	}
	for i := len(slots) - 2; i >= 0; i-- {
		row := uint32(slots[i]&m.columns.indexMask) / 2
		if row >= uint32(len(c.Debits)) {
			continue
		}
		if row >= c.ExpiredAt[expiry] {
			return slots[i]
		}
		break
	}
	return last
}
