package forest

import (
	"testing"

	"ledger/accounting"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/datafile"
)

// Goal: what was flushed is in memory. A query of accounts and fields reads nothing from the disk,
// with memory for all blocks. Without that memory it reads its pages; both find the same rows.
func TestFlushedIsInMemory(t *testing.T) {
	l := tiny()
	l.MemtableRowsSeal = 256
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 32<<20
	query := func(percent uint32) (reads uint64, rows []accounting.Transfer) {
		l := l
		l.CacheGridBytes, l.CacheRecentPercent = 8<<20, percent
		w := newWorld(t, l, &memoryDisk{}, storage.Checkpoint{})
		defer w.close()
		f := w.forest
		const accounts = 10
		for i := range uint64(accounts) {
			f.AccountAppend(&accounting.Account{ID: accounting.U128{Lo: i + 1}, Ledger: 1, Code: 1, Timestamp: i + 1})
		}
		w.ended()
		for op := range uint64(60) {
			for i := range uint64(32) {
				at := op*32 + i
				row := accounting.TransferRow{Transfer: accounting.Transfer{ID: accounting.U128{Lo: at + 1}, Amount: accounting.U128{Lo: 1},
					DebitAccountID: accounting.U128{Lo: 1 + at%accounts}, CreditAccountID: accounting.U128{Lo: 1 + (at+1)%accounts},
					UserData64: 1 + at%7, UserData32: uint32(1 + at%3), Ledger: 1, Code: 1, Timestamp: 100 + at}}
				row.DebitOrdinal, row.CreditOrdinal = accounting.AccountOrdinal(at%accounts), accounting.AccountOrdinal((at+1)%accounts)
				*f.TransferRow() = row
				f.TransferAppend()
			}
			w.ended()
		}
		if f.TransfersCount() == 0 || f.levels.Tree(storage.TreeTransferDebit).IsEmpty() {
			t.Fatal("nothing was flushed: the test shows little")
		}
		if w.merges > 0 {
			t.Fatal("a merge has replaced what was flushed: the test shows something else")
		}
		before := w.grid.Statistics()
		for _, scan := range []accounting.TransferScan{
			{ByAccount: true, Account: 3, Debits: true, Credits: true, LimitRows: 8189},
			{UserData64: 2, UserData32: 2, LimitRows: 8189, Reversed: true},
		} {
			scan.TimestampMin, scan.TimestampMax = 1, f.TransferStampMax()
			var row accounting.TransferRow
			for f.TransfersOpen(&scan); f.TransfersNext(&row); {
				rows = append(rows, row.Transfer)
			}
		}
		after := w.grid.Statistics()
		if found := after.RecentHits > before.RecentHits; found != (percent > 0) {
			t.Errorf("with %d %%: pages found in blocks just built: %t", percent, found)
		}
		return after.Reads - before.Reads, rows
	}
	with, rows := query(limits.CacheRecentPercentMax)
	without, same := query(0)
	if with > 0 || without == 0 {
		t.Errorf("%d pages are read, and %d without memory for the newest blocks; want none, and some", with, without)
	}
	if len(rows) < 100 || len(rows) != len(same) {
		t.Fatalf("%d rows and %d", len(rows), len(same))
	}
	for i := range rows {
		if rows[i] != same[i] {
			t.Fatalf("row %d differs: %+v and %+v", i, rows[i], same[i])
		}
	}
}
