package metrics

// Mark is a moment on an op's way. Most marks have the time of the turn in which the stage saw the
// event. Apply has a clock at hand, so its marks are exact.
type Mark uint8

const (
	MarkArriving  Mark = iota // the first bytes of the op's first request have arrived
	MarkReceived              // net has all of it, checked and hashed
	MarkQueued                // consensus has taken it
	MarkPrepared              // its prepare went to journal and apply
	MarkSubmitted             // journal gave the writes to the disk
	MarkCopied                // the first of the two copies was written
	MarkWritten               // both copies are written
	MarkDurable               // both are durable, after a sync if they need one
	MarkAtApply               // apply has the op in its queue
	MarkExecuting
	MarkExecuted
	MarkAnswered // durable and executed, like all ops before it: the replies went to net
	MarkSent     // the kernel has taken the last reply; 0 until then
	MarksCount
)

// Part of an op's time.
type Part uint8

const (
	PartReceive    Part = iota
	PartHandover        // from net to consensus
	PartQueue           // until its prepare: the previous one is being written, or the checkpoint is late
	PartToDisk          // from consensus to journal
	PartWrite           // until both copies are written, as seen by the journal's thread
	PartSync            // the fdatasync of the log behind them
	PartToApply         // from consensus to apply
	PartApplyQueue      // behind other ops, at barriers, and during the end of a bar
	PartExecute
	PartAnswer // from the later of durable and executed until the replies went to net
	PartSend
	PartsCount
)

// PartNames in order of the parts. The log's parts (to_disk, write, sync) and apply's (to_apply,
// apply_queue, execute) run at the same time.
var PartNames = [PartsCount]string{"receive", "handover", "queue", "to_disk", "write", "sync", "to_apply", "apply_queue", "execute",
	"answer", "send"}

// ApplyTimes of one op.
type ApplyTimes struct {
	AtNs, BeganNs, EndedNs uint64
	PagesNs                uint64              // of its execution: waiting for pages
	BreathsNs              uint64              // of its execution: turns of the other stages on the thread
	BarriersNs             [BarriersMax]uint64 // waits that ended while it was in the queue, by barrier
}

// BarriersMax is the number of barriers in apply.
const BarriersMax = 5

// JournalTimes of one op.
type JournalTimes struct{ SubmittedNs, CopiedNs, WrittenNs, DurableNs uint64 }

// Op is the record of one op. Consensus makes it. The messages of net, journal and apply bring
// their times.
type Op struct {
	Number    uint64
	Requests  uint32
	Events    uint32
	Bytes     uint32 // of the prepare
	ReplySlot uint32
	Replies   uint32 // replies that net has not sent yet
	Operation uint8  // of the only request; for a group or pulse, that of the prepare
	Marks     [MarksCount]uint64
	Apply     ApplyTimes
}

// SlowOp is a kept op, with what happened in the process at the same time.
type SlowOp struct {
	Op
	Conditions Conditions
}

// Conditions describe the process between two looks at the board: the last look before the op
// began, and the look at its end.
type Conditions struct {
	WindowNs     uint64
	ActiveNs     [ActivitiesCount]uint64 // within the window
	WrittenBytes uint64                  // by compact
	ThreadsCount int
	Threads      [ThreadsMax]ThreadConditions
}

// ThreadConditions of one stage thread, within the window.
type ThreadConditions struct {
	TurnNsMax uint64 // 0: no turn was longer than TurnNsMin
	KernelNs  uint64 // in calls that took longer than KernelNsMin
	RunNs     uint64 // on a core
	WaitNs    uint64 // ready to run, without a core
}

// TotalNs is the op's time in the server, until its replies went to net. A client that does not
// read so makes no op slow.
func (o *Op) TotalNs() uint64 { return since(o.Marks[MarkAnswered], o.Marks[MarkArriving]) }

// PartNs is the duration of a part of the op.
func (o *Op) PartNs(part Part) uint64 {
	m := &o.Marks
	switch part {
	case PartReceive:
		return since(m[MarkReceived], m[MarkArriving])
	case PartHandover:
		return since(m[MarkQueued], m[MarkReceived])
	case PartQueue:
		return since(m[MarkPrepared], m[MarkQueued])
	case PartToDisk:
		return since(m[MarkSubmitted], m[MarkPrepared])
	case PartWrite:
		return since(m[MarkWritten], m[MarkSubmitted])
	case PartSync:
		return since(m[MarkDurable], m[MarkWritten])
	case PartToApply:
		return since(m[MarkAtApply], m[MarkPrepared])
	case PartApplyQueue:
		return since(m[MarkExecuting], m[MarkAtApply])
	case PartExecute:
		return since(m[MarkExecuted], m[MarkExecuting])
	case PartAnswer:
		return since(m[MarkAnswered], max(m[MarkDurable], m[MarkExecuted]))
	default:
		return since(m[MarkSent], m[MarkAnswered])
	}
}

