package consensus

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/metrics"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Timers, in nanoseconds. Source: consensus, 13.2 and 16.
const pulseIdleNs = 100_000_000 // after this idle time, a primary looks for due expiries

// A wall clock that is more than clockBehindNsMax behind the newest timestamp is reported, every
// clockReportEveryNs. The usual corrections of a clock stay below a second.
const (
	clockBehindNsMax   = 1_000_000_000
	clockReportEveryNs = 3_600_000_000_000
)

// smallRequestBytesMax is the largest request that is copied into a group. A larger one becomes a
// prepare of its own, without a copy.
const smallRequestBytesMax = 32 << 10

// pulseDelta is the number of timestamps that a pulse takes, however many transfers expire. Source:
// accounting, 2.1.
const pulseDelta = 8190

// Options of one start.
type Options struct {
	ReleaseMin, ReleaseMax, ReleaseAnnounced wire.Release
}

// DefaultOptions accept every client release that the protocol knows.
func DefaultOptions() Options {
	return Options{wire.ReleaseClientMin, wire.ReleaseClientMax, wire.ReleaseAnnounced}
}

// Recovered is the state from which the stages of a replica start.
type Recovered struct {
	Superblock         datafile.Superblock // with the view of this start, which is already durable
	SuperblockChecksum wire.Checksum
	OpHead             uint64 // of the log
	SessionsTrailer    []byte // content of the checkpoint's sessions; empty without a checkpoint
	RepliesTrailer     []byte // content of their replies
	Headers            []byte // of the log, one for each slot; empty: every request is executed again
}

// entry is one prepare of the pipeline, from its sequencing until its replies are sent.
type entry struct {
	op        uint64
	slot      stages.Slot
	replySlot stages.Slot
	replies   []stages.Reply // in replySlot, once executed
	isPulse   bool
	sent      bool // to apply
	durable   bool
	executed  bool
	record    record
	loaded    bool // the prepare is in slot; a recovery has to read it first
}

// request is a client's request that waits for a prepare.
type request struct {
	slot          stages.Slot
	bytes         uint32
	eventsCount   uint32
	replyBytesMax uint32
	arrivedNs     uint64 // for the metrics
	arrivingNs    uint64
	receivedNs    uint64
	bodyHashed    bool
	bodySum       wire.Checksum
}

// Events are the inputs of a step. Completions free room for new work, so answers come before
// requests.
type Events struct {
	WallNs  uint64 // the wall clock: for timestamps of prepares, due expiries, and the report of a clock that is behind
	Journal []stages.JournalToConsensus
	Apply   []stages.ApplyToConsensus
	Net     []stages.NetToConsensus
}

// Actions are the outputs of a step, in order within each slice. The slices are preallocated, and a
// step never exceeds them.
type Actions struct {
	Net     []stages.ConsensusToNet
	Journal []stages.ConsensusToJournal
	Apply   []stages.ConsensusToApply
	// Ops that have ended, for the recorder of slow ops.
	Ops []metrics.Op
	// Ready becomes true in the step from which on clients are served.
	Ready bool
	// ClockBehindNs is set once an hour while the wall clock is behind the newest timestamp of the
	// log.
	ClockBehindNs uint64
	// Fault stops the replica.
	Fault *storage.Fault
}

// NewActions returns actions with room for all outputs of one step with limits l.
func NewActions(l *limits.Limits) Actions {
	// One answer to each event of net; a reply to each client in flight; the slot of each prepare,
	// and of each request of a group; a session that each prepare may end, since a register has a
	// prepare of its own.
	return Actions{
		Net:     make([]stages.ConsensusToNet, 0, netEventsMax+ClientsInFlightMax(l)+2*l.PipelineOpsMax+queueMax(l)),
		Journal: make([]stages.ConsensusToJournal, 0, 64),
		Apply:   make([]stages.ConsensusToApply, 0, 64),
		Ops:     make([]metrics.Op, 0, l.PipelineOpsMax),
	}
}

