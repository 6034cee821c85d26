package move

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/wire"
)

// filesIn reads the files of a folder.
func filesIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(text)
	}
	return files
}

func sameFiles(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, files := range []map[string]string{got, want} {
		for name := range files {
			if got[name] != want[name] {
				t.Errorf("%s differs:\n%.2000s\nwant:\n%.2000s", name, got[name], want[name])
			}
		}
	}
}

// worlds calls visit with random worlds of both kinds.
func worlds(t *testing.T, visit func(t *testing.T, random *rand.Rand, make func() *world)) {
	random := seeded.Rand(t)
	for i := range 8 {
		seed := random.Uint64()
		visit(t, random, func() *world {
			w := newWorld()
			if again := rand.New(rand.NewPCG(seed, 0)); i%2 == 0 {
				w.live(again, 150)
			} else {
				w.wild(again, 800)
			}
			return w
		})
	}
}

// asImported is what a world must have after it was imported.
func asImported(w *world) (accounts []accounting.Account, transfers []accounting.Transfer) {
	accounts = allOf(accountPages(w), func(a *accounting.Account) uint64 { return a.Timestamp })
	for i := range accounts {
		accounts[i].Flags |= accounting.AccountImported
	}
	for _, t := range allOf(transferPages(w), func(t *accounting.Transfer) uint64 { return t.Timestamp }) {
		t.Flags |= accounting.TransferImported
		t.Timeout = 0
		transfers = append(transfers, t)
	}
	for _, e := range allOf(eventPages(w), func(e *accounting.ChangeEvent) uint64 { return e.Timestamp }) {
		if e.Type != accounting.EventTwoPhaseExpired {
			continue
		}
		transfers = append(transfers, accounting.Transfer{ID: voidID(e.TransferID), DebitAccountID: e.DebitAccountID,
			CreditAccountID: e.CreditAccountID, Amount: e.TransferAmount, PendingID: e.TransferID, UserData128: e.TransferUserData128,
			UserData64: e.TransferUserData64, UserData32: e.TransferUserData32, Ledger: e.Ledger, Code: e.TransferCode, Timestamp: e.Timestamp,
			Flags: accounting.TransferVoidPending | accounting.TransferImported})
	}
	slices.SortFunc(transfers, func(a, b accounting.Transfer) int {
		return wire.U128From(a.Timestamp).Compare(wire.U128From(b.Timestamp))
	})
	return accounts, transfers
}

// isImportOf checks that a world is what another one becomes when it is imported.
func isImportOf(t *testing.T, got, want *world) {
	t.Helper()
	accounts, transfers := asImported(want)
	gotAccounts := allOf(accountPages(got), func(a *accounting.Account) uint64 { return a.Timestamp })
	gotTransfers := allOf(transferPages(got), func(x *accounting.Transfer) uint64 { return x.Timestamp })
	if !slices.Equal(gotAccounts, accounts) {
		t.Errorf("%d accounts, want %d", len(gotAccounts), len(accounts))
	}
	if !slices.Equal(gotTransfers, transfers) {
		t.Errorf("%d transfers, want %d", len(gotTransfers), len(transfers))
	}
}

// Goal: an export that is imported makes the same world, but for what imports cannot have: timeouts
// are gone and expiries are voids. The export of that world, imported again, is the same byte for
// byte, in both forms.
func TestRoundTrip(t *testing.T) {
	expiries, closed, chains := 0, 0, 0
	worlds(t, func(t *testing.T, random *rand.Rand, make func() *world) {
		first := make()
		isCSV := random.IntN(2) == 0
		second := newWorld()
		second.clock = first.clock + nsPerSecond
		folder := exported(t, first, isCSV)
		report, said, err := imported(second, FileOptions{Folder: folder}, false)
		if err != nil || !report.HasCompared || report.Different != 0 {
			t.Fatalf("%+v, %v, %v %v", report, err, said.wrong, said.changes)
		}
		isImportOf(t, second, first)
		files := exported(t, second, isCSV)
		third := newWorld()
		third.clock = second.clock + nsPerSecond
		if report, said, err := imported(third, FileOptions{Folder: files}, false); err != nil || len(said.changes) != 0 {
			t.Fatalf("%+v, %v, %v", report, err, said.changes)
		}
		sameFiles(t, filesIn(t, exported(t, third, isCSV)), filesIn(t, files))
		expiries += said.count(ChangeExpiry)
		for _, a := range allOf(accountPages(first), func(a *accounting.Account) uint64 { return a.Timestamp }) {
			if a.Flags&accounting.AccountClosed != 0 {
				closed++
			}
		}
		for _, x := range allOf(transferPages(first), func(x *accounting.Transfer) uint64 { return x.Timestamp }) {
			if x.Flags&accounting.TransferLinked != 0 {
				chains++
			}
		}
	})
	if expiries < 10 || closed < 10 || chains < 10 {
		t.Errorf("%d expiries, %d closed accounts, %d linked transfers: too few to show anything", expiries, closed, chains)
	}
}

