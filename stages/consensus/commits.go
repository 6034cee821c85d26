package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/metrics"
	"ledger/stages"
	"ledger/wire"
)

// inCommit is an op of the commit queue.
type inCommit struct {
	op         uint64
	checksum   wire.Checksum
	slot       stages.Slot // the prepare; SlotNone once executed
	replySlot  stages.Slot // SlotNone: nobody wants the replies, or there are none
	isPulse    bool
	isMember   bool // it changes which data files count
	isAnswered bool // clients wait here for the replies
	isLoaded   bool // the prepare is in slot
	isSent     bool // to apply
	isExecuted bool
	replies    []stages.Reply // in replySlot, once executed
	record     record
}

// commitQueue is the ops above commit_min that are to be executed, in op order without gaps, and
// the two bounds.
//
//	commit_min   the highest op that is complete: committed and executed, its effects visible
//	commit_max   the highest op that is known to be committed
//
//	          push             loaded            sent             executed
//	(log) ---------> in queue --------> in slot -------> at apply ---------> complete, if it is
//	                                                                         committed: pop
//
// It holds the slots of each op: the prepare's until the op is executed, the replies' until it is
// popped.
type commitQueue struct {
	entries []inCommit // ring
	first   int
	length  int
	opMin   uint64
	opMax   uint64
	atApply int           // entries that were given to apply, executed or not: the first ones
	inRead  int           // entries whose prepare is being read
	lastSum wire.Checksum // of the prepare of the highest op in the queue, or of commit_min
	left    int           // entries of before leave: the first ones of the ring. No other is there then
}

func newCommitQueue(l *limits.Limits, checkpointOp uint64) commitQueue {
	return commitQueue{entries: make([]inCommit, l.PipelineOpsMax), opMin: checkpointOp, opMax: checkpointOp}
}

// startsAt takes the checksum of the prepare of the checkpoint's op.
func (q *commitQueue) startsAt(checksum wire.Checksum) { q.lastSum = checksum }

// leave goes on from the op of a checkpoint, whose prepare has this checksum. Apply may still have
// the slots of the ops that were in the queue. So they are kept until they are dropped.
func (q *commitQueue) leave(op uint64, checksum wire.Checksum) {
	if q.length > 0 {
		q.left = q.length
	}
	q.length, q.atApply, q.inRead = 0, 0, 0
	q.opMin, q.opMax, q.lastSum = op, max(q.opMax, op), checksum
}

// dropLeft returns the slots of an op that was left, of which the queue lets go. ok: there was one.
func (q *commitQueue) dropLeft() (slot, replySlot stages.Slot, ok bool) {
	if q.left == 0 {
		return stages.SlotNone, stages.SlotNone, false
	}
	e := q.at(0)
	q.first = (q.first + 1) % len(q.entries)
	q.left--
	return e.slot, e.replySlot, true
}

func (q *commitQueue) at(i int) *inCommit { return &q.entries[(q.first+i)%len(q.entries)] }

// min is commit_min.
func (q *commitQueue) min() uint64 { return q.opMin }

// max is commit_max.
func (q *commitQueue) max() uint64 { return q.opMax }

// last is the highest op in the queue, or commit_min.
func (q *commitQueue) last() uint64 { return q.opMin + uint64(q.length) }

// lastChecksum is that of the prepare of the op that last returns. The log's slot of that op may
// have another prepare by now, if this replica or another one is broken.
func (q *commitQueue) lastChecksum() wire.Checksum { return q.lastSum }

func (q *commitQueue) count() int   { return q.length }
func (q *commitQueue) loading() int { return q.inRead }
func (q *commitQueue) isFull() bool { return q.length == len(q.entries) }

// raiseMax: all ops up to op are committed.
func (q *commitQueue) raiseMax(op uint64) { q.opMax = max(q.opMax, op) }

// push takes in the next op, and the caller's hold of its slots.
func (q *commitQueue) push(op uint64, e inCommit) {
	assert.Below(q.length, len(q.entries), "ops in the commit queue")
	assert.Equal(q.left, 0, "ops in the commit queue that were left")
	assert.Equal(op, q.last()+1, "op that enters the commit queue")
	e.op = op
	*q.at(q.length) = e
	q.length++
	q.lastSum = e.checksum
	if !e.isLoaded {
		q.inRead++
	}
}

// of returns an op that is in the queue.
func (q *commitQueue) of(op uint64) *inCommit {
	assert.That(op > q.opMin && op <= q.last(), "an answered op is in the commit queue")
	e := q.at(int(op - q.opMin - 1))
	assert.Equal(e.op, op, "op of an entry of the commit queue")
	return e
}

// loaded: the prepare of op is in its slot.
func (q *commitQueue) loaded(op uint64) {
	e := q.of(op)
	assert.That(!e.isLoaded, "a prepare is read once")
	e.isLoaded = true
	q.inRead--
}

// written records when the prepare of op was durable.
func (q *commitQueue) written(op uint64, times *metrics.JournalTimes) {
	q.of(op).record.appended(times)
}

// next returns the first op that was not sent to apply, if its prepare is in memory.
func (q *commitQueue) next() *inCommit {
	if q.atApply == q.length || !q.at(q.atApply).isLoaded {
		return nil
	}
	return q.at(q.atApply)
}

// sent: the op that next returned was given to apply.
func (q *commitQueue) sent() {
	q.at(q.atApply).isSent = true
	q.atApply++
}

// executed takes apply's answer for op, and returns the prepare's slot, which the queue lets go.
func (q *commitQueue) executed(op uint64, replies []stages.Reply, times *metrics.ApplyTimes) (slot stages.Slot) {
	e := q.of(op)
	assert.That(e.isSent && !e.isExecuted, "an op executes once, after it was given to apply")
	slot, e.slot = e.slot, stages.SlotNone
	e.isExecuted, e.replies = true, replies
	e.record.executed(times)
	return slot
}

// pop removes the first op if it is complete, and makes it commit_min. The entry is valid until the
// next push. nil: the first op is not complete.
func (q *commitQueue) pop() *inCommit {
	if q.length == 0 {
		return nil
	}
	e := q.at(0)
	if !e.isExecuted || e.op > q.opMax {
		return nil
	}
	q.opMin = e.op
	q.first = (q.first + 1) % len(q.entries)
	q.length--
	q.atApply--
	return e
}
