package forest

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/assert"
	"ledger/storage"
)

var _ accounting.Store = (*Forest)(nil)
var _ accounting.Warmer = (*Forest)(nil)

// AccountFind implements accounting.Store.
func (f *Forest) AccountFind(id accounting.U128) (accounting.AccountOrdinal, bool) {
	hash := hashID(id)
	if ordinal, ok := f.cache.findID(id, hash); ok {
		return ordinal, true
	}
	return f.accountFindSlow(id, hash)
}

//go:noinline
func (f *Forest) accountFindSlow(id accounting.U128, hash uint64) (accounting.AccountOrdinal, bool) {
	if id.IsZero() || id.IsMax() {
		return 0, false
	}
	ordinal, ok := f.filling.accountFind(id, hash)
	if !ok && f.flushing != nil {
		ordinal, ok = f.flushing.accountFind(id, hash)
	}
	if !ok {
		key := keyOfID(id)
		var value [8]byte
		if !f.treeFind(storage.TreeAccountID, &key, value[:4]) {
			return 0, false
		}
		ordinal = accounting.AccountOrdinal(binary.LittleEndian.Uint32(value[:]))
	}
	if f.cache.find(ordinal) == noEntry {
		f.accountLoad(ordinal)
	}
	f.cache.putID(hash, ordinal)
	return ordinal, true
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
	if index, ok := f.filling.dirtyOf.find(uint64(ordinal)); ok {
		return f.cachePut(ordinal, &f.filling.dirty[index].Account, f.epoch<<32|uint64(index))
	}
	if f.flushing != nil {
		if index, ok := f.flushing.dirtyOf.find(uint64(ordinal)); ok {
			return f.cachePut(ordinal, &f.flushing.dirty[index].Account, 0)
		}
	}
	key := keyOfAccount(ordinal)
	account := &f.accountScratch
	found := f.treeFind(storage.TreeAccount, &key, accountBytes(account))
	assert.That(found, "an account that exists is in the memtables or in its tree")
	return f.cachePut(ordinal, account, 0)
}

// cachePut brings an account into the cache. One that is dirty in the filling memtable has its state in the cache alone, as long as
// it is there; the memtable gets it when the account leaves, and of those that stay when it is sealed. So a change is
// written once.
func (f *Forest) cachePut(ordinal accounting.AccountOrdinal, account *accounting.Account, dirtyAt uint64) uint32 {
	c := f.cache
	entry := c.place(ordinal)
	if at := c.dirtyAt[entry]; at>>32 == f.epoch {
		d := &f.filling.dirty[uint32(at)]
		assert.Equal(uint32(d.Ordinal)+1, c.tags[entry], "a dirty account goes back to where it came from")
		d.Account = c.accounts[entry]
	}
	c.put(entry, ordinal, account, dirtyAt)
	return entry
}

// dirtyBack gives the filling memtable the state of all that is dirty in it, before it is sealed.
func (f *Forest) dirtyBack() {
	c := f.cache
	dirty := f.filling.dirty[:f.filling.dirtyCount]
	for i := range dirty {
		d := &dirty[i]
		if entry := c.find(d.Ordinal); entry != noEntry {
			assert.Equal(c.dirtyAt[entry], f.epoch<<32|uint64(i), "the cache knows what is dirty")
			d.Account = c.accounts[entry]
		}
	}
}

// AccountWrite implements accounting.Store.
func (f *Forest) AccountWrite(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	m := f.filling
	entry := f.cache.find(ordinal)
	if entry == noEntry {
		entry = f.accountLoad(ordinal)
	}
	dirty := f.cache.dirtyAt[entry]>>32 == f.epoch
	if f.chainOpen {
		f.undo.account(ordinal, &f.cache.accounts[entry], !dirty)
	}
	if !dirty {
		assert.Below(ordinal, m.accountsNext(), "an account that is written exists")
		index := m.dirtyCount
		m.dirtyCount++
		m.dirty[index].Ordinal = ordinal
		m.dirtyOf.insert(uint64(ordinal), index)
		f.cache.dirtyAt[entry] = f.epoch<<32 | uint64(index)
	}
	f.cache.accounts[entry] = *account
}

// AccountAppend implements accounting.Store.
func (f *Forest) AccountAppend(account *accounting.Account) accounting.AccountOrdinal {
	m := f.filling
	assert.That(account.Timestamp > m.accountStampMax(), "accounts come in order of timestamps")
	ordinal := m.accountsNext()
	index := m.dirtyCount
	m.dirtyCount++
	m.dirty[index].Ordinal = ordinal
	m.dirty[index].Account = *account
	m.dirtyOf.insert(uint64(ordinal), index)
	created := m.createdCount
	m.created[created] = index
	m.createdCount++
	hash := hashID(account.ID)
	m.accountIDs.insert(hash, created)
	for field := range fieldsCount {
		if !accountField(account, field).IsZero() {
			m.accountFields[field].add(created)
		}
	}
	f.cachePut(ordinal, account, f.epoch<<32|uint64(index))
	f.cache.putID(hash, ordinal)
	if f.chainOpen {
		f.undo.mark(undoAccountAppend)
	}
	return ordinal
}

