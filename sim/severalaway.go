package sim

// Bounds of long faults.
const (
	tiredNsMax = 20_000 * nsPerMs // a disk is slow
	awayNsMax  = 60_000 * nsPerMs // a machine is away
)

// sendAway stops a machine, or makes it stand still, until the others have taken some checkpoints.
// Then it needs one of theirs.
func (s *several) sendAway(m *Machine) {
	if m.replica == nil {
		return
	}
	r := m.random
	interval := m.limits.CheckpointIntervalOps()
	m.awayOp = s.oracle.Highest() + interval + r.Uint64N(3*interval)
	untilNs := m.events.nowNs + awayNsMax
	if r.IntN(2) == 0 {
		m.pausedNs = untilNs
		m.say("stands still until op %d", m.awayOp)
		return
	}
	s.goDown(m, r.IntN(2) == 0, awayNsMax)
	s.harm(m)
}

// comeBack ends the absence of the machines that have missed enough.
func (s *several) comeBack() {
	for _, m := range s.cluster.machines {
		if m.awayOp > 0 && s.oracle.Highest() >= m.awayOp {
			m.awayOp = 0
			m.downNs, m.pausedNs = min(m.downNs, m.events.nowNs), min(m.pausedNs, m.events.nowNs)
		}
	}
}
