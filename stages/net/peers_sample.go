package net

import (
	"ledger/limits"
	"ledger/peer"
)

// PeersSample is the figures about other replicas.
type PeersSample struct {
	Count, Self uint8 // of the replicas; Count is 0 in a cluster of one
	Peers       [limits.MembersMax]PeerSample
	Table       peer.TableCounters
}

// PeerSample is the figures about one of them.
type PeerSample struct {
	State    peer.DialState
	Counters peer.PeerCounters
}

// SamplePeers copies the figures.
func (s *Stage) SamplePeers(out *PeersSample) {
	p := &s.peers
	if p.hub == nil {
		return
	}
	out.Count, out.Self, out.Table = p.count, p.self, p.hub.TableCounters()
	for replica := range p.count {
		if replica != p.self {
			out.Peers[replica] = PeerSample{p.hub.State(replica), p.hub.CountersOf(replica)}
		}
	}
}
