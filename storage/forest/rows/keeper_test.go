package rows

import (
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/foresttest"
)

// settled is a world with all of it on disk, the carried rows in a partial block, and the ordinal
// of a pending transfer that expires.
func settled(t *testing.T, seal uint32) (w *world, pending accounting.TransferOrdinal) {
	random := seeded.Rand(t)
	l := foresttest.Limits()
	l.MemtableRowsSeal = seal
	w = worldOn(t, random, foresttest.New(t, l, random))
	for range 30 {
		w.account()
	}
	for len(w.transfers) == 0 || w.statuses[len(w.transfers)-1] != accounting.PendingOpen {
		w.transfer()
	}
	pending = accounting.TransferOrdinal(len(w.transfers) - 1)
	w.rows.ExpiryAdd(50, pending)
	w.bar(true)
	w.install()
	if w.rows.tail.count == 0 || w.rows.log.partial.IsZero() {
		t.Fatal("no row is carried")
	}
	return w, pending
}

// Goal: a flush is due exactly when a memtable holds as many rows as the seal, of whatever kind,
// and before a checkpoint whenever memory has anything that would be lost: rows, ids, accounts,
// expiries, statuses, removals of expiries, or carried rows that are in no block.
func TestIsDue(t *testing.T) {
	const seal = 64
	var pending accounting.TransferOrdinal
	mixed := func(count int) func(w *world) {
		return func(w *world) {
			for i := range count {
				[]func(){w.transfer, w.account, w.kill, w.expire}[i%4]()
			}
		}
	}
	for _, c := range []struct {
		name             string
		do               func(w *world)
		full, checkpoint bool
	}{
		{"nothing", func(*world) {}, false, false},
		{"a transfer", func(w *world) { w.transfer() }, false, true},
		{"an account", func(w *world) { w.account() }, false, true},
		{"a dead id", func(w *world) { w.kill() }, false, true},
		{"an expiry", func(w *world) { w.expire() }, false, true},
		{"a status of an earlier transfer", func(w *world) { w.rows.PendingWrite(pending, accounting.PendingVoided) }, false, true},
		{"the removal of an expiry", func(w *world) { w.rows.ExpiryRemove(50, pending) }, false, true},
		{"a chain that was rolled back", func(w *world) {
			w.rows.ChainOpen()
			w.transfer()
			w.account()
			w.rows.PendingWrite(pending, accounting.PendingVoided)
			w.rows.ExpiryRemove(50, pending)
			w.rows.ChainRollback()
		}, false, false},
		{"a balance without a row", func(w *world) { w.change(0) }, false, false}, // the rules never do it
		{"one row less than the seal", mixed(seal - 1), false, true},
		{"as many rows as the seal", mixed(seal), true, true},
		{"carried rows without a block", func(w *world) {
			mixed(seal)(w)
			for range 3 * seal { // whatever fills the last block
				w.transfer()
			}
			w.plan(false)
			w.install()
			if w.rows.tail.count == 0 || w.rows.filling.rowsAll() != 0 {
				w.t.Fatal("no row is carried")
			}
		}, false, true},
	} {
		var w *world
		w, pending = settled(t, seal)
		c.do(w)
		if full, checkpoint := w.keeper.IsDue(false), w.keeper.IsDue(true); full != c.full || checkpoint != c.checkpoint {
			t.Errorf("%s: a flush is due: %v, before a checkpoint: %v, want %v and %v", c.name, full, checkpoint, c.full, c.checkpoint)
		}
	}
}

// Goal: a bar's rows are those that came since the bar before, across seals too. The counters say
// what is in the filling memtable.
func TestBarRows(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 20 {
		w.account()
	}
	counted := func() uint64 { return uint64(len(w.transfers) + len(w.accounts) + len(w.dead) + len(w.expired)) }
	before, sealed := uint64(0), uint64(0)
	for bar := range 60 {
		for range random.IntN(30) {
			w.step()
		}
		if random.IntN(3) == 0 {
			w.kill()
		}
		if got, want := w.keeper.BarRows(), counted()-before; got != want {
			t.Fatalf("bar %d has %d rows, want %d", bar, got, want)
		}
		before = counted()
		if again := w.keeper.BarRows(); again != 0 {
			t.Fatalf("%d rows have come since no row has", again)
		}
		if got := w.keeper.Counters().RowsFilling; uint64(got) != counted()-sealed {
			t.Fatalf("the filling memtable has %d rows, want %d", got, counted()-sealed)
		}
		if w.keeper.IsDue(bar%10 == 9) {
			sealed = counted()
		}
		w.bar(bar%10 == 9)
	}
}

