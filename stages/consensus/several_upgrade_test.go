package consensus

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/prepare"
	"ledger/vsr"
)

// both is what a machine offers whose program was replaced, older what it offered before.
var (
	both  = vsr.Releases{Min: limits.Release, Max: limits.ReleaseTrial}
	older = vsr.Releases{Min: limits.Release, Max: limits.Release}
)

// rolled is a cluster under load whose programs were replaced one after the other. Nobody has
// noticed yet that all offer the next release.
func rolled(t *testing.T, replicas, standbys int, seed uint64) *several {
	t.Helper()
	w := newSeveralWith(t, replicas, standbys, seed)
	w.addClients(3)
	w.until("there are some ops", func() bool { return w.replied() > 20 })
	for i := range w.machines {
		w.offers(w.machines[i:i+1], both)
		if i == len(w.machines)-1 {
			break
		}
		replied := w.replied()
		w.until("clients are served", func() bool { return w.replied() > replied+5 })
	}
	return w
}

// begunUpgrade is such a cluster whose upgrade has begun and has some ops before it. An upgrade
// that begins right before the op of a checkpoint is over in a moment, and then the next seed is
// tried.
func begunUpgrade(t *testing.T, replicas int, seed uint64) *several {
	t.Helper()
	for ; ; seed++ {
		w := rolled(t, replicas, 0, seed)
		for until := w.nowNs + 20*second; w.underWay() == nil && w.nowNs < until && w.oracle.releases.first[limits.ReleaseTrial] == 0; {
			w.run(1)
		}
		if w.underWay() != nil {
			return w
		}
		if w.oracle.releases.first[limits.ReleaseTrial] == 0 {
			t.Fatalf("seed %d: no upgrade begins: %s", seed, w.text())
		}
		for _, m := range w.machines {
			m.memory.Close()
			m.memory = nil
		}
	}
}

// upgradeHead is the upgrade op at the head of a machine's log.
func (m *machine) upgradeHead() (to prepare.Upgrade, isUnder bool) {
	if !m.isUp || !m.stage.log.has(m.stage.log.head()) {
		return to, false
	}
	to, isUpgrade := prepare.UpgradeOf(m.stage.log.header(m.stage.log.head()))
	return to, isUpgrade && m.stage.limits.Release < to.Release
}

// underWay is a primary that has upgrade ops in its log and more to come, or nil.
func (w *several) underWay() *machine {
	for _, m := range w.machines {
		if to, isUnder := m.upgradeHead(); isUnder && m.stage.isPrimary() && m.stage.log.head()+2 < to.TriggerOp {
			return m
		}
	}
	return nil
}

// hasUpgraded waits until all machines run the next release, and clients are served by it.
func (w *several) hasUpgraded() {
	w.t.Helper()
	w.until("all run the next release", func() bool { return w.runs(w.machines, limits.ReleaseTrial) })
	replied := w.replied()
	w.until("clients are served by it", func() bool { return w.replied() > replied+10 })
	w.heal()
	if w.oracle.releases.first[limits.ReleaseTrial] == 0 {
		w.t.Fatal("the next release has executed nothing")
	}
}

// Goal: a cluster with standbys whose programs were replaced passes to the next release by itself,
// without an error for any client, and goes on through later checkpoints.
func TestSeveralUpgrade(t *testing.T) {
	for replicas := 2; replicas <= 5; replicas++ {
		w := rolled(t, replicas, replicas%3, 300+uint64(replicas))
		w.hasUpgraded()
		op := w.oracle.highest
		w.quiet(false)
		w.until("there are later checkpoints", func() bool { return w.oracle.highest > op+2*w.l.CheckpointIntervalOps() })
		w.heal()
		if w.oracle.releases.last[limits.Release] >= w.oracle.releases.first[limits.ReleaseTrial] {
			t.Fatal("the releases overlap")
		}
	}
}

