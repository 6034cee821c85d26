package apply

import (
	"bytes"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/accounting/storetest"
	"ledger/internal/portstest"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// lateReplies is what a test knows of the ops whose replies may be late.
type lateReplies struct {
	ops                  map[uint64]*lateOp
	missing, mostMissing int
}

// lateOp is an op with late replies.
type lateOp struct {
	slot    stages.Slot
	missing map[uint32][]byte // by position: the body that is wanted
	times   map[uint32]uint64 // the timestamp
}

func (l *lateReplies) take(b *bench, answer *stages.ApplyToConsensus) {
	b.t.Helper()
	op := l.ops[answer.Op]
	if op == nil {
		b.t.Fatalf("a reply of op %d comes late, and none is missing", answer.Op)
	}
	want, ok := op.missing[answer.Position]
	if !ok {
		b.t.Fatalf("op %d: reply %d comes late, and is not missing", answer.Op, answer.Position)
	}
	reply := b.slots.Bytes(op.slot)[answer.Late.OffsetBytes:][:answer.Late.Bytes]
	header := wire.HeaderOf(reply)
	if got := reply[wire.HeaderBytes:]; !bytes.Equal(got, want) {
		b.t.Fatalf("op %d, late reply %d: %x\nwant %x", answer.Op, answer.Position, got, want)
	}
	if header.ReplyOp() != answer.Op || header.ReplyTimestamp() != op.times[answer.Position] ||
		header.Checksum() != header.ComputeChecksum() || answer.Late != stages.ReplyOf(header, answer.Late.OffsetBytes) {
		b.t.Fatalf("op %d, late reply %d: the header is wrong", answer.Op, answer.Position)
	}
	if delete(op.missing, answer.Position); len(op.missing) == 0 {
		delete(l.ops, answer.Op)
		b.slots.Put(op.slot)
	}
	l.missing--
}

// commitLate commits a prepare whose replies may be late, and checks those that are not. The others
// are checked when they come. wants are the bodies of the replies, nil for a pulse.
func (b *bench) commitLate(message []byte, requests []accounting.Request, wants [][]byte) {
	b.t.Helper()
	slot, replySlot := b.slots.Get(stages.SlotPrepare), b.slots.Get(stages.SlotReply)
	for replySlot == stages.SlotNone { // late replies have them all
		b.turn()
		replySlot = b.slots.Get(stages.SlotReply)
	}
	copy(b.slots.Bytes(slot), message)
	b.op++
	b.push(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: slot, ReplySlot: replySlot, Op: b.op, MayBeLate: true})
	b.waiting = true
	for turns := 0; b.waiting; turns++ {
		if b.turn(); turns > 1_000_000 {
			b.t.Fatalf("op %d is never executed; %d replies are missing", b.op, b.late.missing)
		}
		if b.fault != nil {
			b.t.Fatal(b.fault)
		}
		if !b.waiting {
			b.executedLate(requests, wants, slot, replySlot)
		}
	}
}

// executedLate checks the replies of an op that are there. Its late replies may come with the next
// answer, so a turn takes one answer.
func (b *bench) executedLate(requests []accounting.Request, wants [][]byte, slot, replySlot stages.Slot) {
	portstest.Repeat(b.slots.Bytes(slot), []byte{0xff}) // the slot is another's now
	b.slots.Put(slot)
	op := &lateOp{slot: replySlot, missing: map[uint32][]byte{}, times: map[uint32]uint64{}}
	position := 0
	for i := range requests {
		if wants[i] == nil {
			continue
		}
		reply := b.committed.Replies[position]
		if reply.Bytes == 0 {
			op.missing[uint32(position)], op.times[uint32(position)] = wants[i], requests[i].Timestamp
		} else {
			got := b.slots.Bytes(replySlot)[reply.OffsetBytes+wire.HeaderBytes:][:reply.Bytes-wire.HeaderBytes]
			if !bytes.Equal(got, wants[i]) {
				b.t.Fatalf("op %d, request %d, %v: reply %x\nwant %x", b.op, i, requests[i].Operation, got, wants[i])
			}
		}
		position++
	}
	b.late.missing += len(op.missing)
	b.late.mostMissing = max(b.late.mostMissing, b.late.missing)
	if b.late.missing > stages.LateRepliesMax || len(op.missing) > 0 && b.limits.IsTrigger(b.op) {
		b.t.Fatalf("op %d: %d replies are missing", b.op, b.late.missing)
	}
	if len(op.missing) == 0 {
		b.slots.Put(replySlot)
		return
	}
	b.late.ops[b.op] = op
}

// Goal: whatever is executed between a query's op and the end of the query, flushes and checkpoints
// included, the reply is that of the plain store as of its op. No reply is missing at a trigger.
func TestLateRepliesAreThoseOfTheirOp(t *testing.T) {
	random := seeded.Rand(t)
	ops := 900
	if testing.Short() {
		ops = 600
	}
	l := tiny()
	l.CompactWorkers = 1 + random.Uint32N(4)
	l.InlineReplyBytes, l.QuerySliceRows, l.QueryPauseSteps = 0, 1+random.Uint32N(4), random.Uint32N(8)
	// From no page in memory at all to some; blocks that compaction has built stay in none of them
	// or in half. Bars end often, and seldom because something is sealed.
	l.CacheGridBytes = uint64(l.PageBytes) * (32 << random.Uint32N(4))
	l.CacheRecentPercent = []uint32{0, 25, limits.CacheRecentPercentMax}[random.IntN(3)]
	l.CacheAccountsMax = 8 << random.Uint32N(4)
	l.MemtableRowsSeal = 16 << random.Uint32N(4)
	b, err := newBench(t, l, random, &file{}, storage.Checkpoint{})
	if err != nil {
		t.Fatal(err)
	}
	b.late, b.answersMax = &lateReplies{ops: map[uint64]*lateOp{}}, 1
	machine := accounting.New(l, memory.New(64, 4096))
	want := aligned(wire.BodyBytesMax)
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random, queries: true}
	for range ops {
		message, requests := source.next()
		wants := make([][]byte, len(requests))
		for i := range requests {
			body := want[:machine.Execute(&requests[i], want)]
			if requests[i].Operation != wire.OperationPulse {
				wants[i] = append([]byte{}, body...)
			}
		}
		b.commitLate(message, requests, wants)
		if b.limits.IsTrigger(b.op) && b.late.missing > 0 {
			t.Fatalf("%d replies are missing at trigger op %d", b.late.missing, b.op)
		}
	}
	for b.late.missing > 0 {
		b.turn()
	}
	s := b.apply.Statistics()
	t.Logf("checkpoint %d, %d late replies, %d behind later ops, at most %d missing", b.newest.Op, s.QueriesLate, s.QueriesBehind,
		b.late.mostMissing)
	if b.newest.Op == 0 || int(s.QueriesBehind) < ops/50 || b.late.mostMissing < 3 {
		t.Error("the test shows little")
	}
}
