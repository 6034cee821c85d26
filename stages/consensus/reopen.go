package consensus

import (
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
)

// opening is the checkpoint that apply opens: that of the start, one that came from another
// replica, or the own one, to which this replica goes back. No op is executed meanwhile.
//
//	open ---- start, or ApplyOpen ----> waiting for apply ---- ApplyOpened ----> waiting for room
//	                                                                                  |
//	open <--- ApplyRepliesRead ---- waiting for the replies <---- a slot for each ----+
type opening struct {
	is      openingState
	op      uint64
	records []byte          // of apply
	replies stages.Sessions // lent to apply
	isAsked bool            // apply was sent ApplyOpen
	beganNs uint64
	tookNs  uint64 // the last one
}

type openingState uint8

const (
	isOpen openingState = iota
	isAtApply
	isWithoutRoom
	isReadingReplies
)

// newOpening is that of a start, in whose first steps apply opens the checkpoint without being
// asked. Without one there is nothing to wait for.
func newOpening(l *limits.Limits, op, nowNs uint64) opening {
	o := opening{replies: stages.Sessions{Replies: make([][]byte, 0, l.SessionsMax)}}
	if op > 0 {
		o.begin(op, nowNs)
	}
	return o
}

func (o *opening) begin(op, nowNs uint64) { o.is, o.op, o.beganNs = isAtApply, op, nowNs }

// isOn tells whether apply has not got the state of the checkpoint yet, or its sessions are not
// here.
func (o *opening) isOn() bool { return o.is != isOpen }

// ask: apply is sent ApplyOpen for the checkpoint of op.
func (o *opening) ask(op, nowNs uint64) {
	o.begin(op, nowNs)
	o.isAsked = true
}

// isAfter tells whether apply was sent the last ApplyOpen at this time or later.
func (o *opening) isAfter(atNs uint64) bool { return o.isAsked && o.beganNs >= atNs }

// isUnanswered tells whether apply has not answered the last ApplyOpen. What it says before that of
// the state before counts no more.
func (o *opening) isUnanswered() bool { return o.is == isAtApply && o.isAsked }

// needsRoom tells whether the records of the sessions wait for reply slots.
func (o *opening) needsRoom() bool { return o.is == isWithoutRoom }

// isOf tells whether the opening in this state is that of the checkpoint of op.
func (o *opening) isOf(op uint64, is openingState) bool { return o.op == op && o.is == is }

// opened: apply has the state. Its records do not change before the next ApplyOpen.
func (o *opening) opened(records []byte) { o.is, o.records = isWithoutRoom, records }

// reading: the replies are read into these pieces.
func (o *opening) reading(pieces [][]byte) *stages.Sessions {
	o.is = isReadingReplies
	o.replies.Op, o.replies.Replies = o.op, pieces
	return &o.replies
}

// pieces is the room for reading, empty.
func (o *opening) pieces() [][]byte { return o.replies.Replies[:0] }

// sessions are the records that apply has read.
func (o *opening) sessions() []byte { return o.records }

// done: the checkpoint is open.
func (o *opening) done(nowNs uint64) {
	o.is, o.records, o.tookNs = isOpen, nil, nowNs-min(nowNs, o.beganNs)
}

// lastNs is how long the last opening took, or the one under way has taken if that is longer.
func (o *opening) lastNs(nowNs uint64) uint64 {
	if !o.isOn() {
		return o.tookNs
	}
	return max(o.tookNs, nowNs-min(nowNs, o.beganNs))
}

// reopen goes back to the durable checkpoint, and executes the ops behind it again. A primary
// leaves its view first. false: a checkpoint is on its way into the superblock, which comes first.
func (s *Stage) reopen() bool {
	if s.superblocks.isCheckpointing() {
		return false
	}
	s.leaveOwnView()
	s.openDurable()
	return true
}

// leaveOwnView: a primary that will not execute anything for a while leaves its view, so that
// another one serves.
func (s *Stage) leaveOwnView() {
	if s.quorums.PrimaryOf(s.views.now()) == s.self && !s.views.isChanging() {
		s.enterView(s.views.now() + 1)
	}
}

