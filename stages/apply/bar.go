package apply

import "ledger/internal/coro"

// endBar does the work after the last op of a bar. docs/design/storage.md lists its steps and their
// order under "One bar". Its results do not depend on how long the waits take.
func (s *Stage) endBar(c *coro.Coroutine) {
	op := s.op
	trigger := uint64(0) // of the checkpoint from which this start began
	if s.opened > 0 {
		trigger = s.limits.CheckpointTrigger(s.opened)
	}
	if op < trigger {
		return // the checkpoint contains what this bar's end did in the first run
	}
	if s.forest.BarChanges(s.dealer.generation != nil, s.limits.IsCheckpoint(op)) {
		s.awaitLate(c)
	}
	if op > trigger || s.opened == 0 {
		s.install(c)
		s.withdraw(c)
		if s.limits.IsTrigger(op) {
			s.capture(c)
		}
		if s.forest.CheckpointDue(op, s.newest) {
			waitedNs := s.statistics.BarriersNs
			for s.durable != s.newest {
				s.wait(c)
			}
			s.barrier(BarrierDurable, waitedNs)
			s.forest.CheckpointDurable()
			s.withdraw(c)
		}
	}
	if generation := s.forest.BarPlan(op, s.limits.IsCheckpoint(op)); generation != nil {
		s.dealer.begin(generation, s.op, s.nowNs)
		s.deal()
	}
}

// install waits for the previous generation and makes its results visible.
func (s *Stage) install(c *coro.Coroutine) {
	waitedNs := s.statistics.BarriersNs
	for !s.dealer.isBack() {
		s.wait(c)
	}
	s.barrier(BarrierGeneration, waitedNs)
	generation := s.dealer.generation
	s.dealer.generation = nil
	s.forest.BarInstall(generation)
}

// keepPace waits between two ops of a bar while compaction is behind. Without it, the end of the
// bar would have to wait for compaction. Many short waits replace one long wait.
func (s *Stage) keepPace(c *coro.Coroutine) {
	if !s.dealer.holdsUp(s.op, uint64(s.limits.BarOps)) {
		return
	}
	waitedNs := s.statistics.BarriersNs
	for s.dealer.holdsUp(s.op, uint64(s.limits.BarOps)) {
		s.wait(c)
	}
	s.barrier(BarrierPace, waitedNs)
}

// capture takes the checkpoint whose trigger is the op just executed. Consensus sends the sessions
// after it has received that op's ApplyCommitted.
func (s *Stage) capture(c *coro.Coroutine) {
	waitedNs := s.statistics.BarriersNs
	for s.sessions == nil || s.checkpointOut {
		s.wait(c)
	}
	s.barrier(BarrierCapture, waitedNs)
	s.measures.checkpointBeganNs = s.nowNs
	s.readyIsWhole = s.isWhole() // what was repaired is durable with the checkpoint's sync, which comes behind all of it
	job := s.forest.CheckpointCapture(s.op, s.upgrade.releaseAt(s.op, s.limits.Release), s.sessions.Records, s.sessions.Replies)
	s.walkBegin(job.Op)
	s.sessions = nil
	s.newest, s.timestampMark, s.checkpointOut = job.Op, s.timestampLast, true
	s.dealCheckpoint(job)
}

// wait suspends the work at a barrier and measures the time.
func (s *Stage) wait(c *coro.Coroutine) {
	beganNs := s.nowNs
	c.Wait()
	s.statistics.BarriersNs += s.nowNs - beganNs
}
