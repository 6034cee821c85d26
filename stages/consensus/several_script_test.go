package consensus

import "testing"

// quiet stops the clients, or lets them go on.
func (w *several) quiet(isQuiet bool) {
	for _, c := range w.clients {
		c.isQuiet = isQuiet
	}
}

// Goal: the first schedule of docs/design/cluster.md. The last op is committed by A and X. A's copy
// rots, X is down, and Y never had it. A's head is uncertain, and it votes; A and Y wait for X, and
// do not drop the op. The second: A has voted, crashes and votes again.
func TestSeveralUncertainHead(t *testing.T) {
	for _, isCrashing := range []bool{false, true} {
		w := newSeveral(t, 3, 11)
		w.addClients(3)
		w.run(4 * second)
		a, x, y := w.machines[0], w.machines[1], w.machines[2]
		w.isolate(2, true)
		w.run(second / 10)
		w.quiet(true)
		w.run(second / 5)
		before := w.oracle.highest
		checksum := w.oracle.committed[before]
		if !a.has(before, checksum) || !x.has(before, checksum) || y.has(before, checksum) {
			t.Fatalf("op %d is not where the schedule wants it: %s", before, w.text())
		}
		a.crash()
		x.crash()
		a.disk[before%uint64(len(a.disk))] = diskSlot{[]byte{}, []byte{}}
		a.start()
		w.isolate(2, false)
		w.quiet(false)
		w.run(8 * second)
		if isCrashing {
			a.crash()
			a.start()
			w.run(8 * second)
		}
		if w.count["ballot"] < 2 || w.oracle.highest != before {
			t.Fatalf("%d ballots; op %d is committed after op %d, which nobody who answers has", w.count["ballot"], w.oracle.highest, before)
		}
		w.heal()
		if w.oracle.committed[before] != checksum {
			t.Fatalf("op %d is lost", before)
		}
	}
}

// Goal: a primary that hears nobody gives way, and one that was cut off does not disturb the others
// when it comes back.
func TestSeveralCuts(t *testing.T) {
	w := newSeveral(t, 3, 12)
	w.addClients(3)
	w.run(4 * second)
	primary := int(w.machines[0].superblock.View % 3)
	for i := range w.machines {
		w.isCut[i][primary] = true // it sends, and hears nothing
	}
	w.serves(3*second/2, "a deaf primary stays")
	w.heal()
}

// Goal: a primary that hears nobody is left although nothing waits there. No request reaches it,
// and its heartbeats arrive.
func TestSeveralDeafWithoutWork(t *testing.T) {
	w, primary, _, _ := calm(t, 54)
	view := primary.stage.views.now()
	for i := range w.machines {
		w.isCut[i][primary.index] = true
	}
	w.run(4 * second)
	if now := w.view(); now == view {
		t.Fatalf("a deaf primary without work stays: %s", w.text())
	}
	w.quiet(false)
	w.heal()
}
