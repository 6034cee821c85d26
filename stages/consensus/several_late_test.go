package consensus

import (
	"testing"

	"ledger/internal/seeded"
	"ledger/stages"
)

// lately returns a calm world in which, from now on, each reply is late where a script holds it.
// The next trigger, whose replies are not late, is far.
func lately(t *testing.T, seed uint64) (w *several, primary, next, last *machine) {
	t.Helper()
	w, primary, next, last = calm(t, seed)
	isNear := func() bool {
		for op := range uint64(12) {
			if w.l.IsTrigger(w.oracle.highest + op) {
				return true
			}
		}
		return false
	}
	for isNear() || !w.isEqual() {
		w.quiet(!isNear())
		w.run(second / 10)
	}
	w.latePer = 1000
	return w, primary, next, last
}

// asksOnce lets the first client go on, until its next request is committed.
func (w *several) asksOnce() (op uint64) {
	w.t.Helper()
	before, one := w.oracle.highest, w.clients[0]
	one.isQuiet = false
	w.until("the request is committed", func() bool { return w.oracle.highest > before })
	return before + 1
}

// ends ends a script: all goes on, and all replicas have the same.
func (w *several) ends() {
	w.t.Helper()
	for _, m := range w.machines {
		m.holdsLate, m.holdsWork = false, false
	}
	w.quiet(false)
	w.heal()
	w.until("no reply is late", func() bool {
		for _, m := range w.machines {
			if len(m.lates) > 0 || m.stage.late.isAny() {
				return false
			}
		}
		return true
	})
	w.run(second)
	w.sameSessions()
	for _, m := range w.machines {
		if leaks := m.leaks(); leaks > 0 && !m.stage.snapshot.isLent() {
			w.t.Errorf("seed %d: machine %d holds %d reply slots for nothing", w.seed, m.index, leaks)
		}
	}
}

// Goal: a client that has its reply from the primary sends its next request, and a backup executes
// that while the reply before is late. When that comes, the session keeps the later one.
func TestSeveralLateBehindTheNext(t *testing.T) {
	w, primary, a, _ := lately(t, 31)
	a.holdsLate = true
	one := w.clients[0]
	op := w.asksOnce()
	w.until("the client has two replies more", func() bool { return w.oracle.highest > op+1 && primary.executed > op+1 })
	one.isQuiet = true
	w.until("the backup has executed both", func() bool { return a.executed == w.oracle.highest && primary.executed == a.executed })
	for len(a.lates) > 1 { // the later ones first
		a.finishLateOne(len(a.lates) - 1)
	}
	w.run(second)
	if before := w.count["reply behind the next"]; before != 0 || len(a.lates) != 1 {
		t.Fatalf("%d replies of the backup are late: %s", len(a.lates), w.text())
	}
	a.finishLateOne(0)
	if w.run(second); w.count["reply behind the next"] != 1 {
		t.Fatal("the reply that comes last is not that of an earlier request")
	}
	w.sameSessions()
	w.ends()
}

// Goal: a client repeats its request while the reply is late at the serving primary. The primary
// ignores it. A backup that has the reply repeats it, and the client sends its next request. The
// primary takes that one when the reply before is there.
func TestSeveralLateRepeated(t *testing.T) {
	w, primary, a, last := lately(t, 32)
	primary.holdsLate = true
	a.repliesAtOnce, last.repliesAtOnce = true, true
	op, before := w.asksOnce(), w.replied()
	w.until("a backup repeats the reply", func() bool { return w.replied() > before })
	w.run(2 * second)
	if w.oracle.highest != op || primary.stage.log.head() != op {
		t.Fatalf("op %d: the primary has taken a request of a client whose reply is late: %s", op, w.text())
	}
	w.ends()
}

// Goal: a backup becomes the primary while the reply of a committed request is late there. The old
// primary has not replied. The client repeats its request, and the new primary neither serves nor
// takes it before the reply is there: it knows the client from neither the sessions nor the log.
func TestSeveralLateNewPrimary(t *testing.T) {
	for seed := range uint64(4) {
		lateNewPrimary(t, 41+seed)
	}
}

