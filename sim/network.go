package sim

import (
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// Network is the sockets of the replica's net stage, and the peers at the other end.
type Network struct {
	events *events
	random *rand.Rand
	fail   func(format string, arguments ...any)

	links []*link // by ConnectionID; nil: free
	// openMax connections may be open; while there are more links than that, the server may close
	// any of them.
	openMax int
	ready   []ports.NetworkEvent
	epoch   uint64
	slow    bool // on a bench, where there are no paths
	faulty  bool // resets, pieces, stalls

	spoiledCount, gaveUpCount int // segments, connections

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

// link is one connection, from both sides.
type link struct {
	network *Network
	id      ports.ConnectionID
	peer    peer
	name    [18]byte
	epoch   uint64

	// To the server.
	in          lane
	arrived     []byte
	peerClosed  bool // the peer has closed, after the arrived bytes
	reset       bool
	receiveInto []byte

	// To the peer.
	out        lane
	sending    []byte // the server's buffer, or the first of two
	body       []byte // the second
	sendCopy   []byte // its content when it was queued: it must not change
	sentBytes  int
	onWayBytes int    // of sends that have ended, or a part of one
	blocked    bool   // the sockets of both ends are full
	stalledNs  uint64 // the peer does not read until then

	connecting bool // Connect is under way
	isOutgoing bool // Connect has opened it

	openedNs uint64
	heard    bool // a message of the server has arrived, so the server had a whole one of the peer
	isClient bool
	excuse   string // why the server may close it; "": it may not

	spoiled      bool // a byte has changed on the way
	serverClosed bool
	peerGone     bool // the peer was told of the end, or has left
}

// silentNs is how long a connection may go without its first whole message.
const silentNs = 30_000 * nsPerMs

// newNetwork makes a network for a server that keeps openMax connections and has linksMax places
// for them.
func newNetwork(q *events, random *rand.Rand, openMax, linksMax uint32, fail func(string, ...any)) *Network {
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
	if n.slow || n.faulty && n.random.IntN(40) == 0 {
		delay += n.random.Uint64N(300_000_000)
	}
	return delay
}

// later runs do for a connection after a delay, unless the server has crashed meanwhile.
func (l *link) later(delayNs uint64, do func()) {
	l.network.events.after(delayNs, func() {
		if l.epoch == l.network.epoch {
			do()
		}
	})
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

// pardon lets the server close the connection from now on.
func (l *link) pardon(excuse string) {
	if l != nil && l.excuse == "" {
		l.excuse = excuse
	}
}

// isKnown tells whether the server still has the connection, or may still hear of it.
func (l *link) isKnown() bool { return l.network.links[l.id] == l }

// number names the connection in a trace; 0: none.
func (l *link) number() uint64 {
	if l == nil {
		return 0
	}
	return uint64(l.id) + 1
}

// write sends bytes from the peer to the server, in pieces.
func (l *link) write(data []byte) {
	if l.peerGone || l.reset {
		return
	}
	n := l.network
	for len(data) > 0 {
		piece := len(data)
		if n.faulty && n.random.IntN(3) == 0 {
			piece = 1 + n.random.IntN(len(data))
		}
		bytes := l.spoil(&l.in, data[:piece])
		data = data[piece:]
		l.inOrder(&l.in, func() {
			if !l.reset && !l.serverClosed && l.epoch == n.epoch {
				l.arrived = append(l.arrived, bytes...)
				l.feed()
			}
		})
	}
}

// hangUp closes the connection from the peer's side. Written bytes still arrive.
func (l *link) hangUp() {
	if l.peerGone {
		return
	}
	l.inOrder(&l.in, func() {
		if l.epoch == l.network.epoch {
			l.peerClosed = true
			l.feed()
		}
	})
	l.endPeer()
}

// breakOff breaks the connection. Bytes on the way are lost.
func (l *link) breakOff() {
	if l.serverClosed || l.reset {
		return
	}
	l.resetHere()
	l.endPeer()
}

func (l *link) endPeer() {
	if !l.peerGone {
		l.peerGone = true
		if l.peer != nil { // nil: of a Connect that nobody has answered yet
			l.peer.ended(l)
		}
	}
}

func (n *Network) push(e ports.NetworkEvent) { n.ready = append(n.ready, e) }

// feed gives arrived bytes to an outstanding receive.
func (l *link) feed() {
	if l.receiveInto == nil || l.serverClosed {
		return
	}
	e := ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: l.id}
	switch {
	case l.reset:
		e.Bytes = -int32(unix.ECONNRESET)
	case len(l.arrived) > 0:
		count := min(len(l.arrived), len(l.receiveInto))
		if l.network.faulty && l.network.random.IntN(4) == 0 {
			count = 1 + l.network.random.IntN(count)
		}
		copy(l.receiveInto, l.arrived[:count])
		l.arrived = l.arrived[count:]
		l.unblockOther()
		e.Bytes = int32(count)
	case l.peerClosed:
		e.Bytes = 0
	default:
		return
	}
	l.receiveInto = nil
	l.network.push(e)
}

// drain gives some bytes of an outstanding send to the peer.
func (l *link) drain() {
	n := l.network
	if l.sending == nil || l.serverClosed || l.reset {
		return
	}
	if l.stalledNs > n.events.nowNs {
		l.later(l.stalledNs-n.events.nowNs, l.drain)
		return
	}
	count := len(l.sendCopy) - l.sentBytes
	if count = min(count, l.room()); count <= 0 {
		l.blocked = true
		return
	}
	if n.faulty && n.random.IntN(3) == 0 {
		count = 1 + n.random.IntN(count)
	}
	data := l.sendCopy[l.sentBytes : l.sentBytes+count]
	if !l.isUnchanged(l.sentBytes, l.sentBytes+count) {
		n.fail("a message changed while it was being sent on connection %d", l.id)
	}
	l.sentBytes += count
	if !l.peerGone {
		l.onWayBytes += count
		data = l.spoil(&l.out, data)
		l.inOrder(&l.out, func() {
			l.onWayBytes -= count
			if !l.peerGone && l.epoch == n.epoch {
				l.peer.received(l, data)
			}
		})
	}
	if l.sentBytes == len(l.sendCopy) {
		l.sending = nil
		n.push(ports.NetworkEvent{Kind: ports.NetworkSent, Connection: l.id, Bytes: int32(l.sentBytes)})
		return
	}
	l.later(n.delay(), l.drain)
}

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
	isSilent := !l.heard && n.events.nowNs-l.openedNs >= silentNs
	if l.isClient && !l.peerGone && !l.reset && l.excuse == "" && !isSilent {
		n.fail("the server closes connection %d of a client that has kept to the protocol", connection)
	}
	l.serverClosed = true
	l.arrived = nil
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
