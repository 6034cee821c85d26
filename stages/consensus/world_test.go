package consensus

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

const never = uint64(1<<63 - 1)

var testCluster = wire.U128{Lo: 7}

// testLimits make checkpoints and wraps of the log happen all the time.
func testLimits() limits.Limits {
	l := limits.Production()
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 32, 4, 4, 4
	l.SessionsMax, l.ConnectionsMax = 4, 8
	return l
}

// world is a stage with journal, apply and net played by the test. What the parts rely on is
// checked at each action.
type world struct {
	t      testing.TB
	l      limits.Limits
	memory *arena.Arena
	slots  *stages.Slots
	stage  *Stage
	out    Actions
	nowNs  uint64
	wallNs uint64

	// On disk.
	superblock    datafile.Superblock
	superblockSum wire.Checksum
	trailer       []byte
	replies       []byte
	log           map[uint64][]byte // every prepare that ever was durable, also those that the ring has overwritten
	head          uint64

	// On its way.
	appending      *stages.ConsensusToJournal
	reads          []stages.ConsensusToJournal
	superblockNext *datafile.Superblock
	superblockCopy datafile.Superblock
	commits        []stages.ConsensusToApply
	executed       uint64
	sessions       *stages.Sessions
	sessionsBytes  []byte // as they were when they were lent
	repliesBytes   []byte // the same
	trailerNext    []byte
	repliesNext    []byte
	sends          []sending
	frees          []sending
	registered     map[wire.U128]bool // what net was last told of each client since the start

	clockReports []uint64 // of a clock that is behind, in ns

	// For the stage's next turn.
	journalEvents []stages.JournalToConsensus
	applyEvents   []stages.ApplyToConsensus
	netEvents     []stages.NetToConsensus

	nextPulse func(timestamp uint64) uint64
	onMessage func(message []byte) // what reached a client
	pulses    int
	fault     *storage.Fault
	ready     bool
	netMax    int // most descriptors that were at net at once
	trace     uint64
}

// sending is one message at net, and its bytes when it was handed over.
type sending struct {
	action stages.ConsensusToNet
	bytes  []byte
}

func newWorld(t testing.TB, l limits.Limits) *world {
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, l: l, log: map[uint64][]byte{}, wallNs: 1_000_000_000_000, nextPulse: func(uint64) uint64 { return never }}
	w.onMessage = func([]byte) {}
	root := make([]byte, prepare.HeaderBytes)
	w.superblock = datafile.Superblock{Sequence: 1, Cluster: testCluster, ReplicasCount: 1, SessionsMax: l.SessionsMax}
	w.superblock.Checkpoint.PrepareChecksum = prepare.PutRoot(root, testCluster).Checksum()
	t.Cleanup(func() {
		if w.memory != nil {
			w.memory.Close()
		}
	})
	w.start()
	return w
}

// start makes a new stage from what is on disk.
func (w *world) start() {
	if w.memory != nil {
		w.memory.Close()
	}
	w.memory = arena.New()
	l := &w.l
	w.slots = &stages.Slots{}
	w.slots.Pools[stages.SlotClient] = arena.NewPool(w.memory, 2*l.ConnectionsMax+l.PipelineOpsMax, wire.MessageBytesMax, "client slots")
	w.slots.Pools[stages.SlotPrepare] = arena.NewPool(w.memory, l.PipelineOpsMax+2, wire.MessageBytesMax, "prepare slots")
	w.slots.Pools[stages.SlotReply] = arena.NewPool(w.memory, l.SessionsMax+2*l.PipelineOpsMax, wire.MessageBytesMax, "reply slots")
	w.superblock.View++
	w.superblock.LogView = w.superblock.View
	w.superblock.Sequence++
	w.superblock.CommitMax = max(w.superblock.CommitMax, w.head)
	w.out = NewActions(l)
	w.executed = w.superblock.Checkpoint.Op
	w.appending, w.reads, w.superblockNext, w.commits, w.sessions, w.trailerNext, w.repliesNext = nil, nil, nil, nil, nil, nil, nil
	w.sends, w.frees, w.journalEvents, w.applyEvents, w.netEvents = nil, nil, nil, nil, nil
	w.ready, w.fault, w.registered = false, nil, map[wire.U128]bool{}
	headers := make([]byte, l.JournalSlotsCount*prepare.HeaderBytes)
	for op := w.superblock.Checkpoint.Op + 1; op <= w.head; op++ {
		copy(headers[op%uint64(l.JournalSlotsCount)*prepare.HeaderBytes:], w.log[op][:prepare.HeaderBytes])
	}
	var err error
	w.stage, err = New(*l, DefaultOptions(), w.slots, &Recovered{
		Superblock: w.superblock, SuperblockChecksum: w.superblockSum, OpHead: w.head, SessionsTrailer: w.trailer, RepliesTrailer: w.replies,
		Headers: headers,
	}, w.memory)
	if err != nil {
		w.t.Fatal(err)
	}
}

