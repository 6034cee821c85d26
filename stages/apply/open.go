package apply

import (
	"ledger/internal/arena"
	"ledger/internal/coro"
	"ledger/stages"
	"ledger/storage"
)

// onOpen drops what the work was doing, wherever it was. The work starts anew with open.
func (s *Stage) onOpen(checkpoint *storage.Checkpoint) {
	s.checkpoint = *checkpoint
	s.isOpen, s.closing, s.faulted, s.ending, s.warms = false, true, false, false, false
	s.commitsCount, s.sessions, s.ahead = 0, nil, Ahead{}
	s.wantsDrop()
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
}

// open gives the forest the state of the checkpoint: that of the start, or one that came with
// ApplyOpen. Before a forest in use is reset, compact has finished the jobs that it has, because it
// reads their sources and writes their results and their blocks. Nor is a block being repaired: the
// other checkpoint may not name it.
func (s *Stage) open(c *coro.Coroutine) {
	wasInUse := s.closing
	if wasInUse {
		s.giveUp()
		for !s.dealer.isIdle() || s.checkpointOut || s.wants.writing > 0 {
			c.Wait()
		}
		s.dealer.generation, s.wants.givenUp = nil, false
		for worker := range s.out.Compact {
			s.out.Compact[worker] = append(s.out.Compact[worker], stages.ApplyToCompact{Kind: stages.CompactReset})
		}
		s.forest.Reset()
		s.machine.Reset()
		s.closing = false
	}
	s.forest.Open(&s.checkpoint, s.ahead.IDs)
	op := s.checkpoint.Op
	s.opened, s.op, s.newest, s.durable = op, op, op, op
	s.isOpen = true
	if wasInUse {
		s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplyOpened, Op: op})
	}
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
