package sim

import (
	"slices"

	"ledger/sim/oracle"
	"ledger/stages/journal"
)

// scrub demands that damage which nobody reads is found and repaired. A scrubber reads the blocks
// of the state that a checkpoint names. So it leaves out, until the next checkpoint, the blocks
// that were replaced since the last one, which the next one does not name any more, and those that
// were written since, which it names for the first time.
func (s *several) scrub() {
	for range scrubRounds {
		if len(s.unread()) == 0 {
			return
		}
		s.scrubRound()
	}
}

// scrubRounds: what was damaged before it had a checkpoint is found in the second one, and what was
// replaced behind that checkpoint is gone with the third.
const scrubRounds = 3

// scrubRound lets the scrubbers find what they have to find within their periods, while the clients
// are at rest, and then the replicas come to another checkpoint if some damage is left.
func (s *several) scrubRound() {
	s.scrubbersOn()
	damaged := s.unread()
	before := s.cluster.machines[0].witness.checkpointOp
	steps, mostNs := 0, s.scrubNs()
	untilNs := s.cluster.world.events.nowNs + mostNs
	s.runWithin(mostNs+severalCalmNsMax, func() bool {
		steps++
		isOver := s.cluster.world.events.nowNs > untilNs
		return (isOver || steps%healedEvery == 1 && len(s.unread()) == 0) && s.isEven()
	}, "the scrubbers have read all blocks")
	left := s.unread()
	if len(left) < len(damaged) {
		s.marks.add(MarkScrubbed)
	}
	for range auditsMax {
		if len(left) == 0 || s.cluster.machines[0].witness.checkpointOp > before {
			break
		}
		s.audit()
		s.runUntil(s.isEven, "all replicas have executed the same ops and have the same checkpoint")
	}
	after := s.blocks.Named(s.cluster.machines[0].witness.checkpointOp)
	for _, block := range left {
		if block.IsTrailer() || slices.Contains(after, block) {
			s.cluster.world.fail("block %d, which was damaged and in use all the time, was not repaired within the scrubbers' periods",
				block.Address)
		}
	}
}

// auditsMax audits and more ops than between two checkpoints.
const auditsMax = 16

// unread are the blocks of the checkpoints that a read does not give as they were written.
func (s *several) unread() (blocks []*oracle.Block) {
	for _, m := range s.cluster.machines {
		blocks = append(blocks, s.unreadOf(m)...)
	}
	return blocks
}

// unreadOf are those of one machine. A repair need not be durable yet.
func (s *several) unreadOf(m *Machine) (blocks []*oracle.Block) {
	for _, block := range s.blocks.Broken(m.index, m.witness.checkpointOp) {
		if !m.holds(m.blockAt(block.Address), block.Bytes) {
			blocks = append(blocks, block)
		}
	}
	return blocks
}

// scrubbersOn starts the machines again that have damage and no scrubber, with one.
func (s *several) scrubbersOn() {
	for _, m := range s.cluster.machines {
		if m.limits.ScrubPeriodNs == 0 && len(s.unreadOf(m)) > 0 {
			m.scrubs = true
			s.goDown(m, false, 0)
		}
	}
	s.runUntil(s.isEven, "all replicas have executed the same ops and have the same checkpoint")
}

// scrubNs is the time within which the scrubbers have read everything that is damaged, and written
// it: the rest of a pass and a whole one, each with as much time as the bounds of bytes per second
// add. A pass that finds more than may be wanted at a time leaves some to the next one.
func (s *several) scrubNs() (mostNs uint64) {
	for _, m := range s.cluster.machines {
		reads := m.blocksHigh() + uint64(m.limits.JournalSlotsCount) + 4
		passNs := m.limits.ScrubPeriodNs*5/4 + reads*2*nsPerMs + m.disk.image.usedBytes*1_000_000_000/journal.ScrubBytesPerSecond
		passes := 2 + uint64(len(s.unreadOf(m)))/scrubbedAtATime
		mostNs = max(mostNs, passes*passNs)
	}
	return mostNs
}

// scrubbedAtATime blocks at least get repaired in a pass.
const scrubbedAtATime = 16
