package consensus

import (
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/wire"
)

// onClient takes a client's message at a replica of a cluster that is not its serving primary. It
// answers pings, and repeats of what is committed. It never evicts, because it may lag.
func (s *Stage) onClient(e *stages.NetToConsensus) {
	h := wire.HeaderOf(s.slots.bytes(e.Slot)[:limits.HeaderBytes])
	if h.Command() == wire.CommandPingClient {
		if reason, _ := s.checks.CheckRelease(h.Release()); reason != wire.EvictionNone {
			s.drop(e)
			return
		}
		isRegistered := s.sessions.find(h.PingClient()) != nil
		wire.BuildPong(h, &s.server, h.PingTimestampNs())
		s.send.answer(e, limits.HeaderBytes, wire.U128{}, isRegistered)
		return
	}
	s.measures.requested()
	if s.opening.isOn() {
		s.drop(e) // the sessions are not here yet
		return
	}
	entry := s.sessions.find(h.RequestClient())
	isNewer := entry == nil && h.RequestOperation() == wire.OperationRegister
	if entry != nil {
		verdict := s.standing(entry, h)
		if verdict == verdictRepeat {
			s.repeatReply(e, entry)
			return
		}
		isNewer = h.RequestSession() == entry.number && h.RequestNumber() > entry.request
	}
	primary := s.quorums.PrimaryOf(s.views.now())
	if !isNewer || !s.isSettled() || primary == s.self || e.Bytes > s.limits.RequestBytesMax || !s.peers.mayForward(primary, e.Slot) {
		s.drop(e)
		return
	}
	s.sendTo(peer.CommandRequest, s.views.now(), e.Slot, e.Bytes, 1<<primary)
}

// onForwarded: a backup passes a client's request on. Its answer goes to the client, if that is
// connected here, else it asks the backup again.
func (s *Stage) onForwarded(e *stages.NetToConsensus) {
	if !s.mayOrder() {
		return
	}
	h := wire.HeaderOf(s.slots.bytes(e.Slot)[:limits.HeaderBytes])
	entry := s.sessions.find(h.RequestClient())
	if entry == nil && h.RequestOperation() != wire.OperationRegister || entry != nil && s.standing(entry, h) != verdictNew {
		return
	}
	body := s.slots.bytes(e.Slot)[limits.HeaderBytes:e.Bytes]
	measure, reason, _ := s.checks.CheckRequest(h, body)
	if reason != wire.EvictionNone || h.View() > s.superblocks.now().View || !s.mayQueue(h) {
		return
	}
	if h.RequestOperation() == wire.OperationMember {
		if m := wire.MemberOf(body); !s.mayReplace(&m) {
			return
		}
	}
	s.slots.hold(e.Slot)
	s.enqueue(e, h, &measure)
}
