package consensus

import (
	"fmt"
	"testing"

	"ledger/peer"
)

// Goal: a replica that has followed a start_view whose list lies above what it can store starts
// again after a crash, and gets to where the others are. The list's head is no op of its log.
func TestSeveralStartsBelowTheList(t *testing.T) {
	for beyond := uint64(1); beyond < 20; beyond += 3 {
		t.Run(fmt.Sprintf("%d-beyond", beyond), func(t *testing.T) {
			w, primary, next, last := begun(t, 42)
			w.syncOff()
			m := w.machines[last]
			w.maySpread = true
			for checkpoint := m.superblock.Checkpoint.Op; m.superblock.Checkpoint.Op == checkpoint; {
				w.run(second / 100)
			}
			w.run(second / 4)
			w.isolate(last, true)
			most := w.l.PrepareMax(m.superblock.Checkpoint.Op)
			w.run(second / 10)
			view := w.view()
			w.machines[primary].crash()
			w.machines[primary].start()
			w.until("another view", func() bool { return w.server() == next && w.view() > view })
			for w.oracle.highest < most+beyond {
				w.run(1)
			}
			w.quiet(true)
			w.run(second / 5)
			w.onSend = func(_, to int, f *flight) bool { // it gets the list, and nothing else of the log
				return to != last || f.command != peer.CommandHeaders && f.command != peer.CommandRepairPrepare && f.command != peer.CommandPrepare
			}
			w.isolate(last, false)
			w.until("settled", func() bool { return m.stage.isSettled() && m.stage.views.now() > view })
			if head := m.stage.views.headers().Head(); head <= most {
				t.Fatalf("the list ends at op %d, which can be stored: %s", head, w.text())
			}
			m.crash()
			m.start()
			w.onSend = nil
			if w.run(3 * second); m.executed < w.oracle.highest {
				t.Fatalf("the replica does not follow: it has executed op %d of %d: %s", m.executed, w.oracle.highest, w.text())
			}
			w.maySpread = false
			w.quiet(false)
			w.heal()
		})
	}
}

// Goal: a replica that restarts, and has nearly all in its log, is not behind. The others are a few
// ops ahead of what it has, and more than a log ahead of its checkpoint, from which it executes
// again. All that it misses is in their logs.
func TestSeveralRestartIsNotBehind(t *testing.T) {
	w, _, _, last := begun(t, 42)
	m := w.machines[last]
	w.maySpread = true
	for checkpoint := m.superblock.Checkpoint.Op; m.superblock.Checkpoint.Op == checkpoint; {
		w.run(second / 100)
	}
	c := m.superblock.Checkpoint.Op
	most := w.l.CheckpointTrigger(w.l.CheckpointAfter(c)) - 2
	w.until("it is at the end of its log", func() bool { return m.executed >= most })
	m.crash()
	ahead := c + uint64(w.l.JournalSlotsCount) + 1
	w.until("the others are some ops ahead", func() bool { return w.oracle.highest >= ahead })
	w.quiet(true)
	w.run(second / 10)
	m.start()
	w.run(3 * second)
	w.quiet(false)
	w.maySpread = false
	w.heal()
}
