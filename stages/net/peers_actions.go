package net

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/peer"
	"ledger/stages"
)

// toldState is what consensus knows of the connection to a peer.
type toldState struct {
	isLive      bool
	isChanged   bool // consensus does not know it yet
	isUnnoted   bool // consensus has not taken the latest word
	connection  ports.ConnectionID
	incarnation uint64
}

// peerLines bound the lines about one peer.
type peerLines struct {
	faultNs, warningNs uint64 // the next one does not come before
	faultsUnlogged     uint64
}

// performPeers turns what the hub wants into actions of the stage.
func (s *Stage) performPeers(out *Actions) {
	p := &s.peers
	p.isTouched = true
	for i := range p.hub.Actions {
		s.performPeer(&p.hub.Actions[i], out)
	}
	p.hub.Reset()
}

func (s *Stage) performPeer(a *peer.HubAction, out *Actions) {
	p := &s.peers
	switch a.Kind {
	case peer.HubResolve:
		out.Resolve = append(out.Resolve, ResolveAction{Replica: a.Peer, Attempt: a.Attempt})
	case peer.HubConnect:
		out.Connect = append(out.Connect, ConnectAction{Place: a.Place, Address: a.Address})
	case peer.HubReceive:
		kind := NetworkReceive
		if a.All {
			kind = NetworkReceiveAll
		}
		out.Network = append(out.Network, NetworkAction{Kind: kind, Connection: s.connectionOf(a.Place), Buffer: a.Buffer})
	case peer.HubSend:
		action := NetworkAction{Kind: NetworkSend, Connection: s.connectionOf(a.Place), Buffer: a.Buffer}
		if a.BodyBytes > 0 {
			action.Kind = NetworkSendParts
			action.Body = s.slots.Bytes(stages.Slot(a.Lease))[peer.InnerBytes : peer.InnerBytes+a.BodyBytes]
		}
		out.Network = append(out.Network, action)
	case peer.HubClose:
		index := s.connectionOf(a.Place)
		c := &s.connections[index]
		assert.That(c.state == connectionOpen, "a connection with a peer is closed once")
		c.state = connectionClosing
		out.Network = append(out.Network, NetworkAction{Kind: NetworkClose, Connection: index})
	case peer.HubMessage:
		s.deliverPeer(a, out)
	case peer.HubSlotBack:
		p.slots.put(stages.Slot(a.Slot))
	case peer.HubReturned:
		s.peerSent(a.Peer, stages.Slot(a.Lease), out)
	case peer.HubLive:
		told := &p.told[a.Peer]
		told.isLive, told.isChanged = true, true
		told.connection, told.incarnation = s.nameOf(uint32(s.connectionOf(a.Place))), a.Incarnation
		s.tell(a.Peer, out)
	case peer.HubLost:
		p.told[a.Peer].isLive, p.told[a.Peer].isChanged = false, true
		s.tell(a.Peer, out)
	case peer.HubRefused, peer.HubWarning, peer.HubFault:
		s.logPeer(a, out)
	}
}

// connectionOf is the port's connection of a place.
func (s *Stage) connectionOf(place uint32) ports.ConnectionID {
	index := s.peers.connections[place]
	assert.That(index != noConnection, "a place that is used has a connection")
	return ports.ConnectionID(index)
}

// deliverPeer gives a whole message of a peer to consensus.
func (s *Stage) deliverPeer(a *peer.HubAction, out *Actions) {
	slot, e := stages.Slot(a.Slot), &a.Envelope
	out.Consensus = append(out.Consensus, stages.NetToConsensus{
		Kind: stages.NetPeerMessage, Peer: a.Peer, Slot: slot, Bytes: peer.InnerBytes + e.BodyBytes, Command: uint8(e.Command), View: e.View,
		Connection: s.nameOf(uint32(s.connectionOf(a.Place))), Incarnation: e.Incarnation, BodyHashed: e.BodyBytes > 0, BodySum: e.BodyChecksum,
		ArrivingNs: s.peers.slots.arrivingNs(slot), ReceivedNs: s.nowNs,
	})
}

