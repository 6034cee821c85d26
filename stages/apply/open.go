package apply

import (
	"fmt"

	"ledger/internal/arena"
	"ledger/internal/coro"
	"ledger/stages"
	"ledger/storage"
)

// onOpen drops what the work was doing, wherever it was. The work starts anew with open.
func (s *Stage) onOpen(e *Event) {
	s.checkpoint = *e.Opened
	s.isOpen, s.closing, s.faulted, s.ending, s.warms, s.replyPieces = false, true, false, false, false, nil
	s.readyIsWhole = false
	s.commitsCount, s.sessions, s.ahead = 0, nil, Ahead{}
	s.inOp = false
	s.lateDrop()
	s.wantsDrop()
	s.walkDrop(e.SyncOpMin, e.SyncOpMax)
	s.measures.dropped()
	s.body.Restart()
	s.more = true
}

// Ahead is what is known of the ops of the log behind the checkpoint.
type Ahead struct {
	Op  uint64 // the last one
	IDs uint64 // how many new ids they bring, at most
}

// Expect tells, before the first step, what will be executed before the first request, and has the
// memory of the checkpoint's indexes touched. Neither affects any result.
func (s *Stage) Expect(ahead Ahead, memory *arena.Arena) {
	s.ahead = ahead
	s.forest.Touch(memory, &s.checkpoint)
	if s.limits.TouchesMemoryAtStart() {
		s.grid.Touch(memory)
	}
}

// open gives the forest the state of the checkpoint: that of the start, or one that came with
// ApplyOpen. Before a forest in use is reset, compact has finished the jobs that it has, because it
// reads their sources and writes their results and their blocks. Nor is a block being repaired: the
// other checkpoint may not name it.
func (s *Stage) open(c *coro.Coroutine) {
	wasInUse := s.closing
	if wasInUse {
		s.giveUp()
		for !s.dealer.isIdle() || s.checkpointOut || s.wants.writing > 0 || s.walk.isSyncOut {
			c.Wait()
		}
		s.dealer.generation, s.wants.givenUp = nil, false
		for worker := range s.out.Compact {
			s.out.Compact[worker] = append(s.out.Compact[worker], stages.ApplyToCompact{Kind: stages.CompactReset})
		}
		s.forest.Reset()
		s.machine.Reset()
		s.closing = false
		s.dropped++
	}
	s.forest.Open(&s.checkpoint, s.ahead.IDs)
	op := s.checkpoint.Op
	s.opened, s.op, s.newest, s.durable = op, op, op, op
	s.openSessions(c) // before the blocks are read that fill the filter of all ids: the room for reads is the same
	s.upgrade.reset()
	s.isOpen = true
	s.walkBegin(op)
}

// openSessions reads the sessions of the checkpoint, which consensus needs before it can commit an
// op: first the records, which are small, then the replies, to where consensus has room for them.
func (s *Stage) openSessions(c *coro.Coroutine) {
	checkpoint := &s.checkpoint
	size := checkpoint.TrailerBytes[storage.TrailerSessions]
	if size > uint64(len(s.records)) {
		s.forest.FailTrailer(checkpoint, storage.TrailerSessions, fmt.Sprintf("the trailer of the sessions has %d bytes, at most %d can be",
			size, len(s.records)))
	}
	content := [1][]byte{s.records[:size]}
	s.forest.OpenTrailer(checkpoint, storage.TrailerSessions, content[:])
	s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplyOpened, Op: checkpoint.Op, Records: s.records[:size]})
	if checkpoint.Op == 0 {
		return // there are no sessions yet
	}
	for s.replyPieces == nil {
		c.Wait()
	}
	s.forest.OpenTrailer(checkpoint, storage.TrailerReplies, s.replyPieces.Replies)
	s.replyPieces = nil
	s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplyRepliesRead, Op: checkpoint.Op})
}

// coverEvery: while ops wait, one step in coverEvery goes on with the filter of all ids. It then
// takes some 5 % of the stage's time.
const coverEvery = 4

// cover goes on with the filter of all ids, a page of ids at a time. It returns true if it could go
// on at once. It leaves the cores to compact until all that was expected has been executed.
func (s *Stage) cover() (more bool) {
	if s.op < s.ahead.Op {
		return false
	}
	if s.more || s.commitsCount > 0 {
		if s.steps++; s.steps%coverEvery != 0 {
			return false // the ops make that there is a next step
		}
	}
	return s.forest.CoverStep()
}
