package consensus

import (
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/storage"
)

// takeSnapshot lends the sessions as of the trigger op to apply's checkpoint. Replies are pinned
// and not copied.
func (s *Stage) takeSnapshot(op uint64) {
	assert.That(!s.late.isMissing(op), "no reply up to a trigger op is late")
	sessions := s.snapshot.take(op, &s.sessions, s.slots)
	for _, slot := range s.snapshot.pins() {
		s.slots.hold(slot)
	}
	s.send.sessions(op, sessions)
}

// onCheckpointReady: all blocks that the checkpoint names are on disk, but those that state sync
// has not fetched yet. So the superblock may name the checkpoint. isWhole: they are there too, and
// were before the checkpoint's last sync, so the sync range ends.
func (s *Stage) onCheckpointReady(checkpoint *storage.Checkpoint, isWhole bool) {
	assert.Equal(checkpoint.Op, s.limits.CheckpointAfter(s.superblocks.now().Checkpoint.Op), "op of the next checkpoint")
	for _, slot := range s.snapshot.pins() {
		s.send.release(slot)
	}
	s.snapshot.drop()
	s.superblocks.setCheckpoint(checkpoint, s.log.checksum(checkpoint.Op), s.log.header(checkpoint.Op).Members())
	if isWhole && s.superblocks.now().SyncOpMax > 0 {
		s.superblocks.setSync(0, 0)
	}
	if s.isCluster() {
		s.refreshList()
	}
	s.writeSuperblock()
}

// writeSuperblock begins to write what waits to be written, unless a write is under way. Its hint
// of commit_max is commit_min, the highest op whose replies may have left.
func (s *Stage) writeSuperblock() {
	committed := s.commits.min()
	if s.isCluster() {
		committed = s.commits.max()
	}
	if next := s.superblocks.begin(committed); next != nil {
		s.send.superblock(next)
	}
}

func (s *Stage) onSuperblockDone(e *stages.JournalToConsensus) {
	hasCheckpoint := s.superblocks.done(e.Op, e.Checksum)
	if hasCheckpoint && s.passesOn() {
		return
	}
	if hasCheckpoint && s.syncing.isReplacing() {
		s.replaced()
	} else if hasCheckpoint {
		s.send.durable(s.superblocks.now().Checkpoint.Op)
		s.feed()
	}
	s.writeSuperblock()
	if s.isCluster() {
		s.onDurable()
	}
}
