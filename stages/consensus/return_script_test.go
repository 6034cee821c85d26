package consensus

import (
	"slices"
	"testing"

	"ledger/peer"
)

// Goal: a replica that has missed the start_view of a view that is running gets it without waiting
// for the time after which it asks again: from what the primary sends in the view, from the answer
// to its own ballot, and from the answer to its wish to leave.
func TestSeveralMissedStartView(t *testing.T) {
	for _, c := range []struct {
		what    string
		lost    []peer.Command // to and from the replica, besides the start_view
		isQuiet bool
		within  uint64
	}{
		{"a prepare", nil, false, second / 4},
		{"a heartbeat", []peer.Command{peer.CommandPrepare}, true, 3 * second / 4},
		{"its ballot", []peer.Command{peer.CommandPrepare, peer.CommandCommit, peer.CommandRequestStartView}, true, 3 * second / 4},
		{"its wish", []peer.Command{peer.CommandPrepare, peer.CommandCommit, peer.CommandRequestStartView, peer.CommandDoViewChange}, true,
			3 * second / 2},
	} {
		w, primary, _, last := begun(t, 41)
		w.quiet(c.isQuiet)
		w.run(second)
		w.machines[primary].crash()
		missedNs, m := uint64(0), w.machines[last]
		w.onSend = func(from, to int, f *flight) bool {
			switch {
			case to == last && f.command == peer.CommandStartView && missedNs == 0:
				missedNs = w.nowNs
				return false
			case missedNs > 0 && (from == last || to == last):
				return !slices.Contains(c.lost, f.command)
			}
			return true
		}
		for w.run(1); missedNs == 0 || !m.stage.views.isNormal(); w.run(1) {
			if missedNs > 0 && w.nowNs > missedNs+c.within {
				t.Fatalf("%s: no start_view for %d ms: %s", c.what, (w.nowNs-missedNs)/1_000_000, w.text())
			}
		}
		w.quiet(false)
		w.heal()
	}
}

// Goal: a replica whose checkpoint is older than that of the others follows them, when all headers
// of the start_view lie above what it can store yet.
func TestSeveralFarBehind(t *testing.T) {
	w, _, _, last := begun(t, 42)
	w.syncOff()
	m := w.machines[last]
	w.maySpread = true
	for checkpoint := m.superblock.Checkpoint.Op; m.superblock.Checkpoint.Op == checkpoint; {
		w.run(second / 100)
	}
	w.run(second / 4) // it executes some ops behind the checkpoint
	w.isolate(last, true)
	most := w.l.PrepareMax(m.superblock.Checkpoint.Op)
	for w.oracle.highest < most+uint64(w.l.PipelineOpsMax)+3 {
		w.run(second / 100)
	}
	w.quiet(true)
	w.run(second / 5)
	if head, executed := w.oracle.highest, m.executed; head > executed+uint64(w.l.JournalSlotsCount)-4 {
		t.Fatalf("op %d was executed, and the others are at op %d: %s", executed, head, w.text())
	}
	w.isolate(last, false)
	if w.run(3 * second); m.executed < w.oracle.highest {
		t.Fatalf("the replica does not follow: it has executed op %d of %d: %s", m.executed, w.oracle.highest, w.text())
	}
	w.maySpread = false
	w.quiet(false)
	w.heal()
}

// Goal: a replica that is two checkpoints behind, and has most of a log of its own, follows as
// well. Its checkpoint does not come to an end while the others take two more.
func TestSeveralTwoCheckpointsBehind(t *testing.T) {
	w, _, next, last := begun(t, 44)
	m, other, interval := w.machines[last], w.machines[next], w.l.CheckpointIntervalOps()
	w.maySpread = true
	for checkpoint := m.superblock.Checkpoint.Op; m.superblock.Checkpoint.Op == checkpoint; {
		w.run(second / 100)
	}
	checkpoint := m.superblock.Checkpoint.Op
	m.isCheckpointHeld = true
	w.until("its next checkpoint is due", func() bool { return m.executed > w.l.CheckpointTrigger(checkpoint+interval) })
	w.isolate(last, true)
	w.until("the others take two more", func() bool { return other.superblock.Checkpoint.Op == checkpoint+2*interval })
	w.quiet(true)
	w.run(second / 5)
	most := w.l.PrepareMax(checkpoint)
	if m.superblock.Checkpoint.Op != checkpoint || w.oracle.highest < most+uint64(w.l.PipelineOpsMax)+1 {
		t.Fatalf("the replica is not two checkpoints behind: %s", w.text())
	}
	w.isolate(last, false)
	if w.run(2 * second); m.stage.log.head() != most {
		t.Fatalf("the replica cannot follow: its head is op %d, and it can store op %d: %s", m.stage.log.head(), most, w.text())
	}
	m.isCheckpointHeld = false
	if w.run(3 * second); m.executed < w.oracle.highest {
		t.Fatalf("the replica cannot follow: it has executed op %d of %d: %s", m.executed, w.oracle.highest, w.text())
	}
	w.maySpread = false
	w.quiet(false)
	w.heal()
}

// Goal: a backup that starts again in its view acknowledges what it has, without being asked. The
// primary has an op that the backup has written, its acknowledgement is lost, and the other backup
// is down.
func TestSeveralAcknowledgedAfterAStart(t *testing.T) {
	for _, isConnectedLate := range []bool{false, true} {
		w, primary, next, last := begun(t, 43)
		w.maySpread = true
		w.machines[last].crash()
		w.onSend = func(_, _ int, f *flight) bool { return f.command != peer.CommandPrepareOK }
		w.run(second / 20) // what was on its way has come
		p, m, op := &w.machines[primary].stage.pipeline, w.machines[next], uint64(0)
		for until := w.nowNs + second; op == 0; w.run(1) {
			if p.count() > 0 && m.has(p.at(0).op, p.at(0).checksum) {
				op = p.at(0).op
			}
			if w.nowNs > until {
				t.Fatalf("no op is where the schedule wants it: %s", w.text())
			}
		}
		w.run(second / 100) // the acknowledgement is lost
		m.crash()
		m.start()
		w.onSend = func(_, _ int, f *flight) bool { return f.command != peer.CommandPrepare }
		if isConnectedLate {
			live := m.netEvents
			m.netEvents = nil
			w.run(second / 20)
			m.netEvents = append(m.netEvents, live...)
		}
		w.maySpread = false
		if w.run(second / 10); w.machines[primary].stage.commits.max() < op {
			t.Fatalf("connected late %v: op %d is not acknowledged: %s", isConnectedLate, op, w.text())
		}
		w.heal()
	}
}
