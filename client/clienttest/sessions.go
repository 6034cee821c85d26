package clienttest

import (
	"time"
	"unsafe"

	"ledger/accounting"
	"ledger/wire"
)

// ping answers a ping and learns the route to the client.
func (s *Server) ping(one *link, header *wire.Header) {
	s.mu.Lock()
	s.routes[route{one.replica, header.PingClient()}] = one
	fields := s.serverFields(one.replica)
	_, isKnown := s.sessions[header.PingClient()]
	isGone := header.PingSession() != 0 && !isKnown
	s.mu.Unlock()
	switch {
	case isGone:
		one.evict(&fields, header.PingClient(), wire.EvictionNoSession)
		return
	case header.Release() > s.options.ReleaseMax:
		one.evict(&fields, header.PingClient(), wire.EvictionReleaseTooHigh)
		return
	}
	var pong wire.Header
	wire.BuildPong(&pong, &fields, header.PingTimestampNs())
	one.write(pong[:])
}

// request admits, executes and answers a request. A backup forwards it, which is a call here.
// Source: specification, 4.4.
func (s *Server) request(one *link, header *wire.Header, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := header.RequestClient()
	s.routes[route{one.replica, client}] = one
	copies := s.copies[header.Checksum()]
	s.copies[header.Checksum()]++
	if s.options.Drop != nil && s.options.Drop(one.replica, header, copies) {
		return
	}
	if header.View() > s.view {
		return
	}
	fields := s.serverFields(int(s.view) % s.options.ReplicasCount)
	if _, reason, fault := s.limits.CheckRequest(header, body); reason != wire.EvictionNone {
		if reason != wire.EvictionReleaseTooHigh { // a client cannot know that before it asks
			s.violations = append(s.violations, string(fault))
		}
		one.evict(&fields, client, reason)
		return
	}
	known := s.sessions[client]
	switch {
	case known == nil && header.RequestOperation() != wire.OperationRegister:
		one.evict(&fields, client, wire.EvictionNoSession)
		return
	case known != nil:
		last := wire.HeaderOf(known.reply)
		switch {
		case header.RequestOperation() != wire.OperationRegister && header.RequestSession() != known.number:
			s.violations = append(s.violations, "session differs")
			return
		case header.RequestNumber() == last.ReplyRequestNumber():
			if header.Checksum() != last.ReplyRequestChecksum() {
				s.violations = append(s.violations, "a retry differs from its request")
				return
			}
			s.answer(client, known.reply, copies)
			return
		case header.RequestNumber() != last.ReplyRequestNumber()+1 || header.RequestParent() != last.ReplyContext():
			if header.RequestNumber() > last.ReplyRequestNumber() {
				s.violations = append(s.violations, "the chain of requests is broken")
			}
			return
		}
	default:
		known = &session{}
		s.sessions[client] = known
	}
	known.reply = s.execute(header, body)
	if header.RequestOperation() == wire.OperationRegister {
		known.number = s.op
	}
	s.answer(client, known.reply, copies)
}

// execute makes the reply.
func (s *Server) execute(header *wire.Header, body []byte) []byte {
	if s.options.ServiceTime > 0 {
		time.Sleep(s.options.ServiceTime)
	}
	s.requests = append(s.requests, *header)
	operation := header.RequestOperation()
	s.op++
	s.timestamp = max(s.timestamp+1, uint64(time.Now().UnixNano())) + wire.TimestampDelta(operation, body)
	memory := make([]uint64, wire.MessageBytesMax/8)
	frame := bytesOf(memory)
	replyBytes := s.machine.Execute(&accounting.Request{
		Operation: operation, RequestBytesMax: s.options.RequestBytesMax, Timestamp: s.timestamp, Body: body,
	}, frame[wire.HeaderBytes:])
	fields := wire.ReplyFields{Op: s.op, Timestamp: s.timestamp, View: s.view, Replica: uint8(int(s.view) % s.options.ReplicasCount)}
	fields.SetRequest(header)
	frame = append([]byte(nil), frame[:wire.HeaderBytes+replyBytes]...)
	wire.BuildReply(wire.HeaderOf(frame), &fields, frame[wire.HeaderBytes:])
	return frame
}

// answer sends a reply from every replica that knows the client. Real clusters do so less often;
// here duplicates should be common.
func (s *Server) answer(client wire.U128, reply []byte, copies int) {
	wire.ResealReply(wire.HeaderOf(reply), s.view)
	for replica := range s.options.ReplicasCount {
		one := s.routes[route{replica, client}]
		if one == nil || s.options.DropReply != nil && s.options.DropReply(replica, wire.HeaderOf(reply), copies) {
			continue
		}
		one.write(reply)
	}
}

func (l *link) evict(fields *wire.ServerFields, client wire.U128, reason wire.EvictionReason) {
	var eviction wire.Header
	wire.BuildEviction(&eviction, fields, client, reason)
	l.write(eviction[:])
}

func (l *link) write(frame []byte) {
	l.writing.Lock()
	defer l.writing.Unlock()
	_, _ = l.connection.Write(frame) // a client that is gone asks again
}

// bytesOf shows words as bytes: memory that is aligned as records demand.
func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}
