package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ledger/internal/assert"
	"ledger/stages"
	"ledger/wire"
)

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
	trailerHeaderBytes = stages.SessionsHeaderBytes
	trailerRecordBytes = stages.SessionRecordBytes
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

// SessionRecord is a session as the sessions trailer of a checkpoint has it.
type SessionRecord struct {
	Client        wire.U128
	Number        uint64 // op of its register request
	Op            uint64 // of its last reply
	Index         uint32 // in the table
	Position      uint32 // of its last request in Op
	ReplyBytes    uint32 // in the replies trailer, where replies lie in the order of the records
	Request       uint32 // number of its last request
	Release       wire.Release
	ReplyChecksum wire.Checksum // of the reply's header
	// RequestChecksum is that of the last request; Context is the one that the next must name.
	RequestChecksum, Context wire.Checksum
}

// putRecord encodes the session e with this index.
func putRecord(record []byte, index uint32, e *session, replyChecksum wire.Checksum) {
	clear(record)
	e.client.PutBytes(record[:16])
	binary.LittleEndian.PutUint64(record[recordNumber:], e.number)
	binary.LittleEndian.PutUint64(record[recordOp:], e.op)
	binary.LittleEndian.PutUint32(record[recordIndex:], index)
	binary.LittleEndian.PutUint32(record[recordPosition:], e.position)
	binary.LittleEndian.PutUint32(record[recordReplyBytes:], e.replyBytes)
	binary.LittleEndian.PutUint32(record[recordRequest:], e.request)
	binary.LittleEndian.PutUint32(record[recordRelease:], uint32(e.release))
	copy(record[recordReplyChecksum:], replyChecksum[:])
	copy(record[recordRequestChecksum:], e.checksum[:])
	copy(record[recordContext:], e.context[:])
}

func recordOf(record []byte) SessionRecord {
	return SessionRecord{
		Client:          wire.U128FromBytes(record[:16]),
		Number:          binary.LittleEndian.Uint64(record[recordNumber:]),
		Op:              binary.LittleEndian.Uint64(record[recordOp:]),
		Index:           binary.LittleEndian.Uint32(record[recordIndex:]),
		Position:        binary.LittleEndian.Uint32(record[recordPosition:]),
		ReplyBytes:      binary.LittleEndian.Uint32(record[recordReplyBytes:]),
		Request:         binary.LittleEndian.Uint32(record[recordRequest:]),
		Release:         wire.Release(binary.LittleEndian.Uint32(record[recordRelease:])),
		ReplyChecksum:   wire.Checksum(record[recordReplyChecksum:][:16]),
		RequestChecksum: wire.Checksum(record[recordRequestChecksum:][:16]),
		Context:         wire.Checksum(record[recordContext:][:16]),
	}
}

// load fills an empty table from the sessions trailer of a checkpoint. Each session gets a reply
// slot of its own, whose reply is not there yet; see checkReplies. opTo is the highest op that the
// checkpoint's sessions contain, repliesBytes the length of the replies trailer.
func (t *sessions) load(opTo uint64, trailer []byte, repliesBytes uint64, slots *slotHolds) error {
	if len(trailer) < trailerHeaderBytes || binary.LittleEndian.Uint64(trailer) != trailerMagic {
		return damaged("no header")
	}
	t.startAt(opTo)
	count := binary.LittleEndian.Uint64(trailer[8:])
	if count > uint64(t.size()) {
		return damaged(fmt.Sprintf("%d sessions, the file was formatted for %d", count, t.size()))
	}
	rest, next := trailer[trailerHeaderBytes:], uint32(0)
	for range count {
		if len(rest) < trailerRecordBytes {
			return damaged("they end early")
		}
		record := recordOf(rest[:trailerRecordBytes])
		rest = rest[trailerRecordBytes:]
		size := uint64(record.ReplyBytes)
		if size > repliesBytes || size < wire.HeaderBytes || size > wire.MessageBytesMax || record.Index < next || int(record.Index) >= t.size() {
			return damaged("a record makes no sense")
		}
		next, repliesBytes = record.Index+1, repliesBytes-size
		if record.Client.IsZero() || t.find(record.Client) != nil {
			return damaged("a session is of no client, or there twice")
		}
		slot := slots.take(stages.SlotReply)
		assert.That(slot != stages.SlotNone, "a checkpoint has no more sessions than there are free reply slots")
		e := t.putAt(int(record.Index), record.Client, record.Number)
		t.setRecord(e, &record, slot)
	}
	if len(rest) > 0 || repliesBytes != 0 {
		return damaged("there is more behind them")
	}
	return nil
}

// sessionsIn is the number of sessions of a trailer, of which nothing was checked.
func sessionsIn(trailer []byte) uint64 {
	if len(trailer) < trailerHeaderBytes {
		return 0
	}
	return binary.LittleEndian.Uint64(trailer[8:])
}

func damaged(why string) error { return fmt.Errorf("the checkpoint's sessions are damaged: %s", why) }

// replies appends the room for the reply of each session that load has put, in their order.
func (t *sessions) replies(pieces [][]byte, slots *slotHolds) [][]byte {
	for i := range t.size() {
		if e := t.entry(i); e.used {
			pieces = append(pieces, slots.bytes(e.replySlot)[:e.replyBytes])
		}
	}
	return pieces
}

// checkReplies compares the records that load has taken with their replies, which are there now.
func (t *sessions) checkReplies(slots *slotHolds) error {
	for i := range t.size() {
		e := t.entry(i)
		if !e.used {
			continue
		}
		reply := wire.HeaderOf(slots.bytes(e.replySlot)[:wire.HeaderBytes])
		if reply.SizeBytes() != e.replyBytes || reply.Command() != wire.CommandReply || reply.Checksum() != reply.ComputeChecksum() ||
			reply.Checksum() != e.replyChecksum || reply.ReplyClient() != e.client {
			return damaged("a reply is none, or another client's")
		}
		d := stages.ReplyOf(reply, 0)
		if e.op != d.Op || e.request != d.RequestNumber || e.release != d.Release || e.checksum != d.RequestChecksum || e.context != d.Context {
			return damaged("a record is not of its reply")
		}
	}
	return nil
}

// ReadSessions returns the records of a sessions trailer, without their replies.
//
// error: the trailer is damaged. The records before the damage are returned all the same.
func ReadSessions(trailer []byte) (records []SessionRecord, err error) {
	if len(trailer) < trailerHeaderBytes || binary.LittleEndian.Uint64(trailer) != trailerMagic {
		return nil, errors.New("the sessions trailer has no header")
	}
	count, rest := binary.LittleEndian.Uint64(trailer[8:]), trailer[trailerHeaderBytes:]
	for ; len(rest) >= trailerRecordBytes; rest = rest[trailerRecordBytes:] {
		records = append(records, recordOf(rest[:trailerRecordBytes]))
	}
	if uint64(len(records)) != count || len(rest) > 0 {
		return records, fmt.Errorf("the sessions trailer counts %d sessions, and has %d records and %d bytes more", count, len(records),
			len(rest))
	}
	return records, nil
}