func since(endNs, beginNs uint64) uint64 { return endNs - min(beginNs, endNs) }

const (
	// SlowNs is the time from which on an op is counted and reported as slow.
	SlowNs = 100_000_000
	// IntervalNs, IntervalsCount and SlowestCount: the SlowestCount slowest ops of each of the last
	// IntervalsCount intervals are kept.
	IntervalNs     = 10_000_000_000
	IntervalsCount = 6
	SlowestCount   = 4
	// looksCount is the number of kept looks at the board, which are at least lookNs apart. So they
	// reach back at least 1.28 s. For an op that took longer, the conditions at its beginning are
	// missing.
	looksCount = 256
	lookNs     = 5_000_000
	// waitingMax is the number of ops that can end in one turn and wait for the next one.
	waitingMax = 8
)

// Interval holds the slowest ops of one interval, the slowest first.
type Interval struct {
	Count int
	Ops   [SlowestCount]SlowOp
}

// SlowestFigures are the kept ops.
type SlowestFigures struct {
	SlowCount uint64                   // ops of SlowNs and more, since the start
	Recent    [IntervalsCount]Interval // the current one first
	Ever      Interval                 // since the start
}

// Slowest is the recorder. It is always on, belongs to one thread, and does not allocate. An op
// that is not among the slowest costs a comparison.
type Slowest struct {
	board        *Board
	threadsCount int
	report       func(*SlowOp) // called for each slow op; it must not keep the pointer
	trace        func(*Op)     // called for each op that ended; it must not keep the pointer; nil: none
	traced       Op

	looks      [looksCount]look // ring
	looksNext  int
	lastLookNs uint64

	intervals  [IntervalsCount]Interval // ring
	current    int
	intervalAt uint64 // number of the current interval
	ever       Interval
	slowCount  uint64

	waiting      [waitingMax]SlowOp
	waitingCount int
	unsent       bool // a kept op has replies that are not sent
}

// NewSlowest makes a recorder for a server of threadsCount threads. report is called for each slow
// op, on the recorder's thread; it may be nil.
func NewSlowest(board *Board, threadsCount int, report func(*SlowOp)) *Slowest {
	return &Slowest{board: board, threadsCount: min(threadsCount, ThreadsMax), report: report}
}

// SetTrace sets a function that is called for each op that ended, on the recorder's thread.
func (r *Slowest) SetTrace(trace func(*Op)) { r.trace = trace }

// Turn begins a turn. It closes the records of the previous turn, because the board has the length
// of that turn now.
func (r *Slowest) Turn(nowNs uint64) {
	if r.waitingCount > 0 && nowNs > r.waiting[0].Marks[MarkAnswered] {
		for i := range r.waitingCount {
			r.keep(nowNs, &r.waiting[i])
		}
		r.waitingCount = 0
	}
	if nowNs >= r.lastLookNs+lookNs {
		r.board.read(nowNs, r.threadsCount, &r.looks[r.looksNext])
		r.looksNext = (r.looksNext + 1) % looksCount
		r.lastLookNs = nowNs
	}
}

// Ended takes the record of an op whose replies went to net at nowNs. It is copied.
func (r *Slowest) Ended(nowNs uint64, o *Op) {
	if r.trace != nil {
		r.traced = *o // a function that is not known would make every caller's record escape to the heap
		r.trace(&r.traced)
	}
	totalNs := o.TotalNs()
	if totalNs >= SlowNs {
		r.slowCount++
	}
	if number := nowNs / IntervalNs; number != r.intervalAt {
		r.advance(number)
	}
	if totalNs < SlowNs && !r.intervals[r.current].wants(totalNs) {
		return
	}
	if r.waitingCount == waitingMax {
		r.keep(nowNs, &r.waiting[0])
		r.waitingCount--
		r.waiting[0] = r.waiting[r.waitingCount]
	}
	r.waiting[r.waitingCount].Op = *o
	r.waitingCount++
	r.unsent = r.unsent || o.Replies > 0
}

