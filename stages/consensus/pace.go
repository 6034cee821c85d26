package consensus

import (
	"ledger/limits"
	"ledger/peer"
	"ledger/vsr"
)

// pace is how fast a primary prepares while a backup comes back by the log. The rule is vsr.Pace. A
// backup tells what it has executed with each acknowledgement and each echo of a heartbeat, and
// what it has to execute with each ping.
type pace struct{ rule vsr.Pace }

func newPace(l *limits.Limits) pace { return pace{rule: vsr.NewPace(l)} }

// prepared: a prepare starts.
func (p *pace) prepared(nowNs uint64) { p.rule.Prepared(nowNs) }

// stepDown: the replica is no primary any more.
func (p *pace) stepDown(nowNs uint64) { p.rule.Leave(nowNs) }

// keptNs is the time in which a pace was kept.
func (p *pace) keptNs() uint64 { return p.rule.TotalNs() }

func (p *pace) reported(nowNs uint64, replica int, lagOps uint64, isLeft bool) {
	p.rule.Reported(nowNs, replica, lagOps, isLeft)
}

func (p *pace) executed(nowNs uint64, replica int, commitMin, lagOps uint64) {
	p.rule.Executed(nowNs, replica, commitMin, lagOps)
}

// untilNs is when the next prepare may start, if an execution takes executeNs here.
func (p *pace) untilNs(nowNs, executeNs uint64) uint64 { return p.rule.UntilNs(nowNs, executeNs) }

// paceReported takes what a ping or a pong of another replica tells. One that comes back by state
// sync is not waited for as long as it has pauses of its own (spacing), and one whose disk is slow
// would fall behind again.
func (s *Stage) paceReported(from int, state *peer.State) {
	if !s.isPrimary() {
		return
	}
	now := s.timers.now()
	own, cost := s.costs.now(now), vsr.Cost{WriteNs: uint64(state.WriteNs)}
	isLeft := cost.IsSlowDisk(own) || s.spacing.waitsFor(&s.limits, from, own, now)
	s.pace.reported(now, from, state.CommitMax-min(state.CommitMax, state.CommitMin), isLeft)
}

// paceExecuted takes what a backup has executed.
func (s *Stage) paceExecuted(from int, commitMin uint64) {
	s.pace.executed(s.timers.now(), from, commitMin, s.commits.max()-min(s.commits.max(), commitMin))
}

// isPaced tells whether the next prepare waits until a backup has executed more.
func (s *Stage) isPaced() bool { return s.pacedNs() > s.timers.now() }

// pacedNs is when the next prepare starts, whatever the backup has executed.
func (s *Stage) pacedNs() uint64 { return s.pace.untilNs(s.timers.now(), s.costs.executionNs()) }

// pacedTimerNs is the same as a timer; the greatest number: nothing waits for it.
func (s *Stage) pacedTimerNs() uint64 {
	if until := s.pacedNs(); until > s.timers.now() && s.mayOrder() {
		return until
	}
	return ^uint64(0)
}
