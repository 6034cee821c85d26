package apply

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/coro"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage/forest"
	"ledger/wire"
)

// late is the queries that are executed beside later ops, in order, on a coroutine of their own. A
// query that reads only history (accounting.ReadsHistory) sees the state as of its op through a
// forest.View, whatever has been executed since. docs/design/readers.md has the argument.
//
//	op n: a query -- its moment is noted --> queue --> one slice after the other --> ApplyReplied
//	op n+1, ... are executed meanwhile
//
// A slice is what the coroutine does until it breathes or waits: some 100 µs at most. There is one
// in a step, and only between two ops. So the work of an op never sees anything that a query
// has moved, and an op waits for one slice at most.
type late struct {
	body    *coro.Coroutine
	view    *forest.View
	machine *accounting.Machine
	scratch []byte // body of a reply of a group
	queue   [stages.LateRepliesMax]lateQuery
	head    int
	count   int
	begun   bool // the coroutine has its stack
	more    bool // it could go on at once
	inQuery bool // the first of the queue is being executed
	pause   uint32
}

// lateQuery is a request of the queue.
type lateQuery struct {
	moment    forest.Moment
	operation wire.Operation
	limit     uint32 // of the prepare
	rules     uint32
	timestamp uint64
	body      []byte // a copy: the prepare's slot goes back
	op        uint64
	position  uint32
	fields    wire.ReplyFields
	replies   []byte // of the op
	start     int    // of the reply in replies
	bytesMax  int    // of the reply's body
	isAlone   bool   // nothing else is in the slot
	beganNs   uint64
}

// lateBodyMax is the largest body of a request in the queue.
const lateBodyMax = 1024

// eventsPerSlice: when ops wait, an op leaves the queries one slice, and one more for so many
// events.
const eventsPerSlice = 2048

func (s *Stage) newLate(memory *arena.Arena) {
	l := &s.late
	l.body = coro.New(s.lateWork)
	l.view = s.forest.NewView(memory)
	l.machine = accounting.New(s.limits, l.view)
	l.scratch = memory.Bytes(wire.BodyBytesMax, 4096, "reply scratch of queries")
	bodies := memory.Bytes(stages.LateRepliesMax*lateBodyMax, 64, "queries")
	for i := range l.queue {
		l.queue[i].body = bodies[i*lateBodyMax : i*lateBodyMax : (i+1)*lateBodyMax]
	}
}

// Wait implements storage.Waiter for whatever runs: the ops or the queries.
func (s *Stage) Wait() { s.running.Wait() }

// Breathe implements storage.Waiter.
func (s *Stage) Breathe() { s.running.Breathe() }

// mayBeLate tells whether a request goes to the queue. A short query that names one value is done
// sooner than handed over.
func (s *Stage) mayBeLate(next *commit, header prepare.Header, request *prepare.Request) (bytesMax int, ok bool) {
	isFull := s.late.count == len(s.late.queue)
	if !next.mayBeLate || isFull || s.limits.IsTrigger(next.op) || len(request.Body) > lateBodyMax ||
		!accounting.ReadsHistory(request.Operation) {
		return 0, false
	}
	measure, fault := wire.MeasureBody(request.Operation, request.Body, header.RequestLimit()-limits.HeaderBytes)
	assert.That(fault == "", "a request of the log is valid")
	if measure.ReplyBytesMax <= s.limits.InlineReplyBytes && accounting.ConditionsMax(request.Operation, request.Body) <= 1 {
		return 0, false
	}
	return int(measure.ReplyBytesMax), true
}

// putLate puts a request into the queue, whose reply begins at start of replies.
func (s *Stage) putLate(header prepare.Header, request *prepare.Request, replies []byte, start, bytesMax int) {
	l := &s.late
	q := &l.queue[(l.head+l.count)%len(l.queue)]
	l.count++
	l.more = true
	q.moment = s.forest.Moment()
	q.operation, q.limit, q.rules, q.timestamp = request.Operation, header.RequestLimit(), header.Rules(), request.Timestamp
	q.body = append(q.body[:0], request.Body...)
	q.op, q.position, q.replies, q.start = header.Op(), uint32(len(s.built)), replies, start
	q.bytesMax, q.isAlone = bytesMax, header.RequestsCount() == 1
	q.fields = s.replyFields(header, request)
	if q.beganNs = 0; s.measures.clock != nil {
		q.beganNs = s.measures.clock()
	}
	s.statistics.QueriesLate++
}

