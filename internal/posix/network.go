package posix

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/internal/ports/connections"
	"ledger/internal/ports/fifo"
)

const (
	acceptTurnMax  = 16         // connections accepted in one Turn
	generationMask = 1<<24 - 1  // of a connection's generation, in an epoll event
	listenerIndex  = 0xffffffff // in place of a connection's index
)

// AcceptPause is the pause of accepting after descriptors or memory ran out. The listener stays
// readable meanwhile, so a try in each turn would use a whole core.
const AcceptPause = 100 * time.Millisecond

type connection struct {
	fd         int
	generation uint32 // tells events of this connection from those of an earlier one with the same id
	receiving  bool   // receiveBuffer waits for bytes
	sending    bool   // sendBuffer[sentBytes:] waits for room
	readable   bool   // as far as is known: cleared by EAGAIN, set by an edge
	writable   bool
	peerClosed bool // the peer has closed its side: an end of file follows the readable bytes
	queued     bool // in work

	receiveBuffer []byte
	sendBuffer    []byte
	sendBody      []byte // follows sendBuffer; nil for a send of one buffer
	sentBytes     int    // of both
}

// Network is ports.Network over non-blocking sockets. Each is registered once with epoll,
// edge-triggered.
type Network struct {
	thread      *Thread
	port        uint32
	listenerFd  int
	connections []connection
	lives       *connections.Table
	work        *fifo.Queue[ports.ConnectionID] // connections that may make progress

	listenerReady  bool
	acceptAgain    time.Time // accepting is paused until then, after an error; zero: not paused
	isFull         bool      // the listener is not watched until a connection may be accepted
	address        [28]byte
	addressBytes   uint32
	socketError    uint32
	message        unix.Msghdr // of a SendParts, during its system call
	parts          [2]unix.Iovec
	generationNext uint32
}

func newNetwork(t *Thread, port uint32, listenerFd int, connectionsMax, connectsReserved uint32) *Network {
	n := &Network{
		thread:      t,
		port:        port,
		listenerFd:  listenerFd,
		connections: make([]connection, connectionsMax),
		lives:       connections.New(connectionsMax, connectsReserved),
		work:        fifo.New[ports.ConnectionID](connectionsMax),
	}
	for i := range n.connections {
		n.connections[i].fd = -1
	}
	return n
}

func (n *Network) start() error {
	if n.listenerFd < 0 {
		return nil
	}
	// A network of io_uring that was tried before has made the listener blocking.
	if err := unix.SetNonblock(n.listenerFd, true); err != nil {
		return fmt.Errorf("fcntl of the listener: %w", err)
	}
	if errno := n.thread.epollControl(unix.EPOLL_CTL_ADD, n.listenerFd, unix.EPOLLIN, n.port, 0, listenerIndex); errno != 0 {
		return fmt.Errorf("epoll_ctl of the listener: %w", errno)
	}
	return nil
}

// Connect implements ports.Network.
func (n *Network) Connect(peer [18]byte) (id ports.ConnectionID, ok bool) {
	if n.lives.IsFull() {
		return 0, false
	}
	id, c := n.take(connections.Connecting)
	errno := n.connectStart(id, c, peer)
	if errno != 0 {
		n.closeSocket(c)
		n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: id, Bytes: -int32(errno)})
	}
	return id, true
}

func (n *Network) connectStart(id ports.ConnectionID, c *connection, peer [18]byte) (errno unix.Errno) {
	n.thread.countSyscall()
	length := EncodePeer(peer, &n.address)
	c.fd, errno = NewPeerSocket(peer, true)
	if errno != 0 {
		return errno
	}
	n.thread.countSyscall()
	_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, uintptr(c.fd), uintptr(unsafe.Pointer(&n.address)), uintptr(length))
	if errno != 0 && errno != unix.EINPROGRESS {
		return errno
	}
	// An established connection is writable: the first edge tells.
	return n.register(id, c)
}

func (n *Network) register(id ports.ConnectionID, c *connection) unix.Errno {
	const interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	return n.thread.epollControl(unix.EPOLL_CTL_ADD, c.fd, interest, n.port, c.generation, uint32(id))
}

// take returns a free connection and begins a new generation of it.
func (n *Network) take(state connections.State) (id ports.ConnectionID, c *connection) {
	id = n.lives.Take(state)
	c = &n.connections[id]
	n.generationNext = (n.generationNext + 1) & generationMask
	*c = connection{fd: -1, generation: n.generationNext, queued: c.queued}
	return id, c
}

