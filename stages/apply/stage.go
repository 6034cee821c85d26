package apply

import (
	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/coro"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/forest"
	"ledger/storage/grid"
	"ledger/wire"
)

// EventKind of an Event.
type EventKind uint8

const (
	EventSequenced EventKind = iota + 1
	EventCommit
	EventSessions
	EventDurable
	EventJob
	EventCheckpoint
	EventOpen
	EventReplies
	EventServe   // a block for another replica
	EventArrived // a block from another replica
	EventBlock   // a worker's message about a block
	EventScrub   // the scrubber of compact asks
)

// Event is an input of the stage.
type Event struct {
	Kind       EventKind
	Slot       stages.Slot      // EventSequenced, EventCommit
	ReplySlot  stages.Slot      // EventCommit
	Op         uint64           // EventSequenced, EventCommit; EventSessions: the trigger; EventDurable: the checkpoint's
	Sessions   *stages.Sessions // EventSessions, EventReplies
	Job        *storage.Job
	Worker     int // EventJob, EventBlock: the worker of compact
	Checkpoint *storage.CheckpointJob
	Opened     *storage.Checkpoint // EventOpen: the checkpoint that is to be opened
	MayBeLate  bool                // EventCommit

	SyncOpMin, SyncOpMax uint64 // EventOpen

	Ref   storage.Ref // EventServe, EventArrived
	Bytes uint32      // EventArrived
	Block stages.CompactToApply
	Scrub *storage.Scrub
}

// Actions of one step, in order. More tells that the stage could go on at once. NewsMax is an
// input: how much may be told of blocks that are wanted or not any more.
type Actions struct {
	NewsMax   int
	Consensus []stages.ApplyToConsensus
	Compact   [][]stages.ApplyToCompact // for each worker
	More      bool
}

// commitsMax is the largest number of ops that are committed and not executed. The ring of
// consensus allows no more.
const commitsMax = 64

// requestsMax is the number of requests of consensus that one turn takes.
const requestsMax = 16

// blockAnswersMax is the largest number of messages about blocks of one step.
const blockAnswersMax = 2*stages.BlocksWantedMax + stages.BlocksArrivedMax + stages.BlocksServedMax

// NewActions returns actions with room for one step of a stage with this number of workers.
func NewActions(workers int) Actions {
	a := Actions{
		Consensus: make([]stages.ApplyToConsensus, 0, commitsMax+requestsMax+5+blockAnswersMax),
		Compact:   make([][]stages.ApplyToCompact, workers),
	}
	for i := range a.Compact {
		a.Compact[i] = make([]stages.ApplyToCompact, 0, stages.BudgetCompact)
	}
	return a
}

// Reset empties the actions.
func (a *Actions) Reset() {
	a.Consensus, a.More = a.Consensus[:0], false
	for i := range a.Compact {
		a.Compact[i] = a.Compact[i][:0]
	}
}

// commit is an op that waits for its execution.
type commit struct {
	op        uint64
	slot      stages.Slot
	replySlot stages.Slot
	mayBeLate bool // its replies
	arrivedNs uint64
	barriers  [BarriersCount]uint64 // total waiting time at each barrier when this op arrived
}

// Statistics counts since the start.
type Statistics struct {
	OpsExecuted      uint64
	RequestsExecuted uint64
	RequestsSkipped  uint64 // read-only requests of a replay whose replies nobody wants
	QueriesLate      uint64 // that were left to the queue of late.go
	QueriesBehind    uint64 // of these, those that ended when a later op was executed
	QueriesDropped   uint64 // of these, those that ApplyOpen has ended
	QueriesWaiting   uint64 // of these, those that have not ended
	BarriersNs       uint64 // time that ends of bars waited for compact, the sessions, or a checkpoint
	BlocksRepaired   uint64 // with copies of other replicas
	Forest           forest.Counters
	Grid             grid.Statistics
}

