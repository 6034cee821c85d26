package consensus

import (
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
)

// takeSnapshot lends the sessions as of the trigger op to apply's checkpoint. Replies are pinned
// and not copied.
func (s *Stage) takeSnapshot(op uint64, out *Actions) {
	s.snapshot.take(op, &s.sessions, s.slots)
	for _, slot := range s.snapshot.pinned {
		s.replyRefs[slot.Handle()]++
	}
	out.Apply = append(out.Apply, stages.ConsensusToApply{Kind: stages.ApplySessions, Op: op, Sessions: &s.snapshot.sessions})
}

// onCheckpointReady: all blocks that the checkpoint names are on disk. So the superblock may name
// the checkpoint.
func (s *Stage) onCheckpointReady(checkpoint *storage.Checkpoint, out *Actions) {
	assert.That(!s.superblockBusy, "one superblock is written at a time")
	assert.Equal(checkpoint.Op, s.limits.CheckpointAfter(s.superblock.Checkpoint.Op), "op of the next checkpoint")
	for _, slot := range s.snapshot.pinned {
		s.unrefReply(slot)
	}
	s.snapshot.pinned, s.snapshot.busy = s.snapshot.pinned[:0], false

	next := &s.superblockNext
	*next = s.superblock
	next.Sequence++
	next.Parent = s.superblockChecksum
	next.CommitMax = max(next.CommitMax, s.commit) // during a replay, CommitMax is the log's head
	next.Checkpoint = *checkpoint
	next.Checkpoint.PrepareChecksum = s.checksums[s.slotIndex(checkpoint.Op)]
	next.Checkpoint.ParentID = s.checkpointID
	s.superblockBusy = true
	out.Journal = append(out.Journal, stages.ConsensusToJournal{Kind: stages.JournalSuperblock, Superblock: next})
}

func (s *Stage) onSuperblockDone(e *stages.JournalToConsensus, out *Actions) {
	assert.That(s.superblockBusy, "a superblock was being written")
	assert.Equal(e.Op, s.superblockNext.Sequence, "sequence of the superblock")
	s.superblockBusy = false
	s.superblock, s.superblockChecksum = s.superblockNext, e.Checksum
	s.checkpointParentID = s.checkpointID
	s.checkpointID = datafile.CheckpointID(&s.superblock.Checkpoint)
	out.Apply = append(out.Apply, stages.ConsensusToApply{Kind: stages.ApplyCheckpointDurable, Op: s.superblock.Checkpoint.Op})
	s.feedApply(out)
}
