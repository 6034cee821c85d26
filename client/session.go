package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"ledger/internal/assert"
	"ledger/wire"
)

// Session is one registered client: a place in the servers' session table, and a connection to each
// replica.
//
// It has one request in flight. Calls from several goroutines are safe and wait for each other; see
// Client for merging them.
type Session struct {
	options Options
	parser  wire.Parser
	context context.Context // ends with the session
	cancel  context.CancelFunc
	running sync.WaitGroup // connections
	started time.Time

	turn chan struct{} // holds a token while a request is in flight
	done chan struct{} // holds a token when the request was answered, until Wait takes it

	mu           sync.Mutex
	err          error // the reason why the session ended
	sockets      [wire.ReplicasMax]*socket
	roundTrips   [wire.ReplicasMax]time.Duration
	parent       wire.Checksum // context of the last reply
	session      uint64        // 0 until registered
	number       uint32        // of the last request
	view         uint32        // the largest seen
	latency      time.Duration // of the last request
	bodyBytesMax uint32
	flight       flight
	timer        *time.Timer
	timerAt      time.Time // the time at which it fires; zero if it is not armed
	pinger       *time.Timer
}

// flight is the request in flight.
type flight struct {
	active    bool
	abandoned bool // no caller waits for the answer
	answered  bool
	frame     []byte   // of the request, sealed
	reply     *Message // memory for the answer
	begun     time.Time
	due       time.Time // of the next hedge or retry
	attempts  int       // retries so far
	hedged    bool
	hedge     int    // the second replica
	sent      uint32 // bit per replica: the request is on that connection
	claimed   bool   // a connection is reading the answer into reply
}

// Open connects, registers a session and waits for the registration. A server may be started later,
// so only an error of the options, an eviction or the end of ctx ends the wait.
func Open(ctx context.Context, options Options) (*Session, error) {
	isReleaseFixed := options.Release != 0
	options, err := options.resolve()
	if err != nil {
		return nil, err
	}
	for {
		s, err := openAs(ctx, options)
		evicted := (*EvictedError)(nil)
		if isReleaseFixed || !errors.As(err, &evicted) || evicted.Reason != wire.EvictionReleaseTooHigh {
			return s, err
		}
		// Each turn is of an older release, so the loop ends.
		older, ok := options.Release.Older(evicted.Announced)
		if !ok {
			return nil, err
		}
		options.Release = older
	}
}

// openAs is Open of one release.
func openAs(ctx context.Context, options Options) (*Session, error) {
	s := &Session{
		options: options,
		parser:  wire.NewParser(options.Cluster, wire.SideClient),
		started: time.Now(),
		turn:    make(chan struct{}, 1),
		done:    make(chan struct{}, 1),
	}
	s.context, s.cancel = context.WithCancel(context.Background())
	s.timer = time.AfterFunc(time.Hour, s.onTimer)
	s.pinger = time.AfterFunc(pingInterval, s.onPingDue)
	s.bodyBytesMax = wire.RegisterBodyBytes
	for i := range options.Addresses {
		s.running.Add(1)
		go s.connect(i)
	}
	if err := s.register(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) register(ctx context.Context) error {
	// The session's own two messages have small bodies, so that an idle session holds no megabytes.
	request := &Message{make([]byte, wire.HeaderBytes+wire.RegisterBodyBytes)}
	reply := &Message{make([]byte, wire.HeaderBytes+wire.RegisterReplyBytes)}
	body, err := s.Do(ctx, wire.OperationRegister, request, wire.RegisterBodyBytes, reply)
	if err != nil {
		return err
	}
	bodyBytesMax := wire.RegisterReplyBatchBytesMax(body)
	if bodyBytesMax == 0 || bodyBytesMax > wire.BodyBytesMax {
		return ErrReply
	}
	s.mu.Lock()
	s.bodyBytesMax = bodyBytesMax
	s.mu.Unlock()
	return nil
}

// ID is the client's id.
func (s *Session) ID() wire.U128 { return s.options.ID }

// BodyBytesMax is the largest body of a request, as told by the server. wire.EventsMax converts it
// into a number of events.
func (s *Session) BodyBytesMax() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodyBytesMax
}

