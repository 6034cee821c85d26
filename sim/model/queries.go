package model

import (
	"slices"
	"sort"
)

func (m *Machine) lookupAccounts(ids []byte) (out []byte) {
	for ; len(ids) > 0; ids = ids[16:] {
		if a := m.accounts[NumberAt(ids)]; a != nil {
			out = a.Append(out)
		}
	}
	return out
}

func (m *Machine) lookupTransfers(ids []byte) (out []byte) {
	for ; len(ids) > 0; ids = ids[16:] {
		if t := m.transfers[NumberAt(ids)]; t != nil {
			out = t.Append(out)
		}
	}
	return out
}

// rangeOf returns the bounds of a filter, and whether they and the limit are valid. Source:
// accounting, 9.1.
func rangeOf(timestampMin, timestampMaxGiven uint64, limit uint32) (from, to uint64, valid bool) {
	if timestampMin > timestampMax || timestampMaxGiven > timestampMax || limit == 0 {
		return 0, 0, false
	}
	if timestampMaxGiven == 0 {
		return timestampMin, timestampMax, true
	}
	return timestampMin, timestampMaxGiven, timestampMin <= timestampMaxGiven
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// pick returns the objects with from <= stamp <= to that match, in order, at most limit of them.
// inOrder is sorted.
func pick[Object any](inOrder []*Object, stamp func(*Object) uint64, from, to uint64, reversed bool, limit int,
	matches func(*Object) bool) (picked []*Object) {
	first := sort.Search(len(inOrder), func(i int) bool { return stamp(inOrder[i]) >= from })
	end := sort.Search(len(inOrder), func(i int) bool { return stamp(inOrder[i]) > to })
	for i := first; i < end && limit > 0; i++ {
		object := inOrder[i]
		if reversed {
			object = inOrder[end-1-(i-first)]
		}
		if matches(object) {
			picked = append(picked, object)
			limit--
		}
	}
	return picked
}

// encode puts objects one behind the other. Each has objectBytes.
func encode[Object any](objects []*Object, objectBytes int, appendTo func(*Object, []byte) []byte) []byte {
	out := make([]byte, 0, len(objects)*objectBytes)
	for _, object := range objects {
		out = appendTo(object, out)
	}
	return out
}

func accountStamp(a *Account) uint64   { return a.Timestamp }
func transferStamp(t *Transfer) uint64 { return t.Timestamp }

// accountTransfers returns the transfers that f selects. Source: accounting, 9.2.
func (m *Machine) accountTransfers(f AccountFilter, rowsMax int) []*Transfer {
	from, to, valid := rangeOf(f.TimestampMin, f.TimestampMax, f.Limit)
	debits, credits := f.Flags&FilterDebits != 0, f.Flags&FilterCredits != 0
	switch {
	case !valid,
		f.AccountID.IsZero(), f.AccountID == NumberMax,
		!debits && !credits,
		f.Flags&^(FilterDebits|FilterCredits|FilterReversed) != 0,
		!isZero(f.Reserved[:]):
		return nil
	}
	limit := min(int(f.Limit), rowsMax)
	return pick(m.transfersInOrder, transferStamp, from, to, f.Flags&FilterReversed != 0, limit, func(t *Transfer) bool {
		side := debits && t.DebitAccountID == f.AccountID || credits && t.CreditAccountID == f.AccountID
		return side &&
			(f.UserData128.IsZero() || t.UserData128 == f.UserData128) &&
			(f.UserData64 == 0 || t.UserData64 == f.UserData64) &&
			(f.UserData32 == 0 || t.UserData32 == f.UserData32) &&
			(f.Code == 0 || t.Code == f.Code)
	})
}

func (m *Machine) getAccountTransfers(f AccountFilter, rowsMax int) []byte {
	return encode(m.accountTransfers(f, rowsMax), 128, (*Transfer).Append)
}

// getAccountBalances: accounting 9.3.
func (m *Machine) getAccountBalances(f AccountFilter, rowsMax int) (out []byte) {
	account := m.accounts[f.AccountID]
	if account == nil || account.Flags&AccountHistory == 0 {
		return nil
	}
	for _, t := range m.accountTransfers(f, rowsMax) {
		row := m.events[t.Timestamp]
		after := &row.Credit
		if t.DebitAccountID == f.AccountID {
			after = &row.Debit
		}
		out = appendBalance(out, after, t.Timestamp)
	}
	return out
}

// validQuery: accounting 9.4.
func validQuery(f *QueryFilter) (from, to uint64, valid bool) {
	from, to, valid = rangeOf(f.TimestampMin, f.TimestampMax, f.Limit)
	return from, to, valid && f.Flags&^QueryReversed == 0 && isZero(f.Reserved[:])
}

func (f *QueryFilter) matches(userData128 Number, userData64 uint64, userData32, ledger uint32, code uint16) bool {
	return (f.UserData128.IsZero() || userData128 == f.UserData128) &&
		(f.UserData64 == 0 || userData64 == f.UserData64) &&
		(f.UserData32 == 0 || userData32 == f.UserData32) &&
		(f.Ledger == 0 || ledger == f.Ledger) &&
		(f.Code == 0 || code == f.Code)
}

func (m *Machine) queryAccounts(f QueryFilter, rowsMax int) []byte {
	from, to, valid := validQuery(&f)
	if !valid {
		return nil
	}
	return encode(pick(m.accountsInOrder, accountStamp, from, to, f.Flags&QueryReversed != 0, min(int(f.Limit), rowsMax),
		func(a *Account) bool { return f.matches(a.UserData128, a.UserData64, a.UserData32, a.Ledger, a.Code) }),
		128, (*Account).Append)
}

func (m *Machine) queryTransfers(f QueryFilter, rowsMax int) []byte {
	from, to, valid := validQuery(&f)
	if !valid {
		return nil
	}
	return encode(pick(m.transfersInOrder, transferStamp, from, to, f.Flags&QueryReversed != 0, min(int(f.Limit), rowsMax),
		func(t *Transfer) bool { return f.matches(t.UserData128, t.UserData64, t.UserData32, t.Ledger, t.Code) }),
		128, (*Transfer).Append)
}

// getChangeEvents: accounting, section 10.
func (m *Machine) getChangeEvents(f ChangesFilter, rowsMax int) (out []byte) {
	from, to, valid := rangeOf(f.TimestampMin, f.TimestampMax, f.Limit)
	if !valid || !isZero(f.Reserved[:]) {
		return nil
	}
	first, _ := slices.BinarySearch(m.eventStamps, from)
	end := first
	for end < len(m.eventStamps) && m.eventStamps[end] <= to && end-first < min(int(f.Limit), rowsMax) {
		end++
	}
	out = make([]byte, 0, (end-first)*384)
	for _, stamp := range m.eventStamps[first:end] {
		out = m.events[stamp].appendChange(out)
	}
	return out
}
