package consensus

import (
	"ledger/storage"
	"ledger/vsr"
)

// A block that no peer brings in three rounds is lost for now. It is asked for on and on, with
// longer pauses. What needs it waits, a line says so, and the rest goes on.

// silentRoundsMax rounds that bring nothing make a block lost.
const silentRoundsMax = 3

// lostAgainNs is the time between two lines about blocks that are lost.
const lostAgainNs = 60_000_000_000

// lostBlocks is what was done about blocks that no peer brings.
type lostBlocks struct {
	count  int // of the blocks that are lost now
	told   LostBlocks
	toldNs uint64 // when the last line was; 0: none was
	isTold bool   // a line has said that blocks are lost
}

// LostBlocks is what a line about blocks says that are damaged here and that no other replica has
// brought. Count is 0 when there are none any more.
type LostBlocks struct {
	Count    int
	Ref      storage.Ref // of the one that was wanted first
	Tree     string
	WaitedNs uint64
	// IsEverywhere: all other replicas have said that they have not got it, round for round.
	IsEverywhere bool
}

// lostWant is a want as this file sees it.
type lostWant struct {
	block   vsr.Block
	lost    uint32
	isNamed bool
	tree    string
	sinceNs uint64
}

// sees takes how many blocks are lost now, and the oldest of them. It returns what a line is to
// say, or nil.
func (l *lostBlocks) sees(nowNs uint64, count int, oldest *lostWant) *LostBlocks {
	l.count = count
	switch {
	case count == 0 && !l.isTold, count > 0 && l.toldNs > 0 && nowNs < l.toldNs+lostAgainNs:
		return nil
	case count == 0:
		l.isTold, l.told = false, LostBlocks{}
	default:
		l.isTold, l.toldNs = true, max(nowNs, 1)
		l.told = LostBlocks{Count: count, Ref: storage.Ref(oldest.block), Tree: oldest.tree, WaitedNs: nowNs - oldest.sinceNs,
			IsEverywhere: oldest.lost >= silentRoundsMax}
	}
	return &l.told
}

// nextNs is when the next line is due.
func (l *lostBlocks) nextNs() uint64 {
	if l.count == 0 {
		return ^uint64(0)
	}
	return l.toldNs + lostAgainNs
}

func (l *lostBlocks) fill(out *ClusterSample) { out.BlocksLost = uint64(l.count) }

// watchLost looks for blocks that no peer brings.
func (s *Stage) watchLost() {
	count, oldest := 0, lostWant{}
	for at := range vsr.BlockWantsMax {
		if s.blocks.waiting() == 0 {
			break
		}
		w, rounds, ok := s.blocks.of(at)
		if !ok || rounds < silentRoundsMax {
			continue
		}
		if count++; count == 1 || w.sinceNs < oldest.sinceNs {
			oldest = w
		}
	}
	if line := s.lost.sees(s.timers.now(), count, &oldest); line != nil {
		s.send.lostBlocks(line)
	}
}
