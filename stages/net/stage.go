package net

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/internal/ports"
	"ledger/internal/ports/fifo"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/wire"
)

// bodyHashBytesMin is the size from which on a body gets its BLAKE3 here, while it is still in the
// cache. Most smaller bodies are copied into a group, which has a checksum of its own.
const bodyHashBytesMin = 32 << 10

type connectionState uint8

const (
	connectionFree connectionState = iota
	connectionOpen
	connectionClosing // until NetworkClosed: the port may still use its buffers
)

// connection is one socket. Received bytes lie in [start, end) of its slot.
type connection struct {
	state       connectionState
	receiving   bool // the port is filling the slot from end on
	headerRight bool // the header at start was checked, and messageBytes is the size of its message
	logged      bool
	waiting     bool // for a free slot
	queued      bool // in waiters; may be left over from an earlier connection with this index
	served      bool // its turn has come: it may take one slot before the waiting ones
	// incarnation counts the connections of this index, so that an answer to an earlier one does
	// not go to a later one.
	incarnation  uint16
	slot         stages.Slot // SlotNone while there is nothing to receive into
	start, end   uint32
	messageBytes uint32
	client       wire.U128 // zero until a message names it
	spoke        bool      // it has sent a whole message
	turn         uint64    // orders connections by how long they have been without a registered client
	deadlineNs   uint64    // for the first whole message
	beganNs      uint64    // when the first bytes of the message at start arrived
	peer         [18]byte

	sending    bool // the port is sending the first of sends
	hasReply   bool // one of sends is a reply
	sendFirst  uint32
	sendsCount uint32
	sends      [sendsMax]send
}

// NetworkActionKind of a NetworkAction.
type NetworkActionKind uint8

// What the driver does with the port.
const (
	NetworkReceive NetworkActionKind = iota + 1
	NetworkReceiveAll
	NetworkSend
	NetworkClose
)

// NetworkAction is one call of the port.
type NetworkAction struct {
	Kind       NetworkActionKind
	Connection ports.ConnectionID
	Buffer     []byte
}

// Actions are the outputs of a step; Network is in order. The slices are preallocated, and a step
// never exceeds them.
type Actions struct {
	Network   []NetworkAction
	Consensus []stages.NetToConsensus
	Log       []LogEntry
}

// Reset empties the actions.
func (a *Actions) Reset() {
	a.Network, a.Consensus, a.Log = a.Network[:0], a.Consensus[:0], a.Log[:0]
}

// NewActions returns actions with room for all outputs of one step.
func (s *Stage) NewActions() Actions {
	connections := len(s.connections)
	return Actions{
		// A Receive, a Send and a Close of each connection. None of them comes twice before the
		// port has answered.
		Network: make([]NetworkAction, 0, 3*connections),
		// A message in each slot; a lease of each connection, and one of each request of the step.
		Consensus: make([]stages.NetToConsensus, 0, int(s.slots.Pools[stages.SlotClient].SlotsCount())+connections+requestsPerTurn),
		Log:       make([]LogEntry, 0, LogsPerSecondMax),
	}
}

// Stage decides; see doc.go.
type Stage struct {
	parser      wire.Parser
	slots       *stages.Slots
	connections []connection
	routes      routes
	waiters     *fifo.Queue[uint32] // connections without a slot, in order of their turns
	shorts      []byte              // sendsMax short messages for each connection

	heldCount uint32 // client slots of connections
	lentCount uint32 // client slots at consensus

	nowNs         uint64 // of this turn
	logsLeft      int
	logsRefillsNs uint64

	cluster         wire.U128
	openMax         uint32 // ConnectionsMax; the table has more places, see PortConnectionsMax
	turnNext        uint64
	deadlineNextNs  uint64 // no first message is due before it
	refusedUnlogged uint64 // connections closed for a full table since the last LogRefused
	acceptUnlogged  uint64 // failed tries to accept since the last LogAcceptFailed
	acceptLogNs     uint64 // the next LogAcceptFailed does not come before it
	strangers       [strangersMax][16]byte
	strangersCount  uint64 // number of noted addresses; the newest strangersMax are kept

	// Counters for the metrics.
	Counters Counters
}