// Reset empties the actions.
func (a *Actions) Reset() {
	a.Net, a.Journal, a.Apply, a.Ops = a.Net[:0], a.Journal[:0], a.Apply[:0], a.Ops[:0]
	a.Ready, a.ClockBehindNs, a.Fault = false, 0, nil
}

// Stage decides; see doc.go.
type Stage struct {
	limits  limits.Limits
	options Options
	slots   *stages.Slots
	checks  wire.RequestLimits
	server  wire.ServerFields

	// Log.
	op            uint64 // highest prepared op
	commit        uint64 // highest op whose replies are sent
	parent        wire.Checksum
	timestampLast uint64
	checksums     []wire.Checksum // checksums of the headers in the log, by op modulo slots

	pipeline      []entry // ring: the entry at pipelineFirst is that of commit + 1
	pipelineFirst int
	pipelineCount int
	appending     bool // a prepare is being written: a single replica writes one at a time

	queue      []request // ring of requests in order of arrival
	queueFirst int
	queueCount int
	inFlight   clientIndex // clients with a request in queue or pipeline

	sessions  sessions
	replyRefs []uint32 // per reply slot: references of sessions, sends and snapshots
	snapshot  snapshot

	// Timers of expiry.
	nextPulseNs   uint64
	pulseInFlight bool
	pulseYielded  bool // requests have once gone before a due pulse
	idleSinceNs   uint64
	wallNs        uint64
	clockReportNs uint64 // a clock that is behind is reported again from then on

	// Superblock.
	superblock         datafile.Superblock
	superblockNext     datafile.Superblock
	superblockChecksum wire.Checksum
	superblockBusy     bool
	checkpointID       wire.Checksum
	checkpointParentID wire.Checksum

	// Recovery.
	recovering     bool
	opHead         uint64
	opRead         uint64 // highest op whose read was started
	readsInFlight  int
	unwanted       []bool // by log slot, during a replay: nobody will ask for the reply
	sessionsSkipTo uint64 // the sessions contain the ops up to the checkpoint's trigger already

	failed bool

	// Counters for the metrics.
	RequestsCount, PreparesCount, GroupsCount, EvictionsCount, IgnoredCount, RepliesCount uint64

	measures measures
}

// ClientsInFlightMax is the largest number of clients with a request in queue or pipeline. The
// queue holds queueMax. The groups of the pipeline hold clients that had a session when they were
// admitted, and registers. Further messages are dropped, like those that do not fit the queue.
func ClientsInFlightMax(l *limits.Limits) uint32 {
	return queueMax(l) + l.SessionsMax + l.PipelineOpsMax
}

func queueMax(l *limits.Limits) uint32 { return l.ConnectionsMax + l.SessionsMax }

