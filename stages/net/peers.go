package net

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/peer"
	"ledger/stages"
	"ledger/wire"
)

// PeersOptions is what a replica of a cluster knows of itself and of the others.
type PeersOptions struct {
	Self *peer.Self
	// Seed of nonces and pauses. It is random and secret.
	Seed [peer.SeedBytes]byte
}

// scratchBytes is the memory for bodies that are dropped.
const scratchBytes = 64 << 10

// peers is the second state machine, for connections with other replicas. The hub of package peer
// decides. This type gives it slots, and maps its places to connections of the port and its actions
// to those of the stage.
//
// The buffers of the hub (frames, heads of messages, what arrives of them) are a few KiB for each
// connection in Go's heap. The kernel may use them: Go does not move its heap, and the hub keeps
// them until the port has said that the connection is gone. Bodies are in the slots.
//
// The hub has times: the pause before it connects again, the time of a handshake, silence. They
// come from nowNs of the step, as all times of the stage do.
type peers struct {
	hub *peer.Hub // nil in a cluster of one
	// self is the index of this replica. Those of its peers are below count.
	self, count uint8
	connections []uint32 // the port's connection of each place, or noConnection
	head        [peer.HeadBytes]byte
	told        [limits.MembersMax]toldState
	slots       peerSlots
	nextNs      uint64 // the next tick of the hub
	isTouched   bool   // nextNs may have changed
	lines       [limits.MembersMax]peerLines
}

// init makes the state machine, or one that does nothing in a cluster of one.
func (p *peers) init(l *limits.Limits, cluster wire.U128, slots *stages.Slots, memory *arena.Arena, o *PeersOptions) {
	assert.That((o != nil) == (l.PeersCount() > 0), "a replica has options for peers if there are any")
	p.nextNs = stages.NoTurn
	if o == nil {
		return
	}
	assert.Equal(uint32(o.Self.ReplicasCount), l.ReplicasCount, "number of replicas, in the handshake and in the limits")
	assert.Equal(uint32(o.Self.StandbysCount), l.StandbysCount, "number of standbys, in the handshake and in the limits")
	assert.That(l.IsStandby == (uint32(o.Self.Index) >= l.ReplicasCount), "a standby's index is behind those of the replicas")
	p.self, p.count, p.slots, p.nextNs = o.Self.Index, uint8(l.IndexesCount()), newPeerSlots(l, slots), 0
	bounds := peer.NewBounds(l, cluster)
	p.hub = peer.NewHub(o.Self, &bounds, o.Seed, &p.slots, memory.Bytes(scratchBytes, 64, "dropped messages of peers"))
	assert.AtMost(p.hub.PlacesMax(), l.PeerConnectionsMax(), "connections with peers, in the port")
	p.connections = make([]uint32, p.hub.PlacesMax())
	for i := range p.connections {
		p.connections[i] = noConnection
	}
}

// mayBePeer tells whether the first bytes of a stranger are those of another replica.
func (s *Stage) mayBePeer(c *connection, arrived []byte) bool {
	return s.peers.hub != nil && c.kind == kindStranger && len(arrived) >= peer.MagicBytes && peer.IsPeer(arrived)
}

// becomePeer hands a stranger with its first bytes to the hub. Its client slot is free again.
func (s *Stage) becomePeer(index uint32, c *connection, out *Actions) {
	first := s.slots.Bytes(c.slot)[c.start:c.end]
	if len(first) > peer.FrameBytes {
		s.refuse(index, c, CausePeers, "more than a frame before the handshake of a replica", out)
		return
	}
	place, ok := s.peers.hub.Accepted(first, s.nowNs)
	if ok {
		s.slots.Put(c.slot)
		s.heldCount--
		c.slot, c.start, c.end = stages.SlotNone, 0, 0
		s.kindCounts[c.kind]--
		c.kind, c.place = kindPeer, place
		// The counters are of clients and strangers. The hub counts the connections of replicas.
		s.Counters.ClosedCount[CausePeers]++
		s.Counters.ConnectionsCount--
		assert.Equal(s.peers.connections[place], noConnection, "connection of a new place")
		s.peers.connections[place] = index
	}
	s.performPeers(out)
	if !ok {
		s.refuse(index, c, CausePeers, "no room for one more connection of a replica", out)
	}
}

// Connecting is what the port has said to a Connect.
type Connecting struct {
	Place      uint32
	Connection ports.ConnectionID
	OK         bool
	Address    [18]byte
}

// onConnecting names the connection of a place that the hub wants to connect.
func (s *Stage) onConnecting(e *Connecting, out *Actions) {
	if !e.OK {
		s.peers.hub.Closed(e.Place, s.nowNs)
		s.performPeers(out)
		return
	}
	c := &s.connections[e.Connection]
	assert.That(c.state == connectionFree, "a connection that is made is new")
	*c = connection{state: connectionOpen, kind: kindPeer, incarnation: c.incarnation + 1, queued: c.queued, slot: stages.SlotNone,
		peer: e.Address, place: e.Place}
	s.peers.connections[e.Place] = uint32(e.Connection)
}

// onPeerEvent handles an event of a connection with another replica. Those of a connection that
// this step has closed are ignored, but for its end.
func (s *Stage) onPeerEvent(c *connection, e *ports.NetworkEvent, out *Actions) {
	hub, isOpen := s.peers.hub, c.state == connectionOpen
	switch {
	case e.Kind == ports.NetworkClosed:
		assert.That(!isOpen, "a closed connection was closing")
		s.peerClosed(c)
	case !isOpen:
		return
	case e.Kind == ports.NetworkConnected && e.Bytes < 0:
		s.peerClosed(c)
	case e.Kind == ports.NetworkConnected:
		hub.Connected(c.place, s.nowNs)
	case e.Kind == ports.NetworkReceived:
		hub.Received(c.place, e.Bytes, s.nowNs)
	case e.Kind == ports.NetworkSent:
		hub.Sent(c.place, e.Bytes > 0, s.nowNs)
	default:
		assert.That(false, "network event kind is one of a connection with a peer")
	}
	s.performPeers(out)
}

// peerClosed tells the hub that a connection is gone.
func (s *Stage) peerClosed(c *connection) {
	place := c.place
	c.state = connectionFree
	s.peers.connections[place] = noConnection
	s.peers.hub.Closed(place, s.nowNs)
}

// tickPeers does what is due.
func (s *Stage) tickPeers(out *Actions) {
	p := &s.peers
	if p.hub == nil {
		return
	}
	if s.nowNs >= p.nextNs {
		p.hub.Tick(s.nowNs)
		s.performPeers(out)
		p.isTouched = true
	}
	if p.isTouched {
		p.nextNs, p.isTouched = p.hub.NextNs(), false
	}
	p.slots.check()
}
