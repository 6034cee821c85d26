package rows

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/hashing"
	"ledger/storage/forest/ids"
)

// spill holds changed accounts that left the cache before their memtable was flushed. Their newest
// state is in the rows of the memtable, but rows are not found by account. An account that returns
// to the cache leaves the spill.
type spill struct {
	accounts []spilledAccount
	count    uint32
	of       ids.Numbers // ordinal -> accounts
}

type spilledAccount struct {
	Account accounting.Account
	Ordinal accounting.AccountOrdinal
	_       uint32
}

func newSpill(a *arena.Arena, key *hashing.Key, countFirst, countMax uint32, name string) spill {
	options := arena.Options{Class: arena.Table}
	accounts := arena.SliceWith[spilledAccount](a, uint64(countMax), name, options)
	return spill{accounts: accounts, of: ids.NewNumbers(a, key, countFirst, countMax, name, options)}
}

// put adds an account or replaces its state.
func (s *spill) put(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	index, ok := s.of.Find(uint64(ordinal))
	if !ok {
		if s.of.Full() {
			s.of.Grow(s.ordinal)
		}
		index = s.count
		s.count++
		s.of.Insert(uint64(ordinal), index)
	}
	s.accounts[index] = spilledAccount{Account: *account, Ordinal: ordinal}
}

// take removes an account. It returns false if the account is not there.
func (s *spill) take(ordinal accounting.AccountOrdinal, account *accounting.Account) bool {
	index, ok := s.of.Find(uint64(ordinal))
	if !ok {
		return false
	}
	*account = s.accounts[index].Account
	s.of.Remove(uint64(ordinal))
	s.count--
	if index != s.count {
		s.accounts[index] = s.accounts[s.count]
		s.of.Move(uint64(s.accounts[index].Ordinal), index)
	}
	return true
}

func (s *spill) reset() {
	s.of.Reset(s.ordinal)
	s.count = 0
}

func (s *spill) ordinal(i uint32) uint64 { return uint64(s.accounts[i].Ordinal) }
