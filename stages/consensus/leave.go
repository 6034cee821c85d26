package consensus

import (
	"ledger/internal/assert"
	"ledger/peer"
	"ledger/vsr"
)

// watch looks for reasons to leave the view, and repeats what others may have missed.
func (s *Stage) watch() {
	if s.deadlines.forgets() {
		s.views.forget(s.peers.others())
	}
	switch {
	case s.isStandby():
		s.watchAsStandby()
		return
	case s.views.isRecovering():
		s.askStartView(s.views.now())
		if s.deadlines.headLate() {
			s.wish(peer.CauseUncertain)
		}
	case s.views.isChanging():
		if s.deadlines.changeLate() {
			s.wish(peer.CauseStuck)
		}
		if s.deadlines.ballots() {
			s.vote()
		}
		if s.deadlines.asks() {
			s.requestStartView(s.views.now())
		}
	case s.quorums.PrimaryOf(s.views.now()) == s.self:
		s.watchOwn()
	case s.deadlines.suspects():
		s.wish(peer.CauseSilent)
	}
	if s.views.isNormal() {
		s.deadlines.unanswered()
	}
	if s.views.wished(s.self) && s.deadlines.wishes() {
		s.sendWish(s.service.causeOf(s.views.now()))
	}
}

// wish to leave the view. When enough replicas do, all of them do.
func (s *Stage) wish(cause peer.Cause) {
	if s.isStandby() || s.isStranger() {
		return
	}
	if !s.views.wished(s.self) {
		s.views.wish(s.self)
		if cause != peer.CauseFollowed {
			s.service.leaves(s.views.now(), cause, s.deadlines.lastSignNs())
		}
		s.sendWish(cause)
	}
	s.deadlines.wished(true)
	s.countWishes()
}

func (s *Stage) sendWish(cause peer.Cause) {
	s.sendSmall(peer.CommandStartViewChange, s.views.now(), in(&s.outgoing.wish, peer.StartViewChange{Cause: cause}), s.peers.others())
}

// onWish: another replica wishes to leave the view. If it is the primary, it gives way, and nobody
// has to find out by its silence.
func (s *Stage) onWish(from int, incarnation uint64, cause peer.Cause) {
	if s.mayWish(from, incarnation) {
		s.service.hears(s.views.now(), cause, s.deadlines.lastSignNs())
		s.views.wish(from)
		s.deadlines.wished(false)
		if s.views.isNormal() && from == s.quorums.PrimaryOf(s.views.now()) {
			s.wish(cause)
			return
		}
	}
	if s.countWishes(); s.mayAnnounce() {
		// The replica has missed that the view is running, or it suspects this one.
		s.sendHeartbeat()
		s.sendStartView(1<<from, 0)
	}
}

// mayAnnounce tells whether this replica says that its view is running.
func (s *Stage) mayAnnounce() bool { return s.isPrimary() && !s.beats.isGivingWay() }

// countWishes leaves the view if a quorum wishes to. A replica whose head is uncertain waits first
// for a view that answers.
func (s *Stage) countWishes() {
	if s.views.wishCount() < s.quorums.ViewChange || s.views.isRecovering() && !s.deadlines.headLate() {
		return
	}
	s.enterView(s.views.now() + 1)
}

// enterView leaves the view for a later one. What the ballot says is frozen when the log view is
// left, and written together with the view.
func (s *Stage) enterView(view uint32) {
	assert.That(!s.isStandby(), "a standby takes no part in view changes")
	if s.views.logView() == s.views.now() && !s.views.isChanging() {
		list := vsr.Freeze(&s.log, s.views.headers(), s.log.head(), s.commits.max(), s.views.uncertain())
		s.setList(&list, s.views.logView())
	}
	s.stepDown()
	s.views.enter(view)
	s.ballots.clear()
	s.deadlines.changing()
	s.superblocks.setView(view)
	s.writeSuperblock()
}

// stepDown: the replica is not the primary any more, or not yet. Clients send their requests again,
// to the next primary.
func (s *Stage) stepDown() {
	for s.queue.count() > 0 {
		s.send.release(s.queue.pop().slot)
	}
	s.inFlight.clear()
	s.pipeline.clear()
	s.timers.pulseEnded()
	s.costs.stepDown()
	s.beats.stepDown()
	s.pressure.stepDown(s.timers.now())
	s.pace.Leave(s.timers.now())
	s.upgrade.begins(0)
	s.deadlines.upgrades(false)
	s.status.stepDown()
}
