package compact

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/coro"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/freeset"
	"ledger/storage/merge"
	"ledger/wire"
)

// EventKind of an Event.
type EventKind uint8

const (
	EventJob EventKind = iota + 1
	EventCheckpoint
	EventReset // apply goes on from another checkpoint; there is no job
	EventScrub // apply has answered the scrubber
	EventDisk
	EventServe  // read a block for another replica
	EventRepair // write a block that another replica has sent
	EventAgain  // the block that the job waits for was repaired
	EventSync   // what was written is to be made durable
	EventGiveUp // the job that waits for a block fails, and all behind it until EventReset
)

// Event is an input of the stage.
type Event struct {
	Kind       EventKind
	Job        *storage.Job
	Checkpoint *storage.CheckpointJob
	Disk       ports.DiskCompletion
	Ref        storage.Ref // EventServe, EventRepair, EventAgain
	Slot       stages.Slot // EventServe, EventRepair
	Bytes      uint32      // EventRepair
}

// ActionKind of an Action.
type ActionKind uint8

const (
	ActionRead ActionKind = iota + 1
	ActionWrite
	ActionAllocate
	ActionSync
	ActionAnswer  // to apply
	ActionFinding // the scrubber has found damage
)

// Action is one operation of the driver. Actions are performed in order.
type Action struct {
	Kind        ActionKind
	Tag         uint64 // of a disk operation: its EventDisk names it
	OffsetBytes uint64
	LengthBytes uint64 // ActionAllocate
	Buffer      []byte // ActionRead, ActionWrite: compact's until its EventDisk
	Answer      stages.CompactToApply
	Finding     *storage.Finding // ActionFinding: counts until the next step
}

// Actions of one step. More tells that the stage could go on at once.
type Actions struct {
	Items []Action
	More  bool
}

// actionsMax is the largest number of actions of a step: one for every operation that can be in
// flight, and one for everything that can be done. The scrubber may find damage, and ask or read.
const actionsMax = tagsCount + stages.BudgetCompact + 4 + 3

// NewActions returns actions with room for one step.
func NewActions() Actions { return Actions{Items: make([]Action, 0, actionsMax)} }

// Reset empties the actions.
func (a *Actions) Reset() { a.Items, a.More = a.Items[:0], false }

// Tags: reads from 0 on, by slot, then writes, those of repairs behind those of jobs, then the
// single ones, then the reads for other replicas.
const (
	tagWrite      = merge.ReadsMax
	tagAllocate   = tagWrite + writesMax
	tagSync       = tagAllocate + 1
	tagRepairSync = tagSync + 1
	tagServe      = tagRepairSync + 1
	tagScrub      = tagServe + stages.BlocksServedMax
	tagsCount     = tagScrub + 1

	writesMax = merge.WritesMax + stages.BlocksRepairedMax
)

// OperationsMax is the largest number of disk operations in flight: one for each tag.
const OperationsMax = tagsCount

const (
	growBlocks = 128

	errnoIO           = 5
	errnoInvalid      = 22
	errnoNoSpace      = 28
	errnoNotSupported = 95
)

// operation is a read or a write of a slot.
type operation struct {
	busy   bool // from its start until take has reported its end
	held   bool // a write that waits until the file has grown
	done   bool
	errno  int32
	action Action
	task   *task // of a write: its job; nil: a checkpoint
}

// task is a job of the worker.
type task struct {
	job     *storage.Job
	writing int // number of its blocks that are being written
	beganNs uint64
}

// Stage decides; see doc.go.
type Stage struct {
	geometry block.Geometry
	cluster  wire.U128
	gridAt   uint64
	several  bool // other replicas have the blocks

	gridBytesMax uint64 // the part of --limit-storage that is left for the grid
	merger       *merge.Merger
	body         *coro.Coroutine
	more         bool     // the body has taken a breath
	out          *Actions // of the current step

	// Jobs, in a circle from tasksHead on: first those that wait for their last writes, then the
	// running one, then those to come.
	tasks      [storage.JobsMax]task
	tasksHead  int
	tasksRun   int // of tasksCount: jobs that only wait for their writes
	tasksCount int
	running    *task

	resetting  bool                   // before anything else
	checkpoint *storage.CheckpointJob // received and not yet written
	syncing    *storage.CheckpointJob // written; its sync is under way
	syncFault  *storage.Fault         // a sync has failed: nothing that follows is durable for certain

	reads  [merge.ReadsMax]operation
	writes [writesMax]operation

	want    storage.Ref // the block that the running job waits for, or none
	givesUp bool        // apply drops the state to which the jobs belong
	peers   peers

	grownBytes  uint64 // disk space of the grid zone is reserved up to here
	growing     bool
	growToBytes uint64
	growExactly bool // the disk had no room for a whole step

	scrub    scrubber // of the first worker; off in the others
	measures measures
}

// New reserves memory.
//
// gridAt: where the grid zone starts in the file.
// slots:  in which blocks come from other replicas and go to them. nil: a worker that neither
// serves blocks nor repairs them, like every one but the first, and the first of a single replica.
func New(l limits.Limits, cluster wire.U128, gridAt uint64, slots *stages.Slots, memory *arena.Arena) *Stage {
	// The first step starts the coroutine, on the thread that will run it, although there is no
	// work. A worker's first job may come late, under load.
	s := &Stage{geometry: block.GeometryOf(l), cluster: cluster, gridAt: gridAt, several: l.ReplicasCount > 1, more: true,
		gridBytesMax: freeset.AddressesMax(l) * uint64(l.BlockBytes)}
	s.merger = merge.New(l, memory, cluster, (*blockReader)(s), (*blockWriter)(s))
	s.body = coro.New(s.work)
	if slots != nil {
		s.peers.reserve(slots, memory, &s.geometry)
	}
	return s
}

