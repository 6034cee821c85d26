package consensus

import (
	"slices"
	"testing"

	"ledger/prepare"
	"ledger/stages"
)

// lateOp is an op that was executed with all of its replies late, as apply has built them.
type lateOp struct {
	op      uint64
	replies []stages.Reply
}

// finishLate executes the oldest op that was given to apply, and leaves its replies for replied.
func (w *world) finishLate() (l lateOp) {
	w.t.Helper()
	c := w.commits[0]
	w.commits = w.commits[1:]
	if w.executed++; c.Op != w.executed || !c.MayBeLate {
		w.t.Fatalf("op %d is executed in the place of op %d; replies may be late: %v", c.Op, w.executed, c.MayBeLate)
	}
	slot := w.slots.Bytes(c.Slot)
	h := prepare.Header(slot[:256])
	l = lateOp{op: c.Op, replies: buildReplies(slot[:h.SizeBytes()], w.slots.Bytes(c.ReplySlot), nil)}
	done := stages.ApplyToConsensus{Kind: stages.ApplyCommitted, Op: c.Op, NextPulseNs: w.nextPulse(h.Timestamp())}
	for range l.replies {
		done.Replies = append(done.Replies, stages.Reply{Op: c.Op})
	}
	w.applyEvents = append(w.applyEvents, done)
	return l
}

// replied is apply's message of one late reply.
func (w *world) replied(l *lateOp, position int) {
	w.applyEvents = append(w.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyReplied, Op: l.op, Position: uint32(position),
		Late: l.replies[position]})
}

// Goal: while the only op that is not durable has all LateRepliesMax replies late, and apply has
// built them, they wait in their places, and nothing leaves. When it is durable they are sent, and
// each place is free for the next op. So there are never more of them than places.
func TestLateRepliesWaitForTheLog(t *testing.T) {
	w, clients := manyClients(t, 2*stages.LateRepliesMax)
	for half := range slices.Chunk(clients, stages.LateRepliesMax) {
		w.answers = nil
		for _, f := range half {
			if !w.receive(frame(f, make([]byte, 16))) {
				t.Fatal("the message would not pass net")
			}
		}
		for turns := 0; len(w.commits) == 0; turns++ {
			if w.turn(); turns > 100 {
				t.Fatal("no op is executed ahead of the log")
			}
		}
		done := w.finishLate()
		if len(done.replies) != stages.LateRepliesMax {
			t.Fatalf("%d requests share op %d", len(done.replies), done.op)
		}
		w.turn()
		for position := range done.replies {
			w.replied(&done, position)
		}
		w.turn()
		if len(w.sends) > 0 {
			t.Fatal("a reply is sent before its op is durable")
		}
		w.settle()
		w.checkQuiet()
		if len(w.answers) != len(half) || w.stage.late.count != 0 {
			t.Errorf("%d answers, want %d; %d are still late", len(w.answers), len(half), w.stage.late.count)
		}
	}
}
