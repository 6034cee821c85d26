package forest

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

// undoKind of an undoEntry.
type undoKind uint8

const (
	undoAccountWrite undoKind = iota + 1
	undoAccountAppend
	undoTransferAppend
	undoStatus
	undoExpiryAdd
	undoExpiryCancel // an add of the filling memtable was cancelled
	undoExpiryRemove
	undoExpiredAppend
)

// undoEntry is one change within a chain, with the data that reverts it.
type undoEntry struct {
	Number uint64 // ordinal of the account or transfer; undoAccountWrite: index in accounts
	Index  uint32
	Kind   undoKind
	First  bool // the change added the transfer to the list of changes
	Status accounting.PendingStatus
	_      [1]byte
	Epoch  uint32 // undoAccountWrite: the epoch of the account's previous change
	_      uint32
}

// undo is the log of an open chain. It is reverted from the end. So every table and list shrinks in
// the reverse order of its growth and ends exactly as it was.
type undo struct {
	entries       []undoEntry
	count         uint32
	accounts      []accounting.Account
	accountsCount uint32
}

func newUndo(a *arena.Arena, l *limits.Limits) undo {
	const name = "undo log"
	events := uint64(l.OpEventsMax()) + 1
	return undo{
		entries:  arena.Slice[undoEntry](a, 8*events, name), // per event: two accounts, a transfer, a status, an expiry
		accounts: arena.Slice[accounting.Account](a, 3*events, name),
	}
}

func (u *undo) add(e undoEntry) {
	u.entries[u.count] = e
	u.count++
}

func (u *undo) mark(kind undoKind) { u.add(undoEntry{Kind: kind}) }

func (u *undo) account(ordinal accounting.AccountOrdinal, old *accounting.Account, epoch uint32) {
	u.add(undoEntry{Kind: undoAccountWrite, Number: uint64(ordinal), Index: u.accountsCount, Epoch: epoch})
	u.accounts[u.accountsCount] = *old
	u.accountsCount++
}

func (u *undo) status(ordinal accounting.TransferOrdinal, old accounting.PendingStatus, first bool) {
	u.add(undoEntry{Kind: undoStatus, Number: uint64(ordinal), Status: old, First: first})
}

// ChainOpen implements accounting.Store.
func (f *Forest) ChainOpen() {
	assert.That(!f.chainOpen, "chains do not nest")
	f.chainOpen = true
	f.undo.count, f.undo.accountsCount = 0, 0
}

// ChainCommit implements accounting.Store.
func (f *Forest) ChainCommit() {
	assert.That(f.chainOpen, "a chain that ends is open")
	f.chainOpen = false
}

// ChainRollback implements accounting.Store.
func (f *Forest) ChainRollback() {
	assert.That(f.chainOpen, "a chain that ends is open")
	f.chainOpen = false
	m := f.filling
	for f.undo.count > 0 {
		f.undo.count--
		e := &f.undo.entries[f.undo.count]
		switch e.Kind {
		case undoAccountWrite:
			f.undoAccountWrite(accounting.AccountOrdinal(e.Number), &f.undo.accounts[e.Index], e.Epoch)
		case undoAccountAppend:
			f.undoAccountAppend()
		case undoTransferAppend:
			f.undoTransferAppend()
		case undoStatus:
			f.undoStatus(accounting.TransferOrdinal(e.Number), e.Status, e.First)
		case undoExpiryAdd:
			f.undoExpiryAdd()
		case undoExpiryCancel:
			f.undoExpiryCancel(e.Index)
		case undoExpiryRemove:
			f.undoExpiryRemove()
		case undoExpiredAppend:
			m.expiredCount--
		default:
			assert.That(false, "the kind of an undo entry is known")
		}
	}
}

func (f *Forest) undoAccountWrite(ordinal accounting.AccountOrdinal, old *accounting.Account, epoch uint32) {
	m := f.filling
	if epoch != f.epoch {
		m.accountsChanged--
	}
	if entry := f.cache.find(ordinal); entry != noEntry {
		f.cache.accounts[entry] = *old
		f.cache.setEpoch(entry, epoch)
		return
	}
	// The account has left the cache since it was changed.
	spilled := m.spill.take(ordinal, &f.accountScratch)
	assert.That(spilled, "a changed account that left the cache is in the spill")
	f.accountSpill(ordinal, old, epoch)
}

func (f *Forest) undoAccountAppend() {
	m := f.filling
	m.createdCount--
	account := &m.created[m.createdCount]
	m.accountIDs.RemoveLast(ids.Hash(&f.key, account.ID), m.createdCount)
	for field := range keys.FieldsCount {
		if !keys.AccountField(account, field).IsZero() {
			m.accountFields[field].count--
		}
	}
	f.cache.drop(m.accountsNext())
}

func (f *Forest) undoTransferAppend() {
	m := f.filling
	m.rowsCount--
	row := &m.rows[m.rowsCount]
	m.ids.RemoveLast(ids.Hash(&f.key, row.Transfer.ID), m.rowsCount)
	if row.Transfer.Flags&accounting.TransferPending != 0 {
		m.pending.count--
		f.pendings.pop()
	}
	for field := range keys.FieldsCount {
		if !keys.TransferField(&row.Transfer, field).IsZero() {
			m.fields[field].count--
		}
	}
}

func (f *Forest) undoStatus(ordinal accounting.TransferOrdinal, old accounting.PendingStatus, first bool) {
	m := f.filling
	f.pendings.drop(ordinal)
	switch {
	case ordinal >= m.transfersFirst:
		m.statuses[ordinal-m.transfersFirst] = old
	case first:
		m.changesCount--
		assert.Equal(m.changes[m.changesCount].Ordinal, ordinal, "the status changed last")
		m.changeOf.RemoveLast(uint64(ordinal))
	default:
		index, ok := m.changeOf.Find(uint64(ordinal))
		assert.That(ok, "a status that was changed before is noted")
		m.changes[index].Status = old
	}
}
