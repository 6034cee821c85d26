package sim

import (
	"bytes"
	"fmt"
	"strings"

	protocol "ledger/peer"
	"ledger/sim/oracle"
)

// sends judges a message of m to another replica, as it leaves. What it asserts must be durable on
// m, and what it says is committed must be so.
func (m *Machine) sends(to *Machine, head, body []byte) {
	if len(head) != oracle.HeadBytes {
		return // a part of a handshake
	}
	d, s := m.witness, m.cluster.several
	e := oracle.ParseMessage(head, body)
	fail := func(format string, arguments ...any) {
		m.fail("machine %d sends %s in view %d, and %s", m.index, protocol.Command(e.Command), e.View, fmt.Sprintf(format, arguments...))
	}
	m.sayMessage(to, &e)
	primary := m.cluster.primaryOf(e.View)
	switch {
	case m.isStandby() && !protocol.Command(e.Command).OfStandby():
		fail("it is a standby")
	case e.Author != m.index:
		fail("it names replica %d as its author", e.Author)
	case e.Command != oracle.RequestStartView && e.View > d.view:
		fail("view %d is durable", d.view)
	}
	switch e.Command {
	case oracle.PrepareMessage, oracle.PrepareOK, oracle.Commit, oracle.StartView:
		if e.View > d.logView {
			fail("log view %d is durable", d.logView)
		}
		if (e.Command == oracle.PrepareOK) == (primary == m.index) {
			fail("replica %d is the primary", primary)
		}
	}
	switch e.Command {
	case oracle.PrepareMessage, oracle.RepairPrepare:
		p := oracle.ParsePrepare(append(append([]byte(nil), e.Inner...), e.Body...))
		if e.Command == oracle.PrepareMessage {
			s.isCommitted(fail, p.Commit)
			s.oracle.Written(p.Bytes) // a primary sends its prepare while it is being written, or before
			break
		}
		s.marks.add(MarkRepairServed)
		if m.cluster.primaryOf(p.View) == m.index {
			s.oracle.Written(p.Bytes) // its own, which may be in memory alone
		}
		if known := s.oracle.Prepare(p.Checksum); known == nil || !bytes.Equal(known.Bytes, p.Bytes) {
			fail("op %d is not what was prepared", p.Op)
		}
	case oracle.PrepareOK:
		op, checksum := e.U64(oracle.PrepareOKOpAt), e.Sum(oracle.PrepareOKChecksumAt)
		s.isCommitted(fail, e.U64(oracle.PrepareOKCommitMinAt))
		if p := s.oracle.Prepare(checksum); d.logView == e.View && (p == nil || p.Op != op || !d.hasHeld(p)) {
			fail("op %d is not on its disk", op)
		}
		l := &m.limits
		if most := l.CheckpointTrigger(l.CheckpointAfter(d.checkpointOp)) + uint64(l.SlackOps); op > most {
			fail("with the durable checkpoint %d it may acknowledge up to op %d, not op %d", d.checkpointOp, most, op)
		}
		m.keepsHalf(fail, op)
		strangers := s.oracle.Strangers
		s.judged(s.oracle.Acked(m.index, e.View, checksum))
		if s.oracle.Strangers > strangers {
			s.marks.add(MarkOldAck)
			m.say("its data file does not count for op %d", op)
		} else if d.isReplacement {
			s.marks.add(MarkReplacedAck)
		}
	case oracle.Commit:
		op := e.U64(oracle.CommitOpAt)
		s.isCommitted(fail, op)
		if p := s.oracle.Committed(op); p != nil && p.Checksum != e.Sum(oracle.CommitChecksumAt) {
			fail("the committed op %d has another checksum", op)
		}
	case oracle.StartView:
		s.isCommitted(fail, e.U64(oracle.StartCommitMaxAt))
		m.cluster.several.markTruncated(e.View, e.U64(oracle.StartOpAt))
		s.keeps(fail, e.View, e.Body[oracle.StartCheckpointBytes:], e.U64(oracle.StartOpAt))
	case oracle.DoViewChange:
		s.isCommitted(fail, e.U64(oracle.BallotCommitMinAt))
		m.votes(fail, &e)
	case oracle.Ping, oracle.Pong:
		s.isCommitted(fail, e.U64(oracle.PingCommitMaxAt))
	case oracle.CommitEcho:
		s.isCommitted(fail, e.U64(oracle.EchoCommitMinAt))
	case oracle.StartViewChange:
		cause := protocol.Cause(e.Inner[0])
		s.marks.Causes[cause%16]++
		switch cause {
		case protocol.CauseDeaf:
			s.marks.add(MarkDeaf)
		case protocol.CauseStuck:
			s.marks.add(MarkStuck)
		case protocol.CauseUncertain:
			s.marks.add(MarkUncertainWish)
		case protocol.CauseClock:
			s.marks.add(MarkClockLost)
		}
	case oracle.Request:
		s.marks.add(MarkForwarded)
	case oracle.PrepareMissing:
		s.marks.add(MarkMissing)
	case oracle.RequestBlocks, oracle.BlockMessage:
		m.judgeBlocks(fail, to, &e)
	}
}

