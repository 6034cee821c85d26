package consensus

import (
	"ledger/clock"
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

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
	Superblock         datafile.Superblock // with the view of this start, which is durable before anything runs
	SuperblockChecksum wire.Checksum
	OpHead             uint64 // of the log
	Headers            []byte // of the log, one for each slot; right for every op above the checkpoint

	// Of one of several replicas, whose view is that of its superblock. See journal.Several.
	CommitMax uint64  // committed, as far as superblock and log know
	Uncertain vsr.Set // ops above the head that may have been acknowledged here; empty: the head is certain
	Dirty     vsr.Set // slots of which the header is known and the prepare is missing
	Faulty    vsr.Set // slots of which nothing proves what they held
	Seed      uint64  // drawn at random at each start: for jitter, and the nonce of this start
	NowNs     uint64  // monotonic clock of the start
	WallNs    uint64
}

// Stage joins the parts of consensus; see doc.go. Each part is a struct in a file of its own, and
// no part reaches into another one's fields. What needs several parts is a method of Stage, in the
// file of its subject.
type Stage struct {
	limits limits.Limits
	checks wire.RequestLimits
	server wire.ServerFields

	slots  *slotHolds
	send   sender
	status status
	timers timers

	// From the log to the clients: an op enters log, pipeline and commit queue when this replica
	// prepares it, and the commit queue alone when it is read from the log.
	log      log
	pipeline pipeline
	commits  commitQueue
	wants    wants
	opening  opening
	syncing  syncing
	spacing  spacing

	// From the clients to the log.
	early    early
	queue    requestQueue
	inFlight clientIndex // clients with a request in queue, pipeline or commit queue; the value is arrivalOf

	sessions    sessions
	late        late
	snapshot    snapshot
	superblocks superblocks
	settling    settling

	measures measures

	// Of a cluster.
	self      int
	quorums   vsr.Quorums
	bounds    peer.Bounds
	clock     clock.Clock
	views     views
	ballots   ballots
	peers     peers
	members   members
	recent    recent
	deadlines deadlines
	costs     costs
	acks      acks
	beats     beats
	repair    repair
	blocks    blocks
	lost      lostBlocks
	healing   healing
	raw       durableLog // scratch
	turn      turn
	outgoing  outgoing
	service   service
	helped    helped
	pressure  pressure
	pace      vsr.Pace
	upgrade   upgrade

	blockServing blockServing
}

// isCluster tells whether there are other replicas.
func (s *Stage) isCluster() bool { return s.quorums.Replicas > 1 }

// ClientsInFlightMax is the largest number of clients with a request in queue or pipeline. The
// queue holds queueMax. The groups of the pipeline hold clients that had a session when they were
// admitted, and registers. Further messages are dropped, like those that do not fit the queue.
func ClientsInFlightMax(l *limits.Limits) uint32 {
	return queueMax(l) + l.SessionsMax + l.PipelineOpsMax
}

