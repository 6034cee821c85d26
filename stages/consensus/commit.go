package consensus

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// The commit loop: commit_min follows commit_max along the hash chain. A start is no other phase of
// it: commit_min is the checkpoint then, and the ops above it come from the log. The ops that this
// replica prepares enter the commit queue with their prepares in memory.
//
//	load       the next op of the log is read into a slot
//	feed       the next op in memory is given to apply
//	complete   ops that are committed and executed take effect

// load reads the next ops to execute from the log.
func (s *Stage) load() {
	for op := s.commits.last() + 1; op <= min(s.commits.max(), s.log.head()); op++ {
		if s.commits.isFull() || s.commits.loading() == stages.BudgetJournalReads {
			return
		}
		if !s.log.follows(op) {
			s.fail(&storage.Fault{What: storage.FaultLog, Reason: "a prepare does not follow the one before it"})
			return
		}
		if !s.verify(op) {
			return
		}
		header := s.log.header(op)
		replySlot := stages.SlotNone
		if !isInternal(header) && !s.sessions.contains(op) && s.wants.replies(op) {
			if replySlot = s.slots.take(stages.SlotReply); replySlot == stages.SlotNone {
				return // a checkpoint that is being written holds the old slots
			}
		}
		slot := s.slots.take(stages.SlotPrepare)
		assert.That(slot != stages.SlotNone, "there is a slot for every prepare of the commit queue")
		s.commits.push(op, inCommit{checksum: s.log.checksum(op), slot: slot, replySlot: replySlot,
			isPulse: header.Operation() == wire.OperationPulse})
		s.send.read(op, s.log.checksum(op), slot)
	}
}

// onRead takes the answer to a read of load.
func (s *Stage) onRead(e *stages.JournalToConsensus) {
	if s.isCluster() {
		s.onReadCluster(e)
		return
	}
	s.send.returned(e.Slot)
	switch e.Read {
	case stages.ReadOK:
		s.commits.loaded(e.Op)
		s.feed()
	case stages.ReadDamaged:
		// A single replica has no other copy.
		s.log.damaged(e.Op, e.Checksum)
		s.fail(e.Fault)
	case stages.ReadAbsent:
		s.fail(&storage.Fault{What: storage.FaultLog, Reason: fmt.Sprintf("the log has another prepare in the place of op %d", e.Op)})
	default:
		assert.That(false, "result of a log read is known")
	}
}

// feed gives apply the next ops that it may execute, in op order.
func (s *Stage) feed() {
	for e := s.commits.next(); e != nil && s.mayExecute(e.op); e = s.commits.next() {
		s.send.commit(e.op, e.slot, e.replySlot, e.isAnswered || s.isCluster())
		s.commits.sent()
	}
}

// mayExecute decides alone whether an op may be given to apply. Execution may run ahead of the log,
// because no other op can take the place of a single replica's op. A trigger op is the exception.
// Its checkpoint would leave the process, so the op must be committed first.
//
// No op is executed before the sessions of the checkpoint that was opened are there.
//
// No op behind trigger + slack is executed before its checkpoint is durable. At the end of the
// first bar there, apply frees blocks that only the previous checkpoint names, and a crash would go
// back to that checkpoint.
func (s *Stage) mayExecute(op uint64) bool {
	opMax := s.limits.CheckpointTrigger(s.limits.CheckpointAfter(s.superblocks.now().Checkpoint.Op)) + uint64(s.limits.SlackOps)
	isAhead := op > s.commits.max()
	return op <= opMax && !(isAhead && s.limits.IsTrigger(op)) && !s.opening.isOn() &&
		!s.syncing.isReplacing()
}

// onAppended: a prepare is durable. A prepare that was dropped since, because a view change
// truncated the log, does not count for the op that has taken its place. Its slot comes back all
// the same.
func (s *Stage) onAppended(e *stages.JournalToConsensus) {
	s.send.returned(e.Slot)
	isCurrent := s.log.endWrite(e.Op, e.Checksum)
	if s.isCluster() {
		s.onAppendedCluster(e, isCurrent)
		return
	}
	if !isCurrent {
		return
	}
	s.commits.written(e.Op, &e.Times)
	s.pipeline.written(e.Op, e.Checksum)
	for op := s.pipeline.pop(); op != 0; op = s.pipeline.pop() {
		s.commits.raiseMax(op)
	}
	s.feed()
	s.complete()
}

// onExecuted: apply has executed an op.
func (s *Stage) onExecuted(e *stages.ApplyToConsensus) {
	s.send.release(s.commits.executed(e.Op, e.Replies, &e.Times))
	s.late.expect(e.Op, e.Replies)
	s.timers.expiriesAt(e.NextPulseNs)
	s.costs.executed(e.Times.EndedNs-e.Times.BeganNs, s.timers.now())
	s.complete()
}

// complete lets ops that are committed and executed take effect, in op order.
func (s *Stage) complete() {
	for e := s.commits.pop(); e != nil; e = s.commits.pop() {
		isNew := !s.sessions.contains(e.op)
		if isNew {
			s.updateSessions(e)
			if e.isAnswered {
				s.sendReplies(e)
			}
			if isWaiting := s.completeLate(e); e.isAnswered && e.record.isKept() && !isWaiting {
				s.send.ended(e.record.ended(s.timers.now(), len(e.replies), e.replySlot))
			}
		}
		if e.replySlot != stages.SlotNone {
			s.send.release(e.replySlot)
		}
		if e.isMember {
			s.memberTakesEffect(e.op)
		}
		if e.isPulse {
			s.timers.pulseEnded()
		}
		if isNew && s.limits.IsTrigger(e.op) {
			s.takeSnapshot(e.op)
		}
	}
}
