package consensus

import (
	"fmt"

	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/storage"
	"ledger/vsr"
	"ledger/wire"
)

// A prepare of an op in (c, the checkpoint after c] names the id of the checkpoint before c. So
// each prepare tells whether its author executed the same ops to the same state, two checkpoints
// ago. It also tells up to where ops were committed when it was made, and no pipeline is longer
// than its bound.

// named is the checkpoint that the prepare of op names, and its id here, if that is known: only the
// ids of two checkpoints are.
func (s *Stage) named(op uint64) (checkpointOp uint64, id wire.Checksum, isKnown bool) {
	checkpoint := &s.superblocks.now().Checkpoint
	next := s.limits.CheckpointAfter(checkpoint.Op)
	switch {
	case op > checkpoint.Op && op <= next:
		return s.limits.CheckpointBefore(checkpoint.Op), checkpoint.ParentID, true
	case op > next && op <= s.limits.CheckpointAfter(next):
		return checkpoint.Op, s.superblocks.checkpointID(), true
	}
	return 0, id, false
}

// isVerified tells whether a prepare names the checkpoint id that it has here, as far as that is
// known, and a number of committed ops that its author may have known.
func (s *Stage) isVerified(header prepare.Header) bool {
	op, commit := header.Op(), header.Commit()
	if commit >= op || op-commit > uint64(s.limits.PipelineOpsMax) {
		return false
	}
	_, id, isKnown := s.named(op)
	return !isKnown || header.CheckpointID() == id
}

// verify stops the replica if a committed op does not name the checkpoint that is here: whoever has
// acknowledged it had another one.
func (s *Stage) verify(op uint64) bool {
	header := s.log.header(op)
	if s.isVerified(header) {
		return true
	}
	checkpointOp, id, _ := s.named(op)
	s.fail(&storage.Fault{What: storage.FaultLog, Reason: fmt.Sprintf("op %d (committed: op %d) was prepared with the id %x of the "+
		"checkpoint of op %d, whose id is %x here: the log, or the state here, is broken",
		op, header.Commit(), header.CheckpointID(), checkpointOp, id)})
	return false
}

// mismatched: a prepare of the primary, or one that was asked for, is not verified. If a majority
// of the replicas has another checkpoint than this one, this one is broken, and stops. If it has
// the same, the primary is, or was: the prepare is dropped, and the view is left. Otherwise nothing
// is known yet, and the prepare comes again.
func (s *Stage) mismatched(header prepare.Header) {
	s.measures.ignored()
	if op, id, isKnown := s.named(header.Op()); isKnown && header.CheckpointID() != id {
		if s.stopIfBroken(op) || s.checkpointStanding(op) != vsr.StandingAgrees {
			return
		}
	}
	if s.views.isNormal() && s.quorums.PrimaryOf(s.views.now()) != s.self {
		s.wish(peer.CauseMismatch)
	}
}

// compare is done when a replica has told its state.
func (s *Stage) compare() {
	checkpoint := s.superblocks.now().Checkpoint.Op
	if !s.stopIfBroken(checkpoint) && checkpoint > 0 {
		s.stopIfBroken(s.limits.CheckpointBefore(checkpoint))
	}
}

// checkpointStanding compares the checkpoint of op here with those of the others.
func (s *Stage) checkpointStanding(op uint64) vsr.Standing {
	var ids [limits.ReplicasMax]vsr.CheckpointIDs
	var told [limits.ReplicasMax]*vsr.CheckpointIDs
	checkpoint := &s.superblocks.now().Checkpoint
	own := vsr.CheckpointIDs{Op: checkpoint.Op, ID: s.superblocks.checkpointID(), ParentID: checkpoint.ParentID}
	for i := range s.quorums.Replicas {
		ids[i] = own
		if i != s.self {
			state, stateNs, _ := s.peers.stateOf(i)
			if stateNs == 0 {
				continue // it has told nothing
			}
			ids[i] = vsr.CheckpointIDs{Op: state.CheckpointOp, ID: state.CheckpointID, ParentID: state.CheckpointParentID}
		}
		told[i] = &ids[i]
	}
	return vsr.StandingOf(&s.quorums, &own, op, s.limits.CheckpointAfter(op), told[:s.quorums.Replicas])
}

// stopIfBroken stops this replica if its checkpoint of op is another one than that of a majority,
// or if all differ so that no majority is right.
func (s *Stage) stopIfBroken(op uint64) bool {
	reason := ""
	switch s.checkpointStanding(op) {
	case vsr.StandingDiffers:
		reason = "a majority of the replicas has another one: the state here is broken; replace this replica"
	case vsr.StandingSplit:
		reason = "no majority of the replicas has the same one: nobody can tell whose state is right; restore the cluster from a backup"
	default:
		return false
	}
	s.fail(&storage.Fault{What: storage.FaultLog,
		Reason: fmt.Sprintf("the checkpoint of op %d is not that of the other replicas, and %s", op, reason)})
	return true
}