// crash loses what is not on disk. What was on its way may have arrived.
func (w *world) crash(appendLands, superblockLands bool) {
	if w.appending != nil && appendLands {
		w.appendLands()
	}
	if w.superblockNext != nil && superblockLands {
		w.superblockLands()
	}
	w.start()
}

func (w *world) appendLands() {
	a := w.appending
	bytes_ := w.slots.Bytes(a.Slot)
	size := prepare.Header(bytes_[:prepare.HeaderBytes]).SizeBytes()
	w.log[a.Op] = bytes.Clone(bytes_[:size])
	w.head = a.Op
	w.appending = nil
}

func (w *world) superblockLands() {
	if *w.superblockNext != w.superblockCopy {
		w.t.Fatal("the superblock changed while it was being written")
	}
	w.superblock = w.superblockCopy
	w.superblockSum = wire.Checksum{byte(w.superblock.Sequence)}
	w.trailer, w.replies = w.trailerNext, w.repliesNext
	w.superblockNext = nil
}

// turn gives the stage what waits for it.
func (w *world) turn() {
	w.out.Reset()
	out := &w.out
	netCap := cap(out.Net)
	w.stage.Step(w.nowNs, Events{WallNs: w.wallNs, Journal: w.journalEvents, Apply: w.applyEvents, Net: w.netEvents}, out)
	w.journalEvents, w.applyEvents, w.netEvents = w.journalEvents[:0], w.applyEvents[:0], w.netEvents[:0]
	if cap(out.Net) != netCap || cap(out.Journal) != 64 || cap(out.Apply) != 64 {
		w.t.Fatal("the actions grew")
	}
	if w.fault != nil {
		w.checkStopped(out)
	}
	if out.Fault != nil { // what this step wanted before is performed still, as the driver does
		w.fault = out.Fault
	}
	w.ready = w.ready || out.Ready
	if out.ClockBehindNs > 0 {
		w.clockReports = append(w.clockReports, out.ClockBehindNs)
	}
	for i := range out.Journal {
		w.performJournal(&out.Journal[i])
	}
	for i := range out.Apply {
		w.performApply(&out.Apply[i])
	}
	for i := range out.Net {
		w.performNet(&out.Net[i])
	}
}

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

func (w *world) note(kind byte, values ...uint64) {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], w.trace)
	h.Write(append(b[:], kind))
	for _, v := range values {
		binary.LittleEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
	w.trace = h.Sum64()
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
	case stages.ApplyCheckpointDurable:
		if a.Op != durable {
			w.t.Fatalf("checkpoint %d is called durable, on disk is %d", a.Op, durable)
		}
	}
}

// checkSessions holds a snapshot against a replay of the log by the plain rules.
func (w *world) checkSessions(trailer, replies []byte, op uint64) {
	model := w.modelSessions(op)
	if count := binary.LittleEndian.Uint64(trailer[8:]); count != uint64(len(model)) {
		w.t.Fatalf("snapshot of op %d has %d sessions, want %d", op, count, len(model))
	}
	at := trailerHeaderBytes
	for at < len(trailer) {
		record := trailer[at : at+trailerRecordBytes]
		client, size := wire.U128FromBytes(record[:16]), int(binary.LittleEndian.Uint32(record[recordReplyBytes:]))
		reply := wire.HeaderOf(replies[:256])
		m, ok := model[client]
		if !ok || m.number != binary.LittleEndian.Uint64(record[recordNumber:]) ||
			m.op != reply.ReplyOp() || m.checksum != reply.ReplyRequestChecksum() ||
			reply.Checksum() != wire.Checksum(record[recordReplyChecksum:][:16]) ||
			m.op != binary.LittleEndian.Uint64(record[recordOp:]) || uint32(m.position) != binary.LittleEndian.Uint32(record[recordPosition:]) ||
			m.checksum != wire.Checksum(record[recordRequestChecksum:][:16]) {
			w.t.Fatalf("snapshot of op %d: client %v, want %+v", op, client, m)
		}
		at += trailerRecordBytes
		replies = replies[size:]
	}
	if len(replies) > 0 {
		w.t.Fatalf("snapshot of op %d: %d bytes of replies are of no session", op, len(replies))
	}
}

