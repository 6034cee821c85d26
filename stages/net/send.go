package net

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/stages"
	"ledger/wire"
)

const (
	shortBytesMax  = wire.HeaderBytes // a pong or an eviction
	shortsQueueMax = 4                // short messages that wait behind the one being sent
	sendsMax       = 8                // places: one being sent, the short ones and a reply
)

// This fails to compile if the queue is too short.
const _ = uint(sendsMax - (1 + shortsQueueMax + 1))

// send is one message to a client.
type send struct {
	// reply is lent by consensus, or is a client slot of ours with a stored reply. SlotNone: a
	// short message in the place's own memory.
	reply       stages.Slot
	offsetBytes uint32
	bytes       uint32
	orderedNs   uint64
}

// onConsensus handles one request of consensus.
func (s *Stage) onConsensus(e *stages.ConsensusToNet, out *Actions) {
	switch e.Kind {
	case stages.NetSend:
		s.onSendReply(e, out)
	case stages.NetSendFree:
		if e.Bytes > shortBytesMax {
			s.onSendRepeated(e, out)
			return
		}
		s.onSendShort(e, out)
		s.freeSlot(e.Slot)
	case stages.NetFree:
		if e.Ignored {
			s.ignored(wire.HeaderOf(s.slots.Bytes(e.Slot)))
		}
		if e.Malformed {
			s.onPeerMalformed(e, out)
		}
		s.freeSlot(e.Slot)
	case stages.NetSessionEnded:
		if r := s.routes.of(e.Client); r != nil {
			s.setRegistered(r, false)
		}
	case stages.NetPeerSend:
		s.onPeerSend(e, out)
	case stages.NetPeerNoted:
		s.onPeerNoted(e.Peer, out)
	default:
		assert.That(false, "net request kind is known")
	}
}

// onSendReply queues a reply on its client's route. A reply may be lost: its client sends the
// request again and gets the stored reply.
func (s *Stage) onSendReply(e *stages.ConsensusToNet, out *Actions) {
	assert.That(e.Slot.Class() == stages.SlotReply, "a reply lies in a reply slot")
	if r := s.routes.of(e.Client); r != nil {
		s.answered(r, e.Registered)
		index := r.current
		c := &s.connections[index]
		if !c.hasReply {
			c.hasReply = true
			c.pushSend(send{e.Slot, e.OffsetBytes, e.Bytes, s.nowNs})
			s.startSend(index, c, out)
			return
		}
		// A client that gets a new reply has had the previous one, but this connection has not
		// taken that yet.
		s.refuse(index, c, CauseSlow, "the client does not read its replies", out)
	}
	s.Counters.RepliesDropped++
	out.Consensus = append(out.Consensus, stages.NetToConsensus{Kind: stages.NetSent, Slot: e.Slot})
}

// onSendRepeated queues a stored reply, which lies in the client slot of the request that asked for
// it. If a reply to this client is being sent already, the client is waiting for that one.
func (s *Stage) onSendRepeated(e *stages.ConsensusToNet, out *Actions) {
	r := s.routes.of(e.Client)
	if r != nil {
		s.answered(r, e.Registered)
	}
	if r == nil || s.connections[r.current].hasReply {
		s.Counters.RepliesDropped++
		s.freeSlot(e.Slot)
		return
	}
	index := r.current
	c := &s.connections[index]
	c.hasReply = true
	c.pushSend(send{e.Slot, e.OffsetBytes, e.Bytes, s.nowNs})
	s.startSend(index, c, out)
}

// returnLease gives a reply's slot back to its owner.
func (s *Stage) returnLease(slot stages.Slot, out *Actions) {
	if slot.Class().Owner() == stages.Net {
		s.freeSlot(slot)
		return
	}
	out.Consensus = append(out.Consensus, stages.NetToConsensus{Kind: stages.NetSent, Slot: slot})
}