// markTruncated looks for an op that somebody has written, and that the log of a view leaves out.
func (s *several) markTruncated(view uint32, head uint64) {
	for _, m := range s.cluster.machines {
		if p := m.witness.slot(head + 1).prepare; p != nil && p.Op == head+1 && p.View < view {
			s.marks.add(MarkTruncated)
			return
		}
	}
}

// isCommitted demands that op is committed.
func (s *several) isCommitted(fail func(string, ...any), op uint64) {
	if highest := s.oracle.Highest(); op > highest {
		fail("says that op %d is committed; op %d is the last one", op, highest)
	}
}

// keeps demands that the log of a new view has what is committed, as far as its headers say.
func (s *several) keeps(fail func(string, ...any), view uint32, headers []byte, head uint64) {
	if highest := s.oracle.HighestBefore(view); head < highest {
		fail("its log ends at op %d, and op %d is committed", head, highest)
	}
	for ; len(headers) >= oracle.InnerBytes; headers = headers[oracle.InnerBytes:] {
		h := oracle.ParsePrepare(headers)
		if p := s.oracle.Committed(h.Op); p != nil && p.Checksum != h.Checksum && h.Op <= s.oracle.HighestBefore(view) {
			fail("op %d, which is committed, is another one in it", h.Op)
		}
	}
}

// votes demands that the list of a ballot is the same each time, until the log view moves.
func (m *Machine) votes(fail func(string, ...any), e *oracle.Message) {
	d, marks := m.witness, &m.cluster.several.marks
	logView := e.U32(oracle.BallotLogViewAt)
	uncertain := e.Inner[oracle.BallotUncertainAt:][:oracle.BallotUncertainBytes]
	list := append(append([]byte(nil), uncertain...), e.Body...)
	if before, ok := d.ballots[logView]; ok && !bytes.Equal(before, list) {
		fail("its list for log view %d is not the one that it has sent before", logView)
	}
	if logView > d.logView {
		fail("it votes with log view %d, and %d is durable", logView, d.logView)
	}
	d.ballots[logView] = list
	if !allZero(uncertain) {
		marks.add(MarkUncertainVote)
	}
	if e.U32(oracle.BallotPresentAt)>>16 != 0 { // the nack bits lie behind
		marks.add(MarkNackVote)
	}
	for at := 0; at < len(e.Body); at += oracle.InnerBytes {
		if oracle.IsBlank(e.Body[at:]) {
			marks.add(MarkBlankVote)
		}
	}
}

// say adds a line about a machine to the protocol's trace.
func (m *Machine) say(format string, arguments ...any) {
	if m.world.options.Trace && m.cluster.several != nil {
		m.world.line(fmt.Sprintf("R%d  %s", m.index, fmt.Sprintf(format, arguments...)))
	}
}

// line adds a line to the trace.
func (w *World) line(text string) {
	w.trace = append(w.trace, fmt.Sprintf("%12.3f ms  %s", float64(w.events.nowNs)/1e6, text))
}

// sayMessage adds a message to the protocol's trace.
func (m *Machine) sayMessage(to *Machine, e *oracle.Message) {
	if !m.world.options.Trace || (e.Command == oracle.Ping || e.Command == oracle.Pong) {
		return
	}
	m.say("-> R%d  %s", to.index, textOf(e))
}