func lateNewPrimary(t *testing.T, seed uint64) {
	w, primary, a, third := lately(t, seed)
	primary.holdsLate, a.holdsLate, third.holdsLate = true, true, true
	op, before := w.asksOnce(), w.replied()
	w.until("all have executed it", w.isEqual)
	primary.powerCut()
	w.until("A is the primary", func() bool { return a.stage.isPrimary() && a.stage.commits.min() == a.stage.commits.max() })
	w.run(2 * second)
	m := w.primaryOrNil()
	if w.replied() != before || m.stage.status.isServing() || m.stage.log.head() > op {
		t.Fatalf("seed %d: the primary of a new view serves while the reply of op %d is late: %s", seed, op, w.text())
	}
	a.holdsLate, third.holdsLate = false, false
	w.until("the client has the reply", func() bool { return w.replied() > before })
	w.ends()
}

// Goal: a primary is cut off while replies are late there. The others go on, and answer the client
// whose reply it was, and its later requests. The old primary follows them as a backup, becomes the
// primary once more, and its late replies, which come then or before, change nothing.
func TestSeveralLateOldPrimary(t *testing.T) {
	for seed := range uint64(6) {
		lateOldPrimary(t, 51+seed, seed%2 == 0)
	}
}

func lateOldPrimary(t *testing.T, seed uint64, comesLast bool) {
	w, primary, a, third := lately(t, seed)
	primary.holdsLate = true
	op, before := w.asksOnce(), w.replied()
	w.until("the primary has executed it", func() bool { return primary.executed == op && len(primary.lates) == 1 })
	w.cut(primary)
	w.until("the client has later replies", func() bool { return w.replied() > before+3 })
	w.quiet(true)
	if !comesLast {
		primary.finishLateOne(0)
		w.run(second)
	}
	w.cut()
	w.until("the old primary has executed all", w.isEqual)
	if comesLast {
		w.run(second)
		primary.finishLateOne(0)
		w.run(second)
	}
	primary.holdsLate = false
	for _, m := range []*machine{a, third} {
		m.pausedNs = w.nowNs + 3*second
	}
	w.quiet(false)
	w.run(8 * second)
	w.ends()
}

// Goal: a replica goes back to its checkpoint while replies are late, and takes the checkpoint of
// others. The late replies of before come never, or are on their way when it is read that the state
// is dropped. They count for nothing, and their slots come back.
func TestSeveralLateReopened(t *testing.T) {
	for seed := range uint64(6) {
		lateReopened(t, 61+seed)
	}
}

func lateReopened(t *testing.T, seed uint64) {
	w, primary, a, third := lately(t, seed)
	m := []*machine{primary, a, third}[seed%3]
	m.holdsLate = true
	w.asksOnce()
	w.until("a reply is late", func() bool { return len(m.lates) > 0 && m.stage.late.isAny() })
	before, lost := w.count["reopen"], m.lates[0]
	m.holdsWork = true
	m.stage.send.begin(&m.out)
	m.out.Reset()
	if !m.stage.reopen() {
		t.Fatal("a checkpoint is on its way")
	}
	// Apply says this before it reads ApplyOpen: of an op that consensus knows to be executed, and of
	// the next one.
	m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyReplied, Op: lost.op, Position: uint32(lost.position),
		Late: lost.reply}, stages.ApplyToConsensus{Kind: stages.ApplyCommitted, Op: lost.op + 1, Replies: []stages.Reply{{Op: lost.op + 1}}},
		stages.ApplyToConsensus{Kind: stages.ApplyReplied, Op: lost.op + 1, Late: stages.Reply{Op: lost.op + 1, Bytes: 256}})
	m.perform()
	if w.count["reopen"] != before+1 || w.count["late reply dropped"] == 0 {
		t.Fatal("no late reply is dropped")
	}
	w.run(second / 10)
	m.holdsWork = false
	w.ends()
}

// Goal: no replica's sessions, and no checkpoint, depends on when late replies come, whatever
// happens to the machines: crashes, cuts, view changes, checkpoints of others.
func TestSeveralLateRandom(t *testing.T) {
	seed := seeded.Seed(t)
	total := map[string]int{}
	for i := range 8 {
		w := newSeveral(t, 2+i%4, seed+uint64(i))
		w.addClients(4)
		w.latePer = 100 << (i % 4)
		if i%2 == 0 {
			w.randomMishaps(true)
		} else {
			w.syncMishaps()
		}
		w.ends()
		for what, count := range w.count {
			total[what] += count
		}
		for _, m := range w.machines {
			m.memory.Close()
			m.memory = nil
		}
	}
	t.Log(total)
	for _, what := range []string{"late reply", "reply behind the next", "crash", "checkpoint"} {
		if total[what] == 0 {
			t.Errorf("the test never saw a %s", what)
		}
	}
}
