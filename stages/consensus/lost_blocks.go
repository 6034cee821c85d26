package consensus

import (
	"fmt"

	"ledger/stages"
	"ledger/storage"
	"ledger/vsr"
)

// A block that no peer brings in three rounds is lost for now. What is done depends on where it
// comes from:
//
//	named by the durable checkpoint   it is asked for on and on, with longer pauses. What needs it
//	                                  waits, a line says so, and the rest goes on.
//	not named                         the log still has the ops that made it. The checkpoint is
//	                                  opened again, and they are executed again, once for each block.
//	not named, and lost once more     the same as if it were named, if a quorum has the next
//	                                  checkpoint: state sync takes that. A primary leaves its view
//	                                  before, since it takes none. Else the replica stops.

// silentRoundsMax rounds that bring nothing make a block lost.
const silentRoundsMax = 3

// lostAgainNs is the time between two lines about blocks that are lost.
const lostAgainNs = 60_000_000_000

// lostBlocks is what was done about blocks that no peer brings.
type lostBlocks struct {
	count    int // of the blocks that are lost now
	gone     int // of them, those that no other replica has
	told     LostBlocks
	toldNs   uint64 // when the last line was; 0: none was
	isTold   bool   // a line has said that blocks are lost
	replayed [replayedMax]vsr.Block
	at       int // the next place in replayed
}

// replayedMax blocks are remembered for which the log was executed again.
const replayedMax = stages.BlocksWantedMax

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

// wasReplayed tells whether the log was executed again for a block.
func (l *lostBlocks) wasReplayed(block vsr.Block) bool {
	for i := range l.replayed {
		if l.replayed[i] == block {
			return true
		}
	}
	return false
}

func (l *lostBlocks) replays(block vsr.Block) {
	l.replayed[l.at] = block
	l.at = (l.at + 1) % len(l.replayed)
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

// lostNow is the number of blocks that are lost now.
func (l *lostBlocks) lostNow() uint64 { return uint64(l.count) }

func (l *lostBlocks) fill(out *ClusterSample) { out.BlocksLost = uint64(l.count) }

// watchLost looks for blocks that no peer brings.
func (s *Stage) watchLost() {
	count, oldest := 0, lostWant{}
	s.lost.gone = 0
	for at := range vsr.BlockWantsMax {
		if s.blocks.waiting() == 0 {
			break
		}
		if s.blocks.rounds(at) < silentRoundsMax {
			continue
		}
		w := s.blocks.of(at)
		if !w.isNamed && !s.replayFor(&w) {
			return
		}
		if w.lost >= silentRoundsMax && !s.opening.isAfter(w.sinceNs) { // else apply has not ended the want yet
			s.lost.gone++
		}
		if count++; count == 1 || w.sinceNs < oldest.sinceNs {
			oldest = w
		}
	}
	if line := s.lost.sees(s.timers.now(), count, &oldest); line != nil {
		s.send.lostBlocks(line)
	}
}

// isBlockGone tells whether a block is wanted that no other replica has: each has said so, round
// for round. It counts only while blocks of a checkpoint that was taken over are missing, which the
// others may have freed. Otherwise it is damaged everywhere: no sync brings it, and a backup whose
// checkpoints take longer than GoneNs would take over one after the other instead of its own.
func (s *Stage) isBlockGone() bool { return s.isSyncing() && s.blocks.waiting() > 0 && s.lost.gone > 0 }

// replayFor makes a block again that no checkpoint names. false: the replica has stopped, or goes
// back to its checkpoint, so its wants end.
func (s *Stage) replayFor(w *lostWant) bool {
	if s.opening.isOn() || s.syncing.isReplacing() || s.opening.isAfter(w.sinceNs) {
		return true // apply has not ended the wants of the state before yet
	}
	if s.lost.wasReplayed(w.block) {
		if s.needsSync(s.commits.max(), true) {
			s.leaveOwnView()
			return true // it waits until it counts as stuck, and takes over a checkpoint then
		}
		tree := w.tree
		if tree == "" {
			tree = "not known"
		}
		s.fail(&storage.Fault{What: storage.FaultBlock, Address: w.block.Address, Reason: fmt.Sprintf("the block with checksum %v, "+
			"of tree %s, is damaged, no other replica has brought it, and executing the log again from op %d on did not make it: "+
			"check the disk, then start again", w.block.Checksum, tree, s.superblocks.now().Checkpoint.Op+1)})
		return false
	}
	if !s.reopen() {
		return true // a checkpoint is on its way into the superblock: a later step tries again
	}
	s.lost.replays(w.block)
	return false
}
