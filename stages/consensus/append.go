package consensus

import (
	"ledger/prepare"
	"ledger/stages"
	"ledger/vsr"
	"ledger/wire"
)

// onPrepare: the primary has prepared an op, or sends it again.
func (s *Stage) onPrepare(e *stages.NetToConsensus) {
	header := prepare.Header(s.slots.bytes(e.Slot)[:prepare.HeaderBytes])
	from, op := int(e.Peer), header.Op()
	if !s.hears(from) {
		return
	}
	if !s.isVerified(header) {
		s.mismatched(header)
		return
	}
	s.commits.raiseMax(header.Commit())
	if header.View() == s.views.now() {
		s.views.told(header.Commit())
	}
	switch {
	case s.log.is(op, header.Checksum()):
		if s.log.isClean(op) {
			s.ack(op)
			return
		}
	case op <= s.log.head() || header.View() != s.views.now():
		return // repair has rules of its own for what is not new
	case op > s.limits.PrepareMax(s.superblocks.now().Checkpoint.Op) || s.log.isTakenAhead(op):
		return
	case op == s.log.head()+1 && header.Parent() != s.log.checksum(s.log.head()):
		return // I9: the head is of this view, so the primary is broken
	case !s.mayFollow(header):
		return // so it is
	default:
		s.deadlines.signed(false)
		s.deadlines.proven()
		s.primaryLives()
		s.log.jump(header)
	}
	s.keep(op, header.Checksum(), e.Slot)
}

// keep takes the prepare of an op that the log has, and that is not on disk, from the slot of a
// message. It stays in memory if it is to be executed soon.
func (s *Stage) keep(op uint64, checksum wire.Checksum, slot stages.Slot) {
	if s.log.isClean(op) || s.log.isQueued(op) || s.log.isWritingIt(op) {
		return
	}
	last := s.commits.last()
	if op > last && op <= last+s.recent.reach() && s.recent.isFree(op) {
		s.slots.hold(slot)
		s.log.queued(op, true)
		s.recent.put(op, inMemory{checksum: checksum, slot: slot})
		s.writeOne(op, slot)
		return
	}
	s.writeOne(op, slot) // and if it cannot be written now, it is asked for again
}

// startPrepareCluster sends a prepare of the own to all others and to the own log.
func (s *Stage) startPrepareCluster(header prepare.Header, slot stages.Slot) {
	op := header.Op()
	s.recent.put(op, inMemory{checksum: header.Checksum(), slot: slot, record: s.measures.prepared(header, s.timers.now())})
	s.writeOne(op, slot)
	s.sendPrepare(op, slot, s.peers.members())
	s.deadlines.signed(true)
	s.spacing.prepared(s.timers.now())
	s.pace.Prepared(s.timers.now())
	s.beats.announced(s.commits.max())
	if s.pipeline.count() == 1 {
		s.beats.waiting(true, s.timers.now())
	}
}

// writeOne begins to write a prepare, if its log slot and journal have room. The log view must be
// durable: otherwise recovery finds a prepare of a log that no superblock vouches for, beside those
// of the log before. A prepare that has to wait for the superblock stays in memory, or is asked for
// again. What the checkpoint has need not be written any more.
func (s *Stage) writeOne(op uint64, slot stages.Slot) {
	checkpoint := s.superblocks.now().Checkpoint.Op
	if !s.isSettled() || op <= checkpoint || s.log.isWriting(op) || s.acks.count() == stages.BudgetJournalAppends ||
		op > s.limits.PrepareMax(checkpoint) {
		return
	}
	s.log.beginWrite(op)
	s.acks.began()
	s.costs.began(s.log.checksum(op), s.timers.now())
	s.send.append(op, slot, s.log.writesInTurn(op))
}

// writeRecent begins the writes that had no room, and lets go what is in memory for nothing.
func (s *Stage) writeRecent() {
	for op, slot := s.recent.stale(&s.log, s.commits.last()); op != 0; op, slot = s.recent.stale(&s.log, s.commits.last()) {
		if s.log.has(op) && !s.log.isWritingIt(op) {
			s.log.queued(op, false)
		}
		s.send.release(slot)
	}
	for op := s.commits.last() + 1; op <= min(s.log.head(), s.commits.last()+s.recent.reach()); op++ {
		if !s.log.isQueued(op) || s.log.isWritingIt(op) {
			continue
		}
		if slot, isThere := s.recent.has(op, s.log.checksum(op)); isThere && slot != stages.SlotNone {
			s.writeOne(op, slot)
		}
	}
}

// onAppendedCluster: a prepare is durable. isCurrent: it is the one that the log has.
func (s *Stage) onAppendedCluster(e *stages.JournalToConsensus, isCurrent bool) {
	s.acks.ended()
	s.repair.written()
	s.costs.written(e.Checksum, s.timers.now())
	if isCurrent {
		s.recent.written(e)
		s.ack(e.Op)
	}
}

// acks counts the writes under way.
type acks struct{ writing int }

func (a *acks) count() int { return a.writing }
func (a *acks) began()     { a.writing++ }
func (a *acks) ended()     { a.writing-- }

// ackOf is all on which it depends whether op may be acknowledged.
func (s *Stage) ackOf(op uint64) vsr.Ack {
	durable := s.superblocks.now()
	return vsr.Ack{
		Op: op, To: s.quorums.PrimaryOf(s.views.now()), IsInLog: op >= s.log.chainedFrom() && op <= s.log.head(), IsWritten: s.log.isClean(op),
		IsStandby: s.isStandby(), IsStranger: s.isStranger() || s.log.has(op) && s.isUnnamed(s.log.header(op)), IsNormal: s.views.isNormal(),
		View: s.views.now(), LogView: durable.LogView, CheckpointOp: durable.Checkpoint.Op,
		IsReplacing: s.syncing.isReplacing(), IsSyncing: s.isHalfSynced(),
	}
}

// ack acknowledges op to the primary, or to itself, if it may be. What the primary knows to be
// committed needs no answer. It may know less than this replica does: the commits of the view
// before are ops without a quorum in the new primary's pipeline.
func (s *Stage) ack(op uint64) {
	a := s.ackOf(op)
	if op <= s.views.primaryKnows() || a.Breaks(&s.quorums, &s.limits) != vsr.RuleNone {
		return
	}
	header := s.log.header(op)
	if a.To == s.self {
		s.acked(s.self, s.members.incarnation(), op, header.Checksum())
		return
	}
	s.sendAck(a.To, header)
}

// ackAll acknowledges what was withheld: the log view or a checkpoint is durable, or the chain is
// known further down. No primary has more than a pipeline without a quorum.
func (s *Stage) ackAll() {
	head := s.log.head()
	for op := max(s.views.primaryKnows(), head-min(head, uint64(s.limits.PipelineOpsMax))) + 1; op <= head; op++ {
		s.ack(op)
	}
}

// acked counts an acknowledgement. Ops are committed in their order.
func (s *Stage) acked(replica int, incarnation, op uint64, checksum wire.Checksum) {
	if !s.pipeline.acked(replica, incarnation, op, checksum) {
		return
	}
	for op := s.pipeline.popCommitted(&s.quorums); op != 0; op = s.pipeline.popCommitted(&s.quorums) {
		s.commits.raiseMax(op)
		s.deadlines.progressed()
		s.beats.waiting(s.pipeline.count() > 0, s.timers.now())
	}
}
