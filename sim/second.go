package sim

import (
	"math/rand/v2"

	"ledger/limits"
)

// second makes another machine, in a world of its own: a bench without clients. It has a copy of
// the medium, or an empty one. Its memory and its timing differ.
func (m *Machine) second(image *Image) *Machine {
	options := m.world.options
	options.Trace = false
	w := newWorld(options, rand.New(rand.NewPCG(m.random.Uint64(), 1)), m.fail)
	c := &Cluster{world: w, limits: m.limits, modelLimits: m.cluster.modelLimits, id: m.cluster.id}
	// None of these limits may affect the data file.
	c.limits.StorageBytesMax = max(storageBytesMax(m.limits.BlockBytes), m.limits.StorageBytesMax)
	redrawMemory(&c.limits, m.random)
	c.limits.RequestBytesMax = uint32(4096 + m.random.IntN(int(m.limits.RequestBytesMax-4096)+1))
	return newMachine(w, c, image)
}

// fork starts another machine on a copy of the medium, with other timing and no clients. It must
// come to the same checkpoints.
func (m *Machine) fork() {
	m.result.ForksCount++
	other := m.second(m.disk.image.clone())
	defer other.abandon()
	if started, err := other.start(-1); err != nil || !started {
		m.fail("on a copy of the medium the replica refuses to start: %v", err)
	}
	head := other.opened.Consensus.OpHead
	if head != m.medium.durableOp && (m.medium.candidate == nil || head != m.medium.durableOp+1) {
		m.fail("on a copy of the medium the log ends at op %d, but op %d is the last durable one", head, m.medium.durableOp)
	}
	other.disk.onWrite = func(zone Zone, offsetBytes uint64, data []byte, _ bool) {
		if zone == PortJournal && offsetBytes < m.layout.TwinsAt {
			if op, id := checkpointOf(data); m.limits.CheckpointTrigger(op) <= head {
				m.cluster.judge.checkpoint(op, id)
			}
		}
	}
	for untilNs := ^uint64(0); other.events.nowNs < untilNs; {
		if other.steps > calmStepsMax {
			m.fail("on a copy of the medium the replica never gets ready")
		}
		other.step()
		if other.fault != nil {
			m.fail("on a copy of the medium the replica stops: %v", other.fault)
		}
		if other.ready && untilNs == ^uint64(0) {
			untilNs = other.events.nowNs + 50*nsPerMs
		}
	}
}

// retrace makes another machine execute the whole log again, from an empty file on, with restarts
// at other ops. It must come to the same checkpoints, block by block.
func (m *Machine) retrace() {
	m.result.RetracesCount++
	layout, slots := &m.layout, uint64(m.limits.JournalSlotsCount)
	other := m.second(newImage(m.limits.SectorBytes))
	defer other.abandon()
	other.format(-1)
	checkpointOp, copies := uint64(0), uint32(0)
	other.disk.onWrite = func(zone Zone, offsetBytes uint64, data []byte, _ bool) {
		if zone == PortJournal && offsetBytes < layout.TwinsAt {
			m.cluster.judge.checkpoint(checkpointOf(data))
		}
	}
	other.disk.onEnd = func(zone Zone, offsetBytes uint64, data []byte, _ bool) {
		if zone == PortJournal && offsetBytes < layout.TwinsAt {
			if copies++; copies == m.limits.SuperblockCopies {
				copies = 0
				checkpointOp, _ = checkpointOf(data)
			}
		}
	}
	for head := uint64(0); head < m.medium.durableOp; {
		// The machine executes some more ops, as far as they may be prepared, and then goes down.
		most := min(m.medium.durableOp, m.limits.PrepareMax(checkpointOp))
		end := most
		if other.random.IntN(4) == 0 {
			end = head + 1 + other.random.Uint64N(most-head)
		}
		for head < end {
			head++
			p := m.cluster.judge.history[head]
			other.disk.image.write(layout.PrepareAt(head%slots), padded(p, m.limits.SectorBytes), true)
			other.disk.image.write(layout.TwinAt(head%slots), twinOf(p, &m.limits), true)
		}
		if started, err := other.start(-1); err != nil || !started {
			m.fail("with the same log another machine refuses to start: %v", err)
		}
		if found := other.opened.Consensus.OpHead; found != head {
			m.fail("another machine with the log up to op %d finds its end at op %d", head, found)
		}
		checkpointOp, copies = other.opened.Consensus.Superblock.Checkpoint.Op, 0
		before := checkpointOp
		for untilSteps := other.steps + wholeStepsMax; !other.ready || head == m.limits.PrepareMax(before) && checkpointOp == before; {
			other.step()
			if other.fault != nil {
				m.fail("with the same log another machine stops: %v", other.fault)
			}
			if other.steps > untilSteps {
				m.fail("with the same log another machine never gets ready")
			}
		}
		other.stop()
		other.replica = nil
		other.network.crash(false)
		other.disk.crash(other.random.IntN(2) == 0)
		other.memory.Close()
	}
}

// twinOf is the content of the second place of p's slot: all of p, or its header.
func twinOf(p []byte, l *limits.Limits) []byte {
	if !isSmall(p, l) {
		p = p[:limits.HeaderBytes]
	}
	return padded(p, l.SectorBytes)
}

func isSmall(p []byte, l *limits.Limits) bool { return uint32(len(p)) <= l.TwinBytes }

// padded is data, padded with zeros to whole sectors.
func padded(data []byte, sectorBytes uint32) []byte {
	whole := (len(data) + int(sectorBytes) - 1) / int(sectorBytes) * int(sectorBytes)
	return append(append(make([]byte, 0, whole), data...), make([]byte, whole-len(data))...)
}
