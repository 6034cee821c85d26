package cluster

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

const (
	loadAccounts  = 16   // ids from 1
	batchFull     = 8189 // transfers of a full request
	loadLedger    = 1
	historyLedger = 2
)

// load is clients that send full batches, half of them official and half our own. They know the
// outcome of all that they send: every transfer must be created, once.
type load struct {
	t       testing.TB
	g       *group
	writers []*loadWriter
	stop    atomic.Bool
	running sync.WaitGroup
	calls   atomic.Uint64
	pause   atomic.Int64 // of a writer after each of its batches, ns
}

type loadWriter struct {
	number uint64
	bank   *closer
	count  uint64 // transfers that were acknowledged
	times         // of acknowledgements
	err    error
}

// transfer is the transfer with this index of a writer: the same one every time.
func (w *loadWriter) transfer(index uint64) tb.Transfer {
	mixed := (w.number<<40 + index + 1) * 0x9E3779B97F4A7C15
	debit := mixed >> 60
	credit := (debit + 1 + mixed>>50%(loadAccounts-1)) % loadAccounts
	return tb.Transfer{ID: id(w.number<<40 + index + 1), DebitAccountID: id(1 + debit), CreditAccountID: id(1 + credit),
		Amount: id(1 + mixed>>20%1000), UserData64: w.number, UserData32: uint32(index), Ledger: loadLedger, Code: 1}
}

// newLoad makes the accounts and the clients. Nothing is sent before begin.
func newLoad(t testing.TB, g *group, writers int) *load {
	t.Helper()
	l := &load{t: t, g: g}
	for number := range writers {
		b, err := newBank(g.addresses(), number%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		w := &loadWriter{number: uint64(number + 1), bank: &closer{bank: b}}
		l.writers = append(l.writers, w)
	}
	t.Cleanup(func() {
		l.stop.Store(true)
		g.governor.end()
		for _, w := range l.writers {
			w.bank.Close() // after a failure nobody may answer
		}
		l.running.Wait()
	})
	accounts := make([]tb.Account, loadAccounts)
	for i := range accounts {
		accounts[i] = tb.Account{ID: id(uint64(i + 1)), Ledger: loadLedger, Code: 1}
	}
	results, err := within(l.writers[0].bank.CreateAccounts, accounts)
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range results {
		if result.Status != tb.AccountCreated {
			t.Fatalf("account %d: %v", i, result.Status)
		}
	}
	return l
}

// begin starts the writers. Each pauses after each of its batches.
func (l *load) begin(size int, pause time.Duration) {
	l.stop.Store(false)
	l.pause.Store(int64(pause))
	for _, w := range l.writers {
		l.running.Go(func() {
			for !l.stop.Load() {
				l.g.governor.wait()
				if w.err = w.write(size); w.err != nil {
					return
				}
				l.calls.Add(1)
				time.Sleep(time.Duration(l.pause.Load()))
			}
		})
	}
}

// write sends the next batch and checks that it was created as a whole, at one time.
func (w *loadWriter) write(size int) error {
	batch := make([]tb.Transfer, size)
	for i := range batch {
		batch[i] = w.transfer(w.count + uint64(i))
	}
	results, err := within(w.bank.CreateTransfers, batch)
	if err != nil {
		return fmt.Errorf("writer %d: %w", w.number, err)
	}
	w.note(time.Now())
	if len(results) != size {
		return fmt.Errorf("writer %d: %d results for %d transfers", w.number, len(results), size)
	}
	for i, result := range results {
		if result.Status != tb.TransferCreated {
			return fmt.Errorf("writer %d: transfer %d: %v, but it was sent once", w.number, w.count+uint64(i), result.Status)
		}
		if result.Timestamp != results[0].Timestamp+uint64(i) {
			return fmt.Errorf("writer %d: timestamps of one batch have a gap", w.number)
		}
	}
	w.count += uint64(size)
	return nil
}

// end stops the writers and waits for their last answers.
func (l *load) end() {
	l.t.Helper()
	l.stop.Store(true)
	l.running.Wait()
	for _, w := range l.writers {
		if w.err != nil {
			l.t.Fatal(w.err)
		}
	}
}

// transfers that were acknowledged.
func (l *load) transfers() (count uint64) {
	for _, w := range l.writers {
		count += w.count
	}
	return count
}

// awaitCalls waits until the writers have had so many answers from now on.
func (l *load) awaitCalls(g *group, count uint64, dead ...int) {
	l.t.Helper()
	target := l.calls.Load() + count
	g.await(fmt.Sprintf("%d batches are acknowledged", count), func() bool {
		g.alive(dead...)
		return l.calls.Load() >= target
	})
}

// audit wants all balances and every transfer as they were acknowledged: nothing lost, nothing
// doubled. The writers must have ended.
func (l *load) audit() {
	l.t.Helper()
	var debits, credits [loadAccounts]uint64
	reader := l.writers[0].bank
	for _, w := range l.writers {
		for from := uint64(0); from < w.count; from += batchFull {
			wanted := make([]tb.Uint128, min(batchFull, w.count-from))
			for i := range wanted {
				wanted[i] = id(w.number<<40 + from + uint64(i) + 1)
			}
			rows, err := within(reader.LookupTransfers, wanted)
			if err != nil {
				l.t.Fatal(err)
			}
			if len(rows) != len(wanted) {
				l.t.Fatalf("writer %d: %d of %d acknowledged transfers from %d on are lost", w.number, len(wanted)-len(rows), len(wanted), from)
			}
			for i, row := range rows {
				want := w.transfer(from + uint64(i))
				debits[low(want.DebitAccountID)-1] += low(want.Amount)
				credits[low(want.CreditAccountID)-1] += low(want.Amount)
				want.Timestamp = row.Timestamp
				if row != want {
					l.t.Fatalf("writer %d: sent %+v, found %+v", w.number, want, row)
				}
			}
		}
	}
	all := make([]tb.Uint128, loadAccounts)
	for i := range all {
		all[i] = id(uint64(i + 1))
	}
	accounts, err := within(reader.LookupAccounts, all)
	if err != nil || len(accounts) != loadAccounts {
		l.t.Fatalf("%d of %d accounts: %v", len(accounts), loadAccounts, err)
	}
	sumDebits, sumCredits := uint64(0), uint64(0)
	for i, account := range accounts {
		if low(account.DebitsPosted) != debits[i] || low(account.CreditsPosted) != credits[i] {
			l.t.Fatalf("account %d has debits %d and credits %d; what was acknowledged makes %d and %d", i+1,
				low(account.DebitsPosted), low(account.CreditsPosted), debits[i], credits[i])
		}
		sumDebits, sumCredits = sumDebits+debits[i], sumCredits+credits[i]
	}
	if sumDebits != sumCredits {
		l.t.Fatalf("debits %d are not credits %d", sumDebits, sumCredits)
	}
}
