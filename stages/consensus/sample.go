package consensus

import (
	"ledger/metrics"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// Evictions has a place for each reason that clients know.
type Evictions [wire.EvictionSessionReleaseMismatch + 1]uint64

// Sample is what the stage tells about itself: what happened since the start, and where it stands.
type Sample struct {
	RequestsCount, PreparesCount, GroupsCount, IgnoredCount, RepliesCount uint64

	Evictions          Evictions
	ServiceNs          metrics.Histogram // of a request, from its arrival here to its reply on the way to net
	QueueNs            metrics.Histogram // of a request, until its prepare
	RequestsPerPrepare metrics.Histogram
	EventsPerPrepare   metrics.Histogram

	QueueCount, PipelineCount, SessionsCount, ReplySlotsFree uint64
	Op, Commit, CheckpointOp                                 uint64
	ClockBehindNs                                            uint64 // the newest timestamp less the wall clock; 0: not behind
	View                                                     uint32
	Recovering                                               bool
}

// measures are the part of Sample that is counted where it happens. Nothing here has an influence
// on what the stage decides.
type measures struct {
	nowNs        uint64 // of this turn
	eventsTaken  uint64 // of the requests that the next prepare takes from the queue
	evictions    Evictions
	serviceNs    metrics.Histogram
	queueNs      metrics.Histogram
	requestsFill metrics.Histogram
	eventsFill   metrics.Histogram
	first        request // that the next prepare takes, the oldest
	firstTaken   bool
}

// The time of a request's arrival travels in the value of the index of clients in flight, in units
// of 1024 ns: their difference is right for an hour.
const arrivalShift = 10

func (m *measures) arrival() uint32 { return uint32(m.nowNs >> arrivalShift) }

func (m *measures) replied(arrival uint32) {
	m.serviceNs.Record(uint64(m.arrival()-arrival) << arrivalShift)
}

// popped notes that a request leaves the queue for a prepare.
func (m *measures) popped(r *request) {
	m.queueNs.Record(m.nowNs - r.arrivedNs)
	m.eventsTaken += uint64(r.eventsCount)
	if !m.firstTaken {
		m.first, m.firstTaken = *r, true
	}
}

// prepared notes a prepare of requestsCount requests, those popped since the one before.
func (m *measures) prepared(requestsCount int) {
	m.requestsFill.Record(uint64(requestsCount))
	m.eventsFill.Record(m.eventsTaken)
	m.eventsTaken, m.firstTaken = 0, false
}

// record of an op in the pipeline; the recorder of slow ops gets it when the op has ended.
type record metrics.Op

// record begins the record of the prepare that takes the requests popped since the one before.
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

// ended gives the record of an op away whose replies are on their way.
func (s *Stage) ended(p *entry, out *Actions) {
	r := &p.record
	r.Marks[metrics.MarkAnswered] = s.measures.nowNs
	r.Replies = uint32(len(p.replies))
	if p.replySlot != stages.SlotNone {
		r.ReplySlot = uint32(p.replySlot)
	}
	out.Ops = append(out.Ops, metrics.Op(*r))
}

// Sample fills out. On the stage's thread, between two turns.
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
