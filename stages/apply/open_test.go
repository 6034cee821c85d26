package apply

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/accounting/storetest"
	"ledger/internal/ports"
	"ledger/internal/portstest"
	"ledger/internal/seeded"
	"ledger/stages"
	"ledger/storage"
)

// Goal: a replica that goes back to its newest checkpoint again and again, while a request is
// executed, a bar ends or compact has jobs, and executes the ops behind it again, gives the replies
// and ends with the bytes of one that never does.
func TestReopenLeavesNoTrace(t *testing.T) {
	ops := 600
	if testing.Short() {
		ops = 250
	}
	random := seeded.Rand(t)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	var messages [][]byte
	for range ops {
		message, _ := source.next()
		messages = append(messages, bytes.Clone(message))
	}
	l := tiny()
	l.CompactWorkers = 2
	makeBench := func() *bench {
		b, err := newBench(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	straight, again := makeBench(), makeBench()
	var want [][]byte
	for _, message := range messages {
		want = append(want, straight.frames(message))
	}
	reopened, inJobs := 0, 0
	for again.op < uint64(ops) {
		if got := again.frames(messages[again.op]); !bytes.Equal(got, want[again.op-1]) {
			t.Fatalf("op %d: the replies differ", again.op)
		}
		if random.IntN(20) > 0 || again.newest.Op == 0 || again.op == uint64(ops) {
			continue
		}
		slot := again.slots.Get(stages.SlotPrepare)
		if random.IntN(4) > 0 { // in the middle of an op
			copy(again.slots.Bytes(slot), messages[again.op])
			again.push(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: slot, ReplySlot: stages.SlotNone, Op: again.op + 1})
			for range random.IntN(8) {
				again.turn()
			}
		}
		if !again.apply.dealer.isIdle() {
			inJobs++
		}
		again.reopen(again.newest)
		again.slots.Put(slot)
		reopened++
	}
	for _, b := range []*bench{straight, again} {
		for b.apply.Ending() || !b.apply.Settled() {
			b.turn()
		}
	}
	if straight.newest != again.newest {
		t.Errorf("the newest checkpoints are of ops %d and %d, or differ", straight.newest.Op, again.newest.Op)
	}
	if at := differsAt(straight.file.data[gridAt:], again.file.data[gridAt:]); at >= 0 {
		t.Errorf("the grid differs at block %d", 1+at/int(l.BlockBytes))
	}
	if reopened < 3 || inJobs == 0 && !testing.Short() { // a short run has too few bars for both
		t.Errorf("reopened %d times, %d times while compact had jobs: the test shows little", reopened, inJobs)
	}
	t.Logf("reopened %d times, %d times while compact had jobs", reopened, inJobs)
}

// Goal: the slot of a prepare that consensus lends between a fault and the reopening comes back.
func TestSequencedAfterAFault(t *testing.T) {
	random := seeded.Rand(t)
	b, err := newBench(t, tiny(), random, &file{}, storage.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	message, _ := source.next()
	b.apply.faulted = true
	b.sequence(message, b.op)
	b.drivers[0].Turn(0, 0)
	var answers [8]stages.ApplyToConsensus
	for _, answer := range answers[:b.fromApply.Pop(answers[:])] {
		if answer.Kind == stages.ApplySequencedDone && answer.Slot == b.sequenced {
			b.forget()
		}
	}
	if b.sequenced != stages.SlotNone {
		t.Fatal("the slot that was lent after the fault does not come back")
	}
	b.reopen(b.newest)
	if b.commit(message, true); b.fault != nil {
		t.Fatal(b.fault)
	}
}

// frames commits a prepare and returns its replies without the gaps between them.
func (b *bench) frames(message []byte) []byte {
	replies := b.commit(message, true)
	if b.fault != nil {
		b.t.Fatal(b.fault)
	}
	return b.framesOf(replies)
}

// framesOf returns the replies of the op that was committed last without the gaps between them.
func (b *bench) framesOf(replies []byte) (frames []byte) {
	if b.fault != nil {
		return nil
	}
	for _, reply := range b.committed.Replies {
		frames = append(frames, replies[reply.OffsetBytes:][:reply.Bytes]...)
	}
	return frames
}

// Goal: a replica whose compact met a fault of the disk, and that then opens its newest checkpoint
// again, goes on as if nothing had been: every reply, and every byte of the file at the end. The
// fault of a sync stays one, because what is on the medium is unknown.
func TestReopenAfterFault(t *testing.T) {
	random := seeded.Rand(t)
	seed := random.Uint64()
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	var messages [][]byte
	const opsCount = 150
	for range opsCount {
		message, _ := source.next()
		messages = append(messages, bytes.Clone(message))
	}
	// run executes all messages, and opens the newest checkpoint again after the first fault. early
	// is what the disk had done some bars before the end: a fault of the last jobs would only be met
	// when the bar behind them ends.
	run := func(m portstest.Mishap, workers uint32) (early [portstest.KindsCount]int, replies [][]byte, met int, f *file) {
		plan := portstest.Plan{Mishap: m}
		replies, f = make([][]byte, opsCount), &file{}
		l := tiny()
		l.CompactWorkers = workers
		b, err := newBenchOver(t, l, rand.New(rand.NewPCG(seed, 1)), f, storage.Checkpoint{}, func(d ports.Disk) ports.Disk {
			return portstest.NewMishapDisk(d, &plan)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.stop()
		for turns := 0; b.op < opsCount || b.apply.Ending() || !b.apply.Settled(); turns++ {
			if b.op == opsCount-12 {
				early = plan.Counts
			}
			if at := b.op; at < opsCount {
				if frames := b.framesOf(b.commit(messages[at], true)); b.fault == nil {
					replies[at] = frames
				}
			} else {
				b.turn()
			}
			if turns > 100_000 {
				t.Fatalf("%v: it never settles", m)
			}
			if b.fault == nil {
				continue
			}
			if met++; met > 1 {
				break
			}
			b.fault = nil
			for turns := 0; b.sequenced != stages.SlotNone; turns++ {
				if b.turn(); turns > 100_000 {
					t.Fatalf("%v: a slot never comes back", m)
				}
			}
			b.reopen(b.newest)
		}
		return early, replies, met, f
	}
	calm, want, met, straight := run(portstest.Mishap{}, 1)
	if met != 0 {
		t.Fatal("a fault without a mishap")
	}
	faults := 0
	portstest.Mishaps(calm, 8, func(portstest.Kind) unix.Errno { return unix.EIO }, func(m portstest.Mishap) {
		if m.Kind == portstest.KindRead || m.How == portstest.Delay {
			return // mended, or nothing goes wrong
		}
		_, replies, met, f := run(m, 1+uint32(m.Nth)%2)
		faults += met
		if m.Kind == portstest.KindSync {
			if met != 2 {
				t.Errorf("%v: %d faults, want another one behind the failed sync", m, met)
			}
			return
		}
		if met != 1 {
			t.Errorf("%v: %d faults, want 1", m, met)
			return
		}
		for op := range replies {
			if !bytes.Equal(replies[op], want[op]) {
				t.Fatalf("%v: the replies of op %d differ", m, op+1)
			}
		}
		if !bytes.Equal(f.data, straight.data) {
			t.Errorf("%v: the file has other bytes", m)
		}
	})
	if faults < 4 {
		t.Errorf("%d faults: the test shows little", faults)
	}
}

// Goal: the checkpoint that a running replica opens has no duration of its own: that of the last
// one that was written is not told as its.
func TestOpenedCheckpointHasNoDuration(t *testing.T) {
	random := seeded.Rand(t)
	b, err := newBench(t, tiny(), random, &file{}, storage.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	b.onTurn = func() { b.nowNs += 1000 }
	for b.newest.Op == 0 || !b.apply.Settled() {
		message, _ := source.next()
		b.commit(message, true)
	}
	for b.apply.durable != b.newest.Op {
		b.turn()
	}
	if op, durationNs := b.apply.CheckpointLast(); op != b.newest.Op || durationNs == 0 {
		t.Fatalf("checkpoint %d took %d ns, want one of op %d that took time", op, durationNs, b.newest.Op)
	}
	b.reopen(b.newest)
	if op, durationNs := b.apply.CheckpointLast(); op != b.newest.Op || durationNs != 0 {
		t.Errorf("the opened checkpoint %d took %d ns, want op %d and 0", op, durationNs, b.newest.Op)
	}
}
