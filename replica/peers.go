package replica

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"

	"ledger/config"
	"ledger/events"
	"ledger/limits"
	"ledger/peer"
	"ledger/stages/net"
)

// PeersOf is what net needs to know of the replica of a data file, and of the others. It is nil in
// a cluster of one. process is a number of this start, and seed is secret; both are random. keys
// are those of the cluster.
func PeersOf(o *Opened, fileBytes, process uint64, seed [peer.SeedBytes]byte, keys [][peer.KeyBytes]byte) *net.PeersOptions {
	l, superblock := &o.Limits, &o.Consensus.Superblock
	if l.PeersCount() == 0 {
		return nil
	}
	return &net.PeersOptions{Seed: seed, Self: &peer.Self{
		Cluster: superblock.Cluster, Index: superblock.Replica, ReplicasCount: superblock.ReplicasCount,
		StandbysCount: uint8(l.StandbysCount),
		Fixed:         peer.FixedOf(l, superblock.RequestBytesMax), Incarnation: superblock.Incarnation, Process: process | 1,
		Releases:        peer.Range{Min: l.ReleaseMin, Max: l.ReleaseMax},
		Rules:           peer.Range{Min: limits.RulesOf(l.ReleaseMin), Max: limits.RulesOf(l.ReleaseMax)},
		BlockFormats:    peer.Range{Min: limits.BlockFormatVersion, Max: limits.BlockFormatVersion},
		StorageBytesMax: l.StorageBytesMax, FileBytes: fileBytes, Keys: peer.NewKeys(keys...),
	}}
}

// peersOptions draws the secrets of this start.
func (s *Server) peersOptions() *net.PeersOptions {
	fileBytes, _ := s.file.SizeBytes() // it is for a warning only
	var random [8 + peer.SeedBytes]byte
	_, _ = crand.Read(random[:]) // it never fails: the process ends instead
	return PeersOf(s.opened, fileBytes, binary.LittleEndian.Uint64(random[:]), [peer.SeedBytes]byte(random[8:]), s.clusterKeys)
}

// clusterKeyEvent tells which keys there are, by their prints.
func clusterKeyEvent(keys [][peer.KeyBytes]byte, addresses config.Addresses) (e events.ClusterKey) {
	for i, to := range []*string{&e.Print, &e.Second} {
		if i < len(keys) {
			*to = fmt.Sprintf("%016x", peer.KeyPrint(keys[i]))
		}
	}
	for _, address := range addresses {
		ip, isIP := address.IP()
		e.IsExposed = e.IsExposed || !(isIP && ip.IsLoopback()) && address.Host != "localhost"
	}
	return e
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
