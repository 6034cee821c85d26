package memory

import (
	"ledger/accounting"
	"ledger/internal/assert"
)

// chain is the data that reverts the calls since ChainOpen: the lengths of the tables, and the
// changes of rows that existed before. Rows that were appended since are cut off.
type chain struct {
	open           bool
	accountsCount  int
	transfersCount int
	undos          []undo // in order of the calls; reverted backwards
}

type undoKind uint8

const (
	undoAccount      undoKind = iota // the account had these balances and flags before
	undoStatus                       // the transfer was open
	undoExpiryAdd                    // the expiry did not exist
	undoExpiryRemove                 // the expiry existed
)

type undo struct {
	kind        undoKind
	account     accounting.AccountOrdinal
	transfer    accounting.TransferOrdinal
	expiresAtNs uint64
	before      accounting.Balances
}

func (c *chain) note(u undo) { c.undos = append(c.undos, u) }

func (s *Store) ChainOpen() {
	assert.That(!s.chain.open, "chains do not nest")
	s.chain.open = true
	s.chain.accountsCount = len(s.accounts)
	s.chain.transfersCount = len(s.transfers)
	s.chain.undos = s.chain.undos[:0]
}

func (s *Store) ChainCommit() {
	assert.That(s.chain.open, "a chain that ends was open")
	s.chain.open = false
}

func (s *Store) ChainRollback() {
	assert.That(s.chain.open, "a chain that ends was open")
	s.chain.open = false
	for i := len(s.chain.undos) - 1; i >= 0; i-- {
		s.undo(&s.chain.undos[i])
	}
	for _, account := range s.accounts[s.chain.accountsCount:] {
		delete(s.accountsByID, account.ID)
	}
	for i := range s.transfers[s.chain.transfersCount:] {
		delete(s.transfersByID, s.transfers[s.chain.transfersCount+i].Transfer.ID)
	}
	s.accounts = s.accounts[:s.chain.accountsCount]
	s.transfers = s.transfers[:s.chain.transfersCount]
	s.statuses = s.statuses[:s.chain.transfersCount]
}

func (s *Store) undo(u *undo) {
	switch u.kind {
	case undoAccount:
		account := &s.accounts[u.account]
		account.DebitsPending = u.before.DebitsPending
		account.DebitsPosted = u.before.DebitsPosted
		account.CreditsPending = u.before.CreditsPending
		account.CreditsPosted = u.before.CreditsPosted
		account.Flags = u.before.Flags
	case undoStatus:
		s.statuses[u.transfer] = accounting.PendingOpen
	case undoExpiryAdd:
		s.expiries.remove(expiry{u.expiresAtNs, u.transfer})
	case undoExpiryRemove:
		s.expiries.add(expiry{u.expiresAtNs, u.transfer})
	}
}
