package query

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
)

// skewed appends transfers of which nearly all have the same values, so that scans check some
// conditions against the row instead of looking postings up.
func (s *state) skewed(count int) {
	r := s.random
	common := func(n uint64) uint64 {
		if r.IntN(20) > 0 {
			return 1
		}
		return r.Uint64N(n + 1)
	}
	for range count {
		s.clock += 1 + r.Uint64N(2)
		debit := accounting.AccountOrdinal(0)
		if r.IntN(20) == 0 {
			debit = accounting.AccountOrdinal(r.IntN(len(s.accounts) - 1))
		}
		row := accounting.TransferRow{DebitOrdinal: debit, CreditOrdinal: debit + 1, DebitAfter: s.change(debit),
			CreditAfter: s.change(debit + 1)}
		row.Transfer = accounting.Transfer{
			ID: accounting.U128{Lo: r.Uint64(), Hi: r.Uint64()}, DebitAccountID: s.accounts[debit].ID, CreditAccountID: s.accounts[debit+1].ID,
			UserData128: accounting.U128{Lo: common(3)}, UserData64: common(4), UserData32: uint32(common(3)), Ledger: 1 + uint32(common(1)),
			Code: uint16(1 + r.Uint32N(40)), Timestamp: s.clock,
		}
		*s.rows.TransferRow() = row
		s.rows.TransferAppend()
		s.transfers = append(s.transfers, row)
	}
}

// Goal: scans are right where parts are large: memtables of several blocks of 64 rows, tables of
// several pages, and values that nearly every row has.
func TestLargeScansAgainstLists(t *testing.T) {
	random := seeded.Rand(t)
	bars := 25
	if testing.Short() {
		bars = 8
	}
	unsought := 0
	for range 3 {
		s := newState(t, random)
		for len(s.accounts) < 10 {
			s.step()
		}
		for range bars {
			s.skewed(random.IntN(400))
			for range 12 {
				s.compareTransfers()
				if d := &s.query.transfers.disk; d.sought < d.count {
					unsought++
				}
				s.compareEvents()
			}
			s.bar()
		}
	}
	if unsought < 10 {
		t.Errorf("%d scans checked a condition against the row: the test shows little", unsought)
	}
}

// Goal: a range of timestamps that begins or ends exactly at a transfer, an account or an expiry,
// or beside it, has exactly what lies in it, wherever that is stored.
func TestRangesAtEdges(t *testing.T) {
	random := seeded.Rand(t)
	s := newState(t, random)
	bars := 60
	if testing.Short() {
		bars = 20
	}
	for range bars {
		for range random.IntN(30) {
			s.step()
		}
		for range 10 {
			if len(s.transfers) == 0 || len(s.expired) == 0 {
				break
			}
			pick := func() uint64 {
				stamps := [...]uint64{
					s.transfers[random.IntN(len(s.transfers))].Transfer.Timestamp,
					s.accounts[random.IntN(len(s.accounts))].Timestamp,
					s.expired[random.IntN(len(s.expired))].Timestamp,
					s.expired[len(s.expired)-1-random.IntN(min(3, len(s.expired)))].Timestamp, // in a memtable
				}
				return max(1, stamps[random.IntN(len(stamps))]+random.Uint64N(3)-1)
			}
			low, high := pick(), pick()
			s.edges = [2]uint64{min(low, high), max(low, high)}
			s.compareTransfers()
			s.compareAccounts()
			s.compareEvents()
		}
		s.edges = [2]uint64{}
		s.bar()
	}
}

// Goal: a long scan gives the thread back often: it breathes at least once in so many rows,
// whatever they match.
func TestScansBreathe(t *testing.T) {
	random := seeded.Rand(t)
	s := newState(t, random)
	for len(s.accounts) < 10 {
		s.step()
	}
	for range 10 {
		s.skewed(400)
		s.bar()
	}
	breaths := 0
	s.OnBreath = func() { breaths++ }
	count := func(name string, rows int, scan func()) {
		if breaths = 0; true {
			scan()
		}
		if breaths < rows/1000 {
			t.Errorf("%s: %d breaths in a scan of %d rows", name, breaths, rows)
		}
	}
	all := len(s.transfers)
	var row accounting.TransferRow
	everything := accounting.TransferScan{TimestampMin: 1, TimestampMax: 1<<63 - 1, LimitRows: 1 << 20}
	count("all rows", all, func() {
		s.query.TransfersOpen(&everything)
		for s.query.TransfersNext(&row) {
		}
	})
	nothing := everything // nearly all have the first value, and no row has both
	nothing.UserData64, nothing.Code = 1, 41
	count("no row", 0, func() {
		s.query.TransfersOpen(&nothing)
		if s.query.TransfersNext(&row) {
			t.Error("a row matches that cannot")
		}
	})
	common := everything // a condition that is checked against the rows
	common.UserData64, common.Ledger, common.Reversed = 1, 2, true
	count("a common value", all, func() {
		s.query.TransfersOpen(&common)
		for s.query.TransfersNext(&row) {
		}
	})
}
