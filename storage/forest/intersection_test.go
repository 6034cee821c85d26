package forest

import (
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/datafile"
)

// Goal: scans give the result of a walk over all rows, for each way that an intersection may take.
// The values have every frequency, are spread and in stretches, together and apart, over trees and
// memtables, in any range and direction, up to any limit.
func TestIntersectionsAgainstWalk(t *testing.T) {
	random := seeded.Rand(t)
	count := 100_000 // more than one window
	if testing.Short() {
		count = 20_000
	}
	l := tiny()
	l.MemtableRowsSeal = 3000
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 64<<20
	w := newWorld(t, l, &memoryDisk{random: random}, storage.Checkpoint{})
	f := w.forest
	const accounts = 50
	stamp := uint64(0)
	for i := range uint64(accounts) {
		stamp += 2
		f.AccountAppend(&accounting.Account{ID: accounting.U128{Lo: i + 1}, Timestamp: stamp})
	}
	// one of n rows has 1, the others something else
	often := func(n, other int) uint64 {
		if random.IntN(n) == 0 {
			return 1
		}
		return uint64(2 + random.IntN(other))
	}
	var rows []accounting.TransferRow
	stretch := uint64(1)
	for len(rows) < count {
		for range 1 + random.IntN(300) {
			stamp += 1 + uint64(random.IntN(3))
			if random.IntN(2000) == 0 {
				stretch = 1 + uint64(random.IntN(4))
			}
			debit := random.IntN(accounts)
			if random.IntN(3) == 0 {
				debit = 1
			}
			credit := (debit + 1 + random.IntN(accounts-1)) % accounts
			row := accounting.TransferRow{DebitOrdinal: accounting.AccountOrdinal(debit), CreditOrdinal: accounting.AccountOrdinal(credit)}
			row.Transfer = accounting.Transfer{
				ID: accounting.U128{Lo: uint64(len(rows) + 1)}, DebitAccountID: accounting.U128{Lo: uint64(debit + 1)},
				CreditAccountID: accounting.U128{Lo: uint64(credit + 1)},
				UserData128:     accounting.U128{Hi: stretch}, UserData64: often(3, 2), UserData32: uint32(often(3, 2)),
				Ledger: uint32(often(20000, 1)), Code: uint16(often(400, 400)),
				Timestamp: stamp,
			}
			if tr := &row.Transfer; tr.UserData64 == 1 && tr.UserData32 == 1 && random.IntN(5000) > 0 {
				tr.UserData32 = 0 // hardly ever together
			}
			*f.TransferRow() = row
			f.TransferAppend()
			rows = append(rows, row)
		}
		w.ended()
		for range 4 * len(rows) / count {
			compareScan(t, w, rows, random.IntN(1<<9), random.IntN(20) == 0, random.IntN(3) == 0, random.IntN(4) == 0,
				uint64(random.IntN(int(stamp))), uint64(random.IntN(int(stamp))), 1+random.IntN(1<<random.IntN(14)))
		}
	}
	for fields := range 1 << 9 {
		compareScan(t, w, rows, fields, false, fields%3 == 0, fields%5 == 0, uint64(random.IntN(int(stamp))), stamp,
			1+random.IntN(1<<random.IntN(15)))
	}
}

// compareScan runs one scan. fields has a bit for each condition.
func compareScan(t *testing.T, w *world, rows []accounting.TransferRow, fields int, absent, reversed, ranged bool, from, to uint64,
	limit int) {
	t.Helper()
	scan := accounting.TransferScan{Reversed: reversed, TimestampMin: 1, TimestampMax: 1<<63 - 1, LimitRows: uint32(limit)}
	value := uint64(1)
	if absent {
		value = 60_000
	}
	if fields&1 != 0 {
		scan.UserData64 = value
	}
	if fields&2 != 0 {
		scan.UserData32 = uint32(1 + fields>>7&1)
	}
	if fields&4 != 0 {
		scan.Code = uint16(value)
	}
	if fields&8 != 0 {
		scan.Ledger = uint32(1 + fields>>8&1)
	}
	if fields&16 != 0 {
		scan.UserData128 = accounting.U128{Hi: 2}
	}
	if fields>>5&3 != 0 {
		scan.ByAccount, scan.Account = true, accounting.AccountOrdinal(1+fields>>8*6)
		scan.Debits, scan.Credits = fields>>5&1 != 0, fields>>6&1 != 0
	}
	if ranged {
		scan.TimestampMin, scan.TimestampMax = max(1, min(from, to)), max(1, from, to)
	}
	var want []uint64
	for i := range rows {
		if r := &rows[i]; matches(&scan, r) && r.Transfer.Timestamp >= scan.TimestampMin && r.Transfer.Timestamp <= scan.TimestampMax {
			want = append(want, r.Transfer.Timestamp)
		}
	}
	if reversed {
		slices.Reverse(want)
	}
	want = want[:min(len(want), limit)]
	w.forest.TransfersOpen(&scan)
	var row accounting.TransferRow
	for i := range want {
		if !w.forest.TransfersNext(&row) || row.Transfer.Timestamp != want[i] {
			t.Fatalf("%+v: row %d of %d is %+v, want timestamp %d", scan, i, len(want), row.Transfer, want[i])
		}
		if index, _ := slices.BinarySearchFunc(rows, want[i], func(r accounting.TransferRow,
			stamp uint64) int {
			return int(r.Transfer.Timestamp) - int(stamp)
		}); rows[index] != row {
			t.Fatalf("%+v: row %d is %+v, want %+v", scan, i, row, rows[index])
		}
	}
	if len(want) < limit && w.forest.TransfersNext(&row) {
		t.Fatalf("%+v: a row behind the last: %+v", scan, row.Transfer)
	}
}

// matches tells whether a row satisfies a query, except for its range of timestamps.
func matches(q *accounting.TransferScan, row *accounting.TransferRow) bool {
	t := &row.Transfer
	byAccount := !q.ByAccount || q.Debits && row.DebitOrdinal == q.Account || q.Credits && row.CreditOrdinal == q.Account
	return byAccount &&
		(q.UserData128.IsZero() || q.UserData128 == t.UserData128) &&
		(q.UserData64 == 0 || q.UserData64 == t.UserData64) &&
		(q.UserData32 == 0 || q.UserData32 == t.UserData32) &&
		(q.Ledger == 0 || q.Ledger == t.Ledger) &&
		(q.Code == 0 || q.Code == t.Code)
}
