package sim

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	protocol "ledger/peer"
	"ledger/prepare"
	"ledger/replica"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/net"
	"ledger/wire"
)

// peerMachine is a net stage at a simulated network, with a consensus that sends and counts.
type peerMachine struct {
	driver  *net.Driver
	slots   *stages.Slots
	toNet   *ring.SPSC[stages.ConsensusToNet]
	fromNet *ring.SPSC[stages.NetToConsensus]
	leases  map[stages.Slot]int
	live    map[uint8]bool
	got     map[uint8]int
	message []byte
}

// peerPrepare is a prepare with a body of several segments.
func peerPrepare(cluster wire.U128, op uint64) []byte {
	message := make([]byte, prepare.HeaderBytes+100_000)
	for i := range message[prepare.HeaderBytes:] {
		message[prepare.HeaderBytes+i] = byte(i * int(op))
	}
	prepare.Put(message, &prepare.Fields{Cluster: cluster, Client: wire.U128{Lo: 5}, Session: 3, Op: op, Commit: op - 1, Timestamp: op,
		SizeBytes: uint32(len(message)), Request: 9, RequestLimit: 1 << 20, RequestsCount: 1, Operation: wire.OperationCreateTransfers,
		Command: prepare.CommandPrepare}, prepare.Sum(message[prepare.HeaderBytes:]))
	return message
}

func newPeerMachine(t *testing.T, s *switchboard, random *rand.Rand, l *limits.Limits, index uint8) *peerMachine {
	cluster := wire.U128From(7)
	memory := arena.New()
	t.Cleanup(memory.Close)
	m := &peerMachine{slots: replica.NewSlots(l, memory), leases: map[stages.Slot]int{}, live: map[uint8]bool{},
		got: map[uint8]int{}, message: peerPrepare(cluster, 1+uint64(index))}
	n := s.add(random, net.PortConnectionsMax(l), index)
	n.connectsReserved, n.faulty = int(net.PortConnectsReserved(l)), true
	one := protocol.Range{Min: 1, Max: 1}
	self := &protocol.Self{Cluster: cluster, Index: index, ReplicasCount: uint8(l.ReplicasCount), Fixed: protocol.FixedOf(l,
		l.RequestBytesMax),
		Incarnation: 1, Process: 1, Releases: one, Rules: one, BlockFormats: one, Keys: protocol.NewKeys()}
	stage := net.New(*l, cluster, m.slots, memory, &net.PeersOptions{Self: self, Seed: [protocol.SeedBytes]byte{index}})
	m.toNet, m.fromNet = ring.NewSPSC[stages.ConsensusToNet](4096), ring.NewSPSC[stages.NetToConsensus](4096)
	resolver := &names{addressOf: func(index uint8) ([18]byte, bool) { return [18]byte{index}, true }}
	m.driver = net.NewDriver(stage, n, resolver, m.toNet, stages.Sender[stages.NetToConsensus]{Ring: m.fromNet}, nil)
	return m
}

// turn gives the stage a turn, sends a prepare to the others if none is under way, and takes what
// comes.
func (m *peerMachine) turn(t *testing.T, nowNs uint64, others uint16, from []*peerMachine) {
	m.driver.Turn(nowNs, 0)
	if len(m.leases) == 0 && len(m.live) == len(from)-1 {
		slot := m.slots.Get(stages.SlotPrepare)
		copy(m.slots.Bytes(slot), m.message)
		m.leases[slot] = len(from) - 1
		m.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetPeerSend, Slot: slot, Bytes: uint32(len(m.message)),
			Command: uint8(protocol.CommandPrepare), Peers: others})
	}
	for {
		e, ok := m.fromNet.PopOne()
		if !ok {
			return
		}
		switch e.Kind {
		case stages.NetPeerLive, stages.NetPeerLost:
			delete(m.live, e.Peer)
			if e.Kind == stages.NetPeerLive {
				m.live[e.Peer] = true
			}
			m.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetPeerNoted, Peer: e.Peer})
		case stages.NetPeerSent:
			if m.leases[e.Slot]--; m.leases[e.Slot] == 0 {
				delete(m.leases, e.Slot)
				m.slots.Put(e.Slot)
			}
		case stages.NetPeerMessage:
			if !bytes.Equal(m.slots.Bytes(e.Slot)[:e.Bytes], from[e.Peer].message) {
				t.Fatalf("a message of replica %d is not what was sent", e.Peer)
			}
			m.got[e.Peer]++
			m.toNet.PushOne(stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot})
		}
	}
}

// Goal: the net stages of three machines connect to each other by the simulated network, which
// resets connections, cuts sends into pieces and stalls; each message arrives whole, and each
// replica hears each other one.
func TestPeersOfMachines(t *testing.T) {
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 0))
		s := newSwitchboard()
		l := limits.Production()
		l.ConnectionsMax, l.ReplicasCount = 4, 3
		var machines []*peerMachine
		for index := range uint8(l.ReplicasCount) {
			machines = append(machines, newPeerMachine(t, s, random, &l, index))
		}
		done := false
		for turns := 0; !done; turns++ {
			if turns == 200_000 {
				t.Fatalf("seed %d: %v, %v and %v prepares arrive", seed, machines[0].got, machines[1].got, machines[2].got)
			}
			s.turn()
			done = true
			for index, m := range machines {
				m.turn(t, s.events.nowNs, 7&^(1<<index), machines)
				for other := range uint8(len(machines)) {
					done = done && (other == uint8(index) || m.got[other] >= 20)
				}
			}
		}
	}
}
