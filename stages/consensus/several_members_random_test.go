package consensus

import (
	"strconv"
	"testing"

	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage/datafile"
	"ledger/wire"
)

// testFile is the data file of a machine.
type testFile struct {
	superblock       datafile.Superblock
	sum              wire.Checksum
	disk             []diskSlot
	tables, trailers map[uint64]bool
	grid             testGrid
}

func (m *machine) file() testFile {
	return testFile{m.superblock, m.superblockSum, m.disk, m.tables, m.trailers, m.grid}
}

// losses are the files of a world that are lost, and that come back.
type losses struct {
	w     *several
	bad   map[int]bool     // no file, or one that is not whole, or that has no vote
	gone  map[int]bool     // no file at all
	old   map[int]testFile // the one that was lost, as it was left
	lives map[int]bool     // the old one runs, or has run last
	aside map[int]testFile // the right one, while the old one runs in its place

	number    uint64 // of the newest file
	recovered int    // the machine for which ledger recover runs; -1: it does not run
	stage     int    // requests that it has sent
	isUpgrade bool   // programs are replaced as well
	count     map[string]int
}

func (l *losses) down(i int) {
	if m := l.w.machines[i]; m.isUp {
		m.powerCut()
		l.w.disconnect(i)
	}
}

func (l *losses) up(i int) {
	m := l.w.machines[i]
	if m.isUp || l.gone[i] {
		return
	}
	if l.isUpgrade && l.w.random.IntN(2) == 0 {
		m.offered = both
	}
	l.w.begin(i)
	l.seesWhoIsUp(i)
}

// seesWhoIsUp: a machine knows that those which are down are not connected.
func (l *losses) seesWhoIsUp(i int) {
	for j, other := range l.w.machines {
		if j != i && !other.isUp {
			m := l.w.machines[i]
			m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLost, Peer: uint8(j)})
		}
	}
}

// keep the old file as it was left. A voter that is set back to what it was earlier has forgotten
// what it acknowledged, which no protocol survives.
func (l *losses) keep(i int) {
	if l.lives[i] {
		l.old[i] = l.w.machines[i].file()
	}
	delete(l.lives, i)
}

// runsOld starts a machine with the file that it has lost.
func (l *losses) runsOld(i int) {
	l.down(i)
	l.keep(i)
	l.runs(i, l.old[i])
	l.lives[i] = true
	l.count["old"]++
}

// runs starts a machine with a file.
func (l *losses) runs(i int, f testFile) {
	l.down(i)
	l.keep(i)
	m := l.w.machines[i]
	m.superblock, m.superblockSum, m.disk, m.tables, m.trailers, m.grid = f.superblock, f.sum, f.disk, f.tables, f.trailers, f.grid
	delete(l.w.oracle.copies, i)
	for key := range l.w.oracle.ballots {
		if key.machine == i {
			delete(l.w.oracle.ballots, key)
		}
	}
	l.w.begin(i)
	l.seesWhoIsUp(i)
}

// restore ends the life of an old file.
func (l *losses) restore(i int) {
	if f, ok := l.aside[i]; ok {
		delete(l.aside, i)
		l.runs(i, f)
	}
}

// formatted is how many other replicas have a new file that is not whole. Who formats so many that
// they are a quorum makes a new cluster, and no replica can tell: docs/design/cluster.md, "What it
// does not protect".
func (l *losses) formatted(except int) (count int) {
	for i := range l.w.machines {
		if i != except && l.bad[i] && !l.gone[i] {
			count++
		}
	}
	return count
}

// lose a file. Half of the times somebody formats a new one.
func (l *losses) lose(i int) {
	l.down(i)
	l.old[i], l.bad[i], l.gone[i] = l.w.machines[i].file(), true, true
	l.w.machines[i].superblock.Incarnation = 0
	l.count["lost"]++
	if l.w.random.IntN(2) == 0 && 1+l.formatted(i) < l.w.quorums.ViewChange {
		l.number++
		delete(l.gone, i)
		l.w.format(i, l.number, 0)
		l.seesWhoIsUp(i)
		l.count["formatted"]++
	}
}

// recover begins to do what ledger recover does.
func (l *losses) recover(i int) {
	l.restore(i)
	l.down(i)
	l.gone[i] = true
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
		l.down(l.recovered)
		l.keep(l.recovered)
		delete(l.gone, l.recovered)
		w.format(l.recovered, l.number, c.fields.View+2)
		l.seesWhoIsUp(l.recovered)
		l.recovered = -1
		l.count["recovered"]++
		return
	}
	c.isIdle, c.sentNs = false, 0
	l.stage++
}

// look which new files are whole.
func (l *losses) look() {
	for i := range l.w.machines {
		m := l.w.machines[i]
		_, isOld := l.aside[i]
		if l.bad[i] && !isOld && i != l.recovered && m.isUp && m.stage.members.now()[i] == m.superblock.Incarnation && m.stage.isSettled() &&
			m.stage.service.wasServing() && m.stage.commits.min()+4 >= l.w.oracle.highest && m.superblock.SyncOpMax == 0 {
			delete(l.bad, i)
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
	_, isOld := l.aside[i]
	_, hasOld := l.old[i]
	switch r.IntN(9) {
	case 0, 1:
		if len(l.bad) < filesMax && !l.bad[i] && !isOld && l.recovered != i {
			l.lose(i)
		}
	case 2, 3:
		if l.recovered < 0 && l.bad[i] && r.IntN(2) == 0 {
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
		switch {
		case !hasOld:
		case l.recovered == i && !w.machines[i].isUp:
			l.runsOld(i) // it lives while it is replaced
		case !isOld && !l.gone[i] && l.recovered != i:
			l.down(i)
			l.aside[i] = w.machines[i].file()
			l.runsOld(i)
		default:
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
	for until := w.nowNs + 300*second; len(l.bad) > 0 || l.recovered >= 0; {
		if w.nowNs > until {
			w.t.Fatalf("seed %d: the files of machines %v are not replaced: %s", w.seed, l.bad, w.text())
		}
		w.run(second / 10)
		if l.recovered >= 0 && l.stage <= 1 {
			l.down(l.recovered)
		}
		l.drive()
		l.look()
		for i, m := range w.machines {
			if l.recovered < 0 && l.bad[i] && (l.gone[i] || m.isUp && m.stage.isStranger()) {
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
		l := losses{w: w, bad: map[int]bool{}, gone: map[int]bool{}, old: map[int]testFile{}, lives: map[int]bool{},
			aside: map[int]testFile{}, number: 10_000, recovered: -1, isUpgrade: i/4%2 == 1, count: total}
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
