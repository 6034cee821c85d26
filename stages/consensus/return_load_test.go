package consensus

import (
	"testing"

	"ledger/limits"
)

// smallOpsSeveral is a cluster with the log of production, under a closed loop of small
// ops. An op takes as long as a few messages between machines.
func smallOpsSeveral(t *testing.T, replicas, clients int, seed uint64) *several {
	t.Helper()
	production, l := limits.Production(), severalLimits(replicas)
	l.JournalSlotsCount, l.BarOps, l.SlackOps = production.JournalSlotsCount, production.BarOps, production.SlackOps
	l.SessionsMax, l.ConnectionsMax = uint32(clients), 2*uint32(clients)
	w := newSeveralOf(t, l, 0, seed)
	w.isSmallOps, w.maySpread = true, true
	w.addClients(clients)
	w.run(4 * second)
	return w
}

func (w *several) close() {
	for _, m := range w.machines {
		m.memory.Close()
		m.memory = nil
	}
}

// Goal: a backup that was cut off while clients went on comes near again while they go on, soon,
// and with one sync at most. For how long it was away does not matter.
func TestSeveralReturnsUnderLoad(t *testing.T) {
	for i, halves := range []uint64{1, 2, 10, 18, 20, 22, 24, 30, 42} {
		w := smallOpsSeveral(t, 3, 4, 300+uint64(i))
		m := w.machines[(w.primary().index+1)%3]
		before, syncs := w.oracle.highest, m.stage.syncing.count()
		w.isolate(m.index, true)
		w.run(halves * second / 2)
		w.isolate(m.index, false)
		missed, begun := w.oracle.highest-before, w.oracle.highest
		for most := begun + min(missed, uint64(w.l.JournalSlotsCount))/2 + 40; m.executed+8 < w.oracle.highest; w.run(second / 100) {
			if syncs = m.stage.syncing.count(); syncs > 1 || w.oracle.highest > most {
				t.Fatalf("a backup that missed %d ops has synced %d times, and %d ops later it is still %d behind: %s", missed, syncs,
					w.oracle.highest-begun, w.oracle.highest-m.executed, w.text())
			}
		}
		t.Logf("%d ops missed: near %d ops later, with %d syncs", missed, w.oracle.highest-begun, syncs)
		w.heal()
		w.close()
	}
}

// Goal: so does one that is far away, and gets less per second than the others commit. They wait
// for it: without that, it would go from one sync to the next.
func TestSeveralReturnsFromFarAway(t *testing.T) {
	for _, c := range []struct{ away, seed uint64 }{{7, 320}, {16, 327}, {18, 328}} {
		w := smallOpsSeveral(t, 3, 12, c.seed)
		m := w.machines[(w.primary().index+1)%3]
		m.farNs = 150_000_000
		w.run(5 * second)
		syncs := m.stage.syncing.count()
		w.isolate(m.index, true)
		w.run(c.away * second)
		w.isolate(m.index, false)
		begunNs, nearNs := w.nowNs, w.nowNs
		for ; w.nowNs < nearNs+3*second; w.run(second / 100) {
			if m.executed+60 < w.oracle.highest {
				nearNs = w.nowNs
			}
			if count := m.stage.syncing.count() - syncs; count > 3 || nearNs > begunNs+60*second {
				t.Fatalf("a backup that was away for %d s has synced %d times, and is %d ops behind after %d s: %s", c.away, count,
					w.oracle.highest-m.executed, (w.nowNs-begunNs)/second, w.text())
			}
		}
		t.Logf("away for %d s: near %d ms later, with %d syncs", c.away, (nearNs-begunNs)/1_000_000, m.stage.syncing.count()-syncs)
		w.close()
	}
}
