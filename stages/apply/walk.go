package apply

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/forest/manifest"
	"ledger/storage/freeset"
	"ledger/storage/grid"
)

// walk reads, in the background, each block that the newest checkpoint names and that was born in
// the range of a state sync. What is not there is wanted, like any block that is read, and so it is
// fetched. When all are there, a sync makes them durable, and consensus hears of it.
//
//	reading ---- the last block is verified ----> syncing ---- CompactSynced ----> whole
//	   ^                                                                             |
//	   +------------------- another checkpoint is captured -------------------------+
//
// The blocks that a checkpoint names stay at their addresses until the next but one is captured. So
// what is being read here never vanishes. A block that was verified is not read again for the next
// checkpoint: its address cannot have been given to another block that was born in the range. A
// read may find a block whole whose repair is still being written. Then the block counts when the
// write has ended: a sync covers no write that is under way.
type walk struct {
	opMin, opMax uint64 // the range; 0: there is none
	op           uint64 // of the checkpoint
	cursor       manifest.Cursor
	state        walkState
	reads        [walkReads]storage.Ref // under way, by place; zero: none
	verified     []uint64               // a bit for each address
	isSyncOut    bool                   // the first worker has a CompactSync
	waits        bool                   // nothing can be done before a read or the sync ends
	steps        uint64
}

type walkState uint8

const (
	walkNone walkState = iota // nothing is walked: there is no range, or the checkpoint is not open yet
	walkReading
	walkSyncing
	walkWhole
)

// The walk reads into the last places for parts of blocks. Nothing else uses these places once the
// checkpoint is open.
const (
	walkReads = 4
	walkFirst = grid.BlocksMax - walkReads
)

// walkTablesMax is the largest number of tables that one step looks at.
const walkTablesMax = 256

func newWalk(l *limits.Limits, memory *arena.Arena) (w walk) {
	if l.ReplicasCount > 1 {
		words := (freeset.AddressesMax(*l) + 64) / 64
		w.verified = arena.SliceWith[uint64](memory, words, "blocks of a state sync", arena.Options{Class: arena.Index})
	}
	return w
}

// SyncRange tells, before the first step, in which ops the blocks were born that may be missing.
func (s *Stage) SyncRange(opMin, opMax uint64) { s.walk.opMin, s.walk.opMax = opMin, opMax }

// walkDrop: another checkpoint is opened.
func (s *Stage) walkDrop(opMin, opMax uint64) {
	w := &s.walk
	if w.opMax > 0 {
		clear(w.verified)
	}
	w.opMin, w.opMax, w.state, w.reads = opMin, opMax, walkNone, [walkReads]storage.Ref{}
}

// walkBegin goes through the checkpoint of op from its first table on.
func (s *Stage) walkBegin(op uint64) {
	w := &s.walk
	if w.opMax == 0 {
		return
	}
	s.walkStop()
	w.op, w.cursor, w.state, w.waits = op, s.forest.Named(), walkReading, false
}

// walkStop ends the reads under way.
func (s *Stage) walkStop() {
	w := &s.walk
	for i := range w.reads {
		if !w.reads[i].IsZero() {
			s.grid.BlockEnd(walkFirst + i)
			w.reads[i] = storage.Ref{}
		}
	}
}

// walkEnd: the range is over.
func (s *Stage) walkEnd() {
	s.walkStop()
	clear(s.walk.verified)
	s.walk.opMin, s.walk.opMax, s.walk.state = 0, 0, walkNone
}

// isWhole tells whether no block of the range is missing, nor one that is being repaired.
func (s *Stage) isWhole() bool { return s.walk.state == walkWhole && s.wants.writing == 0 }

// walkStep goes on. more: it could go on at once. While ops wait, one step in coverEvery does.
// progress: a read of the grid has ended. The ops may wait for a block that nobody brings, so a
// walk that can only wait as well asks for no further step.
func (s *Stage) walkStep(progress bool) (more bool) {
	w := &s.walk
	if w.state != walkReading {
		return false
	}
	w.waits = w.waits && !progress
	if s.more || s.commitsCount > 0 {
		if w.steps++; w.steps%coverEvery != 0 {
			return !w.waits
		}
	}
	left, isBusy := walkTablesMax, false
	for i := range w.reads {
		place := walkFirst + i
		if ref := &w.reads[i]; !ref.IsZero() {
			assert.That(!s.grid.BlockIsFree(place), "a block that the newest checkpoint names has an address in use")
			_, ok := s.grid.BlockHeader(place)
			if ok && !s.wants.isWriting(*ref) && s.grid.BlockBytes(place) != nil {
				w.verified[ref.Address/64] |= 1 << (ref.Address % 64)
				s.grid.BlockEnd(place)
				*ref = storage.Ref{}
			}
		}
		if !s.grid.BlockIsFree(place) {
			isBusy = true // also by a read that walkStop has ended, and that the disk has not answered yet
		} else if ref, ok := w.next(&left); ok {
			w.reads[i], isBusy = ref, true
			s.grid.BlockStart(place, ref, 0, 0)
		}
	}
	if isBusy || left == 0 {
		w.waits = left > 0
		return left == 0
	}
	assert.That(!w.cursor.Failed(), "the manifest of an open checkpoint is sound")
	if w.isSyncOut {
		w.waits = true
		return false
	}
	w.state, w.isSyncOut = walkSyncing, true
	s.out.Compact[0] = append(s.out.Compact[0], stages.ApplyToCompact{Kind: stages.CompactSync})
	return false
}

// next returns the next block of the range that was not verified. left counts the tables down that
// may be looked at.
func (w *walk) next(left *int) (ref storage.Ref, ok bool) {
	for *left > 0 {
		t, ok := w.cursor.Next()
		if !ok {
			return ref, false
		}
		*left--
		if t.BornOp >= w.opMin && t.BornOp <= w.opMax && w.verified[t.Address/64]>>(t.Address%64)&1 == 0 {
			return t.Ref, true
		}
	}
	return ref, false
}

// onSynced: what was written is durable.
func (s *Stage) onSynced(fault *storage.Fault) {
	w := &s.walk
	w.isSyncOut, w.waits = false, false
	switch {
	case fault != nil:
		s.fail(fault)
	case w.state == walkSyncing:
		w.state = walkWhole
		s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplySynced, Op: w.op})
	}
}