// New makes the stage. The slots of class SlotClient belong to it from now on.
func New(l limits.Limits, cluster wire.U128, slots *stages.Slots, memory *arena.Arena) *Stage {
	pool := slots.Pools[stages.SlotClient]
	assert.That(l.ConnectionsMax > 0 && l.ConnectionsMax <= connectionsMax, "connections fit the names that consensus sees")
	assert.AtMost(ClientSlotsMin(&l), pool.SlotsCount(), "connections that may all receive at once, with one slot to go on")
	assert.AtMost(wire.HeaderBytes, pool.SlotBytes(), "a header fits a slot")
	key := hashing.NewKey(l.HashSeed)
	places := PortConnectionsMax(&l)
	s := &Stage{
		parser:      wire.NewParser(cluster, wire.SideServer),
		slots:       slots,
		cluster:     cluster,
		openMax:     l.ConnectionsMax,
		connections: arena.Slice[connection](memory, uint64(places), "connections"),
		routes:      newRoutes(&key, places, memory),
		waiters:     fifo.New[uint32](places),
		shorts:      memory.Bytes(uint64(places)*sendsMax*shortBytesMax, 64, "short messages to clients"),
		logsLeft:    LogsPerSecondMax,

		deadlineNextNs: ^uint64(0),
	}
	for i := range s.connections {
		s.connections[i].slot = stages.SlotNone
	}
	return s
}

// The name of a connection at consensus consists of index and incarnation.
const (
	incarnationShift = 16
	connectionsMax   = 1 << incarnationShift
)

// Events are the inputs of a step: first events of the network, because finished sends free room
// for replies, then requests of consensus.
type Events struct {
	Network   []ports.NetworkEvent
	Consensus []stages.ConsensusToNet
}

// Step handles the events, in the order of the fields of Events. The same state, time and events
// always give the same actions.
func (s *Stage) Step(nowNs uint64, events Events, out *Actions) {
	s.nowNs = nowNs
	for i := range events.Network {
		s.onNetwork(&events.Network[i], out)
	}
	for i := range events.Consensus {
		s.onConsensus(&events.Consensus[i], out)
	}
	s.tick(out)
}

func (s *Stage) nameOf(index uint32) ports.ConnectionID {
	return ports.ConnectionID(index | uint32(s.connections[index].incarnation)<<incarnationShift)
}

// indexOf returns the index behind a name, if it still is the same connection.
func (s *Stage) indexOf(name ports.ConnectionID) (index uint32, ok bool) {
	index = uint32(name) & (connectionsMax - 1)
	assert.Below(index, uint32(len(s.connections)), "a connection that consensus names")
	c := &s.connections[index]
	return index, c.state == connectionOpen && c.incarnation == uint16(uint32(name)>>incarnationShift)
}

// onNetwork handles one event of the port. Events of a connection that this step has closed may
// have been polled already; they are ignored.
func (s *Stage) onNetwork(e *ports.NetworkEvent, out *Actions) {
	if e.Kind == ports.NetworkAcceptFailed {
		s.onAcceptFailed(e.Bytes, out)
		return
	}
	index := uint32(e.Connection)
	assert.Below(index, uint32(len(s.connections)), "a connection of the port")
	c := &s.connections[index]
	switch e.Kind {
	case ports.NetworkAccepted:
		s.onAccepted(index, c, e.Peer, out)
	case ports.NetworkReceived:
		if c.state == connectionOpen {
			s.onReceived(index, c, e.Bytes, out)
		}
	case ports.NetworkSent:
		if c.state == connectionOpen {
			s.onSent(index, c, e.Bytes, out)
		}
	case ports.NetworkClosed:
		s.onClosed(c, out)
	default:
		assert.That(false, "network event kind is one of an accepted connection")
	}
}