// New makes the stage of a single replica that continues from r.
func New(l limits.Limits, options Options, slots *stages.Slots, r *Recovered, memory *arena.Arena) (*Stage, error) {
	assert.Equal(r.Superblock.ReplicasCount, 1, "replicas of the cluster that this stage orders for")
	// A client slot takes any message, because a repeated reply is sent from the slot of the
	// request that asked for it. A full request becomes a prepare in its slot.
	assert.That(slots.Pools[stages.SlotClient].SlotBytes() >= wire.MessageBytesMax, "a client slot holds any message")
	assert.That(slots.Pools[stages.SlotReply].SlotBytes() >= wire.MessageBytesMax, "a reply slot holds any reply")
	assert.That(slots.Pools[stages.SlotPrepare].SlotBytes() >= uint64(l.MessageBytesMax), "a prepare slot holds any prepare")
	assert.That(slots.Pools[stages.SlotPrepare].SlotsCount() >= l.PipelineOpsMax, "every prepare of the pipeline has a slot")
	assert.That(slots.Pools[stages.SlotReply].SlotsCount() >= l.SessionsMax+l.PipelineOpsMax, "sessions and pipeline have a reply slot each")
	key := hashing.NewKey(l.HashSeed)
	s := &Stage{
		limits:  l,
		options: options,
		slots:   slots,
		checks: wire.RequestLimits{
			ReleaseMin:    options.ReleaseMin,
			ReleaseMax:    options.ReleaseMax,
			BatchBytesMax: l.RequestBytesMax - limits.HeaderBytes,
		},
		server: wire.ServerFields{
			Cluster: r.Superblock.Cluster,
			View:    r.Superblock.View,
			Release: options.ReleaseAnnounced,
			Replica: r.Superblock.Replica,
		},
		checksums:          arena.Slice[wire.Checksum](memory, uint64(l.JournalSlotsCount), "header checksums"),
		pipeline:           make([]entry, l.PipelineOpsMax),
		queue:              make([]request, queueMax(&l)),
		inFlight:           newClientIndex(&key, ClientsInFlightMax(&l), memory, "requests in flight"),
		sessions:           newSessions(&key, l.SessionsMax, memory),
		replyRefs:          make([]uint32, slots.Pools[stages.SlotReply].SlotsCount()),
		snapshot:           newSnapshot(l.SessionsMax, memory),
		nextPulseNs:        1,
		superblock:         r.Superblock,
		superblockChecksum: r.SuperblockChecksum,
		recovering:         true,
		opHead:             r.OpHead,
	}
	checkpoint := &s.superblock.Checkpoint
	s.checkpointID, s.checkpointParentID = datafile.CheckpointID(checkpoint), checkpoint.ParentID
	s.op, s.commit, s.opRead = checkpoint.Op, checkpoint.Op, checkpoint.Op
	s.parent = checkpoint.PrepareChecksum
	s.checksums[s.slotIndex(checkpoint.Op)] = s.parent
	if checkpoint.Op > 0 {
		s.sessionsSkipTo = l.CheckpointTrigger(checkpoint.Op)
		if err := s.sessions.load(r.SessionsTrailer, r.RepliesTrailer, slots, s.takeReplySlot); err != nil {
			return nil, err
		}
		for i := range s.sessions.entries {
			if e := &s.sessions.entries[i]; e.used {
				s.replyRefs[e.replySlot.Handle()]++
			}
		}
	}
	s.findUnwanted(r.Headers)
	return s, nil
}

// Commit is the highest op whose replies are sent.
func (s *Stage) Commit() uint64 { return s.commit }

// Step handles the events, in the order of the fields of Events. Then it does the work for which
// the time has come or the events have freed room. The same state, time and events always give the
// same actions.
func (s *Stage) Step(nowNs uint64, events Events, out *Actions) {
	s.measures.nowNs = nowNs
	for i := range events.Journal {
		s.onJournal(&events.Journal[i], out)
	}
	for i := range events.Apply {
		s.onApply(&events.Apply[i], out)
	}
	for i := range events.Net {
		s.onNet(&events.Net[i], out)
	}
	s.tick(nowNs, events.WallNs, out)
}

// tick does the work for which the time has come or the events of this step have freed room.
func (s *Stage) tick(nowNs, wallNs uint64, out *Actions) {
	if s.failed {
		return
	}
	s.wallNs = wallNs
	if s.recovering {
		s.replay(out)
		if s.recovering {
			return
		}
		// A primary begins with a pulse, because expiries may have become due while it was down.
		s.idleSinceNs = 0
		out.Ready = true
	}
	s.watchClock(nowNs, out)
	s.sequence(nowNs, out)
}

// watchClock reports a wall clock that is behind the newest timestamp, at the start and then once
// an hour. New timestamps continue from the newest one, so the order of events is safe.
func (s *Stage) watchClock(nowNs uint64, out *Actions) {
	if s.timestampLast > s.wallNs+clockBehindNsMax && nowNs >= s.clockReportNs {
		out.ClockBehindNs = s.timestampLast - s.wallNs
		s.clockReportNs = nowNs + clockReportEveryNs
	}
}

// TimerNs is the latest time at which the stage needs a step. While no prepare may start, there is
// no such time, because only an event ends that state.
func (s *Stage) TimerNs() uint64 {
	if s.recovering || s.failed || s.pulseInFlight || !s.mayPrepare() {
		return ^uint64(0)
	}
	return s.idleSinceNs + pulseIdleNs
}

