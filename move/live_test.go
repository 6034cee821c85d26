package move

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/wire"
)

// expiries at its end.
func TestLive(t *testing.T) {
	grown := 0
	worlds(t, func(t *testing.T, random *rand.Rand, make func() *world) {
		from, to := make(), newWorld()
		to.clock = from.clock + 1000*nsPerSecond
		left := comparisonsMax - 1 // each may come in the middle of a comparison
		isGrowing := false
		from.onRequest = func() {
			if !isGrowing && left > 0 && random.IntN(4) == 0 {
				isGrowing = true
				left--
				from.grow(random, uint64(1_000_000+left))
				isGrowing = false
			}
		}
		said := &told{}
		options := said.options(false)
		report, err := Import(context.Background(), to, OpenServer(from, "source", said.change), options)
		if err != nil || report.Different != 0 || !report.HasCompared {
			t.Fatalf("%+v, %v, %v", report, err, said.changes)
		}
		from.onRequest = nil
		isImportOf(t, to, from)
		grown += comparisonsMax - 1 - left
	})
	if grown < 12 {
		t.Errorf("the sources grew %d times: too little to show anything", grown)
	}
}

// grow adds a new account, a transfer and a pending one that expires, as an application would.
func (w *world) grow(random *rand.Rand, id uint64) {
	ctx := context.Background()
	one, two := wire.U128From(id), wire.U128From(id+1_000_000)
	_, _ = w.CreateAccounts(ctx, []accounting.Account{{ID: one, Ledger: 7, Code: 1}, {ID: two, Ledger: 7, Code: 1}})
	_, _ = w.CreateTransfers(ctx, []accounting.Transfer{
		{ID: one, DebitAccountID: one, CreditAccountID: two, Amount: one, Ledger: 7, Code: 1},
		{ID: two, DebitAccountID: one, CreditAccountID: two, Amount: one, Ledger: 7, Code: 1, Timeout: 1, Flags: accounting.TransferPending},
	})
	if random.IntN(2) == 0 {
		w.pulse(2 * nsPerSecond)
	}
}

// because they are too many, makes the same world.
func TestSentTwiceAndForgetful(t *testing.T) {
	worlds(t, func(t *testing.T, random *rand.Rand, make func() *world) {
		from, to, said := make(), newWorld(), &told{}
		to.clock = from.clock + 1000*nsPerSecond
		to.isTwice = true
		options := said.options(false)
		options.stateMax = 1 + random.IntN(4)
		report, err := Import(context.Background(), to, OpenServer(from, "source", said.change), options)
		if err != nil || report.Different != 0 || !report.HasCompared {
			t.Fatalf("%+v, %v, %v", report, err, said.changes)
		}
		isImportOf(t, to, from)
	})
}

