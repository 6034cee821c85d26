package query

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/forest/expiry"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/ids"
	"ledger/storage/forest/levels"
	"ledger/storage/forest/rows"
)

// state is rows on a ground of their own, with all scans, and a plain list of what they hold.
type state struct {
	*foresttest.Ground
	t         testing.TB
	random    *rand.Rand
	levels    *levels.Levels
	filter    ids.Filter
	rows      *rows.Rows
	keeper    rows.Keeper
	query     *Query
	op        uint64
	under     *storage.Generation
	clock     uint64
	accounts  []accounting.Account
	transfers []accounting.TransferRow
	expired   []accounting.ExpiredRow
	edges     [2]uint64 // the range of timestamps of the next scans; zero: any
}

func newState(t testing.TB, random *rand.Rand) *state {
	return newStateWith(t, random, foresttest.Limits())
}

func newStateWith(t testing.TB, random *rand.Rand, of limits.Limits) *state {
	g := foresttest.New(t, of, random)
	l := &g.Limits
	s := &state{Ground: g, t: t, random: random, op: uint64(l.BarOps) - 1, clock: 100}
	s.levels = levels.New(l, g.Memory, g.Pages, g.Free, rows.BlocksMax(l))
	s.filter = ids.NewFilter(g.Memory, l, s.levels.FilterIDsMax(), uint64(l.MemtableRowsMax()))
	index := expiry.New(l, g.Memory, &g.Key, g.Pages, s.levels)
	s.rows = rows.New(l, g.Memory, &g.Key, rows.Parts{Pages: g.Pages, Levels: s.levels, Expiry: index, Filter: &s.filter, Free: g.Free})
	s.keeper = s.rows.Keeper()
	s.query = New(l, g.Pages, s.levels, s.rows.Reader())
	return s
}

func (s *state) bar() {
	s.levels.Collect(s.under)
	if s.under != nil {
		flushed := s.keeper.Install(s.under)
		s.levels.Install(s.under, &flushed)
		s.keeper.Installed()
	}
	s.levels.PlanBegin(s.op, s.keeper.BarRows())
	if s.keeper.IsDue(false) {
		s.keeper.Plan(false)
	}
	s.levels.PlanMerges()
	s.under = s.levels.PlanEnd()
	s.Compact(s.under)
	s.op += uint64(s.Limits.BarOps)
}

func (s *state) step() {
	r := s.random
	s.clock += 1 + r.Uint64N(2)
	switch n := r.IntN(10); {
	case len(s.accounts) < 10 || n == 0:
		a := accounting.Account{ID: accounting.U128{Lo: uint64(len(s.accounts) + 1)}, UserData128: accounting.U128{Hi: r.Uint64N(3)},
			UserData64: r.Uint64N(3), UserData32: r.Uint32N(3), Ledger: 1 + r.Uint32N(2), Code: uint16(1 + r.Uint32N(3)), Timestamp: s.clock}
		s.rows.AccountAppend(&a)
		s.accounts = append(s.accounts, a)
	case n == 1 && len(s.transfers) > 0:
		if n := len(s.expired); n > 0 {
			s.clock = max(s.clock, s.expired[n-1].Timestamp+1)
		}
		row := accounting.ExpiredRow{Timestamp: s.clock, Pending: accounting.TransferOrdinal(r.IntN(len(s.transfers))), CreditOrdinal: 1,
			DebitAfter: s.change(0), CreditAfter: s.change(1)}
		s.rows.ExpiredAppend(&row)
		s.expired = append(s.expired, row)
		if r.IntN(2) == 0 {
			s.clock-- // the next transfer may have the same timestamp
		}
	default:
		debit := accounting.AccountOrdinal(r.IntN(len(s.accounts) - 1))
		row := accounting.TransferRow{DebitOrdinal: debit, CreditOrdinal: debit + 1, DebitAfter: s.change(debit),
			CreditAfter: s.change(debit + 1)}
		row.Transfer = accounting.Transfer{
			ID: accounting.U128{Lo: r.Uint64(), Hi: r.Uint64()}, DebitAccountID: s.accounts[debit].ID, CreditAccountID: s.accounts[debit+1].ID,
			UserData128: accounting.U128{Lo: r.Uint64N(3)}, UserData64: r.Uint64N(4), UserData32: r.Uint32N(3), Ledger: 1,
			Code: uint16(1 + r.Uint32N(9)), Timestamp: s.clock,
		}
		*s.rows.TransferRow() = row
		s.rows.TransferAppend()
		s.transfers = append(s.transfers, row)
	}
}

// change changes an account and returns its balances.
func (s *state) change(ordinal accounting.AccountOrdinal) accounting.Balances {
	a := &s.accounts[ordinal]
	a.DebitsPosted.Lo += s.random.Uint64N(100)
	s.rows.AccountWrite(ordinal, a)
	return accounting.Balances{DebitsPosted: a.DebitsPosted}
}

// stamps returns a range of timestamps.
func (s *state) stamps() (low, high uint64) {
	if s.edges[0] > 0 {
		return s.edges[0], s.edges[1]
	}
	if s.random.IntN(3) == 0 {
		return 1, 1<<63 - 1
	}
	low, high = 1+s.random.Uint64N(s.clock+5), 1+s.random.Uint64N(s.clock+5)
	return min(low, high), max(low, high)
}

// some returns a number from 1 to n, or 0 for any.
func (s *state) some(n uint64) uint64 {
	if s.random.IntN(3) > 0 {
		return 0
	}
	return s.random.Uint64N(n + 1)
}

