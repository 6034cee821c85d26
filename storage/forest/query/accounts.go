package query

import (
	"ledger/accounting"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// accountScan is an open query over accounts.
type accountScan struct {
	query   accounting.AccountScan
	disk    intersection
	streams [keys.FieldsCount]postings
	memory  bool
	at, end uint64 // ordinals of accounts in memory
}

func newAccountScan() accountScan {
	s := accountScan{disk: newIntersection()}
	for i := range s.streams {
		s.streams[i] = newPostings()
	}
	return s
}

// AccountsOpen implements accounting.Store.
func (q *Query) AccountsOpen(query *accounting.AccountScan) {
	s := &q.accounts
	s.query = *query
	first, end := q.rows.AccountRange(query.TimestampMin, query.TimestampMax)
	flushed := q.rows.AccountsFlushed()
	s.memory = query.Reversed
	s.at, s.end = max(first, flushed), max(end, flushed)
	s.disk.open(q, first, min(end, flushed), query.Reversed)
	if s.disk.ended {
		return
	}
	values := [keys.FieldsCount]accounting.U128{
		keys.User128: query.UserData128, keys.User64: {Lo: query.UserData64}, keys.User32: {Lo: uint64(query.UserData32)},
		keys.Ledger: {Lo: uint64(query.Ledger)}, keys.Code: {Lo: uint64(query.Code)},
	}
	for field, value := range values {
		if !value.IsZero() {
			s.streams[field].open(q, storage.TreeAccountUser128+storage.TreeID(field), value, s.disk.first, s.disk.last, query.Reversed)
			s.disk.add(&s.streams[field])
		}
	}
	s.disk.choose(query.LimitRows)
}

func (s *accountScan) matches(a *accounting.Account) bool {
	q := &s.query
	return (q.UserData128.IsZero() || q.UserData128 == a.UserData128) &&
		(q.UserData64 == 0 || q.UserData64 == a.UserData64) &&
		(q.UserData32 == 0 || q.UserData32 == a.UserData32) &&
		(q.Ledger == 0 || q.Ledger == a.Ledger) &&
		(q.Code == 0 || q.Code == a.Code)
}

// AccountsNext implements accounting.Store.
func (q *Query) AccountsNext(account *accounting.Account) bool {
	s := &q.accounts
	for steps := 1; ; steps++ {
		if steps%256 == 0 {
			q.pages.Breathe()
		}
		ordinal, ok := s.next()
		if !ok {
			if s.memory == !s.query.Reversed {
				return false
			}
			s.memory = !s.memory
			continue
		}
		q.rows.AccountRead(ordinal, account)
		if s.matches(account) {
			return true
		}
	}
}

// next returns the next candidate of the current part.
func (s *accountScan) next() (ordinal uint64, ok bool) {
	switch {
	case !s.memory:
		return s.disk.one()
	case s.at >= s.end:
		return 0, false
	case s.query.Reversed:
		s.end--
		return s.end, true
	default:
		s.at++
		return s.at - 1, true
	}
}
