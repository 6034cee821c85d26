package vsr

import "ledger/limits"

// A replica catches up by the log as long as the others still have what it misses there. Otherwise
// it takes over a checkpoint of another one: state sync. The blocks of that checkpoint that it has
// not got are fetched afterwards.

// Behind is all on which it depends how a replica catches up.
type Behind struct {
	CheckpointOp uint64 // durable here
	CommitMax    uint64 // known to be committed
	// IsStuck: the replica does not get on by the log; see Stall.
	IsStuck bool
}

// IsDurable tells whether a quorum is known to have checkpoint, or a later one: no replica without
// it acknowledges an op that lies so far above its trigger (R3, R4).
func IsDurable(l *limits.Limits, checkpoint, commitMax uint64) bool {
	return checkpoint == 0 || commitMax > l.CheckpointTrigger(checkpoint)+uint64(l.SlackOps)
}

// NeedsSync tells whether the replica has to take over a checkpoint. While no quorum has the next
// one it goes on by the log, whatever happens: the single replica that may be ahead could be
// damaged, and this one may be of the quorum that has the checkpoint before. When a quorum has the
// next one, what is left of the log is the cheaper way, unless it does not lead on. When a quorum
// has the one after that, the others have begun to overwrite what this replica misses.
func (g *Behind) NeedsSync(l *limits.Limits) bool {
	next := l.CheckpointAfter(g.CheckpointOp)
	return IsDurable(l, next, g.CommitMax) && (g.IsStuck || IsDurable(l, l.CheckpointAfter(next), g.CommitMax))
}

// StuckNs: a replica that has made no progress for so long, although it lacks committed ops, asks
// for a checkpoint.
const StuckNs = 5_000_000_000

// GoneNs is the same if blocks of a checkpoint that it took over are missing, and all others have
// said of one that they have not got it. They may have freed the checkpoint, and then no time
// brings the block. It bounds how often such a replica syncs if the block is damaged everywhere.
const GoneNs = 1_000_000_000

// Stall is all on which it depends whether a replica does not get on by the log.
type Stall struct {
	CommitMin, CommitMax uint64
	ForNs                uint64 // since an op was executed, or a block came
	// IsCheckpointing: its own next checkpoint is being written. It comes first.
	IsCheckpointing bool
	// What it waits for: at least one of these.
	IsChainBroken    bool // a header below the head is missing
	IsPrepareMissing bool // of the next op
	IsBlockMissing   bool
	IsBlockGone      bool // and no other replica has it
	// IsLost: the log of the view begins above all that is here, so that no header connects it.
	IsLost bool
}

// Is tells whether the replica is stuck.
func (s *Stall) Is() bool {
	switch {
	case s.IsCheckpointing || s.CommitMin >= s.CommitMax:
		return false
	case s.IsLost:
		return true
	}
	if s.IsBlockGone && s.ForNs >= GoneNs {
		return true
	}
	return s.ForNs >= StuckNs && (s.IsChainBroken || s.IsPrepareMissing || s.IsBlockMissing)
}

// Target is a checkpoint that a start_view offers, and the replica that may take it.
type Target struct {
	Op        uint64 // of the checkpoint
	Head      uint64 // of the log in the start_view
	CommitMax uint64 // of the start_view
	LogView   uint32 // the view of the start_view

	OwnOp      uint64 // of the checkpoint that is durable here
	OwnLogView uint32
	OwnHead    uint64 // of the durable list
}

// Refused returns why a checkpoint cannot be taken, or nothing.
func (t *Target) Refused(l *limits.Limits) string {
	switch {
	case !l.IsCheckpoint(t.Op):
		return "no checkpoint is of that op"
	case t.Op <= t.OwnOp:
		return "it is no newer than the one here"
	case t.CommitMax < l.CheckpointTrigger(t.Op):
		return "it was not committed when it was sent"
	case t.Head > l.PrepareMax(t.Op):
		return "its log lies above what can be stored behind it"
	case t.OwnLogView == t.LogView && t.Head < t.OwnHead:
		return "the log of this view is longer here"
	}
	return ""
}

// SyncRange bounds the ops in which blocks of the checkpoint of op to may have been born that are
// missing here. from is the checkpoint that it replaces, and before is the lower bound that the
// superblock has, or 0. What was missing of the checkpoint before may still be.
func SyncRange(before, from, to uint64) (opMin, opMax uint64) {
	if before > 0 {
		return before, to
	}
	return from + 1, to
}

// NearOps is the lag, in ops, up to which a replica counts as near the others: an eighth of a log.
func NearOps(l *limits.Limits) uint64 { return uint64(l.JournalSlotsCount) / 8 }

// SpacingMaxNs: a primary spaces its prepares for at most so long.
const SpacingMaxNs = 60_000_000_000

// Return is a replica that comes back by state sync, as it tells of itself.
type Return struct {
	ForNs  uint64 // since it has told so
	OpenNs uint64 // how long its last opening took, or how long it has been on its way back, if that is longer
	Cost   Cost   // of its own writes
}

// Spacing returns the time that a primary leaves between two prepares for a replica that comes
// back: a checkpoint interval lasts twice as long as the replica has needed. So it has opened a
// checkpoint, and has what follows, before the next but one is durable. As long as it is not near,
// the time grows, and with it the interval. So it arrives, whatever it gets per second, unless
// that takes longer than a primary makes pauses. It may have been cut off on its way for any time,
// so no pause is longer than after SpacingMaxNs. One whose disk is slow would fall behind again,
// and is not waited for. own is the cost of the primary's writes.
func (r *Return) Spacing(l *limits.Limits, own Cost) (ns uint64) {
	if r.ForNs >= SpacingMaxNs || r.Cost.IsSlowDisk(own) {
		return 0
	}
	return 2 * min(r.OpenNs, SpacingMaxNs) / l.CheckpointIntervalOps()
}
