package replica

import (
	"bytes"
	"os"
	"testing"
	"time"

	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/datafile"
)

// The same log leaves the same data file, whatever the number of compaction's threads and whatever
// they do first: the log is executed by the server that made it, with one worker, and then again
// from its first op by servers with one, four and eight, on an empty grid. The whole grid zone is
// compared, blocks that are free by now included, and the checkpoint of the superblock.
func TestWorkersWriteTheSame(t *testing.T) {
	l := limits.Development()
	l.JournalSlotsCount, l.BarOps, l.SlackOps = 256, 8, 16 // a checkpoint after 224 ops, of 28 bars: flushes, and merges of them
	l.MemtableRowsSeal, l.CacheGridBytes, l.CacheAccountsMax = 1024, 32<<20, 1<<16
	const checkpointOp, opsMax = 223, 250
	path := formatted(t, l)
	layout := datafile.NewLayout(&l)
	formattedBytes, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	superblocks := bytes.Clone(formattedBytes[:layout.TwinsAt])

	s := started(t, path, l, IOAuto)
	c := registered(t, s.address, 1)
	c.makeAccounts(1, 100)
	next := uint64(1)
	for op := uint64(3); op <= opsMax; op++ {
		c.makeTransfers(next, 200+op%50, 1+op%99, 100)
		next += 200 + op%50
	}
	wantGrid, wantCheckpoint := s.settled(path, l, checkpointOp)
	for _, workers := range []uint32{1, 4, 8} {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(superblocks, 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(int64(layout.GridAt)); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		l.CompactWorkers = workers
		s := started(t, path, l, IOAuto)
		grid, checkpoint := s.settled(path, l, checkpointOp)
		if checkpoint != wantCheckpoint {
			t.Errorf("%d workers: the checkpoint differs", workers)
		}
		if !bytes.Equal(grid, wantGrid) {
			t.Errorf("%d workers: %d bytes of the grid zone differ from %d", workers, len(grid), len(wantGrid))
		}
	}
}

// settled waits until compaction is done and the checkpoint durable, stops the server, and returns
// the grid zone and the checkpoint.
func (r *running) settled(path string, l limits.Limits, checkpointOp uint64) (grid []byte, checkpoint storage.Checkpoint) {
	r.t.Helper()
	var sample Sample
	for deadline := time.Now().Add(replyWithin); ; {
		r.server.Sample(&sample, time.Second)
		if sample.Apply.JobsWaiting == 0 && sample.Apply.DurableOp == checkpointOp {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d jobs wait, checkpoint %d is durable", sample.Apply.JobsWaiting, sample.Apply.DurableOp)
		}
	}
	merged := uint64(0)
	for worker := range sample.Compact {
		merged += sample.Compact[worker].EntriesMerged
	}
	if merged == 0 {
		r.t.Error("nothing was merged")
	}
	if last := len(sample.Compact) - 1; sample.Compact[min(last, 1)].JobNs.Count() == 0 { // those behind it may have had nothing to do
		r.t.Error("the first worker did all")
	}
	r.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	file, err := posix.OpenDataFile(path, posix.OpenOptions{DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		r.t.Fatal(err)
	}
	defer file.Close()
	memory := arena.New()
	defer memory.Close()
	superblock, err := datafile.OpenSuperblock(file, &l, memory.Bytes(uint64(l.MessageBytesMax), 4096, "scratch"))
	if err != nil {
		r.t.Fatal(err)
	}
	layout := datafile.NewLayout(&l)
	return whole[layout.GridAt:], superblock.Checkpoint
}
