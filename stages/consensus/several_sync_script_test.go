package consensus

import (
	"bytes"
	"testing"

	"ledger/peer"
	"ledger/storage/datafile"
	"ledger/vsr"
)

// leftBehind is a cluster of three of which the last machine was cut off until the others have a
// checkpoint that is three after its own. It is still cut off.
func leftBehind(t *testing.T, seed uint64) (w *several, primary, next, last int) {
	t.Helper()
	w, primary, next, last = begun(t, seed)
	w.maySpread = true
	m := w.machines[last]
	w.isolate(last, true)
	target := m.superblock.Checkpoint.Op
	for range 3 {
		target = w.l.CheckpointAfter(target)
	}
	w.until("the others are far ahead", func() bool {
		return w.machines[primary].superblock.Checkpoint.Op >= target && w.machines[next].superblock.Checkpoint.Op >= target
	})
	return w, primary, next, last
}

// Goal: a machine that is left behind takes over a checkpoint, executes what follows, fetches what
// is missing, and then ends its sync range with a checkpoint of its own. A crash at any step only
// delays that.
func TestSeveralSyncSteps(t *testing.T) {
	steps := []struct {
		name string
		is   func(m *machine) bool
	}{
		{"none", nil},
		{"a start_view was taken", func(m *machine) bool { return m.stage.syncing.isReplacing() }},
		{"the superblock is being written", func(m *machine) bool { return m.superblockNext != nil && m.superblockCopy.SyncOpMax > 0 }},
		{"the superblock is durable", func(m *machine) bool { return m.superblock.SyncOpMax > 0 }},
		{"the checkpoint is being opened", func(m *machine) bool { return m.superblock.SyncOpMax > 0 && m.fake.isOpening }},
		{"it is open", func(m *machine) bool { return m.superblock.SyncOpMax > 0 && !m.stage.opening.isOn() }},
		{"a block has come", func(m *machine) bool { return len(m.fake.arrived) > 0 }},
		{"nothing is missing", func(m *machine) bool { return m.superblock.SyncOpMax > 0 && m.fake.isSynced }},
		{"its own next checkpoint is on its way", func(m *machine) bool { return m.superblock.SyncOpMax > 0 && m.stage.snapshot.isLent() }},
	}
	for i, step := range steps {
		for crashes := range 2 {
			w, _, _, last := leftBehind(t, 60+uint64(i))
			m := w.machines[last]
			w.isolate(last, false)
			if step.is != nil {
				for until := w.nowNs + 20*second; !step.is(m); w.run(1) {
					if w.nowNs > until {
						t.Fatalf("not in 20 seconds: %s: %s", step.name, w.text())
					}
				}
				for range crashes + 1 {
					m.crash()
					w.run(second / 20)
					m.start()
					w.run(uint64(1 + w.random.IntN(second/20)))
				}
			}
			w.until("the range ends", func() bool { return m.superblock.Checkpoint.Op > 0 && m.superblock.SyncOpMax == 0 && m.isCopy() })
			w.heal()
			if w.count["sync"] == 0 {
				t.Fatalf("%s: it never synced: %s", step.name, w.text())
			}
		}
	}
}

