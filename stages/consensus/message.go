package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
)

// onPeer takes a message of another replica. Whoever needs its slot longer holds it.
func (s *Stage) onPeer(e *stages.NetToConsensus) {
	s.slots.receive(e.Slot)
	s.peers.told(int(e.Peer), s.timers.now())
	if !s.status.isFailed() && s.isCluster() && s.isStarted() && !s.syncing.isReplacing() {
		switch {
		case !s.mayTake(peer.Command(e.Command), int(e.Peer)):
			s.measures.ignored()
		case s.follows(e):
			s.takePeer(e)
		}
	}
	if s.peers.blamed() {
		s.measures.ignored()
		s.send.malformed(e)
		return
	}
	s.send.release(e.Slot)
}

// follows decides what a message of a later view does to the own view, and whether the message
// counts.
func (s *Stage) follows(e *stages.NetToConsensus) bool {
	command := peer.Command(e.Command)
	switch {
	case s.isStandby():
		return s.followsAsStandby(e)
	case s.isOfStandby(int(e.Peer)):
		return true // its view is the one that it was told here or by another replica
	}
	switch command {
	case peer.CommandStartView, peer.CommandRequestStartView, peer.CommandRequestHeaders, peer.CommandHeaders,
		peer.CommandRequestPrepare, peer.CommandRepairPrepare, peer.CommandPrepareMissing, peer.CommandRequest,
		peer.CommandRequestBlocks, peer.CommandBlock, peer.CommandBlockMissing:
		return true // these have rules of their own
	}
	switch {
	case e.View < s.views.now():
		return command == peer.CommandPing || command == peer.CommandPong
	case e.View == s.views.now():
		return true
	case command == peer.CommandPrepare || command == peer.CommandCommit || s.views.isRecovering() && !s.deadlines.headLate():
		s.askStartView(e.View) // the view is running, so its log is known
		return false
	case command == peer.CommandPrepareOK || command == peer.CommandCommitEcho:
		return false
	}
	s.enterView(e.View)
	return true
}

func (s *Stage) takePeer(e *stages.NetToConsensus) {
	command := peer.Command(e.Command)
	envelope := peer.Envelope{Command: command, Author: e.Peer, View: e.View, BodyBytes: e.Bytes - limits.HeaderBytes,
		Incarnation: e.Incarnation, BodyChecksum: e.BodySum}
	inner, from := s.slots.bytes(e.Slot)[:limits.HeaderBytes], int(e.Peer)
	faulty := false
	decode := func(m interface {
		Decode([]byte, *peer.Envelope, *peer.Bounds) peer.Fault
	}) bool {
		fault := m.Decode(inner, &envelope, &s.bounds)
		faulty = fault.Faulty()
		return !faulty
	}
	switch command {
	case peer.CommandPrepare:
		s.onPrepare(e)
	case peer.CommandRepairPrepare:
		s.onRepairPrepare(e)
	case peer.CommandRequest:
		s.onForwarded(e)
	case peer.CommandPing:
		var m peer.Ping
		if decode(&m) {
			s.reported(from, e.Incarnation, &m.State)
			s.sendPong(from, m.ClockNs)
		}
	case peer.CommandPong:
		var m peer.Pong
		if decode(&m) {
			s.reported(from, e.Incarnation, &m.State)
			s.clock.Learn(from, m.EchoNs, m.WallNs, s.timers.now())
		}
	case peer.CommandCommit:
		var m peer.Commit
		if decode(&m) {
			s.onHeartbeat(from, &m)
		}
	case peer.CommandCommitEcho:
		var m peer.CommitEcho
		if decode(&m) {
			s.peers.heard(from, s.timers.now())
			s.hearsLag(from, m.Op, m.CommitMin)
		}
	case peer.CommandPrepareOK:
		var m peer.PrepareOK
		if decode(&m) {
			s.onPrepareOK(from, e.Incarnation, &m)
		}
	case peer.CommandStartViewChange:
		var m peer.StartViewChange
		if decode(&m) {
			s.onWish(from, e.Incarnation, m.Cause)
		}
	case peer.CommandDoViewChange:
		var m peer.DoViewChange
		if decode(&m) {
			s.onBallot(from, e.Incarnation, &m, s.slots.bytes(e.Slot)[limits.HeaderBytes:e.Bytes])
		}
	case peer.CommandStartView:
		var m peer.StartView
		if decode(&m) {
			s.onStartView(from, e.View, &m, s.slots.bytes(e.Slot)[limits.HeaderBytes:e.Bytes])
		}
	case peer.CommandRequestStartView:
		var m peer.RequestStartView
		if decode(&m) && s.mayAnnounce() {
			s.sendStartView(1<<from, m.Nonce)
		}
	case peer.CommandRequestHeaders:
		var m peer.RequestHeaders
		if decode(&m) {
			s.serveHeaders(from, &m)
		}
	case peer.CommandHeaders:
		s.onHeaders(s.slots.bytes(e.Slot)[limits.HeaderBytes:e.Bytes])
	case peer.CommandRequestPrepare:
		var m peer.RequestPrepare
		if decode(&m) {
			s.servePrepare(from, &m)
		}
	case peer.CommandPrepareMissing:
		var m peer.PrepareMissing
		if decode(&m) {
			s.repair.missing(from, m.Op, m.Checksum)
		}
	case peer.CommandRequestBlocks:
		var m peer.RequestBlocks
		if decode(&m) {
			s.onRequestBlocks(from, &m)
		}
	case peer.CommandBlock:
		var m peer.Block
		if decode(&m) {
			s.onBlock(e, &m)
		}
	case peer.CommandBlockMissing:
		var m peer.BlockMissing
		if decode(&m) {
			s.blocks.missing(s.timers.now(), from, blockOf(&m.Name))
		}
	default:
		assert.That(false, "net lets only messages of the protocol through")
	}
	if faulty {
		s.peers.blame()
	}
}
