package forest

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

var _ accounting.Store = (*Forest)(nil)
var _ accounting.Warmer = (*Forest)(nil)

// AccountFind implements accounting.Store.
func (f *Forest) AccountFind(id accounting.U128, account *accounting.Account) (accounting.AccountOrdinal, bool) {
	entry := f.aheadAccount(id)
	if entry == noEntry {
		if entry = f.accountFindSlow(id); entry == noEntry {
			return 0, false
		}
	}
	*account = f.cache.accounts[entry]
	ordinal, _, _ := f.cache.at(entry)
	return ordinal, true
}

// accountFindSlow returns the cache's entry of an account, or noEntry if there is no such account.
//
//go:noinline
func (f *Forest) accountFindSlow(id accounting.U128) uint32 {
	hash := ids.Hash(&f.key, id)
	if entry := f.cache.findID(id, hash); entry != noEntry {
		return entry
	}
	if id.IsZero() || id.IsMax() {
		return noEntry
	}
	ordinal, ok := f.filling.accountFind(id, hash)
	if !ok && f.flushing != nil {
		ordinal, ok = f.flushing.accountFind(id, hash)
	}
	if !ok {
		key := keys.ID(id)
		var value [8]byte
		if !f.levels.Find(storage.TreeAccountID, &key, value[:4]) {
			return noEntry
		}
		ordinal = accounting.AccountOrdinal(binary.LittleEndian.Uint32(value[:]))
	}
	return f.accountLoad(ordinal)
}

// AccountRead implements accounting.Store.
func (f *Forest) AccountRead(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	entry := f.cache.find(ordinal)
	if entry == noEntry {
		entry = f.accountLoad(ordinal)
	}
	*account = f.cache.accounts[entry]
}

// accountLoad brings an account into the cache and returns its entry.
//
//go:noinline
func (f *Forest) accountLoad(ordinal accounting.AccountOrdinal) uint32 {
	assert.Below(ordinal, f.filling.accountsNext(), "an account that is read exists")
	f.accountLoads++
	account := &f.accountScratch
	if f.filling.spill.take(ordinal, account) {
		return f.cachePut(ordinal, account, f.epoch)
	}
	if ordinal >= f.filling.accountsFirst {
		return f.cachePut(ordinal, &f.filling.created[ordinal-f.filling.accountsFirst], epochNone)
	}
	if m := f.flushing; m != nil {
		if m.spill.take(ordinal, account) {
			return f.cachePut(ordinal, account, f.epoch-1)
		}
		if ordinal >= m.accountsFirst {
			return f.cachePut(ordinal, &m.created[ordinal-m.accountsFirst], epochNone)
		}
	}
	key := keys.Account(ordinal)
	var fixed [storage.AccountBytes]byte
	found := f.levels.Find(storage.TreeAccount, &key, fixed[:])
	assert.That(found, "an account that exists is in the memtables or in its tree")
	keys.GetAccount(fixed[:], account)
	var value [storage.BalancesBytes]byte
	if f.levels.Find(storage.TreeBalances, &key, value[:]) {
		b := &f.balancesScratch
		storage.GetBalances(value[:], b)
		account.DebitsPending, account.DebitsPosted = b.DebitsPending, b.DebitsPosted
		account.CreditsPending, account.CreditsPosted = b.CreditsPending, b.CreditsPosted
		account.Flags = b.Flags
	}
	return f.cachePut(ordinal, account, epochNone)
}

// cachePut puts an account into the cache. epoch is the epoch of the memtable with its last change.
func (f *Forest) cachePut(ordinal accounting.AccountOrdinal, account *accounting.Account, epoch uint32) uint32 {
	c := f.cache
	entry := c.place(ordinal)
	if dropped, before, ok := c.at(entry); ok {
		f.accountSpill(dropped, &c.accounts[entry], before)
	}
	c.put(entry, ordinal, account, epoch)
	return entry
}

