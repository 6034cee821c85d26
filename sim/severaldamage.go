package sim

import (
	"ledger/limits"
	"ledger/sim/oracle"
)

// harm damages the log and the superblock of a machine that is down, within the budget of faults:
// what is damaged in one log is whole in all others that have it.
func (s *several) harm(m *Machine) {
	if m.isLost {
		return
	}
	if m.replica == nil && m.random.IntN(2) == 0 {
		s.spoil(m)
	}
	if !s.mix.isDamage || m.replica != nil || m.random.IntN(2) == 0 {
		return
	}
	r, image, layout := m.random, m.disk.image, &m.layout
	if _, equal := m.superblock(); equal && r.IntN(2) == 0 {
		for _, i := range r.Perm(4)[:1+r.IntN(2)] {
			m.say("damage: copy %d of the superblock", i)
			image.damage(r, layout.SuperblockCopyAt(uint32(i)), 4096)
			m.result.DamagesCount++
		}
	}
	odds := 1 + r.IntN(len(m.witness.slots))
	for slot := range uint64(len(m.witness.slots)) {
		if r.IntN(odds) == 0 {
			s.harmSlot(m, slot, r.IntN(3))
		}
	}
	m.witness.rescan()
}

// harmSlot damages a copy of what a slot holds, or both.
func (s *several) harmSlot(m *Machine, slot uint64, how int) {
	held := &m.witness.slots[slot]
	p := held.prepare
	if p == nil || held.twin != p || !s.isSoundElsewhere(m, p) {
		return
	}
	sector := uint64(m.limits.SectorBytes)
	whole := (uint64(p.Size) + sector - 1) / sector * sector
	at := m.layout.PrepareAt(slot)
	twinAt, twinBytes := m.layout.TwinAt(slot), sector
	if m.witness.isSmall(p) {
		twinBytes = whole
	}
	m.say("damage: %s of op %d of view %d", [3]string{"the prepare", "the twin", "both copies"}[how], p.Op, p.View)
	m.result.DamagesCount++
	if how != 1 {
		m.disk.image.damage(m.random, at, whole)
	}
	if how == 2 {
		// The header of the twin: if it were right, both copies together would look like a torn write,
		// which an op that was acknowledged may do only after two faults.
		m.disk.image.damage(m.random, twinAt, limits.HeaderBytes)
		s.marks.add(MarkHarmed)
	} else if how == 1 {
		m.disk.image.damage(m.random, twinAt, twinBytes)
	}
	held.prepare, held.twin = nil, nil
}

// isSoundElsewhere tells whether the slot of p is whole on all other machines, whatever it holds,
// or was never written, and whether at least one of them has p if it is committed. If a slot were
// damaged on two machines, nobody could say whether an op that belongs there was acknowledged.
func (s *several) isSoundElsewhere(m *Machine, p *oracle.Prepare) bool {
	some := false
	if s.replacement.isOpen() {
		return false // a log less is there, and that is damage enough
	}
	for _, other := range s.cluster.machines {
		if other == m {
			continue
		}
		held := other.witness.slot(p.Op)
		if held.prepareNext != nil || held.twinNext != nil {
			return false
		}
		if held.prepare == p && held.twin == p {
			some = some || !other.isStandby() // a standby serves nobody
		} else if held.prepare != held.twin || held.prepare == nil && other.witness.highest >= p.Op%uint64(len(other.witness.slots)) {
			return false
		}
	}
	return some || s.oracle.Committed(p.Op) != p
}

// harmAll damages the logs of all machines, each op on one of them at most.
func (s *several) harmAll() {
	if !s.mix.isDamage {
		return
	}
	r := s.cluster.world.random
	if r.IntN(2) == 0 {
		for _, m := range s.cluster.machines {
			s.harm(m)
		}
		return
	}
	// The newest ops, one after the other on one machine after the other.
	highest := s.oracle.Highest()
	turn := r.IntN(len(s.cluster.machines))
	for i := range uint64(2 + r.IntN(8)) {
		op := highest + 3 - min(i, highest+2)
		m := s.cluster.machines[(turn+int(i))%len(s.cluster.machines)]
		if op > 0 && m.replica == nil {
			s.harmSlot(m, op%uint64(len(m.witness.slots)), 2)
		}
	}
	for _, m := range s.cluster.machines {
		if m.replica == nil {
			m.witness.rescan()
		}
	}
}
