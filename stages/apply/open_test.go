package apply

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting/storetest"
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
	if reopened < 3 || inJobs == 0 {
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
func (b *bench) frames(message []byte) (frames []byte) {
	replies := b.commit(message, true)
	if b.fault != nil {
		b.t.Fatal(b.fault)
	}
	for _, reply := range b.committed.Replies {
		frames = append(frames, replies[reply.OffsetBytes:][:reply.Bytes]...)
	}
	return frames
}
