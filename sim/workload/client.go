package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"ledger/sim/model"
)

// Source is the source of a client's requests, such as a Generator. Several clients may share it.
type Source interface {
	Next(nowNs uint64) Request
	Observe(request Request, timestamp uint64, reply []byte)
}

// ClientConfig of one client.
type ClientConfig struct {
	Cluster  model.Number
	Seed     uint64
	Replicas int
	Release  uint32       // it determines the client's behaviour: see send
	Limits   model.Limits // the server's: they determine refusals and the answer to a register
	PauseNs  uint64       // longest pause between a reply and the next request
}

// Frame is a message for a replica.
type Frame struct {
	Replica int
	Bytes   []byte
}

// Exchange is one request and its result.
type Exchange struct {
	Client  model.Number
	Session uint64
	Number  uint32 // 0: the register
	What    Request
	Request []byte // the frame, identical each time it is sent
	Reply   []byte // the first one, nil if none came
	Evicted uint8  // the reason, if an eviction ended it

	FirstNs, LastNs uint64 // first sent; ended
	Sends           int
}

// Releases at which clients changed. Source: wire protocol, section 10.
const (
	releasePingTime     = 0<<16 | 16<<8 | 23 // pings carry a time
	releaseRetryPrimary = 0<<16 | 16<<8 | 36 // retries go to the primary
	releaseLatency      = 0<<16 | 16<<8 | 47 // requests carry the latency of the previous one, in ns
	releaseHedged       = 0<<16 | 16<<8 | 58 // each request also goes to another replica
	releaseLatencyMicro = 0<<16 | 17<<8      // the latency is in us
	releasePingSession  = 0<<16 | 17<<8 | 6  // pings carry the session, and accompany a register
)

const (
	nsPerMs       = 1_000_000
	firstRetryNs  = 600 * nsPerMs
	pingEveryNs   = 30_000 * nsPerMs
	rttInitialNs  = 300 * nsPerMs
	rttNsMin      = 10 * nsPerMs
	rttNsMax      = 60_000 * nsPerMs
	replicasMax   = 6
	rememberedSum = 32 // past exchanges that are kept to check late replies
)

// Client is the protocol of one client. It has at most one request in flight, and after an eviction
// it begins a new session.
type Client struct {
	config ClientConfig
	source Source
	random *rand.Rand

	id      model.Number
	pastIDs []model.Number
	view    uint32
	session uint64
	request uint32 // of the last exchange
	parent  model.Checksum
	opLast  uint64
	tsLast  uint64

	inFlight  *Exchange
	past      []*Exchange // of this session
	done      []*Exchange // not yet taken by Take
	latencyNs uint64

	nextNs  uint64 // when the next request may begin
	retryNs uint64
	pingNs  uint64
	pinged  []uint64 // the times in its pings, of all its sessions
	rttNs   [replicasMax]uint64
	stopped bool
	held    bool
}

// NewClient returns a client that begins at nowNs.
func NewClient(config ClientConfig, source Source, nowNs uint64) *Client {
	c := &Client{config: config, source: source, random: rand.New(rand.NewPCG(config.Seed, 0x636c69656e74))}
	for i := range c.rttNs {
		c.rttNs[i] = rttInitialNs
	}
	c.pingNs = nowNs + pingEveryNs
	c.newSession(nowNs)
	return c
}

// ID of the current session's client.
func (c *Client) ID() model.Number { return c.id }

// InFlight is the exchange that waits for its reply, nil if there is none.
func (c *Client) InFlight() *Exchange { return c.inFlight }

// Stop prevents new requests. The one in flight goes on until it ends.
func (c *Client) Stop() { c.stopped = true }

// Hold prevents new requests until it is called with false.
func (c *Client) Hold(isHeld bool) { c.held = isHeld }

// Take returns the exchanges that have ended since the last call, in order.
func (c *Client) Take() []*Exchange {
	done := c.done
	c.done = nil
	return done
}

// Restart makes the client forget everything, as if its process had been killed and started again.
func (c *Client) Restart(nowNs uint64) {
	c.end(nowNs)
	c.view = 0
	c.newSession(nowNs)
}

