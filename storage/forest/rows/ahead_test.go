package rows

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/forest/ids"
)

// Goal: while runs become covered at any breath, in the middle of a batch too, each id of a batch
// is found if it is stored, and no other is. The batches have stored ids, new ones and repeated
// ones, in any order.
func TestAskWhileCovering(t *testing.T) {
	random := seeded.Rand(t)
	flips, batches := 0, 0
	for range 6 {
		w := filled(t, random, 61)
		transfers, dead := len(w.transfers), len(w.dead)
		again := w.reopened()
		early, late := again.levels.CoverOverlapping(random.Uint64N(200))
		if early+late == 0 {
			continue
		}
		room, ok := again.filter.Open(early, late)
		if again.levels.CoverRoom(room); !ok {
			t.Fatal("the filter has no room")
		}
		loader := ids.NewLoader(again.Memory, &again.filter)
		covered := func() (count int) {
			for _, run := range again.levels.Tree(storage.TreeTransferID).Runs() {
				if run.IsCovered() {
					count++
				}
			}
			return count
		}
		again.OnBreath = func() {
			before := covered()
			for range random.IntN(3) {
				if !again.levels.CoverStep(again.Grid, &loader) {
					again.Grid.Poll()
				}
			}
			flips += covered() - before
		}
		again.rows.ahead.breath = askBreath{events: 1 + random.IntN(40), lookups: 1 + random.IntN(100)}
		states := map[accounting.U128]accounting.TransferState{}
		for _, row := range w.transfers[:transfers] {
			states[row.Transfer.ID] = accounting.TransferExists
		}
		for _, id := range w.dead[:dead] {
			states[id] = accounting.TransferDead
		}
		for again.levels.IsCovering() {
			body := make([]accounting.Transfer, 1+random.IntN(int(w.Limits.OpEventsMax())))
			for i := range body {
				switch random.IntN(4) {
				case 0:
					body[i].ID = w.id()
				case 1:
					body[i].ID = w.dead[random.IntN(dead)]
				case 2:
					body[i].ID = body[random.IntN(i+1)].ID
				default:
					body[i].ID = w.transfers[random.IntN(transfers)].Transfer.ID
				}
			}
			again.rows.Lookahead(bytesOf(body))
			for i := range body {
				want, ok := states[body[i].ID]
				if !ok {
					want = accounting.TransferAbsent
				}
				if _, state := again.rows.TransferFind(body[i].ID); state != want {
					t.Fatalf("id %v has state %d, want %d", body[i].ID, state, want)
				}
			}
			again.rows.Lookahead(nil)
			batches++
		}
	}
	if flips < 20 || batches < 8 {
		t.Errorf("%d runs became covered in the middle of %d batches: the test shows little", flips, batches)
	}
}

// Goal: events of a batch are found by their own places, however many of them are refused before
// they are looked for: none, some, up to a whole chunk and more, at every place. Stored ids and new
// ones come in turn, so that a place beside the right one gives a wrong answer.
func TestAheadAfterRefusals(t *testing.T) {
	random := seeded.Rand(t)
	w := filled(t, random, 20)
	w.install()
	w.plan(false)
	again := w.reopened() // all ids are in trees
	for _, size := range []int{1, 2, aheadEvents - 1, aheadEvents, aheadEvents + 1, 2*aheadEvents + aheadSkip, 5 * aheadEvents} {
		for _, refused := range []int{0, 1, aheadSkip - 1, aheadSkip, aheadSkip + 1, aheadEvents - 1, aheadEvents, aheadEvents + aheadSkip} {
			for _, from := range []int{0, 1, aheadEvents - 1, aheadEvents, aheadEvents + 3} {
				batch := make([]accounting.Transfer, size)
				for i := range batch {
					batch[i].ID, batch[i].CreditAccountID = w.id(), w.id()
					if i%3 == 0 {
						batch[i].ID = w.transfers[random.IntN(len(w.transfers))].Transfer.ID
					}
					batch[i].DebitAccountID = w.accounts[random.IntN(len(w.accounts))].ID
				}
				again.rows.Lookahead(bytesOf(batch))
				for i := range batch {
					if i >= from && i < from+refused {
						continue
					}
					want := accounting.TransferAbsent
					if i%3 == 0 {
						want = accounting.TransferExists
					}
					if _, state := again.rows.TransferFind(batch[i].ID); state != want {
						t.Fatalf("event %d of %d, behind %d refused ones from %d on, has state %d, want %d", i, size, refused, from, state, want)
					}
					if got, _ := again.rows.TransferFind(w.transfers[0].Transfer.ID); got != 0 { // of another one, as a pending transfer's
						t.Fatalf("a transfer that is none of the batch is %d", got)
					}
					var account accounting.Account
					if _, ok := again.rows.AccountFind(batch[i].DebitAccountID, &account); !ok || account.ID != batch[i].DebitAccountID {
						t.Fatalf("account %v of event %d is %v (%v)", batch[i].DebitAccountID, i, account.ID, ok)
					}
				}
				again.rows.Lookahead(nil)
			}
		}
	}
}

// Goal: the bodies of requests are as many ids or events as are whole in them; none ends the
// request.
func TestBodiesOfRequests(t *testing.T) {
	w := newWorld(t, seeded.Rand(t))
	body := make([]byte, 1<<10)
	for _, c := range []struct{ bytes, ids, events int }{
		{0, 0, 0}, {1, 0, 0}, {15, 0, 0}, {16, 1, 0}, {17, 1, 0}, {32, 2, 0}, {127, 7, 0}, {128, 8, 1}, {129, 8, 1}, {1 << 10, 64, 8},
	} {
		w.rows.LookupTransfers(body[:c.bytes])
		if l := w.rows.lookups; len(l.ids) != c.ids || l.kind != warmRow {
			t.Errorf("%d bytes are %d ids of kind %d, want %d", c.bytes, len(l.ids), l.kind, c.ids)
		}
		w.rows.LookupAccounts(body[:c.bytes])
		if l := w.rows.lookups; len(l.ids) != c.ids || l.kind != warmAccount {
			t.Errorf("%d bytes are %d ids of kind %d, want %d", c.bytes, len(l.ids), l.kind, c.ids)
		}
		w.rows.Lookahead(body[:c.bytes])
		if a := &w.rows.ahead; len(a.chunk)+len(a.rest) != c.events {
			t.Errorf("%d bytes are %d events, want %d", c.bytes, len(a.chunk)+len(a.rest), c.events)
		}
		for _, end := range []func([]byte){w.rows.LookupTransfers, w.rows.LookupAccounts, w.rows.Lookahead} {
			end(nil)
		}
		if len(w.rows.lookups.ids)+len(w.rows.ahead.chunk)+len(w.rows.ahead.rest) != 0 {
			t.Error("a request has ended, and some of it is left")
		}
	}
}