// accountSpill keeps an account that leaves the cache if no tree has its state. Until the rows of
// the memtable that changed it are flushed, the cache and the spill are the only places with its
// state.
func (f *Forest) accountSpill(ordinal accounting.AccountOrdinal, account *accounting.Account, epoch uint32) {
	switch {
	case epoch == f.epoch:
		f.filling.spill.put(ordinal, account)
		f.evictedCount++
	case epoch == f.epoch-1 && f.flushing != nil:
		f.flushing.spill.put(ordinal, account)
		f.evictedCount++
	}
}

// AccountWrite implements accounting.Store.
func (f *Forest) AccountWrite(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	entry := f.cache.find(ordinal)
	if entry == noEntry {
		entry = f.accountLoad(ordinal)
	}
	epoch := f.cache.epoch(entry)
	if f.chainOpen {
		f.undo.account(ordinal, &f.cache.accounts[entry], epoch)
	}
	if epoch != f.epoch {
		f.filling.accountsChanged++
		f.cache.setEpoch(entry, f.epoch)
	}
	cached := &f.cache.accounts[entry]
	cached.DebitsPending, cached.DebitsPosted = account.DebitsPending, account.DebitsPosted
	cached.CreditsPending, cached.CreditsPosted = account.CreditsPending, account.CreditsPosted
	cached.Flags = account.Flags
}

// AccountAppend implements accounting.Store.
func (f *Forest) AccountAppend(account *accounting.Account) accounting.AccountOrdinal {
	m := f.filling
	assert.That(account.Timestamp > m.accountStampMax(), "accounts come in order of timestamps")
	ordinal := m.accountsNext()
	if m.accountIDs.Full() {
		m.growAccountIDs()
	}
	index := m.createdCount
	m.created[index] = *account
	m.createdIDs[index] = account.ID
	m.createdCount++
	hash := ids.Hash(&f.key, account.ID)
	m.accountIDs.Insert(hash, index)
	m.accountFields.add(index, account.UserData128, account.UserData64, account.UserData32, account.Ledger, account.Code)
	f.cachePut(ordinal, account, epochNone)
	if f.chainOpen {
		f.undo.mark(undoAccountAppend)
	}
	return ordinal
}

// TransferFind implements accounting.Store.
func (f *Forest) TransferFind(id accounting.U128) (accounting.TransferOrdinal, accounting.TransferState) {
	a := &f.ahead
	ahead := false
	if a.at < len(a.chunk) && a.chunk[a.at].ID == id { // the usual case
		ahead = true
		a.now = a.at
		a.at++
	} else if a.chunk != nil {
		ahead = f.aheadSeek(id)
	}
	if f.idMax.Less(id) {
		return 0, accounting.TransferAbsent
	}
	where := inFlushing | inTree
	if ahead {
		where = a.ids[a.first+a.now]
	}
	return f.transferFindOlder(id, where)
}

// transferFindOlder looks for an id that is not above all stored ids: in the filling memtable, and
// in the places that where names.
//
//go:noinline
func (f *Forest) transferFindOlder(id accounting.U128, where whereID) (accounting.TransferOrdinal, accounting.TransferState) {
	if id.IsZero() {
		return 0, accounting.TransferAbsent
	}
	hash := ids.Hash(&f.key, id)
	if ordinal, state := f.filling.transferFind(id, hash); state != accounting.TransferAbsent {
		return ordinal, state
	}
	if f.flushing != nil && where&inFlushing != 0 {
		if ordinal, state := f.flushing.transferFind(id, hash); state != accounting.TransferAbsent {
			return ordinal, state
		}
	}
	if where&inTree == 0 || f.levels.Tree(storage.TreeTransferID).IsEmpty() {
		return 0, accounting.TransferAbsent
	}
	key := keys.ID(id)
	var value [8]byte
	if !f.levels.Find(storage.TreeTransferID, &key, value[:]) {
		return 0, accounting.TransferAbsent
	}
	ordinal := binary.LittleEndian.Uint64(value[:])
	if ordinal == storage.TransferDeadMark {
		return 0, accounting.TransferDead
	}
	return accounting.TransferOrdinal(ordinal), accounting.TransferExists
}

