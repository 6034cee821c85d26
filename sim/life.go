package sim

import (
	"strings"

	"ledger/sim/workload"
)

// Bounds of a run.
const (
	crashesMax     = 6
	opsMin         = 40
	opsMax         = 240
	opsLongMin     = 2050
	opsLongMax     = 2250
	opsDeepMin     = 1400              // of a deep run: enough for one level more
	calmNsMax      = 300_000 * nsPerMs // in calm, the time within which an exchange ends
	workStepsMax   = 4_000_000
	strikeStepsMax = 400_000 // of the work until the disk strikes
	deepStepsMax   = 2_000_000
	trapStepsMax   = 40_000
	// Between two exchanges. With the smallest cache, one query reads 140,000 pages in 730,000 steps,
	// and a start that executes such queries again took as many before it served the first one.
	calmStepsMax     = 5_000_000
	wholeStepsMax    = 50_000_000 // an audit, or a log executed again: many such queries
	faultStepsMax    = 3_000_000  // until a fault is noticed: one long query may be under way
	recoveryTriesMax = 8
	rotEverySteps    = 20_000
)

// live is the life of one data file.
func (m *Machine) live() {
	r := m.random
	if r.IntN(8) == 0 && !m.format(r.IntN(100)) {
		if started, err := m.start(-1); err == nil && started {
			// The superblock is written last, so the file is complete.
			m.crash(true)
			m.cluster.judge = newJudge(&m.limits, m.cluster.id, m.cluster.modelLimits, m.fail)
			m.observe()
		}
		m.disk.image = newImage(m.limits.SectorBytes)
	}
	m.format(-1)

	m.network.faulty = m.world.options.Cuts.has(r.IntN(4) != 0, withoutLoss)
	profile := workload.DrawProfile(r)
	if profile.Accounts > 200 && r.IntN(3) != 0 {
		profile.Accounts = 200
	}
	if r.IntN(6) != 0 {
		profile.BatchEventsMax = min(profile.BatchEventsMax, 40)
	}
	long := !m.cluster.deep && r.IntN(4) != 0 && !m.world.options.ShortLives
	if m.cluster.deep {
		profile.BatchEventsMax = min(profile.BatchEventsMax, 8)
	} else if long {
		profile.BatchEventsMax = min(profile.BatchEventsMax, 4)
		profile.FullBatchPercent = min(profile.FullBatchPercent, 1)
	}
	generator := workload.NewGenerator(r.Uint64(), profile, m.cluster.modelLimits)
	cuts := m.world.options.Cuts
	clients := cuts.clients(1 + r.IntN(int(m.limits.SessionsMax)+2))
	m.cluster.addClients(clients, generator, []uint64{0, 1, 20, 200}[r.IntN(4)]*nsPerMs)

	goal := opsMin + r.IntN(opsMax-opsMin)
	if m.cluster.deep {
		goal = opsDeepMin + r.IntN(opsLongMax)
	} else if long {
		goal = (opsLongMin + r.IntN(opsLongMax-opsLongMin)) / len(m.world.machines)
	} else if r.IntN(16) == 0 {
		goal = opsMax + r.IntN(opsLongMax-opsMax)
	}
	goal = cuts.ops(goal)
	crashes := cuts.strikes(r.IntN(crashesMax + 1))
	for range crashes {
		if m.disk.slowTo = 0; r.IntN(3) == 0 {
			m.slowDown()
		}
		m.restart()
		steps := 1 + r.IntN(1<<(4+r.IntN(12)))
		if m.trap = drawTrap(r); m.trap.zone != trapNone {
			steps = trapStepsMax
		}
		// The next work lets ops run as far as they can while a checkpoint is not durable.
		if m.trap.zone == trapBrink || m.trap.zone == trapSuperblock && r.IntN(2) == 0 {
			m.disk.slowFrom, m.disk.slowTo, m.disk.slowNs = 0, m.layout.TwinsAt, 10_000*nsPerMs
		}
		if long {
			m.work(m.ops()+r.IntN(goal/(crashes+1)+1), workStepsMax)
		}
		m.work(m.ops()+goal/(crashes+1)+1, steps)
		if steps, ok := m.leavesBeforeCrash(); ok {
			m.leaveWithin(steps)
		}
		m.crash(r.IntN(3) != 0)
		m.damageWithin()
		if r.IntN(2) == 0 {
			m.fork()
		}
	}
	m.trap = trap{}
	m.restart()
	if m.work(goal, workStepsMax); m.cluster.deep {
		m.work(goal, deepStepsMax)
	}
	if r.IntN(6) == 0 {
		m.rotAtWork()
		return
	}
	m.heal()
	m.audit()
	if m.limits.ScrubPeriodNs > 0 && m.limits.HashSeed>>40&1 == 0 {
		if m.rest(); m.fault != nil {
			return
		}
	}
	if odds := r.IntN(12); !m.cluster.deep && (odds == 0 || odds < 4 && m.ops() < opsLongMin) { // a long log takes long
		m.retrace()
	}
	if m.pause(); r.IntN(2) == 0 {
		m.runUntil(func() bool { return m.quiet() }, "everything in hand is done")
	}
	if _, ok := m.leavesBeforeCrash(); ok {
		m.leave()
		m.runUntil(func() bool { return m.left || !m.leaves }, "the process may end")
	}
	m.crash(r.IntN(2) == 0)
	if r.IntN(3) == 0 {
		m.damageBeyond()
		return
	}
	m.damageWithin()
	m.restart()
	m.audit()
}

