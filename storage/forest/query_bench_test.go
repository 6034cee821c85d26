package forest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"ledger/accounting"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/datafile"
)

var queryRowsFlag = flag.Uint64("query-rows", 2_000_000, "transfers behind BenchmarkQueries")

// Values that the benchmark's transfers have. No transfer has first in both user data 64 and user
// data 32.
const (
	queryAccounts = 10_000
	queryPhases   = 16 // user data 128 counts through these, one after the other
	accountBusy   = 1  // a side of an eighth of all transfers
	accountQuiet  = 0  // of one in 65,536
	first         = 1
	second        = 2
)

// newQueryWorld appends transfers straight to a forest; compaction runs inline. A third of them
// have first in user data 64, and a third first in user data 32, but none in both. All have ledger
// 1.
func newQueryWorld(b *testing.B, rows uint64) *world {
	l := limits.Production()
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 32<<30
	l.CacheGridBytes = 1 << 30
	w := newWorld(b, l, &memoryDisk{data: make([]byte, 0, rows*400+(1<<30))}, storage.Checkpoint{})
	random := rand.New(rand.NewPCG(1, 0))
	f := w.forest
	stamp := uint64(0)
	for i := range uint64(queryAccounts) {
		stamp++
		f.AccountAppend(&accounting.Account{ID: accounting.U128{Lo: i + 1}, Ledger: uint32(1 + i%2), Code: uint16(1 + i%7),
			UserData32: uint32(1 + i%3), Timestamp: stamp})
		if i%5000 == 4999 {
			w.ended()
		}
	}
	var row accounting.TransferRow
	for f.TransfersCount() < rows {
		for range 8189 {
			stamp += 1000
			r := random.Uint64()
			t := &row.Transfer
			*t = accounting.Transfer{
				ID: accounting.U128{Lo: f.TransfersCount() + 1}, Amount: accounting.U128{Lo: 1 + r%1000}, Ledger: 1, Code: uint16(1 + r>>16%60000),
				UserData64: 1 + r>>8%3, UserData32: uint32(1 + r>>32%3), UserData128: accounting.U128{Lo: 1 + f.TransfersCount()*queryPhases/rows},
				Timestamp: stamp,
			}
			if t.UserData64 == first && t.UserData32 == first {
				t.UserData32 = second
			}
			debit := 2 + r>>40%(queryAccounts-2)
			if r>>57%16 == 0 {
				debit = accountBusy
			}
			credit := 2 + (debit+r>>20%5000)%(queryAccounts-2)
			switch {
			case r>>48%65536 == 0:
				credit = accountQuiet
			case r>>53%16 == 0 && debit != accountBusy:
				credit = accountBusy
			case credit == debit:
				credit = 2 + (debit+1)%(queryAccounts-2)
			}
			t.DebitAccountID, t.CreditAccountID = accounting.U128{Lo: debit + 1}, accounting.U128{Lo: credit + 1}
			row.DebitOrdinal, row.CreditOrdinal = accounting.AccountOrdinal(debit), accounting.AccountOrdinal(credit)
			row.DebitAfter.DebitsPosted.Lo, row.CreditAfter.CreditsPosted.Lo = stamp/7, stamp/9
			*f.TransferRow() = row
			f.TransferAppend()
		}
		w.ended()
	}
	return w
}

