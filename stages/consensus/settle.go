package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// A start executes again what lies in the log behind the checkpoint, and that is up to 900 full
// requests. A single replica keeps this short where it costs nobody anything: before it stops in
// order, and while it rests. It then prepares no-ops up to the next trigger. The checkpoint that is
// taken there covers all that clients have sent, but for a bar at most.
//
//	... request, request, no-op, no-op, ..., no-op   (checkpoint)   nothing to execute
//	            last ^                trigger ^
//
// Checkpoints stay what they are, at the ops at which they always were: the no-ops are ops of the
// log like any other one, and whoever executes the log takes the same checkpoints.
//
// One of several replicas does not do so. Its log is the cluster's, and others serve meanwhile.

// restNs is how long no request came when a replica rests.
const restNs = 1_000_000_000

// restShare: a replica that rests tolerates restShare times as many events behind its checkpoint as
// one that stops. Small bursts of requests cost no checkpoint each.
const restShare = 4

// settling is how far a single replica is on the way to a checkpoint that nobody has asked for.
type settling struct {
	goalOp    uint64 // the trigger of that checkpoint; 0: there is none
	busyNs    uint64 // when a request was last prepared
	isLeaving bool   // the process is about to end
	hasLeft   bool   // it was told that it may
}

// isOn tells whether a no-op may lie behind the head.
func (g *settling) isOn(head uint64) bool { return head < g.goalOp }

// leaves tells whether the process is about to end. Requests of clients wait for the next one.
func (g *settling) leaves() bool { return g.isLeaving }

// busy: a request is prepared. A replica that was resting does so no more.
func (g *settling) busy(nowNs uint64) {
	g.busyNs = nowNs
	if !g.isLeaving {
		g.goalOp = 0
	}
}

// onLeave: the process is about to end. One that does not serve clients, or not alone, may do so at
// once.
func (s *Stage) onLeave() {
	g := &s.settling
	if !s.isCluster() && s.status.isServing() {
		g.isLeaving = true
	} else if !g.hasLeft {
		g.hasLeft = true
		s.send.left()
	}
}

// settle decides whether there is to be a checkpoint, and tells the process that it may end.
func (s *Stage) settle() {
	g := &s.settling
	newest := s.superblocks.now().Checkpoint.Op
	if newest > 0 && s.limits.CheckpointTrigger(newest) >= g.goalOp {
		g.goalOp = 0
	}
	if g.goalOp == 0 && s.isTailLong() {
		g.goalOp = s.limits.CheckpointTrigger(s.limits.CheckpointAfter(newest))
	}
	if g.isLeaving && !g.hasLeft && g.goalOp == 0 {
		g.hasLeft = true
		s.send.left()
	}
}

// isTailLong tells whether a start would have too much to execute, if this is a time to ask.
func (s *Stage) isTailLong() bool {
	g, eventsMax := &s.settling, s.limits.TailEventsMax
	if eventsMax == 0 || g.hasLeft {
		return false
	}
	if !g.isLeaving {
		if s.timers.now() < g.busyNs+restNs || s.queue.count() > 0 || s.commits.count() > 0 {
			return false
		}
		eventsMax *= restShare
	}
	return s.tailEvents() > eventsMax
}

// tailEvents is the number of events, at most, in the log behind the durable checkpoint.
func (s *Stage) tailEvents() (events uint64) {
	for op := s.superblocks.now().Checkpoint.Op + 1; op <= s.log.head(); op++ {
		events += uint64(s.log.header(op).SizeBytes()-prepare.HeaderBytes) / limits.EventBytesMin
	}
	return events
}

// prepareNoop makes the next no-op on the way to a checkpoint. false: there is none to be made. A
// replica that rests makes one at a time, so that a request that comes waits for one at most.
func (s *Stage) prepareNoop() bool {
	if !s.settling.isOn(s.log.head()) || !s.settling.leaves() && s.commits.count() > 0 {
		return false
	}
	slot := s.slots.take(stages.SlotPrepare)
	assert.That(slot != stages.SlotNone, "there is a slot for every prepare of a single replica's pipeline")
	f := s.fields()
	f.Timestamp = s.log.timestampLast() + 1
	f.Operation, f.SizeBytes = wire.OperationNoop, prepare.HeaderBytes
	s.startPrepare(prepare.Put(s.slots.bytes(slot), &f, prepare.Sum(nil)), slot, stages.SlotNone)
	return true
}
