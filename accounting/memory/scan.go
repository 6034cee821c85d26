package memory

import (
	"sort"

	"ledger/accounting"
)

// accountsBefore and transfersBefore count the objects with a smaller timestamp; tables are in
// order of timestamps.
func (s *Store) accountsBefore(timestamp uint64) int {
	return sort.Search(len(s.accounts), func(i int) bool { return s.accounts[i].Timestamp >= timestamp })
}

func (s *Store) transfersBefore(timestamp uint64) int {
	return sort.Search(len(s.transfers), func(i int) bool { return s.transfers[i].Transfer.Timestamp >= timestamp })
}

func (s *Store) expiredBefore(timestamp uint64) int {
	return sort.Search(len(s.expired), func(i int) bool { return s.expired[i].Timestamp >= timestamp })
}

// span is the part [next, end) of a table that a cursor has not visited yet, from either end.
type span struct {
	next, end int
	reversed  bool
}

func (r *span) take() (index int, ok bool) {
	if r.next >= r.end {
		return 0, false
	}
	if r.reversed {
		r.end--
		return r.end, true
	}
	r.next++
	return r.next - 1, true
}

type transferCursor struct {
	scan accounting.TransferScan
	rows span
}

type accountCursor struct {
	scan accounting.AccountScan
	rows span
}

func (s *Store) TransfersOpen(scan *accounting.TransferScan) {
	s.transferCursor = transferCursor{*scan, span{
		next: s.transfersBefore(scan.TimestampMin), end: s.transfersBefore(scan.TimestampMax + 1), reversed: scan.Reversed,
	}}
}

func (s *Store) TransfersNext(row *accounting.TransferRow) bool {
	cursor := &s.transferCursor
	for index, ok := cursor.rows.take(); ok; index, ok = cursor.rows.take() {
		if transferMatches(&cursor.scan, &s.transfers[index]) {
			*row = s.transfers[index]
			return true
		}
	}
	return false
}

func transferMatches(scan *accounting.TransferScan, row *accounting.TransferRow) bool {
	if scan.ByAccount {
		debited := scan.Debits && row.DebitOrdinal == scan.Account
		credited := scan.Credits && row.CreditOrdinal == scan.Account
		if !debited && !credited {
			return false
		}
	}
	transfer := &row.Transfer
	return (scan.UserData128.IsZero() || scan.UserData128 == transfer.UserData128) &&
		(scan.UserData64 == 0 || scan.UserData64 == transfer.UserData64) &&
		(scan.UserData32 == 0 || scan.UserData32 == transfer.UserData32) &&
		(scan.Ledger == 0 || scan.Ledger == transfer.Ledger) &&
		(scan.Code == 0 || scan.Code == transfer.Code)
}

func (s *Store) AccountsOpen(scan *accounting.AccountScan) {
	s.accountCursor = accountCursor{*scan, span{
		next: s.accountsBefore(scan.TimestampMin), end: s.accountsBefore(scan.TimestampMax + 1), reversed: scan.Reversed,
	}}
}

func (s *Store) AccountsNext(account *accounting.Account) bool {
	cursor := &s.accountCursor
	for index, ok := cursor.rows.take(); ok; index, ok = cursor.rows.take() {
		if accountMatches(&cursor.scan, &s.accounts[index]) {
			*account = s.accounts[index]
			return true
		}
	}
	return false
}

func accountMatches(scan *accounting.AccountScan, account *accounting.Account) bool {
	return (scan.UserData128.IsZero() || scan.UserData128 == account.UserData128) &&
		(scan.UserData64 == 0 || scan.UserData64 == account.UserData64) &&
		(scan.UserData32 == 0 || scan.UserData32 == account.UserData32) &&
		(scan.Ledger == 0 || scan.Ledger == account.Ledger) &&
		(scan.Code == 0 || scan.Code == account.Code)
}

// eventCursor merges transfers and expiries.
type eventCursor struct{ transfers, expired span }

func (s *Store) EventsOpen(timestampMin, timestampMax uint64) {
	s.eventCursor = eventCursor{
		transfers: span{next: s.transfersBefore(timestampMin), end: s.transfersBefore(timestampMax + 1)},
		expired:   span{next: s.expiredBefore(timestampMin), end: s.expiredBefore(timestampMax + 1)},
	}
}

func (s *Store) EventsNext(row *accounting.EventRow) bool {
	const never = ^uint64(0)
	cursor := &s.eventCursor
	transferAt, expiredAt := never, never
	if cursor.transfers.next < cursor.transfers.end {
		transferAt = s.transfers[cursor.transfers.next].Transfer.Timestamp
	}
	if cursor.expired.next < cursor.expired.end {
		expiredAt = s.expired[cursor.expired.next].Timestamp
	}
	if transferAt == never && expiredAt == never {
		return false
	}
	if expiredAt < transferAt {
		expired := &s.expired[cursor.expired.next]
		cursor.expired.next++
		*row = accounting.EventRow{Timestamp: expired.Timestamp, Expired: true, Row: s.transfers[expired.Pending]}
		row.Row.DebitAfter, row.Row.CreditAfter = expired.DebitAfter, expired.CreditAfter
		return true
	}
	if expiredAt == transferAt {
		cursor.expired.next++ // an imported transfer has the same timestamp and hides the expiry (7.5)
	}
	*row = accounting.EventRow{Timestamp: transferAt, Row: s.transfers[cursor.transfers.next]}
	cursor.transfers.next++
	return true
}
