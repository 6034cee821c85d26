package consensus

import (
	"ledger/peer"
	"ledger/vsr"
)

// paceReported takes how much another replica has to execute, as a ping or a pong of it tells. One
// that comes back by state sync is not waited for as long as it has pauses of its own (spacing):
// until it is near, though blocks of its checkpoint may be missing for longer. One whose disk is
// slow would fall behind again.
func (s *Stage) paceReported(from int, state *peer.State) {
	if !s.isPrimary() {
		return
	}
	now := s.timers.now()
	own, cost := s.costs.now(now), vsr.Cost{WriteNs: uint64(state.WriteNs)}
	lagOps := state.CommitMax - min(state.CommitMax, state.CommitMin)
	isLeft := cost.IsSlowDisk(own) || lagOps > vsr.NearOps(&s.limits) && s.spacing.waitsFor(&s.limits, from, own, now)
	s.pace.Reported(now, from, lagOps, isLeft)
}

// paceAnswered takes what a backup has executed, as each acknowledgement and each echo of a
// heartbeat tells. op is one of its log, which it knew of at that moment.
func (s *Stage) paceAnswered(from int, op, commitMin uint64) {
	s.pace.Answered(s.timers.now(), from, op-min(op, commitMin), s.costs.executionNs())
	s.pace.Executed(s.timers.now(), from, commitMin, s.commits.max()-min(s.commits.max(), commitMin))
}

// isPaced tells whether the next prepare waits until a backup has executed more.
func (s *Stage) isPaced() bool { return s.pacedNs() > s.timers.now() }

// pacedNs is when the next prepare starts, whatever the backup has executed.
func (s *Stage) pacedNs() uint64 { return s.pace.UntilNs(s.timers.now(), s.costs.executionNs()) }

// pacedTimerNs is the same as a timer; the greatest number: nothing waits for it.
func (s *Stage) pacedTimerNs() uint64 {
	if until := s.pacedNs(); until > s.timers.now() && s.mayOrder() {
		return until
	}
	return ^uint64(0)
}
