package consensus

import (
	"strings"
	"testing"

	"ledger/storage"
)

// Goal: a block that no checkpoint names and that no replica brings comes into being again: the
// replica goes back to its checkpoint and executes its log again, once for this block. A primary
// leaves its view before. Clients are served meanwhile and afterwards, and no request of theirs is
// executed twice. If the block is lost once more, the replica stops, and says which block it is.
func TestSeveralReplaysForABlock(t *testing.T) {
	for _, isPrimary := range []bool{false, true} {
		w, m, next, _ := calm(t, 71)
		if !isPrimary {
			m = next
		}
		view := w.view()
		w.quiet(false)
		w.until("ops above the checkpoint", func() bool { return m.executed > m.superblock.Checkpoint.Op+20 })
		for _, m := range w.machines {
			m.grid.damaged[7] = true
		}
		before, executed := w.count["reopen"], m.executed
		m.holdsWork = true // prepares that wait for execution fill the memory for them
		w.run(second / 2)
		m.want(7, false)
		w.until("it goes back to its checkpoint", func() bool { return w.count["reopen"] > before })
		w.run(second / 5) // the wants of the state before end when apply opens the checkpoint
		m.holdsWork = false
		w.until("it has executed again what it had", func() bool { return m.stage.commits.min() > executed && m.executed > executed })
		w.serves(4*second, "clients are not served")
		if isPrimary != (w.view() > view) {
			t.Errorf("the primary replays: %v; view %d after view %d", isPrimary, w.view(), view)
		}
		w.run(4 * second)
		if count := w.count["reopen"] - before; count != 1 {
			t.Errorf("it went back %d times", count)
		}
		var fault *storage.Fault
		w.onFault = func(of *machine, f *storage.Fault) {
			if of != m {
				t.Errorf("machine %d stops: %v", of.index, f)
			}
			fault = f
		}
		m.want(7, false)
		w.until("it stops", func() bool { return fault != nil })
		name := blockRef(7).Checksum.String() + ", of tree balances,"
		if fault.Address != 7 || !strings.Contains(fault.Reason, name) {
			t.Errorf("it stops with %v", fault)
		}
		w.onFault = nil
		delete(m.grid.damaged, 7)
		w.heal()
	}
}

// Goal: a replica that goes back to its checkpoint waits for one that is being written. Otherwise
// it would open one, and its superblock would name another one.
func TestSeveralReplayWaitsForACheckpoint(t *testing.T) {
	w, _, next, _ := calm(t, 72)
	w.quiet(false)
	next.holdsSuperblock = true
	w.until("a checkpoint waits for its superblock", func() bool { return next.stage.superblocks.isCheckpointing() })
	for _, m := range w.machines {
		m.grid.damaged[7] = true
	}
	next.want(7, false)
	before := w.count["reopen"]
	w.run(3 * second)
	if w.count["reopen"] != before {
		t.Fatal("a checkpoint is opened while the superblock of another one is written")
	}
	next.holdsSuperblock = false
	w.until("it goes back", func() bool { return w.count["reopen"] > before })
	w.heal()
}
