package query

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
)

// Goal: a query for the newest rows asks nothing of the trees while memory has rows for it, and
// finds the older ones behind them when it goes on.
func TestNewestAskNoTree(t *testing.T) {
	random := seeded.Rand(t)
	s := newState(t, random)
	for range 200 {
		for range 30 {
			s.step()
		}
		s.bar()
		if s.query.rows.TransfersFlushed() > 0 {
			break
		}
	}
	for range 500 {
		s.step()
	}
	flushed, end := s.query.rows.TransfersFlushed(), uint64(len(s.transfers))
	if flushed == 0 || flushed == end {
		t.Fatalf("%d of %d rows are flushed: the test shows little", flushed, end)
	}
	q := accounting.TransferScan{Reversed: true, LimitRows: uint32(end), TimestampMin: 1, TimestampMax: 1<<63 - 1}
	s.query.TransfersOpen(&q)
	var row accounting.TransferRow
	for i := end; i > 0; i-- {
		if !s.query.TransfersNext(&row) || row != s.transfers[i-1] {
			t.Fatalf("row %d of %d is wrong", i-1, end)
		}
		if got, want := s.query.transfers.chosen, i-1 < flushed; got != want {
			t.Fatalf("behind row %d, with %d flushed: the trees were asked: %t", i-1, flushed, got)
		}
	}
}
