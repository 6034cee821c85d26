package consensus

import (
	"math/bits"

	"ledger/peer"
)

// Service is what one of several replicas does for clients, and since when. Operators, load
// balancers and log lines ask for it; no decision depends on it.
type Service struct {
	View      uint32
	Primary   uint8 // of the view
	IsPrimary bool  // this replica is the primary, or is about to be
	IsNormal  bool  // the log of the view is known, and durable here
	Away      Away
	Cause     peer.Cause // why the view before this one was left, as far as it is known here
	IsStandby bool       // it serves no clients: Away tells why it does not follow
	HasClient bool       // of a standby: a client has come, which gets no answer
	LostNs    uint64     // the last sign of life of the primary of that view, if it was silent; else 0
}

// Away is the reason why a replica does not serve clients.
type Away uint8

// Reasons, the first that applies.
const (
	AwayNot        Away = iota // it serves them
	AwayHead                   // the head of the log is uncertain
	AwayViewChange             // no log of the view is known
	AwayAlone                  // too few others are heard to choose a primary or commit anything, or the primary is not
	AwayGivesWay               // another primary would serve better, and there is none yet
	AwayClock                  // the replicas do not agree on the time
	AwayBehind                 // what was committed when it joined is not executed yet
	AwayStuck                  // no replica has a prepare that may be committed
	AwayBroken                 // what the replicas say of their logs contradicts itself
	AwayFull                   // this replica cannot store the log that it has to begin the view with
	AwayFar                    // this replica cannot store anything of the log of the view
	AwaySync                   // the checkpoint of another replica is being opened
	AwayRelease                // this program does not offer the release with which the others go on
	AwayStranger               // the cluster knows another data file as this replica
)

func (a Away) String() string {
	return [...]string{
		"", "the end of the log is damaged, and the other replicas have not said yet what was there",
		"the replicas are choosing a primary", "too few other replicas are heard", "the primary gives way to the next one",
		"the replicas do not agree on the time", "what the others have committed is being executed",
		"every replica has answered, and none has a prepare that may be committed: restore the replica whose log was damaged last",
		"the replicas contradict each other: one of them did not keep the rules, or has the data file of another cluster",
		"the new primary cannot store the end of the log before its next checkpoint, so another one is needed",
		"this replica is two checkpoints behind the primary and cannot store any op that it tells of: wait for another primary, or replace it",
		"state sync: the checkpoint of another replica is being opened",
		"the other replicas have passed to a release that this program does not offer: start this replica with a newer one",
		"the cluster knows another data file as this replica, so this one has no vote: stop it, remove the file, " +
			"and make one with ledger recover",
	}[a]
}

// IsServing tells whether clients are served, or a standby follows. A backup serves them too: it
// passes their requests on, answers their pings, and repeats replies.
func (s *Service) IsServing() bool { return s.Away == AwayNot }

// touchNs is the time without any message after which a replica counts as not heard. A ping leaves
// and a pong comes each second.
const touchNs = 2_500_000_000

// tellAgainNs is the time after which a replica that serves nobody says so again, although nothing
// has changed: whoever writes lines learns so that it lasts.
const tellAgainNs = 10_000_000_000

// service remembers what was told.
type service struct {
	told       Service
	toldNs     uint64
	isTold     bool
	isJoined   bool // targetOp is set
	hasServed  bool
	targetOp   uint64 // commit_max when the replica was in status normal for the first time
	cause      peer.Cause
	causedView uint32 // the view that cause and lostNs are about
	lostNs     uint64
	left       uint64 // views that were left, for the metrics
	hasClient  bool   // of a standby: see Service
}

func (v *service) reason() Away      { return v.told.Away }
func (v *service) leftCount() uint64 { return v.left }
func (v *service) wasServing() bool  { return v.hasServed }

// ignoresClient: a client has come to a standby.
func (v *service) ignoresClient() { v.hasClient = true }

