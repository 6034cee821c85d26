package posix

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/ports/connections"
)

// pauseNs is the time until accepting goes on, or the end of time if it is not paused.
func (n *Network) pauseNs() uint64 {
	if n.acceptAgain.IsZero() {
		return ^uint64(0)
	}
	return uint64(max(0, time.Until(n.acceptAgain)))
}

// watchListener sets the events of the listener that epoll reports: EPOLLIN, or 0 for none.
func (n *Network) watchListener(interest uint32) {
	n.listenerReady = false
	n.thread.epollControl(unix.EPOLL_CTL_MOD, n.listenerFd, interest, n.port, 0, listenerIndex)
}

func (n *Network) accept() {
	for range acceptTurnMax {
		if !n.lives.MayAccept() {
			n.isFull = true
			n.watchListener(0)
			return
		}
		n.addressBytes = uint32(len(n.address))
		n.thread.countSyscall()
		fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(n.listenerFd), uintptr(unsafe.Pointer(&n.address)),
			uintptr(unsafe.Pointer(&n.addressBytes)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
		case unix.EAGAIN:
			n.listenerReady = false
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			n.pauseAccept(errno)
			return
		default:
			continue // the peer has gone again (ECONNABORTED and the network errors of accept(2))
		}
		id, c := n.take(connections.Open)
		c.fd, c.writable = int(fd), true
		if errno := n.register(id, c); errno != 0 {
			// There is no memory for the registration. The peer sees a closed connection and tries
			// again.
			n.closeSocket(c)
			n.lives.GiveBack(id)
			n.pauseAccept(errno)
			return
		}
		n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkAccepted, Connection: id, Peer: DecodePeer(&n.address)})
	}
}

// pauseAccept leaves the listener alone for a time after an error that would come again at once.
func (n *Network) pauseAccept(errno unix.Errno) {
	n.lives.AcceptFailed(int32(errno))
	n.acceptAgain = time.Now().Add(AcceptPause)
	n.watchListener(0)
}