// Goal: as long as one member does not offer the release, nothing is prepared for it, and clients
// are served by the older one. A member that is down or cut off offers nothing.
func TestSeveralUpgradeIsBlocked(t *testing.T) {
	for _, c := range []struct {
		name     string
		standbys int
		block    func(w *several)
	}{
		{"a replica", 0, func(w *several) { w.offers(w.machines[2:], older) }},
		{"a standby", 1, func(w *several) { w.offers(w.machines[3:], older) }},
		{"a replica that is down", 0, func(w *several) { w.machines[2].crash() }},
		{"a replica that is cut off", 0, func(w *several) { w.isolate(2, true) }},
	} {
		w := newSeveralWith(t, 3, c.standbys, 310)
		w.addClients(3)
		w.until("there are some ops", func() bool { return w.replied() > 20 })
		c.block(w)
		for i := range w.machines {
			if m := w.machines[i]; m.offered == older && m.isUp && i != len(w.machines)-1 {
				w.offers(w.machines[i:i+1], both)
			}
		}
		op := w.oracle.highest
		w.run(20 * second)
		if w.oracle.releases.first[limits.ReleaseTrial] != 0 || w.underWay() != nil {
			t.Fatalf("%s: the upgrade goes on without it: %s", c.name, w.text())
		}
		if w.oracle.highest <= op {
			t.Fatalf("%s: clients are not served: %s", c.name, w.text())
		}
		m := w.machines[len(w.machines)-1]
		w.isolate(m.index, false)
		w.offers([]*machine{m}, both)
		w.hasUpgraded()
	}
}

// Goal: a primary that goes away in the middle of the upgrade ops is followed by one that goes on
// with them, whatever has reached it: nothing else comes before the trigger. If all upgrade ops are
// dropped, requests go on, and the upgrade begins anew.
func TestSeveralUpgradeViewChange(t *testing.T) {
	seed := seeded.Seed(t)
	for i := range uint64(12) {
		w := begunUpgrade(t, 3+int(i%2), seed+1000*i)
		m := w.underWay()
		if i%3 == 0 { // it has some alone, which are dropped
			w.isolate(m.index, true)
			w.run(second / 100)
		}
		w.run(uint64(w.random.IntN(20_000_000)))
		if m.isUp {
			m.crash()
		}
		w.isolate(m.index, false)
		w.run(2 * second)
		m.start()
		w.hasUpgraded()
	}
}

// Goal: a replica that is down during the switch starts as the older release, executes the older
// ops and stops at the trigger. It then starts as the next one.
func TestSeveralUpgradeReplicaDown(t *testing.T) {
	w := begunUpgrade(t, 3, 330)
	m := w.machines[2]
	m.crash()
	w.until("the others run the next release", func() bool { return w.runs(w.machines[:2], limits.ReleaseTrial) })
	m.start()
	if m.stage.limits.Release != limits.Release {
		t.Fatalf("the replica starts as release %d, its checkpoint is of op %d", m.stage.limits.Release, m.superblock.Checkpoint.Op)
	}
	w.hasUpgraded()
}

// Goal: a replica that takes over a checkpoint behind the switch starts anew as its release, with
// what has come of the state. One whose program does not offer that release takes nothing and says
// so, until its program is replaced.
func TestSeveralUpgradeStateSync(t *testing.T) {
	for _, offered := range []vsr.Releases{both, older} {
		w := begunUpgrade(t, 3, 340)
		w.maySpread = true
		m := w.machines[2]
		m.crash()
		w.until("the others are far ahead", func() bool {
			next := m.superblock.Checkpoint.Op
			for range 3 {
				next = w.l.CheckpointAfter(next)
			}
			return w.machines[0].superblock.Checkpoint.Op > next && w.machines[1].superblock.Checkpoint.Op > next
		})
		w.offers([]*machine{m}, offered)
		if offered == older {
			w.until("it says what it needs", func() bool { return m.stage.service.reason() == AwayRelease })
			sequence := m.superblock.Checkpoint
			w.run(5 * second)
			if m.superblock.Checkpoint != sequence || w.count["sync"] != 0 {
				t.Fatalf("it has taken a checkpoint that it cannot run: %s", w.text())
			}
			w.offers([]*machine{m}, both)
		}
		w.hasUpgraded()
		if m.superblock.Checkpoint.Release != limits.ReleaseTrial || w.count["sync"] == 0 {
			t.Fatalf("the replica has not synced across the switch: %s", w.text())
		}
	}
}

