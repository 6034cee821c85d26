package consensus

import (
	"strings"
	"testing"

	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// until runs the world until something is so, at most for 20 seconds.
func (w *several) until(what string, isSo func() bool) {
	w.t.Helper()
	for end := w.nowNs + 20*second; !isSo(); {
		if w.nowNs > end {
			w.t.Fatalf("seed %d: not in 20 seconds: %s: %s", w.seed, what, w.text())
		}
		w.run(2_000_000)
	}
}

// primary is the machine that is the settled primary of the highest view.
func (w *several) primary() *machine {
	w.t.Helper()
	found := w.primaryOrNil()
	if found == nil {
		w.t.Fatalf("seed %d: there is no primary: %s", w.seed, w.text())
	}
	return found
}

func (w *several) primaryOrNil() (found *machine) {
	for _, m := range w.machines {
		if m.isUp && m.stage.isPrimary() && (found == nil || m.stage.views.now() > found.stage.views.now()) {
			found = m
		}
	}
	return found
}

// calm returns a world in which three machines have executed the same: the primary and two.
func calm(t *testing.T, seed uint64) (w *several, primary, next, last *machine) {
	t.Helper()
	w = newSeveral(t, 3, seed)
	w.addClients(3)
	w.run(4 * second)
	w.quiet(true)
	w.until("all are equal", w.isEqual)
	w.run(second)
	primary = w.primary()
	return w, primary, w.machines[(primary.index+1)%3], w.machines[(primary.index+2)%3]
}

// cut separates these machines from all others; the others reach each other.
func (w *several) cut(alone ...*machine) {
	w.isCut = [limits.MembersMax][limits.MembersMax]bool{}
	for _, m := range alone {
		w.isolate(m.index, true)
	}
}

// powerCut stops a machine; nothing of what it was writing is on its disk.
func (m *machine) powerCut() {
	m.appends, m.superblockNext = nil, nil
	m.crash()
	m.holdsAppends, m.holdsSuperblock = false, false
}

// Goal: a replica does not take for committed what only the log of a later view vouches for. Of
// view v, A alone has the last op, which nobody committed. The others begin a later view with
// another op in its place, and commit it. A gets the log of that view, and its superblock is not
// durable when the next prepare comes, which names the commits of the later view. Then power fails.
// A starts in view v, with the log of view v.
func TestSeveralCommitOfALaterView(t *testing.T) {
	w, primary, a, other := calm(t, 13)
	before := w.oracle.highest
	one := w.clients[0]

	w.cut(other)
	primary.holdsAppends = true
	one.isQuiet = false
	has := func(m *machine, op uint64) bool {
		return len(m.disk[op%uint64(len(m.disk))].p) > 0 && m.stage.log.has(op) && m.stage.log.isClean(op)
	}
	w.until("A has the op", func() bool { return has(a, before+1) })
	one.isQuiet = true
	view := primary.superblock.View
	primary.powerCut()
	w.cut(a)
	if w.oracle.highest != before {
		t.Fatalf("op %d is committed too early: %s", w.oracle.highest, w.text())
	}

	primary.start()
	one.isQuiet = false
	w.until("a later view commits", func() bool { return w.oracle.highest >= before+3 })
	one.isQuiet = true
	w.run(second)

	a.holdsSuperblock = true
	w.cut()
	w.until("A has the log of the later view in memory", func() bool { return a.stage.views.isNormal() && a.stage.views.now() > view })
	if a.superblock.LogView != view {
		t.Fatalf("A's superblock is of view %d: %s", a.superblock.LogView, w.text())
	}
	one.isQuiet = false
	w.run(second)
	one.isQuiet = true
	a.powerCut()
	w.cut(a)
	a.start()
	if a.stage.views.now() != view || a.stage.views.logView() != view || !a.stage.log.has(before+1) {
		t.Fatalf("A does not start with the log of view %d: %s", view, w.text())
	}
	w.run(second)
	if a.executed > before {
		t.Fatalf("A executes op %d, and is cut off: %s", a.executed, w.text())
	}
	w.quiet(false)
	w.heal()
}

// forged is a prepare that no machine of the world made.
func (m *machine) forged(op uint64, view uint32, parent wire.Checksum) prepare.Header {
	b := make([]byte, prepare.HeaderBytes)
	_, id, _ := m.stage.named(op)
	f := prepare.Fields{CheckpointID: id, Parent: parent, Cluster: testCluster, Op: op, Commit: op - 1, Timestamp: 1 << 62, View: view,
		RequestsCount: 1, SizeBytes: prepare.HeaderBytes, Command: prepare.CommandPrepare, Operation: wire.OperationPulse}
	return prepare.Put(b, &f, prepare.Sum(nil))
}

// startView gives a machine a start_view with these headers.
func (m *machine) startView(from int, view uint32, commitMax uint64, headers ...prepare.Header) {
	s := &m.superblock
	message := peer.StartView{CheckpointID: datafile.CheckpointID(&s.Checkpoint), Op: headers[0].Op(), CommitMax: commitMax,
		CheckpointOp: s.Checkpoint.Op, HeadersCount: uint8(len(headers))}
	b := make([]byte, limits.HeaderBytes+peer.CheckpointBytes)
	message.Encode(b[:limits.HeaderBytes])
	datafile.EncodeCheckpoint(b[limits.HeaderBytes:], &s.Checkpoint)
	for _, h := range headers {
		b = append(b, h...)
	}
	m.receive(from, &flight{command: peer.CommandStartView, view: view, bytes: b})
}

// Goal: what was executed stays (I10). A replica stops when a log has another prepare of an op that
// it has executed, when a log ends below it, and when the next committed op does not follow it. It
// says so, instead of going on with other balances than the others have.
func TestExecutedStays(t *testing.T) {
	for _, c := range []struct {
		what, want string
		play       func(w *several, m *machine, from int, view uint32, last uint64)
	}{
		{"another prepare of the last op", "has another prepare of op", func(w *several, m *machine, from int, view uint32, last uint64) {
			m.startView(from, view, last, m.forged(last, view, m.stage.log.checksum(last-1)))
		}},
		{"another prepare of an op before it", "has another prepare of op", func(w *several, m *machine, from int, view uint32, last uint64) {
			before := m.forged(last-1, view, m.stage.log.checksum(last-2))
			m.startView(from, view, last-1, m.forged(last, view, before.Checksum()), before)
		}},
		{"an op that does not follow", "does not follow the one", func(w *several, m *machine, from int, view uint32, last uint64) {
			next := m.forged(last+1, view, wire.Checksum{1})
			m.startView(from, view, last+1, next)
			w.until("the view is durable", func() bool { return m.stage.isSettled() && m.stage.views.now() == view })
			m.receive(from, &flight{command: peer.CommandRepairPrepare, view: view, bytes: next})
		}},
	} {
		w, primary, m, _ := calm(t, 14)
		w.cut(m)
		reason := ""
		w.onFault = func(_ *machine, fault *storage.Fault) { reason = fault.Reason }
		last := m.stage.commits.last()
		c.play(w, m, primary.index, m.stage.views.now()+3, last)
		w.run(second)
		if !strings.Contains(reason, c.want) {
			t.Errorf("%s: it goes on with another prepare of op %d, or stops with %q, want %q", c.what, last, reason, c.want)
		}
	}
	w, _, m, _ := calm(t, 14)
	m.out.Reset()
	m.stage.send.begin(&m.out)
	if m.stage.mayAdopt(9, w.oracle.highest-1, nil) || m.out.Fault == nil || !strings.Contains(m.out.Fault.Reason, "ends at op") {
		t.Errorf("a log may end below what was executed: %+v", m.out.Fault)
	}
}

// Goal: a commit_max from another log makes no query unwanted. A replica in a view change may have
// it from ballots of a later log_view, in its superblock beside its own older log_view. The op of
// its own log that would replace a query's reply may have been left out. Without that reply, its
// sessions would differ from those of the others. Of the log of its own view, it does count.
func TestWantsOfAnotherLog(t *testing.T) {
	w, _, m, _ := calm(t, 18)
	unwanted := func() (count int) {
		for op := m.superblock.Checkpoint.Op + 1; op <= m.stage.log.head(); op++ {
			if !m.stage.wants.replies(op) {
				count++
			}
		}
		return count
	}
	m.powerCut()
	m.superblock.CommitMax = w.oracle.highest
	m.start()
	own := unwanted()
	w.cut(m)
	wish := make([]byte, limits.HeaderBytes)
	(&peer.StartViewChange{Cause: peer.CauseSilent}).Encode(wish)
	w.until("it has left its view", func() bool {
		if m.stage.views.isNormal() {
			m.receive((m.index+1)%3, &flight{command: peer.CommandStartViewChange, view: m.stage.views.now(), bytes: wish})
		}
		return m.superblock.View > m.superblock.LogView
	})
	m.powerCut()
	m.start()
	if count := unwanted(); own == 0 || count > 0 {
		t.Fatalf("%d queries are left out for a commit_max that is not of this log, and %d for one that is", count, own)
	}
	w.quiet(false)
	w.heal()
}

// Goal: a backup answers the new primary for ops that it knows to be committed, and the primary
// does not. The primary of view v commits an op with A's acknowledgement; A never hears of it. A
// and the third begin the next view, in whose pipeline the op waits, and the third dies before it
// has the op. The primary of view v comes back and follows A. Both have the op, so A commits it.
func TestSeveralAckOfTheViewBefore(t *testing.T) {
	w, primary, a, third := calm(t, 16)
	before := w.oracle.highest
	one := w.clients[0]
	w.cut(third)
	w.onSend = func(from, to int, f *flight) bool { return from != primary.index || f.command != peer.CommandCommit }
	one.isQuiet = false
	w.until("an op is committed that A does not know of", func() bool { return primary.stage.commits.max() > before })
	one.isQuiet = true
	w.onSend = func(from, to int, f *flight) bool { return from != a.index || f.command != peer.CommandPrepare }
	w.cut(primary)
	if a.stage.commits.max() != before {
		t.Fatalf("A knows that op %d is committed: %s", a.stage.commits.max(), w.text())
	}
	w.until("A is the primary", func() bool { return a.stage.isPrimary() && third.superblock.LogView == a.superblock.LogView })
	third.powerCut()
	if third.has(before+1, w.oracle.committed[before+1]) || a.stage.commits.max() != before {
		t.Fatalf("the third has op %d: %s", before+1, w.text())
	}
	w.onSend = nil
	w.cut()
	view := a.stage.views.now()
	w.until("the new primary commits", func() bool { return a.stage.commits.max() > before || a.stage.views.now() > view })
	if a.stage.views.now() > view {
		t.Fatalf("it takes another view: %s", w.text())
	}
	w.quiet(false)
	w.heal()
}

// Goal: a primary whose prepare slots are all on their way to peers waits with a pulse, and does
// not stop. Nor is it due again at once: the slot that comes back is an event.
func TestSeveralPulseWithoutASlot(t *testing.T) {
	w, primary, _, _ := calm(t, 17)
	pool, s := primary.slots.Pools[stages.SlotPrepare], primary.stage
	var held []stages.Slot
	for pool.FreeCount() > 0 {
		held = append(held, primary.slots.Get(stages.SlotPrepare))
	}
	before := s.log.head()
	s.timers.expiriesAt(1) // due
	w.nowNs += second
	step := func() {
		primary.out.Reset()
		s.Step(w.nowNs, Events{WallNs: primary.wallNs()}, &primary.out)
	}
	if step(); s.log.head() != before || !s.mayOrder() {
		t.Fatalf("the head is op %d, was %d; ordering %v", s.log.head(), before, s.mayOrder())
	}
	if at := s.TimerNs(); at <= w.nowNs {
		t.Fatalf("the timer is due %d ns ago, and no slot has come back", w.nowNs-at)
	}
	for _, slot := range held {
		primary.slots.Put(slot)
	}
	if step(); s.log.head() != before+1 {
		t.Fatalf("the head is op %d, want the pulse, op %d", s.log.head(), before+1)
	}
}

// Goal: a new primary serves when it has executed all that is committed, and not only what was
// committed when its view began. An op that waits in the pipeline of the new view is committed
// while its prepare is still being read from the log. Its client is in neither the sessions nor the
// index of clients in flight, so if its retry were taken, it would run twice.
func TestSeveralServesWhatItHasExecuted(t *testing.T) {
	for seed := range uint64(4) {
		servesWhatItHasExecuted(t, 21+seed)
	}
}

func servesWhatItHasExecuted(t *testing.T, seed uint64) {
	w, primary, a, third := calm(t, seed)
	before := w.oracle.highest
	one := w.clients[0]
	primary.holdsAppends = true
	w.onSend = func(from, to int, f *flight) bool { return to != primary.index || f.command != peer.CommandPrepareOK }
	one.isQuiet = false
	w.until("both backups have the op", func() bool {
		return a.stage.log.isClean(before+1) && third.stage.log.isClean(before+1)
	})
	primary.powerCut()
	one.isQuiet = true
	w.onSend = nil
	w.cut(a)
	a.powerCut()
	a.start()
	w.until("A has executed what it knows to be committed", func() bool { return a.executed == before })
	a.holdsWork, third.holdsWork = true, true // the third would repeat the reply
	w.cut()
	one.isQuiet = false
	w.until("A commits the op in its view", func() bool { return a.stage.isPrimary() && a.stage.commits.max() > before })
	if a.executed != before || len(a.reads) == 0 {
		t.Fatalf("A has not got to read the op: %s", w.text())
	}
	w.run(second)
	if a.stage.log.head() != before+1 {
		t.Fatalf("A takes the request again, as op %d, and has not executed it: %s", a.stage.log.head(), w.text())
	}
	a.holdsWork, third.holdsWork = false, false
	w.quiet(false)
	w.heal()
}

// Goal: a new primary knows the clients whose requests wait in its log for a quorum, so it does not
// take their retries. Only A has the op when the primary dies; the third's acknowledgements are
// lost.
func TestSeveralClientsAreIndexed(t *testing.T) {
	w, primary, a, third := calm(t, 22)
	before := w.oracle.highest
	one := w.clients[0]
	w.cut(third)
	primary.holdsAppends = true
	one.isQuiet = false
	w.until("A has the op", func() bool { return a.stage.log.head() > before && a.stage.log.isClean(before+1) })
	primary.powerCut()
	w.onSend = func(from, to int, f *flight) bool { return from != third.index || f.command != peer.CommandPrepareOK }
	w.cut()
	w.until("A serves", func() bool { return a.stage.isPrimary() && a.stage.status.isServing() })
	w.run(second)
	if a.stage.log.head() != before+1 {
		t.Fatalf("A takes the request again, as op %d, and has not executed it: %s", a.stage.log.head(), w.text())
	}
	w.quiet(false)
	w.heal()
}

// Goal: a primary that starts again does not go on with the view that its superblock has, since the
// others may have left it, and it has forgotten whom it has answered. It begins the next one, and
// sends nothing as the primary of the old one.
func TestSeveralRestartedPrimary(t *testing.T) {
	w, primary, _, _ := calm(t, 24)
	view := primary.superblock.View
	primary.powerCut()
	primary.start()
	w.onSend = func(from, to int, f *flight) bool {
		if from == primary.index && f.view == view && (f.command == peer.CommandCommit || f.command == peer.CommandPrepare) {
			t.Fatalf("the primary goes on with its view %d, and sends %v", view, f.command)
		}
		return true
	}
	w.quiet(false)
	w.until("a later view serves", func() bool {
		m := w.primaryOrNil()
		return m != nil && m.stage.status.isServing() && m.stage.views.now() > view
	})
	w.heal()
}
