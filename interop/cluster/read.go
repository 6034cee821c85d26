package cluster

import (
	"sync"
	"sync/atomic"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

// user32Step is less than the number of different values of user_data_32 in a page of its index.
const user32Step = 50

// readingArgs have a replica read its disk: it does not keep what it has just written.
var readingArgs = []string{"--cache-recent=0"}

// readDisk writes and reads all of it back, again and again until the disk of replica i was seen to
// fail: how many blocks a replica reads is up to what its cache has.
func (l *load) readDisk(g *group, i int, isSeen func() bool) {
	l.t.Helper()
	g.await("the replica meets a fault of its disk", func() bool {
		l.t.Helper()
		l.begin(batchFull, pauseBusy)
		l.awaitCalls(g, 8)
		l.end()
		l.audit()
		l.readIndexes()
		g.awaitCaughtUp(i)
		return isSeen()
	})
}

// readIndexes asks for all transfers by each of the fields that the load sets, and wants exactly
// those that were acknowledged. The writers must have ended.
func (l *load) readIndexes() {
	l.t.Helper()
	total := l.transfers()
	debits, credits := uint64(0), uint64(0)
	var queries sync.WaitGroup
	queries.Go(func() {
		for account := range uint64(loadAccounts) {
			debits += l.pages(0, func(reader *closer, from uint64) ([]tb.Transfer, error) {
				return within(reader.GetAccountTransfers, tb.AccountFilter{AccountID: id(account + 1), TimestampMin: from, Limit: batchFull,
					Flags: tb.AccountFilterFlags{Debits: true}.ToUint32()})
			})
		}
	})
	queries.Go(func() {
		for account := range uint64(loadAccounts) {
			credits += l.pages(1, func(reader *closer, from uint64) ([]tb.Transfer, error) {
				return within(reader.GetAccountTransfers, tb.AccountFilter{AccountID: id(account + 1), TimestampMin: from, Limit: batchFull,
					Flags: tb.AccountFilterFlags{Credits: true}.ToUint32()})
			})
		}
	})
	query := func(reader int, filter tb.QueryFilter) uint64 {
		return l.pages(reader, func(reader *closer, from uint64) ([]tb.Transfer, error) {
			filter.TimestampMin, filter.Limit = from, batchFull
			return within(reader.QueryTransfers, filter)
		})
	}
	var byLedger, byCode uint64
	queries.Go(func() { byLedger = query(2, tb.QueryFilter{Ledger: loadLedger}) })
	var byWriter [16]uint64
	queries.Go(func() {
		byCode = query(3, tb.QueryFilter{Code: 1})
		for at, w := range l.writers {
			byWriter[at] = query(3, tb.QueryFilter{UserData64: w.number})
		}
	})
	queries.Wait()
	if debits != total || credits != total || byLedger != total {
		l.t.Fatalf("%d transfers were acknowledged; found by debit account %d, by credit account %d, by ledger %d", total, debits, credits,
			byLedger)
	}
	if byCode < total {
		l.t.Fatalf("%d transfers were acknowledged; found by code %d", total, byCode)
	}
	for at, w := range l.writers {
		if byWriter[at] != w.count {
			l.t.Fatalf("writer %d: %d transfers were acknowledged; found by user_data_64 %d", w.number, w.count, byWriter[at])
		}
	}
	l.readAccounts()
	l.readUser32()
}

// readAccounts asks for the accounts by each of their fields, and by time alone.
func (l *load) readAccounts() {
	l.t.Helper()
	for _, filter := range []tb.QueryFilter{{Ledger: loadLedger}, {Code: 1}, {TimestampMin: 1}} {
		filter.Limit = batchFull
		rows, err := within(l.writers[0].bank.QueryAccounts, filter)
		if err != nil || len(rows) < loadAccounts {
			l.t.Fatalf("accounts by %+v: %d, there are at least %d: %v", filter, len(rows), loadAccounts, err)
		}
	}
}

// readUser32 asks for every user32Step-th value.
func (l *load) readUser32() {
	l.t.Helper()
	highest := uint64(0)
	for _, w := range l.writers {
		highest = max(highest, w.count)
	}
	var next, wrong atomic.Uint64
	next.Store(1) // 0 is no condition
	var queries sync.WaitGroup
	for _, w := range l.writers {
		queries.Go(func() {
			for value := next.Add(user32Step) - user32Step; value < highest; value = next.Add(user32Step) - user32Step {
				want := 0
				for _, other := range l.writers {
					if value < other.count {
						want++
					}
				}
				rows, err := within(w.bank.QueryTransfers, tb.QueryFilter{UserData32: uint32(value), Ledger: loadLedger, Limit: batchFull})
				if err != nil || len(rows) != want {
					wrong.Store(value)
					l.t.Errorf("user_data_32 %d: %d transfers, acknowledged were %d: %v", value, len(rows), want, err)
					return
				}
			}
		})
	}
	queries.Wait()
	if wrong.Load() != 0 {
		l.t.FailNow()
	}
}

// pages counts what a question brings, page by page.
func (l *load) pages(reader int, ask func(reader *closer, from uint64) ([]tb.Transfer, error)) (count uint64) {
	for from := uint64(0); ; {
		rows, err := ask(l.writers[reader%len(l.writers)].bank, from)
		if err != nil {
			l.t.Errorf("a query: %v", err)
			return count
		}
		count += uint64(len(rows))
		if len(rows) < batchFull {
			return count
		}
		from = rows[len(rows)-1].Timestamp + 1
	}
}
