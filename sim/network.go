package sim

import (
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// Network is the sockets of the replica's net stage, and the peers at the other end.
type Network struct {
	events *agenda
	random *rand.Rand
	fail   func(format string, arguments ...any)

	links []*link // by ConnectionID; nil: free
	// openMax connections may be open; while there are more links than that, the server may close
	// any of them.
	openMax int
	ready   []ports.NetworkEvent
	epoch   uint64
	faulty  bool // resets, pieces, stalls

	spoiledCount, gaveUpCount int // segments, connections

	owner *Machine                             // nil in tests
	sent  func(to *Machine, head, body []byte) // of a message to another replica; nil: nobody listens
	woken bool                                 // something has come since somebody looked

	// Connections between networks, see connect.go.
	dial             func(address [18]byte) (other *Network, there, back *path, errno unix.Errno)
	connectsReserved int     // of links, those that accept leaves to Connect
	backlog          []*link // connections of other networks that wait for a place
}

var _ ports.Network = (*Network)(nil)

// peer is the program that opened a connection.
type peer interface {
	// received gets bytes in order. ended reports the end of the connection, from either side.
	received(l *link, data []byte)
	ended(l *link)
}

// silentNs is how long a connection may go without its first whole message, by the clock of the
// machine. By the world's time it is silentLeastNs at least.
const (
	silentNs      = 30_000 * nsPerMs
	silentLeastNs = silentNs - silentNs/1_000_000*driftPPMMax - nsPerMs
)

// newNetwork makes a network for a server that keeps openMax connections and has linksMax places
// for them.
func newNetwork(q *agenda, random *rand.Rand, openMax, linksMax uint32, fail func(string, ...any)) *Network {
	return &Network{events: q, random: random, fail: fail, links: make([]*link, linksMax), openMax: int(openMax)}
}

// crash ends all connections. The peers notice it. If the machine has lost its power, nothing tells
// them, and it takes them some time.
func (n *Network) crash(powerCut bool) {
	n.epoch++
	n.ready = n.ready[:0]
	for _, l := range n.backlog {
		l.endPeer()
	}
	n.backlog = nil
	for i, l := range n.links {
		if l != nil {
			n.links[i] = nil
			l.serverClosed = true
			l.receiveInto, l.sending = nil, nil
			if powerCut {
				n.events.after(n.random.Uint64N(2_000*nsPerMs), l.endPeer)
			} else {
				l.endPeer()
			}
		}
	}
}

func (n *Network) delay() uint64 {
	delay := 5_000 + n.random.Uint64N(100_000)
	if n.faulty && n.random.IntN(40) == 0 {
		delay += n.random.Uint64N(300_000_000)
	}
	return delay
}

// connect opens a connection. It returns nil if the server has no room and has closed it at once.
func (n *Network) connect(p peer) *link {
	if !n.mayAccept() {
		return nil
	}
	l := &link{network: n, peer: p}
	n.take(l)
	for i := range l.name {
		l.name[i] = byte(n.random.IntN(256))
	}
	n.accepted(l)
	return l
}

// several is the cluster of several replicas to which the machine belongs, or nil.
func (n *Network) several() *several {
	if n.owner == nil {
		return nil
	}
	return n.owner.cluster.several
}

// take gives l a free place. It tells whether there was one.
func (n *Network) take(l *link) bool {
	free, at := 0, -1
	for i, l := range n.links {
		if l == nil {
			free++
			if n.random.IntN(free) == 0 {
				at = i
			}
		}
	}
	if at < 0 {
		return false
	}
	l.id, l.epoch, l.openedNs = ports.ConnectionID(at), n.epoch, n.events.nowNs
	n.links[at] = l
	return true
}

// accepted tells the server of a connection that has a place.
func (n *Network) accepted(l *link) {
	used := 0
	for _, l := range n.links {
		if l != nil {
			used++
		}
	}
	if used > n.openMax {
		for _, l := range n.links {
			l.pardon("there were more connections than the server keeps")
		}
	}
	n.push(ports.NetworkEvent{Kind: ports.NetworkAccepted, Connection: l.id, Peer: l.name})
}

func (n *Network) push(e ports.NetworkEvent) { n.ready, n.woken = append(n.ready, e), true }

func (n *Network) at(connection ports.ConnectionID, what string) *link {
	if int(connection) >= len(n.links) || n.links[connection] == nil || n.links[connection].serverClosed {
		n.fail("%s on connection %d, which is not open", what, connection)
	}
	return n.links[connection]
}

// Receive implements ports.Network.
func (n *Network) Receive(connection ports.ConnectionID, buffer []byte) {
	l := n.at(connection, "a receive")
	if l.receiveInto != nil || len(buffer) == 0 || l.connecting {
		n.fail("a second or an empty receive on connection %d", connection)
	}
	l.receiveInto = buffer
	l.feed()
}

// ReceiveAll implements ports.Network. It may also return any smaller number of bytes.
func (n *Network) ReceiveAll(connection ports.ConnectionID, buffer []byte) {
	n.Receive(connection, buffer)
}

// Send implements ports.Network.
func (n *Network) Send(connection ports.ConnectionID, buffer []byte) {
	n.SendParts(connection, buffer, nil)
}

// SendParts implements ports.Network.
func (n *Network) SendParts(connection ports.ConnectionID, header, body []byte) {
	l := n.at(connection, "a send")
	if l.sending != nil || len(header) == 0 || l.connecting {
		n.fail("a second or an empty send on connection %d", connection)
	}
	if f, ok := l.peer.(*far); ok && n.sent != nil {
		n.sent(f.other.network.owner, header, body)
		if s := n.several(); s != nil {
			s.attacker.hears(l, f.other.network.owner, header, body)
		}
	}
	if l.reset || l.peerGone && n.random.IntN(2) == 0 {
		n.push(ports.NetworkEvent{Kind: ports.NetworkSent, Connection: connection, Bytes: -int32(unix.EPIPE)})
		return
	}
	l.sending, l.body, l.sendCopy, l.sentBytes = header, body, slices.Concat(header, body), 0
	l.later(n.random.Uint64N(20_000), l.drain)
}

// Close implements ports.Network.
func (n *Network) Close(connection ports.ConnectionID) {
	l := n.at(connection, "a close")
	isSilent := !l.heard && n.events.nowNs-l.openedNs >= silentLeastNs
	if l.isClient && !l.peerGone && !l.reset && l.excuse == "" && !isSilent {
		n.fail("the server closes connection %d of a client that has kept to the protocol", connection)
	}
	l.serverClosed = true
	l.arrived = nil
	if l.attacked {
		n.several().marks.add(MarkAttackEnded)
	}
	kept := n.ready[:0]
	for _, e := range n.ready {
		if e.Connection != connection {
			kept = append(kept, e)
		}
	}
	n.ready = kept
	// The buffers belong to the port until NetworkClosed.
	l.later(n.random.Uint64N(200_000), func() {
		l.receiveInto, l.sending = nil, nil
		n.push(ports.NetworkEvent{Kind: ports.NetworkClosed, Connection: connection})
	})
	l.inOrder(&l.out, l.endPeer) // the peer is told, even if the server crashes
}

// Poll implements ports.Network.
func (n *Network) Poll(out []ports.NetworkEvent) int {
	count := min(len(out), len(n.ready))
	if count > 1 && n.random.IntN(4) == 0 {
		count = 1 + n.random.IntN(count)
	}
	copy(out, n.ready[:count])
	n.ready = n.ready[:copy(n.ready, n.ready[count:])]
	for _, e := range out[:count] {
		if e.Kind == ports.NetworkClosed || e.Kind == ports.NetworkConnected && e.Bytes < 0 {
			n.links[e.Connection] = nil // the id may name another connection from now on
		}
	}
	n.acceptBacklog()
	return count
}
