package consensus

import (
	"testing"

	"ledger/limits"
	"ledger/peer"
)

// aboveTheList makes a machine follow a view whose list lies above what it can store. Both others
// have what is committed. It returns that machine, the old primary, which has missed the view, and
// the primary of the view, which is cut off from the old one.
func aboveTheList(t *testing.T) (w *several, last, old, leads *machine) {
	w, primary, next, third := begun(t, 42)
	last, old, leads = w.machines[third], w.machines[primary], w.machines[next]
	w.maySpread = true
	for checkpoint := last.superblock.Checkpoint.Op; last.superblock.Checkpoint.Op == checkpoint; {
		w.run(second / 100)
	}
	w.run(second / 4)
	w.isolate(third, true)
	most := w.l.PrepareMax(last.superblock.Checkpoint.Op)
	w.until("op 8 above what it can store is committed", func() bool { return w.oracle.highest >= most+8 })
	w.quiet(true)
	w.run(second / 5)
	view := w.view()
	w.onSend = func(from, to int, f *flight) bool { // the old primary votes, and hears nothing of the view
		return from != next || to != primary || f.view <= view || f.command == peer.CommandStartViewChange
	}
	old.crash()
	old.start()
	w.until("another view", func() bool { return w.server() == next && w.view() == view+1 })
	w.isCut[primary][next], w.isCut[next][primary] = true, true
	missed := w.onSend
	w.onSend = func(from, to int, f *flight) bool { // the list comes, and nothing else of the log
		return missed(from, to, f) && (to != third || f.command != peer.CommandHeaders && f.command != peer.CommandRepairPrepare)
	}
	w.isCut[next][third], w.isCut[third][next] = false, false
	w.until("the list is durable", func() bool {
		return last.stage.isSettled() && last.superblock.LogView == view+1 && last.stage.views.headers().Head() > most
	})
	if last.stage.log.head() > most || old.superblock.LogView > view {
		t.Fatalf("the machines are not where the schedule wants them: %s", w.text())
	}
	return w, last, old, leads
}

// Goal: a replica that has the list of a view, but cannot store its log yet, leaves the view with
// that list. Its own log ends below, and it is the only one of the next view's voters that knows of
// the view. If its ballot ended with its log, the committed ops above would be dropped.
func TestSeveralLeavesWithTheList(t *testing.T) {
	w, last, old, leads := aboveTheList(t)
	highest := w.oracle.highest
	checksum := w.oracle.committed[highest]
	w.isolate(leads.index, true)
	w.onSend = nil
	w.isCut[last.index][old.index], w.isCut[old.index][last.index] = false, false
	view := w.view()
	w.until("both go on", func() bool { return w.view() > view && (w.server() == old.index || w.server() == last.index) })
	if !w.machines[w.server()].stage.log.is(highest, checksum) {
		t.Fatalf("op %d is committed, and the log of the next view has lost it: %s", highest, w.text())
	}
	w.isolate(leads.index, false)
	w.maySpread = false
	w.quiet(false)
	w.heal()
}

// Goal: the list of a checkpoint does not end below the one that the view began with. The replica
// takes its next checkpoint while its log still ends below that list. What it then writes up to
// the list's head is of an older view, and is acknowledged. If the list ended below, the next start
// would drop it.
func TestSeveralCheckpointBelowTheList(t *testing.T) {
	w, last, _, _ := aboveTheList(t)
	listed, checkpoint := last.superblock.Headers[0], last.superblock.Checkpoint.Op
	w.onSend = func(from, to int, f *flight) bool { // its log is repaired, and it does not hear again of the list
		return to != last.index || f.command != peer.CommandStartView
	}
	w.until("the next checkpoint is durable", func() bool { return last.superblock.Checkpoint.Op > checkpoint })
	if last.superblock.Headers[0] != listed {
		t.Fatalf("the list ends elsewhere now: %s", w.text())
	}
	w.onSend = nil
	highest := w.oracle.highest
	checksum := w.oracle.committed[highest]
	w.until("it has what is committed", func() bool { return last.has(highest, checksum) && last.stage.log.isClean(highest) })
	last.crash()
	last.start()
	if !last.stage.log.is(highest, checksum) {
		t.Fatalf("op %d was acknowledged, and the start has lost it: %s", highest, w.text())
	}
	w.isCut = [limits.MembersMax][limits.MembersMax]bool{}
	w.maySpread = false
	w.quiet(false)
	w.heal()
}

// Goal: a prepare that waits in memory until its write may begin is held, and a view that is left
// keeps it. A backup has followed a view that is not durable there yet, so it writes nothing of it.
// Only it has the view's first prepare when the primary is lost. (Nobody acknowledges what is only
// in memory. So a nack of it would be true, and the clients would have to send their requests
// again.)
func TestSeveralHeldInMemory(t *testing.T) {
	w, primary, next, last := begun(t, 43)
	o, n, b := w.machines[primary], w.machines[next], w.machines[last]
	view := w.view()
	w.onSend = func(_, to int, f *flight) bool {
		b.holdsSuperblock = b.holdsSuperblock || to == last && f.command == peer.CommandStartView
		return true
	}
	o.crash()
	w.until("the backup has a prepare that it may not write", func() bool {
		g := &b.stage.log
		return b.stage.views.logView() == view+1 && g.isQueued(g.head()) && !g.isWritingIt(g.head()) && g.header(g.head()).View() == view+1
	})
	w.quiet(true)
	n.crash()
	o.start()
	head := b.stage.log.head()
	checksum := b.stage.log.checksum(head)
	w.until("the backup leaves the view", b.stage.views.isChanging)
	b.holdsSuperblock, w.onSend = false, nil
	w.until("the next view has a log", func() bool { return b.stage.views.logView() > view+1 })
	if !b.stage.log.is(head, checksum) {
		t.Fatalf("op %d was in the memory of a replica, and the next view has dropped it: %s", head, w.text())
	}
	n.start()
	w.quiet(false)
	w.heal()
}
