package consensus

import (
	"ledger/peer"
	"ledger/stages"
)

// A standby has an index behind those of the replicas. It receives prepares and heartbeats, writes
// its log, executes and takes checkpoints like a backup, and asks the replicas for what it misses.
// It never acknowledges, wishes to leave a view, votes, becomes primary or serves repair, and it
// has nothing for clients. So no quorum depends on it, and nobody waits for it.
//
// Only a prepare or a heartbeat of a later view makes it ask for the log of that view, and only the
// answer to its own question changes its view. An isolated replica sends wishes, ballots and pings
// of views that never come to be. Those would leave the standby behind in a dead view.
//
// Its head is never uncertain: that question is about what it may have acknowledged.

// isStandby tells whether this is a standby.
func (s *Stage) isStandby() bool { return s.self >= s.quorums.Replicas }

// isOfStandby tells whether a message is from a standby.
func (s *Stage) isOfStandby(from int) bool { return from >= s.quorums.Replicas }

// mayTake tells whether a message counts, of those that a standby sends, or that come to one.
func (s *Stage) mayTake(command peer.Command, from int) bool {
	switch {
	case s.isOfStandby(from):
		return command.OfStandby() && !s.isStandby()
	case s.isStandby():
		return command.ToStandby()
	}
	return true
}

// followsAsStandby decides the same as follows, at a standby.
func (s *Stage) followsAsStandby(e *stages.NetToConsensus) bool {
	command := peer.Command(e.Command)
	if e.View > s.views.now() && (command == peer.CommandPrepare || command == peer.CommandCommit) {
		s.askStartView(e.View)
		return false
	}
	return e.View >= s.views.now() || command != peer.CommandPrepare && command != peer.CommandCommit
}

// watchAsStandby repeats the question for the log of the view.
func (s *Stage) watchAsStandby() {
	if s.views.isNormal() {
		s.deadlines.unanswered()
	} else if s.deadlines.asks() {
		s.requestStartView(s.views.now())
	}
}

// ignoreClient: a standby has nothing for clients. Their pings get no answer either, since a client
// takes an answer for that of a replica. It goes on with the other addresses that it has.
func (s *Stage) ignoreClient(e *stages.NetToConsensus) {
	s.service.ignoresClient()
	s.drop(e)
}

// standbyLagOpsMax: a standby that is so many ops behind what is committed does not count as one
// that follows.
func (s *Stage) standbyLagOpsMax() uint64 { return uint64(s.limits.JournalSlotsCount) / 8 }
