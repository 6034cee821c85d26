package net

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// bodyHashBytesMin is the size from which on a body gets its BLAKE3 here, while it is still in the
// cache. Most smaller bodies are copied into a group, which has a checksum of its own.
const bodyHashBytesMin = 32 << 10

func (s *Stage) onReceived(index uint32, c *connection, result int32, out *Actions) {
	assert.That(c.receiving, "a finished receive was under way")
	c.receiving = false
	if result <= 0 {
		// The reference also closes at the end of the stream, even if a request is still being
		// executed.
		s.close(index, c, CausePeer, out)
		return
	}
	assert.AtMost(uint64(c.end)+uint64(result), uint64(len(s.slots.Bytes(c.slot))), "received bytes, in the slot")
	if c.start == c.end {
		c.beganNs = s.nowNs
	}
	c.end += uint32(result)
	s.Counters.BytesReceived += uint64(result)
	s.advance(index, c, out)
}

// advance checks the received messages, one by one, until bytes or a slot are missing. If bytes are
// missing, it asks the port for more.
//
// The order is that of the wire protocol, 1.1. A header is checked as soon as it has arrived, so an
// oversized message is refused before it is buffered.
func (s *Stage) advance(index uint32, c *connection, out *Actions) {
	for {
		if c.slot == stages.SlotNone {
			if !s.mayTake(c) {
				s.wait(index, c)
				return
			}
			c.slot = s.takeSlot(c)
		}
		bytes := s.slots.Bytes(c.slot)
		arrived := c.end - c.start
		if !c.headerRight {
			if s.mayBePeer(c, bytes[c.start:c.end]) {
				s.becomePeer(index, c, out)
				return
			}
			if arrived < wire.HeaderBytes {
				break
			}
			if !s.checkHeader(index, c, wire.HeaderOf(bytes[c.start:]), len(bytes), out) {
				return
			}
		}
		if !s.mayHold(c) {
			return
		}
		if arrived < c.messageBytes {
			break
		}
		// Bytes before or behind the message need another slot. Without a free slot, the message is
		// not checked yet.
		needsSlot := c.start > 0 || arrived > c.messageBytes
		if needsSlot && !s.mayTake(c) {
			s.wait(index, c)
			return
		}
		message := bytes[c.start : c.start+c.messageBytes]
		verdict := s.checkMessage(index, c, message, out)
		c.headerRight = false
		switch verdict {
		case wire.VerdictOK:
			s.deliver(index, c, message, out)
		case wire.VerdictIgnore:
			c.skip(uint32(len(message)))
		default:
			return
		}
	}
	s.receive(index, c, out)
}

// receive gives the port the free rest of the slot. Bytes of the next message move to the slot's
// start first.
func (s *Stage) receive(index uint32, c *connection, out *Actions) {
	assert.That(!c.receiving, "one receive is under way")
	bytes := s.slots.Bytes(c.slot)
	if c.start > 0 {
		c.end = uint32(copy(bytes, bytes[c.start:c.end]))
		c.start = 0
		s.Counters.CopiedBytes += uint64(c.end)
	}
	assert.Below(c.end, uint32(len(bytes)), "bytes of an incomplete message")
	c.receiving = true
	if c.headerRight {
		// The length is known, so the port may wait for the rest of the message. Seldom does
		// anything follow a large message at once.
		out.Network = append(out.Network, NetworkAction{Kind: NetworkReceiveAll, Connection: ports.ConnectionID(index),
			Buffer: bytes[c.end:c.messageBytes]})
		return
	}
	if c.kind == kindStranger {
		bytes = bytes[:min(len(bytes), strangerBytesFree)]
	}
	out.Network = append(out.Network, NetworkAction{Kind: NetworkReceive, Connection: ports.ConnectionID(index), Buffer: bytes[c.end:]})
}

// checkHeader checks the header of the next message and notes the message's size. If it returns
// false, the connection is closing.
func (s *Stage) checkHeader(index uint32, c *connection, h *wire.Header, slotBytes int, out *Actions) bool {
	verdict, fault := s.parser.ParseHeader(h)
	if verdict == wire.VerdictOK && h.SizeBytes() > uint32(slotBytes) {
		verdict, fault = wire.VerdictDrop, "message is larger than a slot" // only in the simulator, whose slots are smaller
	}
	if verdict != wire.VerdictOK {
		s.refuse(index, c, CauseHeader, fault, out)
		return false
	}
	c.headerRight, c.messageBytes = true, h.SizeBytes()
	return true
}

