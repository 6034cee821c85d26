package consensus

import (
	"encoding/binary"
	"fmt"

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
}

// sessions is the table of sessions. All of it is replicated state, which changes only at commit,
// in log order.
type sessions struct {
	entries []session
	count   int
	index   clientIndex
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

// victim is the entry that a register evicts from a full table: the one with the oldest last reply
// (wire protocol, 4.7).
func (t *sessions) victim() int {
	oldest := -1
	for i := range t.entries {
		e := &t.entries[i]
		assert.That(e.used, "a full table has no free entry")
		if oldest < 0 || e.op < t.entries[oldest].op || e.op == t.entries[oldest].op && e.position < t.entries[oldest].position {
			oldest = i
		}
	}
	return oldest
}

// free returns an unused entry, or -1.
func (t *sessions) free() int {
	if t.count == len(t.entries) {
		return -1
	}
	for i := range t.entries {
		if !t.entries[i].used {
			return i
		}
	}
	return -1
}

// The sessions trailer of a checkpoint is a header, then a record of each used entry, in table
// order. The replies trailer is the replies' bytes, in the same order. They are apart because a
// replica that takes a checkpoint from others needs the records, which are small, before it can
// commit an op, but a reply only when its client repeats the request. So a record has everything
// that decides on a request and on the next session to be evicted, and the checksum of its reply.
//
// A record, little-endian: client 16, session number 8, op of the last reply 8, index in the table
// 4, position in that op 4, bytes of the reply 4, number of the request 4, release 4, zeros 12,
// checksum of the reply's header 16, checksum of the request 16, context of the next request 16,
// zeros 16.
const (
	trailerHeaderBytes = 16
	trailerRecordBytes = 128
	trailerMagic       = 0x7373_6573_0000_0003

	recordNumber          = 16
	recordOp              = 24
	recordIndex           = 32
	recordPosition        = 36
	recordReplyBytes      = 40
	recordRequest         = 44
	recordRelease         = 48
	recordReplyChecksum   = 64
	recordRequestChecksum = 80
	recordContext         = 96
)

// snapshot is the table as of a trigger op, ready to be written. Records are copied into its own
// memory; replies stay where they are.
type snapshot struct {
	sessions stages.Sessions
	memory   []byte
	pinned   []stages.Slot // reply slots that must not be reused until the checkpoint is on disk
	busy     bool
}

func newSnapshot(sessionsMax uint32, memory *arena.Arena) snapshot {
	return snapshot{
		sessions: stages.Sessions{Records: make([][]byte, 0, sessionsMax+1), Replies: make([][]byte, 0, sessionsMax)},
		memory:   memory.Bytes(uint64(trailerHeaderBytes+sessionsMax*trailerRecordBytes), 64, "session snapshot"),
		pinned:   make([]stages.Slot, 0, sessionsMax),
	}
}

func (s *snapshot) take(op uint64, t *sessions, slots *stages.Slots) {
	assert.That(!s.busy, "one checkpoint is written at a time")
	s.busy = true
	s.sessions.Op = op
	header := s.memory[:trailerHeaderBytes]
	binary.LittleEndian.PutUint64(header, trailerMagic)
	binary.LittleEndian.PutUint64(header[8:], uint64(t.count))
	records, replies := append(s.sessions.Records[:0], header), s.sessions.Replies[:0]
	s.pinned = s.pinned[:0]
	for i := range t.entries {
		e := &t.entries[i]
		if !e.used {
			continue
		}
		record := s.memory[trailerHeaderBytes+i*trailerRecordBytes:][:trailerRecordBytes]
		clear(record)
		e.client.PutBytes(record[:16])
		binary.LittleEndian.PutUint64(record[recordNumber:], e.number)
		binary.LittleEndian.PutUint64(record[recordOp:], e.op)
		binary.LittleEndian.PutUint32(record[recordIndex:], uint32(i))
		binary.LittleEndian.PutUint32(record[recordPosition:], e.position)
		binary.LittleEndian.PutUint32(record[recordReplyBytes:], e.replyBytes)
		binary.LittleEndian.PutUint32(record[recordRequest:], e.request)
		binary.LittleEndian.PutUint32(record[recordRelease:], uint32(e.release))
		copy(record[recordRequestChecksum:], e.checksum[:])
		copy(record[recordContext:], e.context[:])
		reply := slots.Bytes(e.replySlot)[e.replyOffset : e.replyOffset+e.replyBytes]
		sum := wire.HeaderOf(reply).Checksum()
		copy(record[recordReplyChecksum:], sum[:])
		records, replies = append(records, record), append(replies, reply)
		s.pinned = append(s.pinned, e.replySlot)
	}
	s.sessions.Records, s.sessions.Replies = records, replies
}

// load fills an empty table from the two trailers. newSlot gives a reply slot for each session.
func (t *sessions) load(trailer, replies []byte, slots *stages.Slots, newSlot func() stages.Slot) error {
	damaged := func(why string) error { return fmt.Errorf("the checkpoint's sessions are damaged: %s", why) }
	if len(trailer) < trailerHeaderBytes || binary.LittleEndian.Uint64(trailer) != trailerMagic {
		return damaged("no header")
	}
	count := binary.LittleEndian.Uint64(trailer[8:])
	if count > uint64(len(t.entries)) {
		return damaged(fmt.Sprintf("%d sessions, the file was formatted for %d", count, len(t.entries)))
	}
	rest := trailer[trailerHeaderBytes:]
	for range count {
		if len(rest) < trailerRecordBytes {
			return damaged("they end early")
		}
		record := recordOf(rest[:trailerRecordBytes])
		index, replyBytes := record.Index, record.ReplyBytes
		rest = rest[trailerRecordBytes:]
		if uint64(replyBytes) > uint64(len(replies)) || replyBytes < wire.HeaderBytes || int(index) >= len(t.entries) || t.entries[index].used {
			return damaged("a record makes no sense")
		}
		reply := wire.HeaderOf(replies[:replyBytes])
		if reply.SizeBytes() != replyBytes || replyBytes > wire.MessageBytesMax || reply.Command() != wire.CommandReply ||
			reply.Checksum() != reply.ComputeChecksum() || reply.Checksum() != record.ReplyChecksum {
			return damaged("a reply is none")
		}
		client := record.Client
		if client.IsZero() || client != reply.ReplyClient() || t.find(client) != nil {
			return damaged("a session is of no client, or of another's reply, or there twice")
		}
		slot := newSlot()
		copy(slots.Bytes(slot), replies[:replyBytes])
		replies = replies[replyBytes:]
		e := &t.entries[index]
		t.put(e, int(index), client, record.Number)
		described := stages.ReplyOf(reply, 0)
		e.setReply(&described, slot, record.Position)
		if e.op != record.Op || e.request != record.Request || e.release != record.Release || e.checksum != record.RequestChecksum ||
			e.context != record.Context {
			return damaged("a record is not of its reply")
		}
	}
	if len(rest)+len(replies) != 0 {
		return damaged("there is more behind them")
	}
	return nil
}

// put gives an unused entry to a client.
func (t *sessions) put(e *session, index int, client wire.U128, number uint64) {
	assert.That(!e.used, "a new session takes a free entry")
	*e = session{used: true, client: client, number: number, replySlot: stages.SlotNone}
	t.index.put(client, uint32(index))
	t.count++
}

// drop removes an entry.
func (t *sessions) drop(index int) {
	t.index.remove(t.entries[index].client)
	t.entries[index] = session{}
	t.count--
}

// setReply makes reply, in slot, the last reply of the session. position is the position of its
// request within the op.
func (e *session) setReply(reply *stages.Reply, slot stages.Slot, position uint32) {
	e.op, e.position = reply.Op, position
	e.request, e.release = reply.RequestNumber, reply.Release
	e.checksum, e.context = reply.RequestChecksum, reply.Context
	e.replySlot, e.replyOffset, e.replyBytes = slot, reply.OffsetBytes, reply.Bytes
}
