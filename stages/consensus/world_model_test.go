package consensus

import (
	"encoding/binary"

	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

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
