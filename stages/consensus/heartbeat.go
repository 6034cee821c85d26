package consensus

import (
	"math"
	"math/bits"

	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/vsr"
	"ledger/wire"
)

// beats is what a primary has told of its view, and whether something waits for answers.
type beats struct {
	committed uint64 // that the backups were told
	view      uint32 // whose log was told to all
	waitsNs   uint64 // since when an op waits for a quorum; 0: none does
	givesWay  bool
	progress  uint64 // of a new primary, when it was last looked at
	leadsNs   uint64 // since when it has sent heartbeats in its view; 0: it sends none
	followed  uint8  // bits of the replicas that have this view's log durable
}

func (b *beats) hasAnnounced(view uint32) bool { return b.view == view }

// announceView: the log of the view was told to all, and heartbeats follow.
func (b *beats) announceView(view uint32, nowNs uint64) { b.view, b.leadsNs = view, max(nowNs, 1) }

// leadsSince is when that was.
func (b *beats) leadsSince() uint64 { return b.leadsNs }

func (b *beats) announced(committed uint64) { b.committed = committed }

// isNews tells whether the backups have not been told that op is committed.
func (b *beats) isNews(committed uint64) bool { return committed > b.committed }

// waiting: ops wait for a quorum from now on, or another one does, or none.
func (b *beats) waiting(isWaiting bool, nowNs uint64) {
	b.waitsNs = 0
	if isWaiting {
		b.waitsNs = max(nowNs, 1)
	}
}
func (b *beats) waitingSince() uint64 { return b.waitsNs }

// late: the replica did not run for so long, and this time does not count.
func (b *beats) late(lateNs uint64) {
	if b.waitsNs > 0 {
		b.waitsNs += lateNs
	}
	if b.leadsNs > 0 {
		b.leadsNs += lateNs
	}
}

// giveWay: nothing more is sent that the backups would take for a sign of life.
func (b *beats) giveWay()          { b.givesWay = true }
func (b *beats) isGivingWay() bool { return b.givesWay }
func (b *beats) begin() {
	b.givesWay, b.waitsNs, b.leadsNs, b.committed, b.followed = false, 0, 0, 0, 0
}
func (b *beats) stepDown() { b.givesWay, b.waitsNs, b.leadsNs, b.followed = false, 0, 0, 0 }

// followedBy: a replica has told in this view what it tells only when its log view is durable.
func (b *beats) followedBy(replica int) { b.followed |= 1 << replica }

// followers is the number of such replicas.
func (b *beats) followers() int { return bits.OnesCount8(b.followed) }

// hasAdvanced tells whether a new primary has come closer to serving since this was last asked.
func (b *beats) hasAdvanced(progress uint64) bool {
	before := b.progress
	b.progress = progress
	return progress != before
}

// lead is what a primary does in each step.
func (s *Stage) lead() {
	// A client whose request is committed and not executed yet has neither a session that knows it
	// nor a place in the index. So all that is committed is executed first, late replies included.
	if !s.status.isServing() && !s.opening.isOn() && s.commits.min() == s.commits.max() && !s.late.isAny() && s.indexRecent() {
		s.status.serve()
		s.deadlines.proven()
		s.timers.serve()
	}
	s.watchUpgrade()
	if s.mayOrder() {
		s.order()
	}
	if s.beats.isGivingWay() {
		return
	}
	if s.deadlines.resends(s.pipeline.count() > 0, s.clock.RoundTripNs()) {
		op, missing := s.pipeline.missing(s.peers.others())
		if slot, isThere := s.recent.has(op, s.log.checksum(op)); isThere && slot != stages.SlotNone {
			s.sendPrepare(op, slot, missing)
		}
	}
	isProbe := s.deadlines.probes(s.pipeline.count() > 0)
	if isProbe || s.beats.isNews(s.commits.max()) || s.deadlines.heartbeats() {
		s.sendHeartbeat()
	}
}

// mayOrder tells whether this replica makes prepares.
func (s *Stage) mayOrder() bool {
	return s.isPrimary() && s.status.isServing() && !s.beats.isGivingWay()
}

// sendPrepare sends a prepare from its slot.
func (s *Stage) sendPrepare(op uint64, slot stages.Slot, to uint16) {
	s.slots.hold(slot)
	s.sendTo(peer.CommandPrepare, s.views.now(), slot, s.log.header(op).SizeBytes(), to)
}

// sendHeartbeat tells the backups that the primary lives, and what is committed.
func (s *Stage) sendHeartbeat() {
	op := s.commits.max()
	if op > s.log.head() || s.log.checksumOrNone(op) == (wire.Checksum{}) {
		return
	}
	s.sendSmall(peer.CommandCommit, s.views.now(), in(&s.outgoing.commit, peer.Commit{
		Checksum: s.log.checksum(op), CheckpointID: s.superblocks.checkpointID(), Op: op,
		CheckpointOp: min(s.superblocks.now().Checkpoint.Op, op), ClockNs: s.timers.now(),
	}), s.peers.members())
	s.deadlines.signed(true)
	s.beats.announced(op)
}