// textOf describes a message.
func textOf(e *oracle.Message) string {
	name, u64 := protocol.Command(e.Command).String(), e.U64
	switch e.Command {
	case oracle.PrepareMessage, oracle.RepairPrepare:
		h := oracle.ParsePrepare(append(append([]byte(nil), e.Inner...), e.Body...))
		return fmt.Sprintf("view %d: %s op %d of view %d, commit %d", e.View, name, h.Op, h.View, h.Commit)
	case oracle.PrepareOK:
		return fmt.Sprintf("view %d: %s op %d, commit_min %d", e.View, name, u64(oracle.PrepareOKOpAt), u64(oracle.PrepareOKCommitMinAt))
	case oracle.Commit:
		return fmt.Sprintf("view %d: %s %d, checkpoint %d", e.View, name, u64(oracle.CommitOpAt), u64(oracle.CommitCheckpointOpAt))
	case oracle.CommitEcho:
		return fmt.Sprintf("view %d: %s, head %d, commit_min %d", e.View, name, u64(oracle.EchoOpAt), u64(oracle.EchoCommitMinAt))
	case oracle.StartViewChange:
		return fmt.Sprintf("view %d: %s, because %s", e.View, name, protocol.Cause(e.Inner[0]))
	case oracle.DoViewChange:
		text := fmt.Sprintf("view %d: %s, log view %d, head %d, commit_min %d, checkpoint %d:", e.View, name, e.U32(oracle.BallotLogViewAt),
			u64(oracle.BallotOpAt), u64(oracle.BallotCommitMinAt), u64(oracle.BallotCheckpointOpAt))
		bits := e.U32(oracle.BallotPresentAt)
		for i, op := range opsOf(e.Body) {
			text += fmt.Sprintf(" %s%s%s", op, [2]string{"", "+"}[bits>>i&1], [2]string{"", "-"}[bits>>(16+i)&1])
		}
		if !allZero(e.Inner[oracle.BallotUncertainAt:][:oracle.BallotUncertainBytes]) {
			text += fmt.Sprintf(", uncertain slots %s", slotsOf(e.Inner[oracle.BallotUncertainAt:][:oracle.BallotUncertainBytes]))
		}
		return text
	case oracle.StartView:
		return fmt.Sprintf("view %d: %s, head %d, commit_max %d, checkpoint %d: %s", e.View, name, u64(oracle.StartOpAt),
			u64(oracle.StartCommitMaxAt), u64(oracle.StartCheckpointOpAt), strings.Join(opsOf(e.Body[oracle.StartCheckpointBytes:]), " "))
	case oracle.RequestHeaders:
		return fmt.Sprintf("view %d: %s %d to %d", e.View, name, u64(0), u64(8))
	case oracle.Headers:
		return fmt.Sprintf("view %d: %s %s", e.View, name, strings.Join(opsOf(e.Body), " "))
	case oracle.RequestBlocks:
		text := fmt.Sprintf("view %d: %s", e.View, name)
		for i := range int(e.Inner[oracle.BlocksCountAt]) {
			address, _ := e.BlockName(oracle.BlockNamesAt + i*oracle.BlockNameBytes)
			text += fmt.Sprint(" ", address)
		}
		return text
	case oracle.BlockMessage, oracle.BlockMissing:
		address, _ := e.BlockName(0)
		return fmt.Sprintf("view %d: %s %d, %d bytes", e.View, name, address, len(e.Body))
	case oracle.RequestPrepare, oracle.PrepareMissing:
		return fmt.Sprintf("view %d: %s op %d", e.View, name, u64(16))
	}
	return fmt.Sprintf("view %d: %s", e.View, name)
}

// opsOf describes headers: op and view, or a blank.
func opsOf(headers []byte) (list []string) {
	for ; len(headers) >= oracle.InnerBytes; headers = headers[oracle.InnerBytes:] {
		h := oracle.ParsePrepare(append([]byte(nil), headers[:oracle.InnerBytes]...))
		if oracle.IsBlank(headers) {
			list = append(list, "?")
			continue
		}
		list = append(list, fmt.Sprintf("%d.%d", h.Op, h.View))
	}
	return list
}

// slotsOf lists the bits of a set.
func slotsOf(set []byte) string {
	var list []string
	for i := range 8 * len(set) {
		if set[i/8]>>(i%8)&1 != 0 {
			list = append(list, fmt.Sprint(i))
		}
	}
	return strings.Join(list, " ")
}
