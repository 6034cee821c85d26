package rows

import (
	"unsafe"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/storage/forest/ids"
)

// pendings keeps the newest pending transfers and their status in memory. When they are resolved or
// expire, their rows are on disk, mostly on a page each. It is a cache: memtables and trees have
// all that it drops.
type pendings struct {
	rows []pendingRow // a ring
	next uint64       // number of rows ever put; row n is at n % len(rows)
	of   ids.Numbers  // transfer ordinal -> index in rows
}

type pendingRow struct {
	Transfer accounting.Transfer
	Ordinal  accounting.TransferOrdinal
	Debit    accounting.AccountOrdinal
	Credit   accounting.AccountOrdinal
	Status   accounting.PendingStatus // PendingNone: this place is empty
	_        [7]byte
}

func newPendings(a *arena.Arena, key *hashing.Key, countMax uint32, full bool) pendings {
	const name = "pending transfer cache"
	bulk := arena.Bulk(arena.Cache, full)
	countMax = max(1, min(countMax, ids.IndexMax))
	return pendings{
		rows: arena.SliceWith[pendingRow](a, uint64(countMax), name, bulk),
		of:   ids.NewNumbers(a, key, countMax, countMax, name, bulk),
	}
}

// put adds a transfer that was just stored. It takes the place of the oldest.
func (p *pendings) put(ordinal accounting.TransferOrdinal, row *accounting.TransferRow) {
	index := p.next % uint64(len(p.rows))
	p.clear(index)
	p.rows[index] = pendingRow{
		Transfer: row.Transfer, Ordinal: ordinal, Debit: row.DebitOrdinal, Credit: row.CreditOrdinal, Status: accounting.PendingOpen,
	}
	p.of.Insert(uint64(ordinal), uint32(index))
	p.next++
}

// pop takes back the last put, for a rollback.
func (p *pendings) pop() {
	p.next--
	p.clear(p.next % uint64(len(p.rows)))
}

func (p *pendings) clear(index uint64) {
	row := &p.rows[index]
	if row.Status != accounting.PendingNone {
		p.of.Remove(uint64(row.Ordinal))
		row.Status = accounting.PendingNone
	}
}

// find returns a transfer's row, or nil.
func (p *pendings) find(ordinal accounting.TransferOrdinal) *pendingRow {
	if index, ok := p.of.Find(uint64(ordinal)); ok {
		return &p.rows[index]
	}
	return nil
}

// drop forgets a transfer.
func (p *pendings) drop(ordinal accounting.TransferOrdinal) {
	if index, ok := p.of.Find(uint64(ordinal)); ok {
		p.clear(uint64(index))
	}
}

// reset forgets all transfers. It looks at rows of up to bytesMax bytes, and has to be called until
// it returns false.
func (p *pendings) reset(bytesMax uint64) (more bool) {
	p.next = min(p.next, uint64(len(p.rows)))
	for n := bytesMax / uint64(unsafe.Sizeof(pendingRow{})); n > 0 && p.next > 0; n-- {
		p.next--
		p.clear(p.next)
	}
	return p.next > 0
}
