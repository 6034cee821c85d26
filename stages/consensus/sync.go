package consensus

import (
	"ledger/peer"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
)

// syncing is state sync: what a replica does that cannot catch up by the log. Package vsr has the
// rules, and docs/design/cluster.md says why nothing is lost.
//
//	by the log ---- a start_view offers a checkpoint, and one is needed ----> replacing
//	replacing ----- the superblock with the offer is durable ---------------> opening; see reopen.go
//
// While it replaces, the replica takes part in nothing: it is still the one before, for the disk,
// and will be the one of the offer. The state in memory changes at once when the superblock is
// durable, to what a restart would find.
//
// Afterwards it takes part. Its checkpoint is no copy yet: blocks that were born in the sync range
// may be missing, and R4 bounds what it acknowledges. The range ends with a later checkpoint.
type syncing struct {
	isOff   bool // scripts of what happens without it
	isOn    bool // the offer is being written
	offered offer
	whole   uint64 // op of a checkpoint all of whose blocks are here; see stages.ApplySynced
	begun   uint64 // number of syncs

	returnNs uint64 // when the way back began that a sync is part of; 0: the replica is near the others

	progress uint64 // as of sinceNs
	sinceNs  uint64

	news               SyncNews // as last told
	toldNs             uint64   // when that was
	beganNs            uint64   // the sync that is told of
	blocks, blockBytes uint64   // that were fetched before it
}

// SyncNews is what a line says about state sync. It comes when a checkpoint is taken over, once a
// minute, and when nothing is missing any more.
type SyncNews struct {
	From, To       uint64 // ops of the checkpoints
	ForNs          uint64 // since it was taken over
	Blocks, Bytes  uint64 // fetched since then
	IsBegun        bool
	IsDone         bool
	IsStuckByLog   bool // why: the log led no further; else the others are two checkpoints ahead
	IsStillOpening bool
}

// syncTellNs is the time between two lines about a sync.
const syncTellNs = 60_000_000_000

// offer is the checkpoint and the log of a start_view.
type offer struct {
	view       uint32
	op         uint64
	commitMax  uint64
	checkpoint storage.Checkpoint
	list       vsr.List
	raw        durableLog
	news       SyncNews
}

func (y *syncing) isSwitchedOff() bool { return y.isOff }
func (y *syncing) isReplacing() bool   { return y.isOn }
func (y *syncing) begin(o *offer)      { y.isOn, y.offered = true, *o }

// take ends the replacing. The way back, which may need more than one sync, goes on.
func (y *syncing) take(nowNs uint64) *offer {
	y.isOn = false
	y.begun++
	if y.returnNs == 0 {
		y.returnNs = max(nowNs, 1)
	}
	return &y.offered
}

// arrived: the replica is near the others.
func (y *syncing) arrived()          { y.returnNs = 0 }
func (y *syncing) isReturning() bool { return y.returnNs > 0 }

// returningNs is for how long the replica has been on its way back.
func (y *syncing) returningNs(nowNs uint64) uint64 {
	if y.returnNs == 0 {
		return 0
	}
	return nowNs - min(nowNs, y.returnNs)
}

// count is the number of checkpoints that were taken over since the start.
func (y *syncing) count() uint64 { return y.begun }

// setWhole: no block of the checkpoint of op is missing here.
func (y *syncing) setWhole(op uint64)     { y.whole = op }
func (y *syncing) isWhole(op uint64) bool { return y.whole == op }

// tell begins to tell of a sync.
func (y *syncing) tell(news SyncNews, nowNs, blocks, bytes uint64) *SyncNews {
	y.beganNs, y.toldNs, y.blocks, y.blockBytes = nowNs, nowNs, blocks, bytes
	news.IsBegun = true
	y.news = news
	return &y.news
}

