package consensus

import (
	"strings"
	"testing"

	"ledger/peer"
	"ledger/storage"
	"ledger/vsr"
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

// Goal: a replica that loses the same block once more does not stop if a quorum has the next
// checkpoint. It takes that over, and needs the block no more.
func TestSeveralLostAgainSyncs(t *testing.T) {
	w, _, m, _ := calm(t, 74)
	w.maySpread = true
	w.quiet(false)
	w.until("ops above the checkpoint", func() bool { return m.executed > m.superblock.Checkpoint.Op+20 })
	for _, other := range w.machines {
		other.grid.damaged[7] = true
	}
	before := w.count["reopen"]
	m.want(7, false)
	w.until("it goes back to its checkpoint", func() bool { return w.count["reopen"] > before })
	w.until("it has opened the checkpoint", func() bool { return !m.stage.opening.isOn() && m.stage.blocks.waiting() == 0 })
	m.holdsWork = true // it does not get beyond its checkpoint
	w.until("a quorum has the next checkpoint", func() bool {
		return vsr.IsDurable(&w.l, w.l.CheckpointAfter(m.superblock.Checkpoint.Op), m.stage.commits.max())
	})
	m.want(7, false)
	w.run(3 * second) // a replica that stops fails the test
	m.holdsWork = false
	w.until("it has taken over a checkpoint", func() bool { return m.stage.syncing.count() > 0 })
	w.heal()
}

// Goal: a primary that loses the same block once more, while a quorum has the next checkpoint,
// leaves its view. A primary takes over no checkpoint, so it would execute nothing and answer
// nobody for ever. It was the primary again before the others had that checkpoint.
func TestSeveralLostAgainPrimary(t *testing.T) {
	for _, replicas := range []int{3, 4, 5, 6} {
		w := newSeveral(t, replicas, 75)
		w.addClients(3)
		w.run(4 * second)
		m := w.primary()
		w.maySpread = true
		before, checkpoint := w.count["reopen"], m.superblock.Checkpoint.Op
		w.until("a checkpoint", func() bool { return m.superblock.Checkpoint.Op > checkpoint })
		w.quiet(true)
		m.isCheckpointHeld, checkpoint = true, m.superblock.Checkpoint.Op
		for _, other := range w.machines {
			other.grid.damaged[7] = true
		}
		m.want(7, false)
		w.until("it goes back to its checkpoint", func() bool { return w.count["reopen"] > before })
		w.until("it has executed again what it had", func() bool {
			return !m.stage.opening.isOn() && m.stage.blocks.waiting() == 0 && w.isEqual()
		})
		w.until("it is the primary again", func() bool {
			if p := w.primaryOrNil(); p != nil && p != m {
				p.stage.wish(peer.CauseSlow)
			}
			return m.stage.mayOrder()
		})
		w.quiet(false)
		w.until("a quorum has the next checkpoint", func() bool {
			return vsr.IsDurable(&w.l, w.l.CheckpointAfter(checkpoint), m.stage.commits.max())
		})
		m.want(7, false)
		w.serves(4*second, "clients are not served")
		w.until("it has taken over a checkpoint", func() bool { return m.stage.syncing.count() > 0 })
		m.isCheckpointHeld = false
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

// Goal: a want of the state that was left is no second loss of the block, though apply ends it only
// after it has opened the checkpoint: its news wait while the edge to consensus is half full.
func TestSeveralReplayOutlivesItsWant(t *testing.T) {
	w, _, next, _ := calm(t, 73)
	w.quiet(false)
	w.until("ops above the checkpoint", func() bool { return next.executed > next.superblock.Checkpoint.Op+20 })
	for _, m := range w.machines {
		m.grid.damaged[7] = true
	}
	before := w.count["reopen"]
	next.holdsUnwants = true
	next.want(7, false)
	w.until("it goes back to its checkpoint", func() bool { return w.count["reopen"] > before })
	w.until("it has opened the checkpoint", func() bool { return !next.stage.opening.isOn() })
	w.run(second / 5) // a replica that stops fails the test
	next.endWants()
	delete(next.grid.damaged, 7)
	w.heal()
}
