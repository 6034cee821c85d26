package apply

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Goal: who compacts, and how fast, shows nowhere. The same log, executed with one worker, with
// four, and with workers that get a turn very seldom, leaves the same data file: every byte of the
// grid zone, blocks that nobody names any more included, at the end and at every checkpoint, and
// the same roots of every checkpoint.
func TestWorkersLeaveNoTrace(t *testing.T) {
	ops := 900
	if testing.Short() {
		ops = 300
	}
	random := seeded.Rand(t)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	var messages [][]byte
	for range ops {
		message, _ := source.next()
		messages = append(messages, bytes.Clone(message))
	}
	var first []trace
	paced := uint64(0)  // ops that waited within a bar, where workers get a turn very seldom
	helped := uint64(0) // entries that were flushed by workers behind the first, which get nothing while it keeps up
	for _, c := range []struct {
		workers uint32
		weights []int // of apply, and of the workers
	}{
		{1, []int{1, 1}},
		{1, []int{200, 1}},
		{2, []int{1, 50, 1}},
		{4, []int{1, 1, 1, 1, 1}},
		{4, []int{1, 100, 1, 100, 3}},
		{4, []int{400, 1, 1, 1, 1}},
	} {
		name := fmt.Sprintf("%d workers, turns %v", c.workers, c.weights)
		l := tiny()
		l.CompactWorkers = c.workers
		b, err := newBench(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{})
		if err != nil {
			t.Fatal(err)
		}
		b.weights = c.weights
		traces, merged := b.leave(messages), uint64(0)
		for i, worker := range b.compact {
			merged += worker.Statistics().EntriesMerged
			if i > 0 {
				helped += worker.Statistics().EntriesFlushed
			}
		}
		paced += b.apply.measures.barrierNs[BarrierPace].Count()
		b.stop()
		if merged == 0 || len(traces) < 4 {
			t.Fatalf("%s: %d entries merged, %d checkpoints: the test shows little", name, merged, len(traces)-1)
		}
		if first == nil {
			first = traces
			continue
		}
		if len(traces) != len(first) {
			t.Fatalf("%s: %d checkpoints, want %d", name, len(traces)-1, len(first)-1)
		}
		for i := range traces {
			if traces[i].checkpoint != first[i].checkpoint {
				t.Errorf("%s: checkpoint of op %d differs", name, first[i].op)
			}
			if at := differsAt(traces[i].grid, first[i].grid); at >= 0 {
				t.Fatalf("%s: the grid after op %d differs at block %d", name, first[i].op, 1+at/int(l.BlockBytes))
			}
		}
	}
	if paced == 0 {
		t.Error("no op waited for compaction that was behind: the test shows little")
	}
	if helped == 0 {
		t.Error("the first worker did all: the test shows little")
	}
}

// trace is the data file after an op of which everything has been compacted.
type trace struct {
	op         uint64
	checkpoint wire.Checksum
	grid       []byte
}

// leave executes the log, and takes a trace at the end and after each bar's end that follows a new
// checkpoint.
func (b *bench) leave(messages [][]byte) (traces []trace) {
	b.t.Helper()
	take := func() {
		for !b.apply.dealer.isBack() || b.apply.checkpointOut {
			b.turn()
		}
		traces = append(traces, trace{b.op, wire.Checksum(datafile.CheckpointID(&b.newest)), bytes.Clone(b.file.data[gridAt:])})
	}
	taken := uint64(0)
	for _, message := range messages {
		b.commit(message, false)
		if b.fault != nil {
			b.t.Fatal(b.fault)
		}
		if b.limits.IsBarEnd(b.op) && b.limits.IsTrigger(b.op) && taken != b.op {
			for b.apply.newest == taken { // the bar's end may wait behind the op
				b.turn()
			}
			taken = b.apply.newest
			take()
		}
	}
	take()
	return traces
}

// differsAt returns the first index at which two files differ; what one is longer is zeros. -1:
// nowhere.
func differsAt(a, b []byte) int {
	for i := range max(len(a), len(b)) {
		if i < len(a) && a[i] != 0 && i >= len(b) || i < len(b) && b[i] != 0 && i >= len(a) || i < len(a) && i < len(b) && a[i] != b[i] {
			return i
		}
	}
	return -1
}
