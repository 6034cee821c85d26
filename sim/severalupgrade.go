package sim

import (
	"encoding/binary"
	"math/rand/v2"

	"ledger/limits"
	"ledger/storage"
)

// upgrade is an operator who brings the next release to one machine after the other, in a random
// order, and sometimes an older program by mistake. Nothing else makes the replicas pass to the
// next release: they do so together when all offer it.
//
//	all programs offer release 1 --op--> one machine after the other restarts with 1 to 2
//	    --> the primary prepares upgrade ops --> each replica stops at the trigger, and
//	    starts again as release 2, or, with an older program, not before it has a newer one
//
// Everything is drawn from a seed of its own, like the losses of data files.
type upgrade struct {
	several *several
	random  *rand.Rand
	atOp    uint64 // the first machine gets the newer program behind this op; noUpgrade: none does
	nextNs  uint64 // when the next machine gets it
	order   []*Machine
	older   *Machine // has the older program by mistake
	olderNs uint64   // until then
	left    int      // how often that will still happen
}

const noUpgrade = ^uint64(0)

// upgradeStream draws the upgrades of a seed. The seeds of the lists of regressions have none with
// it.
const upgradeStream = 0x1246

// draw draws whether a run has an upgrade.
func (u *upgrade) draw() bool {
	w := u.several.cluster.world
	u.random, u.atOp = rand.New(rand.NewPCG(w.options.Seed, upgradeStream)), noUpgrade
	return w.options.Cuts.has(u.random.IntN(6) == 0, withoutUpgrades)
}

// plan draws when it begins.
func (u *upgrade) plan() {
	u.atOp = u.random.Uint64N(u.several.goal/2 + 1)
	for _, i := range u.random.Perm(len(u.several.cluster.machines)) {
		u.order = append(u.order, u.several.cluster.machines[i])
	}
	u.left = u.random.IntN(3)
}

// isPlanned tells whether the run has an upgrade.
func (u *upgrade) isPlanned() bool { return u.atOp != noUpgrade }

// step brings the next program to the next machine.
func (u *upgrade) step() {
	s := u.several
	now := s.cluster.world.events.nowNs
	if !u.isPlanned() || s.oracle.Highest() < u.atOp && !s.isCalm {
		return
	}
	if u.older != nil && now >= u.olderNs {
		u.renew(u.older)
	}
	if len(u.order) > 0 && now >= u.nextNs {
		m := u.order[0]
		u.order = u.order[1:]
		u.give(m, limits.ReleaseTrial)
		u.nextNs = now + u.random.Uint64N([3]uint64{20, 1_000, 5_000}[u.random.IntN(3)]*nsPerMs)
		return
	}
	if u.left > 0 && u.older == nil && !s.isCalm && u.random.IntN(500) == 0 {
		u.left--
		u.older = s.cluster.machines[u.random.IntN(len(s.cluster.machines))]
		u.olderNs = now + u.random.Uint64N(10_000*nsPerMs)
		u.give(u.older, limits.Release)
	}
}

// give restarts a machine with another program. One that is down starts with it.
func (u *upgrade) give(m *Machine, newest uint32) {
	m.limits.ReleaseMax = newest
	m.say("has a program for releases %d to %d", m.limits.ReleaseMin, newest)
	if m.replica != nil {
		u.several.goDown(m, false, u.random.Uint64N(200*nsPerMs))
	}
}

// renew gives the newer program to the machine that has the older one by mistake.
func (u *upgrade) renew(m *Machine) {
	u.older = nil
	u.give(m, limits.ReleaseTrial)
}

// nextTimeNs is when step has something to do.
func (u *upgrade) nextTimeNs() (next uint64) {
	next = ^uint64(0)
	if len(u.order) > 0 && (u.several.isCalm || u.several.oracle.Highest() >= u.atOp) {
		next = u.nextNs
	}
	if u.older != nil {
		next = min(next, u.olderNs)
	}
	return next
}

// passes: a replica has stopped because another release goes on from its checkpoint. The process
// becomes one of that release, if its program offers it.
func (u *upgrade) passes(m *Machine) {
	m.say("release %d ends here: %v", m.opened.Limits.Release, m.fault)
	u.several.goDown(m, false, u.random.Uint64N(100*nsPerMs))
}

// refused: a start was refused. It is right if the program is older than what is on the disk. The
// machine gets the newer one, and until then the disk stays what it is.
func (u *upgrade) refused(m *Machine, err error) {
	data, _ := m.superblock()
	needs := max(binary.LittleEndian.Uint32(data[superblockReleaseAt:]), checkpointReleaseOf(data))
	if needs <= m.limits.ReleaseMax {
		m.fail("machine %d, whose program offers releases %d to %d and whose disk needs %d, refuses to start: %v", m.index, m.limits.ReleaseMin,
			m.limits.ReleaseMax, needs, err)
	}
	if sequenceOf(data) != m.witness.sequence {
		m.fail("machine %d refuses to start, and has written superblock %d", m.index, sequenceOf(data))
	}
	m.say("refuses to start: %v", err)
	u.several.marks.add(MarkUpgradeRefused)
	m.downNs = m.events.nowNs + u.random.Uint64N(2_000*nsPerMs)
	if u.older == m {
		u.older = nil
	}
	m.limits.ReleaseMax = limits.ReleaseTrial
}

// executes demands that a replica executes an op by the release that the log says.
func (u *upgrade) executes(m *Machine, op uint64) {
	running := m.opened.Limits.Release
	if release := u.several.oracle.ReleaseOf(op); release != 0 && release != running {
		m.fail("machine %d executes op %d by release %d, and it is one of release %d", m.index, op, running, release)
	}
}

// isUnderWay tells whether upgrade ops are being committed, or not all replicas have passed on.
func (u *upgrade) isUnderWay() bool {
	now, to := u.several.oracle.Release()
	if to != 0 {
		return true
	}
	if now == limits.Release {
		return false
	}
	return !u.isDone()
}

// isDone tells whether all run the next release.
func (u *upgrade) isDone() bool {
	for _, m := range u.several.cluster.machines {
		if m.replica == nil || m.opened.Limits.Release != limits.ReleaseTrial {
			return false
		}
	}
	return true
}

// finish brings the newer program to all machines. Then all have to pass to the next release.
func (u *upgrade) finish() {
	if !u.isPlanned() {
		return
	}
	s := u.several
	s.settle()
	for _, one := range s.cluster.clients {
		one.protocol.Hold(true)
	}
	if u.older != nil {
		u.renew(u.older)
	}
	s.runUntil(u.isDone, "all replicas run the next release")
	if u.random.IntN(2) == 0 { // there is no way back: the machine starts when it has the newer program again
		u.give(s.cluster.machines[u.random.IntN(len(s.cluster.machines))], limits.Release)
		s.runUntil(u.isDone, "all replicas run the next release")
	}
	s.marks.add(MarkUpgraded)
}

// endsRelease tells whether a replica has stopped because its release has ended.
func endsRelease(f *storage.Fault) bool { return f.What == storage.FaultRelease }
