package forest

import (
	"ledger/accounting"
	"ledger/arena"
	"ledger/assert"
	"ledger/limits"
)

// undoKind of an undoEntry.
type undoKind uint8

const (
	undoAccountWrite undoKind = iota + 1
	undoAccountAppend
	undoTransferAppend
	undoStatus
	undoExpiryAdd
	undoExpiryCancel // an add of the filling memtable was taken back
	undoExpiryRemove
	undoExpiredAppend
)

// undoEntry is one change within a chain, with what it takes to take it back.
type undoEntry struct {
	Number uint64 // ordinal of the account or transfer; of undoAccountWrite the index in accounts beside it
	Index  uint32
	Kind   undoKind
	First  bool // the change added the account to the dirty ones, or the transfer to the changed ones
	Status accounting.PendingStatus
	_      [1]byte
}

// undo is the log of an open chain. It is taken back from the end, so every table and list shrinks in the reverse order of its
// growth and ends exactly as it was.
type undo struct {
	entries       []undoEntry
	count         uint32
	accounts      []accounting.Account
	accountsCount uint32
}

func newUndo(a *arena.Arena, l *limits.Limits) undo {
	const name = "undo log"
	events := uint64(eventsMax(l)) + 1
	return undo{
		entries:  arena.Slice[undoEntry](a, 8*events, name), // an event writes two accounts, a transfer, a status, an expiry
		accounts: arena.Slice[accounting.Account](a, 3*events, name),
	}
}

func (u *undo) add(e undoEntry) {
	u.entries[u.count] = e
	u.count++
}

func (u *undo) mark(kind undoKind) { u.add(undoEntry{Kind: kind}) }

func (u *undo) account(ordinal accounting.AccountOrdinal, old *accounting.Account, first bool) {
	u.add(undoEntry{Kind: undoAccountWrite, Number: uint64(ordinal), Index: u.accountsCount, First: first})
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
			f.undoAccountWrite(accounting.AccountOrdinal(e.Number), &f.undo.accounts[e.Index], e.First)
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

func (f *Forest) undoAccountWrite(ordinal accounting.AccountOrdinal, old *accounting.Account, first bool) {
	m := f.filling
	entry := f.cache.find(ordinal)
	if first {
		m.dirtyCount--
		assert.Equal(m.dirty[m.dirtyCount].Ordinal, ordinal, "the account changed last")
		m.dirtyOf.removeLast(uint64(ordinal))
		if entry != noEntry {
			f.cache.dirtyAt[entry] = 0
		}
	} else if entry == noEntry {
		index, ok := m.dirtyOf.find(uint64(ordinal))
		assert.That(ok, "an account that was changed before is dirty")
		m.dirty[index].Account = *old
	}
	if entry != noEntry {
		f.cache.accounts[entry] = *old
	}
}

func (f *Forest) undoAccountAppend() {
	m := f.filling
	m.createdCount--
	index := m.created[m.createdCount]
	m.dirtyCount--
	assert.Equal(m.dirtyCount, index, "the account created last")
	d := &m.dirty[index]
	m.dirtyOf.removeLast(uint64(d.Ordinal))
	m.accountIDs.removeLast(hashID(d.Account.ID), m.createdCount)
	for field := range fieldsCount {
		if !accountField(&d.Account, field).IsZero() {
			m.accountFields[field].count--
		}
	}
	f.cache.drop(d.Ordinal)
}

func (f *Forest) undoTransferAppend() {
	m := f.filling
	m.rowsCount--
	row := &m.rows[m.rowsCount]
	m.ids.removeLast(hashID(row.Transfer.ID), m.rowsCount)
	if row.Transfer.Flags&accounting.TransferPending != 0 {
		m.pending.count--
	}
	for field := range fieldsCount {
		if !transferField(&row.Transfer, field).IsZero() {
			m.fields[field].count--
		}
	}
}

func (f *Forest) undoStatus(ordinal accounting.TransferOrdinal, old accounting.PendingStatus, first bool) {
	m := f.filling
	switch {
	case ordinal >= m.transfersFirst:
		m.statuses[ordinal-m.transfersFirst] = old
	case first:
		m.changesCount--
		assert.Equal(m.changes[m.changesCount].Ordinal, ordinal, "the status changed last")
		m.changeOf.removeLast(uint64(ordinal))
	default:
		index, ok := m.changeOf.find(uint64(ordinal))
		assert.That(ok, "a status that was changed before is noted")
		m.changes[index].Status = old
	}
}
