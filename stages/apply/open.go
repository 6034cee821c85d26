package apply

import (
	"ledger/internal/coro"
	"ledger/stages"
	"ledger/storage"
)

// onOpen drops what the work was doing, wherever it was. The work starts anew with open.
func (s *Stage) onOpen(checkpoint *storage.Checkpoint) {
	s.checkpoint = *checkpoint
	s.isOpen, s.closing, s.faulted, s.ending = false, true, false, false
	s.commitsCount, s.sessions = 0, nil
	s.measures.dropped()
	s.body.Restart()
	s.more = true
}

// open gives the forest the state of the checkpoint: that of the start, or one that came with
// ApplyOpen. Before a forest in use is reset, compact has finished the jobs that it has, because it
// reads their sources and writes their results and their blocks.
func (s *Stage) open(c *coro.Coroutine) {
	wasInUse := s.closing
	if wasInUse {
		for !s.dealer.isIdle() || s.checkpointOut {
			c.Wait()
		}
		s.dealer.generation = nil
		s.forest.Reset()
		s.machine.Reset()
		s.closing = false
	}
	s.forest.Open(&s.checkpoint)
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
// on at once.
func (s *Stage) cover() (more bool) {
	if s.more || s.commitsCount > 0 {
		if s.steps++; s.steps%coverEvery != 0 {
			return false // the ops make that there is a next step
		}
	}
	return s.forest.CoverStep()
}
