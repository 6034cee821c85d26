package consensus

import (
	"ledger/limits"
	"ledger/vsr"
)

// spacing is the pauses that a primary makes before its prepares while a replica comes back by
// state sync, so that it has a checkpoint and the log behind it before the others have left it
// behind. The rule is vsr.Return.
//
// It is told by pings, once a second. An interval may be shorter than that, so a primary that has
// no news yet may be late. Then the replica takes a later checkpoint, and says how long that took.
type spacing struct {
	sinceNs [limits.ReplicasMax]uint64 // since when each replica has said that it comes back; 0: it does not
	told    [limits.ReplicasMax]vsr.Return
	isAway  [limits.ReplicasMax]bool // not connected: the time that it gets does not begin anew when it is
	lastNs  uint64                   // when a prepare started
}

// tell: a replica has told whether it comes back, and how long its last opening took.
func (p *spacing) tell(replica int, isReturning bool, r vsr.Return, nowNs uint64) {
	switch {
	case !isReturning:
		p.sinceNs[replica] = 0
	case p.sinceNs[replica] == 0:
		p.sinceNs[replica] = max(nowNs, 1)
	}
	p.told[replica], p.isAway[replica] = r, false
}

// left: a replica is not connected any more.
func (p *spacing) left(replica int) { p.isAway[replica] = true }

// ofNs is the pause before each prepare for one replica.
func (p *spacing) ofNs(l *limits.Limits, replica int, own vsr.Cost, nowNs uint64) uint64 {
	since := p.sinceNs[replica]
	if since == 0 || p.isAway[replica] {
		return 0
	}
	r := &p.told[replica]
	r.ForNs = nowNs - min(nowNs, since)
	return r.Spacing(l, own)
}

// waitsFor tells whether there are pauses for a replica. A standby gets none.
func (p *spacing) waitsFor(l *limits.Limits, replica int, own vsr.Cost, nowNs uint64) bool {
	return replica < len(p.sinceNs) && p.ofNs(l, replica, own, nowNs) > 0
}

// untilNs is when the next prepare may start.
func (p *spacing) untilNs(l *limits.Limits, own vsr.Cost, nowNs uint64) uint64 {
	longest := uint64(0)
	for i := range p.sinceNs {
		longest = max(longest, p.ofNs(l, i, own, nowNs))
	}
	return p.lastNs + longest
}

// prepared: a prepare starts.
func (p *spacing) prepared(nowNs uint64) { p.lastNs = nowNs }

// isSpaced tells whether the next prepare waits because another replica comes back.
func (s *Stage) isSpaced() bool { return s.timers.now() < s.spaceNs() }

// spacedNs is when the pause ends, if there is one.
func (s *Stage) spacedNs() uint64 {
	if until := s.spaceNs(); until > s.timers.now() && s.mayOrder() {
		return until
	}
	return ^uint64(0)
}

func (s *Stage) spaceNs() uint64 {
	now := s.timers.now()
	return s.spacing.untilNs(&s.limits, s.costs.now(now), now)
}
