package sim

import (
	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

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

	sealed   uint64 // messages that this end has sent to another replica
	attacked bool   // an attacker has sent something to this end

	spoiled      bool // a byte has changed on the way
	serverClosed bool
	peerGone     bool // the peer was told of the end, or has left
}

// later runs do for a connection after a delay, unless the server has crashed meanwhile.
func (l *link) later(delayNs uint64, do func()) {
	l.network.events.after(delayNs, func() {
		if l.epoch == l.network.epoch {
			do()
		}
	})
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
				l.arrive(bytes)
			}
		})
	}
}

// arrive gives bytes to the server. They are copied only if others wait already.
func (l *link) arrive(bytes []byte) {
	if len(l.arrived) == 0 {
		l.arrived = bytes[:len(bytes):len(bytes)]
	} else {
		l.arrived = append(l.arrived, bytes...)
	}
	l.feed()
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
