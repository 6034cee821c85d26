package consensus

import (
	"bytes"

	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

func (m *machine) performJournal(a *stages.ConsensusToJournal) {
	switch a.Kind {
	case stages.JournalAppend:
		c := m.superblock.Checkpoint.Op
		if a.Op > m.w.l.PrepareMax(c) || a.Op <= c {
			m.w.t.Fatalf("machine %d appends op %d, its checkpoint is %d", m.index, a.Op, c)
		}
		for i := range m.appends {
			if m.appends[i].Op%uint64(len(m.disk)) == a.Op%uint64(len(m.disk)) {
				m.w.t.Fatal("two writes into one slot")
			}
		}
		if m.rotten[int(a.Op%uint64(len(m.disk)))] && !a.InTurn {
			m.w.t.Fatalf("machine %d writes both copies of op %d at once into a damaged slot", m.index, a.Op)
		}
		if view := prepare.Header(m.slots.Bytes(a.Slot)[:prepare.HeaderBytes]).View(); view > m.superblock.LogView {
			m.w.t.Fatalf("seed %d: machine %d writes op %d, which was prepared in view %d, its durable log view is %d", m.w.seed, m.index, a.Op,
				view, m.superblock.LogView)
		}
		m.appends = append(m.appends, *a)
		m.appendedNs[a.Op] = m.w.nowNs
		if len(m.appends) > stages.BudgetJournalAppends {
			m.w.t.Fatal("more appends than the budget")
		}
		m.w.oracle.prepared(prepare.Header(m.slots.Bytes(a.Slot)[:prepare.HeaderBytes]))
	case stages.JournalRead:
		if m.reads = append(m.reads, *a); len(m.reads) > stages.BudgetJournalReads {
			m.w.t.Fatal("more reads than the budget")
		}
	case stages.JournalSuperblock:
		before, next := &m.superblock, a.Superblock
		if m.superblockNext != nil || next.View < before.View || next.LogView < before.LogView || next.Checkpoint.Op < before.Checkpoint.Op {
			m.w.t.Fatalf("machine %d: superblock %+v after %+v", m.index, next, before)
		}
		m.superblockNext, m.superblockCopy = next, *next
		m.superblockAtNs = m.w.nowNs
	}
}

func (m *machine) performApply(a *stages.ConsensusToApply) {
	switch a.Kind {
	case stages.ApplyCommit:
		m.w.oracle.executed(m, a.Op, prepare.Header(m.slots.Bytes(a.Slot)[:prepare.HeaderBytes]))
		m.w.oracle.executedBy(m, prepare.Header(m.slots.Bytes(a.Slot)[:prepare.HeaderBytes]))
		m.commits = append(m.commits, *a)
	case stages.ApplySessions:
		m.sessions = a.Sessions
		records, replies := bytes.Join(a.Sessions.Records, nil), bytes.Join(a.Sessions.Replies, nil)
		m.w.oracle.snapshot(a.Op, records)
		m.w.trailers[a.Op-uint64(m.w.l.BarOps)] = [2][]byte{records, replies}
	case stages.ApplyReplies:
		scatter(m.w.trailers[a.Op][1], a.Sessions.Replies)
		m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyRepliesRead, Op: a.Op})
	case stages.ApplyOpen:
		m.reopen(a)
	case stages.ApplyBlockServe, stages.ApplyBlockArrived:
		m.performBlock(a)
	}
}

func (m *machine) performNet(a *stages.ConsensusToNet) {
	switch a.Kind {
	case stages.NetSessionEnded, stages.NetPeerNoted:
		return
	case stages.NetFree:
		if a.Malformed {
			m.w.count["malformed"]++
		}
		m.slots.Put(a.Slot)
		return
	case stages.NetPeerSend:
		m.performPeerSend(a)
		return
	}
	if m.isStandby() {
		m.w.t.Fatalf("seed %d: standby %d answers a client", m.w.seed, m.index)
	}
	s := sending{action: *a, bytes: bytes.Clone(m.slots.Bytes(a.Slot)[a.OffsetBytes : a.OffsetBytes+a.Bytes])}
	if h := wire.HeaderOf(s.bytes); h.View() > m.superblock.LogView {
		m.w.t.Fatalf("machine %d tells a client view %d, durable is %d", m.index, h.View(), m.superblock.LogView)
	}
	if a.Kind == stages.NetSendFree {
		m.slots.Put(a.Slot)
		m.w.reach(s.bytes)
		return
	}
	m.sends = append(m.sends, s)
}

