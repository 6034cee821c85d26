package consensus

import (
	"bytes"

	"ledger/prepare"
	"ledger/stages"
	"ledger/storage/datafile"
	"ledger/wire"
)

// checkStopped: after a fault, leases and messages come back, and nothing else is wanted.
func (w *world) checkStopped(out *Actions) {
	isWanted := len(out.Journal)+len(out.Apply) > 0 || out.Fault != nil
	for i := range out.Net {
		isWanted = isWanted || out.Net[i].Kind != stages.NetFree
	}
	if isWanted {
		w.t.Fatalf("after the fault %v: %+v", w.fault, out)
	}
}

func (w *world) performJournal(a *stages.ConsensusToJournal) {
	w.note('j', uint64(a.Kind), uint64(a.Slot), a.Op)
	switch a.Kind {
	case stages.JournalAppend:
		if w.appending != nil {
			w.t.Fatalf("op %d is appended while op %d is being written", a.Op, w.appending.Op)
		}
		if a.Op != w.head+1 || a.Op > w.l.PrepareMax(w.superblock.Checkpoint.Op) {
			w.t.Fatalf("op %d is appended, the head is %d and the checkpoint %d", a.Op, w.head, w.superblock.Checkpoint.Op)
		}
		if slots := uint64(w.l.JournalSlotsCount); a.Op >= slots && a.Op-slots > w.superblock.Checkpoint.Op {
			w.t.Fatalf("op %d overwrites op %d, which a restart from op %d needs", a.Op, a.Op-slots, w.superblock.Checkpoint.Op)
		}
		w.checkPrepare(a)
		w.appending = &stages.ConsensusToJournal{Slot: a.Slot, Op: a.Op, Checksum: prepare.Header(w.slots.Bytes(a.Slot)[:256]).Checksum()}
	case stages.JournalRead:
		if a.Checksum != prepare.Header(w.log[a.Op][:256]).Checksum() {
			w.t.Fatalf("op %d is read with another checksum than the log has", a.Op)
		}
		w.reads = append(w.reads, *a)
		if len(w.reads) > stages.BudgetJournalReads {
			w.t.Fatal("more reads than the budget")
		}
	case stages.JournalSuperblock:
		if w.superblockNext != nil {
			w.t.Fatal("two superblocks are being written")
		}
		if a.Superblock.Sequence != w.superblock.Sequence+1 || a.Superblock.Parent != w.superblockSum || a.Superblock.View != w.superblock.View ||
			a.Superblock.CommitMax < w.superblock.CommitMax || a.Superblock.CommitMax > w.head {
			w.t.Fatalf("superblock %+v after %+v", a.Superblock, w.superblock)
		}
		c := &a.Superblock.Checkpoint
		if got := prepare.Header(w.log[c.Op][:256]).Checksum(); wire.Checksum(got) != c.PrepareChecksum {
			w.t.Fatalf("checkpoint of op %d names another prepare", c.Op)
		}
		w.superblockNext, w.superblockCopy = a.Superblock, *a.Superblock
	}
}

// checkPrepare: chain, checksums, timestamps and the limits of a group.
func (w *world) checkPrepare(a *stages.ConsensusToJournal) {
	slot := w.slots.Bytes(a.Slot)
	h := prepare.Header(slot[:prepare.HeaderBytes])
	size := h.SizeBytes()
	p := slot[:size]
	if !prepare.ValidHeader(h, testCluster, w.l.MessageBytesMax) || !prepare.ValidBody(p) || prepare.Validate(p) != nil || h.Op() != a.Op {
		w.t.Fatalf("op %d: the prepare is not valid", a.Op)
	}
	parent, last := w.superblock.Checkpoint.PrepareChecksum, uint64(0)
	if before, ok := w.log[a.Op-1]; ok {
		parent, last = prepare.Header(before[:256]).Checksum(), prepare.Header(before[:256]).Timestamp()
	}
	if h.Parent() != parent {
		w.t.Fatalf("op %d does not follow the op before it", a.Op)
	}
	if h.View() != w.superblock.View || h.Commit() >= a.Op {
		w.t.Fatalf("op %d: view %d, commit %d", a.Op, h.View(), h.Commit())
	}
	c := &w.superblock.Checkpoint
	id := datafile.CheckpointID(c)
	if a.Op <= w.l.CheckpointAfter(c.Op) {
		id = c.ParentID
	}
	if h.CheckpointID() != id {
		w.t.Fatalf("op %d names another checkpoint than it may while %d is the newest", a.Op, c.Op)
	}
	if h.Operation() == wire.OperationPulse {
		w.pulses++
		if h.Timestamp() < last+1+8190 {
			w.t.Fatalf("op %d: a pulse at %d after %d", a.Op, h.Timestamp(), last)
		}
		return
	}
	clients := map[wire.U128]bool{}
	events, replies := uint64(0), uint64(0)
	for i := range int(h.RequestsCount()) {
		r := prepare.RequestAt(p, i)
		m, fault := wire.MeasureBody(r.Operation, r.Body, w.l.RequestBytesMax-256)
		if fault != "" || clients[r.Client] {
			w.t.Fatalf("op %d: request %d: %s, client twice: %v", a.Op, i, fault, clients[r.Client])
		}
		clients[r.Client] = true
		delta := wire.TimestampDelta(r.Operation, r.Body)
		if r.Timestamp < last+1+delta || r.Timestamp != last+1+delta && r.Timestamp != w.wallNs+delta {
			w.t.Fatalf("op %d: request %d with %d events has timestamp %d after %d", a.Op, i, delta, r.Timestamp, last)
		}
		last = r.Timestamp
		if h.IsGroup() && r.Operation.Class() == wire.ClassControl {
			w.t.Fatalf("op %d: %v is in a group", a.Op, r.Operation)
		}
		events += uint64(m.EventsCount)
		replies = (replies+63)/64*64 + uint64(m.ReplyBytesMax) + 256
	}
	if h.Timestamp() != last {
		w.t.Fatalf("op %d: timestamp %d, its last request has %d", a.Op, h.Timestamp(), last)
	}
	if events > 8190 || replies > wire.MessageBytesMax || h.IsGroup() && size-256 > w.l.GroupBytesMax {
		w.t.Fatalf("op %d: %d events, %d bytes of replies, %d bytes", a.Op, events, replies, size)
	}
}

