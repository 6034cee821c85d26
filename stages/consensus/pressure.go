package consensus

import (
	"ledger/limits"
	"ledger/vsr"
)

// pressure is what a primary knows of the lag of its backups, and the pauses that it makes before
// its prepares so that they stay near. The rule is vsr.Pressure.
//
// A backup tells what it has executed with each acknowledgement and each echo of a heartbeat. Its
// lag is reckoned when it tells that: later, what was committed meanwhile would count as lag. An
// echo counts because a backup does not acknowledge what it knows to be committed, which is all
// that it writes if its disk is the slowest.
type pressure struct {
	rule vsr.Pressure
	each [limits.ReplicasMax]vsr.Lag
}

func newPressure(l *limits.Limits) pressure { return pressure{rule: vsr.NewPressure(l)} }

// told: a backup has executed up to commitMin.
func (p *pressure) told(replica int, commitMax, commitMin, nowNs uint64) {
	p.each[replica] = vsr.Lag{Ops: commitMax - min(commitMax, commitMin), ToldNs: max(nowNs, 1)}
}

// leave a backup out: it is being synced.
func (p *pressure) leave(replica int) { p.each[replica] = vsr.Lag{} }

// lag of the slowest backup that counts, in ops.
func (p *pressure) lag(nowNs uint64) uint64 { return p.rule.Slowest(nowNs, p.each[:]) }

// holds tells whether the next prepare waits.
func (p *pressure) holds(nowNs uint64) bool { return p.rule.Hold(nowNs, p.lag(nowNs)) }

// nextNs is when a pause ends. A pause that has ended without a prepare has no timer: what is in
// the way of the prepare is an event.
func (p *pressure) nextNs(nowNs uint64) uint64 {
	if at := p.rule.NextNs(); at > nowNs {
		return at
	}
	return ^uint64(0)
}

// pausedNs is the time of all pauses.
func (p *pressure) pausedNs() uint64 { return p.rule.PausedNs() }

// stepDown: the replica is no primary any more.
func (p *pressure) stepDown(nowNs uint64) {
	p.rule.Leave(nowNs)
	p.each = [limits.ReplicasMax]vsr.Lag{}
}

// hearsLag takes what a backup has executed, unless it comes back by state sync and the primary
// waits for it anyway. op is one of its log.
func (s *Stage) hearsLag(from int, op, commitMin uint64) {
	if !s.isPrimary() {
		return
	}
	s.paceAnswered(from, op, commitMin)
	if s.spacing.waitsFor(&s.limits, from, s.costs.now(s.timers.now()), s.timers.now()) {
		s.pressure.leave(from)
		return
	}
	s.pressure.told(from, s.commits.max(), commitMin, s.timers.now())
}