// performPeerSend checks what leaves against what is durable, as the oracle knows it.
func (m *machine) performPeerSend(a *stages.ConsensusToNet) {
	message := bytes.Clone(m.slots.Bytes(a.Slot)[:a.Bytes])
	command := peer.Command(a.Command)
	if m.isStandby() && !command.OfStandby() {
		m.w.t.Fatalf("seed %d: standby %d sends %v", m.w.seed, m.index, command)
	}
	e := peer.Envelope{Command: command, Author: uint8(m.index), View: a.View, BodyBytes: a.Bytes - 256, Incarnation: 1}
	if e.BodyBytes > 0 {
		e.BodyChecksum = prepare.Sum(message[256:])
	}
	if fault := peer.CheckInner(&e, message[:256], &m.w.bounds); fault.Faulty() {
		m.w.t.Fatalf("machine %d: %v: %+v", m.index, command, fault)
	}
	if fault := peer.CheckBody(&e, message, &m.w.bounds); fault.Faulty() {
		m.w.t.Fatalf("machine %d: %v: %+v", m.index, command, fault)
	}
	if command != peer.CommandRequestStartView && a.View > m.superblock.View {
		m.w.t.Fatalf("machine %d sends %v of view %d, durable is %d", m.index, command, a.View, m.superblock.View)
	}
	switch command {
	case peer.CommandPrepareOK:
		var ok peer.PrepareOK
		ok.Decode(message[:256], &e, &m.w.bounds)
		m.w.oracle.acked(m, a.View, ok.Op, ok.Checksum)
	case peer.CommandDoViewChange:
		m.w.oracle.voted(m, a.View, message)
	case peer.CommandStartView, peer.CommandCommit, peer.CommandPrepare:
		if m.superblock.LogView != a.View {
			m.w.t.Fatalf("machine %d sends %v of view %d, its durable log view is %d", m.index, command, a.View, m.superblock.LogView)
		}
		if command == peer.CommandStartView {
			m.w.count["start_view"]++
		}
	}
	for to := range m.w.machines {
		if a.Peers>>to&1 != 0 {
			m.w.send(m.index, to, flight{command: command, view: a.View, bytes: message})
			action := stages.ConsensusToNet{Slot: a.Slot, Bytes: a.Bytes, Peer: uint8(to)}
			m.peerSends = append(m.peerSends, sending{action: action, bytes: message})
		}
	}
}

