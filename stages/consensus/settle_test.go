package consensus

import (
	"math/rand/v2"
	"testing"

	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// tailLimits tolerate few events in the log behind the checkpoint.
func tailLimits() limits.Limits {
	l := testLimits()
	l.TailEventsMax = 40
	return l
}

// create sends a request with this number of events and returns the one that may follow.
func (w *tester) create(f wire.RequestFields, events int) wire.RequestFields {
	w.t.Helper()
	f.Operation = wire.OperationCreateTransfersUnbatched
	h := w.ask(frame(f, make([]byte, limits.EventBytesMin*events)))
	if h == nil || h.Command() != wire.CommandReply {
		w.t.Fatalf("request %d of %v is not answered", f.Number, f.Client)
	}
	f.Number, f.Parent = f.Number+1, h.ReplyContext()
	return f
}

// answered is a replica that has answered so many requests of 10 events, and the request that may
// follow.
func answered(t *testing.T, l limits.Limits, requests int) (w *tester, f wire.RequestFields) {
	w = newTester(t, l)
	f = w.register(5)
	for range requests {
		f = w.create(f, 10)
	}
	return w, f
}

// eventsBehind is what the next start has to execute.
func (w *world) eventsBehind() (events uint64) {
	for op := w.superblock.Checkpoint.Op + 1; op <= w.head; op++ {
		events += uint64(len(w.log[op])-prepare.HeaderBytes) / limits.EventBytesMin
	}
	return events
}

// noops counts the no-ops of the log above an op.
func (w *world) noops(above uint64) (count int) {
	for op := above + 1; op <= w.head; op++ {
		if h := prepare.Header(w.log[op][:prepare.HeaderBytes]); h.Operation() == wire.OperationNoop && h.Client().IsZero() {
			count++
		}
	}
	return count
}

// Goal: a single replica that is about to end with much in its log takes a checkpoint first, with
// nothing but no-ops, and says only then that the process may end. The next start has nothing to
// execute but no-ops, has the same sessions, and serves.
func TestSettleBeforeTheEnd(t *testing.T) {
	l := tailLimits()
	for before := range 2 * int(l.CheckpointIntervalOps()) { // requests before: the head is anywhere between two triggers
		w, f := answered(t, l, before)
		wasLong, head := w.eventsBehind() > l.TailEventsMax, w.head
		w.leaves = true
		w.turn()
		if w.left == wasLong {
			t.Fatalf("%d requests: with %d events in the log the process may end at once: %v", before, w.eventsBehind(), w.left)
		}
		for turns := 0; !w.left; turns++ {
			if durable := w.superblock.Checkpoint.Op; w.eventsBehind() <= l.TailEventsMax && w.stage.superblocks.now().Checkpoint.Op == durable {
				t.Fatalf("%d requests: checkpoint %d is durable, and the process may not end", before, durable)
			}
			w.finishAppend()
			w.finishCommit()
			w.finishCheckpoint()
			w.finishSuperblock()
			if w.turn(); turns > 1000 {
				t.Fatalf("%d requests: the process may never end", before)
			}
		}
		if w.eventsBehind() > l.TailEventsMax {
			t.Errorf("%d requests: the process ends with %d events in the log behind checkpoint %d", before, w.eventsBehind(),
				w.superblock.Checkpoint.Op)
		}
		if got := w.noops(head); got != int(w.head-head) || !wasLong && got > 0 {
			t.Errorf("%d requests: %d of the %d ops before the end are no-ops", before, got, w.head-head)
		}
		w.crash(false, false)
		w.settle()
		if !w.ready {
			t.Fatalf("%d requests: the next start does not serve", before)
		}
		w.create(f, 1)
		w.checkQuiet()
	}
}

// Goal: requests that come when the process is about to end wait for the next one. They are not
// answered, and they take no op.
func TestSettleTakesNoRequests(t *testing.T) {
	w, f := answered(t, tailLimits(), 8)
	w.leaves = true
	w.turn()
	head := w.head
	w.answers = nil
	f.Operation = wire.OperationCreateTransfersUnbatched
	w.receive(frame(f, make([]byte, 128)))
	w.settle()
	if !w.left || len(w.answers) > 0 || w.noops(head) != int(w.head-head) || w.head == head {
		t.Errorf("left %v, %d answers, %d ops of which %d are no-ops", w.left, len(w.answers), w.head-head, w.noops(head))
	}
	w.crash(false, false)
	w.settle()
	w.create(f, 1)
}

// Goal: a replica that executes its log, and one that tolerates any log, may end at once.
func TestSettleAtOnce(t *testing.T) {
	l := tailLimits()
	w, _ := answered(t, l, 8)
	w.crash(false, false)
	head := w.head
	w.leaves = true
	if w.turn(); !w.left {
		t.Error("a replica that executes its log holds the process up")
	}
	w.settle()
	if w.head != head {
		t.Errorf("%d ops are prepared when the process may have ended", w.head-head)
	}
	l.TailEventsMax = 0
	w, _ = answered(t, l, 8)
	w.leaves = true
	if w.turn(); !w.left || w.noops(0) > 0 {
		t.Error("a replica without a bound holds the process up")
	}
}

// Goal: a replica that rests takes a checkpoint by itself, once. It does so neither before nor with
// few events in the log, and a request that comes meanwhile waits for one no-op at most.
func TestSettleAtRest(t *testing.T) {
	l := tailLimits()
	w, f := answered(t, l, 15)
	rest := func(ns uint64) {
		for range ns / pulseIdleNs {
			w.nowNs += pulseIdleNs
			w.settle()
		}
	}
	if rest(3 * restNs); w.noops(0) > 0 {
		t.Fatalf("%d no-ops with %d events in the log", w.noops(0), w.eventsBehind())
	}
	for range 3 {
		f = w.create(f, 10)
	}
	if rest(restNs - pulseIdleNs); w.noops(0) > 0 {
		t.Fatalf("%d no-ops before it rests", w.noops(0))
	}
	w.nowNs += pulseIdleNs
	w.turn() // the first no-op is on its way
	if w.appending == nil {
		t.Fatalf("no no-op with %d events in the log", w.eventsBehind())
	}
	f = w.create(f, 10)
	if w.noops(0) != 1 {
		t.Errorf("a request waits for %d no-ops", w.noops(0))
	}
	if rest(restNs - pulseIdleNs); w.noops(0) != 1 {
		t.Errorf("%d no-ops before it rests again", w.noops(0))
	}
	rest(pulseIdleNs)
	if w.eventsBehind() > l.TailEventsMax || w.superblock.Checkpoint.Op == 0 {
		t.Errorf("after a rest, %d events are in the log behind checkpoint %d", w.eventsBehind(), w.superblock.Checkpoint.Op)
	}
	head := w.head
	if rest(3 * restNs); w.head != head {
		t.Errorf("%d more ops at rest", w.head-head)
	}
	if w.left {
		t.Error("a replica at rest says that the process may end")
	}
	w.create(f, 1)
}

// Goal: a replica that waits for the checkpoint before its end sleeps. Only an event ends that
// wait, so no time is due for ever: the cores belong to the checkpoint.
func TestSettleWaitsAsleep(t *testing.T) {
	w, _ := answered(t, tailLimits(), 8)
	w.leaves = true
	for w.turn(); w.finishAppend() || w.finishCommit() || w.appending != nil; { // and no checkpoint
		w.turn()
	}
	if w.left || !w.stage.snapshot.isLent() {
		t.Fatalf("left %v, head %d: it does not wait for the checkpoint", w.left, w.head)
	}
	for range 5 {
		w.nowNs += pulseIdleNs
		w.turn()
		if at := w.stage.TimerNs(); at <= w.nowNs {
			t.Fatalf("a step is due since %d ns, and nothing is to be done", w.nowNs-at)
		}
	}
}

// Goal: whenever the process ends, by a crash too, the log that no-ops have lengthened is one that
// a start goes on from, and it has all that was answered.
func TestSettleAndCrash(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 9))
		w := newTester(t, tailLimits())
		f := w.register(5)
		for range 6 {
			for range random.IntN(12) {
				f = w.create(f, 1+random.IntN(20))
			}
			if w.leaves = random.IntN(3) > 0; !w.leaves {
				w.nowNs += restNs
			}
			for range random.IntN(200) {
				switch w.turn(); random.IntN(4) {
				case 0:
					w.finishAppend()
				case 1:
					w.finishCommit()
				case 2:
					w.finishCheckpoint()
				case 3:
					w.finishSuperblock()
				}
			}
			w.crash(random.IntN(2) == 0, random.IntN(2) == 0)
			if w.settle(); !w.ready || w.fault != nil {
				t.Fatalf("seed %d: the next start does not serve: %v", seed, w.fault)
			}
		}
	}
}
