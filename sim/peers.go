package sim

import (
	"ledger/internal/ports"
	protocol "ledger/peer"
	"ledger/replica"
	"ledger/stages/net"
)

// joinPeers gives a machine of a cluster of several what it needs for the others. It draws nothing
// in a cluster of one.
func (m *Machine) joinPeers(o *replica.Opened, p *replica.Ports) *net.PeersOptions {
	if o.Limits.PeersCount() == 0 {
		return nil
	}
	p.Names = &names{addressOf: func(index uint8) (address [18]byte, ok bool) {
		if int(index) >= len(m.cluster.machines) {
			return address, false
		}
		return m.cluster.machines[index].address, true
	}}
	var seed [protocol.SeedBytes]byte
	for i := range seed {
		seed[i] = byte(m.random.Uint32())
	}
	return replica.PeersOf(o, m.disk.image.sizeBytes, m.random.Uint64(), seed, m.cluster.keysOf(m))
}

// names answers at the next poll.
type names struct {
	addressOf func(index uint8) (address [18]byte, ok bool)
	answers   []ports.NameAnswer
}

// Resolve implements ports.Names.
func (n *names) Resolve(replica uint8, attempt uint64) {
	address, ok := n.addressOf(replica)
	n.answers = append(n.answers, ports.NameAnswer{Replica: replica, OK: ok, Attempt: attempt, Address: address})
}

// Poll implements ports.Names.
func (n *names) Poll(out []ports.NameAnswer) int {
	count := copy(out, n.answers)
	n.answers = n.answers[count:]
	return count
}