func (c *Client) newSession(nowNs uint64) {
	if !c.id.IsZero() {
		c.pastIDs = append(c.pastIDs, c.id)
	}
	c.id = model.Number{High: c.random.Uint64(), Low: c.random.Uint64() | 1}
	c.session, c.request, c.parent = 0, 0, model.Checksum{}
	c.opLast, c.tsLast, c.latencyNs = 0, 0, 0
	c.past = nil
	c.pause(nowNs)
}

// pause draws the time of the next request.
func (c *Client) pause(nowNs uint64) {
	c.nextNs = nowNs
	if c.config.PauseNs > 0 {
		c.nextNs += c.random.Uint64N(c.config.PauseNs + 1)
	}
}

// end finishes the exchange in flight, if there is one.
func (c *Client) end(nowNs uint64) {
	if c.inFlight == nil {
		return
	}
	c.inFlight.LastNs = nowNs
	c.done = append(c.done, c.inFlight)
	c.inFlight = nil
}

// NextNs is the earliest moment at which Tick has something to do.
func (c *Client) NextNs() uint64 {
	switch {
	case c.inFlight != nil:
		return min(c.retryNs, c.pingNs)
	case c.stopped || c.held:
		return c.pingNs
	}
	return min(c.nextNs, c.pingNs)
}

// Tick advances the client to nowNs and returns the frames that it sends.
func (c *Client) Tick(nowNs uint64) (out []Frame) {
	if nowNs >= c.pingNs {
		c.pingNs = nowNs + pingEveryNs
		out = append(out, c.pings(nowNs)...)
	}
	switch {
	case c.inFlight != nil && nowNs >= c.retryNs:
		out = append(out, c.send(nowNs)...)
	case c.inFlight == nil && !c.stopped && !c.held && nowNs >= c.nextNs:
		c.begin(nowNs)
		out = append(out, c.send(nowNs)...)
		if c.inFlight.Number == 0 && c.config.Release >= releasePingSession {
			out = append(out, c.pings(nowNs)...)
		}
	}
	return out
}

// begin makes the next request: first the register, then those of the source.
func (c *Client) begin(nowNs uint64) {
	what := Request{Operation: model.Register, Body: make([]byte, 256)}
	number := uint32(0)
	if c.session != 0 {
		what = c.source.Next(nowNs)
		number = c.request + 1
	}
	latency := c.latencyNs
	switch {
	case c.config.Release < releaseLatency || number == 0:
		latency = 0
	case c.config.Release >= releaseLatencyMicro:
		latency /= 1000
	}
	header := model.Header{
		Cluster:   c.config.Cluster,
		View:      c.view,
		Release:   c.config.Release,
		Command:   model.CommandRequest,
		Parent:    c.parent,
		Client:    c.id,
		Session:   c.session,
		Request:   number,
		Operation: what.Operation,
		Latency:   uint32(min(latency, 1<<32-1)),
	}
	c.inFlight = &Exchange{
		Client:  c.id,
		Session: c.session,
		Number:  number,
		What:    what,
		Request: header.Frame(what.Body),
		FirstNs: nowNs,
	}
}

// send sends the request in flight, for the first time or again, and sets the timer. Source: wire
// protocol, 1.3, 1.6.
func (c *Client) send(nowNs uint64) (out []Frame) {
	e := c.inFlight
	primary := int(c.view) % c.config.Replicas
	to := func(replica int) { out = append(out, Frame{replica, e.Request}) }
	switch retry := e.Sends; {
	case c.config.Release >= releaseHedged:
		to(primary)
		if c.config.Replicas > 1 {
			to((primary + 1 + c.random.IntN(c.config.Replicas-1)) % c.config.Replicas)
		}
	case c.config.Release >= releaseRetryPrimary:
		to(primary)
		if retry > 0 {
			out = append(out, Frame{(primary + retry) % c.config.Replicas, c.ping(nowNs)})
		}
	default:
		to((primary + retry) % c.config.Replicas)
	}
	e.Sends++
	c.retryNs = nowNs + firstRetryNs
	if e.Sends > 1 {
		shift := min(e.Sends-1, 10)
		c.retryNs = nowNs + 2*c.rtt() + 10*nsPerMs + c.random.Uint64N(min(uint64(9990*nsPerMs), uint64(10*nsPerMs)<<shift)+1)
	}
	return out
}