type modelSession struct {
	number, op uint64
	position   int
	checksum   wire.Checksum
}

// modelSessions are the sessions after op, by the rules of the wire protocol, 4.7.
func (w *world) modelSessions(op uint64) map[wire.U128]modelSession {
	table := map[wire.U128]modelSession{}
	for at := uint64(1); at <= op; at++ {
		p := w.log[at]
		if prepare.Header(p[:256]).Operation() == wire.OperationPulse {
			continue
		}
		for i := range int(prepare.Header(p[:256]).RequestsCount()) {
			r := prepare.RequestAt(p, i)
			entry, known := table[r.Client]
			switch {
			case r.Operation == wire.OperationRegister:
				if known {
					w.t.Fatalf("op %d registers a client that has a session", at)
				}
				if len(table) == int(w.l.SessionsMax) {
					var victim wire.U128
					for client, e := range table {
						if v := table[victim]; victim.IsZero() || e.op < v.op || e.op == v.op && e.position < v.position {
							victim = client
						}
					}
					delete(table, victim)
				}
				entry.number = at
			case !known:
				continue
			}
			entry.op, entry.position, entry.checksum = at, i, r.RequestChecksum
			table[r.Client] = entry
		}
	}
	return table
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

// What the parts finish. Each returns whether there was anything.

func (w *world) finishAppend() bool {
	if w.appending == nil {
		return false
	}
	op, slot, checksum := w.appending.Op, w.appending.Slot, w.appending.Checksum
	w.appendLands()
	w.journalEvents = append(w.journalEvents, stages.JournalToConsensus{Kind: stages.JournalAppended, Slot: slot, Op: op,
		Checksum: checksum})
	return true
}

func (w *world) finishRead(index int) bool {
	if len(w.reads) == 0 {
		return false
	}
	index %= len(w.reads)
	r := w.reads[index]
	w.reads = append(w.reads[:index], w.reads[index+1:]...)
	copy(w.slots.Bytes(r.Slot), w.log[r.Op])
	w.journalEvents = append(w.journalEvents, stages.JournalToConsensus{Kind: stages.JournalReadDone, Read: stages.ReadOK, Slot: r.Slot,
		Op: r.Op, Checksum: r.Checksum})
	return true
}

func (w *world) finishSuperblock() bool {
	if w.superblockNext == nil {
		return false
	}
	w.superblockLands()
	w.journalEvents = append(w.journalEvents, stages.JournalToConsensus{Kind: stages.JournalSuperblockDone, Op: w.superblock.Sequence,
		Checksum: w.superblockSum})
	return true
}

// finishCommit executes the oldest op that was given to apply.
func (w *world) finishCommit() bool {
	if len(w.commits) == 0 {
		return false
	}
	c := w.commits[0]
	w.commits = w.commits[1:]
	if c.Op != w.executed+1 {
		w.t.Fatalf("op %d is executed after op %d", c.Op, w.executed)
	}
	w.executed = c.Op
	slot := w.slots.Bytes(c.Slot)
	h := prepare.Header(slot[:256])
	if durable, ok := w.log[c.Op]; ok && !bytes.Equal(durable, slot[:len(durable)]) {
		w.t.Fatalf("op %d is executed with other bytes than the log has", c.Op)
	}
	done := stages.ApplyToConsensus{Kind: stages.ApplyCommitted, Op: c.Op, NextPulseNs: w.nextPulse(h.Timestamp())}
	if h.Operation() == wire.OperationPulse && c.ReplySlot != stages.SlotNone {
		w.t.Fatalf("the pulse of op %d has a reply slot", c.Op)
	}
	if c.ReplySlot != stages.SlotNone {
		done.Replies = buildReplies(slot[:h.SizeBytes()], w.slots.Bytes(c.ReplySlot), nil)
	}
	w.applyEvents = append(w.applyEvents, done)
	return true
}

// buildReplies plays the state machine: what a reply says follows from the prepare alone. It
// appends the descriptors to replies.
func buildReplies(p, out []byte, replies []stages.Reply) []stages.Reply {
	bytesCount := uint32(0)
	h := prepare.Header(p[:256])
	for i := range int(h.RequestsCount()) {
		r := prepare.RequestAt(p, i)
		m, _ := wire.MeasureBody(r.Operation, r.Body, h.RequestLimit()-256)
		size := m.ReplyBytesMax
		if r.Operation != wire.OperationRegister && size > 64 {
			size -= uint32(r.RequestChecksum[0]) % 64
		}
		body := out[bytesCount+256:][:size]
		if r.Operation == wire.OperationRegister {
			wire.PutRegisterReplyBody(body, h.RequestLimit()-256)
		} else {
			for j := range body {
				body[j] = r.RequestChecksum[j%16] ^ byte(r.Timestamp)
			}
		}
		wire.BuildReply(wire.HeaderOf(out[bytesCount:][:256]), &wire.ReplyFields{
			Cluster: testCluster, Client: r.Client, RequestChecksum: r.RequestChecksum, RequestNumber: r.Request, Release: r.Release,
			Operation: r.Operation, Op: h.Op(), Timestamp: r.Timestamp, View: h.View(), Replica: h.Replica(),
		}, body)
		replies = append(replies, stages.ReplyOf(wire.HeaderOf(out[bytesCount:][:256]), bytesCount))
		bytesCount = (bytesCount + 256 + size + 63) &^ 63
	}
	return replies
}

// finishCheckpoint: everything is written; the lent sessions must not have changed.
func (w *world) finishCheckpoint() bool {
	if w.sessions == nil {
		return false
	}
	if !bytes.Equal(bytes.Join(w.sessions.Records, nil), w.sessionsBytes) ||
		!bytes.Equal(bytes.Join(w.sessions.Replies, nil), w.repliesBytes) {
		w.t.Fatal("lent sessions changed")
	}
	w.trailerNext, w.repliesNext = w.sessionsBytes, w.repliesBytes
	c := &storage.Checkpoint{Op: w.sessions.Op - uint64(w.l.BarOps)}
	w.sessions = nil
	w.applyEvents = append(w.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyCheckpointReady, Checkpoint: c})
	return true
}

