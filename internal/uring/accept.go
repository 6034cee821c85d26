package uring

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/ports/connections"
	"ledger/internal/posix"
)

// mayAccept tells whether accept may be armed now.
func (n *Network) mayAccept() bool {
	if n.listenerFd < 0 || n.isAccepting || n.acceptedFd >= 0 || !n.lives.MayAccept() {
		return false
	}
	if n.acceptAgain.IsZero() {
		return true
	}
	if time.Now().Before(n.acceptAgain) {
		return false
	}
	n.acceptAgain = time.Time{}
	return true
}

// pauseNs implements port. The flush before a wait has armed accept, unless it is paused or no
// further connection may be accepted. If the pause has ended since, the wait ends at once.
func (n *Network) pauseNs() uint64 {
	if n.acceptAgain.IsZero() || n.acceptedFd >= 0 || !n.lives.MayAccept() {
		return noPause
	}
	return uint64(max(1, time.Until(n.acceptAgain)))
}

func (n *Network) onAccept(result int32) {
	n.isAccepting = false
	if result < 0 {
		switch errno := unix.Errno(-result); errno {
		case unix.ECONNABORTED, unix.EINTR, unix.EAGAIN:
		default:
			n.lives.AcceptFailed(int32(errno))
			n.acceptAgain = time.Now().Add(posix.AcceptPause) // another accept would fail at once
		}
		return
	}
	if !n.lives.MayAccept() {
		// Connect has taken the last free connection since accept was armed. The peer waits as if
		// it were in the backlog.
		n.acceptedFd = int(result)
		return
	}
	n.onAccepted(int(result))
}

func (n *Network) onAccepted(fd int) {
	n.addressBytes = uint32(len(n.peerAddress))
	n.thread.countSyscall()
	_, _, errno := unix.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&n.peerAddress)),
		uintptr(unsafe.Pointer(&n.addressBytes)))
	if errno != 0 { // the peer has gone again
		n.closeNow(fd)
		return
	}
	id, c := n.take(connections.Open)
	c.fd = fd
	n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkAccepted, Connection: id, Peer: posix.DecodePeer(&n.peerAddress)})
}
