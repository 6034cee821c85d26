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
	Index         uint32 // in the table
	Position      uint32 // of its last request in the op of that
	ReplyBytes    uint32 // in the replies trailer, where replies lie in the order of the records
	ReplyChecksum wire.Checksum
}

func recordOf(record []byte) SessionRecord {
	return SessionRecord{
		Client:        wire.U128FromBytes(record[:16]),
		Number:        binary.LittleEndian.Uint64(record[16:]),
		Index:         binary.LittleEndian.Uint32(record[24:]),
		Position:      binary.LittleEndian.Uint32(record[28:]),
		ReplyBytes:    binary.LittleEndian.Uint32(record[32:]),
		ReplyChecksum: wire.Checksum(record[40:56]),
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
