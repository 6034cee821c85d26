package rows

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

// AccountFind implements accounting.Store.
func (s *Rows) AccountFind(id accounting.U128, account *accounting.Account) (accounting.AccountOrdinal, bool) {
	entry := s.aheadAccount(id)
	if entry == noEntry {
		if entry = s.accountFindSlow(id); entry == noEntry {
			return 0, false
		}
	}
	*account = s.cache.accounts[entry]
	ordinal, _, _ := s.cache.at(entry)
	return ordinal, true
}

// accountFindSlow returns the cache's entry of an account, or noEntry if there is no such account.
//
//go:noinline
func (s *Rows) accountFindSlow(id accounting.U128) uint32 {
	hash := ids.Hash(&s.key, id)
	if entry := s.cache.findID(id, hash); entry != noEntry {
		return entry
	}
	if id.IsZero() || id.IsMax() {
		return noEntry
	}
	ordinal, ok := s.filling.accountFind(id, hash)
	if !ok && s.flushing != nil {
		ordinal, ok = s.flushing.accountFind(id, hash)
	}
	if !ok {
		key := keys.ID(id)
		var value [8]byte
		if !s.levels.Find(storage.TreeAccountID, &key, value[:4]) {
			return noEntry
		}
		ordinal = accounting.AccountOrdinal(binary.LittleEndian.Uint32(value[:]))
	}
	return s.accountLoad(ordinal)
}

// AccountRead implements accounting.Store.
func (s *Rows) AccountRead(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	entry := s.cache.find(ordinal)
	if entry == noEntry {
		entry = s.accountLoad(ordinal)
	}
	*account = s.cache.accounts[entry]
}

// accountLoad brings an account into the cache and returns its entry.
//
//go:noinline
func (s *Rows) accountLoad(ordinal accounting.AccountOrdinal) uint32 {
	assert.Below(ordinal, s.filling.accountsNext(), "an account that is read exists")
	s.accountLoads++
	account := &s.accountScratch
	if s.filling.spill.take(ordinal, account) {
		return s.cachePut(ordinal, account, s.epoch)
	}
	if ordinal >= s.filling.accountsFirst {
		return s.cachePut(ordinal, &s.filling.created[ordinal-s.filling.accountsFirst], epochNone)
	}
	if m := s.flushing; m != nil {
		if m.spill.take(ordinal, account) {
			return s.cachePut(ordinal, account, s.epoch-1)
		}
		if ordinal >= m.accountsFirst {
			return s.cachePut(ordinal, &m.created[ordinal-m.accountsFirst], epochNone)
		}
	}
	key := keys.Account(ordinal)
	var fixed [storage.AccountBytes]byte
	found := s.levels.Find(storage.TreeAccount, &key, fixed[:])
	assert.That(found, "an account that exists is in the memtables or in its tree")
	keys.GetAccount(fixed[:], account)
	var value [storage.BalancesBytes]byte
	if s.levels.Find(storage.TreeBalances, &key, value[:]) {
		b := &s.balancesScratch
		storage.GetBalances(value[:], b)
		account.DebitsPending, account.DebitsPosted = b.DebitsPending, b.DebitsPosted
		account.CreditsPending, account.CreditsPosted = b.CreditsPending, b.CreditsPosted
		account.Flags = b.Flags
	}
	return s.cachePut(ordinal, account, epochNone)
}

// cachePut puts an account into the cache. epoch is the epoch of the memtable with its last change.
func (s *Rows) cachePut(ordinal accounting.AccountOrdinal, account *accounting.Account, epoch uint32) uint32 {
	c := s.cache
	entry := c.place(ordinal)
	if dropped, before, ok := c.at(entry); ok {
		s.accountSpill(dropped, &c.accounts[entry], before)
	}
	c.put(entry, ordinal, account, epoch)
	return entry
}

// accountSpill keeps an account that leaves the cache if no tree has its state. Until the rows of
// the memtable that changed it are flushed, the cache and the spill are the only places with its
// state.
func (s *Rows) accountSpill(ordinal accounting.AccountOrdinal, account *accounting.Account, epoch uint32) {
	switch {
	case epoch == s.epoch:
		s.filling.spill.put(ordinal, account)
		s.evictedCount++
	case epoch == s.epoch-1 && s.flushing != nil:
		s.flushing.spill.put(ordinal, account)
		s.evictedCount++
	}
}

// AccountWrite implements accounting.Store.
func (s *Rows) AccountWrite(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	entry := s.cache.find(ordinal)
	if entry == noEntry {
		entry = s.accountLoad(ordinal)
	}
	epoch := s.cache.epoch(entry)
	if s.chainOpen {
		s.undo.account(ordinal, &s.cache.accounts[entry], epoch)
	}
	if epoch != s.epoch {
		s.filling.accountsChanged++
		s.cache.setEpoch(entry, s.epoch)
	}
	cached := &s.cache.accounts[entry]
	cached.DebitsPending, cached.DebitsPosted = account.DebitsPending, account.DebitsPosted
	cached.CreditsPending, cached.CreditsPosted = account.CreditsPending, account.CreditsPosted
	cached.Flags = account.Flags
}

// AccountAppend implements accounting.Store.
func (s *Rows) AccountAppend(account *accounting.Account) accounting.AccountOrdinal {
	m := s.filling
	assert.That(account.Timestamp > m.accountStampMax(), "accounts come in order of timestamps")
	ordinal := m.accountsNext()
	if m.accountIDs.Full() {
		m.growAccountIDs()
	}
	index := m.createdCount
	m.created[index] = *account
	m.createdIDs[index] = account.ID
	m.createdCount++
	hash := ids.Hash(&s.key, account.ID)
	m.accountIDs.Insert(hash, index)
	m.accountFields.add(index, account.UserData128, account.UserData64, account.UserData32, account.Ledger, account.Code)
	s.cachePut(ordinal, account, epochNone)
	if s.chainOpen {
		s.undo.mark(undoAccountAppend)
	}
	return ordinal
}
