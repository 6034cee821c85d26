package rows

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
		entries:  arena.Slice[undoEntry](a, 8*events, name), // per event: two accounts, a transfer, a status
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
func (s *Rows) ChainOpen() {
	assert.That(!s.chainOpen, "chains do not nest")
	s.chainOpen = true
	s.undo.count, s.undo.accountsCount = 0, 0
	s.expiry.ChainOpen()
}

// ChainCommit implements accounting.Store.
func (s *Rows) ChainCommit() {
	assert.That(s.chainOpen, "a chain that ends is open")
	s.chainOpen = false
	s.expiry.ChainCommit()
}

// ChainRollback implements accounting.Store.
func (s *Rows) ChainRollback() {
	assert.That(s.chainOpen, "a chain that ends is open")
	s.chainOpen = false
	s.expiry.ChainRollback()
	m := s.filling
	for s.undo.count > 0 {
		s.undo.count--
		e := &s.undo.entries[s.undo.count]
		switch e.Kind {
		case undoAccountWrite:
			s.undoAccountWrite(accounting.AccountOrdinal(e.Number), &s.undo.accounts[e.Index], e.Epoch)
		case undoAccountAppend:
			s.undoAccountAppend()
		case undoTransferAppend:
			s.undoTransferAppend()
		case undoStatus:
			s.undoStatus(accounting.TransferOrdinal(e.Number), e.Status, e.First)
		case undoExpiredAppend:
			m.expiredCount--
		default:
			assert.That(false, "the kind of an undo entry is known")
		}
	}
}

func (s *Rows) undoAccountWrite(ordinal accounting.AccountOrdinal, old *accounting.Account, epoch uint32) {
	m := s.filling
	if epoch != s.epoch {
		m.accountsChanged--
	}
	if entry := s.cache.find(ordinal); entry != noEntry {
		s.cache.accounts[entry] = *old
		s.cache.setEpoch(entry, epoch)
		return
	}
	// The account has left the cache since it was changed.
	spilled := m.spill.take(ordinal, &s.accountScratch)
	assert.That(spilled, "a changed account that left the cache is in the spill")
	s.accountSpill(ordinal, old, epoch)
}

func (s *Rows) undoAccountAppend() {
	m := s.filling
	m.createdCount--
	account := &m.created[m.createdCount]
	m.accountIDs.RemoveLast(ids.Hash(&s.key, account.ID), m.createdCount)
	for field := range keys.FieldsCount {
		if !keys.AccountField(account, field).IsZero() {
			m.accountFields[field].count--
		}
	}
	s.cache.drop(m.accountsNext())
}

func (s *Rows) undoTransferAppend() {
	m := s.filling
	m.rowsCount--
	row := &m.rows[m.rowsCount]
	m.ids.RemoveLast(ids.Hash(&s.key, row.Transfer.ID), m.rowsCount)
	if row.Transfer.Flags&accounting.TransferPending != 0 {
		m.pending.count--
		s.pendings.pop()
	}
	for field := range keys.FieldsCount {
		if !keys.TransferField(&row.Transfer, field).IsZero() {
			m.fields[field].count--
		}
	}
}

func (s *Rows) undoStatus(ordinal accounting.TransferOrdinal, old accounting.PendingStatus, first bool) {
	m := s.filling
	s.pendings.drop(ordinal)
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
