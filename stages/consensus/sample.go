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
}

// measures is the part of Sample that is counted where it happens. It does not influence any
// decision.
type measures struct {
	nowNs        uint64 // of this turn
	eventsTaken  uint64 // events of the requests that the next prepare takes from the queue
	evictions    Evictions
	serviceNs    metrics.Histogram
	queueNs      metrics.Histogram
	requestsFill metrics.Histogram
	eventsFill   metrics.Histogram
	first        request // the oldest request that the next prepare takes
	firstTaken   bool
}

// The arrival time of a request is stored as the value in the index of clients in flight, in units
// of 1024 ns. Differences of such times are right up to an hour.
const arrivalShift = 10

func (m *measures) arrival() uint32 { return uint32(m.nowNs >> arrivalShift) }

func (m *measures) replied(arrival uint32) {
	m.serviceNs.Record(uint64(m.arrival()-arrival) << arrivalShift)
}

// popped records that a request leaves the queue for a prepare.
func (m *measures) popped(r *request) {
	m.queueNs.Record(m.nowNs - r.arrivedNs)
	m.eventsTaken += uint64(r.eventsCount)
	if !m.firstTaken {
		m.first, m.firstTaken = *r, true
	}
}

// prepared records a prepare of requestsCount requests, which were popped since the previous one.
func (m *measures) prepared(requestsCount int) {
	m.requestsFill.Record(uint64(requestsCount))
	m.eventsFill.Record(m.eventsTaken)
	m.eventsTaken, m.firstTaken = 0, false
}

// record is the record of an op in the pipeline. The recorder of slow ops gets it when the op has
// ended.
type record metrics.Op

// record begins the record of the prepare that takes the requests popped since the previous one.
func (m *measures) record(header prepare.Header, op uint64, isPulse bool) (r record) {
	r.Number, r.Bytes, r.Operation, r.Requests = op, header.SizeBytes(), uint8(header.Operation()), uint32(header.RequestsCount())
	r.Marks[metrics.MarkPrepared] = m.nowNs
	if isPulse {
		r.Marks[metrics.MarkArriving], r.Marks[metrics.MarkReceived], r.Marks[metrics.MarkQueued] = m.nowNs, m.nowNs, m.nowNs
		return r
	}
	r.Events = uint32(m.eventsTaken)
	r.Marks[metrics.MarkArriving], r.Marks[metrics.MarkReceived] = m.first.arrivingNs, m.first.receivedNs
	r.Marks[metrics.MarkQueued] = m.first.arrivedNs
	return r
}

func (r *record) appended(t *metrics.JournalTimes) {
	r.Marks[metrics.MarkSubmitted], r.Marks[metrics.MarkCopied] = t.SubmittedNs, t.CopiedNs
	r.Marks[metrics.MarkWritten], r.Marks[metrics.MarkDurable] = t.WrittenNs, t.DurableNs
}

func (r *record) executed(t *metrics.ApplyTimes) {
	r.Marks[metrics.MarkAtApply], r.Marks[metrics.MarkExecuting], r.Marks[metrics.MarkExecuted] = t.AtNs, t.BeganNs, t.EndedNs
	r.Apply = *t
}

// ended passes on the record of an op whose replies are on their way.
func (s *Stage) ended(p *entry, out *Actions) {
	r := &p.record
	r.Marks[metrics.MarkAnswered] = s.measures.nowNs
	r.Replies = uint32(len(p.replies))
	if p.replySlot != stages.SlotNone {
		r.ReplySlot = uint32(p.replySlot)
	}
	out.Ops = append(out.Ops, metrics.Op(*r))
}

// Sample fills out. To be called on the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	m := &s.measures
	out.RequestsCount, out.PreparesCount, out.GroupsCount = s.RequestsCount, s.PreparesCount, s.GroupsCount
	out.IgnoredCount, out.RepliesCount = s.IgnoredCount, s.RepliesCount
	out.Evictions, out.ServiceNs, out.QueueNs = m.evictions, m.serviceNs, m.queueNs
	out.RequestsPerPrepare, out.EventsPerPrepare = m.requestsFill, m.eventsFill
	out.QueueCount, out.PipelineCount, out.SessionsCount = uint64(s.queueCount), uint64(s.pipelineCount), uint64(s.sessions.count)
	out.ReplySlotsFree = uint64(s.slots.Pools[stages.SlotReply].FreeCount())
	out.Op, out.Commit, out.CheckpointOp = s.op, s.commit, s.superblock.Checkpoint.Op
	out.ClockBehindNs = 0
	if s.timestampLast > s.wallNs && !s.recovering {
		out.ClockBehindNs = s.timestampLast - s.wallNs
	}
	out.View, out.Recovering = s.superblock.View, s.recovering
}
