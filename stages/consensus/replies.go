package consensus

import (
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/wire"
)

// updateSessions applies a complete op to the table, in the order of the log. So all replicas evict
// the same sessions.
func (s *Stage) updateSessions(e *inCommit) {
	for i := range e.replies {
		assert.Equal(e.replies[i].Op, e.op, "op of a reply")
		if !isLate(&e.replies[i]) {
			s.updateSession(&e.replies[i], e.replySlot, uint32(i))
		}
	}
}

func (s *Stage) updateSession(reply *stages.Reply, slot stages.Slot, position uint32) {
	if arrival, ok := s.inFlight.get(reply.Client); ok {
		s.inFlight.remove(reply.Client)
		s.measures.replied(arrival, s.timers.now())
	}
	e := s.sessions.find(reply.Client)
	if reply.Operation == wire.OperationRegister {
		assert.That(e == nil, "a client registers once")
		assert.That(!s.late.isMissing(reply.Op), "no reply up to a register is late")
		if s.sessions.isFull() {
			s.endSession(s.sessions.victim())
		}
		e = s.sessions.put(reply.Client, reply.Op)
	} else if e == nil {
		return // evicted while its request was in the pipeline; the request was executed and answered all the same
	}
	if e.replySlot != stages.SlotNone {
		s.send.release(e.replySlot)
	}
	s.sessions.setReply(e, reply, slot, position)
	s.slots.hold(slot)
}

// endSession evicts a session to make room. Its client hears of it when it sends again; net hears
// of it now, because the client's connection must no longer be kept in place of a newcomer's. There
// are no connections before the replica serves.
func (s *Stage) endSession(e *session) {
	if s.status.isServing() || s.isCluster() {
		s.send.sessionEnded(e.client)
	}
	s.send.release(e.replySlot)
	s.sessions.drop(e)
}

// sendReplies sends the replies of an op, whose sessions are up to date. A client that was evicted
// while its request was in the pipeline gets its reply, but has no session.
func (s *Stage) sendReplies(e *inCommit) {
	for i := range e.replies {
		if reply := &e.replies[i]; !isLate(reply) {
			s.sendReply(e.replySlot, reply)
		}
	}
}

func (s *Stage) sendReply(slot stages.Slot, reply *stages.Reply) {
	s.measures.answered()
	s.send.reply(slot, reply, s.sessions.find(reply.Client) != nil)
}