// checkMessage checks a complete message against the remaining rules. After VerdictDrop the
// connection is closing.
func (s *Stage) checkMessage(index uint32, c *connection, message []byte, out *Actions) wire.Verdict {
	h := wire.HeaderOf(message)
	if verdict, fault := s.parser.VerifyBody(h, message[wire.HeaderBytes:]); verdict != wire.VerdictOK {
		s.refuse(index, c, CauseBody, fault, out)
		return wire.VerdictDrop
	}
	verdict, fault := s.parser.CheckMessage(h)
	if verdict == wire.VerdictDrop {
		if h.Cluster() != s.cluster {
			s.logMismatch(c, h.Cluster(), out)
		}
		s.refuse(index, c, CauseMessage, fault, out)
		return verdict
	}
	// A message that is skipped also names the connection's client.
	if !s.noteClient(index, c, h, out) {
		return wire.VerdictDrop
	}
	if c.kind == kindStranger && !s.becomeClient(index, c, out) {
		return wire.VerdictDrop
	}
	if verdict == wire.VerdictIgnore {
		s.Counters.IgnoredCount++
		s.log(c, fault, false, out)
	}
	return verdict
}

// noteClient makes the connection the route of the message's client.
func (s *Stage) noteClient(index uint32, c *connection, h *wire.Header, out *Actions) bool {
	client := h.Client()
	if client.IsZero() {
		return true
	}
	if c.client.IsZero() {
		c.client = client
	} else if c.client != client {
		s.refuse(index, c, CauseSecondClient, "a second client on one connection", out)
		return false
	}
	r := s.routes.put(client)
	current, confirmed := r.current, r.confirmed
	r.current = index
	if h.Command() != wire.CommandPingClient {
		return true
	}
	r.confirmed = index
	if current != noConnection && current != index {
		s.close(current, &s.connections[current], CauseReplaced, out)
	}
	if confirmed != noConnection && confirmed != index && confirmed != current {
		s.close(confirmed, &s.connections[confirmed], CauseReplaced, out)
	}
	return true
}

// deliver gives a message to consensus, at the start of a slot. advance has made sure that there is
// a second slot if one is needed.
func (s *Stage) deliver(index uint32, c *connection, message []byte, out *Actions) {
	size := uint32(len(message))
	rest := c.end - c.start - size
	given := c.slot
	switch {
	case c.start == 0 && rest == 0:
		c.slot, c.end = stages.SlotNone, 0
	case c.start == 0 && rest <= size:
		// The message stays in its slot, and the bytes behind it move.
		next := s.takeSlot(c)
		copy(s.slots.Bytes(next), s.slots.Bytes(given)[size:c.end])
		c.slot, c.end = next, rest
		s.Counters.CopiedBytes += uint64(rest)
	default:
		given = s.takeSlot(c)
		copy(s.slots.Bytes(given), message)
		c.skip(size)
		s.Counters.CopiedBytes += uint64(size)
	}
	s.heldCount--
	s.lentCount++
	if wire.HeaderOf(message).Command() == wire.CommandRequest {
		s.routes.of(c.client).asksCount++
	}
	s.Counters.MessagesCount++
	s.Counters.ReceiveNs.Record(s.nowNs - c.beganNs)
	e := stages.NetToConsensus{Kind: stages.NetMessage, Slot: given, Bytes: size, Connection: s.nameOf(index)}
	e.ArrivingNs, e.ReceivedNs = c.beganNs, s.nowNs
	c.beganNs = s.nowNs // of the bytes behind it
	if size >= wire.HeaderBytes+bodyHashBytesMin {
		e.BodyHashed, e.BodySum = true, prepare.Sum(message[wire.HeaderBytes:])
	}
	out.Consensus = append(out.Consensus, e)
}

// skip passes over the message at start.
func (c *connection) skip(bytes uint32) {
	c.start += bytes
	if c.start == c.end {
		c.start, c.end = 0, 0
	}
}

// mayTake tells whether the connection may take a free slot now. Waiting connections come first.
func (s *Stage) mayTake(c *connection) bool {
	return s.slots.Pools[stages.SlotClient].FreeCount() > 0 && (c.served || s.waiters.Count() == 0)
}

func (s *Stage) takeSlot(c *connection) stages.Slot {
	c.served = false
	slot := s.slots.Get(stages.SlotClient)
	assert.That(slot != stages.SlotNone, "a slot that may be taken is free")
	s.heldCount++
	return slot
}

// wait puts the connection behind the other waiting ones. Until its turn it is not read.
func (s *Stage) wait(index uint32, c *connection) {
	s.Counters.SlotWaitsCount++
	c.waiting = true
	if !c.queued {
		c.queued = true
		s.waiters.Push(index)
	}
}
