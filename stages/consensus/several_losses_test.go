package consensus

import (
	"fmt"

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

// put gives a machine that is down another file.
func (m *machine) put(f testFile) {
	m.superblock, m.superblockSum, m.disk, m.tables, m.trailers, m.grid = f.superblock, f.sum, f.disk, f.tables, f.trailers, f.grid
	delete(m.w.oracle.copies, m.index)
}

// seat is the place of one replica: which data file its machine has, and what has become of the
// others. The right file is the one that was made last.
//
//	first, whole --lose--> none, or unfit if somebody formats a new one
//	unfit --recover--> none --made--> unfit --looked at--> whole
//	whole, unfit, none <--swap--> the lost file is in its place
type seat struct {
	is seatState
	// spare is the file that is not in the machine: the one that was lost; the right one while the
	// lost one is in its place. There is none in seatFirst and seatOldForNone.
	//
	// A file comes back as it was left, and not as it was when it was lost. Until its index has
	// another name its votes count. With four or six replicas they do so even longer: in a view
	// of before, with a primary that has heard nothing. No protocol survives a voter that forgets
	// what it has acknowledged or voted.
	spare testFile
}

type seatState uint8

const (
	seatFirst       seatState = iota // its first file, whole
	seatWhole                        // a new one, whole
	seatUnfit                        // a new one that is not whole, or has no vote
	seatNone                         // no file
	seatOldForWhole                  // the lost one, in the place of a whole one
	seatOldForUnfit                  // the lost one, in the place of one that is unfit
	seatOldForNone                   // the lost one, which lives while ledger recover replaces it
)

func (s seatState) String() string {
	return [...]string{"first", "whole", "unfit", "none", "old for whole", "old for unfit", "old for none"}[s]
}

// isBad: the right file is lost, or is unfit.
func (s *seat) isBad() bool {
	switch s.is {
	case seatUnfit, seatNone, seatOldForUnfit, seatOldForNone:
		return true
	}
	return false
}

// isEmpty: there is no right file.
func (s *seat) isEmpty() bool { return s.is == seatNone || s.is == seatOldForNone }

// losses are the files of a world that are lost, and that come back.
type losses struct {
	w     *several
	seats []seat // by machine

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

// up starts a machine with its file. One that has lost it does not come up by itself.
func (l *losses) up(i int) {
	m := l.w.machines[i]
	if m.isUp || l.seats[i].isEmpty() {
		return
	}
	if l.isUpgrade && l.w.random.IntN(2) == 0 {
		m.offered = both
	}
	l.begin(i)
}

func (l *losses) begin(i int) {
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

// bad counts the right files that are lost or unfit.
func (l *losses) bad() (count int) {
	for i := range l.seats {
		if l.seats[i].isBad() {
			count++
		}
	}
	return count
}

// formatted is how many other replicas have a new file that is not whole. Who formats so many that
// they are a quorum makes a new cluster, and no replica can tell: docs/design/cluster.md, "What it
// does not protect".
func (l *losses) formatted(except int) (count int) {
	for i := range l.seats {
		if s := &l.seats[i]; i != except && s.isBad() && !s.isEmpty() {
			count++
		}
	}
	return count
}

// lose the right file, which is whole. Half of the times somebody formats a new one.
func (l *losses) lose(i int) {
	l.down(i)
	m := l.w.machines[i]
	l.seats[i] = seat{is: seatNone, spare: m.file()}
	m.superblock.Incarnation = 0
	l.count["lost"]++
	if l.w.random.IntN(2) == 0 && 1+l.formatted(i) < l.w.quorums.ViewChange {
		l.number++
		l.make(i, l.number, 0)
		l.count["formatted"]++
	}
}

// make a new file where there is none.
func (l *losses) make(i int, number uint64, view uint32) {
	l.down(i)
	s := &l.seats[i]
	switch s.is {
	case seatNone:
	case seatOldForNone:
		s.spare = l.w.machines[i].file()
	default:
		l.w.t.Fatalf("seed %d: a new file for machine %d, whose file is %v", l.w.seed, i, s.is)
	}
	s.is = seatUnfit
	l.w.format(i, number, view)
	l.seesWhoIsUp(i)
}

// discard a file that is unfit.
func (l *losses) discard(i int) {
	l.restore(i)
	l.down(i)
	l.seats[i].is = seatNone
}

// runOld starts a machine with the file that was lost.
func (l *losses) runOld(i int) {
	l.count["old"]++
	s := &l.seats[i]
	switch s.is {
	case seatWhole:
		l.swap(i, seatOldForWhole)
	case seatUnfit:
		l.swap(i, seatOldForUnfit)
	case seatNone:
		l.down(i)
		l.w.machines[i].put(s.spare)
		*s = seat{is: seatOldForNone}
		l.begin(i)
	case seatOldForNone:
		l.down(i)
		l.begin(i)
	default:
		l.w.t.Fatalf("seed %d: the lost file of machine %d, whose file is %v", l.w.seed, i, s.is)
	}
}

// restore puts the right file in its place again, if the lost one is there.
func (l *losses) restore(i int) {
	switch l.seats[i].is {
	case seatOldForWhole:
		l.swap(i, seatWhole)
	case seatOldForUnfit:
		l.swap(i, seatUnfit)
	}
}

// swap starts a machine with the file that is not in it.
func (l *losses) swap(i int, next seatState) {
	l.down(i)
	m := l.w.machines[i]
	other := l.seats[i].spare
	l.seats[i] = seat{is: next, spare: m.file()}
	m.put(other)
	l.begin(i)
}

// text is the state of each machine's file.
func (l *losses) text() (text string) {
	for i := range l.seats {
		text += fmt.Sprintf("%d: %v; ", i, l.seats[i].is)
	}
	return text
}