// leaves notes why a view is left. signNs is the last sign of life of its primary.
func (v *service) leaves(view uint32, cause peer.Cause, signNs uint64) {
	v.causedView, v.cause, v.lostNs = view, cause, 0
	if cause == peer.CauseSilent {
		v.lostNs = signNs
	}
}

// causeOf is why a view is left, as far as it is known here.
func (v *service) causeOf(view uint32) peer.Cause {
	if v.causedView != view || v.cause == 0 {
		return peer.CauseFollowed
	}
	return v.cause
}

// hears why another replica wishes to leave a view. The first one that has a reason of its own
// counts.
func (v *service) hears(view uint32, cause peer.Cause, signNs uint64) {
	if cause != peer.CauseFollowed && (v.causedView != view || v.cause == 0) {
		v.leaves(view, cause, signNs)
	}
}

// tellService tells what has changed since the last step in what this replica does for clients.
func (s *Stage) tellService() {
	v, now := &s.service, s.timers.now()
	t := Service{View: s.views.now(), Primary: uint8(s.quorums.PrimaryOf(s.views.now())), IsNormal: s.isSettled(), Away: s.away(now),
		IsStandby: s.isStandby(), HasClient: v.hasClient}
	t.IsPrimary = int(t.Primary) == s.self
	if t.Cause = peer.CauseFollowed; v.cause != 0 && v.causedView+1 == t.View {
		t.Cause, t.LostNs = v.cause, v.lostNs
	}
	if t.IsServing() && !v.hasServed {
		v.hasServed = true
		s.send.ready()
	}
	if v.isTold && v.told == t && (t.IsServing() || now < v.toldNs+tellAgainNs) {
		return
	}
	if v.isTold && t.View != v.told.View {
		v.left++
	}
	v.told, v.isTold, v.toldNs = t, true, now
	s.send.service(&v.told)
}

// away returns the reason why clients are not served, or why a standby does not follow.
func (s *Stage) away(nowNs uint64) Away {
	v := &s.service
	switch {
	case s.syncing.isReplacing() || s.opening.isOn() && s.isSyncing():
		return AwaySync
	case s.upgrade.lacking() != 0:
		return AwayRelease
	case s.views.isRecovering():
		return AwayHead
	case !s.isSettled():
		if verdict := s.ballots.verdict(); verdict != AwayNot || s.hearsFor(s.quorums.ViewChange, nowNs) {
			return max(AwayViewChange, verdict)
		}
		return AwayAlone
	case !s.isInTouch(nowNs):
		return AwayAlone
	case s.isPrimary() && s.beats.isGivingWay():
		return AwayGivesWay
	}
	if !v.isJoined {
		v.isJoined, v.targetOp = true, s.commits.max()
	}
	switch {
	case !v.hasServed && s.commits.min() < v.targetOp, s.isPrimary() && !s.status.isServing():
		return AwayBehind
	case s.isStandby() && s.commits.max() > s.commits.min()+s.standbyLagOpsMax():
		return AwayBehind
	case s.isPrimary() && s.timers.wall() == 0:
		return AwayClock
	case s.isStranger():
		return AwayStranger
	}
	return AwayNot
}

// isInTouch tells whether this replica hears enough others to commit something with them. A backup
// has to hear the primary, and that is enough for a standby.
func (s *Stage) isInTouch(nowNs uint64) bool {
	heard := s.peers.toldSince(nowNs - min(nowNs, touchNs))
	primary := s.quorums.PrimaryOf(s.views.now())
	if primary != s.self && heard>>primary&1 == 0 {
		return false
	}
	return s.isStandby() || s.hearsFor(s.quorums.Replication, nowNs)
}

// hearsFor tells whether so many replicas are heard, this one included if it is one. A standby
// hears enough if it hears any.
func (s *Stage) hearsFor(quorum int, nowNs uint64) bool {
	heard := s.peers.toldSince(nowNs - min(nowNs, touchNs))
	if s.isStandby() {
		return heard != 0
	}
	return 1+bits.OnesCount16(heard) >= quorum
}