// New makes the stage of a replica that continues from r.
func New(l limits.Limits, options Options, slots *stages.Slots, r *Recovered, memory *arena.Arena) *Stage {
	assert.Equal(uint32(r.Superblock.ReplicasCount), l.ReplicasCount, "replicas of the cluster that this stage orders for")
	// A client slot takes any message, because a repeated reply is sent from the slot of the
	// request that asked for it. A full request becomes a prepare in its slot.
	assert.That(slots.Pools[stages.SlotClient].SlotBytes() >= wire.MessageBytesMax, "a client slot holds any message")
	assert.That(slots.Pools[stages.SlotReply].SlotBytes() >= wire.MessageBytesMax, "a reply slot holds any reply")
	assert.That(slots.Pools[stages.SlotPrepare].SlotBytes() >= uint64(l.MessageBytesMax), "a prepare slot holds any prepare")
	assert.That(slots.Pools[stages.SlotPrepare].SlotsCount() >= l.PipelineOpsMax, "every prepare of the pipeline has a slot")
	assert.That(slots.Pools[stages.SlotReply].SlotsCount() >= l.SessionsMax+l.PipelineOpsMax, "sessions and pipeline have a reply slot each")
	key, holds := hashing.NewKey(l.HashSeed), newSlotHolds(slots)
	checkpoint, quorums := &r.Superblock.Checkpoint, vsr.QuorumsOf(int(r.Superblock.ReplicasCount))
	s := &Stage{
		limits: l,
		checks: wire.RequestLimits{
			ReleaseMin:    options.ReleaseMin,
			ReleaseMax:    options.ReleaseMax,
			BatchBytesMax: l.RequestBytesMax - limits.HeaderBytes,
			HasMembers:    l.ReplicasCount > 1,
		},
		server: wire.ServerFields{
			Cluster: r.Superblock.Cluster,
			View:    r.Superblock.View,
			Release: options.ReleaseAnnounced,
			Replica: r.Superblock.Replica,
		},
		slots:       &holds,
		send:        newSender(&holds),
		timers:      newTimers(),
		log:         newLog(&l, memory),
		pipeline:    newPipeline(&l),
		commits:     newCommitQueue(&l, checkpoint.Op),
		early:       newEarly(&l),
		queue:       newRequestQueue(&l),
		inFlight:    newClientIndex(&key, ClientsInFlightMax(&l), memory, "requests in flight"),
		sessions:    newSessions(&key, l.SessionsMax, memory),
		snapshot:    newSnapshot(l.SessionsMax, memory),
		superblocks: newSuperblocks(&r.Superblock, r.SuperblockChecksum),

		self:      int(r.Superblock.Replica),
		quorums:   quorums,
		bounds:    boundsOf(&l, &r.Superblock),
		clock:     clock.New(int(r.Superblock.Replica), quorums.Replicas, quorums.Replication, r.NowNs, r.WallNs),
		views:     newViews(&r.Superblock, r.Seed),
		peers:     newPeers(int(r.Superblock.Replica), &l),
		members:   newMembers(int(r.Superblock.Replica), r.Superblock.Incarnation, r.Superblock.IsRecovered, &checkpoint.Members),
		recent:    newRecent(&l),
		deadlines: newDeadlines(r.Seed),
		costs:     newCosts(),
		pressure:  newPressure(&l),
		pace:      vsr.NewPace(&l),
		upgrade:   newUpgrade(),
		repair:    newRepair(int(r.Superblock.Replica), quorums.Replicas),
		blocks:    newBlocks(int(r.Superblock.Replica), quorums.Replicas),
	}
	committed := r.OpHead // all that a single replica finds in its log is committed
	if s.isCluster() {
		s.openCluster(r)
		committed = s.committedHere()
	} else {
		s.log.open(checkpoint, committed, r.Headers)
		s.commits.raiseMax(committed)
	}
	s.commits.startsAt(s.log.checksum(s.log.base()))
	s.opening = newOpening(&l, checkpoint.Op, r.NowNs)
	if checkpoint.Op > 0 {
		s.sessions.startAt(l.CheckpointTrigger(checkpoint.Op))
	}
	opFrom := max(checkpoint.Op, s.sessions.upTo())
	if s.isCluster() {
		opFrom = max(opFrom, s.log.chainedFrom()) // below, nothing proves what the log is
	}
	s.wants = newWants(&l, &s.log, opFrom, committed)
	return s
}

// Commit is the highest op whose replies are sent.
func (s *Stage) Commit() uint64 { return s.commits.min() }

// Step handles the events, in the order of the fields of Events. Then it does the work for which
// the time has come or the events have freed room. The same state, time and events always give the
// same actions.
func (s *Stage) Step(nowNs uint64, events Events, out *Actions) {
	s.send.begin(out)
	if s.isCluster() {
		if lateNs := s.deadlines.begin(nowNs, s.TimerNs()); lateNs > 0 {
			s.beats.late(lateNs)
			s.peers.late(lateNs)
		}
	}
	s.timers.begin(nowNs, s.clusterTime(nowNs, events.WallNs))
	if events.Leaves {
		s.onLeave()
	}
	for i := range events.Journal {
		s.onJournal(&events.Journal[i])
	}
	for i := range events.Apply {
		s.onApply(&events.Apply[i])
	}
	for i := range events.Net {
		s.onNet(&events.Net[i])
	}
	s.tick()
}

