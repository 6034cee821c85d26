package consensus

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"

	"ledger/internal/portstest"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

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
			pattern := r.RequestChecksum
			for j := range pattern {
				pattern[j] ^= byte(r.Timestamp)
			}
			portstest.Repeat(body, pattern[:])
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
	c.TrailerBytes[storage.TrailerSessions], c.TrailerBytes[storage.TrailerReplies] = uint64(len(w.trailerNext)), uint64(len(w.repliesNext))
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