func (w *world) finishSend(index int) bool {
	if len(w.sends) == 0 {
		return false
	}
	index %= len(w.sends)
	s := w.sends[index]
	w.sends = append(w.sends[:index], w.sends[index+1:]...)
	if !bytes.Equal(s.bytes, w.slots.Bytes(s.action.Slot)[s.action.OffsetBytes:][:s.action.Bytes]) {
		w.t.Fatal("a reply changed while it was being sent")
	}
	w.onMessage(s.bytes)
	w.netEvents = append(w.netEvents, stages.NetToConsensus{Kind: stages.NetSent, Slot: s.action.Slot})
	return true
}

func (w *world) finishFree(index int) bool {
	if len(w.frees) == 0 {
		return false
	}
	index %= len(w.frees)
	s := w.frees[index]
	w.frees = append(w.frees[:index], w.frees[index+1:]...)
	if !bytes.Equal(s.bytes, w.slots.Bytes(s.action.Slot)[s.action.OffsetBytes:][:s.action.Bytes]) {
		w.t.Fatal("a client slot changed after it was given back")
	}
	if s.action.Kind == stages.NetSendFree {
		w.onMessage(s.bytes)
	}
	w.slots.Put(s.action.Slot)
	return true
}

// receive plays net: what breaks a rule of its command never arrives, and without a free slot
// nothing does.
func (w *world) receive(frame []byte) bool {
	parser := wire.NewParser(testCluster, wire.SideServer)
	if verdict, _ := parser.CheckMessage(wire.HeaderOf(frame[:256])); verdict != wire.VerdictOK {
		return false
	}
	slot := w.slots.Get(stages.SlotClient)
	if slot == stages.SlotNone {
		return false
	}
	copy(w.slots.Bytes(slot), frame)
	e := stages.NetToConsensus{Kind: stages.NetMessage, Slot: slot, Bytes: uint32(len(frame))}
	if len(frame) > 16<<10 {
		e.BodyHashed, e.BodySum = true, prepare.Sum(frame[256:])
	}
	w.netEvents = append(w.netEvents, e)
	return true
}

