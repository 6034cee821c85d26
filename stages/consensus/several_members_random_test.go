package consensus

import (
	"strconv"
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/wire"
)

// recover begins to do what ledger recover does.
func (l *losses) recover(i int) {
	l.discard(i)
	l.number++
	l.recovered, l.stage = i, 0
}

// drive goes on with ledger recover.
func (l *losses) drive() {
	w, c := l.w, l.w.clients[0]
	if l.recovered < 0 {
		return
	}
	if !c.isIdle {
		if w.nowNs >= c.sentNs && w.server() >= 0 {
			c.sentNs = w.nowNs + second/5
			l.seesWhoIsUp(w.server())
			c.send(w.machines[w.server()])
		}
		return
	}
	switch {
	case l.stage == 0:
		c.fields.Operation, c.body = wire.OperationMember, make([]byte, wire.MemberBodyBytes)
		wire.PutMember(c.body, &wire.Member{Incarnation: l.number, Replica: uint8(l.recovered), ReplicasCount: uint8(w.quorums.Replicas)})
	case l.stage <= int(w.l.PipelineOpsMax):
		c.fields.Operation, c.body = wire.OperationNoop, nil
	default:
		l.make(l.recovered, l.number, c.fields.View+2)
		l.recovered = -1
		l.count["recovered"]++
		return
	}
	c.isIdle, c.sentNs = false, 0
	l.stage++
}

// look which new files are whole.
func (l *losses) look() {
	for i, m := range l.w.machines {
		if s := &l.seats[i]; s.is == seatUnfit && m.isUp && m.stage.members.now()[i] == m.superblock.Incarnation && m.stage.isSettled() &&
			m.stage.service.wasServing() && m.stage.commits.min()+4 >= l.w.oracle.highest && m.superblock.SyncOpMax == 0 {
			s.is = seatWhole
		}
	}
}

// mishap is one of many.
func (l *losses) mishap(filesMax int) {
	w, r := l.w, l.w.random
	i := r.IntN(len(w.machines))
	if l.recovered >= 0 && r.IntN(3) == 0 {
		i = l.recovered
	}
	s := &l.seats[i]
	switch r.IntN(9) {
	case 0, 1:
		if l.bad() < filesMax && (s.is == seatFirst || s.is == seatWhole) {
			l.lose(i)
		}
	case 2, 3:
		if l.recovered < 0 && s.isBad() && r.IntN(2) == 0 {
			l.recover(i)
		}
	case 4:
		l.down(i)
	case 5:
		l.up(i)
	case 6:
		w.isolate(i, r.IntN(2) == 0)
	case 7:
		w.machines[i].pausedNs = w.nowNs + uint64(r.IntN(2*second))
	case 8:
		switch s.is {
		case seatWhole, seatUnfit:
			l.runOld(i)
		case seatNone, seatOldForNone:
			if l.recovered == i && !w.machines[i].isUp {
				l.runOld(i) // it lives while it is replaced
			}
		case seatOldForWhole, seatOldForUnfit:
			l.restore(i)
		}
	}
	for j := range w.machines {
		if r.IntN(3) == 0 {
			l.up(j)
		}
		if r.IntN(4) == 0 {
			w.isolate(j, false)
		}
		if r.IntN(6) == 0 {
			l.restore(j)
		}
	}
}

// end brings all back, and replaces what is lost.
func (l *losses) end() {
	w := l.w
	w.lossPer = 0
	for i, m := range w.machines {
		l.restore(i)
		l.up(i)
		w.isolate(i, false)
		m.pausedNs = 0
	}
	for until := w.nowNs + 300*second; l.bad() > 0 || l.recovered >= 0; {
		if w.nowNs > until {
			w.t.Fatalf("seed %d: not all files are replaced: %s%s", w.seed, l.text(), w.text())
		}
		w.run(second / 10)
		if l.recovered >= 0 && l.stage <= 1 {
			l.down(l.recovered)
		}
		l.drive()
		l.look()
		for i, m := range w.machines {
			if l.recovered < 0 && l.seats[i].isBad() && (l.seats[i].isEmpty() || m.isUp && m.stage.isStranger()) {
				l.recover(i)
			}
		}
	}
	if !l.isUpgrade {
		return
	}
	for i, m := range w.machines {
		if m.offered != both {
			l.down(i)
			m.offered = both
			w.begin(i)
		}
	}
	w.until("all run the next release", func() bool { return w.runs(w.machines, limits.ReleaseTrial) })
}

// Goal: files are lost, formatted again, replaced by ledger recover, and come back when they are
// replaced, among crashes, cuts and pauses; in half of the worlds programs are replaced meanwhile.
// No op is committed twice, or executed by two releases, and all ends with a cluster of whole
// files. In a third of the worlds one file more is lost than the cluster survives: it may stand
// still then, and that is all.
func TestSeveralMembersRandom(t *testing.T) {
	seed := seeded.Seed(t)
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	total := map[string]int{}
	for i := range uint64(rounds) {
		replicas := 3 + int(i%4)
		w := namedWorld(t, replicas, seed+i)
		w.maySpread, w.losesFiles = true, true
		w.lossPer = w.random.IntN(30)
		w.clients[0].isQuiet = true
		l := losses{w: w, seats: make([]seat, replicas), number: 10_000, recovered: -1, isUpgrade: i/4%2 == 1, count: total}
		filesMax, isTooMuch := w.quorums.Replication-1, i%3 == 2
		if isTooMuch {
			filesMax++
		}
		for range 150 {
			for range 1 + w.random.IntN(12) {
				w.run(uint64(w.random.IntN(second / 8)))
				l.drive()
			}
			l.look()
			l.mishap(filesMax)
		}
		if !isTooMuch {
			l.end()
			w.heal()
		}
		for _, m := range w.machines {
			m.memory.Close()
			m.memory = nil
		}
	}
	t.Log(strconv.Itoa(rounds), total)
	for _, what := range []string{"lost", "formatted", "recovered", "old"} {
		if total[what] == 0 {
			t.Errorf("the test never saw a file that was %s", what)
		}
	}
}
