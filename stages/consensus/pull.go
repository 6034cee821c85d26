package consensus

import (
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/vsr"
	"ledger/wire"
)

// pull moves committed prepares into the commit queue, in op order along the chain of the head.
// What is not in memory is read from the log ahead of that.
func (s *Stage) pull() {
	s.readAhead()
	for !s.opening.isOn() && !s.commits.isFull() && s.pullOne(s.commits.last()+1) {
	}
	if !s.status.isFailed() {
		s.feed()
	}
}

// pullOne moves op into the commit queue. false: it cannot be, now.
func (s *Stage) pullOne(op uint64) bool {
	if s.status.isFailed() || !s.mayPull(op) {
		return false
	}
	if slot, isThere := s.recent.has(op, s.log.checksum(op)); !isThere || slot == stages.SlotNone {
		return false
	}
	if s.log.header(op).Parent() != s.commits.lastChecksum() {
		s.fail(&storage.Fault{What: storage.FaultLog, Reason: "a committed prepare does not follow the one that was executed before it"})
		return false
	}
	if !s.verify(op) {
		return false
	}
	header := s.log.header(op)
	isAnswered := s.isPrimary() && op > s.views.startCommit()
	replySlot := stages.SlotNone
	if !isInternal(header) && !s.sessions.contains(op) && (isAnswered || s.wantsReplies(op)) {
		if replySlot = s.slots.take(stages.SlotReply); replySlot == stages.SlotNone {
			return false // a checkpoint that is being written holds the old slots
		}
	}
	if !s.pullsRelease(header) {
		return false
	}
	slot, record := s.recent.take(op)
	if s.log.isQueued(op) && !s.log.isWritingIt(op) {
		s.log.queued(op, false) // it is asked for again
	}
	s.commits.push(op, inCommit{
		checksum: s.log.checksum(op), slot: slot, replySlot: replySlot, isPulse: header.Operation() == wire.OperationPulse,
		isMember: header.Operation() == wire.OperationMember, isLoaded: true, record: record, isAnswered: isAnswered,
	})
	return true
}

// wantsReplies tells whether an op of which no client waits here for the replies needs them. A
// replica that lags leaves out the same queries as a start does.
func (s *Stage) wantsReplies(op uint64) bool {
	return s.wants.replies(op) && !s.log.isSuperseded(&s.limits, op, min(s.commits.max(), s.log.head()))
}

// mayPull decides alone whether an op of a cluster may be given to apply.
func (s *Stage) mayPull(op uint64) bool {
	a := vsr.Apply{Op: op, Next: s.commits.last() + 1, CommitMax: s.commits.max(), OpHead: s.log.head(), ChainFrom: s.log.chainedFrom(),
		IsVouched: s.views.isVouched()}
	return a.May(&s.quorums) && s.upgrade.executes(op)
}

// readAhead reads prepares that are to be executed, or that a new primary has to know.
func (s *Stage) readAhead() {
	to := min(s.log.head(), s.commits.last()+s.recent.reach())
	if !s.isPrimary() || s.status.isServing() {
		to = min(to, s.commits.max())
	}
	if !s.views.isVouched() {
		return
	}
	for op := max(s.commits.last()+1, s.log.chainedFrom()); op <= to; op++ {
		if s.recent.loading() == readsOwnMax {
			return
		}
		if !s.recent.isFree(op) || !s.log.isClean(op) || s.log.isWriting(op) {
			continue
		}
		slot := s.slots.take(stages.SlotPrepare)
		if slot == stages.SlotNone {
			return
		}
		s.recent.put(op, inMemory{checksum: s.log.checksum(op), slot: slot, isReading: true})
		s.send.read(op, s.log.checksum(op), slot)
	}
}

// Reads of the log that are under way at once: for the own execution, and for others.
const (
	readsOwnMax   = 2
	readsOtherMax = stages.BudgetJournalReads - readsOwnMax
)

// onReadCluster takes the answer to a read of the log.
func (s *Stage) onReadCluster(e *stages.JournalToConsensus) {
	isRight := e.Read == stages.ReadOK
	if !isRight {
		s.onSlotDamaged(e)
	}
	if e.Slot.Class() == stages.SlotRepair {
		s.served(e, isRight)
		s.send.returned(e.Slot)
		return
	}
	if !s.recent.read(e.Op, e.Slot, isRight) {
		s.send.release(e.Slot)
	}
	s.send.returned(e.Slot)
}

// onSlotDamaged: the log has no right copy of a prepare. Others have it, and repair fetches it.
func (s *Stage) onSlotDamaged(e *stages.JournalToConsensus) {
	if s.log.isClean(e.Op) && !s.log.isWriting(e.Op) {
		s.log.damaged(e.Op, e.Checksum)
	}
}

// indexRecent enters the clients of the prepares that are not committed into the index of clients
// in flight, those inside groups as well. It tells whether all such prepares are in memory.
func (s *Stage) indexRecent() bool {
	for op := s.commits.max() + 1; op <= s.log.head(); op++ {
		if slot, isThere := s.recent.has(op, s.log.checksum(op)); !isThere || slot == stages.SlotNone {
			return false
		}
	}
	for op := s.commits.max() + 1; op <= s.log.head(); op++ {
		slot, _ := s.recent.has(op, s.log.checksum(op))
		message := s.slots.bytes(slot)
		header := prepare.Header(message[:prepare.HeaderBytes])
		if header.Operation() == wire.OperationPulse {
			s.timers.pulseInLog()
			continue
		}
		for i := range int(header.RequestsCount()) {
			r := prepare.RequestAt(message[:header.SizeBytes()], i)
			if _, isThere := s.inFlight.get(r.Client); !isThere && !r.Client.IsZero() {
				s.inFlight.put(r.Client, arrivalOf(s.timers.now()))
			}
		}
	}
	return true
}