// Goal: a machine whose checkpoint is only half there, and that only one other has, acknowledges
// nothing that would tell the primary that a quorum has it. When all of it is there, it does.
func TestSeveralHalfSynced(t *testing.T) {
	w, primary, next, last := leftBehind(t, 71)
	a, b, m := w.machines[primary], w.machines[next], w.machines[last]
	b.isCheckpointHeld = true
	var end uint64 // what may be committed without a second copy of the primary's checkpoint
	w.until("the primary alone has the newest checkpoint, and cannot go on", func() bool {
		end = w.l.CheckpointTrigger(a.superblock.Checkpoint.Op) + uint64(w.l.SlackOps)
		return a.superblock.Checkpoint.Op > b.superblock.Checkpoint.Op && w.oracle.highest == end
	})
	w.isolate(next, true)
	m.holdsBlocks = true
	w.isolate(last, false)
	w.until("it has taken that checkpoint", func() bool {
		return m.superblock.Checkpoint.Op == a.superblock.Checkpoint.Op && !m.stage.opening.isOn()
	})
	w.until("it has all prepares", func() bool { return m.stage.log.head() > end && m.stage.log.isClean(m.stage.log.head()) })
	w.run(second / 2)
	if w.oracle.highest != end {
		t.Fatalf("op %d is committed, although the checkpoint has one copy", w.oracle.highest)
	}
	m.holdsBlocks = false
	w.until("the cluster goes on", func() bool { return w.oracle.highest > end+10 })
	b.isCheckpointHeld = false
	w.heal()
}

// Goal: the sync range stays as long as a block is missing, whatever checkpoints follow.
func TestSeveralSyncRangeStays(t *testing.T) {
	w, _, _, last := leftBehind(t, 72)
	m := w.machines[last]
	m.holdsBlocks = true
	w.isolate(last, false)
	w.until("it has taken a checkpoint", func() bool { return m.superblock.SyncOpMax > 0 })
	opMin, checkpoint := m.superblock.SyncOpMin, m.superblock.Checkpoint.Op
	w.until("it has taken a checkpoint of its own", func() bool {
		return m.superblock.Checkpoint.Op > checkpoint && m.superblock.SyncOpMax < m.superblock.Checkpoint.Op
	})
	if m.superblock.SyncOpMin != opMin {
		t.Fatalf("the range began with op %d, and begins with op %d", opMin, m.superblock.SyncOpMin)
	}
	m.holdsBlocks = false
	w.until("the range ends", func() bool { return m.superblock.SyncOpMax == 0 })
	w.heal()
}

// Goal: while the superblock with another replica's checkpoint is being written, a machine says
// nothing that the one before it or the one after it could not say: it acknowledges nothing and
// votes for nothing.
func TestSeveralSyncReplacing(t *testing.T) {
	w, primary, _, last := leftBehind(t, 76)
	m := w.machines[last]
	m.superblockNs = second
	w.isolate(last, false)
	w.onSend = func(from, _ int, f *flight) bool {
		if from == last && m.stage.syncing.isReplacing() && f.command != peer.CommandPing {
			t.Fatalf("machine %d sends %v while its checkpoint is being replaced", last, f.command)
		}
		return true
	}
	w.onStep = func(on *machine, step func()) {
		if step(); on != m || !m.stage.syncing.isReplacing() {
			return
		}
		for op := uint64(1); op <= m.stage.log.head(); op++ {
			if a := m.stage.ackOf(op); a.Breaks(&m.stage.quorums, &w.l) == vsr.RuleNone {
				t.Fatalf("machine %d acknowledges op %d while its checkpoint is being replaced", last, op)
			}
		}
	}
	w.until("a start_view was taken", func() bool { return m.stage.syncing.isReplacing() })
	w.machines[primary].crash()
	w.machines[primary].start()
	w.until("the checkpoint is durable", func() bool { return m.superblock.SyncOpMax > 0 })
	m.superblockNs, w.onStep = 0, nil
	w.heal()
}

// Goal: a checkpoint and the log of the view that it came with are durable together, also if the
// view is a later one.
func TestSeveralSyncOfALaterView(t *testing.T) {
	w, primary, _, last := leftBehind(t, 73)
	m, before := w.machines[last], w.view()
	w.isolate(last, false)
	w.machines[primary].crash()
	w.machines[primary].start()
	w.until("it has taken a checkpoint of a later view", func() bool { return m.superblock.SyncOpMax > 0 && m.superblock.LogView > before })
	m.crash()
	m.start()
	w.until("it has what was committed", func() bool { return m.executed >= w.oracle.highest && m.superblock.SyncOpMax == 0 })
	w.heal()
}

