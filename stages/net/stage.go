package net

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/internal/ports"
	"ledger/internal/ports/fifo"
	"ledger/limits"
	"ledger/stages"
	"ledger/wire"
)

// NetworkActionKind of a NetworkAction.
type NetworkActionKind uint8

// What the driver does with the port.
const (
	NetworkReceive NetworkActionKind = iota + 1
	NetworkReceiveAll
	NetworkSend
	NetworkSendParts // Buffer and then Body
	NetworkClose
)

// NetworkAction is one call of the port.
type NetworkAction struct {
	Kind       NetworkActionKind
	Connection ports.ConnectionID
	Buffer     []byte
	Body       []byte
}

// ConnectAction is a Connect of the port. The driver tells its result with the events of the next
// step, as Connecting.
type ConnectAction struct {
	Place   uint32
	Address [18]byte
}

// ResolveAction is a question to ports.Names.
type ResolveAction struct {
	Replica uint8
	Attempt uint64
}

// Actions are the outputs of a step; Network is in order. The slices are preallocated, and a step
// never exceeds them.
type Actions struct {
	Network   []NetworkAction
	Consensus []stages.NetToConsensus
	Connect   []ConnectAction
	Resolve   []ResolveAction
	Log       []LogEntry
}

// Reset empties the actions.
func (a *Actions) Reset() {
	a.Network, a.Consensus, a.Log = a.Network[:0], a.Consensus[:0], a.Log[:0]
	a.Connect, a.Resolve = a.Connect[:0], a.Resolve[:0]
}

// NewActions returns actions with room for all outputs of one step.
func (s *Stage) NewActions() Actions {
	connections, peers := len(s.connections), int(s.limits.PeersCount())
	return Actions{
		// A Receive, a Send and a Close of each connection. None of them comes twice before the
		// port has answered.
		Network: make([]NetworkAction, 0, 3*connections),
		// A message in each slot; a lease of each connection, and one of each request of the step.
		Consensus: make([]stages.NetToConsensus, 0, int(s.slots.Pools[stages.SlotClient].SlotsCount())+connections+requestsPerTurn+
			int(budgetPeers(&s.limits))),
		// One for each peer, which may end at once and begin again.
		Connect: make([]ConnectAction, 0, 2*peers),
		Resolve: make([]ResolveAction, 0, 2*peers),
		Log:     make([]LogEntry, 0, LogsPerSecondMax+peerLogsMax),
	}
}

// Stage decides; see doc.go.
type Stage struct {
	limits      limits.Limits
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
	strangersRoom   uint32 // places of strangers while clients have openMax places
	kindCounts      [kindsCount]uint32
	turnNext        uint64
	deadlineNextNs  uint64 // no first message is due before it
	refusedUnlogged uint64 // connections closed for a full table since the last LogRefused
	acceptUnlogged  uint64 // failed tries to accept since the last LogAcceptFailed
	acceptLogNs     uint64 // the next LogAcceptFailed does not come before it
	strangers       [strangersMax][16]byte
	addressKey      hashing.Key
	addressCounts   [addressBuckets]uint16 // scratch of makeRoom
	bytesWaiters    uint32                 // strangers that wait for bytes of StrangerBytesMax
	bytesFreed      bool                   // some of these may go on
	strangersCount  uint64                 // number of noted addresses; the newest strangersMax are kept
	peers           peers

	// Counters for the metrics.
	Counters Counters
}

// New makes the stage. The slots of the classes SlotClient, SlotPeer and SlotSmall belong to it
// from now on. others is nil in a cluster of one.
func New(l limits.Limits, cluster wire.U128, slots *stages.Slots, memory *arena.Arena, others *PeersOptions) *Stage {
	pool := slots.Pools[stages.SlotClient]
	assert.That(l.ConnectionsMax > 0 && l.ConnectionsMax <= connectionsMax, "connections fit the names that consensus sees")
	assert.AtMost(ClientSlotsMin(&l), pool.SlotsCount(), "connections that may all receive at once, with one slot to go on")
	assert.AtMost(wire.HeaderBytes, pool.SlotBytes(), "a header fits a slot")
	key := hashing.NewKey(l.HashSeed)
	places := PortConnectionsMax(&l)
	s := &Stage{
		limits:  l,
		parser:  wire.NewParser(cluster, wire.SideServer),
		slots:   slots,
		cluster: cluster,
		openMax: l.ConnectionsMax,

		addressKey: key,

		strangersRoom: l.StrangersRoom(),
		connections:   arena.Slice[connection](memory, uint64(places), "connections"),
		routes:        newRoutes(&key, places, memory),
		waiters:       fifo.New[uint32](places),
		shorts:        memory.Bytes(uint64(places)*sendsMax*shortBytesMax, 64, "short messages to clients"),
		logsLeft:      LogsPerSecondMax,

		deadlineNextNs: ^uint64(0),
	}
	for i := range s.connections {
		s.connections[i].slot = stages.SlotNone
	}
	s.peers.init(&l, cluster, slots, memory, others)
	return s
}

// Events are the inputs of a step: first what became of its Connects, then events of the network,
// because finished sends free room for replies, then addresses, then requests of consensus.
type Events struct {
	Connecting []Connecting
	Network    []ports.NetworkEvent
	Names      []ports.NameAnswer
	Consensus  []stages.ConsensusToNet
}

// Step handles the events, in the order of the fields of Events. The same state, time and events
// always give the same actions.
func (s *Stage) Step(nowNs uint64, events Events, out *Actions) {
	s.nowNs, s.peers.slots.nowNs = nowNs, nowNs
	for i := range events.Connecting {
		s.onConnecting(&events.Connecting[i], out)
	}
	for i := range events.Network {
		s.onNetwork(&events.Network[i], out)
	}
	for i := range events.Names {
		s.onName(&events.Names[i], out)
	}
	for i := range events.Consensus {
		s.onConsensus(&events.Consensus[i], out)
	}
	s.tick(out)
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
	if c.kind == kindPeer && c.state != connectionFree {
		s.onPeerEvent(c, e, out)
		return
	}
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
	if s.bytesFreed {
		s.serveBytesWaiters(out)
	}
	s.tickPeers(out)
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
	open := s.kindCounts[kindStranger] + s.kindCounts[kindClient]
	assert.Equal(uint64(open), s.Counters.ConnectionsCount, "open connections of each kind")
	assert.Equal(s.heldCount+s.lentCount+pool.FreeCount(), pool.SlotsCount(), "slots of connections, at consensus and free")
}
