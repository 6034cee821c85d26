package move

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"ledger/accounting"
	"ledger/wire"
)

// BenchmarkRead reads rows of transfers, as an import does first.
func BenchmarkRead(b *testing.B) {
	w := newWorld()
	id := wire.U128From
	accounts := []accounting.Account{{ID: id(1), Ledger: 1, Code: 1}, {ID: id(2), Ledger: 1, Code: 1}}
	_, _ = w.CreateAccounts(context.Background(), accounts)
	for n := uint64(1); n < 10_000; n += 50 {
		var batch []accounting.Transfer
		for i := n; i < n+50; i++ {
			batch = append(batch, accounting.Transfer{ID: wire.U128{Lo: i, Hi: i << 40}, DebitAccountID: id(1), CreditAccountID: id(2),
				Amount: id(i), Ledger: 1, Code: 1})
		}
		_, _ = w.CreateTransfers(context.Background(), batch)
	}
	for _, isCSV := range []bool{false, true} {
		extension := ".jsonl"
		if isCSV {
			extension = ".csv"
		}
		path := filepath.Join(exported(b, w, isCSV), transfersName+extension)
		b.Run(extension[1:], func(b *testing.B) {
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				rows, err := openRows[accounting.Transfer](path, transferColumns())
				if err != nil {
					b.Fatal(err)
				}
				var row accounting.Transfer
				for err = rows.next(&row); err == nil; err = rows.next(&row) {
					count++
				}
				if !errors.Is(err, io.EOF) || rows.close() != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(count), "ns/row")
		})
	}
}