// lateWork is the body of the queries' coroutine.
func (s *Stage) lateWork(c *coro.Coroutine) {
	l := &s.late
	for {
		for l.count == 0 {
			c.Wait()
		}
		q := &l.queue[l.head]
		s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{
			Kind: stages.ApplyReplied, Op: q.op, Position: q.position, Late: s.executeLate(q),
		})
		if q.beganNs > 0 {
			s.measures.executeNs[ClassQuery].Record(s.measures.clock() - q.beganNs)
		}
		if s.op > q.op {
			s.statistics.QueriesBehind++
		}
		q.replies = nil
		l.head = (l.head + 1) % len(l.queue)
		l.count--
		s.more = true // the work may wait for the queue
		c.Breathe()
	}
}

// executeLate executes a query and builds its reply.
func (s *Stage) executeLate(q *lateQuery) stages.Reply {
	l := &s.late
	l.view.Set(&q.moment)
	l.inQuery = true
	l.machine.UseRules(q.rules)
	bodyAt := q.start + wire.HeaderBytes
	target := l.scratch
	if q.isAlone {
		target = q.replies[bodyAt : bodyAt+wire.BodyBytesMax]
	}
	bodyBytes := l.machine.Execute(&accounting.Request{
		Operation: q.operation, RequestBytesMax: q.limit, Timestamp: q.timestamp, Body: q.body,
	}, target)
	l.inQuery = false
	assert.AtMost(bodyBytes, q.bytesMax, "a late reply fits the room that it was left")
	if !q.isAlone {
		copy(q.replies[bodyAt:bodyAt+bodyBytes], target[:bodyBytes])
	}
	wire.BuildReply(wire.HeaderOf(q.replies[q.start:]), &q.fields, q.replies[bodyAt:bodyAt+bodyBytes])
	return stages.ReplyOf(wire.HeaderOf(q.replies[q.start:]), uint32(q.start))
}

// lateStep gives the queries a slice, unless an op is being executed. more: they could go on at
// once.
func (s *Stage) lateStep(progress bool) (more bool) {
	l := &s.late
	if l.more = l.more || progress; l.begun && l.count == 0 || !l.more && l.begun || s.inOp || s.faulted || s.closing {
		return false
	}
	if l.pause > 0 {
		l.pause--
		return true
	}
	l.begun, l.pause = true, s.limits.QueryPauseSteps
	if l.inQuery {
		l.view.Check()
	}
	s.running = l.body
	l.more = l.body.Resume()
	s.running = s.body
	return l.more && l.count > 0
}

// lateDrop drops the queries, because another state is opened. The coroutine unwinds at once: what
// it reads is there no more when it has its next turn.
func (s *Stage) lateDrop() {
	l := &s.late
	s.statistics.QueriesDropped += uint64(l.count)
	for ; l.count > 0; l.count-- {
		l.queue[l.head].replies = nil
		l.head = (l.head + 1) % len(l.queue)
	}
	l.more, l.inQuery, l.pause = false, false, 0
	if l.begun {
		l.body.Restart()
		l.body.Resume()
	}
	l.machine.Reset()
	l.view.Reset()
}

// awaitLate waits until the queue is empty.
func (s *Stage) awaitLate(c *coro.Coroutine) {
	if s.late.count == 0 {
		return
	}
	waitedNs := s.statistics.BarriersNs
	for s.late.count > 0 {
		s.wait(c)
	}
	s.barrier(BarrierQueries, waitedNs)
}

// shareWithLate leaves the queries some slices before the next op, which may wait already.
func (s *Stage) shareWithLate(c *coro.Coroutine) {
	for credit := 1 + s.eventsLast/eventsPerSlice; credit > 0 && s.late.count > 0 && s.late.more; credit-- {
		c.Breathe()
	}
}

// needsNoneLate tells whether an op is executed only when no earlier reply is missing: consensus
// decides from the table of sessions as of this op. A register may evict a session, and a
// checkpoint takes the table as of a trigger op.
func (s *Stage) needsNoneLate(next *commit) bool {
	if s.limits.IsTrigger(next.op) {
		return true
	}
	message := s.slots.Bytes(next.slot)
	header := prepare.Header(message[:prepare.HeaderBytes])
	for i := range int(header.RequestsCount()) {
		if request := prepare.RequestAt(message, i); request.Operation == wire.OperationRegister {
			return true
		}
	}
	return false
}
