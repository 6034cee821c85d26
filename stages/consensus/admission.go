package consensus

import (
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/stages"
	"ledger/wire"
)

// onNet takes one event of net.
func (s *Stage) onNet(e *stages.NetToConsensus) {
	switch e.Kind {
	case stages.NetSent:
		s.send.returned(e.Slot)
	case stages.NetMessage:
		s.slots.receive(e.Slot)
		if s.isStandby() && !s.status.isFailed() {
			s.ignoreClient(e)
			return
		}
		if s.isCluster() && !s.mayOrder() && !s.status.isFailed() {
			s.onClient(e)
			return
		}
		if !s.status.isServing() {
			s.onEarly(e)
			return
		}
		h := wire.HeaderOf(s.slots.bytes(e.Slot)[:limits.HeaderBytes])
		switch h.Command() {
		case wire.CommandPingClient:
			s.onPing(e, h)
		case wire.CommandRequest:
			s.onRequest(e, h)
		default:
			assert.That(false, "net lets only pings and requests through")
		}
	case stages.NetPeerMessage:
		s.onPeer(e)
	case stages.NetPeerSent:
		s.peers.returned(int(e.Peer), e.Slot)
		s.send.returned(e.Slot)
	case stages.NetPeerLive, stages.NetPeerLost:
		s.onConnection(e)
	default:
		assert.That(false, "net event kind is known")
	}
}

// drop ignores a message. Its slot is freed, and there is no answer.
func (s *Stage) drop(e *stages.NetToConsensus) {
	s.measures.ignored()
	s.send.ignore(e.Slot)
}

// evict ends a client's session. The eviction message overwrites the client's message in its slot.
func (s *Stage) evict(e *stages.NetToConsensus, client wire.U128, reason wire.EvictionReason) {
	s.measures.evicted(reason)
	h := wire.HeaderOf(s.slots.bytes(e.Slot)[:limits.HeaderBytes])
	wire.BuildEviction(h, &s.server, client, reason)
	s.send.answer(e, limits.HeaderBytes, client, false)
}

// mayEvictUnknown tells whether a client without a session here has none at all. What a new primary
// has left out of the log, a register too, may still be committed: by the next view, if it is
// chosen by replicas that have never been in this one. That ends when a quorum has the log view of
// this primary durable.
func (s *Stage) mayEvictUnknown() bool {
	return !s.isCluster() || s.beats.followers() >= s.quorums.Replication-1
}

// onPing answers a ping: with an eviction for reason 1, 2 or 3, in this order, otherwise with a
// pong. Source: wire protocol, 4.6.
func (s *Stage) onPing(e *stages.NetToConsensus, h *wire.Header) {
	client, number := h.PingClient(), h.PingSession()
	if number != 0 && number <= s.commits.min() && s.sessions.find(client) == nil && s.mayEvictUnknown() {
		s.evict(e, client, wire.EvictionNoSession)
		return
	}
	if reason, _ := s.checks.CheckRelease(h.Release()); reason != wire.EvictionNone {
		s.evict(e, client, reason)
		return
	}
	wire.BuildPong(h, &s.server, h.PingTimestampNs())
	s.send.answer(e, limits.HeaderBytes, wire.U128{}, s.sessions.find(client) != nil)
}

// onRequest admits a request to the queue. The checks have the order of the wire protocol, 4.4.
func (s *Stage) onRequest(e *stages.NetToConsensus, h *wire.Header) {
	s.measures.requested()
	if h.View() > s.superblocks.now().View {
		s.drop(e)
		return
	}
	client, operation := h.RequestClient(), h.RequestOperation()
	body := s.slots.bytes(e.Slot)[limits.HeaderBytes:e.Bytes]
	measure, reason, _ := s.checks.CheckRequest(h, body)
	if reason != wire.EvictionNone {
		s.evict(e, client, reason)
		return
	}
	_, busy := s.inFlight.get(client)
	if entry := s.sessions.find(client); entry != nil {
		switch s.standing(entry, h) {
		case verdictSessionTooLow:
			s.evict(e, client, wire.EvictionSessionTooLow)
			return
		case verdictReleaseMismatch:
			s.evict(e, client, wire.EvictionSessionReleaseMismatch)
			return
		case verdictRepeat:
			s.repeatReply(e, entry)
			return
		case verdictIgnore:
			s.drop(e)
			return
		case verdictNew:
		}
	} else if operation != wire.OperationRegister {
		// The client has no session. If a message of the client is in flight (its register, or a
		// request that was admitted before its session was evicted), the request is dropped and the
		// client sends it again. Otherwise the client is evicted.
		if busy || !s.mayEvictUnknown() {
			s.drop(e)
		} else {
			s.evict(e, client, wire.EvictionNoSession)
		}
		return
	}
	if busy || !s.mayQueue(h) {
		s.drop(e)
		return
	}
	if operation == wire.OperationMember {
		m := wire.MemberOf(body)
		if !s.isForUs(&m) {
			s.evict(e, client, wire.EvictionInvalidBody)
			return
		}
		if !s.mayReplace(&m) {
			s.drop(e)
			return
		}
	}
	s.enqueue(e, h, &measure)
}

