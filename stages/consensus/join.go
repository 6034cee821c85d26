package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/vsr"
	"ledger/wire"
)

// ballots are the do_view_changes that a new primary has of its view, by replica.
type ballots struct {
	each  [limits.ReplicasMax]vsr.Ballot
	raw   [limits.ReplicasMax]durableLog
	there [limits.ReplicasMax]*vsr.Ballot
	those [limits.ReplicasMax]*vsr.Ballot // scratch
	why   Away                            // why they lead to no log; AwayNot: more of them may
}

func (b *ballots) clear() { b.there, b.why = [limits.ReplicasMax]*vsr.Ballot{}, AwayNot }

// verdict is why the ballots lead to no log, if that is known.
func (b *ballots) verdict() Away { return b.why }

// fail: the ballots lead to no log. The next primary tries again.
func (b *ballots) fail(why Away) { b.why = why }

// put takes a ballot, and the whole headers of its list. A later one of the same replica has the
// same list.
func (b *ballots) put(replica int, ballot *vsr.Ballot, raw *durableLog) {
	b.each[replica], b.raw[replica] = *ballot, *raw
	b.there[replica] = &b.each[replica]
}

// counted are those of the data files that the cluster knows as its replicas.
func (b *ballots) counted(replicas int, known vsr.Known) []*vsr.Ballot {
	vsr.Counted(&known, b.there[:replicas], b.those[:replicas])
	return b.those[:replicas]
}

// header returns a header of the list of a replica's ballot.
func (b *ballots) header(replica int, op uint64, checksum wire.Checksum) prepare.Header {
	return b.raw[replica].find(op, checksum)
}

// vote tells the next primary what this replica has of its log, if that is durable. The next
// primary tells itself.
func (s *Stage) vote() {
	assert.That(!s.isStandby(), "a standby does not vote")
	view := s.views.now()
	if s.isStranger() || !mayLeave(peer.CommandDoViewChange, view, s.superblocks.now()) || s.views.hasChosen() {
		return
	}
	b := vsr.Ballot{LogView: s.views.logView(), CommitMin: s.commits.min(), CheckpointOp: s.superblocks.now().Checkpoint.Op,
		Incarnation: s.members.incarnation(), IsRecovered: s.members.isRecovered(), List: *s.views.headers()}
	b.Present, b.Nack = b.List.Bits(&s.log)
	if s.quorums.PrimaryOf(view) == s.self {
		s.ballots.put(s.self, &b, s.views.durable())
		s.choose()
		return
	}
	slot := s.slots.take(stages.SlotSend)
	if slot == stages.SlotNone {
		return
	}
	m := peer.DoViewChange{Op: b.List.Head(), CommitMin: b.CommitMin, CheckpointOp: b.CheckpointOp, LogView: b.LogView, Present: b.Present,
		Nack: b.Nack, HeadersCount: uint8(b.List.Count)}
	if b.IsRecovered {
		m.Recovered = 1
	}
	b.List.Uncertain.Put(&m.Uncertain)
	bytes := s.slots.bytes(slot)
	m.Encode(bytes[:limits.HeaderBytes])
	size := limits.HeaderBytes + s.views.durable().put(bytes[limits.HeaderBytes:])
	s.sendTo(peer.CommandDoViewChange, view, slot, uint32(size), 1<<s.quorums.PrimaryOf(view))
}

// onBallot: a replica says what it has.
func (s *Stage) onBallot(from int, incarnation uint64, m *peer.DoViewChange, body []byte) {
	if s.mayAnnounce() {
		s.sendStartView(1<<from, 0) // it has not heard that the view is running
		return
	}
	if !s.views.isChanging() || s.views.hasChosen() || s.quorums.PrimaryOf(s.views.now()) != s.self {
		return
	}
	s.raw.read(body, m.LogView, &m.Uncertain)
	b := vsr.Ballot{LogView: m.LogView, CommitMin: m.CommitMin, CheckpointOp: m.CheckpointOp, Present: m.Present, Nack: m.Nack,
		Incarnation: incarnation, IsRecovered: m.Recovered == 1, List: s.raw.list()}
	if b.Check(s.views.now(), int(s.limits.PipelineOpsMax)) != "" {
		s.peers.blame()
		return
	}
	s.ballots.put(from, &b, &s.raw)
	s.choose()
}

// choose the log of the view, if what came is enough.
func (s *Stage) choose() {
	all := s.ballots.counted(s.quorums.Replicas, s.known())
	if all[s.self] == nil {
		return
	}
	c := vsr.Choose(&s.quorums, int(s.limits.PipelineOpsMax), all)
	switch c.Outcome {
	case vsr.OutcomeWait:
		return // more ballots come, or the next view is tried
	case vsr.OutcomeStuck:
		s.ballots.fail(AwayStuck)
		return
	case vsr.OutcomeBroken:
		s.ballots.fail(AwayBroken)
		return
	case vsr.OutcomeChosen:
	}
	isNextDurable := vsr.IsDurable(&s.limits, s.limits.CheckpointAfter(s.superblocks.now().Checkpoint.Op), c.CommitMax)
	next, isForfeit := vsr.Forfeit(&s.quorums, s.views.now(), s.views.logView(), all, isNextDurable)
	if s.isSyncing() && !isForfeit && s.views.now()-s.views.logView() < uint32(s.quorums.Replicas) {
		next, isForfeit = s.views.now()+1, true // it is skipped once in a round of views: it could not execute before it has fetched much
	}
	if isForfeit {
		s.service.leaves(s.views.now(), peer.CauseForfeit, 0)
		s.enterView(next)
		return
	}
	if c.OpHead > s.limits.PrepareMax(s.superblocks.now().Checkpoint.Op) {
		s.ballots.fail(AwayFull) // the next primary begins
		return
	}
	var buffer [vsr.BallotHeadersMax]prepare.Header
	for i := range c.Count {
		h := &c.Headers[i]
		buffer[i] = s.ballots.header(int(c.From[i]), h.Op, h.Checksum)
		assert.That(buffer[i] != nil, "a chosen header is in the ballot that has it")
	}
	if !s.mayAdopt(s.views.now(), c.OpHead, buffer[:c.Count]) {
		return
	}
	s.commits.raiseMax(c.CommitMax)
	s.log.adopt(c.OpHead, buffer[:c.Count])
	s.views.chosen()
	s.beginChosen()
}

// beginChosen begins the view with the chosen log, when its headers are known down to what was
// executed here.
func (s *Stage) beginChosen() {
	if s.log.head() > s.commits.last() && s.log.chainedFrom() > s.commits.last()+1 {
		return
	}
	list, ok := vsr.StartList(&s.log, s.log.head(), s.commits.max())
	if !ok {
		return
	}
	view := s.views.now()
	s.views.begin(view, s.commits.max())
	s.views.told(s.commits.max())
	s.setList(&list, view)
	s.deadlines.normal(true)
	for op := s.commits.max() + 1; op <= s.log.head(); op++ {
		s.pipeline.push(op, s.log.checksum(op), s.log.header(op).Members(), false)
	}
	s.beats.begin()
	s.beats.waiting(s.pipeline.count() > 0, s.timers.now())
	s.writeSuperblock()
}