// Stage decides; see doc.go.
type Stage struct {
	limits  limits.Limits
	cluster wire.U128
	several bool // other replicas have the blocks
	slots   *stages.Slots
	grid    *grid.Grid
	forest  *forest.Forest
	machine *accounting.Machine
	body    *coro.Coroutine
	running *coro.Coroutine // body, or that of late
	more    bool            // the body has taken a breath, or has not begun
	out     *Actions
	nowNs   uint64

	commits      [commitsMax]commit
	commitsHead  uint32
	commitsCount uint32

	checkpoint  storage.Checkpoint // that is opened
	records     []byte             // room for its sessions
	replyPieces *stages.Sessions   // where the replies of the sessions are to be read; nil: not yet known

	late       late
	dropped    uint64 // states that were dropped for another checkpoint
	inOp       bool   // an op is being executed
	eventsLast uint32 // of the last op: as many as its size has room for

	walk          walk
	readyIsWhole  bool   // the checkpoint under way ends the range of a state sync
	ahead         Ahead  // what is executed before the first request; see Expect
	isOpen        bool   // the forest has the state of checkpoint, and goes on from it
	closing       bool   // the state before is still there, because compact has jobs of it
	steps         uint64 // with ops that wait; see cover
	warms         bool   // keys to be warmed wait for the next step
	opened        uint64 // op of the checkpoint from which the stage started; 0: none
	op            uint64 // the last executed op
	timestampLast uint64 // of op
	timestampMark uint64 // timestampLast of the trigger of the checkpoint under way
	sessions      *stages.Sessions
	upgrade       upgrade
	dealer        dealer
	wants         wants
	checkpointOut bool
	newest        uint64 // op of the newest checkpoint that was captured
	durable       uint64 // op of the newest durable checkpoint
	ready         storage.Checkpoint
	faulted       bool
	ending        bool // the end of a bar is in progress; it takes several steps

	// Descriptors of the replies of each op that consensus may still have in its pipeline, by op
	// modulo the pipeline.
	replies []stages.Reply
	built   []stages.Reply // of the op that is being executed

	scratch    []byte // body of a reply that is not the first of a group, or that nobody wants
	scrubs     scrubs
	statistics Statistics
	measures   measures
}

// New returns a stage that has its memory, not touched yet. Its first steps open the state of
// checkpoint.
//
// gridAt: where the grid zone starts in the data file behind disk.
func New(l limits.Limits, cluster wire.U128, slots *stages.Slots, checkpoint storage.Checkpoint, gridAt uint64,
	disk ports.Disk, memory *arena.Arena) *Stage {
	s := &Stage{
		limits: l, cluster: cluster, several: l.ReplicasCount > 1, slots: slots, checkpoint: checkpoint, more: true,
		opened: checkpoint.Op, op: checkpoint.Op, newest: checkpoint.Op, durable: checkpoint.Op,
		replies: arena.SliceWith[stages.Reply](memory, uint64(l.PipelineOpsMax)*repliesMax(&l), "reply descriptors",
			arena.Bulk(arena.Table, false)),
		scratch: memory.Bytes(wire.BodyBytesMax, 4096, "reply scratch"),
		walk:    newWalk(&l, memory),
		records: memory.Bytes(stages.SessionsHeaderBytes+uint64(l.SessionsMax)*stages.SessionRecordBytes, 64, "session records"),
	}
	s.dealer.loads = make([]load, l.CompactWorkers)
	s.wants.workers = make([]storage.Ref, l.CompactWorkers)
	s.body = coro.New(s.work)
	s.running = s.body
	// The grid's cache of pages is not touched at start. Reading a page takes longer than clearing its
	// memory, and a small file never fills the cache.
	s.grid = grid.New(l, memory, disk, gridAt, cluster, arena.Options{})
	s.forest = forest.New(l, memory, s.grid, s)
	s.machine = accounting.New(l, s.forest)
	s.newLate(memory)
	return s
}

// repliesMax is the largest number of replies of one op. Every request of a group has an entry in
// the prepare.
func repliesMax(l *limits.Limits) uint64 { return uint64(l.MessageBytesMax) / prepare.EntryBytes }

// repliesOf returns the empty room for the descriptors of an op's replies.
func (s *Stage) repliesOf(op uint64) []stages.Reply {
	perOp := repliesMax(&s.limits)
	first := op % uint64(s.limits.PipelineOpsMax) * perOp
	return s.replies[first : first : first+perOp]
}

