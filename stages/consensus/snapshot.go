package consensus

import (
	"encoding/binary"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/wire"
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

// take copies the table as of op, and returns what apply borrows.
func (s *snapshot) take(op uint64, t *sessions, slots *slotHolds) *stages.Sessions {
	assert.That(!s.busy, "one checkpoint is written at a time")
	s.busy = true
	s.sessions.Op = op
	header := s.memory[:trailerHeaderBytes]
	binary.LittleEndian.PutUint64(header, trailerMagic)
	binary.LittleEndian.PutUint64(header[8:], uint64(t.count()))
	records, replies := append(s.sessions.Records[:0], header), s.sessions.Replies[:0]
	s.pinned = s.pinned[:0]
	for i := range t.size() {
		e := t.entry(i)
		if !e.used {
			continue
		}
		record := s.memory[trailerHeaderBytes+i*trailerRecordBytes:][:trailerRecordBytes]
		reply := slots.bytes(e.replySlot)[e.replyOffset : e.replyOffset+e.replyBytes]
		putRecord(record, uint32(i), e, wire.HeaderOf(reply).Checksum())
		records, replies = append(records, record), append(replies, reply)
		s.pinned = append(s.pinned, e.replySlot)
	}
	s.sessions.Records, s.sessions.Replies = records, replies
	return &s.sessions
}

// pins are the reply slots of the snapshot, one for each session.
func (s *snapshot) pins() []stages.Slot { return s.pinned }

// isLent tells whether apply has the snapshot.
func (s *snapshot) isLent() bool { return s.busy }

// drop: the checkpoint is on disk, so nobody reads the snapshot any more.
func (s *snapshot) drop() { s.pinned, s.busy = s.pinned[:0], false }
