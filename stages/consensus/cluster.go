package consensus

import (
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/storage/datafile"
	"ledger/vsr"
)

// turn is what a replica of a cluster keeps from step to step of its own beginning and of time.
type turn struct {
	clockNs   uint64 // the wall clock as of this step
	isStarted bool   // the first step was done
}

func (t *turn) begin(wallNs uint64) { t.clockNs = wallNs }
func (t *turn) wall() uint64        { return t.clockNs }
func (t *turn) hasStarted() bool    { return t.isStarted }
func (t *turn) start()              { t.isStarted = true }

// boundsOf are those of messages between replicas, of which a single one gets none.
func boundsOf(l *limits.Limits, durable *datafile.Superblock) (b peer.Bounds) {
	if durable.ReplicasCount > 1 {
		b = peer.NewBounds(l, durable.Cluster)
	}
	return b
}

// openCluster makes the parts of one of several replicas.
func (s *Stage) openCluster(r *Recovered) {
	durable := &r.Superblock
	s.log.openCluster(&durable.Checkpoint, durable.Cluster, s.storedHead(r.OpHead), r.Headers, &r.Dirty, &r.Faulty)
	s.commits.raiseMax(max(durable.CommitMax, r.CommitMax))
	if !s.isStandby() {
		s.views.uncertainHead(&r.Uncertain)
	}
	s.server.View = durable.LogView
}

// storedHead is the head of the log of a start. The durable list may be that of a start_view whose
// log lies above what can be stored here before the next checkpoint. Then the head is the highest
// op of the list that can be, as it was when the list came; and if there is none, the checkpoint.
// It is no other entry of the disk: below the list, one of a view before may be left over.
func (s *Stage) storedHead(opHead uint64) uint64 {
	checkpoint := s.superblocks.now().Checkpoint.Op
	prepareMax := s.limits.PrepareMax(checkpoint)
	if opHead <= prepareMax {
		return opHead
	}
	list := s.views.headers()
	for i := range list.Count {
		if h := &list.Headers[i]; !h.Blank && h.Op > checkpoint && h.Op <= prepareMax {
			return h.Op
		}
	}
	return checkpoint
}

// committedHere is up to where the log of a start is known to be what was committed. The commit_max
// of a replica in a view change may come from a log that it has not got: a new primary learns it
// from ballots of a later log_view. So it says nothing of the log that is here, and the replica
// goes on with a log that it is told.
func (s *Stage) committedHere() uint64 {
	if s.views.logView() < s.views.now() {
		return 0
	}
	return min(s.log.head(), s.commits.max())
}

// tickCluster does the work of a replica of a cluster for which the time has come.
func (s *Stage) tickCluster() {
	if !s.isStarted() {
		s.startView()
	}
	s.clock.Turn(s.timers.now(), s.turn.wall())
	if s.deadlines.pings() {
		s.sendPings()
	}
	if s.syncing.isReplacing() {
		return
	}
	s.watch()
	s.watchReturn()
	s.watchSync()
	s.tellSync()
	if s.views.hasChosen() {
		s.beginChosen()
	}
	if s.repairBlocks(); s.status.isFailed() {
		return
	}
	s.serveBlocks()
	s.repairLog()
	s.loadSessions()
	s.pull()
	if s.status.isFailed() {
		return
	}
	s.writeRecent()
	if s.isPrimary() {
		s.lead()
	} else {
		s.checkRest()
	}
	s.tellService()
}

// startView is what a replica does in its first step. One that was the primary of its view does not
// go on with it: the others may have left it.
func (s *Stage) startView() {
	s.turn.start()
	switch {
	case s.isStandby():
		s.deadlines.normal(false)
	case s.views.isNormal() && s.quorums.PrimaryOf(s.views.now()) == s.self:
		s.service.leaves(s.views.now(), peer.CauseRestarted, 0)
		s.enterView(s.views.now() + 1)
	case s.views.isChanging():
		s.deadlines.changing()
		s.vote()
	default:
		s.deadlines.normal(false)
		s.ackAll()
	}
}

func (s *Stage) isStarted() bool { return s.turn.hasStarted() }

// isPrimary: the replica is the primary of its view, whose log is known and durable here.
func (s *Stage) isPrimary() bool {
	return s.quorums.PrimaryOf(s.views.now()) == s.self && s.isSettled()
}

// isSettled: the replica is normal, and its log view is durable. It is not while a checkpoint takes
// the place of its own.
func (s *Stage) isSettled() bool {
	return s.views.isNormal() && !s.syncing.isReplacing() && s.superblocks.now().LogView == s.views.now()
}

// committed is the commit_max that a prepare of this replica carries. A single replica carries what
// it has executed.
func (s *Stage) committed() uint64 {
	if s.isCluster() {
		return s.commits.max()
	}
	return s.commits.min()
}

// clusterTime is the time that prepares are stamped with: 0 while the replicas do not agree on any.
// Then nothing is prepared but what needs no time.
func (s *Stage) clusterTime(nowNs, wallNs uint64) uint64 {
	s.turn.begin(wallNs)
	if !s.isCluster() {
		return wallNs
	}
	clusterNs, isKnown := s.clock.Read(nowNs, wallNs)
	if !isKnown {
		return 0
	}
	return clusterNs
}