// settle lets everything finish.
func (w *world) settle() {
	w.t.Helper()
	for range 10_000 {
		w.turn()
		if w.fault != nil {
			return
		}
		moved := w.finishAppend()
		moved = w.finishRead(0) || moved
		moved = w.finishSuperblock() || moved
		moved = w.finishCommit() || moved
		moved = w.finishCheckpoint() || moved
		moved = w.finishSend(0) || moved
		moved = w.finishFree(0) || moved
		if !moved && len(w.journalEvents)+len(w.applyEvents)+len(w.netEvents) == 0 {
			return
		}
	}
	w.t.Fatal("it never settles")
}

// checkQuiet: nothing is held that nobody needs.
func (w *world) checkQuiet() {
	w.t.Helper()
	s := w.stage
	if s.commits.count() != 0 || s.pipeline.length != 0 || s.queue.count() != 0 || s.inFlight.count != 0 || !s.status.isServing() {
		w.t.Fatalf("quiet, but commit queue %d, pipeline %d, queue %d, in flight %d, status %+v", s.commits.count(), s.pipeline.length,
			s.queue.count(), s.inFlight.count, s.status)
	}
	held := map[stages.Slot]uint32{}
	for i := range s.sessions.size() {
		if e := s.sessions.entry(i); e.used {
			held[e.replySlot]++
		}
	}
	for class, counts := range s.slots.counts {
		for handle, count := range counts {
			slot := stages.SlotOf(stages.SlotClass(class), uint32(handle))
			if want := held[slot]; count != want {
				w.t.Fatalf("slot %d of class %d has %d holders, sessions hold %d", handle, class, count, want)
			}
		}
	}
	for op := w.superblock.Checkpoint.Op + 1; op <= w.head; op++ {
		if !s.log.isClean(op) || s.log.isWriting(op) || s.log.checksum(op) != prepare.Header(w.log[op][:256]).Checksum() {
			w.t.Fatalf("quiet, and the log has not got op %d", op)
		}
	}
	for class, want := range map[stages.SlotClass]int{stages.SlotClient: 0, stages.SlotPrepare: 0, stages.SlotReply: len(held)} {
		pool := w.slots.Pools[class]
		if used := int(pool.SlotsCount() - pool.FreeCount()); used != want {
			w.t.Fatalf("%d slots of class %d are in use, want %d", used, class, want)
		}
	}
	for client, registered := range w.registered {
		if registered != (s.sessions.find(client) != nil) {
			w.t.Fatalf("net was told that %v has a session: %v; it is not so", client, registered)
		}
	}
	model := w.modelSessions(w.head)
	if len(model) != s.sessions.count() {
		w.t.Fatalf("%d sessions, want %d", s.sessions.count(), len(model))
	}
	for client, m := range model {
		if e := s.sessions.find(client); e == nil || e.number != m.number || e.op != m.op || e.checksum != m.checksum ||
			int(e.position) != m.position {
			w.t.Fatalf("session of %v is %+v, want %+v", client, e, m)
		}
	}
}

// frame builds a request.
func frame(f wire.RequestFields, body []byte) []byte {
	b := make([]byte, 256+len(body))
	copy(b[256:], body)
	f.Cluster = testCluster
	if f.Release == 0 {
		f.Release = wire.ReleaseOf(0, 17, 9)
	}
	wire.BuildRequest(wire.HeaderOf(b[:256]), &f, b[256:])
	return b
}

func randomBody(random *rand.Rand) (wire.Operation, []byte) {
	switch random.IntN(8) {
	case 0:
		return wire.OperationNoop, nil
	case 1: // a full one
		return wire.OperationCreateTransfersUnbatched, make([]byte, 128*(250+random.IntN(4000)))
	case 2: // its reply may be a whole message
		body := make([]byte, 128)
		binary.LittleEndian.PutUint32(body[120:], uint32(random.IntN(9000)))
		return wire.OperationGetAccountTransfersUnbatched, body
	case 3:
		return wire.OperationLookupAccountsUnbatched, make([]byte, 16*random.IntN(4))
	}
	return wire.OperationCreateTransfersUnbatched, make([]byte, 128*random.IntN(5))
}
