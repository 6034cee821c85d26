package model

import "fmt"

// Config of a Server, from its data file and its configuration.
type Config struct {
	Cluster         Number
	SessionsMax     int
	MessageBytesMax uint32
	RequestBytesMax uint32 // for entries that do not have it themselves
}

// Committed is one request of the log.
type Committed struct {
	Op        uint64 // the prepare's; several requests of a group share it, in their order
	Timestamp uint64 // this request's own
	View      uint32 // of the primary that prepared it
	Replica   uint8  // index of that primary

	Client          Number // 0 for a pulse, which gets no reply
	Request         uint32
	RequestChecksum Checksum
	Release         uint32
	Operation       Operation
	Body            []byte
	Rules           uint32 // of the release that prepared it, and by which it is executed

	RequestBytesMax uint32 // the request limit that it runs under; 0 stands for that of Config

	// Fields that the log may omit: checked unless zero.
	Session uint64
	Parent  Checksum
}

// rulesTrial are the rules of the release of tests, by which an account with the code TrialCode is
// refused like one without a code.
const rulesTrial = 0xffff

// TrialCode is the account code of which two releases think differently.
const TrialCode = 0xfffe

// FromRequest copies the fields that a client's request frame has. Op, Timestamp, View and Replica
// come from the log.
func FromRequest(frame []byte) Committed {
	h, body, err := ParseFrame(frame)
	if err != nil || h.Command != CommandRequest {
		panic(fmt.Sprintf("model: this is no request: %v", err))
	}
	return Committed{
		Client:          h.Client,
		Request:         h.Request,
		RequestChecksum: Checksum(frame[:16]),
		Release:         h.Release,
		Operation:       h.Operation,
		Body:            body,
		Session:         h.Session,
		Parent:          h.Parent,
	}
}

// Server is the whole observable server: sessions and the accounting rules.
type Server struct {
	Machine *Machine
	config  Config

	sessions map[Number]*session
	evicted  map[Number]*session // by client; their last state
	commits  uint64              // requests so far: breaks ties between the requests of one op
	opLast   uint64
	tsLast   uint64
}

// session is one entry of the session table: its identity and its last reply.
type session struct {
	client   Number
	number   uint64 // the op of its register
	release  uint32
	commit   uint64 // op of the last reply
	position uint64 // of the last reply among all requests
	request  uint32 // of the last reply
	context  Checksum
	reply    []byte

	overtaken bool // after its eviction, the one request that was in the pipeline has been executed
}

// NewServer returns a server with an empty data file.
func NewServer(config Config) *Server {
	return &Server{
		Machine:  NewMachine(config.MessageBytesMax),
		config:   config,
		sessions: map[Number]*session{},
		evicted:  map[Number]*session{},
	}
}

// Commit executes the next request of the log and returns the frame of its reply, or nil for a
// pulse.
//
// error: the log is impossible: a request that is committed twice or out of order, a request
// without a client, a timestamp or an op that does not rise, an invalid body.
func (s *Server) Commit(c *Committed) (reply []byte, err error) {
	s.commits++
	if c.Op < s.opLast || c.Op == 0 {
		return nil, fmt.Errorf("op %d after op %d", c.Op, s.opLast)
	}
	if c.Timestamp <= s.tsLast || c.Timestamp > timestampMax {
		return nil, fmt.Errorf("op %d: timestamp %d after %d", c.Op, c.Timestamp, s.tsLast)
	}
	if delta := TimestampDelta(c.Operation, c.Body); c.Timestamp-s.tsLast <= delta {
		return nil, fmt.Errorf("op %d: timestamp %d is less than %d (its events) + 1 after %d", c.Op, c.Timestamp, delta, s.tsLast)
	}
	s.opLast, s.tsLast = c.Op, c.Timestamp

	requestBytesMax := c.RequestBytesMax
	if requestBytesMax == 0 {
		requestBytesMax = s.config.RequestBytesMax
	}
	s.Machine.refusesTrialCode = c.Rules == rulesTrial
	if c.IsInternal() {
		_, err := s.Machine.Execute(c.Operation, c.Timestamp, requestBytesMax, c.Body)
		return nil, err
	}
	if err := s.checkSession(c); err != nil {
		return nil, fmt.Errorf("op %d, operation %d, client %x, request %d: %w", c.Op, c.Operation, c.Client, c.Request, err)
	}
	body, err := s.Machine.Execute(c.Operation, c.Timestamp, requestBytesMax, c.Body)
	if err != nil {
		return nil, fmt.Errorf("op %d: %w", c.Op, err)
	}
	header := Header{
		Cluster:         s.config.Cluster,
		View:            c.View,
		Release:         c.Release,
		Command:         CommandReply,
		Replica:         c.Replica,
		Client:          c.Client,
		Request:         c.Request,
		Operation:       c.Operation,
		RequestChecksum: c.RequestChecksum,
		Op:              c.Op,
		Timestamp:       c.Timestamp,
	}
	reply = header.Frame(body)
	s.record(c, header.Context, reply)
	return reply, nil
}

