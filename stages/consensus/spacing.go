package consensus

import (
	"ledger/limits"
	"ledger/vsr"
)

// spacing is the pauses that a primary makes before its prepares while a replica syncs, so that
// this replica has opened a checkpoint before the others have left it behind. The rule is
// vsr.Spacing.
//
// It is told by pings, once a second. An interval may be shorter than that, so a primary that has
// no news yet may be late. Then the replica takes a later checkpoint, and says how long that took.
type spacing struct {
	sinceNs [limits.ReplicasMax]uint64 // since when each replica has said that it syncs; 0: it does not
	openNs  [limits.ReplicasMax]uint64
	lastNs  uint64 // when a prepare started
}

// told: a replica has told whether it syncs, and how long its last opening took.
func (p *spacing) told(replica int, isSyncing bool, openNs, nowNs uint64) {
	switch {
	case !isSyncing:
		p.sinceNs[replica] = 0
	case p.sinceNs[replica] == 0:
		p.sinceNs[replica] = max(nowNs, 1)
	}
	p.openNs[replica] = openNs
}

// left: a replica is not connected any more.
func (p *spacing) left(replica int) { p.sinceNs[replica] = 0 }

// untilNs is when the next prepare may start.
func (p *spacing) untilNs(l *limits.Limits, nowNs uint64) uint64 {
	longest := uint64(0)
	for i, since := range p.sinceNs {
		if since > 0 {
			longest = max(longest, vsr.Spacing(l, p.openNs[i], nowNs-min(nowNs, since)))
		}
	}
	return p.lastNs + longest
}

// prepared: a prepare starts.
func (p *spacing) prepared(nowNs uint64) { p.lastNs = nowNs }

// isSpaced tells whether the next prepare waits because another replica syncs.
func (s *Stage) isSpaced() bool {
	return s.timers.now() < s.spacing.untilNs(&s.limits, s.timers.now())
}

// spacedNs is when the pause ends, if there is one.
func (s *Stage) spacedNs() uint64 {
	if until := s.spacing.untilNs(&s.limits, s.timers.now()); until > s.timers.now() && s.mayOrder() {
		return until
	}
	return ^uint64(0)
}
