package sim

import (
	"slices"

	"ledger/limits"
	"ledger/prepare"
	"ledger/sim/oracle"
)

// dataFile is one that is not in its place.
type dataFile struct {
	image      *Image
	witness    witness
	spoiled    []*oracle.Block
	found      map[uint64]bool
	repairedAt map[uint64]uint64
}

// mayLose tells whether a machine may lose its data file: all that is committed is whole on the
// others, in logs or in checkpoints, and no other fault is left there.
func (r *replacement) mayLose(lost *Machine) bool {
	s := r.several
	checkpoint := uint64(0)
	for _, m := range s.cluster.machines {
		if m == lost {
			continue
		}
		if m.witness.syncMax > 0 || m.witness.isDamaged() {
			return false
		}
		if !m.isStandby() {
			checkpoint = max(checkpoint, m.witness.checkpointOp)
		}
	}
	for op := checkpoint + 1; op <= s.oracle.Highest(); op++ {
		p := s.oracle.Committed(op)
		if !slices.ContainsFunc(s.cluster.replicas(), func(m *Machine) bool { return m != lost && m.witness.Holds(p) }) {
			return false
		}
	}
	return !lost.isLost && lost.witness.syncMax == 0 && s.blocks.MayLose(lost.index)
}

// isDamaged tells whether a slot of the log has neither a whole entry nor what format has written.
func (d *witness) isDamaged() bool {
	header := make([]byte, limits.HeaderBytes)
	for i := range d.slots {
		s := &d.slots[i]
		switch {
		case s.prepareNext != nil || s.twinNext != nil:
		case s.prepare != s.twin:
			return true
		case s.prepare == nil:
			if i == 0 {
				prepare.PutRoot(header, d.several.cluster.id)
			} else {
				prepare.PutReserved(header, d.several.cluster.id, uint64(i))
			}
			if !d.machine.holds(d.layout.PrepareAt(uint64(i)), header) || !d.machine.holds(d.layout.TwinAt(uint64(i)), header) {
				return true
			}
		}
	}
	return false
}

// newFile is an empty one.
func (m *Machine) newFile() *dataFile {
	return &dataFile{image: newImage(m.limits.SectorBytes), witness: *newWitness(m, m.cluster.several), found: map[uint64]bool{},
		repairedAt: map[uint64]uint64{}}
}

// change puts another data file into the place of that of a machine that is down, and returns the
// one before.
func (m *Machine) change(f *dataFile) (before *dataFile) {
	s, d := m.cluster.several, m.witness
	if s.blocks.Missing(m.index, d.checkpointOp) == nil {
		s.replacement.whole[m.index] = max(s.replacement.whole[m.index], d.checkpointOp)
	}
	before = &dataFile{image: m.disk.image, witness: *d, found: m.found, repairedAt: m.repairedAt}
	before.spoiled = s.blocks.Change(m.index, f.spoiled)
	f.witness.highest = max(d.highest, f.witness.highest) // an empty slot below is one that misses something
	m.disk.image, *d, m.found, m.repairedAt = f.image, f.witness, f.found, f.repairedAt
	return before
}
