package rows

import (
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
)

// cold is a world with nothing in memory, whose cache of pages is so large that nothing leaves it.
func cold(t *testing.T, random *rand.Rand) *world {
	w := filled(t, random, 30)
	w.Limits.CacheGridBytes = 8 << 20
	again := w.reopened()
	again.OnProgress = func() {
		for again.rows.WarmStep() {
		}
	}
	return again
}

// settle lets warming come to its end.
func (w *world) settle() {
	for rounds := 0; w.rows.warm.count > 0 || w.Grid.InFlight() > 0; rounds++ {
		if w.Grid.Poll() {
			w.OnProgress()
		}
		if rounds > 10_000 {
			w.t.Fatal("warming never ends")
		}
	}
}

// Goal: what was warmed is used without waiting for a page: a transfer that is looked for, a
// pending one that is resolved, a row that is read, an account, whether or not the id exists.
// Nothing that was not warmed is there by itself.
func TestWarmedNeedsNoWait(t *testing.T) {
	random := seeded.Rand(t)
	waits := func(w *world, f func()) uint64 {
		before := w.Pages.Waits()
		f()
		return w.Pages.Waits() - before
	}
	unwarmed := [4]uint64{}
	for round := range 24 {
		w := cold(t, random)
		var ordinals []int
		for range 1 + random.IntN(40) {
			ordinals = append(ordinals, random.IntN(len(w.transfers)))
		}
		var account accounting.Account
		var transfer accounting.Transfer
		use := [4]func(ordinal int){
			func(at int) {
				if _, state := w.rows.TransferFind(w.transfers[at].Transfer.ID); state != accounting.TransferExists {
					t.Fatalf("transfer %d has state %d", at, state)
				}
			},
			func(at int) {
				found, _ := w.rows.TransferFind(w.transfers[at].Transfer.ID)
				debit, credit := w.rows.TransferRead(found, &transfer)
				w.rows.PendingRead(found)
				w.rows.AccountRead(debit, &account)
				w.rows.AccountRead(credit, &account)
			},
			func(at int) {
				var row accounting.TransferRow
				w.rows.Reader().Read(accounting.TransferOrdinal(at), &row)
				if row != w.transfers[at] {
					t.Fatalf("row %d is %+v, want %+v", at, row, w.transfers[at])
				}
			},
			func(at int) {
				id := w.accounts[at%len(w.accounts)].ID
				if got, ok := w.rows.AccountFind(id, &account); !ok || int(got) != at%len(w.accounts) {
					t.Fatalf("account %d is %d (%v)", at%len(w.accounts), got, ok)
				}
			},
		}
		kind := round % 4
		isWarm := round/4%2 == 0
		for _, at := range ordinals {
			if !isWarm {
				break
			}
			id := w.transfers[at].Transfer.ID
			switch kind {
			case 0:
				w.rows.WarmTransfer(id)
				w.rows.WarmTransfer(w.id()) // of nobody
			case 1:
				w.rows.WarmPending(id)
				w.rows.WarmPending(w.id())
			case 2:
				w.rows.warmBegin(warmKey{id: id, kind: warmRow})
			case 3:
				w.rows.WarmAccount(w.accounts[at%len(w.accounts)].ID)
				w.rows.WarmAccount(w.id())
			}
		}
		w.settle()
		got := waits(w, func() {
			for _, at := range ordinals {
				use[kind](at)
			}
		})
		if isWarm && got > 0 {
			t.Errorf("kind %d: %d waits for what was warmed", kind, got)
		} else if !isWarm {
			unwarmed[kind] += got
		}
	}
	for kind, got := range unwarmed {
		if got == 0 {
			t.Errorf("kind %d: nothing waits without being warmed: the test shows little", kind)
		}
	}
}

// Goal: a request that looks ids up waits for many pages at the same time: with the ids named
// beforehand it waits a small part of the times that it waits without, and gets the same.
func TestLookupsAskTogether(t *testing.T) {
	random := seeded.Rand(t)
	polls := func(w *world, f func()) (count int) {
		before := w.Pages.Waits()
		f()
		return int(w.Pages.Waits() - before)
	}
	var named, alone [2]int
	for round := range 8 {
		isNamed := round%2 == 0
		w := cold(t, random)
		var ids, accountIDs []accounting.U128
		for range 60 {
			ids = append(ids, w.transfers[random.IntN(len(w.transfers))].Transfer.ID)
			accountIDs = append(accountIDs, w.accounts[random.IntN(len(w.accounts))].ID)
		}
		if isNamed {
			w.rows.LookupTransfers(bytesOf(ids))
		}
		transfers := polls(w, func() {
			for _, id := range ids {
				ordinal, state := w.rows.TransferFind(id)
				if state != accounting.TransferExists || w.transfers[ordinal].Transfer.ID != id {
					t.Fatalf("transfer %v is %d (%d)", id, ordinal, state)
				}
				var transfer accounting.Transfer
				w.rows.TransferRead(ordinal, &transfer)
			}
		})
		w.rows.LookupTransfers(nil)
		w = cold(t, random)
		accountIDs = accountIDs[:0]
		for range 60 {
			accountIDs = append(accountIDs, w.accounts[random.IntN(len(w.accounts))].ID)
		}
		if isNamed {
			w.rows.LookupAccounts(bytesOf(accountIDs))
		}
		accounts := polls(w, func() {
			for _, id := range accountIDs {
				var account accounting.Account
				if got, ok := w.rows.AccountFind(id, &account); !ok || account.ID != id || w.accounts[got].ID != id {
					t.Fatalf("account %v is %d (%v)", id, got, ok)
				}
			}
		})
		w.rows.LookupAccounts(nil)
		if isNamed {
			named[0], named[1] = named[0]+transfers, named[1]+accounts
		} else {
			alone[0], alone[1] = alone[0]+transfers, alone[1]+accounts
		}
	}
	for kind := range named {
		if 2*named[kind] > alone[kind] || alone[kind] == 0 {
			t.Errorf("kind %d: %d waits with the ids named, %d without", kind, named[kind], alone[kind])
		}
	}
}

// Goal: no key is warmed for ever, a full queue drops what does not fit, and the reads of warming
// leave room for those that execution waits for.
func TestWarmingIsBounded(t *testing.T) {
	random := seeded.Rand(t)
	w := cold(t, random)
	for range 3 * len(w.rows.warm.keys) {
		w.rows.WarmPending(w.transfers[random.IntN(len(w.transfers))].Transfer.ID)
		if got := w.Grid.InFlight(); got > warmReadsMax+2 {
			t.Fatalf("%d reads are under way, want at most %d", got, warmReadsMax)
		}
	}
	if int(w.rows.warm.count) > len(w.rows.warm.keys) {
		t.Fatalf("%d keys are queued", w.rows.warm.count)
	}
	w.settle()
	w.answers(true)
}