// rtt is the median of the latest round trip per replica.
func (c *Client) rtt() uint64 {
	trips := slices.Clone(c.rttNs[:c.config.Replicas])
	slices.Sort(trips)
	return min(max(trips[len(trips)/2], rttNsMin), rttNsMax)
}

func (c *Client) ping(nowNs uint64) []byte {
	header := model.Header{Cluster: c.config.Cluster, Release: c.config.Release, Command: model.CommandPing, Client: c.id}
	if c.config.Release >= releasePingTime {
		header.PingTimestamp = nowNs
	}
	if c.config.Release >= releasePingSession {
		header.Session = c.session
	}
	if !slices.Contains(c.pinged, header.PingTimestamp) {
		c.pinged = append(c.pinged, header.PingTimestamp)
	}
	return header.Frame(nil)
}

func (c *Client) pings(nowNs uint64) (out []Frame) {
	for replica := range c.config.Replicas {
		out = append(out, Frame{replica, c.ping(nowNs)})
	}
	return out
}

// Forge returns what could be the session's next request if it had not one thing wrong, and what
// that is. A correct server neither executes it nor evicts the client for it. closes: the server
// closes the connection on which it comes. nil: there is no session.
func (c *Client) Forge(random *rand.Rand) (frame []byte, wrong string, closes bool) {
	if c.session == 0 {
		return nil, "", false
	}
	header := model.Header{
		Cluster:   c.config.Cluster,
		View:      c.view,
		Release:   c.config.Release,
		Command:   model.CommandRequest,
		Parent:    c.parent,
		Client:    c.id,
		Session:   c.session,
		Request:   c.request + 1,
		Operation: model.LookupAccounts,
		Latency:   random.Uint32(), // no two are the same
	}
	kind := random.IntN(11)
	switch kind {
	case 0:
		header.Parent[random.IntN(16)] ^= 1 << random.IntN(8)
		wrong = "it names another reply before it"
	case 1:
		header.Request += 1 + random.Uint32N(3)
		wrong = "it leaves out a number"
	case 2:
		header.Session += 1 + random.Uint64N(3)
		wrong = "its session is of a later op"
	case 3:
		header.View += 1 << 20
		wrong = "its view has not begun"
	case 4:
		header.Timestamp = 1 + random.Uint64N(1<<62)
		wrong = "it has a timestamp"
	case 5:
		header.Replica = 1
		wrong = "it comes from a replica"
	}
	frame = header.Frame(model.Join([][]byte{make([]byte, 16)}, 16))
	switch kind {
	case 6, 10:
		at := random.IntN(headerBytes)
		if random.IntN(2) == 0 {
			at = random.IntN(16) // only the checksum, so that nothing else shows it
		}
		frame[at] ^= 1 << random.IntN(8)
		return frame, fmt.Sprintf("its header's byte %d changed on the way", at), true
	case 7:
		frame[headerBytes+random.IntN(16)] ^= 1 << random.IntN(8)
		return frame, "its body changed on the way", true
	case 8, 9:
		at := reservedOfRequest[random.IntN(len(reservedOfRequest))]
		frame[at] = 1 << random.IntN(8)
		model.Seal(frame)
		wrong = fmt.Sprintf("its reserved byte %d is not 0", at)
	}
	return frame, wrong, false
}

const headerBytes = 256

// reservedOfRequest are the bytes of a request's header that must be 0. Source: wire protocol,
// section 2.
var reservedOfRequest = func() (list []int) {
	for _, part := range [][2]int{{16, 32}, {48, 80}, {100, 104}, {112, 114}, {116, 128}, {144, 160}, {197, 200}, {204, 256}} {
		for at := part[0]; at < part[1]; at++ {
			list = append(list, at)
		}
	}
	return list
}()