// tick does the work for which the time has come or the events of this step have freed room.
func (s *Stage) tick() {
	if s.status.isFailed() {
		return
	}
	if s.isCluster() {
		s.tickCluster()
		return
	}
	s.loadSessions()
	if s.load(); s.status.isFailed() {
		return
	}
	if s.status.isCatchingUp() {
		if s.opening.isOn() || s.commits.min() < s.log.head() {
			return
		}
		assert.Equal(s.commits.count(), 0, "ops left when all of the log is executed")
		s.status.serve()
		s.timers.serve()
		s.send.ready()
		s.admitEarly()
	}
	s.order()
}

// order makes the next prepares.
func (s *Stage) order() {
	if behindNs := s.timers.clockBehind(s.log.timestampLast()); behindNs > 0 {
		s.send.clockBehind(behindNs)
	}
	if !s.isCluster() {
		s.settle()
	}
	s.sequence()
	s.checkRest()
}

// checkRest: when nothing is on its way, only sessions hold slots. A slot that leaks would be
// missing for ever.
func (s *Stage) checkRest() {
	if s.queue.count() > 0 || s.commits.count() > 0 || s.late.isAny() || s.recent.count() > 0 ||
		s.send.lentCount() > 0 || s.snapshot.isLent() || s.opening.isOn() {
		return
	}
	for class := range stages.SlotClassesCount {
		atMost := 0
		if class == stages.SlotReply {
			atMost = s.sessions.count()
		}
		assert.AtMost(s.slots.heldCount(class), atMost, "slots of a class that are held at rest")
	}
}

// TimerNs is the latest time at which the stage needs a step. While no prepare may start, or the
// process is about to end, there is no such time, because only an event ends that state.
func (s *Stage) TimerNs() uint64 {
	if s.isCluster() && !s.status.isFailed() {
		return s.clusterTimerNs()
	}
	if !s.status.isServing() || s.timers.isPulsing() || s.settling.leaves() || !s.mayPrepare() {
		return ^uint64(0)
	}
	return s.timers.idleNs()
}

// onJournal handles one answer of journal.
func (s *Stage) onJournal(e *stages.JournalToConsensus) {
	if s.status.isFailed() {
		return
	}
	switch e.Kind {
	case stages.JournalAppended:
		s.onAppended(e)
	case stages.JournalReadDone:
		s.onRead(e)
	case stages.JournalSuperblockDone:
		s.onSuperblockDone(e)
	case stages.JournalSlotDamaged:
		s.onSlotDamaged(e)
	case stages.JournalFault:
		s.fail(e.Fault)
	default:
		assert.That(false, "journal answer kind is known")
	}
}

// onApply handles one answer of apply.
func (s *Stage) onApply(e *stages.ApplyToConsensus) {
	if s.status.isFailed() {
		return
	}
	if s.isOfBefore(e) {
		return
	}
	switch e.Kind {
	case stages.ApplyCommitted:
		s.onExecuted(e)
	case stages.ApplyReplied:
		s.onReplied(e)
	case stages.ApplySequencedDone:
		s.send.returned(e.Slot)
	case stages.ApplyOpened:
		s.onOpened(e)
	case stages.ApplyRepliesRead:
		s.onRepliesRead(e)
	case stages.ApplyCheckpointReady:
		s.onCheckpointReady(e.Checkpoint, e.IsWhole)
	case stages.ApplySynced:
		s.onSynced(e.Op)
	case stages.ApplyFault:
		s.fail(e.Fault)
	case stages.ApplyBlockWanted:
		s.onBlockWanted(e)
	case stages.ApplyBlockUnwanted:
		s.blocks.unwant(vsr.Block(e.Ref))
	case stages.ApplyBlockServed:
		s.onBlockServed(e)
	case stages.ApplyBlockRepaired:
		s.onBlockRepaired(e)
	default:
		assert.That(false, "apply answer kind is known")
	}
}

func (s *Stage) fail(fault *storage.Fault) {
	s.status.fail()
	s.dropEarly()
	s.send.fault(fault)
}