// IsInternal tells whether no client has sent the request: it has no reply.
func (c *Committed) IsInternal() bool {
	return c.Operation == Pulse || c.Operation == Upgrade || (c.Operation == Member || c.Operation == Noop) && c.Client.IsZero()
}

// checkSession returns an error if no correct primary would have accepted the request. Source: wire
// protocol, 4.4.
func (s *Server) checkSession(c *Committed) error {
	e := s.sessions[c.Client]
	if c.Operation == Register {
		switch {
		case c.Client.IsZero():
			return fmt.Errorf("a register of client 0")
		case e != nil:
			return fmt.Errorf("the client is registered already, session %d", e.number)
		case c.Request != 0 || c.Session != 0:
			return fmt.Errorf("a register with a number or a session")
		}
		return nil
	}
	if e == nil {
		// One request of an evicted client, which was in the pipeline, is still executed (wire
		// protocol, 4.7).
		e = s.evicted[c.Client]
		if e == nil {
			return fmt.Errorf("the client never registered")
		}
		if e.overtaken {
			return fmt.Errorf("the session %d was evicted", e.number)
		}
	}
	switch {
	case c.Request <= e.request:
		return fmt.Errorf("request %d was committed already: twice executed", e.request)
	case c.Request != e.request+1:
		return fmt.Errorf("the request before was %d", e.request)
	case c.Session != 0 && c.Session != e.number:
		return fmt.Errorf("the session is %d, want %d", c.Session, e.number)
	case c.Parent != Checksum{} && c.Parent != e.context:
		return fmt.Errorf("the parent is %x, want %x", c.Parent, e.context)
	case c.Release != e.release:
		return fmt.Errorf("the release is %#x, want %#x", c.Release, e.release)
	}
	return nil
}

// record updates the session table after a request.
func (s *Server) record(c *Committed, context Checksum, reply []byte) {
	e := s.sessions[c.Client]
	if e == nil && c.Operation != Register {
		s.evicted[c.Client].overtaken = true
		return
	}
	if c.Operation == Register {
		if len(s.sessions) == s.config.SessionsMax {
			s.evict()
		}
		e = &session{client: c.Client, number: c.Op, release: c.Release}
		s.sessions[c.Client] = e
	}
	e.commit, e.position, e.request = c.Op, s.commits, c.Request
	e.context, e.reply = context, reply
}

// evict drops the session whose last reply has the smallest commit number. Within one op, it drops
// that of the earlier request.
func (s *Server) evict() {
	var victim *session
	for _, e := range s.sessions {
		if victim == nil || e.commit < victim.commit || e.commit == victim.commit && e.position < victim.position {
			victim = e
		}
	}
	delete(s.sessions, victim.client)
	s.evicted[victim.client] = victim
}

// Session returns a client's entry: session number, last request, and its reply.
func (s *Server) Session(client Number) (number uint64, request uint32, reply []byte, ok bool) {
	e := s.sessions[client]
	if e == nil {
		return 0, 0, nil, false
	}
	return e.number, e.request, e.reply, true
}

// LostSession tells whether a client lost a session, even if it has another one now.
func (s *Server) LostSession(client Number) bool { return s.evicted[client] != nil }

// Reasons of an eviction. Source: wire protocol, 4.6.
const (
	EvictNoSession        = 1
	EvictReleaseTooLow    = 2
	EvictReleaseTooHigh   = 3
	EvictInvalidOperation = 4
	EvictInvalidBody      = 5
	EvictInvalidBodySize  = 6
	EvictSessionTooLow    = 7
)

// Refusal returns the reason for which a server evicts the sender of a well-formed request,
// independent of its session. It returns 0 if there is none. Source: wire protocol, 4.4, steps 2 to
// 6, and 9.2.
func (l Limits) Refusal(frame []byte, releaseMin, releaseMax uint32) uint8 {
	h, body, err := ParseFrame(frame)
	switch {
	case err != nil:
		return 0
	case h.Release < releaseMin:
		return EvictReleaseTooLow
	case h.Release > releaseMax:
		return EvictReleaseTooHigh
	case len(body) > l.requestBytes():
		return EvictInvalidBodySize
	case h.Operation == Register && len(body) == 0:
		return EvictInvalidBodySize
	case h.Operation == Register && !isZero(body):
		return EvictInvalidBody
	case h.Operation == Register || h.Operation == Noop:
		return 0
	case !h.Operation.IsKnown():
		return EvictInvalidOperation
	case l.CheckBody(h.Operation, body) != nil:
		return EvictInvalidBody
	}
	return 0
}
