package consensus

import (
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/vsr"
	"ledger/wire"
)

// releaseOracle knows which release has executed each op. The machines do not ask it.
type releaseOracle struct {
	by          map[wire.Checksum]uint32 // the release that has executed a prepare
	first       map[uint32]uint64        // the lowest op that each release has executed
	last        map[uint32]uint64        // and the highest one
	checkpoints map[uint64]uint32        // the release of each checkpoint
}

func newReleaseOracle() releaseOracle {
	return releaseOracle{by: map[wire.Checksum]uint32{}, first: map[uint32]uint64{}, last: map[uint32]uint64{},
		checkpoints: map[uint64]uint32{}}
}

// executedBy: no op but an upgrade op is executed by two releases, and each by the rules by which
// it was prepared.
func (o *oracle) executedBy(m *machine, h prepare.Header) {
	release := m.stage.limits.Release
	if _, isUpgrade := prepare.UpgradeOf(h); isUpgrade {
		return
	}
	if by, ok := o.releases.by[h.Checksum()]; ok && by != release {
		o.w.t.Fatalf("seed %d: op %d is executed by release %d and, on machine %d, by release %d", o.w.seed, h.Op(), by, m.index, release)
	}
	if h.Rules() != limits.RulesOf(release) {
		o.w.t.Fatalf("seed %d: machine %d executes op %d, which was prepared by rules %d, as release %d", o.w.seed, m.index, h.Op(), h.Rules(),
			release)
	}
	r := &o.releases
	r.by[h.Checksum()] = release
	if first, ok := r.first[release]; !ok || h.Op() < first {
		r.first[release] = h.Op()
	}
	r.last[release] = max(r.last[release], h.Op())
	for other, last := range r.last {
		if other < release && last > r.first[release] {
			o.w.t.Fatalf("seed %d: release %d has executed op %d, and release %d op %d", o.w.seed, other, last, release, r.first[release])
		}
	}
}

// testUpgrade plays what apply does with upgrade ops.
type testUpgrade struct {
	to    prepare.Upgrade
	isOne bool // the last op was one
}

func (u *testUpgrade) executed(h prepare.Header) { u.to, u.isOne = prepare.UpgradeOf(h) }

func (u *testUpgrade) releaseAt(m *machine, op uint64) uint32 {
	release := m.stage.limits.Release
	if u.isOne && u.to.TriggerOp == op {
		release = u.to.Release
	}
	c, r := op-uint64(m.w.l.BarOps), &m.w.oracle.releases
	if before, ok := r.checkpoints[c]; ok && before != release {
		m.w.t.Fatalf("seed %d: the checkpoint of op %d is of release %d, and on machine %d of release %d", m.w.seed, c, before, m.index, release)
	}
	r.checkpoints[c] = release
	return release
}

// passesOn starts a machine anew whose release ends, if it offers the next one.
func (m *machine) passesOn() bool {
	fault := m.out.Fault
	if fault == nil || fault.What != storage.FaultRelease {
		return false
	}
	m.w.count["passed on"]++
	m.crash()
	m.w.tell("%d passes on to release %d", m.index, fault.Release)
	if l := m.limits(); l.Offers(l.Release) {
		m.start()
	} else {
		m.w.count["refused"]++
	}
	return true
}

// offers makes machines offer a range of releases from their next start on, and starts them.
func (w *several) offers(machines []*machine, offered vsr.Releases) {
	for _, m := range machines {
		m.offered = offered
		if m.isUp {
			m.crash()
		}
		m.start()
	}
}

// runs tells whether machines run a release and serve.
func (w *several) runs(machines []*machine, release uint32) bool {
	for _, m := range machines {
		if !m.isUp || m.stage.limits.Release != release || m.stage.service.reason() != AwayNot {
			return false
		}
	}
	return true
}