// import with the place and the status.
func TestNotForeseen(t *testing.T) {
	ctx, id := context.Background(), wire.U128From
	files := FileOptions{Accounts: wroteRows(t, "accounts.csv", twoAccounts),
		Transfers: wroteRows(t, "transfers.csv", transfersHeader+goodTransfer)}
	w := newWorld()
	w.onRequest = func() {
		if w.creates == 1 && w.store.TransfersCount() == 0 {
			w.onRequest = nil
			_, _ = w.CreateTransfers(ctx, []accounting.Transfer{{ID: id(50), DebitAccountID: id(1), CreditAccountID: id(2), Ledger: 7, Code: 1}})
		}
	}
	_, _, err := imported(w, files, false)
	want := files.Transfers + ":2: transfer 1 is answered imported_event_timestamp_must_not_regress, which was not foreseen"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// that was before it. The amount of the chain's first transfer is given; 10 are credited.
func chainOverExpiry(t *testing.T, amount uint64) *world {
	t.Helper()
	ctx, id, w := context.Background(), wire.U128From, newWorld()
	_, _ = w.CreateAccounts(ctx, []accounting.Account{{ID: id(1), Ledger: 1, Code: 1},
		{ID: id(2), Ledger: 1, Code: 1, Flags: accounting.AccountDebitsMustNotExceedCredits}})
	_, _ = w.CreateTransfers(ctx, []accounting.Transfer{
		{ID: id(1), DebitAccountID: id(1), CreditAccountID: id(2), Amount: id(10), Ledger: 1, Code: 1},
		{ID: id(2), DebitAccountID: id(2), CreditAccountID: id(1), Amount: id(6), Ledger: 1, Code: 1, Timeout: 1,
			Flags: accounting.TransferPending}})
	pendingAt := w.store.TransferStampMax()
	w.pulse(2 * nsPerSecond)
	expiredAt := w.clock
	w.clock += nsPerSecond
	chained := accounting.Transfer{ID: id(3), DebitAccountID: id(2), CreditAccountID: id(1), Amount: id(amount), Ledger: 1, Code: 1,
		Timestamp: pendingAt + 1, Flags: accounting.TransferImported | accounting.TransferLinked}
	last := chained
	last.ID, last.Amount, last.Timestamp, last.Flags = id(4), id(1), expiredAt+1, accounting.TransferImported
	results, _ := w.CreateTransfers(ctx, []accounting.Transfer{chained, last})
	for _, result := range results {
		if result.Status != accounting.TransferStatusCreated {
			t.Fatal(result.Status)
		}
	}
	return w
}

// batch is imported.
func TestExpiryInChain(t *testing.T) {
	from, to := chainOverExpiry(t, 4), newWorld()
	to.clock = from.clock + nsPerSecond
	if report, said, err := imported(to, FileOptions{Folder: exported(t, from, false)}, false); err != nil || report.Different != 0 {
		t.Fatalf("%+v, %q, %v", report, said.wrong, err)
	}
	transfers := allOf(transferPages(to), func(x *accounting.Transfer) uint64 { return x.Timestamp })
	if void := transfers[3]; len(transfers) != 5 || void.ID != voidID(wire.U128From(2)) ||
		void.Flags != accounting.TransferVoidPending|accounting.TransferImported|accounting.TransferLinked {
		t.Errorf("%+v", transfers)
	}

	from, to = chainOverExpiry(t, 9), newWorld()
	to.clock = from.clock + nsPerSecond
	_, said, err := imported(to, FileOptions{Folder: exported(t, from, false)}, false)
	if !errors.Is(err, ErrWrong) || to.store.TransfersCount() != 0 || len(said.wrong) != 1 ||
		!strings.Contains(said.wrong[0], "transfers.jsonl:3: column amount: exceeds_credits (transfer 3; ") {
		t.Errorf("%q, %v, %d transfers", said.wrong, err, to.store.TransfersCount())
	}
}

// written to all the time.
func TestTooMuch(t *testing.T) {
	var text strings.Builder
	text.WriteString(transfersHeader)
	for i := range 100 {
		fmt.Fprintf(&text, "%d,1,2,1,0,0,7,1,linked,%d\n", 100+i, 100+i)
	}
	files := FileOptions{Accounts: wroteRows(t, "accounts.csv", twoAccounts), Transfers: wroteRows(t, "transfers.csv", text.String())}
	w := newWorld()
	_, _, err := imported(w, files, false)
	if want := files.Transfers + ":2: the chain of linked transfers that begins here has more than the "; err == nil ||
		!strings.HasPrefix(err.Error(), want) || w.store.TransfersCount() != 0 {
		t.Errorf("%v, want %s", err, want)
	}

	w = newWorld()
	random, isGrowing := seeded.Rand(t), false
	w.onRequest = func() {
		if w.creates += 2; !isGrowing { // as good as a counter
			isGrowing = true
			w.grow(random, uint64(w.creates))
			isGrowing = false
		}
	}
	folder := t.TempDir()
	_, err = Export(context.Background(), w, ExportOptions{Folder: folder, Messages: t.Output(), Progress: func(Progress) {}})
	if err == nil || !strings.Contains(err.Error(), "the server is written to") {
		t.Error(err)
	}
	w.onRequest = nil
	export(t, w, folder, false)
	if report, _, err := imported(newWorldAt(w.clock+nsPerSecond), FileOptions{Folder: folder}, false); err != nil || !report.HasCompared {
		t.Errorf("%+v, %v", report, err)
	}
}

func newWorldAt(clock uint64) *world {
	w := newWorld()
	w.clock = clock
	return w
}

// Goal: expiries behind the last transfer cost requests by the page, and not by the row.
func TestLiveTail(t *testing.T) {
	ctx, id, from := context.Background(), wire.U128From, newWorld()
	_, _ = from.CreateAccounts(ctx, []accounting.Account{{ID: id(1), Ledger: 1, Code: 1}, {ID: id(2), Ledger: 1, Code: 1}})
	for first := uint64(1); first <= 200; first += 50 {
		var batch []accounting.Transfer
		for n := first; n < first+50; n++ {
			batch = append(batch, accounting.Transfer{ID: id(n), DebitAccountID: id(1), CreditAccountID: id(2), Amount: id(n), Ledger: 1, Code: 1,
				Timeout: 1, Flags: accounting.TransferPending})
		}
		_, _ = from.CreateTransfers(ctx, batch)
	}
	for range 4 {
		from.pulse(nsPerSecond)
	}
	to, said, asked := newWorldAt(from.clock+nsPerSecond), &told{}, 0
	from.onRequest = func() { asked++ }
	report, err := Import(ctx, to, OpenServer(from, "source", said.change), said.options(false))
	if err != nil || report.Transfers.Imported != 400 || said.count(ChangeExpiry) != 200 {
		t.Fatalf("%+v, %v", report, err)
	}
	if requestsMax := 40; asked > requestsMax {
		t.Errorf("the source got %d requests, want at most %d", asked, requestsMax)
	}
}