// finish lets some of what is under way end.
func (m *machine) finish() {
	for i := 0; i < len(m.appends) && !m.holdsAppends; i++ {
		if m.w.chance(2, 1) == 0 || m.w.nowNs < m.appendedNs[m.appends[i].Op]+m.writeNs {
			continue
		}
		a := m.appends[i]
		m.appends = append(m.appends[:i], m.appends[i+1:]...)
		data := m.prepareOf(&a)
		m.disk[a.Op%uint64(len(m.disk))] = diskSlot{data, data}
		m.w.tell("%d has written %s", m.index, opOf(prepare.Header(data[:256])))
		delete(m.rotten, int(a.Op%uint64(len(m.disk))))
		m.journalEvents = append(m.journalEvents, stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: a.Slot, Op: a.Op,
			Checksum: prepare.Header(data[:256]).Checksum()})
		m.w.oracle.wrote(m, a.Op, prepare.Header(data[:256]).Checksum())
	}
	for len(m.reads) > 0 && !m.holdsWork && m.w.chance(3, 1) > 0 {
		m.finishRead()
	}
	if m.superblockNext != nil && !m.holdsSuperblock && m.w.nowNs >= m.superblockAtNs+m.superblockNs && m.w.chance(3, 0) == 0 {
		m.superblockLands()
		m.journalEvents = append(m.journalEvents, stages.JournalToConsensus{Kind: stages.JournalSuperblockDone, Op: m.superblock.Sequence,
			Checksum: m.superblockSum})
	}
	m.finishLate()
	for len(m.commits) > 0 && !m.holdsWork && !m.awaitsLate() && m.w.chance(3, 1) > 0 && m.hasWorked() {
		m.finishCommit()
	}
	m.finishCheckpoint()
	m.finishTables()
	m.finishBlocks()
	for _, s := range m.sends {
		m.w.reach(s.bytes)
		m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: stages.NetSent, Slot: s.action.Slot})
	}
	for _, s := range m.peerSends {
		if !bytes.Equal(s.bytes, m.slots.Bytes(s.action.Slot)[:s.action.Bytes]) {
			m.w.t.Fatal("a message to a peer changed while it was being sent")
		}
		m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: stages.NetPeerSent, Slot: s.action.Slot, Peer: s.action.Peer})
	}
	m.sends, m.peerSends = nil, nil
}

// hasWorked tells whether an execution has ended. One that has to wait for the one before it begins
// when that ends.
func (m *machine) hasWorked() bool {
	switch {
	case m.workNs == 0:
		return true
	case m.w.nowNs < m.idleNs:
		return false
	}
	m.idleNs = max(m.idleNs, m.w.nowNs-min(m.w.nowNs, m.workNs)) + m.workNs
	return true
}

func (m *machine) finishRead() {
	r := m.reads[0]
	m.reads = m.reads[1:]
	e := stages.JournalToConsensus{Kind: stages.JournalReadDone, Read: stages.ReadOK, Slot: r.Slot, Op: r.Op, Checksum: r.Checksum}
	d := &m.disk[r.Op%uint64(len(m.disk))]
	data := d.p
	if len(data) == 0 && uint32(len(d.t)) <= m.w.l.TwinBytes {
		data = d.t
	}
	switch {
	case len(data) == 0:
		e.Read = stages.ReadDamaged
	case prepare.Header(data[:256]).Checksum() != r.Checksum:
		e.Read = stages.ReadAbsent
	default:
		copy(m.slots.Bytes(r.Slot), data)
	}
	m.journalEvents = append(m.journalEvents, e)
}

func (m *machine) finishCommit() {
	c := m.commits[0]
	m.commits = m.commits[1:]
	if c.Op != m.executed+1 {
		m.w.t.Fatalf("machine %d executes op %d after op %d", m.index, c.Op, m.executed)
	}
	m.executed = c.Op
	m.upgrade.executed(prepare.Header(m.slots.Bytes(c.Slot)[:prepare.HeaderBytes]))
	m.w.tell("%d has executed op %d", m.index, c.Op)
	slot := m.slots.Bytes(c.Slot)
	done := stages.ApplyToConsensus{Kind: stages.ApplyCommitted, Op: c.Op, NextPulseNs: never}
	done.Times.BeganNs, done.Times.EndedNs = m.w.nowNs-max(m.executeNs, m.workNs), m.w.nowNs
	if c.ReplySlot != stages.SlotNone {
		h := prepare.Header(slot[:256])
		done.Replies = buildReplies(slot[:h.SizeBytes()], m.slots.Bytes(c.ReplySlot), nil)
		m.leaveLate(&c, h, done.Replies)
	}
	m.applyEvents = append(m.applyEvents, done)
}

func (w *several) reach(message []byte) {
	h := wire.HeaderOf(message[:256])
	for _, c := range w.clients {
		if h.Command() == wire.CommandReply && h.ReplyClient() == c.fields.Client {
			c.onReply(h)
		} else if h.Command() == wire.CommandEviction && h.EvictionClient() == c.fields.Client {
			w.t.Fatalf("seed %d: a client that keeps the rules is evicted: %v", w.seed, h.EvictionReason())
		}
	}
}