// Step takes events in, works for a bounded time and says what to do.
func (s *Stage) Step(nowNs uint64, events []Event, out *Actions) {
	s.out, s.nowNs = out, nowNs
	progress := s.grid.Poll()
	for i := range events {
		s.onEvent(&events[i])
	}
	if (progress || s.warms) && s.isOpen {
		s.warms = s.forest.WarmStep()
	}
	if (s.more || progress || len(events) > 0) && !s.faulted {
		s.measures.resumed(nowNs)
		s.more = s.body.Resume()
		s.measures.suspended(s.more)
	}
	// In a cluster, an event may be the end of a repair, for which a query waits.
	queries := s.lateStep(progress || s.several && len(events) > 0)
	walks := s.isOpen && !s.faulted && s.walkStep(progress)
	covers := s.isOpen && !s.faulted && s.cover()
	scrubs := s.scrub()
	if fault := s.forest.Fault(); fault != nil && !s.closing {
		s.fail(fault)
	}
	tells := s.several && s.wantsStep()
	out.More = (s.more || queries || covers || walks || s.warms || scrubs) && !s.faulted || tells
	s.out = nil
}

// Stop unwinds the work under way. Only the simulator calls it, for a crash.
func (s *Stage) Stop() {
	s.body.Stop()
	s.late.body.Stop()
}

// Statistics returns the counters.
func (s *Stage) Statistics() Statistics {
	statistics := s.statistics
	statistics.QueriesWaiting = uint64(s.late.count)
	statistics.Forest = s.forest.Counters()
	statistics.Grid = s.grid.Statistics()
	return statistics
}

// Settled tells whether compact has returned everything: every planned block is written, and so is
// the checkpoint.
func (s *Stage) Settled() bool {
	return !s.faulted && !s.ending && !s.checkpointOut && s.dealer.isBack() && s.late.count == 0
}

// Ending tells whether the end of a bar is in progress. The generation and the checkpoint that it
// will plan are not out yet.
func (s *Stage) Ending() bool { return s.ending }

// PlannedOp is the op at whose end the newest generation was planned. The previous generation was
// installed then.
func (s *Stage) PlannedOp() uint64 { return s.dealer.beganOp }

// IsOpen tells whether the state of the checkpoint has been read. Committed ops wait until then.
func (s *Stage) IsOpen() bool { return s.isOpen }

// Dropped counts the states that were dropped for another checkpoint. Nothing more is written of
// them.
func (s *Stage) Dropped() uint64 { return s.dropped }

// ReadBytes is what was read from the grid since the start.
func (s *Stage) ReadBytes() uint64 { return s.grid.Statistics().Reads * uint64(s.limits.PageBytes) }

// readsInFlight is the number of reads under way, of pages and of parts of blocks.
func (s *Stage) readsInFlight() int { return s.grid.InFlight() + s.grid.BlocksInFlight() }

// Op is the last executed op.
func (s *Stage) Op() uint64 { return s.op }

func (s *Stage) onEvent(e *Event) {
	switch e.Kind {
	case EventSequenced:
		s.onSequenced(e)
	case EventCommit:
		assert.Below(s.commitsCount, commitsMax, "ops that are committed and not executed")
		s.commits[(s.commitsHead+s.commitsCount)%commitsMax] = commit{e.Op, e.Slot, e.ReplySlot, e.MayBeLate, s.nowNs, s.measures.barriers()}
		s.commitsCount++
	case EventSessions:
		assert.That(s.sessions == nil, "the sessions of one checkpoint are lent at a time")
		s.sessions = e.Sessions
	case EventDurable:
		assert.Equal(e.Op, s.newest, "the checkpoint that is durable was taken last")
		if s.durable = e.Op; s.readyIsWhole {
			s.walkEnd()
		}
		s.measures.checkpointLastNs = s.nowNs - s.measures.checkpointBeganNs
		s.measures.checkpointNs.Record(s.measures.checkpointLastNs)
	case EventJob:
		s.onJob(e.Job, e.Worker)
	case EventCheckpoint:
		s.onCheckpoint(e.Checkpoint)
	case EventOpen:
		s.onOpen(e)
	case EventReplies:
		s.replyPieces = e.Sessions
	case EventServe:
		s.onServe(e)
	case EventArrived:
		s.onArrived(e)
	case EventBlock:
		s.onBlock(e.Worker, &e.Block)
	case EventScrub:
		s.onScrub(e.Scrub)
	default:
		assert.That(false, "apply event kind is known")
	}
}

