package apply

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/storage"
	"ledger/wire"
)

// Goal: a replica that goes back to its newest checkpoint again and again while queries go on beside
// later ops, and executes the ops behind it again, gives the replies of the plain store, and ends
// with the bytes of one that never does and executes each query at once.
func TestReopenDropsLateQueries(t *testing.T) {
	random := seeded.Rand(t)
	ops := 500
	if testing.Short() {
		ops = 250
	}
	l := tiny()
	l.CompactWorkers = 1 + random.Uint32N(4)
	l.InlineReplyBytes, l.QuerySliceRows, l.QueryPauseSteps = 0, 1+random.Uint32N(3), random.Uint32N(8)
	makeBench := func() *bench {
		b, err := newBench(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	straight, again := makeBench(), makeBench()
	again.late, again.answersMax = &lateReplies{ops: map[uint64]*lateOp{}}, 1

	machine, want := accounting.New(l, memory.New(64, 4096)), aligned(wire.BodyBytesMax)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random, queries: true}
	var messages [][]byte
	var requests [][]accounting.Request
	var wants [][][]byte
	for range ops {
		message, these := source.next()
		messages, requests = append(messages, bytes.Clone(message)), append(requests, append([]accounting.Request{}, these...))
		replies := make([][]byte, len(these))
		for i := range these {
			body := want[:machine.Execute(&these[i], want)]
			if these[i].Operation != wire.OperationPulse {
				replies[i] = append([]byte{}, body...)
			}
		}
		wants = append(wants, replies)
		straight.frames(message)
	}
	reopened, inQuery := 0, 0
	for again.op < uint64(ops) {
		at := again.op
		again.commitLate(messages[at], requests[at], wants[at])
		if again.late.missing == 0 || random.IntN(12) > 0 {
			continue
		}
		for range random.IntN(12) {
			again.turn()
		}
		if again.apply.late.inQuery {
			inQuery++
		}
		again.reopen(again.newest)
		for op, late := range again.late.ops {
			again.slots.Put(late.slot)
			delete(again.late.ops, op)
		}
		again.late.missing = 0
		reopened++
	}
	for _, b := range []*bench{straight, again} {
		for b.apply.Ending() || !b.apply.Settled() {
			b.turn()
		}
	}
	for again.late.missing > 0 {
		again.turn()
	}
	if straight.newest != again.newest {
		t.Errorf("the newest checkpoints are of ops %d and %d, or differ", straight.newest.Op, again.newest.Op)
	}
	if at := differsAt(straight.file.data[gridAt:], again.file.data[gridAt:]); at >= 0 {
		t.Errorf("the grid differs at block %d", 1+at/int(l.BlockBytes))
	}
	dropped := again.apply.Statistics().QueriesDropped
	t.Logf("reopened %d times, %d times in the middle of a query; %d queries were dropped", reopened, inQuery, dropped)
	if reopened < 3 || inQuery == 0 || dropped == 0 {
		t.Error("the test shows little")
	}
}