// onJournal handles one answer of journal.
func (s *Stage) onJournal(e *stages.JournalToConsensus, out *Actions) {
	if s.failed {
		return
	}
	switch e.Kind {
	case stages.JournalAppended:
		p := s.entryOf(e.Op)
		assert.That(!p.durable, "a prepare becomes durable once")
		p.durable, s.appending = true, false
		p.record.appended(&e.Times)
		s.feedApply(out)
		s.releasePrepare(p, out)
		s.complete(out)
	case stages.JournalReadDone:
		s.onPrepareRead(e, out)
	case stages.JournalSuperblockDone:
		s.onSuperblockDone(e, out)
	case stages.JournalFault:
		s.fail(e.Fault, out)
	default:
		assert.That(false, "journal answer kind is known")
	}
}

// onApply handles one answer of apply.
func (s *Stage) onApply(e *stages.ApplyToConsensus, out *Actions) {
	if s.failed {
		return
	}
	switch e.Kind {
	case stages.ApplyCommitted:
		p := s.entryOf(e.Op)
		assert.That(p.sent && !p.executed, "an op executes once, after it was committed to apply")
		p.executed, p.replies = true, e.Replies
		p.record.executed(&e.Times)
		s.nextPulseNs = e.NextPulseNs
		s.releasePrepare(p, out)
		s.complete(out)
	case stages.ApplyCheckpointReady:
		s.onCheckpointReady(e.Checkpoint, out)
	case stages.ApplyFault:
		s.fail(e.Fault, out)
	default:
		assert.That(false, "apply answer kind is known")
	}
}

func (s *Stage) fail(fault *storage.Fault, out *Actions) {
	s.failed = true
	out.Fault = fault
}

// feedApply gives apply the next ops that it may execute, in op order. Execution may run ahead of
// the log, because no other op can take the place of a single replica's op. A trigger op is the
// exception. Its checkpoint would leave the process, so the op must be durable first.
//
// No op behind trigger + slack is executed before its checkpoint is durable. At the end of the
// first bar there, apply frees blocks that only the previous checkpoint names, and a crash would go
// back to that checkpoint.
func (s *Stage) feedApply(out *Actions) {
	opMax := s.limits.CheckpointTrigger(s.limits.CheckpointAfter(s.superblock.Checkpoint.Op)) + uint64(s.limits.SlackOps)
	for i := range s.pipelineCount {
		p := s.pipelineAt(i)
		if p.sent {
			continue
		}
		if !p.loaded || p.op > opMax || s.limits.IsTrigger(p.op) && !p.durable {
			return
		}
		p.sent = true
		out.Apply = append(out.Apply, stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: p.slot, ReplySlot: p.replySlot, Op: p.op})
	}
}

// releasePrepare frees the prepare's slot when neither journal nor apply needs it.
func (s *Stage) releasePrepare(p *entry, out *Actions) {
	if !p.durable || !p.executed {
		return
	}
	if p.slot.Class() == stages.SlotClient {
		out.Net = append(out.Net, stages.ConsensusToNet{Kind: stages.NetFree, Slot: p.slot})
	} else {
		s.slots.Put(p.slot)
	}
	p.slot = stages.SlotNone
}

// complete releases the replies of ops that are durable and executed, in op order.
func (s *Stage) complete(out *Actions) {
	for s.pipelineCount > 0 {
		p := s.pipelineAt(0)
		if !p.executed || !p.durable {
			return
		}
		assert.Equal(p.op, s.commit+1, "ops complete in order")
		s.commit = p.op
		if p.op > s.sessionsSkipTo {
			s.updateSessions(p, out)
			if !s.recovering {
				s.sendReplies(p, out)
				s.ended(p, out)
			}
		}
		if p.replySlot != stages.SlotNone {
			s.unrefReply(p.replySlot) // the reference of the pipeline
		}
		if p.isPulse {
			s.pulseInFlight = false
		}
		isTrigger := s.limits.IsTrigger(p.op) && p.op > s.sessionsSkipTo
		op := p.op
		s.pipelineFirst = (s.pipelineFirst + 1) % len(s.pipeline)
		s.pipelineCount--
		if isTrigger {
			s.takeSnapshot(op, out)
		}
	}
}

