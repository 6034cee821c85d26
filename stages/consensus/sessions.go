package consensus

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/stages"
	"ledger/wire"
)

// session is the entry of one client: its number and its last committed reply.
type session struct {
	used     bool
	client   wire.U128
	number   uint64 // op of its register request
	op       uint64 // op of the last reply
	position uint32 // position of the last request within its op: breaks ties of op
	request  uint32
	release  wire.Release
	// checksum is that of the request that the reply answers. context is the one that the next
	// request must name.
	checksum wire.Checksum
	context  wire.Checksum

	replySlot   stages.Slot
	replyOffset uint32
	replyBytes  uint32
	// replyChecksum is that of the reply's header as the checkpoint's record has it. It counts only
	// while a checkpoint is opened.
	replyChecksum wire.Checksum
}

// sessions is the table of sessions. All of it is replicated state, which changes only at commit,
// in log order.
type sessions struct {
	entries []session
	used    int
	index   clientIndex
	opTo    uint64 // the table of an opened checkpoint contains the ops up to its trigger
}

func newSessions(key *hashing.Key, sessionsMax uint32, memory *arena.Arena) sessions {
	return sessions{entries: make([]session, sessionsMax), index: newClientIndex(key, sessionsMax, memory, "session index")}
}

// find returns the entry of a client, nil if it has none.
func (t *sessions) find(client wire.U128) *session {
	if at, ok := t.index.get(client); ok {
		return &t.entries[at]
	}
	return nil
}

// count is the number of sessions.
func (t *sessions) count() int { return t.used }

func (t *sessions) isFull() bool { return t.used == len(t.entries) }

// size is the number of entries, used or not; entry returns one of them.
func (t *sessions) size() int            { return len(t.entries) }
func (t *sessions) entry(i int) *session { return &t.entries[i] }

// contains tells whether the table had the effects of op when the checkpoint was opened.
func (t *sessions) contains(op uint64) bool { return op <= t.opTo }

// startAt: the table is that of the sessions after op.
func (t *sessions) startAt(op uint64) { t.opTo = op }

// upTo is the highest op that the table contained when the checkpoint was opened.
func (t *sessions) upTo() uint64 { return t.opTo }

// victim is the entry that a register evicts from a full table: the one with the oldest last reply
// (wire protocol, 4.7).
func (t *sessions) victim() *session {
	oldest := -1
	for i := range t.entries {
		e := &t.entries[i]
		assert.That(e.used, "a full table has no free entry")
		if oldest < 0 || e.op < t.entries[oldest].op || e.op == t.entries[oldest].op && e.position < t.entries[oldest].position {
			oldest = i
		}
	}
	return &t.entries[oldest]
}

// put gives the first unused entry to a client.
func (t *sessions) put(client wire.U128, number uint64) *session {
	for i := range t.entries {
		if !t.entries[i].used {
			return t.putAt(i, client, number)
		}
	}
	assert.That(false, "a new session has a free entry")
	return nil
}

func (t *sessions) putAt(index int, client wire.U128, number uint64) *session {
	e := &t.entries[index]
	assert.That(!e.used, "a new session takes a free entry")
	*e = session{used: true, client: client, number: number, replySlot: stages.SlotNone}
	t.index.put(client, uint32(index))
	t.used++
	return e
}

// drop removes a session.
func (t *sessions) drop(e *session) {
	t.index.remove(e.client)
	*e = session{}
	t.used--
}

// setRecord makes what a checkpoint's record says the last reply of a session. The reply comes into
// slot.
func (t *sessions) setRecord(e *session, r *SessionRecord, slot stages.Slot) {
	e.op, e.position, e.request, e.release = r.Op, r.Position, r.Request, r.Release
	e.checksum, e.context = r.RequestChecksum, r.Context
	e.replySlot, e.replyOffset, e.replyBytes, e.replyChecksum = slot, 0, r.ReplyBytes, r.ReplyChecksum
}

// setReply makes reply, in slot, the last reply of a session. position is the position of its
// request within the op.
func (t *sessions) setReply(e *session, reply *stages.Reply, slot stages.Slot, position uint32) {
	e.op, e.position = reply.Op, position
	e.request, e.release = reply.RequestNumber, reply.Release
	e.checksum, e.context = reply.RequestChecksum, reply.Context
	e.replySlot, e.replyOffset, e.replyBytes = slot, reply.OffsetBytes, reply.Bytes
}