// Goal: the list of blocks is that of the rows on disk, in order and without a gap. The partial
// block has the carried rows, and is another one after each checkpoint. A block that is not listed
// is not one of the log.
func TestBlocksAreListed(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	for range 20 {
		w.account()
	}
	replaced := 0
	for bar := range 60 {
		for range random.IntN(40) {
			w.step()
		}
		before := w.keeper.Partial()
		w.bar(bar%6 == 5)
		named := uint64(0)
		next := uint64(0)
		for i, tab := range w.keeper.Blocks() {
			header := block.HeaderPage(w.Pages.Page(tab.Ref, 0))
			if tab.Partial || tab.Tree != storage.TreeTransferLog || header.Entries() != tab.Entries || w.rows.log.firsts[i] != next {
				t.Fatalf("block %d is %+v, from row %d, want row %d", i, tab, w.rows.log.firsts[i], next)
			}
			if !w.keeper.Has(tab.Ref) {
				t.Fatalf("block %d is listed and not one of the log", i)
			}
			other := tab.Ref
			other.Checksum[3] ^= 1
			if w.keeper.Has(other) {
				t.Fatal("a block with another checksum is one of the log")
			}
			next += uint64(tab.Entries)
			named++
		}
		if next != w.rows.Reader().LogEnd() {
			t.Fatalf("the blocks have %d rows, want %d", next, w.rows.Reader().LogEnd())
		}
		partial := w.keeper.Partial()
		if !partial.IsZero() {
			named++
			if !partial.Partial || partial.Entries != w.rows.tail.count || !w.keeper.Has(partial.Ref) {
				t.Fatalf("the partial block is %+v, %d rows are carried", partial, w.rows.tail.count)
			}
			if partial.Checksum[15] ^= 1; w.keeper.Has(partial.Ref) {
				t.Fatal("a partial block with another checksum is one of the log")
			}
			partial.Checksum[15] ^= 1
		}
		if !before.IsZero() && before.Ref != partial.Ref {
			replaced++
			if w.keeper.Has(before.Ref) {
				t.Fatal("a partial block that was replaced is one of the log")
			}
		}
		if got := w.keeper.Counters().Named; got != named {
			t.Fatalf("%d blocks are counted, %d are listed", got, named)
		}
	}
	if replaced < 3 || len(w.keeper.Blocks()) < 4 {
		t.Errorf("%d partial blocks were replaced, %d are full: the test shows little", replaced, len(w.keeper.Blocks()))
	}
}

// Goal: rows for which there is no number and blocks for which there is no room are faults that say
// so, at the last one that fits and not before.
func TestRowsAreUsedUp(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld(t, random)
	w.account()
	w.account()
	const left = 5
	w.rows.filling.transfersFirst = accounting.TransferOrdinalMax - left
	stored := 0
	fault := foresttest.Fault(func() {
		for range left + 1 {
			w.clock++
			row := w.rows.TransferRow()
			*row = accounting.TransferRow{CreditOrdinal: 1, Transfer: accounting.Transfer{ID: w.id(), Timestamp: w.clock}}
			w.rows.TransferAppend()
			stored++
		}
	})
	if fault == nil || fault.What != storage.FaultStorageLimit || !strings.Contains(fault.Reason, "ordinals") || stored != left {
		t.Errorf("%d transfers are stored where %d fit, and the fault is %v", stored, left, fault)
	}

	w = newWorld(t, random)
	for range 20 {
		w.account()
	}
	const room = 6
	w.rows.log.tables = w.rows.log.tables[:room]
	if w.keeper.BlocksMax() != room {
		t.Fatalf("there is room for %d blocks, want %d", w.keeper.BlocksMax(), room)
	}
	fault = foresttest.Fault(func() {
		for range 200 {
			for range 40 {
				w.transfer()
			}
			w.bar(false)
		}
	})
	if fault == nil || fault.What != storage.FaultStorageLimit || !strings.Contains(fault.Reason, "rows") || len(w.keeper.Blocks()) != room {
		t.Errorf("with %d blocks of rows where %d fit the fault is %v", len(w.keeper.Blocks()), room, fault)
	}
}