// Goal: a replica whose program was replaced by an older one in the middle of the upgrade ends when
// the next release begins, and is served by nobody. With the newer program it goes on.
func TestSeveralUpgradeOfAnOlderProgram(t *testing.T) {
	w := begunUpgrade(t, 3, 350)
	m := w.machines[2]
	w.offers([]*machine{m}, older)
	w.until("it has ended", func() bool { return !m.isUp })
	if m.superblock.Checkpoint.Release != limits.ReleaseTrial || w.count["refused"] != 1 {
		t.Fatalf("it has ended with a checkpoint of release %d: %s", m.superblock.Checkpoint.Release, w.text())
	}
	w.until("the others go on", func() bool { return w.runs(w.machines[:2], limits.ReleaseTrial) })
	w.offers([]*machine{m}, both)
	w.hasUpgraded()
}

// Goal: through crashes, cuts and pauses before, during and behind the upgrade, no op is executed
// by two releases, and all end with the next one.
func TestSeveralUpgradeRandom(t *testing.T) {
	seed := seeded.Seed(t)
	total := map[string]int{}
	for i := range uint64(16) {
		w := newSeveralWith(t, 3+int(i%3), int(i%2), seed+i)
		w.addClients(3)
		w.lossPer = w.random.IntN(30)
		w.maySpread = i%4 == 0
		w.until("there are some ops", func() bool { return w.replied() > 10 })
		for range 24 {
			w.run(uint64(w.random.IntN(2 * second)))
			m := w.machines[w.random.IntN(len(w.machines))]
			switch w.random.IntN(5) {
			case 0, 1:
				m.offered = both
				if m.isUp {
					m.crash()
				}
			case 2:
				w.isolate(m.index, true)
				w.run(uint64(w.random.IntN(4 * second)))
				w.isolate(m.index, false)
			case 3:
				m.pausedNs = w.nowNs + uint64(w.random.IntN(3*second))
			}
			if under := w.underWay(); under != nil && w.random.IntN(2) == 0 {
				under.crash()
			}
			for _, m := range w.machines {
				if !m.isUp && w.random.IntN(3) > 0 {
					m.start()
				}
			}
		}
		for _, m := range w.machines {
			if m.offered != both || !m.isUp {
				w.offers([]*machine{m}, both)
			}
		}
		w.lossPer = 0
		w.hasUpgraded()
		for what, count := range w.count {
			total[what] += count
		}
		for _, m := range w.machines {
			m.memory.Close()
			m.memory = nil
		}
	}
	t.Log(total)
}

// Goal: a replica that offers the release and goes down before the upgrade begins is waited for.
func TestSeveralUpgradeWaitsForWhoWentDown(t *testing.T) {
	w := newSeveralWith(t, 3, 0, 311)
	w.addClients(3)
	w.until("there are some ops", func() bool { return w.replied() > 20 })
	m := w.machines[2]
	w.offers(w.machines[:2], both)
	for w.run(2 * second); w.primary() == m; w.run(2 * second) {
		m.crash()
		w.run(2 * second)
		m.start()
	}
	primary := w.primary()
	w.until("the primary has just looked", func() bool {
		return primary.stage.deadlines.upgrade.NextNs() > w.nowNs+4*second
	})
	w.offers([]*machine{m}, both)
	w.until("it has said what it offers", func() bool { return primary.stage.peers.offered(2, w.nowNs).Max == both.Max })
	m.crash()
	w.run(20 * second)
	if primary.stage.limits.Release != limits.Release || w.underWay() != nil {
		t.Fatalf("the upgrade goes on without it: %s", w.text())
	}
	m.start()
	w.hasUpgraded()
}
