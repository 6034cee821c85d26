package apply

import (
	"ledger/metrics"
	"ledger/wire"
)

// Class of an executed request, for the metrics.
type Class uint8

const (
	ClassCreateTransfers Class = iota
	ClassCreateAccounts
	ClassLookup
	ClassQuery
	ClassPulse
	ClassOther // register, noop
	ClassesCount
)

// ClassNames in order of the classes.
var ClassNames = [ClassesCount]string{"create_transfers", "create_accounts", "lookup", "query", "pulse", "other"}

func classOf(operation wire.Operation) Class {
	switch operation.Class() {
	case wire.ClassCreate:
		switch operation {
		case wire.OperationCreateAccounts, wire.OperationCreateAccountsSparse, wire.OperationCreateAccountsUnbatched:
			return ClassCreateAccounts
		}
		return ClassCreateTransfers
	case wire.ClassLookup:
		return ClassLookup
	case wire.ClassQuery:
		return ClassQuery
	}
	if operation == wire.OperationPulse {
		return ClassPulse
	}
	return ClassOther
}

// Barrier is a reason for which the end of a bar may have to wait.
type Barrier uint8

const (
	BarrierGeneration Barrier = iota // compact has not finished the jobs of the previous bar
	BarrierCapture                   // the sessions of consensus, or the blocks of the previous checkpoint
	BarrierDurable                   // the superblock of the last checkpoint
	BarrierPace                      // not at the end: an op in the middle of a bar waits while compaction is behind
	BarrierQueries                   // queries that are executed beside later ops, before what they read moves
	BarriersCount
)

// BarrierNames in order of the barriers.
var BarrierNames = [BarriersCount]string{"generation", "capture", "durable", "pace", "queries"}

// Sample is the stage's figures: counts since the start, and its current state.
type Sample struct {
	Statistics
	// ExecuteNs of a request, waiting for pages included. Empty without a clock.
	ExecuteNs [ClassesCount]metrics.Histogram
	// QueueNs of an op, from its arrival here until its execution begins. Empty without a clock.
	QueueNs metrics.Histogram
	// BarrierNs is the waiting time of ends of bars, including the zeros.
	BarrierNs [BarriersCount]metrics.Histogram
	// GenerationNs from when a generation is planned until all its blocks are written.
	GenerationNs metrics.Histogram
	// CheckpointNs from the trigger until the superblock is durable.
	CheckpointNs metrics.Histogram

	Op, OpenedOp, DurableOp                   uint64
	AccountsCount, TransfersCount, BlocksHigh uint64
	CommitsWaiting, QueriesWaiting            uint64
	JobsWaiting                               uint64 // jobs of the current generation, including those that are not dealt yet
}

// measures is the part of Sample that is counted where it happens. It does not influence any
// decision.
type measures struct {
	clock             func() uint64
	checkpointBeganNs uint64
	executeNs         [ClassesCount]metrics.Histogram
	queueNs           metrics.Histogram
	barrierNs         [BarriersCount]metrics.Histogram
	generationNs      metrics.Histogram
	checkpointNs      metrics.Histogram
	checkpointLastNs  uint64

	times       metrics.ApplyTimes // of the op that is being executed
	executing   bool
	suspendedNs uint64 // the time at which the execution was suspended; 0: it is running
	breath      bool   // it was suspended only to give other stages of the thread a turn
}

// CheckpointLast is the newest durable checkpoint of this start, and the time from its trigger
// until it was durable. Both are 0 before the first. To be called on the stage's thread.
func (s *Stage) CheckpointLast() (op, durationNs uint64) {
	return s.durable, s.measures.checkpointLastNs
}

// SetClock makes the stage measure the time of requests. The simulator sets no clock, because its
// clock does not move within a step.
func (s *Stage) SetClock(clock func() uint64) { s.measures.clock = clock }

// began records the beginning of an op and returns the time.
func (m *measures) began(next *commit) (nowNs uint64) {
	if m.clock == nil {
		return 0
	}
	nowNs = m.clock()
	queueNs := nowNs - min(next.arrivedNs, nowNs)
	m.queueNs.Record(queueNs)
	m.executing = true
	m.times = metrics.ApplyTimes{AtNs: next.arrivedNs, BeganNs: nowNs, BarriersNs: m.barriers()}
	for barrier := range m.times.BarriersNs {
		// A wait that began before the op arrived counts from the op's arrival.
		m.times.BarriersNs[barrier] = min(m.times.BarriersNs[barrier]-next.barriers[barrier], queueNs)
	}
	return nowNs
}

// ended records the end of the op.
func (m *measures) ended(nowNs uint64) {
	m.executing = false
	m.times.EndedNs = nowNs
}

// dropped records that the op which is being executed never ends, and that the checkpoint under way
// never becomes durable. The one from which apply goes on has no duration.
func (m *measures) dropped() {
	m.executing, m.suspendedNs = false, 0
	m.checkpointBeganNs, m.checkpointLastNs = 0, 0
}

// suspended records that the coroutine gives control back, and resumed that it runs again. The op
// that is being executed waits meanwhile.
func (m *measures) suspended(breath bool) {
	if m.executing {
		m.suspendedNs, m.breath = m.clock(), breath
	}
}

func (m *measures) resumed(nowNs uint64) {
	if m.suspendedNs == 0 {
		return
	}
	waitedNs := nowNs - min(m.suspendedNs, nowNs)
	if m.breath {
		m.times.BreathsNs += waitedNs
	} else {
		m.times.PagesNs += waitedNs
	}
	m.suspendedNs = 0
}

// barriers is the time that ops have waited at each barrier since the start.
func (m *measures) barriers() (sums [BarriersCount]uint64) {
	for barrier := range sums {
		sums[barrier] = m.barrierNs[barrier].Sum
	}
	return sums
}

var _ [metrics.BarriersMax]struct{} = [BarriersCount]struct{}{} // an op's record has a place for each

// executed records the end of a request that began at beganNs. It returns the time, which is the
// beginning of the next request.
func (m *measures) executed(operation wire.Operation, beganNs uint64) (nowNs uint64) {
	if m.clock == nil {
		return 0
	}
	nowNs = m.clock()
	m.executeNs[classOf(operation)].Record(nowNs - beganNs)
	return nowNs
}

// barrier records a wait. It began when the statistics had waitedNs.
func (s *Stage) barrier(b Barrier, waitedNs uint64) {
	s.measures.barrierNs[b].Record(s.statistics.BarriersNs - waitedNs)
}

// Sample fills out. To be called on the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	m := &s.measures
	out.Statistics = s.Statistics()
	out.QueueNs = m.queueNs
	out.ExecuteNs, out.BarrierNs, out.GenerationNs, out.CheckpointNs = m.executeNs, m.barrierNs, m.generationNs, m.checkpointNs
	out.Op, out.OpenedOp, out.DurableOp = s.op, s.opened, s.durable
	out.AccountsCount, out.TransfersCount, out.BlocksHigh = s.forest.AccountsCount(), s.forest.TransfersCount(), s.forest.BlocksHigh()
	out.CommitsWaiting, out.QueriesWaiting, out.JobsWaiting = uint64(s.commitsCount), uint64(s.late.count), 0
	if d := &s.dealer; d.generation != nil {
		out.JobsWaiting = uint64(len(d.generation.Jobs) - d.backCount)
	}
}
