package rows

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
)

// pending appends pending transfers, each of which expires, and writes them to the log. The rows of
// neighbours in time of expiry lie far apart.
func (w *world) pending(count int) {
	for at := range count {
		w.transfer()
		last := len(w.transfers) - 1
		if w.statuses[last] != accounting.PendingOpen {
			continue
		}
		w.rows.ExpiryAdd(1+uint64(last*7919%count), accounting.TransferOrdinal(last))
		if at%40 == 39 {
			w.bar(false)
		}
	}
	w.bar(true)
}

// pulse expires all that is due, as the rules do: it first takes everything out of the index, and
// then reads row by row. It returns the number of rows and how often it waited for one.
func (w *world) pulse(until uint64) (count int, waits uint64) {
	var due []accounting.TransferOrdinal
	last := uint64(0)
	for {
		at, ordinal, ok := w.rows.ExpiryFirst()
		if !ok || at > until {
			break
		}
		if at < last || w.statuses[ordinal] != accounting.PendingOpen {
			w.t.Fatalf("transfer %d of status %d expires at %d, behind one at %d", ordinal, w.statuses[ordinal], at, last)
		}
		last = at
		w.rows.ExpiryRemove(at, ordinal)
		due = append(due, ordinal)
	}
	before := w.Pages.Waits()
	for _, ordinal := range due {
		var transfer accounting.Transfer
		debit, credit := w.rows.TransferRead(ordinal, &transfer)
		if want := &w.transfers[ordinal]; transfer != want.Transfer || debit != want.DebitOrdinal || credit != want.CreditOrdinal {
			w.t.Fatalf("transfer %d is read as %+v, want %+v", ordinal, transfer, want.Transfer)
		}
		w.statuses[ordinal] = accounting.PendingExpired
		w.rows.PendingWrite(ordinal, accounting.PendingExpired)
	}
	return len(due), w.Pages.Waits() - before
}

// Goal: a pulse reads the right rows, each open one once and in order of expiry, though its index
// was read back from the tree. It reads the pages of the rows ahead: it waits for a small part of
// the times that reading the same rows one by one waits.
func TestPulseReadsAhead(t *testing.T) {
	random := seeded.Rand(t)
	ahead, alone := uint64(0), uint64(0)
	for range 4 {
		w := newWorld(t, random)
		for range 8 {
			w.account()
		}
		w.pending(400)
		w.install()
		if w.rows.Reader().LogEnd() < 100 {
			t.Fatal("hardly a row is in the log: the test would show little")
		}
		w.Limits.CacheGridBytes = 8 << 20
		open := 0
		for _, status := range w.statuses {
			if status == accounting.PendingOpen {
				open++
			}
		}
		w.plan(false)
		one, other := w.reopened(), w.reopened()
		for _, again := range []*world{one, other} { // only rows are to be waited for
			for ordinal := range w.accounts {
				again.rows.accountLoad(accounting.AccountOrdinal(ordinal))
			}
			for _, tab := range again.keeper.Blocks() {
				again.Pages.Page(tab.Ref, 0)
			}
		}
		half, waits := one.pulse(200)
		ahead += waits
		rest, waits := one.pulse(1 << 40)
		ahead += waits
		if half == 0 || rest == 0 || half+rest != open {
			t.Fatalf("%d and %d of %d transfers expire", half, rest, open)
		}
		if again, _ := one.pulse(1 << 62); again != 0 {
			t.Fatalf("%d transfers expire twice", again)
		}
		one.answers(true)

		before := other.Pages.Waits()
		for ordinal, status := range other.statuses {
			if status == accounting.PendingOpen {
				other.rows.TransferRead(accounting.TransferOrdinal(ordinal), new(accounting.Transfer))
			}
		}
		alone += other.Pages.Waits() - before
	}
	if alone < 40 || 3*ahead > alone {
		t.Errorf("pulses waited %d times for rows, and reading the rows one by one %d times", ahead, alone)
	}
}

// Goal: Warm reads the page of a row, or the header page that names it, and never waits; a row that
// is not in the log needs nothing. After both, the row is read without a wait.
func TestReaderWarms(t *testing.T) {
	random := seeded.Rand(t)
	logged, carried := 0, 0
	for range 4 {
		w := cold(t, random)
		w.OnProgress = nil
		r := w.rows.Reader()
		for ordinal := range w.accounts {
			w.rows.accountLoad(accounting.AccountOrdinal(ordinal))
		}
		for n := range 40 {
			ordinal := random.Uint64N(r.TransfersFlushed())
			if n < 2 { // carried, if any is
				ordinal = r.TransfersFlushed() - 1
			}
			before := w.Pages.Waits()
			for range 2 { // the header page, then the row's
				r.Warm(ordinal)
				if w.Pages.Waits() != before {
					t.Fatalf("warming row %d waits", ordinal)
				}
				if ordinal >= r.LogEnd() && w.Grid.InFlight() > 0 {
					t.Fatalf("carried row %d is read from the log", ordinal)
				}
				for w.Grid.InFlight() > 0 {
					w.Grid.Poll()
				}
			}
			var row accounting.TransferRow
			if r.Read(accounting.TransferOrdinal(ordinal), &row); row != w.transfers[ordinal] {
				t.Fatalf("row %d is %+v, want %+v", ordinal, row, w.transfers[ordinal])
			}
			if w.Pages.Waits() != before {
				t.Fatalf("row %d was warmed, and reading it waits", ordinal)
			}
			if ordinal < r.LogEnd() {
				logged++
			} else {
				carried++
			}
		}
	}
	if logged < 20 || carried == 0 {
		t.Errorf("%d rows of the log, %d carried ones: the test shows little", logged, carried)
	}
}