// TransferFind implements accounting.Store.
func (f *Forest) TransferFind(id accounting.U128) (accounting.TransferOrdinal, accounting.TransferState) {
	if id.IsZero() || id.IsMax() {
		return 0, accounting.TransferAbsent
	}
	absent := f.ahead.chunk != nil && f.aheadAbsent(id)
	hash := hashID(id)
	if ordinal, state := f.filling.transferFind(id, hash); state != accounting.TransferAbsent {
		return ordinal, state
	}
	if f.flushing != nil {
		if ordinal, state := f.flushing.transferFind(id, hash); state != accounting.TransferAbsent {
			return ordinal, state
		}
	}
	if absent || f.trees[storage.TreeTransferID].runsCount == 0 {
		return 0, accounting.TransferAbsent
	}
	key := keyOfID(id)
	var value [8]byte
	if !f.treeFind(storage.TreeTransferID, &key, value[:]) {
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

// rowNamed is a copy of a carried row that was read from a partial block, with the ids of its accounts. (A copy, because
// the row itself may be under a flush job's eyes.)
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
	return f.logReadTransfer(ordinal, transfer)
}

// TransferAppend implements accounting.Store.
func (f *Forest) TransferAppend(row *accounting.TransferRow) accounting.TransferOrdinal {
	m := f.filling
	assert.That(row.Transfer.Timestamp > m.transferStampMax(), "transfers come in order of timestamps")
	index := m.rowsCount
	ordinal := m.transfersFirst + accounting.TransferOrdinal(index)
	if ordinal >= accounting.TransferOrdinalMax {
		f.fail(&storage.Fault{What: storage.FaultStorageLimit, Reason: "the ordinals of transfers are used up"})
	}
	m.rows[index] = *row
	m.rowsCount++
	m.ids.insert(hashID(row.Transfer.ID), index)
	m.rowIDs[index] = row.Transfer.ID
	m.debits[index], m.credits[index] = uint32(row.DebitOrdinal), uint32(row.CreditOrdinal)
	m.statuses[index] = accounting.PendingNone
	if row.Transfer.Flags&accounting.TransferPending != 0 {
		m.statuses[index] = accounting.PendingOpen
		m.pending.add(index)
	}
	t := &row.Transfer
	if t.UserData128.Lo|t.UserData128.Hi != 0 {
		m.fields[fieldUser128].addWide(index, t.UserData128)
	}
	if t.UserData64 != 0 {
		m.fields[fieldUser64].addNumber(index, t.UserData64)
	}
	if t.UserData32 != 0 {
		m.fields[fieldUser32].addNarrow(index, t.UserData32)
	}
	if t.Ledger != 0 {
		m.fields[fieldLedger].addNarrow(index, t.Ledger)
	}
	if t.Code != 0 {
		m.fields[fieldCode].addNarrow(index, uint32(t.Code))
	}
	if f.chainOpen {
		f.undo.mark(undoTransferAppend)
	}
	return ordinal
}

// TransferKill implements accounting.Store.
func (f *Forest) TransferKill(id accounting.U128) {
	assert.That(!f.chainOpen, "an id dies outside chains")
	m := f.filling
	index := m.deadCount
	m.dead[index] = id
	m.deadCount++
	m.ids.insert(hashID(id), uint32(len(m.rows))+index)
}

// PendingRead implements accounting.Store.
func (f *Forest) PendingRead(ordinal accounting.TransferOrdinal) accounting.PendingStatus {
	m := f.filling
	if ordinal >= m.transfersFirst {
		return m.statuses[ordinal-m.transfersFirst]
	}
	if index, ok := m.changeOf.find(uint64(ordinal)); ok {
		return m.changes[index].Status
	}
	if m = f.flushing; m != nil {
		if ordinal >= m.transfersFirst {
			return m.statuses[ordinal-m.transfersFirst]
		}
		if index, ok := m.changeOf.find(uint64(ordinal)); ok {
			return m.changes[index].Status
		}
	}
	key := keyOf64(uint64(ordinal))
	var status [1]byte
	if !f.treeFind(storage.TreePending, &key, status[:]) {
		return accounting.PendingNone
	}
	return accounting.PendingStatus(status[0])
}

// PendingWrite implements accounting.Store.
func (f *Forest) PendingWrite(ordinal accounting.TransferOrdinal, status accounting.PendingStatus) {
	m := f.filling
	if ordinal >= m.transfersFirst {
		at := &m.statuses[ordinal-m.transfersFirst]
		if f.chainOpen {
			f.undo.status(ordinal, *at, false)
		}
		assert.That(*at != accounting.PendingNone, "a transfer whose status changes is pending")
		*at = status
		return
	}
	if index, ok := m.changeOf.find(uint64(ordinal)); ok {
		if f.chainOpen {
			f.undo.status(ordinal, m.changes[index].Status, false)
		}
		m.changes[index].Status = status
		return
	}
	index := m.changesCount
	m.changesCount++
	m.changes[index] = statusChange{Ordinal: ordinal, Status: status}
	m.changeOf.insert(uint64(ordinal), index)
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
func (f *Forest) Breathe() { f.waiter.Breathe() }
