package consensus

import (
	"encoding/binary"

	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
)

// sendStartView tells the log of the view. A replica at an earlier checkpoint cannot store the ops
// at its end. The header of the last op that it can store is a hook: with it as its head, it has
// what it can have of the log, until its own checkpoint is durable. There are hooks for the
// checkpoint before, and for the one before that: who is at that one may have most of a log of its
// own.
func (s *Stage) sendStartView(to uint16, nonce uint64) {
	before := s.limits.CheckpointBefore(s.superblocks.now().Checkpoint.Op)
	hook, second := s.limits.PrepareMax(before), s.limits.PrepareMax(s.limits.CheckpointBefore(before))
	list, ok := vsr.StartList(&s.log, s.log.head(), s.commits.max(), s.proven(hook), s.proven(second))
	slot := stages.SlotNone
	if ok {
		slot = s.slots.take(stages.SlotSend)
	}
	if slot == stages.SlotNone {
		return
	}
	durable := s.superblocks.now()
	s.raw.fill(&list, s.views.now(), durable.Cluster, &s.log, &s.views) // the list may become shorter
	m := peer.StartView{CheckpointID: s.superblocks.checkpointID(), Op: list.Head(), CommitMax: s.commits.max(),
		CheckpointOp: durable.Checkpoint.Op, Nonce: nonce, HeadersCount: uint8(list.Count)}
	bytes := s.slots.bytes(slot)
	m.Encode(bytes[:limits.HeaderBytes])
	body := bytes[limits.HeaderBytes:]
	clear(body[:peer.CheckpointBytes])
	datafile.EncodeCheckpoint(body[:peer.CheckpointBytes], &durable.Checkpoint)
	size := limits.HeaderBytes + peer.CheckpointBytes + s.raw.put(body[peer.CheckpointBytes:])
	s.sendTo(peer.CommandStartView, s.views.now(), slot, uint32(size), to)
}

// proven returns op if its header here is that of the view's log, and otherwise the head, which is
// no hook. Behind the checkpoint of the start, nothing proves what a header of the disk is of: an
// older view may have prepared it, and a replica with such a head would execute it.
func (s *Stage) proven(op uint64) uint64 {
	if op > s.log.base() && (op <= s.commits.last() || op >= s.log.chainedFrom()) {
		return op
	}
	return s.log.head()
}

// askStartView asks for the log of a view that is running, unless that was done a short time ago.
func (s *Stage) askStartView(view uint32) {
	if s.deadlines.askSoon(view) || s.deadlines.asks() {
		s.requestStartView(view)
	}
}

func (s *Stage) requestStartView(view uint32) {
	s.sendSmall(peer.CommandRequestStartView, view, in(&s.outgoing.startView, peer.RequestStartView{Nonce: s.views.nonce()}),
		s.peers.others()&(1<<s.quorums.PrimaryOf(view)))
}

// tooFarToFollow: nothing of the log of the view can be stored here. If the own next checkpoint is
// on its way, the next start_view fits. Otherwise this replica says so and goes on to vote: it may
// be needed for a later view, whose primary may have the header that this one cannot prove.
func (s *Stage) tooFarToFollow() {
	s.measures.ignored()
	next := s.limits.CheckpointAfter(s.superblocks.now().Checkpoint.Op)
	if s.views.isChanging() && s.commits.last() < s.limits.CheckpointTrigger(next) {
		s.ballots.fail(AwayFar)
	}
}

// firstMissing is the lowest op that was not executed here and whose prepare is not on disk. What
// others still have lies less than a log below their head. A start executes anew what is behind the
// checkpoint, and has much of it.
func (s *Stage) firstMissing() uint64 {
	op := s.commits.last() + 1
	for op <= s.log.head() && s.log.isClean(op) {
		op++
	}
	return op
}

// onStartView: the primary of a view tells its log, and its checkpoint.
func (s *Stage) onStartView(from int, view uint32, m *peer.StartView, body []byte) {
	start := vsr.Start{
		View: view, From: from, Op: m.Op, CommitMax: m.CommitMax, Self: s.self, OwnView: s.views.now(), OwnLogView: s.views.logView(),
		OwnOp: s.log.head(), CheckpointOp: s.superblocks.now().Checkpoint.Op,
		PrepareMax:      s.limits.PrepareMax(s.superblocks.now().Checkpoint.Op),
		IsHeadUncertain: s.views.isRecovering(), IsStandby: s.isStandby(),
	}
	binary.LittleEndian.PutUint64(start.Nonce[:], m.Nonce)
	binary.LittleEndian.PutUint64(start.OwnNonce[:], s.views.nonce())
	checkpoint, isRight := offered(m, body[:peer.CheckpointBytes])
	s.raw.read(body[peer.CheckpointBytes:], view, nil)
	list := s.raw.list()
	if list.CheckStart(view, m.CommitMax, int(s.limits.PipelineOpsMax)) != "" || !isRight {
		s.peers.blame()
		return
	}
	if start.Ignored(&s.quorums) != "" || m.Op < s.commits.last() {
		s.measures.ignored()
		return
	}
	// What lies above prepare_max cannot be stored yet.
	var buffer [datafile.HeadersMax]prepare.Header
	all := s.raw.all(&buffer)
	for len(all) > 0 && all[0].Op() > start.PrepareMax {
		all = all[1:]
	}
	isLost := len(all) == 0 || m.Op >= s.firstMissing()+uint64(s.limits.JournalSlotsCount)
	if s.takesCheckpoint(view, m, &checkpoint, &list, isLost) {
		return
	}
	if s.syncing.isSwitchedOff() && isLost && len(all) > 0 {
		s.fail(&storage.Fault{What: storage.FaultBehind,
			Reason: "this replica is more than a whole log behind the others, who do not have what it misses any more"})
		return
	}
	if len(all) == 0 {
		s.tooFarToFollow()
		return
	}
	if !s.mayAdopt(view, all[0].Op(), all) {
		return
	}
	s.deadlines.answered()
	isNew := view > s.views.now() || !s.views.isNormal()
	if isNew {
		s.stepDown()
		s.views.enter(view)
		s.ballots.clear()
		s.views.setList(&list, &s.raw)
	}
	s.log.adopt(all[0].Op(), all)
	s.repair.goOn()
	s.commits.raiseMax(m.CommitMax)
	s.views.told(m.CommitMax)
	if !isNew {
		s.ackAll()
		return
	}
	s.views.begin(view, s.commits.max())
	s.deadlines.normal(false)
	if view > s.superblocks.now().View {
		s.superblocks.setView(view)
	}
	s.superblocks.setLog(&s.raw)
	s.writeSuperblock()
	s.ackAll()
}
