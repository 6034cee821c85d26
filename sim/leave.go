package sim

import (
	"ledger/limits"
	"ledger/prepare"
)

// tailEventsMax is the number of events in the log that a start of a quarter of the machines
// tolerates when it leaves; the others tolerate any. It comes from the seed of a start.
func tailEventsMax(hashSeed uint64) uint64 {
	if hashSeed>>16&3 != 0 {
		return 0
	}
	return 1 << (hashSeed >> 18 & 7)
}

// leavesBeforeCrash tells whether the replica is told that its process is about to end, and how
// many steps it has until the process does, whatever the replica says.
func (m *Machine) leavesBeforeCrash() (steps int, ok bool) {
	return int(m.limits.HashSeed >> 50 & (1<<13 - 1)), m.limits.HashSeed>>48&3 == 0
}

// leave tells the replica that its process is about to end.
func (m *Machine) leave() {
	m.leaves, m.left, m.idle = true, false, 0
	m.isHeld = m.ready && m.limits.TailEventsMax > 0
	m.replica.Leave()
}

// leaveWithin tells it so, and ends the process when the replica lets it, or after some steps.
func (m *Machine) leaveWithin(steps int) {
	m.leave()
	for i := 0; i < steps && m.leaves && !m.left && m.fault == nil; i++ {
		m.step()
	}
}

// onLeft checks that the next start has little to execute.
func (m *Machine) onLeft() {
	m.left = true
	m.note("left: checkpoint, head", m.medium.checkpointOp, m.medium.durableOp)
	m.result.Coverage.Left++
	if !m.isHeld {
		return
	}
	events := uint64(0)
	for op := m.medium.checkpointOp + 1; op <= m.medium.durableOp; op++ {
		events += uint64(len(m.cluster.judge.history[op])-prepare.HeaderBytes) / limits.EventBytesMin
	}
	if events > m.limits.TailEventsMax {
		m.fail("the process may end, and %d events are in the log behind the checkpoint of op %d; %d are tolerated", events,
			m.medium.checkpointOp, m.limits.TailEventsMax)
	}
	head := m.medium.durableOp
	if head > 0 && isNoop(prepare.Header(m.cluster.judge.history[head][:prepare.HeaderBytes])) { // without an op there is no header
		m.result.Coverage.Settled++
	}
}
