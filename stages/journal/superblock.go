package journal

import (
	"fmt"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
)

// superblockStep is the event for which the write of a superblock waits.
type superblockStep uint8

const (
	superblockIdle superblockStep = iota
	superblockWriting
	superblockReading
)

func (s *Stage) onSuperblock(e *stages.ConsensusToJournal, out *Actions) {
	assert.That(s.superblockStep == superblockIdle, "one superblock is written at a time")
	s.superblock, s.superblockStep, s.superblockCopy = e.Superblock, superblockWriting, 0
	s.measures.superblockBeganNs = s.measures.nowNs
	s.writeSuperblockCopy(out)
}

func (s *Stage) writeSuperblockCopy(out *Actions) {
	s.superblockChecksum = datafile.EncodeSuperblock(s.superblockBuffer, s.superblock, &s.limits, s.superblockCopy)
	out.Disk = append(out.Disk, DiskAction{diskWrite, ports.WriteDurable, tagSuperblockWrite, s.layout.SuperblockCopyAt(s.superblockCopy),
		s.superblockBuffer})
}

func (s *Stage) readSuperblockCopy(out *Actions) {
	out.Disk = append(out.Disk, DiskAction{Tag: tagSuperblockRead, OffsetBytes: s.layout.SuperblockCopyAt(s.superblockCopy),
		Buffer: s.superblockBuffer})
}

func (s *Stage) onSuperblockWritten(result int32, out *Actions) {
	assert.That(s.superblockStep == superblockWriting, "a finished superblock write was in flight")
	if result != datafile.SuperblockContentBytes {
		s.failDisk(out, result, "writing copy %d of the superblock: result %d", s.superblockCopy, result)
		return
	}
	s.measures.sample.SuperblockBytes += uint64(result)
	s.superblockCopy++
	if s.superblockCopy < s.limits.SuperblockCopies {
		s.writeSuperblockCopy(out)
		return
	}
	s.superblockStep, s.superblockCopy, s.superblockRight = superblockReading, 0, 0
	s.readSuperblockCopy(out)
}

func (s *Stage) onSuperblockRead(result int32, out *Actions) {
	assert.That(s.superblockStep == superblockReading, "a finished superblock read was in flight")
	if result == datafile.SuperblockContentBytes && datafile.CopyIsRight(s.superblockBuffer, s.superblockChecksum, s.superblockCopy) {
		s.superblockRight++
	}
	s.superblockCopy++
	if s.superblockCopy < s.limits.SuperblockCopies {
		s.readSuperblockCopy(out)
		return
	}
	s.superblockStep = superblockIdle
	if s.superblockRight < datafile.VerifyQuorum {
		s.stop(out, storage.Fault{What: storage.FaultDisk, Reason: fmt.Sprintf(
			"only %d copies of the superblock were right after writing them: the disk loses writes", s.superblockRight)})
		return
	}
	done := stages.JournalToConsensus{Kind: stages.JournalSuperblockDone, Op: s.superblock.Sequence}
	done.Checksum = s.superblockChecksum
	s.measures.sample.SuperblocksCount++
	s.scrubSuperblock()
	s.measures.sample.SuperblockNs.Record(s.measures.nowNs - s.measures.superblockBeganNs)
	out.Consensus = append(out.Consensus, done)
}
