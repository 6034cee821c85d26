package replica

import (
	"sync/atomic"

	"ledger/events"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/apply"
)

// checkpointSlowNs is when a checkpoint is worth a line of the log.
const checkpointSlowNs = 1_000_000_000

// readiness is apply's driver, and announces the server: once clients are served, and the
// generation and the checkpoint that the replay set going are on disk. A server that stopped
// because the disk was full comes to the same end again at its next start; it should say so instead
// of announcing itself first.
type readiness struct {
	stages.Driver
	apply     *apply.Stage
	waker     ring.Waker // of its thread
	announce  func()
	plannedOp uint64 // of the newest generation when the replay had ended, once it is noted
	isNoted   bool
	announced bool
	log       *events.Log
	checkedOp uint64      // of the newest checkpoint whose time was looked at
	replayed  atomic.Bool // set by consensus, which may be on another thread
	progress  *Progress
	openedOp  uint64 // of the checkpoint: the ops behind it are executed again
}

// replayEnded is for consensus: clients are served.
func (r *readiness) replayEnded() {
	r.replayed.Store(true)
	r.waker.Wake()
}

// Turn implements stages.Driver.
func (r *readiness) Turn(nowNs, wallNs uint64) (busy bool) {
	busy = r.Driver.Turn(nowNs, wallNs)
	if op, durationNs := r.apply.CheckpointLast(); op != r.checkedOp {
		r.checkedOp = op
		if durationNs >= checkpointSlowNs {
			r.log.CheckpointSlow(events.CheckpointSlow{Op: op, DurationNs: durationNs})
		}
	}
	if r.announced {
		return busy
	}
	if !r.replayed.Load() {
		r.progress.set(r.apply.Op() - r.openedOp)
		return busy
	}
	if r.apply.Ending() {
		return busy
	}
	if !r.isNoted {
		r.plannedOp, r.isNoted = r.apply.PlannedOp(), true
		r.progress.enter(phaseSettle, 0)
	}
	// Clients that were waiting may keep compaction busy from bar to bar: the replay's generation is
	// what counts.
	if r.apply.Settled() || r.apply.PlannedOp() != r.plannedOp {
		r.announced = true
		r.progress.enter(phaseServing, 0)
		r.announce()
	}
	return busy
}
