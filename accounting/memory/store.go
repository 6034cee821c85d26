package memory

import (
	"ledger/accounting"
	"ledger/internal/assert"
)

// Store is an accounting.Store in memory.
type Store struct {
	accounts       []accounting.Account // by ordinal, so also by timestamp
	accountsByID   map[accounting.U128]accounting.AccountOrdinal
	transfers      []accounting.TransferRow // by ordinal, so also by timestamp
	row            accounting.TransferRow   // the next one
	statuses       []accounting.PendingStatus
	transfersByID  map[accounting.U128]accounting.TransferOrdinal
	dead           map[accounting.U128]struct{}
	expiries       expiryHeap
	expired        []accounting.ExpiredRow // by timestamp
	chain          chain
	transferCursor transferCursor
	accountCursor  accountCursor
	eventCursor    eventCursor
}

var _ accounting.Store = (*Store)(nil)

// New returns an empty store with room for this many accounts and transfers.
func New(accountsCount, transfersCount int) *Store {
	return &Store{
		accounts:      make([]accounting.Account, 0, accountsCount),
		accountsByID:  make(map[accounting.U128]accounting.AccountOrdinal, accountsCount),
		transfers:     make([]accounting.TransferRow, 0, transfersCount),
		statuses:      make([]accounting.PendingStatus, 0, transfersCount),
		transfersByID: make(map[accounting.U128]accounting.TransferOrdinal, transfersCount),
		dead:          make(map[accounting.U128]struct{}),
		expiries:      newExpiryHeap(transfersCount),
	}
}

// AccountsCount and TransfersCount are the numbers of records; DeadCount is the number of dead ids.
func (s *Store) AccountsCount() int  { return len(s.accounts) }
func (s *Store) TransfersCount() int { return len(s.transfers) }
func (s *Store) DeadCount() int      { return len(s.dead) }

func (s *Store) AccountFind(id accounting.U128, account *accounting.Account) (accounting.AccountOrdinal, bool) {
	ordinal, found := s.accountsByID[id]
	if found {
		*account = s.accounts[ordinal]
	}
	return ordinal, found
}

func (s *Store) AccountRead(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	*account = s.accounts[ordinal]
}

func (s *Store) AccountWrite(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	stored := &s.accounts[ordinal]
	assert.That(stored.ID == account.ID, "an account is written where it was read")
	if s.chain.open {
		s.chain.note(undo{kind: undoAccount, account: ordinal, before: balancesOf(stored)})
	}
	setBalances(stored, account)
}

func (s *Store) AccountAppend(account *accounting.Account) accounting.AccountOrdinal {
	assert.That(account.Timestamp > s.AccountStampMax(), "accounts arrive in order of timestamps")
	_, found := s.accountsByID[account.ID]
	assert.That(!found, "a new account has a new id")
	ordinal := accounting.AccountOrdinal(len(s.accounts))
	s.accounts = append(s.accounts, *account)
	s.accountsByID[account.ID] = ordinal
	return ordinal
}

func (s *Store) TransferFind(id accounting.U128) (accounting.TransferOrdinal, accounting.TransferState) {
	if ordinal, found := s.transfersByID[id]; found {
		return ordinal, accounting.TransferExists
	}
	if len(s.dead) > 0 {
		if _, dead := s.dead[id]; dead {
			return 0, accounting.TransferDead
		}
	}
	return 0, accounting.TransferAbsent
}

func (s *Store) TransferRead(ordinal accounting.TransferOrdinal, transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	row := &s.transfers[ordinal]
	*transfer = row.Transfer
	return row.DebitOrdinal, row.CreditOrdinal
}

func (s *Store) TransferRow() *accounting.TransferRow { return &s.row }

