package consensus

import (
	"bytes"
	"slices"

	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// lateReplyOf is a reply that the apply of a machine has not built yet, although it has executed
// the op.
type lateReplyOf struct {
	op       uint64
	position int
	slot     stages.Slot
	reply    stages.Reply
	bytes    []byte
}

// leaveLate leaves some replies of an op for later. Their places in the slot are empty until then.
func (m *machine) leaveLate(c *stages.ConsensusToApply, h prepare.Header, replies []stages.Reply) {
	if !c.MayBeLate || m.w.latePer == 0 || m.repliesAtOnce || m.w.l.IsTrigger(c.Op) || h.Operation() == wire.OperationRegister {
		return
	}
	for i := range replies {
		if len(m.lates) == stages.LateRepliesMax || m.w.lateRandom.IntN(1000) >= m.w.latePer {
			continue
		}
		place := m.slots.Bytes(c.ReplySlot)[replies[i].OffsetBytes:][:replies[i].Bytes]
		m.lates = append(m.lates, lateReplyOf{c.Op, i, c.ReplySlot, replies[i], bytes.Clone(place)})
		clear(place)
		replies[i] = stages.Reply{Op: c.Op}
		m.w.count["late reply"]++
	}
}

// awaitsLate tells whether the next op needs the replies of all ops before it.
func (m *machine) awaitsLate() bool {
	if len(m.lates) == 0 {
		return false
	}
	next := &m.commits[0]
	h := prepare.Header(m.slots.Bytes(next.Slot)[:prepare.HeaderBytes])
	return m.w.l.IsTrigger(next.Op) || h.Operation() == wire.OperationRegister
}

// finishLate lets some late replies come, in any order.
func (m *machine) finishLate() {
	for len(m.lates) > 0 && !m.holdsLate && m.w.lateRandom.IntN(3) > 0 {
		m.finishLateOne(m.w.lateRandom.IntN(len(m.lates)))
	}
}

func (m *machine) finishLateOne(i int) {
	l := m.lates[i]
	m.lates = slices.Delete(m.lates, i, i+1)
	copy(m.slots.Bytes(l.slot)[l.reply.OffsetBytes:], l.bytes)
	m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyReplied, Op: l.op, Position: uint32(l.position),
		Late: l.reply})
	if e := m.stage.sessions.find(l.reply.Client); e != nil && e.op > l.op {
		m.w.count["reply behind the next"]++
	}
	if !m.stage.views.isNormal() {
		m.w.count["late in a view change"]++
	}
}

// dropLate: another state is opened.
func (m *machine) dropLate() {
	m.w.count["late reply dropped"] += len(m.lates)
	m.lates = nil
}

// sameSessions demands that the machines have the same sessions with the same replies.
func (w *several) sameSessions() {
	w.t.Helper()
	first := w.machines[0]
	for _, m := range w.machines[1:] {
		if m.stage.late.isAny() || m.stage.sessions.count() != first.stage.sessions.count() {
			w.t.Fatalf("seed %d: machine %d has %d sessions, machine 0 has %d; replies are late: %v", w.seed, m.index, m.stage.sessions.count(),
				first.stage.sessions.count(), m.stage.late.isAny())
		}
		for i := range m.stage.sessions.size() {
			a, b := first.stage.sessions.entry(i), m.stage.sessions.entry(i)
			if a.client != b.client || a.op != b.op || a.request != b.request || a.used && !bytes.Equal(first.replyOf(a), m.replyOf(b)) {
				w.t.Fatalf("seed %d: the reply to client %v is that of op %d on machine 0, of op %d on machine %d", w.seed, a.client, a.op, b.op,
					m.index)
			}
		}
	}
}

func (m *machine) replyOf(e *session) []byte {
	return m.slots.Bytes(e.replySlot)[e.replyOffset:][:e.replyBytes]
}

// leaks tells which reply slots are held for nothing, at rest.
func (m *machine) leaks() int {
	return m.stage.slots.heldCount(stages.SlotReply) - m.stage.sessions.count()
}