// onSendShort copies a pong or an eviction into the connection's own memory. So a client that reads
// slowly holds no slot.
func (s *Stage) onSendShort(e *stages.ConsensusToNet, out *Actions) {
	assert.That(e.Bytes > 0, "a message has bytes")
	index, ok := noConnection, false
	if e.Client.IsZero() {
		if index, ok = s.indexOf(e.Connection); ok {
			if r := s.routes.of(s.connections[index].client); r != nil {
				s.setRegistered(r, e.Registered)
			}
		}
	} else if r := s.routes.of(e.Client); r != nil {
		s.answered(r, e.Registered)
		index, ok = r.current, true
	}
	if !ok || !s.connections[index].hasShortRoom() {
		s.Counters.ShortDropped++
		return
	}
	c := &s.connections[index]
	message := s.slots.Bytes(e.Slot)[e.OffsetBytes : e.OffsetBytes+e.Bytes]
	place := c.pushSend(send{reply: stages.SlotNone, bytes: e.Bytes, orderedNs: s.nowNs})
	copy(s.shortAt(index, place), message)
	s.Counters.ShortCount++
	if len(message) == wire.HeaderBytes && wire.HeaderOf(message).Command() == wire.CommandEviction {
		s.Counters.EvictionsCount++
		s.logEviction(c, wire.HeaderOf(message), out)
	}
	s.startSend(index, c, out)
}

// freeSlot takes a slot back that was at consensus.
func (s *Stage) freeSlot(slot stages.Slot) {
	if slot.Class() != stages.SlotClient {
		s.peers.slots.put(slot)
		return
	}
	assert.That(s.lentCount > 0, "a slot that comes back was at consensus")
	s.lentCount--
	s.slots.Put(slot)
}

// startSend gives the oldest message to the port, if the port has none.
func (s *Stage) startSend(index uint32, c *connection, out *Actions) {
	if c.sending || c.sendsCount == 0 {
		return
	}
	first := &c.sends[c.sendFirst]
	buffer := s.shortAt(index, c.sendFirst)[:]
	if first.reply != stages.SlotNone {
		buffer = s.slots.Bytes(first.reply)[first.offsetBytes:]
	}
	c.sending = true
	out.Network = append(out.Network, NetworkAction{Kind: NetworkSend, Connection: ports.ConnectionID(index), Buffer: buffer[:first.bytes]})
}

func (s *Stage) onSent(index uint32, c *connection, result int32, out *Actions) {
	assert.That(c.sending, "a finished send was under way")
	if result < 0 {
		s.close(index, c, CausePeer, out)
		return
	}
	first := c.sends[c.sendFirst]
	assert.Equal(uint32(result), first.bytes, "a send is complete when all of it is handed over")
	c.sending = false
	c.sendFirst = (c.sendFirst + 1) % sendsMax
	c.sendsCount--
	s.Counters.BytesSent += uint64(first.bytes)
	s.Counters.SendNs.Record(s.nowNs - first.orderedNs)
	if first.reply != stages.SlotNone {
		c.hasReply = false
		s.Counters.RepliesCount++
		s.returnLease(first.reply, out)
	}
	s.startSend(index, c, out)
}

// returnLeases gives back the slots of messages that a closed connection did not send.
func (s *Stage) returnLeases(c *connection, out *Actions) {
	for ; c.sendsCount > 0; c.sendsCount-- {
		if slot := c.sends[c.sendFirst].reply; slot != stages.SlotNone {
			s.Counters.RepliesDropped++
			s.returnLease(slot, out)
		}
		c.sendFirst = (c.sendFirst + 1) % sendsMax
	}
	c.sending, c.hasReply = false, false
}

// pushSend appends a message and returns its place.
func (c *connection) pushSend(m send) (place uint32) {
	assert.Below(c.sendsCount, sendsMax, "messages to one client")
	place = (c.sendFirst + c.sendsCount) % sendsMax
	c.sends[place] = m
	c.sendsCount++
	return place
}

// hasShortRoom tells whether another short message can wait.
func (c *connection) hasShortRoom() bool {
	waiting := c.sendsCount
	if c.sending {
		waiting--
	}
	if c.hasReply && !(c.sending && c.sends[c.sendFirst].reply != stages.SlotNone) {
		waiting-- // the reply has a place of its own
	}
	return waiting < shortsQueueMax
}

// shortAt is the memory of a place for a short message.
func (s *Stage) shortAt(index, place uint32) []byte {
	at := (uint64(index)*sendsMax + uint64(place)) * shortBytesMax
	return s.shorts[at : at+shortBytesMax]
}