func (s *Store) TransferAppend() accounting.TransferOrdinal {
	transfer := &s.row.Transfer
	assert.That(transfer.Timestamp > s.TransferStampMax(), "transfers arrive in order of timestamps")
	ordinal := accounting.TransferOrdinal(len(s.transfers))
	status := accounting.PendingNone
	if transfer.Flags&accounting.TransferPending != 0 {
		status = accounting.PendingOpen
	}
	s.transfers = append(s.transfers, s.row)
	s.statuses = append(s.statuses, status)
	s.transfersByID[transfer.ID] = ordinal
	assert.Equal(len(s.transfersByID), len(s.transfers), "a new transfer has a new id: ids")
	return ordinal
}

func (s *Store) TransferKill(id accounting.U128) {
	assert.That(!s.chain.open, "an id is burned outside of chains")
	_, state := s.TransferFind(id)
	assert.That(state == accounting.TransferAbsent, "an id that is burned is absent")
	s.dead[id] = struct{}{}
}

func (s *Store) PendingRead(ordinal accounting.TransferOrdinal) accounting.PendingStatus {
	return s.statuses[ordinal]
}

func (s *Store) PendingWrite(ordinal accounting.TransferOrdinal, status accounting.PendingStatus) {
	assert.That(s.statuses[ordinal] == accounting.PendingOpen, "a pending transfer is resolved once")
	if s.chain.open {
		s.chain.note(undo{kind: undoStatus, transfer: ordinal})
	}
	s.statuses[ordinal] = status
}

func (s *Store) ExpiryAdd(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	if s.chain.open {
		s.chain.note(undo{kind: undoExpiryAdd, transfer: ordinal, expiresAtNs: expiresAtNs})
	}
	s.expiries.add(expiry{expiresAtNs, ordinal})
}

func (s *Store) ExpiryRemove(expiresAtNs uint64, ordinal accounting.TransferOrdinal) {
	if s.chain.open {
		s.chain.note(undo{kind: undoExpiryRemove, transfer: ordinal, expiresAtNs: expiresAtNs})
	}
	s.expiries.remove(expiry{expiresAtNs, ordinal})
}

func (s *Store) ExpiryFirst() (expiresAtNs uint64, ordinal accounting.TransferOrdinal, ok bool) {
	first, ok := s.expiries.first()
	return first.expiresAtNs, first.ordinal, ok
}

func (s *Store) ExpiredAppend(row *accounting.ExpiredRow) {
	assert.That(!s.chain.open, "transfers expire outside of chains")
	if count := len(s.expired); count > 0 {
		assert.That(row.Timestamp > s.expired[count-1].Timestamp, "expiries arrive in order of timestamps")
	}
	s.expired = append(s.expired, *row)
}

func (s *Store) AccountStampMax() uint64 {
	if len(s.accounts) == 0 {
		return 0
	}
	return s.accounts[len(s.accounts)-1].Timestamp
}

func (s *Store) TransferStampMax() uint64 {
	if len(s.transfers) == 0 {
		return 0
	}
	return s.transfers[len(s.transfers)-1].Transfer.Timestamp
}

func (s *Store) AccountStampExists(timestamp uint64) bool {
	at := s.accountsBefore(timestamp)
	return at < len(s.accounts) && s.accounts[at].Timestamp == timestamp
}

func (s *Store) TransferStampExists(timestamp uint64) bool {
	at := s.transfersBefore(timestamp)
	return at < len(s.transfers) && s.transfers[at].Transfer.Timestamp == timestamp
}

// Breathe does nothing, because nothing else runs on this thread.
func (s *Store) Breathe() {}

func balancesOf(account *accounting.Account) accounting.Balances {
	return accounting.Balances{
		DebitsPending:  account.DebitsPending,
		DebitsPosted:   account.DebitsPosted,
		CreditsPending: account.CreditsPending,
		CreditsPosted:  account.CreditsPosted,
		Flags:          account.Flags,
	}
}

func setBalances(account, from *accounting.Account) {
	account.DebitsPending = from.DebitsPending
	account.DebitsPosted = from.DebitsPosted
	account.CreditsPending = from.CreditsPending
	account.CreditsPosted = from.CreditsPosted
	account.Flags = from.Flags
}
