package consensus

import (
	"ledger/internal/assert"
	"ledger/stages"
)

// late is the replies that apply builds beside later ops. Each is expected from the time its op was
// executed. It takes effect when it is there and its op is complete, whichever comes later:
//
//	           ApplyCommitted           ApplyReplied         the op is complete
//	(nothing) ----------------> missing ------------> there ----------------> (nothing)
//	                               |                                             ^
//	                               +-- the op is complete --> due -- ApplyReplied+
//
// Until then the client's request is in flight, and its session has the reply before. Nothing that
// is decided from the table of sessions comes in between: apply executes a register or a trigger op
// when no earlier reply is missing. So the table is the same as if each reply came with its op.
//
// The entries suffice although one that is there may wait: a single replica has one prepare that is
// not durable. Only replies of that op can wait, and it had room for as many as apply did not miss
// when it was executed. In a cluster none waits, because what is executed is committed.
//
// Each replica of a cluster has late replies, whether a client waits here or not. The client may
// have its reply from another replica, and go on. docs/design/readers.md has the argument for
// that, for view changes and for ApplyOpen.
type late struct {
	entries [stages.LateRepliesMax]lateReply
	count   int
	endings uint64 // replies that were late, and are not any more
}

// lateReply is one of them.
type lateReply struct {
	op        uint64 // 0: the place is free
	position  uint32 // of the request in its op
	isThere   bool
	isDue     bool         // the op is complete; the entry holds replySlot
	isSent    bool         // to a client, when it takes effect
	reply     stages.Reply // if it is there
	replySlot stages.Slot
	record    record // of the op, which ends with its last reply
}

// isLate tells whether a reply of ApplyCommitted comes later.
func isLate(reply *stages.Reply) bool { return reply.Bytes == 0 }

// expect: an op was executed. Some of its replies may be late.
func (l *late) expect(op uint64, replies []stages.Reply) {
	for i := range replies {
		if isLate(&replies[i]) {
			assert.Below(l.count, len(l.entries), "replies that are late")
			e := l.find(0, 0)
			*e = lateReply{op: op, position: uint32(i)}
			l.count++
		}
	}
}

// find returns the entry of a reply; op 0: a free one.
func (l *late) find(op uint64, position uint32) *lateReply {
	for i := range l.entries {
		if e := &l.entries[i]; e.op == op && (op == 0 || e.position == position) {
			return e
		}
	}
	assert.That(false, "a reply that comes late was expected")
	return nil
}

// isLast tells whether no other reply of the op of an entry is late.
func (l *late) isLast(of *lateReply) bool {
	for i := range l.entries {
		if e := &l.entries[i]; e != of && e.op == of.op {
			return false
		}
	}
	return true
}

// isAny tells whether a reply is expected.
func (l *late) isAny() bool { return l.count > 0 }

// isMissing tells whether a reply of an op up to op is late.
func (l *late) isMissing(op uint64) bool {
	for i := range l.entries {
		if e := &l.entries[i]; e.op != 0 && e.op <= op {
			return true
		}
	}
	return false
}

func (l *late) free(e *lateReply) {
	*e = lateReply{}
	l.count--
	l.endings++
}

// ended is a number that grows with each late reply that has come.
func (l *late) ended() uint64 { return l.endings }

// drop forgets an entry, because apply has opened another state and builds its reply no more. slot
// is that of the reply, of which the entry lets go. ok: there was one. An entry of an op that is
// not complete holds no slot: the commit queue does.
func (l *late) drop() (slot stages.Slot, ok bool) {
	for i := range l.entries {
		e := &l.entries[i]
		isHolding := e.isDue
		slot = e.replySlot
		if e.op != 0 {
			l.free(e)
		}
		if isHolding {
			return slot, true
		}
	}
	return stages.SlotNone, false
}

// onReplied: apply has built a late reply.
func (s *Stage) onReplied(e *stages.ApplyToConsensus) {
	entry := s.late.find(e.Op, e.Position)
	assert.That(!entry.isThere, "a late reply comes once")
	entry.reply, entry.isThere = e.Late, true
	if entry.isDue {
		s.replyLate(entry)
	}
}

// completeLate lets the late replies of a complete op take effect that are there. isWaiting: some
// are not. They hold the reply slot, and the last of them ends the op's record.
func (s *Stage) completeLate(e *inCommit) (isWaiting bool) {
	if !s.late.isAny() {
		return false
	}
	for i := range s.late.entries {
		entry := &s.late.entries[i]
		switch {
		case entry.op != e.op:
		case entry.isThere:
			s.takesEffect(&entry.reply, e.replySlot, entry.position, e.isAnswered)
			s.late.free(entry)
		default:
			s.slots.hold(e.replySlot)
			entry.isDue, entry.isSent, entry.replySlot = true, e.isAnswered, e.replySlot
			if e.isAnswered {
				entry.record = e.record
			}
			isWaiting = true
		}
	}
	return isWaiting
}

// replyLate: the op is complete, and its late reply has come.
func (s *Stage) replyLate(entry *lateReply) {
	s.takesEffect(&entry.reply, entry.replySlot, entry.position, entry.isSent)
	if entry.record.isKept() && s.late.isLast(entry) {
		s.send.ended(entry.record.ended(s.timers.now(), 1, entry.replySlot))
	}
	s.send.release(entry.replySlot)
	s.late.free(entry)
}

// takesEffect makes a late reply that of its session. A client that was answered by another replica
// may have gone on, and the reply to its later request may have been here first. Then the late one
// is that of nobody any more.
func (s *Stage) takesEffect(reply *stages.Reply, slot stages.Slot, position uint32, isSent bool) {
	if e := s.sessions.find(reply.Client); e != nil && e.op > reply.Op {
		return
	}
	s.updateSession(reply, slot, position)
	if isSent {
		s.sendReply(slot, reply)
	}
}
