package query

import (
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
)

// Goal: a scan as of a moment gives what there was then, while later requests append transfers and
// expiries and change balances: it is opened before or after them, and goes on between them.
func TestScansOfThePast(t *testing.T) {
	random := seeded.Rand(t)
	s := newState(t, random)
	past := s.rows.NewPast(s.Memory)
	old := New(&s.Limits, s.Pages, s.levels, past.Reader())
	later := 0
	for bar := range 60 {
		for range 5 + random.IntN(25) {
			s.step()
		}
		if len(s.transfers) == 0 {
			continue
		}
		moment := s.rows.Moment()
		past.Set(&moment)
		then := *s
		then.query = old
		then.transfers, then.accounts, then.expired = slices.Clone(s.transfers), slices.Clone(s.accounts), slices.Clone(s.expired)
		q := accounting.TransferScan{TimestampMin: 1, TimestampMax: 1<<63 - 1, Reversed: bar%2 == 0, LimitRows: 1 << 20}
		old.TransfersOpen(&q)
		old.EventsOpen(1, 1<<63-1)
		want := slices.Clone(then.transfers)
		if q.Reversed {
			slices.Reverse(want)
		}
		events := 0
		for i := range want { // one by one, between requests
			var row accounting.TransferRow
			var event accounting.EventRow
			if !old.TransfersNext(&row) || row != want[i] {
				t.Fatalf("bar %d: row %d of %d is %+v, want %+v", bar, i, len(want), row, want[i])
			}
			if events < len(then.transfers) && old.EventsNext(&event) {
				if events++; event.Timestamp > then.clock {
					t.Fatalf("bar %d: an event of %d, and the moment was at %d", bar, event.Timestamp, then.clock)
				}
			}
			if random.IntN(10) == 0 && i < 300 {
				s.step()
				later++
			}
		}
		if old.TransfersNext(new(accounting.TransferRow)) {
			t.Fatal("a row came behind the last one")
		}
		for range 4 {
			then.compareTransfers()
			then.compareEvents()
		}
		s.compareTransfers() // and now
		s.compareEvents()
		s.bar()
	}
	if later < 100 || s.query.rows.LogEnd() < 100 {
		t.Errorf("%d later changes, %d rows in the log: the test shows little", later, s.query.rows.LogEnd())
	}
}

// Goal: ranges that begin or end at the borders of the blocks of 64 rows in which a memtable is
// compared have exactly their rows, forth and back, for memtables of just less and just more rows.
func TestBlocksAtEdges(t *testing.T) {
	random := seeded.Rand(t)
	for _, count := range []int{1, 2, blockRows - 1, blockRows, blockRows + 1, 2*blockRows - 1, 2 * blockRows, 2*blockRows + 1} {
		s := newState(t, random)
		for len(s.accounts) < 10 {
			s.step()
		}
		s.skewed(count)
		stamp := func(at int) uint64 { return s.transfers[min(max(at, 0), count-1)].Transfer.Timestamp }
		for _, low := range []int{0, 1, blockRows - 1, blockRows, blockRows + 1, count - 1} {
			for _, high := range []int{0, blockRows - 2, blockRows - 1, blockRows, 2*blockRows - 1, count - 1} {
				if stamp(low) > stamp(high) {
					continue
				}
				s.edges = [2]uint64{stamp(low), stamp(high)}
				for range 6 {
					s.compareTransfers()
				}
			}
		}
	}
}

// Goal: a scan whose range or condition leaves nothing ends at once, and again when it is asked
// once more; one that is opened takes the place of another one that has not ended.
func TestScansThatEnd(t *testing.T) {
	random := seeded.Rand(t)
	empty := newState(t, random)
	s := newState(t, random)
	written(t, s, 20)
	all := accounting.TransferScan{TimestampMin: 1, TimestampMax: 1<<63 - 1, LimitRows: 1 << 20}
	for name, c := range map[string]struct {
		s  *state
		do func(q *accounting.TransferScan)
	}{
		"an empty state":              {empty, func(*accounting.TransferScan) {}},
		"no side of the account":      {s, func(q *accounting.TransferScan) { q.ByAccount = true }},
		"a range behind all":          {s, func(q *accounting.TransferScan) { q.TimestampMin = s.clock + 2 }}, // one behind an expiry
		"a range before all":          {s, func(q *accounting.TransferScan) { q.TimestampMax = 5 }},
		"a range that ends too early": {s, func(q *accounting.TransferScan) { q.TimestampMin, q.TimestampMax = 500, 400 }},
		"a value of no row":           {s, func(q *accounting.TransferScan) { q.UserData64 = 1 << 50 }},
	} {
		for _, reversed := range []bool{false, true} {
			q := all
			q.Reversed = reversed
			c.do(&q)
			c.s.query.TransfersOpen(&q)
			for range 3 {
				if c.s.query.TransfersNext(new(accounting.TransferRow)) {
					t.Errorf("%s, reversed %v: there is a row", name, reversed)
				}
			}
			accounts := accounting.AccountScan{TimestampMin: q.TimestampMin, TimestampMax: q.TimestampMax, UserData64: q.UserData64,
				Reversed: reversed, LimitRows: 100}
			if q.ByAccount {
				continue
			}
			c.s.query.AccountsOpen(&accounts)
			for range 3 {
				if c.s.query.AccountsNext(new(accounting.Account)) {
					t.Errorf("%s, reversed %v: there is an account", name, reversed)
				}
			}
			if q.UserData64 != 0 {
				continue
			}
			c.s.query.EventsOpen(q.TimestampMin, q.TimestampMax)
			for range 3 {
				if c.s.query.EventsNext(new(accounting.EventRow)) {
					t.Errorf("%s: there is an event", name)
				}
			}
		}
	}
	for range 60 { // a scan that is left where it is
		q := all
		q.Reversed, q.Code = random.IntN(2) == 0, uint16(random.IntN(3))
		s.query.TransfersOpen(&q)
		s.query.AccountsOpen(&accounting.AccountScan{TimestampMin: 1, TimestampMax: 1<<63 - 1, Reversed: q.Reversed, LimitRows: 100})
		s.query.EventsOpen(1, 1<<63-1)
		for range random.IntN(300) {
			s.query.TransfersNext(new(accounting.TransferRow))
			s.query.EventsNext(new(accounting.EventRow))
		}
		var event accounting.EventRow // leave it behind an expiry: then a transfer has been read that was not shown
		for !event.Expired && s.query.EventsNext(&event) {
		}
		s.query.AccountsNext(new(accounting.Account))
		s.scans(1)
	}
}
