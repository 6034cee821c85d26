package consensus

import "testing"

// slowCheckpoints makes some 25 ops per second for a time, while the own checkpoints of a machine
// take this long, and it wants a block all the time that is damaged. It returns how many
// checkpoints of others the machine takes over.
func (w *several) slowCheckpoints(m *machine, damaged, tookNs, forNs uint64) (syncs uint64) {
	before, op, beganNs, lentNs := m.stage.syncing.count(), w.oracle.highest, w.nowNs, uint64(0)
	for until := w.nowNs + forNs; w.nowNs < until; w.run(2_000_000) {
		w.quiet(w.oracle.highest-op > (w.nowNs-beganNs)*25/second)
		if m.grid.damaged[damaged] && !m.fake.isOpening {
			m.want(damaged, true)
		}
		switch {
		case m.sessions == nil:
			lentNs, m.isCheckpointHeld = 0, true
		case lentNs == 0:
			lentNs = w.nowNs
		case w.nowNs > lentNs+tookNs:
			m.isCheckpointHeld = false
		}
	}
	m.isCheckpointHeld = false
	w.quiet(false)
	return m.stage.syncing.count() - before
}

// Goal: a backup whose checkpoints take seconds takes its own, and not those of others, though a
// block is damaged on all replicas. The block is in nobody's way, and no sync would bring it.
func TestSeveralDamagedEverywhere(t *testing.T) {
	w, _, next, _ := begun(t, 401)
	m, checkpoint := w.machines[next], w.machines[next].superblock.Checkpoint.Op
	for _, m := range w.machines {
		m.grid.damaged[7] = true
	}
	w.maySpread = true
	syncs := w.slowCheckpoints(m, 7, 2*second, 30*second)
	if syncs > 0 || m.superblock.Checkpoint.Op < checkpoint+4*w.l.CheckpointIntervalOps() || m.stage.lost.count != 1 {
		t.Errorf("a backup takes over a checkpoint %d times, of ops %d to %d, and %d blocks are lost", syncs, checkpoint,
			m.superblock.Checkpoint.Op, m.stage.lost.count)
	}
	for _, m := range w.machines {
		delete(m.grid.damaged, 7)
	}
	w.maySpread = false
	w.heal()
}

// Goal: a backup whose execution waits for a block that is damaged on all replicas takes over a
// checkpoint once in five seconds at most, and the others serve, however many there are. It comes
// back when the block is there. Of two replicas each holds the log of the other, so none syncs.
func TestSeveralBlockedByDamageEverywhere(t *testing.T) {
	for _, replicas := range []int{2, 3, 4, 6} {
		w := newSeveral(t, replicas, 402)
		w.addClients(3)
		w.run(4 * second)
		m := w.machines[(w.primary().index+1)%replicas]
		w.maySpread = true
		for _, m := range w.machines {
			m.grid.damaged[7] = true
		}
		replied, syncs := w.replied(), m.stage.syncing.count()
		for until := w.nowNs + 20*second; w.nowNs < until; w.run(2_000_000) {
			if !m.fake.isOpening && !m.stage.opening.isOn() {
				m.want(7, true)
			}
			m.holdsWork = m.grid.wanted[7] && !m.fake.isOpening
		}
		syncs, replied = m.stage.syncing.count()-syncs, w.replied()-replied
		if replicas == 2 && syncs > 0 || replicas > 2 && (syncs == 0 || syncs > 4 || replied < 300) {
			t.Errorf("%d replicas: %d syncs, %d replies in 20 seconds: %s", replicas, syncs, replied, w.text())
		}
		for _, m := range w.machines {
			delete(m.grid.damaged, 7)
		}
		m.holdsWork, w.maySpread = false, false
		w.heal()
	}
}
