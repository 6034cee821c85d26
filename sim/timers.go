package sim

import (
	"slices"

	"ledger/stages"
)

// nextTurnNs is the first moment of the world at which a driver wants a turn by a timer that has
// not passed; stages.NoTurn if there is none. Only a turn of a driver changes its timer, so each of
// them is asked once between two of its turns.
func (m *Machine) nextTurnNs() uint64 {
	nowNs, next := m.clock.monotonicNs(), stages.NoTurn
	for i, driver := range m.replica.Drivers {
		if m.timersKnown>>i&1 == 0 {
			m.timersNs[i] = driver.NextTurnNs()
			m.timersKnown |= 1 << i
		}
		if m.timersNs[i] > nowNs {
			next = min(next, m.timersNs[i])
		}
	}
	return m.clock.worldNs(next)
}

// isOverdue tells whether a timer of a machine has passed, if none is to come. The time may pass a
// timer while another machine has its turn. Then nothing would ever wake this one. It is called
// after nextTurnNs.
func (m *Machine) isOverdue() bool {
	return slices.ContainsFunc(m.timersNs, func(timerNs uint64) bool { return timerNs != stages.NoTurn })
}
