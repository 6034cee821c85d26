package admin

import (
	"strconv"

	"ledger/peer"
	"ledger/stages/net"
)

// perPeer makes a family with a number for each other replica.
func perPeer(name, unit, help string, value func(p *net.PeerSample) uint64) family {
	return family{name: name, unit: unit, help: help, kind: counter, labels: []string{"peer"},
		numbers: func(s *snapshot, emit number) {
			s.eachPeer(func(p *net.PeerSample, index string) { emit(value(p), index) })
		}}
}

// perClass makes a family with a number for each other replica and class of messages.
func perClass(name, unit, help string, value func(c *peer.QueueCounters, class peer.Class) uint64) family {
	return family{name: name, unit: unit, help: help, kind: counter, labels: []string{"peer", "class"},
		numbers: func(s *snapshot, emit number) {
			s.eachPeer(func(p *net.PeerSample, index string) {
				for class := range peer.ClassesCount {
					emit(value(&p.Counters.Sent, class), index, class.String())
				}
			})
		}}
}

// eachPeer calls f for each other replica, with its index as text.
func (s *snapshot) eachPeer(f func(p *net.PeerSample, index string)) {
	for i := range s.Peers.Count {
		if i != s.Peers.Self {
			f(&s.Peers.Peers[i], strconv.Itoa(int(i)))
		}
	}
}

func peerFamilies() []family {
	return []family{
		{name: "ledger_peer_replicas", unit: "replicas", kind: gauge, labels: []string{"peer", "state"},
			help: "1 for the state of the connection: awaited (the other replica has to connect), pausing, resolving, connecting, " +
				"greeting, live or closing",
			numbers: func(s *snapshot, emit number) {
				s.eachPeer(func(p *net.PeerSample, index string) { emit(1, index, p.State.String()) })
			}},
		perClass("ledger_peer_sent_messages", "messages", "Messages sent to another replica",
			func(c *peer.QueueCounters, class peer.Class) uint64 { return c.Sent[class] }),
		perClass("ledger_peer_sent_bytes", "bytes", "Bytes of messages that were given to the kernel for another replica",
			func(c *peer.QueueCounters, class peer.Class) uint64 { return c.Bytes[class] }),
		perClass("ledger_peer_dropped_messages", "messages",
			"Messages to another replica that found no room in its queue, or whose connection ended",
			func(c *peer.QueueCounters, class peer.Class) uint64 { return c.Dropped[class] }),
		perPeer("ledger_peer_replaced_messages", "messages", "Heartbeats that a newer one replaced before they were sent",
			func(p *net.PeerSample) uint64 { return p.Counters.Sent.Replaced }),
		perPeer("ledger_peer_received_messages", "messages", "Messages received from another replica, whole and right",
			func(p *net.PeerSample) uint64 { return p.Counters.Received.Messages }),
		perPeer("ledger_peer_received_bytes", "bytes", "Bytes received from another replica",
			func(p *net.PeerSample) uint64 { return p.Counters.Received.Bytes }),
		perPeer("ledger_peer_discarded_messages", "messages", "Messages received from another replica that found no slot",
			func(p *net.PeerSample) uint64 { return p.Counters.Received.Discarded }),
		perPeer("ledger_peer_malformed_messages", "messages",
			"Authentic messages of another replica that broke a rule; each ended its connection",
			func(p *net.PeerSample) uint64 { return p.Counters.Received.Malformed }),
		perPeer("ledger_peer_forged_messages", "messages", "Messages with a wrong tag or sequence; each ended its connection",
			func(p *net.PeerSample) uint64 { return p.Counters.Received.Forged }),
		{name: "ledger_peer_connections", unit: "connections", kind: counter, labels: []string{"event"},
			help: "Connections between replicas: accepted; displaced by a newer one during the handshake; turned away for want of a place; " +
				"identified; lost; closed because nothing came (silent)",
			numbers: func(s *snapshot, emit number) {
				if s.Peers.Count == 0 {
					return
				}
				t := &s.Peers.Table
				emit(t.Accepted, "accepted")
				emit(t.Displaced, "displaced")
				emit(t.Turned, "turned")
				emit(t.Identified, "identified")
				emit(t.Lost, "lost")
				emit(t.Silent, "silent")
			}},
		{name: "ledger_peer_refused_connections", unit: "connections", kind: counter,
			help: "Handshakes between replicas that were refused, by either side",
			numbers: func(s *snapshot, emit number) {
				if s.Peers.Count > 0 {
					emit(s.Peers.Table.Refused)
				}
			}},
	}
}
