package consensus

import (
	"fmt"
	"testing"

	"ledger/internal/seeded"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// Goal: whatever changes while a superblock is being written, each write is the one before it and
// all changes until it began, and nothing else; every change is durable at last; one write is under
// way at a time. A plain copy of the superblock, to which each change is made at once, says what
// should be.
func TestSuperblockMerge(t *testing.T) {
	random := seeded.Rand(t)
	changes, merged := 0, 0
	for range 300 {
		want := datafile.Superblock{Sequence: 1, View: 3, LogView: 3, CommitMax: 10, Incarnation: 9, SessionsMax: 4}
		want.Checkpoint = storage.Checkpoint{Op: 31, ParentID: wire.Checksum{1}}
		checksum := wire.Checksum{7}
		w := newSuperblocks(&want, checksum)
		durable := want
		var writing datafile.Superblock
		isWriting, hasCheckpoint, sinceBegin := false, false, 0
		for range 60 {
			switch random.IntN(7) {
			case 0:
				want.View += uint32(random.IntN(3))
				w.setView(want.View)
				sinceBegin++
			case 1:
				log := durableLog{logView: want.LogView + uint32(random.IntN(int(want.View-want.LogView)+1)),
					headersCount: uint8(random.IntN(datafile.HeadersMax + 1))}
				if random.IntN(2) == 0 {
					log.headers[0][5], log.uncertain[3] = byte(random.IntN(256)), byte(random.IntN(256))
				}
				want.LogView, want.HeadersCount, want.Headers, want.Uncertain = log.logView, log.headersCount, log.headers, log.uncertain
				// The view that a log belongs to is never behind it, in any write.
				w.setView(want.View)
				w.setLog(&log)
				sinceBegin++
			case 2:
				if hasCheckpoint {
					break // the next one is not on disk before this one is durable
				}
				hasCheckpoint = true
				prepareChecksum := wire.Checksum{byte(random.IntN(256))}
				c := storage.Checkpoint{Op: want.Checkpoint.Op + 16, BlocksHigh: random.Uint64(), PrepareChecksum: wire.Checksum{200}}
				w.setCheckpoint(&c, prepareChecksum, c.Members)
				c.PrepareChecksum, c.ParentID = prepareChecksum, datafile.CheckpointID(&durable.Checkpoint)
				want.Checkpoint = c
				sinceBegin++
			case 3:
				want.SyncOpMin, want.SyncOpMax = uint64(random.IntN(3)), uint64(random.IntN(9))
				w.setSync(want.SyncOpMin, want.SyncOpMax)
				sinceBegin++
			case 4, 5:
				commitMax := uint64(random.IntN(100))
				next := w.begin(commitMax)
				if (next != nil) != (!isWriting && sinceBegin > 0) {
					t.Fatalf("a write begins: %v; under way: %v, changes: %d", next != nil, isWriting, sinceBegin)
				}
				if next == nil {
					break
				}
				want.Sequence, want.Parent, want.CommitMax = durable.Sequence+1, checksum, max(durable.CommitMax, commitMax)
				if *next != want {
					t.Fatalf("what is written is\n%s, want\n%s", brief(next), brief(&want))
				}
				changes, merged = changes+1, merged+sinceBegin
				writing, isWriting, sinceBegin = *next, true, 0
			case 6:
				if !isWriting {
					break
				}
				if w.next != writing {
					t.Fatal("the superblock changed while it was being written")
				}
				checksum = wire.Checksum{byte(random.IntN(256))}
				isNew := writing.Checkpoint != durable.Checkpoint
				if got := w.done(writing.Sequence, checksum); got != isNew {
					t.Fatalf("a checkpoint became durable: %v, want %v", got, isNew)
				}
				hasCheckpoint = hasCheckpoint && !isNew
				durable, isWriting = writing, false
			}
			if *w.now() != durable || w.checkpointID() != datafile.CheckpointID(&durable.Checkpoint) {
				t.Fatalf("durable is\n%s, want\n%s", brief(w.now()), brief(&durable))
			}
		}
		// All of it is durable at last.
		for {
			if isWriting {
				w.done(w.next.Sequence, checksum)
			}
			if next := w.begin(0); next == nil {
				break
			}
			isWriting = true
		}
		want.Sequence, want.Parent, want.CommitMax = w.now().Sequence, w.now().Parent, w.now().CommitMax
		if *w.now() != want {
			t.Fatalf("at the end, durable is\n%s, want\n%s", brief(w.now()), brief(&want))
		}
	}
	if merged < changes*3/2 {
		t.Errorf("%d writes had %d changes: hardly anything was merged", changes, merged)
	}
}

// brief is a superblock without the bytes of its headers.
func brief(s *datafile.Superblock) string {
	return fmt.Sprintf("sequence %d of parent %v: view %d, log view %d with %d headers %v and uncertain %v, commit max %d, "+
		"checkpoint %d of %v, sync %d to %d", s.Sequence, s.Parent, s.View, s.LogView, s.HeadersCount, s.Headers[0][5],
		s.Uncertain[3], s.CommitMax, s.Checkpoint.Op, s.Checkpoint.PrepareChecksum, s.SyncOpMin, s.SyncOpMax)
}

// Goal: what would undo a durable promise is found: views and log views never go back, and a
// checkpoint is durable before the next one is on disk.
func TestSuperblockAssertions(t *testing.T) {
	for name, wrong := range map[string]func(w *superblocks){
		"a view before the durable one":               func(w *superblocks) { w.setView(2) },
		"a view before the pending one":               func(w *superblocks) { w.setView(7); w.setView(6) },
		"a view before the one that is being written": func(w *superblocks) { w.setView(7); w.begin(0); w.setView(6) },
		"a log view before the durable one":           func(w *superblocks) { w.setLog(&durableLog{logView: 1}) },
		"a log view behind its view":                  func(w *superblocks) { w.setLog(&durableLog{logView: 4}); w.begin(0) },
		"two checkpoints": func(w *superblocks) {
			w.setCheckpoint(&storage.Checkpoint{Op: 47}, wire.Checksum{}, prepare.Members{})
			w.begin(0)
			w.setCheckpoint(&storage.Checkpoint{Op: 63}, wire.Checksum{}, prepare.Members{})
		},
		"the end of another write": func(w *superblocks) { w.setView(7); w.begin(0); w.done(9, wire.Checksum{}) },
		"the end of no write":      func(w *superblocks) { w.done(2, wire.Checksum{}) },
	} {
		w := newSuperblocks(&datafile.Superblock{Sequence: 1, View: 3, LogView: 3}, wire.Checksum{})
		if !panics(func() { wrong(&w) }) {
			t.Errorf("%s: nobody notices", name)
		}
	}
}

// Goal: a list that reaches down to the op from which the log was opened, of which only the
// checksum is known, ends above it.
func TestListEndsAboveTheBase(t *testing.T) {
	b := newLogBench(t, 100, 104)
	list, ok := vsr.StartList(&b.log, 104, 103)
	if !ok || list.Lowest() != 100 {
		t.Fatalf("the list does not reach the base: %v, op %d", ok, list.Lowest())
	}
	var raw durableLog
	raw.fill(&list, 3, testCluster, &b.log, &views{})
	written := raw.list()
	if list.Count != 4 || list.Lowest() != 101 || written.Count != 4 || written.Lowest() != 101 {
		t.Fatalf("%d headers, the lowest is of op %d", list.Count, list.Lowest())
	}
}
