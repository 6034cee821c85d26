package move

import (
	"slices"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/wire"
)

// store is the part of a server's state that decides about the next batch, as an accounting.Store.
// It holds accounts and pending transfers, and of the others only those of the batch.
type store struct {
	accounts   []accounting.Account
	accountIDs map[wire.U128]accounting.AccountOrdinal
	rows       []storedTransfer
	rowIDs     map[wire.U128]accounting.TransferOrdinal
	row        accounting.TransferRow // the next one

	accountStampMax, transferStampMax uint64
	taken                             map[uint64]struct{} // timestamps of the batch that objects of the other kind have
	ownStamps                         []uint64            // of the accounts that a dry run has made; nil: no dry run
	isDry                             bool

	isChain bool
	before  chainStart
}

type storedTransfer struct {
	transfer      accounting.Transfer
	status        accounting.PendingStatus
	debit, credit accounting.AccountOrdinal
}

// chainStart is what a chain that breaks goes back to.
type chainStart struct {
	accountsCount, rowsCount, ownCount int
	accountStampMax, transferStampMax  uint64
	accounts                           []savedAccount
	resolved                           []accounting.TransferOrdinal // that were open
}

type savedAccount struct {
	ordinal accounting.AccountOrdinal
	account accounting.Account
}

var _ accounting.Store = (*store)(nil)

func newStore(isDry bool) *store {
	s := &store{isDry: isDry, taken: map[uint64]struct{}{}}
	s.clear()
	return s
}

// clear forgets all accounts and transfers. They are asked for again.
func (s *store) clear() {
	s.accounts, s.rows = s.accounts[:0], s.rows[:0]
	s.accountIDs, s.rowIDs = map[wire.U128]accounting.AccountOrdinal{}, map[wire.U128]accounting.TransferOrdinal{}
}

// load takes an account as the server has it.
func (s *store) load(account *accounting.Account) {
	if _, isThere := s.accountIDs[account.ID]; !isThere {
		s.accountIDs[account.ID] = accounting.AccountOrdinal(len(s.accounts))
		s.accounts = append(s.accounts, *account)
	}
}

// loadTransfer takes a transfer as the server has it; its accounts are there. Nothing tells
// whether a pending one was resolved, so it counts as open, and the server is the judge.
func (s *store) loadTransfer(transfer *accounting.Transfer) {
	if _, isThere := s.rowIDs[transfer.ID]; !isThere {
		s.keep(transfer, s.accountIDs[transfer.DebitAccountID], s.accountIDs[transfer.CreditAccountID])
	}
}

func (s *store) keep(transfer *accounting.Transfer, debit, credit accounting.AccountOrdinal) accounting.TransferOrdinal {
	ordinal := accounting.TransferOrdinal(len(s.rows))
	status := accounting.PendingNone
	if transfer.Flags&accounting.TransferPending != 0 {
		status = accounting.PendingOpen
	}
	s.rows = append(s.rows, storedTransfer{*transfer, status, debit, credit})
	s.rowIDs[transfer.ID] = ordinal
	return ordinal
}

// trim forgets the transfers from an index on that are not pending ones.
func (s *store) trim(from int) {
	kept := s.rows[:from]
	for i := from; i < len(s.rows); i++ {
		row := s.rows[i]
		if row.status == accounting.PendingNone {
			delete(s.rowIDs, row.transfer.ID)
			continue
		}
		s.rowIDs[row.transfer.ID] = accounting.TransferOrdinal(len(kept))
		kept = append(kept, row)
	}
	s.rows = kept
}

func (s *store) AccountFind(id wire.U128, account *accounting.Account) (accounting.AccountOrdinal, bool) {
	ordinal, isThere := s.accountIDs[id]
	if isThere {
		*account = s.accounts[ordinal]
	}
	return ordinal, isThere
}

func (s *store) AccountRead(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	*account = s.accounts[ordinal]
}

func (s *store) AccountWrite(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	if s.isChain {
		s.before.accounts = append(s.before.accounts, savedAccount{ordinal, s.accounts[ordinal]})
	}
	s.accounts[ordinal] = *account
}

func (s *store) AccountAppend(account *accounting.Account) accounting.AccountOrdinal {
	s.load(account)
	s.accountStampMax = account.Timestamp
	if s.isDry {
		s.ownStamps = append(s.ownStamps, account.Timestamp)
	}
	return s.accountIDs[account.ID]
}

