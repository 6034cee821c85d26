package rows

import (
	"encoding/binary"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/keys"
)

// namesCount is the number of ids of accounts that a Past remembers.
const namesCount = 1 << 14

// Moment is the end of what an op has left: ordinals from these numbers on came later.
type Moment struct {
	transfers uint64
	accounts  uint64
	expired   uint32 // of the filling memtable
	changes   uint64 // of memtables and trees until then
}

// Moment returns the current one. No chain is open.
func (s *Rows) Moment() Moment {
	assert.That(!s.chainOpen, "a moment is between two requests")
	return Moment{transfers: s.TransfersCount(), accounts: s.AccountsCount(), expired: s.filling.expiredCount,
		changes: s.changes + s.levels.Changes()}
}

// Past is the rows as of a moment, for a query that goes on while later ops are executed. It reads
// what does not change: rows, expiries, and what accounts were created with. It leaves the account
// cache alone but for marks of use: an account that it put there, read before a wait, could replace
// a newer state.
//
// Nothing may be sealed, flushed or installed between the moment and the end of the query. Then
// each row, table and page is where it was.
type Past struct {
	s       *Rows
	moment  Moment
	names   []name // of accounts that are in no memory, by ordinal modulo the number
	account accounting.Account
}

// name is the id of an account.
type name struct {
	next uint64 // ordinal+1; 0: none
	id   accounting.U128
}

// NewPast returns a past that has no moment yet.
func (s *Rows) NewPast(a *arena.Arena) *Past {
	return &Past{s: s, names: arena.SliceWith[name](a, namesCount, "account ids of queries", arena.Bulk(arena.Cache, false))}
}

// Set makes moment that of the next calls.
func (p *Past) Set(moment *Moment) {
	p.moment = *moment
	p.Check()
}

// Reset forgets the ids of accounts: the rows are given another state.
func (p *Past) Reset() {
	p.moment = Moment{}
	clear(p.names)
}

// Check asserts that everything is where it was at the moment.
func (p *Past) Check() {
	assert.Equal(p.s.changes+p.s.levels.Changes(), p.moment.changes, "nothing is sealed or installed while a query reads")
}

// Reader returns the methods for queries, as of the moment.
func (p *Past) Reader() Reader { return Reader{p.s, p} }

// AccountFind fills account with what the account with this id was created with.
func (p *Past) AccountFind(id accounting.U128, account *accounting.Account) (accounting.AccountOrdinal, bool) {
	s := p.s
	hash := ids.Hash(&s.key, id)
	if entry := s.cache.findID(id, hash); entry != noEntry {
		ordinal, _, _ := s.cache.at(entry)
		*account = s.cache.accounts[entry]
		return ordinal, uint64(ordinal) < p.moment.accounts
	}
	if id.IsZero() || id.IsMax() {
		return 0, false
	}
	ordinal, ok := s.filling.accountFind(id, hash)
	if !ok && s.flushing != nil {
		ordinal, ok = s.flushing.accountFind(id, hash)
	}
	if !ok {
		key := keys.ID(id)
		var value [8]byte
		if !s.levels.Find(storage.TreeAccountID, &key, value[:4]) {
			return 0, false
		}
		ordinal = accounting.AccountOrdinal(binary.LittleEndian.Uint32(value[:]))
	}
	if uint64(ordinal) >= p.moment.accounts {
		return 0, false
	}
	p.AccountRead(ordinal, account)
	return ordinal, true
}

// AccountRead fills account with what an account was created with. Balances, and the flag that it
// is closed, are of any time.
func (p *Past) AccountRead(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	s := p.s
	assert.Below(uint64(ordinal), p.moment.accounts, "an account that a query reads was there")
	if entry := s.cache.find(ordinal); entry != noEntry {
		*account = s.cache.accounts[entry]
		return
	}
	if ordinal >= s.filling.accountsFirst {
		*account = s.filling.created[ordinal-s.filling.accountsFirst]
		return
	}
	if m := s.flushing; m != nil && ordinal >= m.accountsFirst {
		*account = m.created[ordinal-m.accountsFirst]
		return
	}
	key := keys.Account(ordinal)
	var fixed [storage.AccountBytes]byte
	found := s.levels.Find(storage.TreeAccount, &key, fixed[:])
	assert.That(found, "an account that was there is in the memtables or in its tree")
	keys.GetAccount(fixed[:], account)
}

// accountID is the id of an account.
func (p *Past) accountID(ordinal accounting.AccountOrdinal) accounting.U128 {
	if entry := p.s.cache.find(ordinal); entry != noEntry {
		return p.s.cache.accounts[entry].ID
	}
	n := &p.names[uint64(ordinal)%namesCount]
	if n.next != uint64(ordinal)+1 {
		p.AccountRead(ordinal, &p.account)
		*n = name{uint64(ordinal) + 1, p.account.ID}
	}
	return n.id
}
