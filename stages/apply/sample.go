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

// Barrier is what the end of a bar may have to wait for.
type Barrier uint8

const (
	BarrierGeneration Barrier = iota // compact is not done with the jobs of the bar before
	BarrierCapture                   // the sessions of consensus, or the blocks of the checkpoint before
	BarrierDurable                   // the superblock of the last checkpoint
	BarrierPace                      // not an end: an op in the middle of a bar, while compaction is behind
	BarriersCount
)

// BarrierNames in order of the barriers.
var BarrierNames = [BarriersCount]string{"generation", "capture", "durable", "pace"}

// Sample is what the stage tells about itself: what happened since the start, and where it stands.
type Sample struct {
	Statistics
	// ExecuteNs of a request, waiting for pages included. Empty without a clock.
	ExecuteNs [ClassesCount]metrics.Histogram
	// QueueNs of an op, from its arrival here until its execution begins. Empty without a clock.
	QueueNs metrics.Histogram
	// BarrierNs that ends of bars waited, the zeros included.
	BarrierNs [BarriersCount]metrics.Histogram
	// GenerationNs from when a generation is planned until all its blocks are written.
	GenerationNs metrics.Histogram
	// CheckpointNs from the trigger until the superblock is durable.
	CheckpointNs metrics.Histogram

	Op, OpenedOp, DurableOp                   uint64
	AccountsCount, TransfersCount, BlocksHigh uint64
	CommitsWaiting                            uint64
	JobsWaiting                               uint64 // of the generation under way, those not dealt included
}

// measures are the part of Sample that is counted where it happens. Nothing here has an influence
// on what the stage does.
type measures struct {
	clock             func() uint64
	checkpointBeganNs uint64
	executeNs         [ClassesCount]metrics.Histogram
	queueNs           metrics.Histogram
	barrierNs         [BarriersCount]metrics.Histogram
	generationNs      metrics.Histogram
	checkpointNs      metrics.Histogram
	checkpointLastNs  uint64

	times       metrics.ApplyTimes // of the op that is executed
	executing   bool
	suspendedNs uint64 // since when its execution does not go on; 0: it does
	breath      bool   // it could go on, but the other stages of the thread have their turns
}

// CheckpointLast is the newest durable checkpoint, and the time from its trigger until it was; 0
// before the first of this start. On the stage's thread.
func (s *Stage) CheckpointLast() (op, durationNs uint64) {
	return s.durable, s.measures.checkpointLastNs
}

// SetClock makes the stage measure how long requests take. The simulator has no clock that moves
// within a step, and sets none.
func (s *Stage) SetClock(clock func() uint64) { s.measures.clock = clock }

// began notes the beginning of an op, and returns the time.
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
		// A wait that had begun before the op arrived counts from then.
		m.times.BarriersNs[barrier] = min(m.times.BarriersNs[barrier]-next.barriers[barrier], queueNs)
	}
	return nowNs
}

// ended notes the end of the op.
func (m *measures) ended(nowNs uint64) {
	m.executing = false
	m.times.EndedNs = nowNs
}

// suspended notes that the body gives control back, and resumed that it gets it again: an op that
// is being executed waits meanwhile.
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

// barriers are what ops have waited at each, since the start.
func (m *measures) barriers() (sums [BarriersCount]uint64) {
	for barrier := range sums {
		sums[barrier] = m.barrierNs[barrier].Sum
	}
	return sums
}

var _ [metrics.BarriersMax]struct{} = [BarriersCount]struct{}{} // an op's record has a place for each

// executed notes the end of a request that began at beganNs, and returns the time, which is the
// beginning of the next.
func (m *measures) executed(operation wire.Operation, beganNs uint64) (nowNs uint64) {
	if m.clock == nil {
		return 0
	}
	nowNs = m.clock()
	m.executeNs[classOf(operation)].Record(nowNs - beganNs)
	return nowNs
}

// barrier notes the wait that began when the statistics had waitedNs.
func (s *Stage) barrier(b Barrier, waitedNs uint64) {
	s.measures.barrierNs[b].Record(s.statistics.BarriersNs - waitedNs)
}

// Sample fills out. On the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	m := &s.measures
	out.Statistics = s.Statistics()
	out.QueueNs = m.queueNs
	out.ExecuteNs, out.BarrierNs, out.GenerationNs, out.CheckpointNs = m.executeNs, m.barrierNs, m.generationNs, m.checkpointNs
	out.Op, out.OpenedOp, out.DurableOp = s.op, s.opened, s.durable
	out.AccountsCount, out.TransfersCount, out.BlocksHigh = s.forest.AccountsCount(), s.forest.TransfersCount(), s.forest.BlocksHigh()
	out.CommitsWaiting, out.JobsWaiting = uint64(s.commitsCount), 0
	if d := &s.dealer; d.generation != nil {
		out.JobsWaiting = uint64(len(d.generation.Jobs) - d.backCount)
	}
}