// Verdict is the effect of a received frame.
type Verdict uint8

const (
	Accepted Verdict = iota // it changed the client
	Ignored                 // old, or for an earlier id of this client
	Damaged                 // a checksum is wrong: the connection has to be closed
)

// Receive takes one frame from a replica.
//
// error: the frame is intact but breaks the protocol. No correct server sends it.
func (c *Client) Receive(nowNs uint64, replica int, frame []byte) (Verdict, error) {
	if model.CheckFrame(frame, c.config.Limits.MessageBytesMax) != nil {
		return Damaged, nil
	}
	h, body, err := model.ParseFrame(frame)
	switch {
	case err != nil:
		return Ignored, fmt.Errorf("from replica %d: %w", replica, err)
	case h.Cluster != c.config.Cluster:
		return Ignored, fmt.Errorf("from replica %d: cluster %x", replica, h.Cluster)
	case h.Command == model.CommandPong:
		return c.receivePong(nowNs, replica, &h)
	case h.Command == model.CommandEviction:
		return c.receiveEviction(nowNs, &h)
	case h.Command == model.CommandReply:
		verdict, err := c.receiveReply(nowNs, &h, frame, body)
		if err != nil {
			return verdict, fmt.Errorf("reply to client %x, request %d, op %d: %w", h.Client, h.Request, h.Op, err)
		}
		return verdict, nil
	}
	return Ignored, fmt.Errorf("from replica %d: command %d is not for clients", replica, h.Command)
}

func (c *Client) receivePong(nowNs uint64, replica int, h *model.Header) (Verdict, error) {
	if int(h.Replica) != replica {
		return Ignored, fmt.Errorf("a pong of replica %d comes from replica %d", h.Replica, replica)
	}
	if !slices.Contains(c.pinged, h.PingTimestamp) {
		return Ignored, fmt.Errorf("client %x: a pong echoes the time %d, and none of its pings had it", c.id, h.PingTimestamp)
	}
	c.view = max(c.view, h.View)
	if c.config.Release >= releasePingTime {
		c.rttNs[replica] = nowNs - h.PingTimestamp
	}
	return Accepted, nil
}

func (c *Client) receiveEviction(nowNs uint64, h *model.Header) (Verdict, error) {
	if h.Client != c.id {
		return c.notMine(h)
	}
	if h.View < c.view {
		return Ignored, nil
	}
	refusal := uint8(0)
	if c.inFlight != nil {
		refusal = c.config.Limits.Refusal(c.inFlight.Request, c.config.Release, c.config.Release)
	}
	// If a session was dropped from the table, a request or a ping of the session is answered by an
	// eviction. If a late copy of the register has arrived after the drop, the client has a newer
	// session that it does not know of.
	dropped := c.session != 0 && (h.Reason == model.EvictNoSession || h.Reason == model.EvictSessionTooLow)
	if h.Reason != refusal && !dropped {
		return Ignored, fmt.Errorf("client %x, session %d, is evicted for reason %d, want %d", h.Client, c.session, h.Reason, refusal)
	}
	c.view = max(c.view, h.View)
	if c.inFlight != nil {
		c.inFlight.Evicted = h.Reason
	}
	c.end(nowNs)
	c.newSession(nowNs)
	return Accepted, nil
}

func (c *Client) notMine(h *model.Header) (Verdict, error) {
	if slices.Contains(c.pastIDs, h.Client) {
		return Ignored, nil
	}
	return Ignored, fmt.Errorf("command %d is for client %x, this one is %x", h.Command, h.Client, c.id)
}

