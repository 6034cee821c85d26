package sim

import (
	"slices"

	"ledger/inspect"
)

// agree demands that all replicas come to the same op and the same checkpoint.
func (s *several) agree() {
	s.runUntil(s.isEven, "all replicas have executed the same ops and have the same checkpoint")
	steps := 0
	s.runUntil(func() bool {
		steps++
		return steps%healedEvery == 1 && s.isEven() && !s.isMissing()
	}, "every replica has all blocks of its checkpoint")
	s.scrub()
	if s.cluster.machines[0].witness.checkpointOp > 0 {
		s.marks.add(MarkCheckpoint)
		s.demandBlocks()
		s.compare()
		if s.replacement.isDone() {
			s.marks.add(MarkReplaced)
		}
		if s.cluster.limits.StandbysCount > 0 {
			s.marks.add(MarkStandby)
		}
	}
}

// healedEvery: of so many steps, one looks at all blocks.
const healedEvery = 500

// isMissing tells whether a replica misses a block of its checkpoint that its disk has not spoiled.
func (s *several) isMissing() bool {
	return slices.ContainsFunc(s.cluster.machines, func(m *Machine) bool { return s.blocks.Missing(m.index, m.witness.checkpointOp) != nil })
}

// isEven tells whether all replicas have executed all ops, and have the same checkpoint on disk. A
// machine that writes its next superblock is not even with others: a reader of the disk finds it as
// soon as two copies are written, and between two copies nothing need be in flight.
func (s *several) isEven() bool {
	first := s.cluster.machines[0].witness
	for _, m := range s.cluster.machines {
		if m.replica == nil || m.replica.Consensus.Commit() != s.oracle.Highest() || m.witness.checkpointOp != first.checkpointOp ||
			m.witness.begun != m.witness.sequence || len(m.disk.flying) > 0 {
			return false
		}
	}
	return true
}

// compare demands that the machines, which have the same checkpoint, have the same used pages.
func (s *several) compare() {
	first := s.cluster.machines[0].digest()
	for _, m := range s.cluster.machines[1:] {
		if other := m.digest(); *other != *first {
			m.fail("machines 0 and %d have the same checkpoint, and other used pages: of checkpoint %d with id %s digest %s, of %d with %s %s",
				m.index, first.CheckpointOp, first.CheckpointID, first.Digest, other.CheckpointOp, other.CheckpointID, other.Digest)
		}
	}
}

// digest is that of the used pages of all blocks that the checkpoint on disk names.
func (m *Machine) digest() *inspect.Digest {
	f, err := inspect.Open(&File{image: m.disk.image, random: m.random, crashSectors: -1}, m.limits)
	if err != nil {
		m.fail("machine %d: the data file cannot be read: %v", m.index, err)
	}
	defer f.Close()
	digest, damaged, err := f.Digest(nil)
	if err != nil || len(damaged) > 0 {
		m.fail("machine %d: the blocks of the checkpoint are not whole: %v %v", m.index, err, damaged)
	}
	if digest.CheckpointOp != m.witness.checkpointOp {
		m.fail("machine %d: a reader finds the checkpoint of op %d, and that of op %d is durable", m.index, digest.CheckpointOp,
			m.witness.checkpointOp)
	}
	return digest
}
