package sim

import (
	"bytes"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// connectTimeoutNs is the time after which a Connect that nobody answers ends.
const connectTimeoutNs = 2_000 * nsPerMs

// socketBytes is what the sockets of a connection between two networks hold.
const socketBytes = 1 << 20

// far is the peer of a connection between two networks: the other end. What one end sends arrives
// at the other, and its end is the end of the other.
type far struct{ other *link }

func (f *far) received(_ *link, data []byte) {
	if l := f.other; !l.reset && !l.serverClosed {
		l.arrived = append(l.arrived, data...)
		l.feed()
	}
}

func (f *far) ended(from *link) {
	l := f.other
	if from.reset {
		l.breakOff()
		return
	}
	l.peerClosed, l.peerGone = true, true
	l.feed()
	if l.sending != nil && !l.serverClosed {
		l.sending = nil
		l.network.push(ports.NetworkEvent{Kind: ports.NetworkSent, Connection: l.id, Bytes: -int32(unix.EPIPE)})
	}
}

// room is how many bytes the sockets of both ends still hold. A peer that is a program reads at
// once, except while it is stalled.
func (l *link) room() int {
	if f, ok := l.peer.(*far); ok && !l.peerGone {
		return socketBytes - l.onWayBytes - len(f.other.arrived)
	}
	return len(l.sendCopy)
}

// unblockOther continues a send of the other end, which has waited for this one to read.
func (l *link) unblockOther() {
	if f, ok := l.peer.(*far); ok && f.other.blocked {
		f.other.blocked = false
		f.other.later(l.network.delay(), f.other.drain)
	}
}

// Connect implements ports.Network.
func (n *Network) Connect(address [18]byte) (ports.ConnectionID, bool) {
	l := &link{network: n, name: address, connecting: true, isOutgoing: true}
	if !n.take(l) {
		return 0, false
	}
	l.later(n.delay(), func() { l.dial(address) })
	return l.id, true
}

// dial ends a Connect when its first segment has reached the other side, or nobody.
func (l *link) dial(address [18]byte) {
	if l.serverClosed {
		return
	}
	n := l.network
	errno := unix.Errno(unix.ECONNREFUSED)
	var other *Network
	var there, back *path
	if n.dial != nil {
		other, there, back, errno = n.dial(address)
	}
	switch errno {
	case 0:
	case unix.ETIMEDOUT:
		l.later(connectTimeoutNs, func() { l.connected(-int32(unix.ETIMEDOUT)) })
		return
	default:
		l.connected(-int32(errno))
		return
	}
	end := &link{network: other, peer: &far{l}, epoch: other.epoch}
	for i := range end.name {
		end.name[i] = byte(other.random.IntN(256))
	}
	l.peer = &far{end}
	l.out.path, end.out.path = there, back
	other.backlog = append(other.backlog, end)
	other.acceptBacklog()
	l.later(n.delay(), func() { l.connected(0) })
}

// connected is the result of a Connect.
func (l *link) connected(result int32) {
	if l.serverClosed {
		return
	}
	if result == 0 {
		l.connecting = false
	}
	l.network.push(ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: l.id, Bytes: result})
}

// mayAccept tells whether a place is free that Connect does not need.
func (n *Network) mayAccept() bool {
	accepted, free := 0, 0
	for _, l := range n.links {
		switch {
		case l == nil:
			free++
		case !l.isOutgoing:
			accepted++
		}
	}
	return free > 0 && accepted < len(n.links)-n.connectsReserved
}

// acceptBacklog accepts the connections of other networks for which there is a place.
func (n *Network) acceptBacklog() {
	for len(n.backlog) > 0 && n.mayAccept() {
		l := n.backlog[0]
		n.backlog = n.backlog[1:]
		n.take(l)
		n.accepted(l)
	}
}

// isUnchanged tells whether the bytes [from, to) of a send are what they were when it was queued.
func (l *link) isUnchanged(from, to int) bool {
	header := len(l.sending)
	return bytes.Equal(l.sendCopy[min(from, header):min(to, header)], l.sending[min(from, header):min(to, header)]) &&
		bytes.Equal(l.sendCopy[max(from, header):max(to, header)], l.body[max(from, header)-header:max(to, header)-header])
}