// openDurable makes apply go on from the durable checkpoint. What was executed above it is known no
// more. Its slots stay where they are until apply has answered.
func (s *Stage) openDurable() {
	durable := s.superblocks.now()
	checkpoint := &durable.Checkpoint
	s.commits.leave(checkpoint.Op, checkpoint.PrepareChecksum)
	s.log.rebase(checkpoint.Op, checkpoint.PrepareChecksum)
	s.members.set(&checkpoint.Members)
	s.wants.all()
	s.upgrade.reopened()
	s.opening.ask(checkpoint.Op, s.timers.now())
	s.send.open(durable)
}

// isOfBefore tells whether apply has said something before it has read the last ApplyOpen. Slots
// that were lent for a short time come back all the same.
func (s *Stage) isOfBefore(e *stages.ApplyToConsensus) bool {
	switch e.Kind {
	case stages.ApplyCommitted, stages.ApplyReplied, stages.ApplyCheckpointReady, stages.ApplySynced:
		return s.opening.isUnanswered() || s.syncing.isReplacing()
	case stages.ApplyFault:
		return s.opening.isUnanswered() && !s.opening.isOf(e.Op, isAtApply)
	case stages.ApplyOpened:
		return !s.opening.isOf(e.Op, isAtApply)
	case stages.ApplyRepliesRead:
		return !s.opening.isOf(e.Op, isReadingReplies)
	}
	return false
}

// onOpened: apply has the state of the checkpoint, and has given back all that it had.
func (s *Stage) onOpened(e *stages.ApplyToConsensus) {
	for slot, replySlot, ok := s.commits.dropLeft(); ok; slot, replySlot, ok = s.commits.dropLeft() {
		for _, slot := range [...]stages.Slot{slot, replySlot} {
			if slot != stages.SlotNone {
				s.send.release(slot)
			}
		}
	}
	for slot, ok := s.late.drop(); ok; slot, ok = s.late.drop() {
		s.send.release(slot)
	}
	if s.snapshot.isLent() {
		for _, slot := range s.snapshot.pins() {
			s.send.release(slot)
		}
		s.snapshot.drop()
	}
	for i := range s.sessions.size() {
		if session := s.sessions.entry(i); session.used {
			s.send.release(session.replySlot)
			s.sessions.drop(session)
		}
	}
	if e.Op == 0 { // there is no checkpoint, so there are no sessions
		s.sessions.startAt(0)
		s.opening.done(s.timers.now())
		return
	}
	s.opening.opened(e.Records)
	s.loadSessions()
}

// loadSessions takes the sessions of the checkpoint that apply has opened, as soon as there is a
// reply slot for each: a few may still be on their way to clients.
func (s *Stage) loadSessions() {
	if !s.opening.needsRoom() {
		return
	}
	checkpoint, records := &s.superblocks.now().Checkpoint, s.opening.sessions()
	if count := sessionsIn(records); count <= uint64(s.limits.SessionsMax) && count > uint64(s.slots.freeCount(stages.SlotReply)) {
		return
	}
	opTo := s.limits.CheckpointTrigger(checkpoint.Op)
	if err := s.sessions.load(opTo, records, checkpoint.TrailerBytes[storage.TrailerReplies], s.slots); err != nil {
		s.failSessions(checkpoint, storage.TrailerSessions, err)
		return
	}
	s.send.replies(checkpoint.Op, s.opening.reading(s.sessions.replies(s.opening.pieces(), s.slots)))
}

// onRepliesRead: all that is needed to execute ops is there.
func (s *Stage) onRepliesRead(e *stages.ApplyToConsensus) {
	if err := s.sessions.checkReplies(s.slots); err != nil {
		s.failSessions(&s.superblocks.now().Checkpoint, storage.TrailerReplies, err)
		return
	}
	s.opening.done(s.timers.now())
	if !s.isCluster() {
		s.feed()
	}
}

// failSessions: the blocks are what the checkpoint names, and their content is wrong.
func (s *Stage) failSessions(checkpoint *storage.Checkpoint, kind storage.TrailerKind, err error) {
	s.fail(&storage.Fault{What: storage.FaultBlock, Address: checkpoint.Roots[kind].Address, Reason: err.Error()})
}