// MemoryBytes is the part of New's memory that every load uses.
func MemoryBytes(l *limits.Limits) uint64 { return merge.MemoryBytes(l) }

// Step takes events in, works for a bounded time and says what to do.
func (s *Stage) Step(nowNs uint64, events []Event, out *Actions) {
	s.out, s.measures.nowNs = out, nowNs
	for i := range events {
		switch e := &events[i]; e.Kind {
		case EventJob:
			assert.Below(s.tasksCount, len(s.tasks), "jobs of a worker")
			*s.task(s.tasksCount) = task{job: e.Job}
			s.tasksCount++
		case EventCheckpoint:
			assert.That(s.tasksCount == 0, "the blocks of a checkpoint are written before its trailers")
			assert.That(s.checkpoint == nil && s.syncing == nil, "one checkpoint is written at a time")
			s.checkpoint, s.measures.checkpointBeganNs = e.Checkpoint, nowNs
		case EventReset:
			assert.That(s.tasksCount == 0 && s.checkpoint == nil && s.syncing == nil, "apply opens another checkpoint when no job is out")
			s.resetting, s.givesUp = true, false
		case EventServe:
			s.onServe(e)
		case EventRepair:
			s.onRepair(e)
		case EventAgain:
			if s.want == e.Ref {
				s.want = storage.Ref{}
			}
		case EventSync:
			s.peers.isAsked = true
		case EventGiveUp:
			s.givesUp = true
		case EventScrub:
			s.onScrub(nowNs)
		case EventDisk:
			s.onDisk(e.Disk)
		default:
			assert.That(false, "compact event kind is known")
		}
	}
	s.repairStep()
	if s.more || len(events) > 0 {
		s.more = s.body.Resume()
		s.giveBack()
	}
	out.More = s.scrubStep(nowNs) || s.more
	s.out = nil
}

// Stop unwinds the work under way. Only the simulator calls it, for a crash.
func (s *Stage) Stop() { s.body.Stop() }

// Statistics of the work done since the start.
func (s *Stage) Statistics() merge.Statistics { return s.merger.Statistics() }

// task returns the i-th job, from the one that came first.
func (s *Stage) task(i int) *task { return &s.tasks[(s.tasksHead+i)%len(s.tasks)] }

func (s *Stage) answer(answer stages.CompactToApply) {
	s.act(Action{Kind: ActionAnswer, Answer: answer})
}

func (s *Stage) act(action Action) {
	assert.Below(len(s.out.Items), actionsMax, "actions of a step")
	s.out.Items = append(s.out.Items, action)
}

// work is the body of the coroutine. A checkpoint goes first, because the log waits for it. All
// blocks that it needs are written already. After a reset, the fault of an earlier job is
// forgotten, and that of a sync is not: what it left on the medium stays unknown.
func (s *Stage) work(c *coro.Coroutine) {
	for {
		switch {
		case s.resetting:
			s.merger.Reset(c)
			s.resetting = false
		case s.checkpoint != nil:
			s.writeCheckpoint(c)
		case s.tasksRun < s.tasksCount:
			s.runJob(c)
		default:
			c.Wait()
		}
	}
}

// runJob runs a job and leaves its last writes in flight, so that the next job begins meanwhile.
func (s *Stage) runJob(c *coro.Coroutine) {
	t := s.task(s.tasksRun)
	s.running, t.beganNs = t, s.measures.nowNs
	s.merger.Run(t.job, c)
	s.running = nil
	s.tasksRun++
}

// giveBack returns the jobs whose blocks are all written. If a job has met a fault, all later jobs
// get the same fault.
func (s *Stage) giveBack() {
	for s.tasksRun > 0 && s.task(0).writing == 0 {
		t := s.task(0)
		if fault := s.merger.Collect(); fault != nil {
			t.job.Fault = fault
		} else if s.syncFault != nil {
			t.job.Fault = s.syncFault
		}
		s.measures.jobNs.Record(s.measures.nowNs - t.beganNs)
		s.measures.note(t.job, s.geometry.PageBytes)
		s.answer(stages.CompactToApply{Kind: stages.CompactJobDone, Job: t.job})
		*t = task{}
		s.tasksHead = (s.tasksHead + 1) % len(s.tasks)
		s.tasksRun--
		s.tasksCount--
	}
}

// writeCheckpoint writes the trailers. One sync then covers them and every block of the earlier
// generations. The work goes on during the sync.
func (s *Stage) writeCheckpoint(c *coro.Coroutine) {
	job := s.checkpoint
	s.merger.Checkpoint(job, c)
	s.checkpoint = nil
	if job.Fault == nil {
		job.Fault = s.syncFault
	}
	if job.Fault != nil {
		s.answer(stages.CompactToApply{Kind: stages.CompactCheckpointDone, Checkpoint: job})
		return
	}
	s.measures.trailersNs.Record(s.measures.nowNs - s.measures.checkpointBeganNs)
	s.syncing, s.measures.checkpointBeganNs = job, s.measures.nowNs
	s.act(Action{Kind: ActionSync, Tag: tagSync})
}
