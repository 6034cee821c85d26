package client

import (
	"math/rand/v2"
	"slices"
	"time"

	"ledger/wire"
)

// primary is the index of the replica that leads the view, as far as this client knows.
func (s *Session) primary() int { return int(s.view) % len(s.options.Addresses) }

// anotherReplica picks the replica for a second copy: any but the primary, and a connected one if
// there is one.
func (s *Session) anotherReplica() int {
	count := len(s.options.Addresses)
	if count == 1 {
		return 0
	}
	other := (s.primary() + 1 + rand.IntN(count-1)) % count
	for range count {
		if other != s.primary() && s.sockets[other] != nil {
			break
		}
		other = (other + 1) % count
	}
	if other == s.primary() { // nobody is connected
		other = (other + 1) % count
	}
	return other
}

// sendTo sends the request in flight over one connection. The caller holds mu, here and below.
func (s *Session) sendTo(index int) {
	if socket := s.sockets[index]; socket != nil && socket.send(s.flight.frame, s.number) {
		s.flight.sent |= 1 << index
	}
}

// sendFirst sends a new request to the primary, and to a second replica now or later.
func (s *Session) sendFirst() {
	f := &s.flight
	s.sendTo(s.primary())
	f.due = f.begun.Add(retryFirst)
	if len(s.options.Addresses) > 1 {
		if s.options.HedgeDelay < 0 || f.sent == 0 {
			f.hedged = true
			s.sendTo(f.hedge)
		} else {
			f.due = f.begun.Add(min(s.options.HedgeDelay, retryFirst))
		}
	}
	s.arm()
}

// arm makes the timer fire when the flight is due, or earlier; then it is armed again. So a reply
// need not stop it.
func (s *Session) arm() {
	if s.timerAt.IsZero() || s.flight.due.Before(s.timerAt) {
		s.timerAt = s.flight.due
		s.timer.Reset(time.Until(s.timerAt))
	}
}

// onTimer sends the hedge or the retry that is due.
func (s *Session) onTimer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timerAt = time.Time{}
	f := &s.flight
	if s.err != nil || !f.active || f.claimed {
		if f.active && s.err == nil { // the reply is arriving; look again, in case its connection breaks
			f.due = time.Now().Add(retryFirst)
			s.arm()
		}
		return
	}
	now := time.Now()
	if now.Before(f.due) {
		s.arm()
		return
	}
	if !f.hedged && len(s.options.Addresses) > 1 {
		f.hedged = true
		s.sendTo(f.hedge)
		f.due = f.begun.Add(retryFirst)
		if f.due.After(now) {
			s.arm()
			return
		}
	}
	f.attempts++
	f.hedge = s.anotherReplica()
	s.sendTo(s.primary())
	if len(s.options.Addresses) > 1 {
		s.sendTo(f.hedge)
	}
	f.due = now.Add(s.retryDelay())
	s.arm()
}

// retryDelay is the time between two retries. Source: specification, 1.6.
func (s *Session) retryDelay() time.Duration {
	slack := min(retrySlackMax, 10*time.Millisecond<<min(s.flight.attempts, 10))
	return 2*s.roundTrip() + 10*time.Millisecond + rand.N(slack)
}

// roundTrip is the median of the latest round trips of the replicas.
func (s *Session) roundTrip() time.Duration {
	var known [wire.ReplicasMax]time.Duration
	count := 0
	for _, one := range s.roundTrips {
		if one > 0 {
			known[count] = one
			count++
		}
	}
	if count == 0 {
		return roundTripInitial
	}
	slices.Sort(known[:count])
	return min(max(known[count/2], roundTripMin), roundTripMax)
}

// onConnected takes a new connection. It returns false if the session has ended. The ping tells the
// replica of this client, so that it can reply to requests that came another way. The pong tells
// the view.
func (s *Session) onConnected(index int, socket *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false
	}
	s.sockets[index] = socket
	if len(s.options.Addresses) > 1 {
		s.ping(index)
	}
	f := &s.flight
	if f.active && (index == s.primary() || f.sent == 0 || f.hedged && index == f.hedge) {
		s.sendTo(index)
	}
	return true
}

func (s *Session) onDisconnected(index int, socket *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sockets[index] == socket {
		s.sockets[index] = nil
	}
	s.flight.sent &^= 1 << index
}

// onPingDue pings all replicas.
func (s *Session) onPingDue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	for i := range s.options.Addresses {
		s.ping(i)
	}
	s.pinger.Reset(pingInterval)
}

func (s *Session) ping(index int) {
	socket := s.sockets[index]
	if socket == nil {
		return
	}
	var header wire.Header
	wire.BuildPing(&header, &wire.PingFields{
		Cluster: s.options.Cluster, Client: s.options.ID, Session: s.session, Release: s.options.Release,
		TimestampNs: uint64(time.Since(s.started)),
	})
	socket.send(header[:], 0)
	socket.release()
}

// raiseView follows a view change. It sends the request in flight to the new primary at once.
func (s *Session) raiseView(view uint32) {
	if view <= s.view {
		return
	}
	s.view = view
	f := &s.flight
	if f.active && !f.claimed && f.sent&(1<<s.primary()) == 0 {
		s.sendTo(s.primary())
	}
}

// onShort takes a message without a body: a pong or an eviction.
func (s *Session) onShort(header *wire.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch header.Command() {
	case wire.CommandPongClient:
		sent, now := time.Duration(header.PongTimestampNs()), time.Since(s.started)
		if sent > 0 && sent <= now {
			s.roundTrips[header.Replica()] = max(now-sent, 1)
		}
		s.raiseView(header.View())
	case wire.CommandEviction:
		if header.EvictionClient() == s.options.ID && header.View() >= s.view {
			s.end(&EvictedError{header.EvictionReason(), s.options.Release, header.Release()})
		}
	}
}

// claim returns the memory for the body of a reply to the connection that has read its header. It
// returns nil if the message answers no open request. Two replicas may send the same reply; the
// second one is discarded.
func (s *Session) claim(header *wire.Header) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.flight
	if !f.active || f.claimed || header.ReplyClient() != s.options.ID || header.ReplyRequestNumber() != s.number {
		return nil, nil
	}
	request := wire.HeaderOf(f.frame)
	if header.ReplyRequestChecksum() != request.Checksum() || header.Release() != s.options.Release ||
		header.ReplyOperation() != request.RequestOperation() {
		return nil, errProtocol
	}
	body := f.reply.Body()
	if int(header.BodyBytes()) > len(body) {
		return nil, errProtocol
	}
	f.claimed = true
	return body[:header.BodyBytes()], nil
}

// finish ends the claim. A whole reply ends the flight. Otherwise a retry will bring it again.
func (s *Session) finish(header *wire.Header, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.flight
	f.claimed = false
	if !whole || !f.active {
		return
	}
	*f.reply.Header() = *header
	s.parent = header.ReplyContext()
	if header.ReplyOperation() == wire.OperationRegister {
		s.session = header.ReplyCommit()
	}
	s.latency = time.Since(f.begun)
	f.active, f.answered = false, true
	s.raiseView(header.View())
	for _, socket := range s.sockets {
		if socket != nil {
			socket.release() // a hedge or a retry may still be on its way
		}
	}
	f.frame = nil
	if f.abandoned {
		f.reply = nil
		<-s.turn
		return
	}
	s.done <- struct{}{}
}