func (c *Client) receiveReply(nowNs uint64, h *model.Header, frame, body []byte) (Verdict, error) {
	if h.Release != c.config.Release {
		return Ignored, fmt.Errorf("the release is %#x, want %#x", h.Release, c.config.Release)
	}
	if h.Client != c.id {
		return c.notMine(h)
	}
	e := c.inFlight
	if e == nil || h.Request != e.Number {
		return c.receiveLate(h, frame)
	}
	switch {
	case h.RequestChecksum != model.Checksum(e.Request[:16]):
		return Ignored, fmt.Errorf("the request's checksum is %x, want %x", h.RequestChecksum, e.Request[:16])
	case h.Operation != e.What.Operation:
		return Ignored, fmt.Errorf("the operation is %d, want %d", h.Operation, e.What.Operation)
	case e.What.Refused:
		return Ignored, fmt.Errorf("operation %d with an invalid body has a reply", h.Operation)
	case h.Op <= c.opLast:
		return Ignored, fmt.Errorf("the op before was %d", c.opLast)
	case h.Timestamp <= c.tsLast:
		return Ignored, fmt.Errorf("the timestamp is %d, the one before was %d", h.Timestamp, c.tsLast)
	}
	if err := c.checkResults(e, body); err != nil {
		return Ignored, err
	}
	if e.Number == 0 {
		c.session = h.Op
		e.Session = h.Op
	} else {
		c.source.Observe(e.What, h.Timestamp, body)
	}
	c.view = max(c.view, h.View)
	c.request, c.parent = h.Request, h.Context
	c.opLast, c.tsLast = h.Op, h.Timestamp
	c.latencyNs = nowNs - e.FirstNs
	e.Reply = slices.Clone(frame)
	c.end(nowNs)
	if len(c.past) == rememberedSum {
		c.past = c.past[:copy(c.past, c.past[1:])]
	}
	c.past = append(c.past, e)
	c.pause(nowNs)
	return Accepted, nil
}

// receiveLate checks a reply to a request that is not in flight. It must equal an earlier reply.
func (c *Client) receiveLate(h *model.Header, frame []byte) (Verdict, error) {
	if c.session == 0 || h.Request > c.request {
		return Ignored, fmt.Errorf("nobody has asked for it")
	}
	if h.Request == 0 && h.Op != c.session {
		return Ignored, nil // a session was dropped, and a late copy of the register has made another
	}
	for _, e := range c.past {
		if e.Number != h.Request {
			continue
		}
		earlier, later := e.Reply, frame
		if h.View < viewOf(e.Reply) {
			earlier, later = frame, e.Reply
		}
		if err := model.SameReply(later, earlier); err != nil {
			return Ignored, fmt.Errorf("it differs from the first one: %w", err)
		}
	}
	c.view = max(c.view, h.View)
	return Ignored, nil
}

func viewOf(frame []byte) uint32 { return u32At(frame[104:]) }

// checkResults checks everything that an official client checks, and a little more. Source: wire
// protocol, 9.1, 5.2, 6.2.
func (c *Client) checkResults(e *Exchange, body []byte) error {
	o := e.What.Operation
	switch o {
	case model.Register:
		if limit := u32At(body); limit != c.config.Limits.RequestBytesMax-256 {
			return fmt.Errorf("the batch size limit is %d, want %d", limit, c.config.Limits.RequestBytesMax-256)
		}
		return nil
	case model.Noop, model.Member:
		if len(body) != 0 {
			return fmt.Errorf("a noop or a member has a result of %d bytes", len(body))
		}
		return nil
	}
	batches, err := o.Batches(e.What.Body)
	if err != nil {
		return err
	}
	replies := [][]byte{body}
	if o.IsMultiBatch() {
		if replies, err = model.Split(body, o.ResultBytes()); err != nil {
			return err
		}
	}
	if len(replies) != len(batches) {
		return fmt.Errorf("%d batches of results, asked for %d", len(replies), len(batches))
	}
	for i, batch := range batches {
		events, results := len(batch)/o.EventBytes(), len(replies[i])/o.ResultBytes()
		most := events
		if !o.IsCreate() && !o.IsLookup() {
			most = c.config.Limits.RowsMax(o)
		}
		if len(replies[i])%o.ResultBytes() != 0 || results > most || o.IsCreate() && !o.IsSparse() && results != events {
			return fmt.Errorf("batch %d of %d events has %d bytes of results", i, events, len(replies[i]))
		}
	}
	return nil
}