// tick ends a step. Waiting connections get the slots that have become free, one each, in turn.
func (s *Stage) tick(out *Actions) {
	if s.nowNs >= s.logsRefillsNs {
		s.logsLeft, s.logsRefillsNs = LogsPerSecondMax, s.nowNs+1_000_000_000
	}
	if s.nowNs >= s.deadlineNextNs {
		s.closeSilent(out)
	}
	pool := s.slots.Pools[stages.SlotClient]
	for s.waiters.Count() > 0 && pool.FreeCount() > 0 {
		index := s.waiters.Pop()
		c := &s.connections[index]
		c.queued = false
		if c.waiting {
			c.waiting, c.served = false, true
			s.advance(index, c, out)
			c.served = false
		}
	}
	s.Counters.ConnectionsWaiting, s.Counters.RoutesCount = uint64(s.waiters.Count()), uint64(s.routes.count)
	assert.Equal(s.heldCount+s.lentCount+pool.FreeCount(), pool.SlotsCount(), "slots of connections, at consensus and free")
}

func (s *Stage) onAccepted(index uint32, c *connection, peer [18]byte, out *Actions) {
	assert.That(c.state == connectionFree, "an accepted connection is new")
	*c = connection{state: connectionOpen, incarnation: c.incarnation + 1, queued: c.queued, slot: stages.SlotNone, peer: peer,
		turn: s.turnNext, deadlineNs: s.nowNs + FirstMessageNs}
	s.turnNext++
	s.deadlineNextNs = min(s.deadlineNextNs, c.deadlineNs)
	s.Counters.AcceptedCount++
	s.Counters.ConnectionsCount++
	if s.Counters.ConnectionsCount > uint64(s.openMax) && !s.makeRoom(index, out) {
		return
	}
	s.advance(index, c, out)
}

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
			if arrived < wire.HeaderBytes {
				break
			}
			if !s.checkHeader(index, c, wire.HeaderOf(bytes[c.start:]), len(bytes), out) {
				return
			}
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
		out.Network = append(out.Network, NetworkAction{NetworkReceiveAll, ports.ConnectionID(index), bytes[c.end:c.messageBytes]})
		return
	}
	out.Network = append(out.Network, NetworkAction{NetworkReceive, ports.ConnectionID(index), bytes[c.end:]})
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
	c.spoke = true
	// A message that is skipped also names the connection's client.
	if !s.noteClient(index, c, h, out) {
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

// refuse closes a connection because of a fault of its peer.
func (s *Stage) refuse(index uint32, c *connection, cause Cause, fault wire.Fault, out *Actions) {
	s.log(c, fault, true, out)
	s.close(index, c, cause, out)
}

// close begins to close a connection. The port may use its buffers until NetworkClosed, so slot and
// leases stay until then.
func (s *Stage) close(index uint32, c *connection, cause Cause, out *Actions) {
	assert.That(c.state == connectionOpen, "a connection is closed once")
	c.state, c.waiting = connectionClosing, false
	s.routes.forget(c.client, index)
	s.Counters.ClosedCount[cause]++
	s.Counters.ConnectionsCount--
	out.Network = append(out.Network, NetworkAction{Kind: NetworkClose, Connection: ports.ConnectionID(index)})
}

func (s *Stage) onClosed(c *connection, out *Actions) {
	assert.That(c.state == connectionClosing, "a closed connection was closing")
	if c.slot != stages.SlotNone {
		s.slots.Put(c.slot)
		s.heldCount--
		c.slot = stages.SlotNone
	}
	s.returnLeases(c, out)
	c.state = connectionFree
}

// log reports a fault of a peer, once for each connection.
func (s *Stage) log(c *connection, fault wire.Fault, closed bool, out *Actions) {
	if c.logged {
		return
	}
	c.logged = true
	if !s.mayLog() {
		return
	}
	out.Log = append(out.Log, LogEntry{Peer: c.peer, Client: c.client, Reason: fault, Closed: closed})
}