func (s *state) compareTransfers() {
	s.t.Helper()
	r := s.random
	q := accounting.TransferScan{UserData128: accounting.U128{Lo: s.some(3)}, UserData64: s.some(4), UserData32: uint32(s.some(3)),
		Ledger: uint32(s.some(2)), Code: uint16(s.some(9)), Reversed: r.IntN(2) == 0, LimitRows: 1 + r.Uint32N(500)}
	q.TimestampMin, q.TimestampMax = s.stamps()
	if r.IntN(2) == 0 {
		q.ByAccount, q.Account = true, accounting.AccountOrdinal(r.IntN(len(s.accounts)))
		q.Debits, q.Credits = r.IntN(3) > 0, r.IntN(3) > 0
	}
	var want []accounting.TransferRow
	for i := range s.transfers {
		row := &s.transfers[i]
		t := &row.Transfer
		byAccount := !q.ByAccount || q.Debits && row.DebitOrdinal == q.Account || q.Credits && row.CreditOrdinal == q.Account
		if byAccount && (q.UserData128.IsZero() || q.UserData128 == t.UserData128) && (q.UserData64 == 0 || q.UserData64 == t.UserData64) &&
			(q.UserData32 == 0 || q.UserData32 == t.UserData32) && (q.Ledger == 0 || q.Ledger == t.Ledger) &&
			(q.Code == 0 || q.Code == t.Code) && t.Timestamp >= q.TimestampMin && t.Timestamp <= q.TimestampMax {
			want = append(want, *row)
		}
	}
	if q.Reversed {
		slices.Reverse(want)
	}
	s.query.TransfersOpen(&q)
	for i := range min(len(want)+1, int(q.LimitRows)) {
		var got accounting.TransferRow
		if ok := s.query.TransfersNext(&got); ok != (i < len(want)) || ok && got != want[i] {
			s.t.Fatalf("%+v: row %d of %d is %v %+v", q, i, len(want), ok, got)
		}
	}
}

func (s *state) compareAccounts() {
	s.t.Helper()
	q := accounting.AccountScan{UserData128: accounting.U128{Hi: s.some(2)}, UserData64: s.some(3), UserData32: uint32(s.some(3)),
		Ledger: uint32(s.some(2)), Code: uint16(s.some(3)), Reversed: s.random.IntN(2) == 0, LimitRows: 1000}
	q.TimestampMin, q.TimestampMax = s.stamps()
	var want []accounting.Account
	for _, a := range s.accounts {
		if (q.UserData128.IsZero() || q.UserData128 == a.UserData128) && (q.UserData64 == 0 || q.UserData64 == a.UserData64) &&
			(q.UserData32 == 0 || q.UserData32 == a.UserData32) && (q.Ledger == 0 || q.Ledger == a.Ledger) &&
			(q.Code == 0 || q.Code == a.Code) && a.Timestamp >= q.TimestampMin && a.Timestamp <= q.TimestampMax {
			want = append(want, a)
		}
	}
	if q.Reversed {
		slices.Reverse(want)
	}
	s.query.AccountsOpen(&q)
	for i := range len(want) + 1 {
		var got accounting.Account
		if ok := s.query.AccountsNext(&got); ok != (i < len(want)) || ok && got != want[i] {
			s.t.Fatalf("%+v: account %d of %d is %v %+v", q, i, len(want), ok, got)
		}
	}
}

func (s *state) compareEvents() {
	s.t.Helper()
	low, high := s.stamps()
	var want []accounting.EventRow
	transfers, expired := s.transfers, s.expired
	for len(transfers)+len(expired) > 0 {
		var row accounting.EventRow
		if len(expired) == 0 || len(transfers) > 0 && transfers[0].Transfer.Timestamp <= expired[0].Timestamp {
			row = accounting.EventRow{Timestamp: transfers[0].Transfer.Timestamp, Row: transfers[0]}
			if len(expired) > 0 && expired[0].Timestamp == row.Timestamp {
				expired = expired[1:] // hidden
			}
			transfers = transfers[1:]
		} else {
			row = accounting.EventRow{Timestamp: expired[0].Timestamp, Expired: true, Row: s.transfers[expired[0].Pending]}
			row.Row.DebitAfter, row.Row.CreditAfter = expired[0].DebitAfter, expired[0].CreditAfter
			expired = expired[1:]
		}
		if row.Timestamp >= low && row.Timestamp <= high {
			want = append(want, row)
		}
	}
	s.query.EventsOpen(low, high)
	for i := range len(want) + 1 {
		var got accounting.EventRow
		if ok := s.query.EventsNext(&got); ok != (i < len(want)) || ok && got != want[i] {
			s.t.Fatalf("events %d..%d: %d of %d is %v %+v", low, high, i, len(want), ok, got)
		}
	}
}

// Goal: scans of transfers, accounts and events give what a walk over plain lists gives, whatever
// is in trees, in the carried tail and in the memtables, in any range and direction.
func TestScansAgainstLists(t *testing.T) {
	random := seeded.Rand(t)
	s := newState(t, random)
	bars := 150
	if testing.Short() {
		bars = 40
	}
	for range bars {
		for range random.IntN(30) {
			s.step()
			if len(s.accounts) >= 10 && random.IntN(5) == 0 {
				s.compareTransfers()
				s.compareAccounts()
				s.compareEvents()
			}
		}
		s.bar()
	}
	if s.query.rows.TransfersFlushed() == 0 || s.query.rows.LogEnd() == 0 {
		t.Error("nothing was flushed: the test shows little")
	}
}