// onCheckpoint: the blocks of a checkpoint are on disk.
func (s *Stage) onCheckpoint(job *storage.CheckpointJob) {
	assert.That(s.checkpointOut, "compact returns the checkpoint it was given")
	s.checkpointOut = false
	s.dealer.loads[0].bytes -= s.checkpointBytes(job)
	if job.Fault != nil {
		s.fail(job.Fault)
	}
	if s.faulted || s.closing {
		return // the work that the fault cut off may have left the forest half changed
	}
	s.ready = s.forest.CheckpointState()
	s.ready.TimestampLast = s.timestampMark
	s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplyCheckpointReady, Op: job.Op, Checkpoint: &s.ready,
		IsWhole: s.readyIsWhole})
}

func (s *Stage) fail(fault *storage.Fault) {
	if !s.faulted {
		s.faulted = true
		s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplyFault, Op: s.checkpoint.Op, Fault: fault})
	}
}

// onSequenced starts the reads for a prepare, and gives its slot back. The forest keeps the keys
// and no reference to the slot, so consensus may free the slot: the prepare may be truncated before
// it is committed. After a fault the slot comes back too, because another checkpoint may be opened.
func (s *Stage) onSequenced(e *Event) {
	s.warm(e.Slot)
	s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{Kind: stages.ApplySequencedDone, Slot: e.Slot, Op: e.Op})
}

// warm starts reading the pages that an op will need. Changes by earlier ops are seen when the op
// is executed.
func (s *Stage) warm(slot stages.Slot) {
	if !s.isOpen || s.faulted {
		return // the trees are not there yet, or nobody will ask them
	}
	message := s.slots.Bytes(slot)
	header := prepare.Header(message[:prepare.HeaderBytes])
	for i := range int(header.RequestsCount()) {
		request := prepare.RequestAt(message, i)
		accounting.Warm(request.Operation, request.Body, s.forest)
	}
}

// work is the body of the coroutine.
func (s *Stage) work(c *coro.Coroutine) {
	s.open(c)
	for {
		for s.commitsCount == 0 {
			c.Wait()
		}
		next := s.commits[s.commitsHead]
		s.commitsHead = (s.commitsHead + 1) % commitsMax
		s.commitsCount--
		if s.late.count > 0 && s.needsNoneLate(&next) {
			s.awaitLate(c)
		}
		s.inOp = true
		s.execute(&next)
		s.inOp = false
		if s.limits.IsBarEnd(s.op) {
			s.ending = true
			s.endBar(c)
			s.ending = false
		} else {
			s.keepPace(c)
		}
		s.shareWithLate(c)
	}
}

// execute runs the requests of one op and builds their replies.
func (s *Stage) execute(next *commit) {
	message := s.slots.Bytes(next.slot)
	header := prepare.Header(message[:prepare.HeaderBytes])
	assert.Equal(next.op, s.op+1, "ops are committed in order")
	assert.Equal(header.Op(), next.op, "op of the prepare")
	var replies []byte
	if next.replySlot != stages.SlotNone {
		replies = s.slots.Bytes(next.replySlot)
	}
	s.built = s.repliesOf(next.op)
	s.eventsLast = header.SizeBytes() / wire.TransferBytes
	repliesBytes := 0
	beganNs := s.measures.began(next)
	upgrade, isUpgrade := prepare.UpgradeOf(header)
	s.upgrade.executed(next.op, &upgrade, isUpgrade)
	s.machine.UseRules(header.Rules())
	for i := range int(header.RequestsCount()) {
		if isUpgrade {
			break // it has no effect by the rules of any release
		}
		request := prepare.RequestAt(message, i)
		queriesLate := s.statistics.QueriesLate
		repliesBytes += s.request(next, header, &request, replies, repliesBytes)
		if s.statistics.QueriesLate == queriesLate { // otherwise its time is measured where it ends
			beganNs = s.measures.executed(request.Operation, beganNs)
		}
	}
	s.measures.ended(beganNs)
	s.op, s.timestampLast = next.op, header.Timestamp()
	s.statistics.OpsExecuted++
	s.deal()
	s.out.Consensus = append(s.out.Consensus, stages.ApplyToConsensus{
		Kind: stages.ApplyCommitted, Op: next.op, NextPulseNs: s.machine.NextPulse(), Replies: s.built, Times: s.measures.times,
	})
}

