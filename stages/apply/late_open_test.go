package apply

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/accounting/storetest"
	"ledger/internal/ports"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// lateTraffic is ops, many with queries, and the replies of the plain store.
type lateTraffic struct {
	messages [][]byte
	requests [][]accounting.Request
	wants    [][][]byte // nil for a pulse
}

func newLateTraffic(random *rand.Rand, l limits.Limits, ops int) (t lateTraffic) {
	machine, want := accounting.New(l, memory.New(64, 4096)), aligned(wire.BodyBytesMax)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random, queries: true}
	for range ops {
		message, requests := source.next()
		t.messages = append(t.messages, bytes.Clone(message))
		t.requests = append(t.requests, append([]accounting.Request{}, requests...))
		replies := make([][]byte, len(requests))
		for i := range requests {
			body := want[:machine.Execute(&requests[i], want)]
			if requests[i].Operation != wire.OperationPulse {
				replies[i] = append([]byte{}, body...)
			}
		}
		t.wants = append(t.wants, replies)
	}
	return t
}

// Goal: a replica that goes back to its newest checkpoint again and again while queries go on
// beside later ops, and executes the ops behind it again, gives the replies of the plain store,
// and ends with the bytes of one that never does and executes each query at once.
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

	traffic := newLateTraffic(random, l, ops)
	for _, message := range traffic.messages {
		straight.frames(message)
	}
	reopened, inQuery := 0, 0
	for again.op < uint64(ops) {
		at := again.op
		again.commitLate(traffic.messages[at], traffic.requests[at], traffic.wants[at])
		if again.late.missing == 0 || random.IntN(6) > 0 {
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
	if !testing.Short() && (reopened < 3 || inQuery == 0 || dropped == 0) { // a short run may reopen seldom
		t.Error("the test shows little")
	}
}

// Goal: a query beside later ops that needs a damaged block waits for it as an op does, and goes on
// when the copy of another replica is there, although nothing else happens then. The replies are
// those of the plain store, whatever is damaged.
func TestLateQueriesWaitForRepairs(t *testing.T) {
	random := seeded.Rand(t)
	ops := 400
	if testing.Short() {
		ops = 200
	}
	l := tiny()
	l.InlineReplyBytes, l.QuerySliceRows, l.QueryPauseSteps = 0, 1+random.Uint32N(3), random.Uint32N(4)
	traffic, books := newLateTraffic(random, l, ops), newLibrary(l)
	sound, err := newBenchOver(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), &file{}, storage.Checkpoint{},
		func(d ports.Disk) ports.Disk { return listener{d, books} })
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range traffic.messages {
		sound.frames(message)
	}
	sound.settle()
	l.ReplicasCount, l.CacheGridBytes = 3, uint64(l.PageBytes)*32
	h, wear := newHealer(t, random, books), harm{file: &file{}}
	b, err := newBenchAmong(t, l, rand.New(rand.NewPCG(random.Uint64(), 0)), wear.file, storage.Checkpoint{},
		func(d ports.Disk) ports.Disk { return d }, h)
	if err != nil {
		t.Fatal(err)
	}
	b.late, b.answersMax = &lateReplies{ops: map[uint64]*lateOp{}}, 1
	inQuery := 0
	for at := range ops {
		b.commitLate(traffic.messages[at], traffic.requests[at], traffic.wants[at])
		wear.sectors(random, 1+random.IntN(4), 512)
		if b.late.missing == 0 || random.IntN(3) > 0 {
			continue
		}
		repaired := h.counts[stages.RepairWritten]
		for turns := 0; b.late.missing > 0; turns++ {
			if b.turn(); turns > 1_000_000 {
				t.Fatalf("op %d: a reply never comes", b.op)
			}
		}
		inQuery += h.counts[stages.RepairWritten] - repaired
	}
	s := b.apply.Statistics()
	t.Logf("%d late queries, %d blocks repaired, %d of them while nothing but a query went on", s.QueriesLate,
		h.counts[stages.RepairWritten], inQuery)
	if s.QueriesBehind == 0 || inQuery == 0 {
		t.Error("the test shows little")
	}
}
