package consensus

import (
	"ledger/metrics"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// Evictions has a count for each reason that clients know.
type Evictions [wire.EvictionSessionReleaseMismatch + 1]uint64

// Sample is the stage's figures: counts since the start, and its current state.
type Sample struct {
	RequestsCount, PreparesCount, GroupsCount, IgnoredCount, RepliesCount uint64

	Evictions          Evictions
	ServiceNs          metrics.Histogram // of a request, from its arrival here until its reply goes to net
	QueueNs            metrics.Histogram // of a request, from its arrival here until its prepare
	RequestsPerPrepare metrics.Histogram
	EventsPerPrepare   metrics.Histogram

	QueueCount, PipelineCount, SessionsCount, ReplySlotsFree uint64
	Op, Commit, CheckpointOp                                 uint64
	ClockBehindNs                                            uint64 // the newest timestamp minus the wall clock; 0: not behind
	View                                                     uint32
	Recovering                                               bool
	Role                                                     Role
	CommitMax                                                uint64 // highest op that is known to be committed

	Cluster ClusterSample
}

// measures is the part of Sample that is counted where it happens. It does not influence any
// decision.
type measures struct {
	requestsCount, preparesCount, groupsCount, ignoredCount, repliesCount uint64

	eventsTaken  uint64 // events of the requests that the next prepare takes from the queue
	evictions    Evictions
	serviceNs    metrics.Histogram
	queueNs      metrics.Histogram
	requestsFill metrics.Histogram
	eventsFill   metrics.Histogram
	first        request // the oldest request that the next prepare takes
	firstTaken   bool
}

func (m *measures) requested()                         { m.requestsCount++ }
func (m *measures) ignored()                           { m.ignoredCount++ }
func (m *measures) evicted(reason wire.EvictionReason) { m.evictions[reason]++ }
func (m *measures) answered()                          { m.repliesCount++ }

// The arrival time of a request is stored as the value in the index of clients in flight, in units
// of 1024 ns. Differences of such times are right up to an hour.
const arrivalShift = 10

func arrivalOf(nowNs uint64) uint32 { return uint32(nowNs >> arrivalShift) }

// replied: the request of a client that was in flight has its reply.
func (m *measures) replied(arrival uint32, nowNs uint64) {
	m.serviceNs.Record(uint64(arrivalOf(nowNs)-arrival) << arrivalShift)
}

// popped records that a request leaves the queue for a prepare.
func (m *measures) popped(r *request, nowNs uint64) {
	m.queueNs.Record(nowNs - r.arrivedNs)
	m.eventsTaken += uint64(r.eventsCount)
	if !m.firstTaken {
		m.first, m.firstTaken = *r, true
	}
}

// prepared records a prepare that takes the requests popped since the previous one, and begins its
// record.
func (m *measures) prepared(header prepare.Header, nowNs uint64) (r record) {
	requestsCount := header.RequestsCount()
	m.preparesCount++
	r.Number, r.Bytes, r.Operation, r.Requests = header.Op(), header.SizeBytes(), uint8(header.Operation()), uint32(requestsCount)
	r.Marks[metrics.MarkPrepared] = nowNs
	if isInternal(header) {
		r.Marks[metrics.MarkArriving], r.Marks[metrics.MarkReceived], r.Marks[metrics.MarkQueued] = nowNs, nowNs, nowNs
		return r
	}
	r.Events = uint32(m.eventsTaken)
	r.Marks[metrics.MarkArriving], r.Marks[metrics.MarkReceived] = m.first.arrivingNs, m.first.receivedNs
	r.Marks[metrics.MarkQueued] = m.first.arrivedNs
	if requestsCount > 1 {
		m.groupsCount++
	}
	m.requestsFill.Record(uint64(requestsCount))
	m.eventsFill.Record(m.eventsTaken)
	m.eventsTaken, m.firstTaken = 0, false
	return r
}

// record is the record of an op that this replica prepared. The recorder of slow ops gets it when
// the op has ended.
type record metrics.Op

// isKept: the op was prepared here, in this view.
func (r *record) isKept() bool { return r.Number > 0 }

func (r *record) appended(t *metrics.JournalTimes) {
	r.Marks[metrics.MarkSubmitted], r.Marks[metrics.MarkCopied] = t.SubmittedNs, t.CopiedNs
	r.Marks[metrics.MarkWritten], r.Marks[metrics.MarkDurable] = t.WrittenNs, t.DurableNs
}

func (r *record) executed(t *metrics.ApplyTimes) {
	r.Marks[metrics.MarkAtApply], r.Marks[metrics.MarkExecuting], r.Marks[metrics.MarkExecuted] = t.AtNs, t.BeganNs, t.EndedNs
	r.Apply = *t
}

// ended completes the record of an op whose replies are on their way.
func (r *record) ended(nowNs uint64, replies int, replySlot stages.Slot) metrics.Op {
	r.Marks[metrics.MarkAnswered] = nowNs
	r.Replies = uint32(replies)
	if replySlot != stages.SlotNone {
		r.ReplySlot = uint32(replySlot)
	}
	return metrics.Op(*r)
}

// Sample fills out. To be called on the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	m := &s.measures
	out.RequestsCount, out.PreparesCount, out.GroupsCount = m.requestsCount, m.preparesCount, m.groupsCount
	out.IgnoredCount, out.RepliesCount = m.ignoredCount, m.repliesCount
	out.Evictions, out.ServiceNs, out.QueueNs = m.evictions, m.serviceNs, m.queueNs
	out.RequestsPerPrepare, out.EventsPerPrepare = m.requestsFill, m.eventsFill
	out.QueueCount, out.PipelineCount, out.SessionsCount = uint64(s.queue.count()), uint64(s.commits.count()), uint64(s.sessions.count())
	out.ReplySlotsFree = uint64(s.slots.freeCount(stages.SlotReply))
	now := s.superblocks.now()
	out.Op, out.Commit, out.CheckpointOp = s.log.head(), s.commits.min(), now.Checkpoint.Op
	out.ClockBehindNs = 0
	if last, wallNs := s.log.timestampLast(), s.timers.wall(); wallNs > 0 && last > wallNs && !s.status.isCatchingUp() {
		out.ClockBehindNs = last - wallNs
	}
	out.View, out.Recovering = now.View, s.status.isCatchingUp()
	out.Role, out.CommitMax = s.role(), s.committed()
	if s.isCluster() {
		out.Recovering = !s.service.wasServing()
		s.sampleCluster(&out.Cluster)
	}
}
