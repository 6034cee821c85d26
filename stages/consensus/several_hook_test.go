package consensus

import (
	"testing"

	"ledger/prepare"
	"ledger/wire"
)

// Goal: nobody executes what only a header of the disk behind a checkpoint says. L is two
// checkpoints behind, with a log that is full. B has on its disk, at the last op that L can store,
// a prepare that a later view left out, which the committed one never overwrote. B starts again, so
// this op lies behind its checkpoint, and becomes the primary. Its start_view has no hook for L,
// which goes on with its own log.
func TestSeveralHookOfTheDisk(t *testing.T) {
	w, primary, next, last := begun(t, 42)
	w.syncOff()
	l, b := w.machines[last], w.machines[next]
	w.maySpread = true
	for checkpoint := l.superblock.Checkpoint.Op; l.superblock.Checkpoint.Op == checkpoint; {
		w.run(second / 100)
	}
	l.isCheckpointHeld = true
	op := w.l.PrepareMax(l.superblock.Checkpoint.Op)
	w.until("L's log is full", func() bool { return l.has(op, w.oracle.committed[op]) && l.stage.log.isClean(op) })
	w.isolate(last, true)
	checkpoint := w.l.CheckpointAfter(w.l.CheckpointAfter(l.superblock.Checkpoint.Op))
	w.until("the others take two checkpoints", func() bool {
		return b.superblock.Checkpoint.Op == checkpoint && w.machines[primary].superblock.Checkpoint.Op == checkpoint
	})
	w.quiet(true)
	w.run(second / 2)

	buffer := make([]byte, prepare.HeaderBytes)
	leftOut := []byte(prepare.Put(buffer, &prepare.Fields{
		Parent: w.oracle.committed[op-1], Cluster: testCluster, Op: op, Commit: op - 1, Timestamp: 1 << 62, RequestsCount: 1,
		SizeBytes: prepare.HeaderBytes, Command: prepare.CommandPrepare, Operation: wire.OperationPulse,
		CheckpointID: w.oracle.headers[w.oracle.committed[op]].CheckpointID(),
	}, prepare.Sum(nil)))
	b.crash()
	b.disk[op%uint64(len(b.disk))] = diskSlot{leftOut, leftOut}
	b.start()
	view := w.view()
	w.run(second)
	w.machines[primary].crash()
	w.machines[primary].start()
	w.until("B is the primary", func() bool { return w.view() > view && w.server() == next })

	w.isolate(last, false)
	w.run(8 * second) // the world fails if L executes what is not committed
	l.isCheckpointHeld = false
	w.until("L has what was committed", func() bool { return l.executed == w.oracle.highest })
	w.maySpread = false
	w.quiet(false)
	w.heal()
}

// Goal: a replica in a view change that can store nothing of the log of the view says so and goes
// on to vote, unless its next checkpoint is on its way. In its view it executes what it has.
func TestTooFarToFollow(t *testing.T) {
	_, _, m, _ := calm(t, 53)
	m.out.Reset()
	m.stage.send.begin(&m.out)
	if m.stage.tooFarToFollow(); m.stage.ballots.verdict() != AwayNot {
		t.Fatalf("it says in its view: %v", m.stage.ballots.verdict())
	}
	m.stage.enterView(m.stage.views.now() + 1)
	if m.stage.tooFarToFollow(); m.stage.ballots.verdict() != AwayFar || m.out.Fault != nil {
		t.Fatalf("it says %v, and stops with %v", m.stage.ballots.verdict(), m.out.Fault)
	}
}

// Goal: a view comes to serve although superblocks are slow. Before a new primary has told its log,
// nobody can answer it, so the time until then is no silence.
func TestSeveralSlowSuperblocks(t *testing.T) {
	for _, ms := range []uint64{300, 600, 1000} {
		w, primary, _, _ := begun(t, 51)
		for _, m := range w.machines {
			m.superblockNs = ms * 1_000_000
		}
		before := w.replied()
		w.machines[primary].crash()
		w.machines[primary].start()
		w.until("clients are served", func() bool { return w.replied() > before+3 })
	}
}