// BenchmarkQueries: what scans cost behind -query-rows transfers: the pages of postings and rows in
// the cache, as far as it holds them. The first pass, in which they are read from (memory as) disk
// and verified, is reported apart.
func BenchmarkQueries(b *testing.B) {
	w := newQueryWorld(b, *queryRowsFlag)
	f := w.forest
	last := f.TransferStampMax()
	const limitMax = 8189
	value := func(n uint64) accounting.U128 { return accounting.U128{Lo: n} }
	for _, q := range []struct {
		name string
		scan accounting.TransferScan
	}{
		{"account", accounting.TransferScan{ByAccount: true, Account: 77, Debits: true, Credits: true}},
		{"account-busy", accounting.TransferScan{ByAccount: true, Account: accountBusy, Debits: true, Credits: true}},
		{"account-quiet", accounting.TransferScan{ByAccount: true, Account: accountQuiet, Debits: true, Credits: true}},
		{"account-first", accounting.TransferScan{ByAccount: true, Account: 77, Debits: true, Credits: true, UserData64: first}},
		{"account-busy-first", accounting.TransferScan{ByAccount: true, Account: accountBusy, Debits: true, Credits: true, UserData64: first}},
		{"account-code", accounting.TransferScan{ByAccount: true, Account: 77, Debits: true, Credits: true, Code: 1234}},
		{"all", accounting.TransferScan{}},
		{"code", accounting.TransferScan{Code: 1234}},
		{"code-absent", accounting.TransferScan{Code: 65000}},
		{"code-ledger", accounting.TransferScan{Code: 1234, Ledger: 1}},
		{"code-first", accounting.TransferScan{Code: 1234, UserData64: first}},
		{"first", accounting.TransferScan{UserData64: first}},
		{"first-limit-1", accounting.TransferScan{UserData64: first, LimitRows: 1}},
		{"first-second", accounting.TransferScan{UserData64: first, UserData32: second}},
		{"first-second-limit-1", accounting.TransferScan{UserData64: first, UserData32: second, LimitRows: 1}},
		{"none-of-2", accounting.TransferScan{UserData64: first, UserData32: first}},
		{"none-of-2-limit-1", accounting.TransferScan{UserData64: first, UserData32: first, LimitRows: 1}},
		{"none-of-3", accounting.TransferScan{UserData64: first, UserData32: first, Ledger: 1}},
		{"none-of-2-reversed", accounting.TransferScan{UserData64: first, UserData32: first, Reversed: true}},
		{"none-of-2-middle", accounting.TransferScan{UserData64: first, UserData32: first, TimestampMin: last / 4, TimestampMax: last / 2}},
		{"phase-first-first", accounting.TransferScan{UserData128: value(5), UserData64: first, UserData32: first}},
		{"phase-second", accounting.TransferScan{UserData128: value(5), UserData64: second, UserData32: second, Reversed: true}},
		{"memory-none", accounting.TransferScan{UserData64: first, UserData32: first, TimestampMin: last - 200_000*1000}},
	} {
		b.Run(q.name, func(b *testing.B) {
			scan := q.scan
			if scan.TimestampMin == 0 {
				scan.TimestampMin, scan.TimestampMax = 1, 1<<63-1
			}
			if scan.TimestampMax == 0 {
				scan.TimestampMax = last
			}
			if scan.LimitRows == 0 {
				scan.LimitRows = limitMax
			}
			var row accounting.TransferRow
			run := func() (rows uint32) {
				f.TransfersOpen(&scan)
				for rows < scan.LimitRows && f.TransfersNext(&row) {
					rows++
				}
				return rows
			}
			reads, start := w.grid.Statistics().Reads, time.Now()
			rows := run()
			cold := time.Since(start)
			reads = w.grid.Statistics().Reads - reads
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(rows), "rows")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(max(rows, 1)), "ns/row")
			b.ReportMetric(float64(cold.Nanoseconds())/1e3, "first-us")
			b.ReportMetric(float64(reads), "first-reads")
		})
	}
	b.Run("events", func(b *testing.B) {
		var row accounting.EventRow
		rows := 0
		for b.Loop() {
			f.EventsOpen(last/3, last)
			for rows = 0; rows < 2730 && f.EventsNext(&row); rows++ {
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
	})
	b.Run("accounts", func(b *testing.B) {
		var account accounting.Account
		scan := accounting.AccountScan{Code: 3, UserData32: 2, TimestampMin: 1, TimestampMax: 1<<63 - 1, LimitRows: limitMax}
		rows := 0
		for b.Loop() {
			f.AccountsOpen(&scan)
			for rows = 0; rows < limitMax && f.AccountsNext(&account); rows++ {
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
	})
	for _, kind := range []string{"near", "random"} {
		b.Run("lookup-"+kind, func(b *testing.B) {
			random := rand.New(rand.NewPCG(2, 0))
			var transfer accounting.Transfer
			const ids = 8189
			for b.Loop() {
				for i := range uint64(ids) {
					id := *queryRowsFlag/3 + i
					if kind == "random" {
						id = random.Uint64N(*queryRowsFlag)
					}
					ordinal, state := f.TransferFind(accounting.U128{Lo: id + 1})
					if state != accounting.TransferExists {
						b.Fatal(fmt.Sprint(id, " is absent"))
					}
					f.TransferRead(ordinal, &transfer)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/ids, "ns/row")
		})
	}
}