// mayQueue tells whether a request of a client may wait for a prepare. While a cluster does not
// agree on the time, nothing can be prepared. Pings and repeated requests are answered meanwhile.
func (s *Stage) mayQueue(h *wire.Header) bool {
	if s.isCluster() && s.timers.wall() == 0 {
		return false
	}
	_, busy := s.inFlight.get(h.RequestClient())
	return h.RequestTimestamp() == 0 && !busy && !s.queue.isFull() && !s.inFlight.isFull()
}

// enqueue takes in a request, and the hold of its slot.
func (s *Stage) enqueue(e *stages.NetToConsensus, h *wire.Header, measure *wire.BodyMeasure) {
	client := h.RequestClient()
	s.inFlight.put(client, arrivalOf(s.timers.now()))
	s.queue.push(request{
		slot:          e.Slot,
		bytes:         e.Bytes,
		eventsCount:   measure.EventsCount,
		replyBytesMax: measure.ReplyBytesMax + limits.HeaderBytes,
		bodyHashed:    e.BodyHashed,
		bodySum:       e.BodySum,
		arrivedNs:     s.timers.now(),
		arrivingNs:    e.ArrivingNs,
		receivedNs:    e.ReceivedNs,
	})
}

// verdict of the session table on a request.
type verdict uint8

const (
	verdictIgnore verdict = iota
	verdictNew
	verdictRepeat
	verdictSessionTooLow
	verdictReleaseMismatch
)

// standing compares a request with its client's session. Source: wire protocol, 4.4 step 7.
func (s *Stage) standing(e *session, h *wire.Header) verdict {
	if h.RequestOperation() != wire.OperationRegister {
		if h.RequestSession() < e.number {
			return verdictSessionTooLow
		}
		if h.RequestSession() > e.number {
			return verdictIgnore
		}
	}
	if h.Release() != e.release {
		return verdictReleaseMismatch
	}
	switch number := h.RequestNumber(); {
	case number < e.request:
		return verdictIgnore
	case number == e.request:
		if h.Checksum() == e.checksum {
			return verdictRepeat
		}
		return verdictIgnore
	case number == e.request+1 && h.RequestParent() == e.context:
		return verdictNew
	}
	return verdictIgnore
}

// repeatReply sends a stored reply again. It copies the reply over the request in the client's slot
// and sets the current view in the copy. The stored bytes are not changed, because they are part of
// the next checkpoint, which must not depend on repeated requests.
//
// A backup may have executed ops of a view of which its log view is not durable yet. No client sees
// such a view, so it gets the reply when it asks again.
func (s *Stage) repeatReply(e *stages.NetToConsensus, entry *session) {
	stored := s.slots.bytes(entry.replySlot)[entry.replyOffset:]
	if wire.HeaderOf(stored[:wire.HeaderBytes]).View() > s.server.View {
		s.send.ignore(e.Slot)
		return
	}
	message := s.slots.bytes(e.Slot)
	copy(message, s.slots.bytes(entry.replySlot)[entry.replyOffset:entry.replyOffset+entry.replyBytes])
	if reply := wire.HeaderOf(message[:wire.HeaderBytes]); reply.View() != s.server.View {
		wire.ResealReply(reply, s.server.View)
	}
	s.measures.answered()
	s.send.answer(e, entry.replyBytes, entry.client, true)
}
