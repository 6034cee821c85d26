package consensus

import (
	"testing"

	"ledger/internal/seeded"
)

// syncSeveral is a world in which machines are left behind again and again, and crash at any step
// of what they do about it.
func syncSeveral(t testing.TB, seed uint64) *several {
	w := newSeveral(t, 3+int(seed%3), seed)
	w.addClients(4)
	w.syncMishaps()
	return w
}

// syncMishaps happen to all machines; in the end all is well again.
func (w *several) syncMishaps() {
	t := w.t
	t.Helper()
	w.maySpread = true
	defer func() {
		if broken := recover(); broken != nil {
			t.Fatalf("seed %d: %v%s", w.seed, broken, w.text())
		}
	}()
	random := w.random
	w.lossPer = random.IntN(30)
	for range 30 {
		w.run(uint64(100_000_000 + random.IntN(second)))
		m := w.machines[random.IntN(len(w.machines))]
		switch random.IntN(6) {
		case 0, 1:
			w.isolate(m.index, true)
			w.run(uint64(random.IntN(6 * second)))
			w.isolate(m.index, false)
		case 2:
			if m.isUp {
				m.crash()
				w.run(uint64(random.IntN(4 * second)))
			}
		case 3:
			m.pausedNs = w.nowNs + uint64(random.IntN(5*second))
		case 4:
			m.isCheckpointHeld = !m.isCheckpointHeld
		}
		// A machine that syncs crashes more often than others.
		for _, m := range w.machines {
			if m.isUp && (m.superblock.SyncOpMax > 0 || m.stage.syncing.isReplacing()) && random.IntN(3) == 0 {
				m.crash()
			}
			if !m.isUp && random.IntN(4) > 0 {
				m.start()
			}
			if random.IntN(3) == 0 {
				m.isCheckpointHeld = false
			}
		}
	}
	for _, m := range w.machines {
		m.isCheckpointHeld = false
	}
	w.heal()
}

// Goal: seeds that once failed do not fail again. 203: a prepare that was asked for came when the
// lowest op of the chain had lost its slot to a later one.
func TestSeveralSyncRegressions(t *testing.T) {
	for _, seed := range []uint64{203} {
		syncSeveral(t, seed)
	}
}

// Goal: machines that are left behind by more than their log take over checkpoints of others, crash
// in the middle of it, are overtaken, and lose, double, reorder or change nothing that is
// committed. What they acknowledge meanwhile is kept by enough copies.
func TestSeveralSync(t *testing.T) {
	seed := seeded.Seed(t)
	total := map[string]int{}
	for i := range 6 {
		w := syncSeveral(t, seed+uint64(i))
		for what, count := range w.count {
			total[what] += count
		}
		total["op"] += int(w.oracle.highest)
		for _, m := range w.machines {
			m.memory.Close()
			m.memory = nil
		}
	}
	t.Log(total)
	for _, what := range []string{"crash", "sync", "reopen", "table", "range ends"} {
		if total[what] == 0 {
			t.Errorf("the test never saw a %s", what)
		}
	}
}
