package replica

import (
	crand "crypto/rand"
	"encoding/binary"

	"ledger/config"
	"ledger/events"
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages/net"
)

// peersOptions is what net needs for the other replicas: who this one is, and secrets of this
// start. It is nil in a cluster of one.
func (s *Server) peersOptions() *net.PeersOptions {
	l, superblock := &s.opened.Limits, &s.opened.Consensus.Superblock
	if l.PeersCount() == 0 {
		return nil
	}
	fileBytes, _ := s.file.SizeBytes() // it is for a warning only
	o := &net.PeersOptions{Self: &peer.Self{
		Cluster: superblock.Cluster, Index: superblock.Replica, ReplicasCount: superblock.ReplicasCount,
		Fixed: peer.FixedOf(l, superblock.RequestBytesMax), Incarnation: superblock.Incarnation,
		Releases: peer.Range{Min: limits.Release, Max: limits.Release}, Rules: peer.Range{Min: prepare.Rules, Max: prepare.Rules},
		BlockFormats:    peer.Range{Min: limits.BlockFormatVersion, Max: limits.BlockFormatVersion},
		StorageBytesMax: l.StorageBytesMax, FileBytes: fileBytes, Keys: peer.NewKeys(),
	}}
	var random [8 + peer.SeedBytes]byte
	_, _ = crand.Read(random[:]) // it never fails: the process ends instead
	o.Self.Process = binary.LittleEndian.Uint64(random[:]) | 1
	copy(o.Seed[:], random[8:])
	return o
}

// logPeer emits what net reports about another replica. It runs on net's thread.
func logPeer(log *events.Log, e *net.LogEntry) {
	switch e.Kind {
	case net.LogPeerRefused:
		ours, theirs := e.Refusal.Values()
		log.PeerRefused(events.PeerRefused{Peer: e.Peer, Line: e.Refusal.Error(), Field: e.Refusal.Field(), Ours: ours, Theirs: theirs,
			Unlogged: e.Unlogged})
	case net.LogPeerWarning:
		w := &e.Warning
		log.PeerStorageSmall(events.PeerStorageSmall{Replica: w.Replica, LimitBytes: w.LimitBytes, FileBytes: w.FileBytes})
	case net.LogPeerFault:
		log.PeerFault(events.PeerFault{Replica: e.Replica, Peer: e.Peer, Reason: e.PeerFault.Error(), IsAuthentic: e.PeerFault.Authentic(),
			Unlogged: e.Unlogged})
	}
}

// newNames makes the resolver of the other replicas' addresses, or nil in a cluster of one.
func (s *Server) newNames(addresses config.Addresses, wake func(), log *events.Log) (*resolver, error) {
	if s.opened.Limits.PeersCount() == 0 {
		return nil, nil
	}
	superblock := &s.opened.Consensus.Superblock
	return newResolver(addresses[:min(len(addresses), int(superblock.ReplicasCount))], superblock.Replica, lookupName, log, wake)
}