// Receive implements ports.Network.
func (n *Network) Receive(id ports.ConnectionID, buffer []byte) {
	c := &n.connections[id]
	assert.That(n.lives.State(id) == connections.Open, "a connection that receives is open")
	assert.That(!c.receiving, "one receive per connection")
	assert.That(len(buffer) > 0, "a receive has room")
	c.receiving, c.receiveBuffer = true, buffer
	if c.readable {
		n.pushWork(id, c)
	}
}

// ReceiveAll implements ports.Network.
func (n *Network) ReceiveAll(id ports.ConnectionID, buffer []byte) { n.Receive(id, buffer) }

// Close implements ports.Network.
func (n *Network) Close(id ports.ConnectionID) {
	c := &n.connections[id]
	n.lives.Closed(id)
	c.receiving, c.sending, c.receiveBuffer, c.sendBuffer, c.sendBody = false, false, nil, nil, nil
	n.pushWork(id, c)
}

// Poll implements ports.Network.
func (n *Network) Poll(out []ports.NetworkEvent) int {
	count, isFreed := n.lives.Poll(out)
	if isFreed && n.isFull && n.lives.MayAccept() {
		n.isFull = false
		n.watchListener(unix.EPOLLIN)
	}
	return count
}

func (n *Network) pushWork(id ports.ConnectionID, c *connection) {
	if !c.queued {
		c.queued = true
		n.work.Push(id)
	}
}

// busy tells whether a Turn can do something without waiting for the kernel.
func (n *Network) busy() bool {
	return n.work.Count() > 0 || n.lives.EventsCount() > 0 || n.listenerReady
}

// onReady records an event of epoll. index is a connection's, or listenerIndex.
func (n *Network) onReady(index, generation, ready uint32) {
	if index == listenerIndex {
		n.listenerReady = true
		return
	}
	c := &n.connections[index]
	if c.fd < 0 || c.generation != generation {
		return // of a socket that has been closed since
	}
	if ready&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.readable = true
	}
	if ready&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.peerClosed = true
	}
	if ready&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.writable = true
	}
	isConnecting := n.lives.State(ports.ConnectionID(index)) == connections.Connecting
	if (c.receiving && c.readable) || (c.sending && c.writable) || (isConnecting && c.writable) {
		n.pushWork(ports.ConnectionID(index), c)
	}
}

// turn lets each connection that can make progress do so once.
func (n *Network) turn() (completionsCount int) {
	before := n.lives.EventsCount()
	if !n.acceptAgain.IsZero() && !time.Now().Before(n.acceptAgain) {
		n.acceptAgain = time.Time{}
		n.watchListener(unix.EPOLLIN)
	}
	if n.listenerReady {
		n.accept()
	}
	for range n.work.Count() {
		id := n.work.Pop()
		c := &n.connections[id]
		c.queued = false
		switch n.lives.State(id) {
		case connections.Connecting:
			n.finishConnect(id, c)
		case connections.Open:
			n.receive(id, c)
			n.send(id, c)
		case connections.Closing:
			n.closeSocket(c)
			n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkClosed, Connection: id})
		}
	}
	return int(n.lives.EventsCount() - before)
}

func (n *Network) finishConnect(id ports.ConnectionID, c *connection) {
	if !c.writable {
		return
	}
	length := uint32(4)
	n.thread.countSyscall()
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&n.socketError)), uintptr(unsafe.Pointer(&length)), 0)
	if errno == 0 {
		errno = unix.Errno(n.socketError)
	}
	if errno == 0 {
		n.lives.Opened(id)
	} else {
		n.closeSocket(c)
	}
	n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: id, Bytes: -int32(errno)})
}

func (n *Network) receive(id ports.ConnectionID, c *connection) {
	for c.receiving && c.readable {
		n.thread.countSyscall()
		count, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&c.receiveBuffer[0])),
			uintptr(len(c.receiveBuffer)), unix.MSG_DONTWAIT, 0, 0)
		result := int32(count)
		switch errno {
		case 0:
			// Fewer bytes than asked for: the socket is empty, and further bytes cause an edge. The
			// exception is the end of the stream, whose edge may have come already.
			c.readable = int(count) == len(c.receiveBuffer) || c.peerClosed
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			c.readable = false
			continue
		default:
			result = -int32(errno)
		}
		c.receiving, c.receiveBuffer = false, nil
		n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: id, Bytes: result})
	}
}

func (n *Network) closeSocket(c *connection) {
	if c.fd >= 0 {
		n.thread.countSyscall()
		_ = unix.Close(c.fd) // this also removes it from epoll
		c.fd = -1
	}
}

func (n *Network) closeAll() {
	for i := range n.connections {
		n.closeSocket(&n.connections[i])
	}
}