// Goal: a live import makes the same world as one from files, also while the source grows, with
// Goal: an import that is killed behind any of its requests goes on there, and the world is the
// same as without that.
func TestKilledImport(t *testing.T) {
	random := seeded.Rand(t)
	from, whole, folder := newWorld(), newWorld(), ""
	for whole.creates < 8 { // little happens in a world where most accounts have limits
		from, whole = newWorld(), newWorld()
		from.live(random, 400)
		folder = exported(t, from, true)
		whole.clock = from.clock + nsPerSecond
		if _, _, err := imported(whole, FileOptions{Folder: folder}, false); err != nil {
			t.Fatalf("%d requests, %v", whole.creates, err)
		}
	}
	isImportOf(t, whole, from)
	for _, isLive := range []bool{false, true} {
		for failAt := 1; failAt <= whole.creates; failAt++ {
			w := newWorld()
			w.clock, w.failAt = from.clock+nsPerSecond, failAt
			if _, _, err := imported(w, FileOptions{Folder: folder}, false); !errors.Is(err, errKilled) {
				t.Fatalf("killed behind request %d: %v", failAt, err)
			}
			report, said, err := Report{}, &told{}, error(nil)
			if isLive {
				report, err = Import(context.Background(), w, OpenServer(from, "source", said.change), said.options(false))
			} else {
				report, said, err = imported(w, FileOptions{Folder: folder}, false)
			}
			if err != nil || report.Accounts.Skipped == 0 || !isLive && w.creates != whole.creates {
				t.Fatalf("killed behind request %d: %+v, %d requests, want %d, %v", failAt, report, w.creates, whole.creates, err)
			}
			if w.everything() != whole.everything() {
				t.Errorf("killed behind request %d: the worlds differ", failAt)
			}
			if said.count(ChangeExpiry) == 0 || said.count(ChangeTimeout) == 0 {
				t.Errorf("killed behind request %d: the second run does not tell of all changes", failAt)
			}
		}
	}
}

// Goal: an export that is cut off anywhere is continued, and is the same as one at once.
func TestKilledExport(t *testing.T) {
	random := seeded.Rand(t)
	w := newWorld()
	w.live(random, 60)
	for _, isCSV := range []bool{false, true} {
		whole := exported(t, w, isCSV)
		files := filesIn(t, whole)
		for range 40 {
			folder := t.TempDir()
			for name, text := range files {
				if strings.HasPrefix(name, accountsName) {
					continue
				}
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text)[:random.IntN(len(text)+1)], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			export(t, w, folder, isCSV)
			sameFiles(t, filesIn(t, folder), files)
		}
	}
}

// Goal: a dry run says what an import would do, and changes nothing.
func TestDryRun(t *testing.T) {
	worlds(t, func(t *testing.T, _ *rand.Rand, make func() *world) {
		from, to := make(), newWorld()
		to.clock = from.clock + nsPerSecond
		folder := exported(t, from, true)
		dry, drySaid, err := imported(to, FileOptions{Folder: folder}, true)
		if err != nil || to.creates != 0 || to.everything() != "" {
			t.Fatalf("%+v, %d requests, %v, %v", dry, to.creates, err, drySaid)
		}
		wet, wetSaid, err := imported(to, FileOptions{Folder: folder}, false)
		if err != nil || wet != dry || !slices.Equal(drySaid.changes, wetSaid.changes) {
			t.Errorf("%+v, want %+v, %v", wet, dry, err)
		}
	})
}

// Goal: a request that was executed and is sent again, because the session was lost, counts as
// created, with its chains. An import that forgets accounts and pending transfers again and again,
// Goal: an answer that was not foreseen, because something else writes to the server, ends the
// chainOverExpiry is a world with an imported chain whose timestamps lie on both sides of an expiry
// Goal: a void that stands for an expiry in the middle of a chain becomes a member of it. If the
// order of timestamps does not repeat what happened, the row that fails is told, and nothing of its
// Goal: a chain of more rows than a request holds is refused, and so is an export whose server is
