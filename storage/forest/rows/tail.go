package rows

import (
	"ledger/accounting"
	"ledger/internal/assert"
)

// tail is the rows that are in no full block. They are the end of the flushed rows.
type tail struct {
	first accounting.TransferOrdinal
	rows  []accounting.TransferRow
	count uint32
}

// carry makes the rows that are not in full blocks the tail of the next flush. written is the
// number of rows in full blocks.
func (t *tail) carry(m *memtable, written uint32) {
	all := m.RowsCount()
	assert.AtMost(written, all, "rows in full blocks")
	count := all - written
	assert.AtMost(count, uint32(len(t.rows)), "carried rows")
	kept := uint32(0) // rows of the tail that stay in it
	if written < t.count {
		kept = uint32(copy(t.rows, t.rows[written:t.count]))
	}
	copy(t.rows[kept:], m.rows[m.rowsCount-(count-kept):m.rowsCount])
	t.first += accounting.TransferOrdinal(written)
	t.count = count
}
