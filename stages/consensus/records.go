package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ledger/wire"
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