// restart starts the replica. The machine may go down several times meanwhile.
func (m *Machine) restart() {
	redrawMemory(&m.limits, m.random)
	if m.random.IntN(8) == 0 {
		m.clock.night()
	}
	for tries := 0; ; tries++ {
		crashSectors := -1
		if tries < recoveryTriesMax && m.random.IntN(4) == 0 {
			crashSectors = m.random.IntN(1 << m.random.IntN(7))
		}
		started, err := m.start(crashSectors)
		if err != nil {
			m.fail("the replica refuses to start: %v", err)
		}
		if started {
			return
		}
		m.result.CrashesCount++
		m.result.Coverage.Crashes[crashReplay]++
		m.network.crash(true)
		m.disk.crash(true)
	}
}

// ops is the number of ops that the machine's cluster has committed.
func (m *Machine) ops() int { return int(m.cluster.judge.committedOp()) }

// work runs until this number of ops are committed, or this number of steps are done. The disk may
// fail for good meanwhile. Then the replica must stop, and continue after a restart.
func (m *Machine) work(goal int, steps int) {
	r := m.random
	strikeAt, strikesOdds := -1, 6
	if steps == workStepsMax { // long work: several strikes, one behind the other
		strikesOdds = 2
	}
	if r.IntN(strikesOdds) == 0 {
		strikeAt = r.IntN(1 + min(steps/2, strikeStepsMax))
	}
	for i := 0; i < steps && m.ops() < goal; i++ {
		if m.trap.sprung {
			if m.trap.steps == 0 {
				break
			}
			m.trap.steps--
		}
		if strikeAt >= 0 && i > strikeAt && m.disk.isSound() {
			strikeAt = i + r.IntN(2*strikeStepsMax)
		}
		if i == strikeAt {
			switch r.IntN(7) {
			case 3, 4:
				m.loseSuperblock()
			case 5, 6:
				m.loseCopy()
			case 0:
				m.disk.writeErrorIn = 1 + r.IntN(20)
			case 1:
				m.disk.syncErrorIn = 1
			case 2:
				m.disk.image.limitBytes = m.disk.image.sizeBytes
			}
		}
		m.step()
		if m.fault == nil && !m.disk.errorGiven || m.extend() {
			continue
		}
		if !m.disk.errorGiven {
			m.fail("the replica stops: %v", m.fault)
		}
		for j := 0; m.fault == nil; j++ {
			if j == faultStepsMax {
				m.fail("the disk has failed, and the replica goes on")
			}
			m.step()
		}
		if m.disk.image.limitBytes != ^uint64(0) && m.disk.writeErrorIn == 0 && m.disk.syncErrorIn == 0 &&
			!strings.Contains(m.fault.Error(), "space") && !strings.Contains(m.fault.Error(), "errno 28") {
			m.fail("the disk is full, and the replica says %q", m.fault)
		}
		m.result.FaultsCount++
		m.disk.image.limitBytes = ^uint64(0)
		m.crash(r.IntN(2) == 0)
		m.restart()
	}
	m.disk.writeErrorIn, m.disk.syncErrorIn, m.disk.image.limitBytes, m.disk.loses = 0, 0, ^uint64(0), nil
}

// loseSuperblock makes the disk lose some copies of the next superblock. If it loses one, the
// replica continues. If it loses more, the replica stops.
func (m *Machine) loseSuperblock() {
	layout, mask, begun, count := &m.layout, 1+m.random.IntN(15), false, 0
	m.disk.loses = func(offsetBytes uint64) (lost bool) {
		for i := range m.limits.SuperblockCopies {
			if offsetBytes != layout.SuperblockCopyAt(i) {
				continue
			}
			begun = begun || i == 0
			if lost = begun && mask>>i&1 != 0; lost {
				m.note("lost: superblock copy", uint64(i), 0)
				count++
				m.disk.errorGiven = m.disk.errorGiven || count > 1 // the faults may end before the last copy
			}
			if begun && i == m.limits.SuperblockCopies-1 {
				m.disk.loses = nil
			}
		}
		return lost
	}
}

// loseCopy makes the disk lose the write of one copy of a later prepare: either copy of a small
// one, the twin of a large one. The replica does not notice it, and the next start repairs it.
func (m *Machine) loseCopy() {
	layout, after := &m.layout, m.random.IntN(8)
	m.disk.loses = func(offsetBytes uint64) bool {
		isLog := offsetBytes >= layout.TwinsAt && offsetBytes < layout.GridAt
		if !isLog || offsetBytes >= layout.PreparesAt && !isSmall(m.medium.candidateBytes(), &m.limits) {
			return false
		}
		if after--; after >= 0 {
			return false
		}
		m.note("lost: a copy of the prepare, at", offsetBytes, m.medium.durableOp+1)
		m.disk.loses = nil
		m.result.Coverage.CopiesLost++
		m.medium.onEnd(PortJournal, offsetBytes, nil, true)
		return true
	}
}

// isFull tells whether the replica has stopped at its storage limit.
func (m *Machine) isFull() bool { return strings.Contains(m.fault.Error(), "--limit-storage") }

// extend restarts a replica that has reached its storage limit, with a larger one.
func (m *Machine) extend() bool {
	if m.fault == nil || m.limits.StorageBytesMax >= storageBytesMax(m.limits.BlockBytes) || !m.isFull() {
		return false
	}
	m.limits.StorageBytesMax *= 2
	m.result.FaultsCount++
	m.crash(m.random.IntN(2) == 0)
	m.restart()
	return true
}