// Goal: a machine that cannot open the checkpoint that it has taken, because nobody has its blocks
// any more, takes a later one, without having opened the first.
func TestSeveralNewTarget(t *testing.T) {
	w, primary, next, last := leftBehind(t, 74)
	m := w.machines[last]
	m.holdsWork = true
	w.onSend = func(from, _ int, f *flight) bool { // or the primary would wait for it
		return from != last || f.command != peer.CommandPing && f.command != peer.CommandPong
	}
	w.isolate(last, false)
	w.until("it is opening a checkpoint", func() bool { return m.fake.isOpening && m.superblock.SyncOpMax > 0 })
	checkpoint := m.superblock.Checkpoint.Op
	w.until("the blocks of that checkpoint are free", func() bool {
		return !w.machines[primary].trailers[checkpoint] && !w.machines[next].trailers[checkpoint]
	})
	m.holdsWork, w.onSend = false, nil
	w.until("it has opened a later one", func() bool { return m.superblock.Checkpoint.Op > checkpoint && !m.stage.opening.isOn() })
	w.until("it has what was committed", func() bool { return m.executed >= w.oracle.highest })
	if w.count["new target"] == 0 {
		t.Fatal("it has opened the first one")
	}
	w.heal()
}

// Goal: a machine whose checkpoint, which it has taken over, has a block that no other one has any
// more takes a later checkpoint a second later. It does not wait as long as for what may come.
func TestSeveralNewTargetForAGoneBlock(t *testing.T) {
	w, _, _, last := leftBehind(t, 78)
	m := w.machines[last]
	w.onSend = func(from, _ int, f *flight) bool { // or the primary would wait for it
		return from != last || f.command != peer.CommandPing && f.command != peer.CommandPong
	}
	m.holdsBlocks = true
	w.isolate(last, false)
	w.until("it has opened a checkpoint", func() bool { return m.superblock.SyncOpMax > 0 && !m.stage.opening.isOn() })
	m.holdsWork = true
	checkpoint := m.superblock.Checkpoint.Op
	w.until("a quorum has the next one", func() bool {
		return vsr.IsDurable(&w.l, w.l.CheckpointAfter(checkpoint), m.stage.commits.max())
	})
	w.quiet(true)
	for _, m := range w.machines {
		m.grid.damaged[7] = true
	}
	m.want(7, true)
	wantedNs := w.nowNs
	w.until("it has taken a later one", func() bool { return m.superblock.Checkpoint.Op > checkpoint })
	if took := w.nowNs - wantedNs; took < second/4 || took > 5*second/2 {
		t.Fatalf("a later checkpoint is taken %d ms after a block was wanted that nobody has: %s", took/1_000_000, w.text())
	}
	m.holdsWork, m.holdsBlocks, w.onSend = false, false, nil
	for _, m := range w.machines {
		delete(m.grid.damaged, 7)
	}
	w.quiet(false)
	w.heal()
}

// Goal: a start_view whose checkpoint is not what its id says is not followed, and its author is
// blamed.
func TestSeveralSyncOfAnotherCheckpoint(t *testing.T) {
	w, _, _, last := leftBehind(t, 75)
	m := w.machines[last]
	w.onSend = func(_, to int, f *flight) bool {
		if to == last && len(f.bytes) > 256+datafile.CheckpointBytes && f.command == peer.CommandStartView {
			f.bytes = bytes.Clone(f.bytes)
			f.bytes[256+8]++ // of the checkpoint
		}
		return true
	}
	w.isolate(last, false)
	w.run(2 * second)
	if w.count["malformed"] == 0 || w.count["sync"] > 0 {
		t.Fatalf("%d messages are malformed, %d checkpoints were taken over", w.count["malformed"], w.count["sync"])
	}
	w.onSend = nil
	w.until("it has what was committed", func() bool { return m.executed >= w.oracle.highest })
	w.heal()
}
