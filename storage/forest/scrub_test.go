package forest

import (
	"math"
	"testing"

	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/block"
)

// Goal: a pass visits every table that a checkpoint names when the pass begins and that is in use
// until it ends, whatever the ops change meanwhile. A table that is visited lies on the disk. It is
// called live only while it does.
func TestScrubVisitsWhatIsInUse(t *testing.T) {
	random := seeded.Rand(t)
	l := tiny()
	l.StorageBytesMax *= 4
	w := newWorld(t, l, &memoryDisk{random: random}, storage.Checkpoint{})
	source := newTraffic(random)
	pair := storetest.NewPair(t, l, w.forest, random)
	buffer := make([]byte, l.BlockBytes)
	g := block.GeometryOf(l)
	isRight := func(b *storage.ScrubBlock) bool {
		return block.ReadBlock(w.disk, testGridOffset, &g, testCluster, b.Ref, buffer) == nil
	}
	named := func() map[storage.Ref]bool {
		refs := map[storage.Ref]bool{}
		for _, table := range tablesInUse(w.forest) {
			if w.forest.freeSet.Watch(table.Address-1) && w.forest.freeSet.IsWatched(table.Address) {
				refs[table.Ref] = true
			}
		}
		w.forest.scrub = scrub{} // the window is not the scrubber's any more
		return refs
	}
	passes, demanded := 0, 0
	begun, visited, after := named(), map[storage.Ref]bool{}, uint64(0)
	var last storage.ScrubBlock
	for range 3000 {
		request := source.next()
		pair.Execute(&request)
		w.ended()
		if last.Address > 0 && w.forest.ScrubIsLive(&last) && !isRight(&last) {
			t.Fatalf("op %d: block %d is called live, and is not what it was", w.op, last.Address)
		}
		for range random.IntN(12) {
			b, answer := w.forest.ScrubTable(after)
			switch answer {
			case storage.ScrubLater:
				w.forest.ScrubStep()
			case storage.ScrubFound:
				if !isRight(&b) || b.Address <= after || !w.forest.ScrubIsLive(&b) {
					t.Fatalf("op %d: after %d comes block %d, which is not there", w.op, after, b.Address)
				}
				visited[b.Ref], after, last = true, b.Address, b
			case storage.ScrubEnd:
				for _, table := range tablesInUse(w.forest) {
					if begun[table.Ref] {
						demanded++
						if !visited[table.Ref] {
							t.Fatalf("op %d: the pass has not visited block %d of tree %d", w.op, table.Address, table.Tree)
						}
					}
				}
				passes++
				begun, visited, after, last = named(), map[storage.Ref]bool{}, 0, storage.ScrubBlock{}
			}
		}
	}
	if passes < 5 || demanded < 100 {
		t.Errorf("%d passes, in which %d blocks had to be visited", passes, demanded)
	}
	_, answer := w.forest.ScrubTable(math.MaxUint64 - 64)
	for ; answer == storage.ScrubLater; _, answer = w.forest.ScrubTable(math.MaxUint64 - 64) {
		w.forest.ScrubStep() // the window before is still being read
	}
	if answer != storage.ScrubEnd {
		t.Errorf("behind the last address: answer %d", answer)
	}
}

// tablesInUse are the tables of all visible runs and of the log of rows.
func tablesInUse(f *Forest) (list []storage.Table) {
	list = append(list, f.keeper.Blocks()...)
	if partial := f.keeper.Partial(); !partial.IsZero() {
		list = append(list, partial)
	}
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		for _, run := range f.levels.Tree(id).Runs() {
			for i := range run.Count() {
				list = append(list, *run.Table(i))
			}
		}
	}
	return list
}
