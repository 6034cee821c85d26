package sim

import (
	"math/rand/v2"

	"ledger/limits"
	"ledger/stages/net"
)

// second makes another machine with a copy of the medium, or with an empty one. Its memory and its
// timing differ.
func (w *World) second(image *Image) *World {
	other := &World{
		options: w.options, random: rand.New(rand.NewPCG(w.random.Uint64(), 1)), fail: w.fail,
		limits: w.limits, modelLimits: w.modelLimits, cluster: w.cluster, clusterNumber: w.clusterNumber,
	}
	other.options.Trace = false
	// None of these limits may affect the data file.
	other.limits.StorageBytesMax = max(storageBytesMax(w.limits.BlockBytes), w.limits.StorageBytesMax)
	redrawMemory(&other.limits, w.random)
	other.limits.RequestBytesMax = uint32(4096 + w.random.IntN(int(w.limits.RequestBytesMax-4096)+1))
	other.disk = newDisk(image, &other.events, other.random, w.fail)
	other.network = newNetwork(&other.events, other.random, w.limits.ConnectionsMax, net.PortConnectionsMax(&w.limits), w.fail)
	return other
}

// fork starts another machine on a copy of the medium, with other timing and no clients. It must
// come to the same checkpoints.
func (w *World) fork() {
	w.result.ForksCount++
	other := w.second(w.disk.image.clone())
	defer other.abandon()
	if started, err := other.start(-1); err != nil || !started {
		w.fail("on a copy of the medium the replica refuses to start: %v", err)
	}
	head := other.opened.Consensus.OpHead
	if head != w.judge.durableOp && (w.judge.candidate == nil || head != w.judge.durableOp+1) {
		w.fail("on a copy of the medium the log ends at op %d, but op %d is the last durable one", head, w.judge.durableOp)
	}
	other.disk.onWrite = func(zone Zone, offsetBytes uint64, data []byte, _ bool) {
		if zone == PortJournal && offsetBytes < w.judge.layout.TwinsAt {
			if op, id := checkpointOf(data); w.limits.CheckpointTrigger(op) <= head {
				w.judge.checkpoint(op, id)
			}
		}
	}
	for untilNs := ^uint64(0); other.events.nowNs < untilNs; {
		if other.steps > calmStepsMax {
			w.fail("on a copy of the medium the replica never gets ready")
		}
		other.step()
		if other.fault != nil {
			w.fail("on a copy of the medium the replica stops: %v", other.fault)
		}
		if other.ready && untilNs == ^uint64(0) {
			untilNs = other.events.nowNs + 50*nsPerMs
		}
	}
}

// retrace makes another machine execute the whole log again, from an empty file on, with restarts
// at other ops. It must come to the same checkpoints, block by block.
func (w *World) retrace() {
	w.result.RetracesCount++
	layout, slots := &w.judge.layout, uint64(w.limits.JournalSlotsCount)
	other := w.second(newImage(w.limits.SectorBytes))
	defer other.abandon()
	other.judge = w.judge // for the layout
	other.format(-1)
	other.judge = nil
	checkpointOp, copies := uint64(0), uint32(0)
	other.disk.onWrite = func(zone Zone, offsetBytes uint64, data []byte, _ bool) {
		if zone == PortJournal && offsetBytes < layout.TwinsAt {
			w.judge.checkpoint(checkpointOf(data))
		}
	}
	other.disk.onEnd = func(zone Zone, offsetBytes uint64, data []byte, _ bool) {
		if zone == PortJournal && offsetBytes < layout.TwinsAt {
			if copies++; copies == w.limits.SuperblockCopies {
				copies = 0
				checkpointOp, _ = checkpointOf(data)
			}
		}
	}
	for head := uint64(0); head < w.judge.durableOp; {
		// The machine executes some more ops, as far as they may be prepared, and then goes down.
		most := min(w.judge.durableOp, w.limits.PrepareMax(checkpointOp))
		for end := head + 1 + other.random.Uint64N(most-head); head < end; {
			head++
			p := w.judge.history[head]
			other.disk.image.write(layout.PrepareAt(head%slots), padded(p, w.limits.SectorBytes), true)
			other.disk.image.write(layout.TwinAt(head%slots), twinOf(p, &w.limits), true)
		}
		if started, err := other.start(-1); err != nil || !started {
			w.fail("with the same log another machine refuses to start: %v", err)
		}
		if found := other.opened.Consensus.OpHead; found != head {
			w.fail("another machine with the log up to op %d finds its end at op %d", head, found)
		}
		checkpointOp, copies = other.opened.Consensus.Superblock.Checkpoint.Op, 0
		before := checkpointOp
		for untilSteps := other.steps + wholeStepsMax; !other.ready || head == w.limits.PrepareMax(before) && checkpointOp == before; {
			other.step()
			if other.fault != nil {
				w.fail("with the same log another machine stops: %v", other.fault)
			}
			if other.steps > untilSteps {
				w.fail("with the same log another machine never gets ready")
			}
		}
		other.stop()
		other.replica = nil
		other.network.crash()
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