// Do sends the first bodyBytes of request.Body() as a request of o and waits for the reply's body,
// a view into reply. Only the length of the body is checked. A server evicts a client whose
// requests are malformed.
//
// If ctx ends first, the request may still take effect. Both messages then belong to the session
// until the request is answered. The next Do, Begin or Idle waits for that.
func (s *Session) Do(ctx context.Context, o wire.Operation, request *Message, bodyBytes int, reply *Message) ([]byte, error) {
	if err := s.Begin(ctx, o, request, bodyBytes, reply); err != nil {
		return nil, err
	}
	return s.Wait(ctx)
}

// Begin sends a request after the previous one was answered, and returns. The caller must then call
// Wait, which waits for the reply.
func (s *Session) Begin(ctx context.Context, o wire.Operation, request *Message, bodyBytes int, reply *Message) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		<-s.turn
		return s.err
	}
	if uint64(bodyBytes) > uint64(s.bodyBytesMax) {
		<-s.turn
		return ErrTooMuchData
	}
	assert.That(!s.flight.active, "one request in flight")
	if o != wire.OperationRegister {
		s.number++
	}
	fields := wire.RequestFields{
		Cluster: s.options.Cluster, Client: s.options.ID, Parent: s.parent, Session: s.session, Number: s.number, View: s.view,
		PreviousLatency: uint32(min(s.latency.Microseconds(), 1<<32-1)), Release: s.options.Release, Operation: o,
	}
	frame := request.frame[:wire.HeaderBytes+bodyBytes]
	wire.BuildRequest(wire.HeaderOf(frame), &fields, frame[wire.HeaderBytes:])
	s.flight = flight{active: true, frame: frame, reply: reply, begun: time.Now(), hedge: s.anotherReplica()}
	s.sendFirst()
	return nil
}

// Wait waits for the answer to Begin's request.
func (s *Session) Wait(ctx context.Context) ([]byte, error) {
	select {
	case <-s.done:
	default:
		select {
		case <-s.done:
		case <-ctx.Done():
			if s.abandon() {
				return nil, ctx.Err()
			}
			<-s.done // the answer came at the same moment
		case <-s.context.Done():
			if s.abandon() {
				s.running.Wait() // no connection writes into the reply any more
				return nil, s.Err()
			}
			<-s.done
		}
	}
	reply := s.flight.reply // the flight has ended, and the next one waits for our turn to end
	s.flight.reply = nil
	<-s.turn
	return reply.Body()[:reply.Header().BodyBytes()], nil
}

// Idle waits until no request is in flight. After a Do whose context ended, its messages then
// belong to the caller again.
func (s *Session) Idle(ctx context.Context) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	<-s.turn
	return nil
}

// Latency is the time from sending the last request to the arrival of its answer. It does not
// contain the time until the caller's goroutine runs.
func (s *Session) Latency() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latency
}

// Err is the reason why the session ended: nil, ErrClosed or an *EvictedError.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session. A request in flight may still take effect. The server keeps the session
// until it needs the place.
func (s *Session) Close() {
	s.mu.Lock()
	s.end(ErrClosed)
	s.mu.Unlock()
	s.running.Wait()
}

// acquire waits until this caller may have a request in flight.
func (s *Session) acquire(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.context.Done():
		return s.Err()
	}
}

// abandon lets the flight continue without its caller. It returns false if the flight has been
// answered already.
func (s *Session) abandon() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight.answered {
		return false
	}
	s.flight.abandoned = true
	return true
}

// end makes all later calls fail. The caller holds mu.
func (s *Session) end(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.cancel()
	s.timer.Stop()
	s.pinger.Stop()
	s.flight.active = false
	for _, socket := range s.sockets {
		if socket != nil {
			socket.close()
		}
	}
}