func (w *world) performApply(a *stages.ConsensusToApply) {
	w.note('a', uint64(a.Kind), uint64(a.Slot), uint64(a.ReplySlot), a.Op)
	durable := w.superblock.Checkpoint.Op
	switch a.Kind {
	case stages.ApplyCommit:
		if w.l.IsTrigger(a.Op) && a.Op > w.head {
			w.t.Fatalf("trigger op %d is executed before it is durable", a.Op)
		}
		if opMax := w.l.CheckpointTrigger(w.l.CheckpointAfter(durable)) + uint64(w.l.SlackOps); a.Op > opMax {
			w.t.Fatalf("op %d is executed while checkpoint %d is the newest", a.Op, durable)
		}
		w.commits = append(w.commits, *a)
		if len(w.commits) > int(w.l.PipelineOpsMax) {
			w.t.Fatal("more commits than the pipeline is long")
		}
	case stages.ApplySessions:
		if w.sessions != nil || a.Sessions.Op != a.Op || !w.l.IsTrigger(a.Op) {
			w.t.Fatalf("sessions of op %d", a.Op)
		}
		w.sessions = a.Sessions
		w.sessionsBytes, w.repliesBytes = bytes.Join(a.Sessions.Records, nil), bytes.Join(a.Sessions.Replies, nil)
		w.checkSessions(w.sessionsBytes, w.repliesBytes, a.Op)
	case stages.ApplyReplies:
		scatter(w.replies, a.Sessions.Replies)
		w.applyEvents = append(w.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyRepliesRead, Op: a.Op})
	case stages.ApplyCheckpointDurable:
		if a.Op != durable {
			w.t.Fatalf("checkpoint %d is called durable, on disk is %d", a.Op, durable)
		}
	}
}

func (w *world) performNet(a *stages.ConsensusToNet) {
	w.note('n', uint64(a.Kind), uint64(a.Slot), uint64(a.OffsetBytes), uint64(a.Bytes), a.Client.Lo)
	switch {
	case a.Kind == stages.NetSend || a.Kind == stages.NetSessionEnded:
		w.registered[a.Client] = a.Registered
	case a.Kind == stages.NetSendFree && !a.Client.IsZero() && !a.Registered:
		delete(w.registered, a.Client) // an eviction ends the client, though not always its session
	}
	if a.Kind == stages.NetSessionEnded {
		return
	}
	s := sending{action: *a, bytes: bytes.Clone(w.slots.Bytes(a.Slot)[a.OffsetBytes : a.OffsetBytes+a.Bytes])}
	if a.Kind != stages.NetFree {
		h := wire.HeaderOf(s.bytes)
		if h.Command() == wire.CommandReply && (h.ReplyOp() > w.head || h.View() > w.superblock.View) {
			w.t.Fatalf("the reply of op %d leaves, durable is op %d, view %d", h.ReplyOp(), w.head, w.superblock.View)
		}
		if parser := wire.NewParser(testCluster, wire.SideClient); h.Checksum() != h.ComputeChecksum() {
			w.t.Fatal("a message leaves with a wrong checksum")
		} else if verdict, fault := parser.CheckMessage(h); verdict != wire.VerdictOK {
			w.t.Fatalf("a message leaves that clients do not take: %s", fault)
		}
	}
	if a.Kind == stages.NetSend {
		w.sends = append(w.sends, s)
	} else {
		w.frees = append(w.frees, s)
	}
	w.netMax = max(w.netMax, len(w.sends)+len(w.frees))
}

// scatter copies the content of a trailer into its pieces.
func scatter(content []byte, pieces [][]byte) {
	for _, piece := range pieces {
		content = content[copy(piece, content):]
	}
}