// clusterTimerNs is the latest time at which the stage needs a step.
func (s *Stage) clusterTimerNs() uint64 {
	now := s.timers.now()
	if s.syncing.isReplacing() {
		return min(s.deadlines.pingNs(), s.clock.NextNs(now))
	}
	next := min(s.deadlines.nextNs(s.views.isNormal(), s.isPrimary() && !s.beats.isGivingWay()), s.clock.NextNs(now),
		s.blocks.nextNs(now), s.repair.nextNs(), s.lost.nextNs(), s.pressure.nextNs(now), s.spacedNs(), s.pacedTimerNs())
	if s.status.isServing() && !s.timers.isPulsing() && s.mayPrepare() && s.slots.freeCount(stages.SlotPrepare) > 0 {
		next = min(next, s.timers.idleNs())
	}
	return next
}

// onDurable: a superblock is durable, so what waited for it can go.
func (s *Stage) onDurable() {
	s.server.View = s.superblocks.now().LogView
	if s.syncing.isReplacing() {
		return
	}
	if s.views.isChanging() && !s.views.hasChosen() && !s.isStandby() {
		s.vote()
	}
	if s.isSettled() {
		if s.isPrimary() && !s.beats.hasAnnounced(s.views.now()) {
			s.beats.announceView(s.views.now(), s.timers.now())
			s.sendStartView(s.peers.others(), 0)
		}
		s.ackAll()
	}
}

// refreshList gives the superblock of a checkpoint a list whose head is at or above its trigger. In
// a view change the list is frozen, and long enough.
func (s *Stage) refreshList() {
	if !s.views.isNormal() {
		return
	}
	list := vsr.RefreshList(&s.log, s.views.headers(), s.log.head(), s.commits.max())
	s.setList(&list, s.views.logView())
}

// setList makes a list that of the superblock.
func (s *Stage) setList(list *vsr.List, logView uint32) {
	s.raw.fill(list, logView, s.superblocks.now().Cluster, &s.log, &s.views)
	s.views.setList(list, &s.raw)
	s.superblocks.setLog(&s.raw)
}

// onConnection takes what net says of a connection.
func (s *Stage) onConnection(e *stages.NetToConsensus) {
	isLive := e.Kind == stages.NetPeerLive
	s.peers.connected(int(e.Peer), isLive, s.timers.now())
	if !s.isOfStandby(int(e.Peer)) {
		s.members.connected(int(e.Peer), 0)
		if isLive {
			s.members.connected(int(e.Peer), e.Incarnation)
		}
	}
	if !s.isOfStandby(int(e.Peer)) { // a standby is asked for nothing
		s.repair.connected(int(e.Peer), isLive)
		s.blocks.connected(s.timers.now(), int(e.Peer), isLive)
		if !isLive {
			s.spacing.left(int(e.Peer), s.timers.now())
		}
	}
	s.blockServing.connected(int(e.Peer))
	s.send.noted(e.Peer)
	if isLive && s.isStarted() && !s.status.isFailed() && !s.syncing.isReplacing() {
		s.greet(int(e.Peer))
	}
}

// greet says at once what a replica that is connected now may have missed, as it would be said
// again after a time: what was sent on the connection before may be lost.
func (s *Stage) greet(replica int) {
	switch {
	case s.mayAnnounce():
		s.sendHeartbeat()
	case replica != s.quorums.PrimaryOf(s.views.now()):
	case s.views.isRecovering() || s.isStandby():
		s.requestStartView(s.views.now())
	case s.views.isChanging():
		s.vote()
		s.requestStartView(s.views.now())
	default:
		s.ackAll()
	}
}

// sendTo sends the message in slot to those of to that take one, if it may leave. It takes over the
// caller's hold.
func (s *Stage) sendTo(command peer.Command, view uint32, slot stages.Slot, bytes uint32, to uint16) {
	to = s.peers.reachable(to)
	if to != 0 && mayLeave(command, view, s.superblocks.now()) {
		s.peers.sent(to)
		s.send.peers(command, view, slot, bytes, to)
	}
	s.send.release(slot)
}

// message is a message without a body, or with one that fits a small slot.
type message interface{ Encode(inner []byte) }

// outgoing has room for one message of each kind. A message that sendSmall gets as an interface
// would be allocated otherwise.
type outgoing struct {
	commit         peer.Commit
	echo           peer.CommitEcho
	ack            peer.PrepareOK
	ping           peer.Ping
	pong           peer.Pong
	wish           peer.StartViewChange
	startView      peer.RequestStartView
	headers        peer.RequestHeaders
	prepare        peer.RequestPrepare
	prepareMissing peer.PrepareMissing
	blocks         peer.RequestBlocks
	blockMissing   peer.BlockMissing
}

// in puts a message where there is room for it.
func in[M any](room *M, m M) *M {
	*room = m
	return room
}

// sendSmall builds a message of view in a slot and sends it. Without a free slot it is dropped.
func (s *Stage) sendSmall(command peer.Command, view uint32, m message, to uint16) {
	slot := s.slots.take(stages.SlotSend)
	if slot == stages.SlotNone {
		return
	}
	m.Encode(s.slots.bytes(slot)[:limits.HeaderBytes])
	s.sendTo(command, view, slot, limits.HeaderBytes, to)
}
