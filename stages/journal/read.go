package journal

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/wire"
)

// readState is a prepare that is being read: first its copy in the log, and if that one is not
// right, its twin.
type readState struct {
	busy     bool
	isTwin   bool
	slot     stages.Slot
	op       uint64
	checksum wire.Checksum
	bytes    uint32        // of the prepare, in whole sectors
	fault    storage.Fault // what was wrong with the copy in the log
}

func (s *Stage) onRead(e *stages.ConsensusToJournal, out *Actions) {
	for i := range s.reads {
		r := &s.reads[i]
		if r.busy {
			continue
		}
		*r = readState{busy: true, slot: e.Slot, op: e.Op, checksum: e.Checksum}
		if !s.holds(r) {
			s.readDone(r, stages.ReadAbsent, out)
			return
		}
		r.bytes = s.sectorsUp(s.headerOf(r.op).SizeBytes())
		s.readCopy(uint64(i), s.layout.PrepareAt(s.slotIndex(r.op)), out)
		return
	}
	assert.That(false, "consensus keeps to its budget of reads")
}

// holds tells whether the prepare that is asked for lies in its slot of the log, as far as the
// table of headers knows, and is not being overwritten.
func (s *Stage) holds(r *readState) bool {
	header := s.headerOf(r.op)
	return header.Op() == r.op && header.Checksum() == r.checksum && !s.isWriting(r.op)
}

func (s *Stage) readCopy(index, offsetBytes uint64, out *Actions) {
	r := &s.reads[index]
	out.Disk = append(out.Disk, DiskAction{
		Tag: index*tagKinds + tagRead, OffsetBytes: offsetBytes, Buffer: s.slots.Bytes(r.slot)[:r.bytes],
	})
}

// onReadDone verifies what was read. A copy that is not right may have been overwritten while it
// was read; then the prepare is not here any more. Otherwise the copy is damaged. The twin of a
// small prepare is a whole copy, and is read next.
func (s *Stage) onReadDone(index uint64, result int32, out *Actions) {
	r := &s.reads[index]
	assert.That(r.busy, "a finished read was in flight")
	if s.isRight(r, result) {
		s.measures.sample.ReadsCount++
		if r.isTwin {
			s.measures.sample.TwinReadsCount++
		}
		s.measures.sample.BytesRead += uint64(result)
		s.readDone(r, stages.ReadOK, out)
		return
	}
	if !s.holds(r) {
		s.readDone(r, stages.ReadAbsent, out)
		return
	}
	if !r.isTwin {
		r.fault = readFault(r, result)
		if isSmall(s.headerOf(r.op), &s.limits) {
			r.isTwin = true
			s.readCopy(index, s.layout.TwinAt(s.slotIndex(r.op)), out)
			return
		}
	}
	s.readDone(r, stages.ReadDamaged, out)
}

// isRight tells whether a read has brought the prepare that was asked for.
func (s *Stage) isRight(r *readState, result int32) bool {
	if result != int32(r.bytes) {
		return false
	}
	message := s.slots.Bytes(r.slot)[:r.bytes]
	header := prepare.Header(message[:limits.HeaderBytes])
	if header.Checksum() != r.checksum || !prepare.ValidHeader(header, s.cluster, s.limits.MessageBytesMax) || header.Op() != r.op {
		return false
	}
	size := header.SizeBytes()
	return s.sectorsUp(size) == r.bytes && prepare.ValidBody(message[:size]) && prepare.Validate(message[:size]) == nil
}

func readFault(r *readState, result int32) storage.Fault {
	if result != int32(r.bytes) {
		return diskFault(result, "reading the prepare of op %d: result %d", r.op, result)
	}
	return storage.Fault{What: storage.FaultLog, Reason: fmt.Sprintf("the prepare of op %d is damaged; a start looks for another copy", r.op)}
}

func (s *Stage) readDone(r *readState, result stages.JournalReadResult, out *Actions) {
	r.busy = false
	done := stages.JournalToConsensus{Kind: stages.JournalReadDone, Read: result, Slot: r.slot, Op: r.op, Checksum: r.checksum}
	if result == stages.ReadDamaged {
		fault := r.fault
		done.Fault = &fault
	}
	out.Consensus = append(out.Consensus, done)
}
