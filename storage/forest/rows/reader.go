package rows

import (
	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/rowlog"
)

// Reader reads rows for queries: as of now, or as of the moment of past.
type Reader struct {
	s    *Rows
	past *Past // nil: as of now
}

// TransferRange converts timestamps into ordinals of transfers: first..end-1.
func (r Reader) TransferRange(timestampMin, timestampMax uint64) (first, end uint64) {
	first, end = r.s.transferAtStamp(timestampMin), r.s.TransfersCount()
	if timestampMax < ^uint64(0) {
		end = r.s.transferAtStamp(timestampMax + 1)
	}
	if r.past != nil {
		first, end = min(first, r.past.moment.transfers), min(end, r.past.moment.transfers)
	}
	return first, end
}

// AccountRange converts timestamps into ordinals of accounts: first..end-1.
func (r Reader) AccountRange(timestampMin, timestampMax uint64) (first, end uint64) {
	first, end = r.s.accountAtStamp(timestampMin), r.s.AccountsCount()
	if timestampMax < ^uint64(0) {
		end = r.s.accountAtStamp(timestampMax + 1)
	}
	return first, end
}

// TransfersFlushed is the number of transfers whose ids and postings are in the trees. The rows of
// the last ones may still be in the carried tail.
func (r Reader) TransfersFlushed() uint64 { return uint64(r.s.transfersFlushed()) }

// AccountsFlushed is the number of accounts that are in the trees.
func (r Reader) AccountsFlushed() uint64 { return uint64(r.s.accountsFlushed()) }

// AccountRead fills account with an account.
func (r Reader) AccountRead(ordinal uint64, account *accounting.Account) {
	r.s.AccountRead(accounting.AccountOrdinal(ordinal), account)
}

// Read reads the row of any transfer.
func (r Reader) Read(ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	var c rowlog.Cursor
	r.ReadNext(&c, ordinal, row)
}

// ReadNext is Read for rows that are read one after the other; c remembers the position.
func (r Reader) ReadNext(c *rowlog.Cursor, ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	s := r.s
	if r.past != nil {
		assert.Below(uint64(ordinal), r.past.moment.transfers, "a transfer that a query reads was there")
		if inMemory := s.rowBare(ordinal); inMemory != nil {
			if *row = *inMemory; row.Transfer.DebitAccountID.IsZero() {
				r.Name(row)
			}
			return
		}
	} else if inMemory := s.row(ordinal); inMemory != nil {
		*row = *inMemory
		return
	}
	c.Read(s.logPage(ordinal), ordinal, row)
	r.Name(row)
}

// Name fills in the ids of a row's accounts, which the log does not have.
func (r Reader) Name(row *accounting.TransferRow) {
	if r.past != nil {
		row.Transfer.DebitAccountID = r.past.accountID(row.DebitOrdinal)
		row.Transfer.CreditAccountID = r.past.accountID(row.CreditOrdinal)
		return
	}
	row.Transfer.DebitAccountID = r.s.accountID(row.DebitOrdinal)
	row.Transfer.CreditAccountID = r.s.accountID(row.CreditOrdinal)
}

// Warm starts reading the page of a row, or the header page that names it. It does not wait.
func (r Reader) Warm(ordinal uint64) { r.s.warmRow(accounting.TransferOrdinal(ordinal)) }

// LogEnd is the number of rows in full blocks. All rows behind are in memory.
func (r Reader) LogEnd() uint64 { return uint64(r.s.tail.first) }

// Block returns the block of the log that holds a row.
func (r Reader) Block(ordinal uint64) uint32 { return uint32(r.s.logTable(ordinal)) }

// BlockHas tells whether a block holds a row.
func (r Reader) BlockHas(at uint32, ordinal uint64) bool { return r.s.logHas(at, ordinal) }

// BlockRef names a block.
func (r Reader) BlockRef(at uint32) storage.Ref { return r.s.log.tables[at].Ref }

// BlockPage returns the number of the page that holds a row of a block.
func (r Reader) BlockPage(at uint32, header block.HeaderPage, ordinal uint64) uint32 {
	return r.s.shape.PageFind(header, uint32(ordinal-r.s.log.firsts[at]))
}

// Expired are the expiries that no tree has: first those of the flushing memtable, if there is one,
// then those of the filling one. They ascend by time.
func (r Reader) Expired() [2][]accounting.ExpiredRow {
	var expired [2][]accounting.ExpiredRow
	if m := r.s.flushing; m != nil {
		expired[0] = m.expired[:m.expiredCount]
	}
	m := r.s.filling
	count := m.expiredCount
	if r.past != nil {
		count = r.past.moment.expired
	}
	expired[1] = m.expired[:count]
	return expired
}

// Memtable is a memtable as a query sees it.
type Memtable struct{ m *memtable }

// Memtable returns the memtable that holds a transfer, which no tree has.
func (r Reader) Memtable(ordinal uint64) Memtable {
	if ordinal < uint64(r.s.filling.transfersFirst) {
		return Memtable{r.s.flushing}
	}
	return Memtable{r.s.filling}
}

// First is the ordinal of the first transfer.
func (m Memtable) First() uint64 { return uint64(m.m.transfersFirst) }

// Count is the number of transfers.
func (m Memtable) Count() uint32 { return m.m.rowsCount }

// Row returns a row.
func (m Memtable) Row(index uint32) *accounting.TransferRow { return &m.m.rows[index] }

// Columns fills out with the values of a posting tree.
func (m Memtable) Columns(tree storage.TreeID, out *storage.Columns) { m.m.Columns(tree, out) }
