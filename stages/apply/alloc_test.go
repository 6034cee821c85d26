package apply

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// Goal: executing ops, their replies, late ones and bars' ends included, allocates nothing, with
// and without other replicas.
func TestNoAllocation(t *testing.T) {
	for _, replicas := range []uint32{1, 3} {
		testNoAllocation(t, replicas)
	}
}

func testNoAllocation(t *testing.T, replicas uint32) {
	l := limits.Production()
	l.ReplicasCount = replicas
	l.CacheGridBytes, l.CacheAccountsMax = 1<<20, 1<<10
	memory := arena.New()
	defer memory.Close()
	slots := &stages.Slots{}
	for class := range slots.Pools {
		slots.Pools[class] = arena.NewPool(memory, 2, uint64(l.MessageBytesMax), "slots")
	}
	f := &file{}
	s := New(l, cluster, slots, storage.Checkpoint{}, gridAt, &disk{file: f, random: seeded.Rand(t)}, memory)
	defer s.Stop()
	slot, replySlot := slots.Get(stages.SlotPrepare), slots.Get(stages.SlotReply)
	message := slots.Bytes(slot)
	clock, op := uint64(1_700_000_000_000_000_000), uint64(0)
	out := NewActions(1)
	events := make([]Event, 1)
	id := uint64(0)
	run := func(operation wire.Operation, bodyBytes int) {
		op++
		clock += 1_000_000
		fields := prepare.Fields{Cluster: cluster, Op: op, Timestamp: clock, RequestLimit: 1 << 20, RequestsCount: 1,
			Command:   prepare.CommandPrepare,
			Operation: operation, Client: wire.U128{Lo: 9}, Request: uint32(op), Release: 1, SizeBytes: uint32(prepare.HeaderBytes + bodyBytes)}
		prepare.Put(message, &fields, prepare.Sum(message[prepare.HeaderBytes:prepare.HeaderBytes+bodyBytes]))
		events[0] = Event{Kind: EventCommit, Slot: slot, ReplySlot: replySlot, MayBeLate: true, Op: op}
		for news, more := events, true; more; news, more = nil, out.More {
			out.Reset()
			s.Step(0, news, &out)
		}
		if s.Op() != op {
			t.Fatalf("op %d is not executed", op)
		}
	}
	const count = 100
	put := func(i int, record []byte) { copy(message[prepare.HeaderBytes+i*128:], record) }
	for i := range count {
		put(i, bytesOf(&accounting.Account{ID: wire.U128{Lo: uint64(i) + 1}, Ledger: 1, Code: 1}))
	}
	run(wire.OperationCreateAccountsUnbatched, count*128)
	transfers := func() {
		for i := range count {
			id++
			put(i, bytesOf(&accounting.Transfer{ID: wire.U128{Lo: id}, DebitAccountID: wire.U128{Lo: uint64(i) + 1},
				CreditAccountID: wire.U128{Lo: (uint64(i)+1)%count + 1}, Amount: wire.U128{Lo: 1}, Ledger: 1, Code: 1}))
		}
		run(wire.OperationCreateTransfersUnbatched, count*128)
		put(0, bytesOf(&accounting.AccountFilter{AccountID: wire.U128{Lo: 1}, Limit: 8000,
			Flags: accounting.FilterDebits | accounting.FilterCredits}))
		run(wire.OperationGetAccountTransfersUnbatched, 128)
	}
	transfers()
	if allocs := testing.AllocsPerRun(200, transfers); allocs != 0 {
		t.Fatalf("an op allocates %.1f times, want 0", allocs)
	}
	if late := s.Statistics().QueriesLate; late == 0 || s.late.count > 0 {
		t.Fatalf("%d late queries of %d replicas, %d have not ended", late, replicas, s.late.count)
	}
	if got := s.forest.TransfersCount(); got != 202*count {
		t.Fatalf("%d transfers, want %d", got, 202*count)
	}
}