func (s *store) TransferFind(id wire.U128) (accounting.TransferOrdinal, accounting.TransferState) {
	if ordinal, isThere := s.rowIDs[id]; isThere {
		return ordinal, accounting.TransferExists
	}
	return 0, accounting.TransferAbsent
}

func (s *store) TransferRead(ordinal accounting.TransferOrdinal, transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	row := &s.rows[ordinal]
	*transfer = row.transfer
	return row.debit, row.credit
}

func (s *store) TransferRow() *accounting.TransferRow { return &s.row }

func (s *store) TransferAppend() accounting.TransferOrdinal {
	s.transferStampMax = s.row.Transfer.Timestamp
	return s.keep(&s.row.Transfer, s.row.DebitOrdinal, s.row.CreditOrdinal)
}

// TransferKill does nothing: a batch in which an id would be used up is not sent.
func (s *store) TransferKill(wire.U128) {}

func (s *store) PendingRead(ordinal accounting.TransferOrdinal) accounting.PendingStatus {
	return s.rows[ordinal].status
}

func (s *store) PendingWrite(ordinal accounting.TransferOrdinal, status accounting.PendingStatus) {
	if s.isChain {
		s.before.resolved = append(s.before.resolved, ordinal)
	}
	s.rows[ordinal].status = status
}

// An imported transfer has no timeout, and the expiries of others are the server's.
func (s *store) ExpiryAdd(uint64, accounting.TransferOrdinal)    {}
func (s *store) ExpiryRemove(uint64, accounting.TransferOrdinal) {}
func (s *store) ExpiryFirst() (expiresAtNs uint64, ordinal accounting.TransferOrdinal, ok bool) {
	return 0, 0, false
}
func (s *store) ExpiredAppend(*accounting.ExpiredRow) { assert.That(false, "nothing expires here") }

func (s *store) AccountStampMax() uint64  { return s.accountStampMax }
func (s *store) TransferStampMax() uint64 { return s.transferStampMax }

func (s *store) AccountStampExists(timestamp uint64) bool {
	_, isTaken := s.taken[timestamp]
	if !isTaken {
		_, isTaken = slices.BinarySearch(s.ownStamps, timestamp)
	}
	return isTaken
}

func (s *store) TransferStampExists(timestamp uint64) bool {
	_, isTaken := s.taken[timestamp]
	return isTaken
}

func (s *store) ChainOpen() {
	s.isChain = true
	s.before = chainStart{len(s.accounts), len(s.rows), len(s.ownStamps), s.accountStampMax, s.transferStampMax,
		s.before.accounts[:0], s.before.resolved[:0]}
}

func (s *store) ChainCommit() { s.isChain = false }

func (s *store) ChainRollback() {
	s.isChain = false
	for i := len(s.before.accounts) - 1; i >= 0; i-- {
		s.accounts[s.before.accounts[i].ordinal] = s.before.accounts[i].account
	}
	for _, ordinal := range s.before.resolved {
		s.rows[ordinal].status = accounting.PendingOpen
	}
	for i := range s.accounts[s.before.accountsCount:] {
		delete(s.accountIDs, s.accounts[s.before.accountsCount+i].ID)
	}
	for i := range s.rows[s.before.rowsCount:] {
		delete(s.rowIDs, s.rows[s.before.rowsCount+i].transfer.ID)
	}
	s.accounts, s.rows = s.accounts[:s.before.accountsCount], s.rows[:s.before.rowsCount]
	s.ownStamps = s.ownStamps[:s.before.ownCount]
	s.accountStampMax, s.transferStampMax = s.before.accountStampMax, s.before.transferStampMax
}

// Nothing asks the store for lists.
func (s *store) TransfersOpen(*accounting.TransferScan)     { assert.That(false, "imports do not query") }
func (s *store) TransfersNext(*accounting.TransferRow) bool { return false }
func (s *store) AccountsOpen(*accounting.AccountScan)       { assert.That(false, "imports do not query") }
func (s *store) AccountsNext(*accounting.Account) bool      { return false }
func (s *store) EventsOpen(timestampMin, timestampMax uint64) {
	assert.That(false, "imports do not query")
}
func (s *store) EventsNext(*accounting.EventRow) bool { return false }

func (s *store) Breathe() {}