// tell tells consensus whether there is a connection to a peer, if that is news and the last word
// is noted.
func (s *Stage) tell(replica uint8, out *Actions) {
	told := &s.peers.told[replica]
	if told.isUnnoted || !told.isChanged {
		return
	}
	told.isUnnoted, told.isChanged = true, false
	e := stages.NetToConsensus{Kind: stages.NetPeerLost, Peer: replica}
	if told.isLive {
		e.Kind, e.Connection, e.Incarnation = stages.NetPeerLive, told.connection, told.incarnation
	}
	out.Consensus = append(out.Consensus, e)
}

func (s *Stage) onPeerNoted(replica uint8, out *Actions) {
	told := &s.peers.told[replica]
	assert.That(told.isUnnoted, "what consensus has noted was told")
	told.isUnnoted = false
	s.tell(replica, out)
}

// onName passes on the address of a peer.
func (s *Stage) onName(e *ports.NameAnswer, out *Actions) {
	s.peers.hub.Resolved(e.Replica, e.Attempt, e.Address, e.OK, s.nowNs)
	s.performPeers(out)
}

// onPeerSend queues a message for each of its peers. Its inner header is copied to the queues; its
// body is sent from its slot.
func (s *Stage) onPeerSend(e *stages.ConsensusToNet, out *Actions) {
	p := &s.peers
	assert.That(p.hub != nil, "a replica with peers sends to them")
	assert.That(e.Peers != 0 && e.Peers>>p.count == 0 && e.Peers>>p.self&1 == 0, "a message goes to other replicas")
	assert.AtMost(peer.InnerBytes, e.Bytes, "bytes of a message with its inner header")
	message := s.slots.Bytes(e.Slot)[:e.Bytes]
	envelope := peer.Envelope{Command: peer.Command(e.Command), View: e.View, BodyBytes: e.Bytes - peer.InnerBytes}
	envelope.BodyChecksum = peer.BodyChecksum(envelope.Command, message)
	copy(p.head[peer.EnvelopeBytes:], message[:peer.InnerBytes])
	lease := peer.NoLease
	if envelope.BodyBytes > 0 {
		lease = peer.Lease(e.Slot)
	}
	for replica := range p.count {
		if e.Peers>>replica&1 == 0 {
			continue
		}
		p.hub.Send(replica, &envelope, p.head[:], lease, s.nowNs)
		s.performPeers(out)
		if lease == peer.NoLease {
			s.peerSent(replica, e.Slot, out)
		}
	}
}

// onPeerMalformed ends the connection of a message that breaks a rule which only consensus can
// check, if it is still there.
func (s *Stage) onPeerMalformed(e *stages.ConsensusToNet, out *Actions) {
	index, isOpen := s.indexOf(e.Connection)
	if c := &s.connections[index]; isOpen && c.kind == kindPeer {
		s.peers.hub.Malformed(c.place, peer.Command(e.Command), s.nowNs)
		s.performPeers(out)
	}
}

// peerSent tells consensus that the message in slot is not needed any more for one of its peers.
func (s *Stage) peerSent(replica uint8, slot stages.Slot, out *Actions) {
	out.Consensus = append(out.Consensus, stages.NetToConsensus{Kind: stages.NetPeerSent, Peer: replica, Slot: slot})
}

// logPeer reports what is wrong with a peer. The hub bounds the lines of refusals.
func (s *Stage) logPeer(a *peer.HubAction, out *Actions) {
	entry := LogEntry{Replica: a.Peer, Refusal: a.Refusal, Warning: a.Warning, PeerFault: a.Fault, Unlogged: a.Unlogged}
	if index := s.peers.connections[a.Place]; index != noConnection {
		entry.Peer = s.connections[index].peer
	}
	switch a.Kind {
	case peer.HubRefused:
		entry.Kind = LogPeerRefused
	case peer.HubWarning:
		lines := &s.peers.lines[a.Peer]
		if s.nowNs < lines.warningNs {
			return
		}
		entry.Kind, lines.warningNs = LogPeerWarning, s.nowNs+PeerWarningEveryNs
	case peer.HubFault:
		lines := &s.peers.lines[a.Peer]
		if s.nowNs < lines.faultNs {
			lines.faultsUnlogged++
			return
		}
		entry.Kind, entry.Unlogged, lines.faultNs = LogPeerFault, lines.faultsUnlogged, s.nowNs+1_000_000_000
		lines.faultsUnlogged = 0
	}
	out.Log = append(out.Log, entry)
}
