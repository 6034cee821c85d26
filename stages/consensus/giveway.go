package consensus

import (
	"ledger/limits"
	"ledger/peer"
	"ledger/vsr"
)

// A primary gives way if another one would serve better: it sends no heartbeats and prepares
// nothing more, since both are signs of life, and wishes to leave its view. The backups wish the
// same as soon as they hear of it.

// watchOwn looks for reasons for which the primary gives way.
func (s *Stage) watchOwn() {
	if s.beats.isGivingWay() {
		return
	}
	if !s.status.isServing() && s.beats.hasAdvanced(s.progress()) {
		s.deadlines.advanced()
	}
	if cause, isGivingWay := s.reason(); isGivingWay {
		s.beats.giveWay()
		s.deadlines.gaveWay()
		s.wish(cause)
	}
}

// reason for which the primary gives way.
func (s *Stage) reason() (cause peer.Cause, isReason bool) {
	switch {
	case !s.status.isServing() && s.deadlines.servesLate():
		return peer.CauseUnready, true
	case !s.isPrimary():
		return 0, false // its log view is not durable yet
	case s.isDeaf():
		return peer.CauseDeaf, true
	case s.isSlow():
		return peer.CauseSlow, true
	case s.deadlines.clockLate(s.isClockLost()):
		return peer.CauseClock, true
	case s.isHeldByCheckpoints():
		s.deadlines.quorumHeld()
		return 0, false
	}
	return peer.CauseNoQuorum, s.deadlines.quorumLate(s.pipeline.count() > 0 || s.isStalled())
}

// isStalled tells whether requests wait for this replica's own disk: it has not written the prepare
// that was in the next log slot before, or its own checkpoint. Its peers may have written both.
func (s *Stage) isStalled() bool {
	op := s.log.head() + 1
	return s.pipeline.count() == 0 && s.queue.count() > 0 && s.timers.wall() != 0 &&
		(s.log.isWriting(op) || op > s.limits.PrepareMax(s.superblocks.now().Checkpoint.Op))
}

// progress is a number that changes when a new primary comes closer to serving: its log view is
// durable, an op is executed, a reply is late no more, or a prepare that it has to know is in
// memory.
func (s *Stage) progress() uint64 {
	progress := s.commits.min() + s.commits.last() + s.late.ended()
	for op := s.commits.max() + 1; op <= s.log.head(); op++ {
		if _, isThere := s.recent.has(op, s.log.checksum(op)); isThere {
			progress++
		}
	}
	if s.isPrimary() {
		progress++
	}
	return progress
}

// isDeaf tells whether the primary hears nobody, while something waits or its heartbeats arrive.
func (s *Stage) isDeaf() bool {
	var heard, live [limits.ReplicasMax]uint64
	since := s.beats.waitingSince()
	if since > 0 {
		since = max(since, s.beats.leadsSince()) // before, nobody was asked
	}
	d := vsr.Deaf{WaitingSinceNs: since, RoundTripNs: s.clock.RoundTripNs(), HeardNs: s.peers.heardAt(&heard),
		LeadsSinceNs: s.beats.leadsSince(), LiveNs: s.peers.liveSince(&live), Self: s.self}
	return d.Is(&s.quorums, s.timers.now())
}

// isClockLost tells whether the primary does not know the cluster's time, and another replica does.
// If nobody does, another primary would serve as little.
func (s *Stage) isClockLost() bool {
	if s.timers.wall() != 0 {
		return false
	}
	for i := range s.quorums.Replicas {
		if s.peers.isReported(i, s.timers.now()) && s.peers.reported(i).ClockAgreed == 1 {
			return true
		}
	}
	return false
}

// isHeldByCheckpoints tells whether the oldest prepare, or the next one, waits for checkpoints: too
// few replicas have the one that they need to acknowledge it. Another primary would wait as well.
func (s *Stage) isHeldByCheckpoints() bool {
	op := s.pipeline.oldest()
	if op == 0 {
		op = s.log.head() + 1
	}
	may := 0
	for i := range s.quorums.Replicas {
		state, _, _ := s.peers.stateOf(i)
		checkpoint := state.CheckpointOp
		if i == s.self {
			checkpoint = s.superblocks.now().Checkpoint.Op
		}
		if op <= s.limits.CheckpointTrigger(s.limits.CheckpointAfter(checkpoint))+uint64(s.limits.SlackOps) {
			may++
		}
	}
	return may < s.quorums.Replication
}