// row returns the row of an ordinal that is in memory, or nil.
func (f *Forest) row(ordinal accounting.TransferOrdinal) *accounting.TransferRow {
	if ordinal >= f.filling.transfersFirst {
		index := uint64(ordinal - f.filling.transfersFirst)
		assert.Below(index, uint64(f.filling.rowsCount), "a transfer that is read exists")
		return &f.filling.rows[index]
	}
	if m := f.flushing; m != nil && ordinal >= m.transfersFirst {
		return &m.rows[ordinal-m.transfersFirst]
	}
	if ordinal >= f.tail.first {
		row := &f.tail.rows[ordinal-f.tail.first]
		if row.Transfer.DebitAccountID.IsZero() {
			return f.rowNamed(row)
		}
		return row
	}
	return nil
}

// rowNamed returns a copy of a carried row that was read from a partial block, completed with the
// ids of its accounts. It is a copy, because a flush job may be reading the row itself.
func (f *Forest) rowNamed(bare *accounting.TransferRow) *accounting.TransferRow {
	row := &f.rowScratch
	*row = *bare
	row.Transfer.DebitAccountID = f.accountID(row.DebitOrdinal)
	row.Transfer.CreditAccountID = f.accountID(row.CreditOrdinal)
	return row
}

// TransferRead implements accounting.Store.
func (f *Forest) TransferRead(ordinal accounting.TransferOrdinal, transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	if row := f.row(ordinal); row != nil {
		*transfer = row.Transfer
		return row.DebitOrdinal, row.CreditOrdinal
	}
	if row := f.pendings.find(ordinal); row != nil {
		*transfer = row.Transfer
		return row.Debit, row.Credit
	}
	return f.logReadTransfer(ordinal, transfer)
}

// TransferRow implements accounting.Store.
func (f *Forest) TransferRow() *accounting.TransferRow { return &f.filling.rows[f.filling.rowsCount] }

// TransferAppend implements accounting.Store.
func (f *Forest) TransferAppend() accounting.TransferOrdinal {
	m := f.filling
	row := &m.rows[m.rowsCount]
	assert.That(row.Transfer.Timestamp > m.transferStampMax(), "transfers come in order of timestamps")
	index := m.rowsCount
	ordinal := m.transfersFirst + accounting.TransferOrdinal(index)
	if ordinal >= accounting.TransferOrdinalMax {
		f.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit, Reason: "the ordinals of transfers are used up"})
	}
	if m.ids.Full() {
		m.growIDs()
	}
	m.rowsCount++
	m.ids.Insert(ids.Hash(&f.key, row.Transfer.ID), index)
	m.rowIDs[index] = row.Transfer.ID
	f.idStored(row.Transfer.ID)
	m.debits[index], m.credits[index] = uint32(row.DebitOrdinal), uint32(row.CreditOrdinal)
	m.statuses[index] = accounting.PendingNone
	if row.Transfer.Flags&accounting.TransferPending != 0 {
		m.statuses[index] = accounting.PendingOpen
		m.pending.add(index)
		f.pendings.put(ordinal, row)
	}
	t := &row.Transfer
	m.fields.add(index, t.UserData128, t.UserData64, t.UserData32, t.Ledger, t.Code)
	if f.chainOpen {
		f.undo.mark(undoTransferAppend)
	}
	return ordinal
}

// TransferKill implements accounting.Store.
func (f *Forest) TransferKill(id accounting.U128) {
	assert.That(!f.chainOpen, "an id dies outside chains")
	m := f.filling
	if m.ids.Full() {
		m.growIDs()
	}
	index := m.deadCount
	m.dead[index] = id
	m.deadCount++
	m.ids.Insert(ids.Hash(&f.key, id), uint32(len(m.rows))+index)
	f.idStored(id)
}

// idStored updates idMax, and counts ids that are not above it.
func (f *Forest) idStored(id accounting.U128) {
	if f.idMax.Less(id) {
		f.idMax = id
	} else {
		f.filling.idsOlder++
	}
}