// request executes one request. If its reply is wanted, it writes the reply at the next place
// behind offset. It returns the used bytes, including the gap.
func (s *Stage) request(next *commit, header prepare.Header, request *prepare.Request, replies []byte, offset int) (usedBytes int) {
	// Pulses and no-ops have no client. An op of a replay below the trigger has no reply slot.
	wanted := replies != nil && !request.Client.IsZero()
	if !wanted && request.Operation.IsReadOnly() {
		s.statistics.RequestsSkipped++
		return 0
	}
	s.statistics.RequestsExecuted++
	start := (offset + stages.ReplyAlignBytes - 1) &^ (stages.ReplyAlignBytes - 1)
	bodyAt := start + wire.HeaderBytes
	// The accounting rules want room for the largest reply. The first reply of a slot has it. A
	// later reply is small, because the replies of a group fit one slot together, and it is copied.
	if bytesMax, ok := s.mayBeLate(next, header, request); ok && wanted {
		assert.AtMost(bodyAt+bytesMax, len(replies), "the replies of an op fit its slot")
		s.putLate(header, request, replies, start, bytesMax)
		s.built = append(s.built, stages.Reply{Op: header.Op()})
		return bodyAt + bytesMax - offset
	}
	target, copied := s.scratch, true
	if wanted && len(replies)-bodyAt >= wire.BodyBytesMax {
		target, copied = replies[bodyAt:bodyAt+wire.BodyBytesMax], false
	}
	switch request.Operation {
	case wire.OperationCreateTransfers, wire.OperationCreateTransfersSparse, wire.OperationCreateTransfersUnbatched:
		s.forest.Lookahead(request.Body)
	case wire.OperationLookupTransfers, wire.OperationLookupTransfersUnbatched:
		s.forest.LookupTransfers(request.Body)
	case wire.OperationLookupAccounts, wire.OperationLookupAccountsUnbatched:
		s.forest.LookupAccounts(request.Body)
	}
	bodyBytes := s.machine.Execute(&accounting.Request{
		Operation: request.Operation, RequestBytesMax: header.RequestLimit(), Timestamp: request.Timestamp, Body: request.Body,
	}, target)
	s.forest.Lookahead(nil)
	s.forest.LookupTransfers(nil)
	if !wanted {
		return 0
	}
	end := bodyAt + bodyBytes
	assert.AtMost(end, len(replies), "the replies of an op fit its slot")
	if copied {
		copy(replies[bodyAt:end], target[:bodyBytes])
	}
	fields := s.replyFields(header, request)
	wire.BuildReply(wire.HeaderOf(replies[start:]), &fields, replies[bodyAt:end])
	assert.Below(len(s.built), cap(s.built), "replies of one op")
	s.built = append(s.built, stages.ReplyOf(wire.HeaderOf(replies[start:]), uint32(start)))
	return end - offset
}

func (s *Stage) replyFields(header prepare.Header, request *prepare.Request) wire.ReplyFields {
	return wire.ReplyFields{
		Cluster: s.cluster, Client: request.Client, RequestChecksum: request.RequestChecksum, RequestNumber: request.Request,
		Release: request.Release, Operation: request.Operation, Op: header.Op(), Timestamp: request.Timestamp,
		View: header.View(), Replica: header.Replica(),
	}
}
