package rows

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/keys"
	"ledger/storage/rowlog"
)

// Goal: what a query is told of the places of rows is true: which rows lie in full blocks, in which
// block and page, which are in the carried tail, and which in a memtable, whose columns have the
// values of its rows.
func TestPlacesOfRows(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 10 {
		w.account()
	}
	bars := 80
	if testing.Short() {
		bars = 30
	}
	seen := [4]int{}
	for bar := range bars {
		for range random.IntN(30) {
			w.step()
		}
		w.bar(bar%10 == 9)
		r := w.rows.Reader()
		flushed, end := r.TransfersFlushed(), r.LogEnd()
		if end > flushed || flushed > uint64(len(w.transfers)) || r.AccountsFlushed() > uint64(len(w.accounts)) {
			t.Fatalf("%d rows in full blocks, %d flushed, %d in all", end, flushed, len(w.transfers))
		}
		for ordinal := range w.transfers {
			want := &w.transfers[ordinal]
			at := uint64(ordinal)
			switch {
			case at < end:
				seen[0]++
				in := r.Block(at)
				if !r.BlockHas(in, at) || in > 0 && r.BlockHas(in-1, at) || at == 0 && in != 0 {
					t.Fatalf("row %d is said to be in block %d", at, in)
				}
				ref := r.BlockRef(in)
				header := block.HeaderPage(w.Pages.Page(ref, 0))
				page := w.Pages.Page(ref, r.BlockPage(in, header, at))
				var transfer accounting.Transfer
				debit, credit := rowlog.ReadObject(page, accounting.TransferOrdinal(at), &transfer)
				if transfer.ID != want.Transfer.ID || debit != want.DebitOrdinal || credit != want.CreditOrdinal {
					t.Fatalf("row %d is not on its page: %+v", at, transfer)
				}
			case at < flushed:
				seen[1]++
			default:
				m := r.Memtable(at)
				index := uint32(at - m.First())
				if index >= m.Count() || *m.Row(index) != *want {
					t.Fatalf("row %d is not row %d of the %d of its memtable", at, index, m.Count())
				}
				if seen[2]++; w.rows.flushing != nil && m.First() == uint64(w.rows.flushing.transfersFirst) {
					seen[3]++
				}
				for field := range keys.FieldsCount {
					var c storage.Columns
					m.Columns(storage.TreeTransferUser128+storage.TreeID(field), &c)
					value := keys.TransferField(&want.Transfer, field)
					got := accounting.U128{}
					for i := range uint32(c.Count()) {
						if c.Ordinal(i) == at {
							got = c.Value(i)
						}
					}
					if got != value {
						t.Fatalf("row %d has %v in column %d, want %v", at, got, field, value)
					}
				}
			}
			var row accounting.TransferRow
			if r.Read(accounting.TransferOrdinal(at), &row); row != *want {
				t.Fatalf("row %d is read as %+v, want %+v", at, row, *want)
			}
		}
		for ordinal := range w.accounts {
			var account accounting.Account
			if r.AccountRead(uint64(ordinal), &account); account != w.accounts[ordinal] {
				t.Fatalf("account %d is read as %+v", ordinal, account)
			}
		}
		if n := len(w.transfers); n > 0 && w.rows.TransferStampMax() != w.transfers[n-1].Transfer.Timestamp {
			t.Fatalf("the newest transfer is of %d", w.rows.TransferStampMax())
		}
		if n := len(w.accounts); w.rows.AccountStampMax() != w.accounts[n-1].Timestamp {
			t.Fatalf("the newest account is of %d", w.rows.AccountStampMax())
		}
	}
	for place, count := range seen {
		if count == 0 {
			t.Errorf("no row was in place %d: the test shows little", place)
		}
	}
}