// Sent records that net does not need a reply of this slot any more.
func (r *Slowest) Sent(nowNs uint64, replySlot uint32) {
	if !r.unsent {
		return
	}
	r.unsent = false
	for i := range r.waitingCount {
		r.sent(nowNs, replySlot, &r.waiting[i].Op)
	}
	// Both intervals have copies of an op.
	for _, in := range [...]*Interval{&r.intervals[r.current], &r.ever} {
		for i := range in.Count {
			r.sent(nowNs, replySlot, &in.Ops[i].Op)
		}
	}
}

func (r *Slowest) sent(nowNs uint64, replySlot uint32, o *Op) {
	if o.Replies > 0 && o.ReplySlot == replySlot {
		o.Replies--
		if o.Replies == 0 {
			o.Marks[MarkSent] = nowNs
		}
	}
	r.unsent = r.unsent || o.Replies > 0
}

// advance begins the interval with this number.
func (r *Slowest) advance(number uint64) {
	for range min(number-r.intervalAt, IntervalsCount) {
		r.current = (r.current + 1) % IntervalsCount
		r.intervals[r.current].Count = 0
	}
	r.intervalAt = number
}

// keep puts an op among the slowest, if it is one of them, and reports it if it is slow.
func (r *Slowest) keep(nowNs uint64, o *SlowOp) {
	r.conditions(nowNs, o)
	r.intervals[r.current].put(o)
	r.ever.put(o)
	if o.TotalNs() >= SlowNs && r.report != nil {
		r.report(o)
	}
}

// conditions compares the current board with the last look before the op began. If there is no such
// look, it takes the oldest.
func (r *Slowest) conditions(nowNs uint64, o *SlowOp) {
	end := &r.looks[r.looksNext]
	r.board.read(nowNs, r.threadsCount, end)
	r.looksNext, r.lastLookNs = (r.looksNext+1)%looksCount, nowNs
	c := &o.Conditions
	*c = Conditions{ThreadsCount: r.threadsCount}
	begin := end
	for back := 2; back <= looksCount; back++ {
		l := &r.looks[(r.looksNext+looksCount-back)%looksCount]
		if l.atNs == 0 {
			break
		}
		// TurnNsMax of a look covers the time before that look.
		for i := range c.ThreadsCount {
			c.Threads[i].TurnNsMax = max(c.Threads[i].TurnNsMax, begin.threads[i].TurnNsMax)
		}
		begin = l
		if l.atNs <= o.Marks[MarkArriving] {
			break
		}
	}
	c.WindowNs = end.atNs - begin.atNs
	for activity := range c.ActiveNs {
		c.ActiveNs[activity] = since(end.activeNs[activity], begin.activeNs[activity])
	}
	c.WrittenBytes = since(end.writtenBytes, begin.writtenBytes)
	for i := range c.ThreadsCount {
		t, from, to := &c.Threads[i], &begin.threads[i], &end.threads[i]
		t.KernelNs, t.RunNs, t.WaitNs = since(to.KernelNs, from.KernelNs), since(to.RunNs, from.RunNs), since(to.WaitNs, from.WaitNs)
	}
}

// wants tells whether an op of totalNs is among the slowest.
func (i *Interval) wants(totalNs uint64) bool {
	return i.Count < SlowestCount || totalNs > i.Ops[SlowestCount-1].TotalNs()
}

func (i *Interval) put(o *SlowOp) {
	if !i.wants(o.TotalNs()) {
		return
	}
	i.Count = min(i.Count+1, SlowestCount)
	at := i.Count - 1
	for at > 0 && i.Ops[at-1].TotalNs() < o.TotalNs() {
		i.Ops[at] = i.Ops[at-1]
		at--
	}
	i.Ops[at] = *o
}

// Figures fills out with the kept ops.
func (r *Slowest) Figures(out *SlowestFigures) {
	out.SlowCount, out.Ever = r.slowCount, r.ever
	for i := range out.Recent {
		out.Recent[i] = r.intervals[(r.current+IntervalsCount-i)%IntervalsCount]
	}
}

// RecentSlowest is the slowest op of the last intervals, or nil if there is none.
func (f *SlowestFigures) RecentSlowest() (slowest *SlowOp) {
	for i := range f.Recent {
		if f.Recent[i].Count > 0 && (slowest == nil || f.Recent[i].Ops[0].TotalNs() > slowest.TotalNs()) {
			slowest = &f.Recent[i].Ops[0]
		}
	}
	return slowest
}