// goesOn tells how far the sync has come, if that is due. nil: it is not, or there is none.
func (y *syncing) goesOn(nowNs, blocks, bytes uint64, isDone, isOpening bool) *SyncNews {
	if y.beganNs == 0 || !isDone && nowNs < y.toldNs+syncTellNs {
		return nil
	}
	n := &y.news
	n.IsBegun, n.IsDone, n.IsStillOpening = false, isDone, isOpening
	n.ForNs, n.Blocks, n.Bytes = nowNs-y.beganNs, blocks-y.blocks, bytes-y.blockBytes
	if y.toldNs = nowNs; isDone {
		y.beganNs = 0
	}
	return n
}

// stalledNs is the time since progress, a number that changes with it, last changed.
func (y *syncing) stalledNs(progress, nowNs uint64) uint64 {
	if progress != y.progress || y.sinceNs == 0 {
		y.progress, y.sinceNs = progress, max(nowNs, 1)
	}
	return nowNs - min(nowNs, y.sinceNs)
}

// isSyncing tells whether this replica has taken over a checkpoint of which it has not got all.
func (s *Stage) isSyncing() bool {
	durable := s.superblocks.now()
	return s.syncing.isReplacing() || durable.SyncOpMax > 0 && !s.syncing.isWhole(durable.Checkpoint.Op)
}

// isHalfSynced tells whether the own checkpoint is no copy, and it is not known that a quorum has
// it: then R4 bounds what may be acknowledged.
func (s *Stage) isHalfSynced() bool {
	durable := s.superblocks.now()
	return s.isSyncing() && !vsr.IsDurable(&s.limits, durable.Checkpoint.Op, s.commits.max())
}

// onSynced: nothing of the checkpoint of op is missing any more. So what R4 has withheld may go.
func (s *Stage) onSynced(op uint64) {
	s.syncing.setWhole(op)
	if s.isSettled() {
		s.ackAll()
	}
}

// watchReturn: a replica that came back by state sync is near when it has executed nearly all that
// is committed. Until then it tells the others that it comes; see vsr.Return.
func (s *Stage) watchReturn() {
	if s.syncing.isReturning() && !s.opening.isOn() && s.commits.max()-s.commits.min() <= vsr.NearOps(&s.limits) {
		s.syncing.arrived()
	}
}

// watchSync asks for a start_view if this replica needs the checkpoint of another one. The sync
// begins only with a start_view, because that brings a checkpoint and its log together.
func (s *Stage) watchSync() {
	isStuck := s.isStuck(s.commits.max(), false)
	if !s.syncing.isOff && s.views.isNormal() && s.quorums.PrimaryOf(s.views.now()) != s.self && s.needsSync(s.commits.max(), isStuck) {
		s.askStartView(s.views.now())
	}
}

func (s *Stage) needsSync(commitMax uint64, isStuck bool) bool {
	b := vsr.Behind{CheckpointOp: s.superblocks.now().Checkpoint.Op, CommitMax: max(commitMax, s.commits.max()), IsStuck: isStuck}
	return b.NeedsSync(&s.limits)
}

// isStuck tells whether this replica does not get on by the log. isLost: no header of the log of
// the view connects it with what is here.
func (s *Stage) isStuck(commitMax uint64, isLost bool) bool {
	next := s.commits.last() + 1
	_, isInMemory := s.recent.has(next, s.log.checksumOrNone(next))
	stall := vsr.Stall{
		CommitMin: s.commits.min(), CommitMax: max(s.commits.max(), commitMax), IsLost: isLost,
		ForNs:            s.syncing.stalledNs(s.gotOn(), s.timers.now()),
		IsChainBroken:    s.log.chainedFrom() > next,
		IsPrepareMissing: !isInMemory && !s.log.isClean(next) && s.commits.last() < s.commits.max(),
		IsBlockMissing:   s.blocks.waiting() > 0,
		IsBlockGone:      s.isBlockGone(),
	}
	stall.IsCheckpointing = s.isCheckpointing(stall.ForNs, stall.IsBlockGone)
	return stall.Is()
}