// updateSessions applies p to the table, in the order of the log. So all replicas evict the same
// sessions.
func (s *Stage) updateSessions(p *entry, out *Actions) {
	for i := range p.replies {
		assert.Equal(p.replies[i].Op, p.op, "op of a reply")
		s.updateSession(&p.replies[i], p.replySlot, uint32(i), out)
	}
}

func (s *Stage) updateSession(reply *stages.Reply, slot stages.Slot, position uint32, out *Actions) {
	if arrival, ok := s.inFlight.get(reply.Client); ok && !s.recovering {
		s.inFlight.remove(reply.Client)
		s.measures.replied(arrival)
	}
	e := s.sessions.find(reply.Client)
	if reply.Operation == wire.OperationRegister {
		assert.That(e == nil, "a client registers once")
		index := s.sessions.free()
		if index < 0 {
			index = s.sessions.victim()
			s.endSession(index, out)
		}
		e = &s.sessions.entries[index]
		s.sessions.put(e, index, reply.Client, reply.Op)
	} else if e == nil {
		return // evicted while its request was in the pipeline; the request was executed and answered all the same
	}
	if e.replySlot != stages.SlotNone {
		s.unrefReply(e.replySlot)
	}
	e.setReply(reply, slot, position)
	s.replyRefs[slot.Handle()]++
}

// endSession evicts a session to make room. Its client hears of it when it sends again; net hears
// of it now, because the client's connection must no longer be kept in place of a newcomer's.
// During a replay there are no connections.
func (s *Stage) endSession(index int, out *Actions) {
	e := &s.sessions.entries[index]
	if !s.recovering {
		out.Net = append(out.Net, stages.ConsensusToNet{Kind: stages.NetSessionEnded, Client: e.client})
	}
	s.unrefReply(e.replySlot)
	s.sessions.drop(index)
}

// sendReplies sends the replies of p, whose sessions are up to date. A client that was evicted
// while its request was in the pipeline gets its reply, but has no session.
func (s *Stage) sendReplies(p *entry, out *Actions) {
	for i := range p.replies {
		reply := &p.replies[i]
		s.replyRefs[p.replySlot.Handle()]++
		s.RepliesCount++
		out.Net = append(out.Net, stages.ConsensusToNet{Kind: stages.NetSend, Slot: p.replySlot, OffsetBytes: reply.OffsetBytes,
			Bytes: reply.Bytes, Client: reply.Client, Registered: s.sessions.find(reply.Client) != nil})
	}
}

// takeReplySlot takes a free reply slot. The caller has to count the first reference.
func (s *Stage) takeReplySlot() stages.Slot {
	slot := s.slots.Get(stages.SlotReply)
	assert.That(slot != stages.SlotNone, "the checkpoint holds no more sessions than there are reply slots")
	return slot
}

func (s *Stage) unrefReply(slot stages.Slot) {
	refs := &s.replyRefs[slot.Handle()]
	assert.That(*refs > 0, "a reply slot that is let go was held")
	*refs--
	if *refs == 0 {
		s.slots.Put(slot)
	}
}

func (s *Stage) entryOf(op uint64) *entry {
	assert.That(op > s.commit && op <= s.commit+uint64(s.pipelineCount), "an answered op is in the pipeline")
	p := s.pipelineAt(int(op - s.commit - 1))
	assert.Equal(p.op, op, "op of a pipeline entry")
	return p
}

func (s *Stage) pipelineAt(i int) *entry {
	return &s.pipeline[(s.pipelineFirst+i)%len(s.pipeline)]
}

func (s *Stage) pushEntry(p entry) *entry {
	assert.Below(s.pipelineCount, len(s.pipeline), "prepares in the pipeline")
	at := s.pipelineAt(s.pipelineCount)
	*at = p
	s.pipelineCount++
	return at
}

func (s *Stage) slotIndex(op uint64) uint64 { return op & uint64(s.limits.JournalSlotsCount-1) }
