package replica

import (
	"sync/atomic"

	"ledger/events"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/apply"
)

// checkpointSlowNs is the duration from which on a checkpoint gets a line in the log.
const checkpointSlowNs = 1_000_000_000

// readiness is apply's driver. It also announces the server when clients are served, when caches
// and tables are in memory, and when the generation and the checkpoint that the replay began are on
// disk. The reason for the last condition is a full disk: a server that has stopped because of it
// stops again during its next start, and should not announce itself before.
type readiness struct {
	stages.Driver
	apply     *apply.Stage
	waker     ring.Waker // of its thread
	announce  func()
	plannedOp uint64 // of the newest generation at the end of the replay, once isNoted
	isNoted   bool
	announced bool
	log       *events.Log
	checkedOp uint64      // of the newest checkpoint whose time was checked
	replayed  atomic.Bool // set by consensus, which may be on another thread
	touched   atomic.Bool // caches and tables are in memory
	progress  *Progress
	openedOp  uint64 // of the checkpoint: the ops behind it, up to headOp, are executed again
	headOp    uint64
	isOpen    bool // apply has opened the checkpoint
	isSeveral bool // the replica is one of several
	isWaiting bool // its log is executed
}

// replayEnded is called by consensus when clients are served.
func (r *readiness) replayEnded() {
	r.replayed.Store(true)
	r.waker.Wake()
}

// memoryTouched is called when caches and tables are in memory.
func (r *readiness) memoryTouched() {
	r.touched.Store(true)
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
	if !r.isOpen {
		if r.progress.set(r.apply.ReadBytes()); !r.apply.IsOpen() {
			return busy
		}
		r.isOpen = true
		r.progress.enter(phaseReplay, r.headOp-r.openedOp)
	}
	if !r.replayed.Load() {
		if r.progress.set(r.apply.Op() - r.openedOp); r.isSeveral && !r.isWaiting && r.apply.Op() >= r.headOp {
			r.isWaiting = true
			r.progress.enter(phaseOthers, 0)
		}
		return busy
	}
	if r.apply.Ending() {
		return busy
	}
	if !r.isNoted {
		r.plannedOp, r.isNoted = r.apply.PlannedOp(), true
		r.progress.enter(phaseSettle, 0)
	}
	// Waiting clients may keep compaction busy from bar to bar, so only the replay's generation
	// counts.
	if r.touched.Load() && (r.apply.Settled() || r.apply.PlannedOp() != r.plannedOp) {
		r.announced = true
		r.progress.enter(phaseServing, 0)
		r.announce()
	}
	return busy
}