// isCheckpointing tells whether the own next checkpoint is on its way. If it does not get on, which
// may be because a block is missing that nobody has any more, it is not waited for.
func (s *Stage) isCheckpointing(stalledNs uint64, isBlockGone bool) bool {
	longest := uint64(2 * vsr.StuckNs)
	if isBlockGone {
		longest = vsr.GoneNs
	}
	return s.superblocks.isCheckpointing() || s.snapshot.isLent() && stalledNs < longest
}

// gotOn is a number that changes when this replica gets on.
func (s *Stage) gotOn() uint64 {
	blocks, _ := s.blocks.fetched()
	got := s.commits.min() + s.superblocks.now().Checkpoint.Op + blocks
	if s.opening.isOn() {
		got++
	}
	return got
}

// offered is the checkpoint of a start_view. isRight: it is the one that the message names.
func offered(m *peer.StartView, body []byte) (checkpoint storage.Checkpoint, isRight bool) {
	checkpoint = datafile.DecodeCheckpoint(body)
	return checkpoint, checkpoint.Op == m.CheckpointOp && datafile.CheckpointID(&checkpoint) == m.CheckpointID
}

// takesCheckpoint takes over the checkpoint of a start_view, if this replica needs one. false: the
// start_view is to be followed by the log.
func (s *Stage) takesCheckpoint(view uint32, m *peer.StartView, checkpoint *storage.Checkpoint, list *vsr.List, isLost bool) bool {
	if s.syncing.isOff || !s.needsSync(m.CommitMax, s.isStuck(m.CommitMax, isLost)) {
		s.upgrade.lacks(0)
		return false
	}
	durable := s.superblocks.now()
	t := vsr.Target{Op: checkpoint.Op, Head: m.Op, CommitMax: m.CommitMax, LogView: view, OwnOp: durable.Checkpoint.Op,
		OwnLogView: s.views.logView(), OwnHead: s.views.headers().Head()}
	if t.Refused(&s.limits) != "" {
		return false
	}
	if !s.mayRun(checkpoint) {
		return true
	}
	if s.isCheckpointing(s.syncing.stalledNs(s.gotOn(), s.timers.now()), s.isBlockGone()) {
		s.measures.ignored() // the next one is looked at again
		return true
	}
	s.stepDown()
	s.syncing.begin(&offer{view: view, op: m.Op, commitMax: m.CommitMax, checkpoint: *checkpoint, list: *list, raw: s.raw,
		news: SyncNews{From: durable.Checkpoint.Op, To: checkpoint.Op, IsStuckByLog: !s.needsSync(m.CommitMax, false)}})
	s.commits.raiseMax(m.CommitMax)
	opMin, opMax := vsr.SyncRange(durable.SyncOpMin, durable.Checkpoint.Op, checkpoint.Op)
	s.superblocks.replace(checkpoint, view, &s.raw, opMin, opMax)
	s.writeSuperblock()
	return true
}

// replaced: the checkpoint of another replica is durable here, and the log that came with it.
func (s *Stage) replaced() {
	o := s.syncing.take(s.timers.now())
	s.openDurable()
	var buffer [datafile.HeadersMax]prepare.Header
	s.log.adopt(o.op, o.raw.all(&buffer))
	s.repair.goOn()
	if o.view > s.views.now() || !s.views.isNormal() {
		s.views.enter(o.view)
		s.ballots.clear()
		s.views.begin(o.view, s.commits.max())
		s.deadlines.normal(false)
	}
	s.views.setList(&o.list, &o.raw)
	s.views.told(o.commitMax)
	s.deadlines.answered()
	blocks, bytes := s.blocks.fetched()
	s.send.syncNews(s.syncing.tell(o.news, s.timers.now(), blocks, bytes))
}

// tellSync says once a minute how far a sync has come, and when nothing is missing any more.
func (s *Stage) tellSync() {
	blocks, bytes := s.blocks.fetched()
	if news := s.syncing.goesOn(s.timers.now(), blocks, bytes, !s.isSyncing(), s.opening.isOn()); news != nil {
		s.send.syncNews(news)
	}
}
