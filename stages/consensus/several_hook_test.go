package consensus

import (
	"strings"
	"testing"

	"ledger/prepare"
	"ledger/storage"
	"ledger/wire"
)

// Goal: nobody executes what only a header of the disk behind a checkpoint says. L is two
// checkpoints behind, with a log that is full. B has on its disk, at the last op that L can store,
// a prepare that a later view left out, which the committed one never overwrote. B starts again, so
// this op lies behind its checkpoint, and becomes the primary. Its start_view has no hook for L,
// which goes on with its own log.
func TestSeveralHookOfTheDisk(t *testing.T) {
	w, primary, next, last := begun(t, 42)
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

// Goal: a replica in a view change of whose log it can store nothing stops and says so, unless its
// next checkpoint is on its way. In its view it goes on, because it executes what it has.
func TestTooFarToFollow(t *testing.T) {
	_, _, m, _ := calm(t, 53)
	fault := func() *storage.Fault {
		m.out.Reset()
		m.stage.send.begin(&m.out)
		m.stage.tooFarToFollow()
		return m.out.Fault
	}
	if f := fault(); f != nil {
		t.Fatalf("it stops in its view: %v", f)
	}
	m.stage.enterView(m.stage.views.now() + 1)
	if f := fault(); f == nil || f.What != storage.FaultBehind || !strings.Contains(f.Reason, "two checkpoints behind") {
		t.Fatalf("it stops with %v", f)
	}
}
