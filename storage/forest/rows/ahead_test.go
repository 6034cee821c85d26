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