// PendingRead implements accounting.Store.
func (f *Forest) PendingRead(ordinal accounting.TransferOrdinal) accounting.PendingStatus {
	m := f.filling
	if ordinal >= m.transfersFirst {
		return m.statuses[ordinal-m.transfersFirst]
	}
	if row := f.pendings.find(ordinal); row != nil {
		return row.Status
	}
	if index, ok := m.changeOf.Find(uint64(ordinal)); ok {
		return m.changes[index].Status
	}
	if m = f.flushing; m != nil {
		if ordinal >= m.transfersFirst {
			return m.statuses[ordinal-m.transfersFirst]
		}
		if index, ok := m.changeOf.Find(uint64(ordinal)); ok {
			return m.changes[index].Status
		}
	}
	key := keys.Number(uint64(ordinal))
	var status [1]byte
	if !f.levels.Find(storage.TreePending, &key, status[:]) {
		return accounting.PendingNone
	}
	return accounting.PendingStatus(status[0])
}

// PendingWrite implements accounting.Store.
func (f *Forest) PendingWrite(ordinal accounting.TransferOrdinal, status accounting.PendingStatus) {
	m := f.filling
	if row := f.pendings.find(ordinal); row != nil {
		row.Status = status
	}
	if ordinal >= m.transfersFirst {
		at := &m.statuses[ordinal-m.transfersFirst]
		if f.chainOpen {
			f.undo.status(ordinal, *at, false)
		}
		assert.That(*at != accounting.PendingNone, "a transfer whose status changes is pending")
		*at = status
		return
	}
	if index, ok := m.changeOf.Find(uint64(ordinal)); ok {
		if f.chainOpen {
			f.undo.status(ordinal, m.changes[index].Status, false)
		}
		m.changes[index].Status = status
		return
	}
	index := m.changesCount
	m.changesCount++
	m.changes[index] = statusChange{Ordinal: ordinal, Status: status}
	if m.changeOf.Full() {
		m.changeOf.Grow(m.changeOrdinal)
	}
	m.changeOf.Insert(uint64(ordinal), index)
	if f.chainOpen {
		f.undo.status(ordinal, accounting.PendingNone, true)
	}
}

// ExpiredAppend implements accounting.Store.
func (f *Forest) ExpiredAppend(row *accounting.ExpiredRow) {
	m := f.filling
	if m.expiredCount > 0 {
		assert.That(row.Timestamp > m.expired[m.expiredCount-1].Timestamp, "expiries come in order of timestamps")
	}
	m.expired[m.expiredCount] = *row
	m.expiredAt[m.expiredCount] = m.rowsCount
	m.expiredCount++
	if f.chainOpen {
		f.undo.mark(undoExpiredAppend)
	}
}

// AccountStampMax implements accounting.Store.
func (f *Forest) AccountStampMax() uint64 { return f.filling.accountStampMax() }

// TransferStampMax implements accounting.Store.
func (f *Forest) TransferStampMax() uint64 { return f.filling.transferStampMax() }

// AccountStampExists implements accounting.Store.
func (f *Forest) AccountStampExists(timestamp uint64) bool {
	ordinal := f.accountAtStamp(timestamp)
	return ordinal < uint64(f.filling.accountsNext()) && f.accountStamp(accounting.AccountOrdinal(ordinal)) == timestamp
}

// TransferStampExists implements accounting.Store.
func (f *Forest) TransferStampExists(timestamp uint64) bool {
	ordinal := f.transferAtStamp(timestamp)
	if ordinal >= uint64(f.filling.transfersNext()) {
		return false
	}
	if row := f.row(accounting.TransferOrdinal(ordinal)); row != nil {
		return row.Transfer.Timestamp == timestamp
	}
	f.logReadTransfer(accounting.TransferOrdinal(ordinal), &f.transferScratch)
	return f.transferScratch.Timestamp == timestamp
}

// Breathe implements accounting.Store.
func (f *Forest) Breathe() { f.pages.Breathe() }