// onHeartbeat: the primary lives.
func (s *Stage) onHeartbeat(from int, m *peer.Commit) {
	if !s.hears(from) {
		return
	}
	if before := s.executed(m.Op); before != (wire.Checksum{}) && before != m.Checksum {
		s.measures.ignored()
		s.wish(peer.CauseMismatch) // the ids of the next checkpoint tell who is broken
		return
	}
	if s.deadlines.heartbeatCame(m.ClockNs) {
		s.primaryLives()
	}
	s.commits.raiseMax(m.Op)
	s.views.told(m.Op)
	if m.Op > s.log.head() {
		s.askStartView(s.views.now())
	}
	if s.isStandby() {
		return // an echo tells a primary that it is heard by who could go on without it
	}
	echo := peer.CommitEcho{EchoNs: m.ClockNs, Op: s.log.head(), CommitMin: s.commits.min()}
	s.sendSmall(peer.CommandCommitEcho, s.views.now(), in(&s.outgoing.echo, echo), 1<<from)
}

// hears tells whether what from sends as the primary of the view counts. A replica that is still
// changing to that view asks for its log: the view is running.
func (s *Stage) hears(from int) bool {
	if from == s.self || from != s.quorums.PrimaryOf(s.views.now()) {
		return false
	}
	if !s.views.isNormal() {
		s.askStartView(s.views.now())
		return false
	}
	return true
}

// primaryLives: a new sign of life of the primary has come, so this replica does not wish to leave
// the view any more. A primary that wishes so itself does not count: it gives way.
func (s *Stage) primaryLives() {
	if s.views.wished(s.quorums.PrimaryOf(s.views.now())) {
		return
	}
	s.views.forget(1 << s.self)
	s.deadlines.unwished()
}

func (s *Stage) sendAck(to int, header prepare.Header) {
	s.sendSmall(peer.CommandPrepareOK, s.views.now(), in(&s.outgoing.ack, peer.PrepareOK{Checksum: header.Checksum(), Parent: header.Parent(),
		CheckpointID: header.CheckpointID(), Op: header.Op(), CommitMin: s.commits.min()}), 1<<to)
}

func (s *Stage) onPrepareOK(from int, incarnation uint64, m *peer.PrepareOK) {
	s.peers.heard(from, s.timers.now())
	if s.isPrimary() {
		if s.isFollower(from, incarnation) {
			s.beats.followedBy(from)
		}
		s.hearsLag(from, m.Op, m.CommitMin)
		s.acked(from, incarnation, m.Op, m.Checksum)
	}
}

// reported: a ping or a pong tells the state of another replica, of which the log view is durable.
func (s *Stage) reported(from int, incarnation uint64, state *peer.State) {
	s.peers.reports(from, state, s.timers.now())
	if s.isOfStandby(from) {
		return
	}
	s.spacing.tell(from, state.SyncOp > 0, vsr.Return{OpenNs: state.OpenNs, Cost: vsr.Cost{WriteNs: uint64(state.WriteNs)}}, s.timers.now())
	s.paceReported(from, state)
	if s.isPrimary() && state.LogView == s.views.now() && s.isFollower(from, incarnation) {
		s.beats.followedBy(from)
	}
	s.compare()
}

func (s *Stage) sendPings() {
	s.sendSmall(peer.CommandPing, s.superblocks.now().View, in(&s.outgoing.ping, peer.Ping{ClockNs: s.timers.now(), State: s.state()}),
		s.peers.members())
}

func (s *Stage) sendPong(to int, echoNs uint64) {
	s.sendSmall(peer.CommandPong, s.superblocks.now().View, in(&s.outgoing.pong,
		peer.Pong{EchoNs: echoNs, WallNs: max(s.turn.wall(), 1), State: s.state()}), 1<<to)
}

// state is what pings tell of this replica.
func (s *Stage) state() peer.State {
	durable := s.superblocks.now()
	cost := s.costs.now(s.timers.now())
	state := peer.State{
		WriteNs: uint32(min(cost.WriteNs, math.MaxUint32)), ExecuteNs: uint32(min(cost.ExecuteNs, math.MaxUint32)),
		CheckpointID: s.superblocks.checkpointID(), CheckpointParentID: durable.Checkpoint.ParentID, CheckpointOp: durable.Checkpoint.Op,
		Op: s.log.head(), CommitMin: s.commits.min(), CommitMax: s.commits.max(), LogView: durable.LogView, ReleaseMin: s.limits.ReleaseMin,
		ReleaseMax: s.limits.ReleaseMax, RequestsWaiting: uint16(s.queue.count()), Status: peer.StatusNormal,
	}
	if s.isSyncing() || s.syncing.isReturning() {
		state.SyncOp = durable.Checkpoint.Op
	}
	state.OpenNs = max(s.opening.lastNs(s.timers.now()), s.syncing.returningNs(s.timers.now()))
	switch {
	case s.views.isChanging():
		state.Status = peer.StatusViewChange
	case s.views.isRecovering():
		state.Status = peer.StatusRecoveringHead
	}
	if s.mayOrder() {
		state.RequestsRoom = uint16(s.queue.room())
	}
	if _, isKnown := s.clock.Read(s.timers.now(), s.turn.wall()); isKnown {
		state.ClockAgreed = 1
	}
	return state
}
