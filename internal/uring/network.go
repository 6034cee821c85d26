package uring

import (
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/internal/ports/connections"
	"ledger/internal/ports/fifo"
	"ledger/internal/posix"
)

// Kinds of operation. A completion brings its kind back.
const (
	kindAccept uint8 = iota + 1
	kindConnect
	kindReceive
	kindSend      // of one buffer
	kindSendParts // of a header and a body; a connection has one send of either kind
	kindCancel
	kindClose
	kindsPerConnection = 5
)

type connection struct {
	fd            int
	isReceiving   bool
	isDrained     bool // the last receive emptied the socket
	isSending     bool
	inFlightCount uint8 // operations queued or in the kernel

	receiveAddress uintptr
	receiveBytes   uint32
	receiveFlags   uint32
	sendAddress    uintptr
	sendBytes      uint32 // header and body, if there are two
	sentBytes      uint32
	headerBytes    uint32 // of sendBytes, those at sendAddress
	bodyAddress    uintptr
}

type queuedOperation struct {
	kind       uint8
	connection ports.ConnectionID
}

// Network is ports.Network over the thread's ring, with single accepts, receives and sends. Accept
// is not multishot, because it is armed only while a connection is free. When the table is full,
// new peers stay in the listener's backlog.
type Network struct {
	thread      *Thread
	port        uint8
	listenerFd  int
	connections []connection
	addresses   [][28]byte // of Connect, by connection; off heap: the kernel reads them later
	messages    []message  // of SendParts, likewise
	lives       *connections.Table
	queue       *fifo.Queue[queuedOperation]

	isAccepting  bool
	acceptedFd   int       // accepted while Connect took the last free connection; below 0: none
	acceptAgain  time.Time // accept is paused until then, after an error; zero: not paused
	peerAddress  [28]byte
	addressBytes uint32
}

func newNetwork(t *Thread, port uint8, listenerFd int, connectionsMax, connectsReserved uint32) *Network {
	if listenerFd >= 0 {
		// Some kernels answer EAGAIN at once for a descriptor that does not block, instead of
		// waiting for a peer.
		_ = unix.SetNonblock(listenerFd, false)
	}
	n := &Network{
		thread:      t,
		port:        port,
		listenerFd:  listenerFd,
		connections: make([]connection, connectionsMax),
		addresses:   arena.Slice[[28]byte](t.memory, uint64(connectionsMax), "io_uring"),
		messages:    arena.Slice[message](t.memory, uint64(connectionsMax), "io_uring"),
		lives:       connections.New(connectionsMax, connectsReserved),
		queue:       fifo.New[queuedOperation](kindsPerConnection * connectionsMax),
		acceptedFd:  -1,
	}
	for i := range n.connections {
		n.connections[i].fd = -1
	}
	return n
}

// Connect implements ports.Network.
func (n *Network) Connect(peer [18]byte) (id ports.ConnectionID, ok bool) {
	if n.lives.IsFull() {
		return 0, false
	}
	id, c := n.take(connections.Connecting)
	var errno unix.Errno
	n.thread.countSyscall()
	// The socket blocks, because io_uring waits only on sockets that do.
	if c.fd, errno = posix.NewPeerSocket(peer, false); errno != 0 {
		n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: id, Bytes: -int32(errno)})
		return id, true
	}
	posix.EncodePeer(peer, &n.addresses[id])
	n.push(kindConnect, id, c)
	return id, true
}

func (n *Network) take(state connections.State) (id ports.ConnectionID, c *connection) {
	id = n.lives.Take(state)
	c = &n.connections[id]
	assert.That(c.inFlightCount == 0, "a connection that is taken has nothing in flight")
	*c = connection{fd: -1}
	return id, c
}

// Receive implements ports.Network.
func (n *Network) Receive(id ports.ConnectionID, buffer []byte) { n.receive(id, buffer, 0) }

// ReceiveAll implements ports.Network. The kernel continues by itself until buffer is full or the
// stream ends.
func (n *Network) ReceiveAll(id ports.ConnectionID, buffer []byte) {
	n.receive(id, buffer, unix.MSG_WAITALL)
}

func (n *Network) receive(id ports.ConnectionID, buffer []byte, flags uint32) {
	c := &n.connections[id]
	assert.That(n.lives.State(id) == connections.Open, "a connection that receives is open")
	assert.That(!c.isReceiving, "one receive per connection")
	assert.That(len(buffer) > 0 && len(buffer) <= transferBytesMax, "a receive has room")
	c.isReceiving, c.receiveAddress, c.receiveBytes, c.receiveFlags = true, address(buffer), uint32(len(buffer)), flags
	n.push(kindReceive, id, c)
}

// Close implements ports.Network. The socket is closed once the kernel uses no buffer of it any
// more.
func (n *Network) Close(id ports.ConnectionID) {
	c := &n.connections[id]
	n.lives.Closed(id)
	if c.inFlightCount > 0 {
		n.push(kindCancel, id, c)
	} else {
		n.closeSocket(id, c)
	}
}

// Poll implements ports.Network.
func (n *Network) Poll(out []ports.NetworkEvent) int {
	count, isFreed := n.lives.Poll(out)
	if isFreed && n.acceptedFd >= 0 && n.lives.MayAccept() {
		fd := n.acceptedFd
		n.acceptedFd = -1
		n.onAccepted(fd)
	}
	return count
}

func (n *Network) push(kind uint8, id ports.ConnectionID, c *connection) {
	c.inFlightCount++
	n.queue.Push(queuedOperation{kind, id})
}

// flush implements port.
func (n *Network) flush() {
	if n.mayAccept() {
		if entry := n.thread.entry(n.port, kindAccept, 0); entry != nil {
			// Accept does not ask for the peer's address: the kernel would write it long before
			// Poll needs it, and only one address could be kept.
			entry.OpCode = giouring.OpAccept
			entry.Fd = int32(n.listenerFd)
			entry.OpcodeFlags = unix.SOCK_CLOEXEC
			n.isAccepting = true
		}
	}
	for n.queue.Count() > 0 && n.thread.spaceCount() > 0 {
		queued := n.queue.Pop()
		c := &n.connections[queued.connection]
		if n.lives.State(queued.connection) == connections.Closing && queued.kind != kindCancel && queued.kind != kindClose {
			n.landed(queued.connection, c) // it was not begun and is no longer needed
			continue
		}
		n.submit(queued.kind, queued.connection, c)
	}
}

func (n *Network) submit(kind uint8, id ports.ConnectionID, c *connection) {
	entry := n.thread.entry(n.port, kind, uint32(id))
	entry.Fd = int32(c.fd)
	n.thread.isUrgent = n.thread.isUrgent || kind != kindReceive
	n.thread.isSending = n.thread.isSending || kind == kindSend || kind == kindSendParts
	switch kind {
	case kindConnect:
		entry.OpCode = giouring.OpConnect
		entry.Addr = uint64(uintptr(unsafe.Pointer(&n.addresses[id])))
		entry.Off = uint64(posix.SockaddrBytes(&n.addresses[id]))
	case kindReceive:
		entry.OpCode = giouring.OpRecv
		entry.Addr = uint64(c.receiveAddress)
		entry.Len = c.receiveBytes
		entry.OpcodeFlags = c.receiveFlags
		if c.isDrained {
			entry.IoPrio = giouring.RecvsendPollFirst // the socket is still empty
		}
	case kindSend:
		// MSG_WAITALL: the kernel continues by itself after the socket's buffer was full.
		entry.OpCode = giouring.OpSend
		entry.Addr = uint64(c.sendAddress) + uint64(c.sentBytes)
		entry.Len = c.sendBytes - c.sentBytes
		entry.OpcodeFlags = unix.MSG_NOSIGNAL | unix.MSG_WAITALL
	case kindSendParts:
		m := &n.messages[id]
		m.rest(c)
		entry.OpCode = giouring.OpSendmsg
		entry.Addr = uint64(uintptr(unsafe.Pointer(m)))
		entry.Len = 1
		entry.OpcodeFlags = unix.MSG_NOSIGNAL | unix.MSG_WAITALL
	case kindCancel:
		entry.OpCode = giouring.OpAsyncCancel
		entry.OpcodeFlags = giouring.AsyncCancelFd | giouring.AsyncCancelAll
	case kindClose:
		entry.OpCode = giouring.OpClose
	}
}

// void implements port. It is never called, because network operations are not linked.
func (n *Network) void(uint32) { assert.That(false, "only linked operations are taken back") }

// complete implements port.
func (n *Network) complete(kind uint8, slot uint32, result int32, flags uint32) {
	if kind == kindAccept {
		n.onAccept(result)
		return
	}
	id := ports.ConnectionID(slot)
	c := &n.connections[id]
	if kind == kindClose {
		// The descriptor is freed even if close reports an error.
		assert.Equal(c.inFlightCount, 1, "operations of a connection that is closed")
		c.inFlightCount, c.fd = 0, -1
		n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkClosed, Connection: id})
		return
	}
	if n.lives.State(id) != connections.Closing {
		isInterrupted := result == -int32(unix.EINTR) || result == -int32(unix.EAGAIN)
		isSend := kind == kindSend || kind == kindSendParts
		switch {
		case kind == kindConnect && !isInterrupted:
			n.onConnect(id, c, result)
		case kind == kindReceive && !isInterrupted:
			c.isReceiving = false
			c.isDrained = flags&giouring.CQEFSockNonempty == 0
			n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkReceived, Connection: id, Bytes: result})
		case isSend && result >= 0 && c.sentBytes+uint32(result) < c.sendBytes:
			c.sentBytes += uint32(result)
			n.push(kind, id, c) // the rest
		case isSend && !isInterrupted:
			c.isSending = false
			if result >= 0 {
				result = int32(c.sendBytes)
			}
			n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkSent, Connection: id, Bytes: result})
		default:
			n.push(kind, id, c) // once more
		}
	}
	n.landed(id, c)
}

// landed counts the end of an operation. The last one of a closing connection closes its socket.
func (n *Network) landed(id ports.ConnectionID, c *connection) {
	assert.That(c.inFlightCount > 0, "an operation that ends was in flight")
	c.inFlightCount--
	if n.lives.State(id) == connections.Closing && c.inFlightCount == 0 {
		n.closeSocket(id, c)
	}
}

func (n *Network) closeSocket(id ports.ConnectionID, c *connection) {
	if c.fd < 0 { // of a Connect that failed
		n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkClosed, Connection: id})
		return
	}
	n.push(kindClose, id, c)
}

func (n *Network) onConnect(id ports.ConnectionID, c *connection, result int32) {
	if result == 0 {
		n.lives.Opened(id)
	} else {
		n.closeNow(c.fd)
		c.fd = -1
	}
	n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkConnected, Connection: id, Bytes: result})
}

func (n *Network) closeNow(fd int) {
	n.thread.countSyscall()
	_ = unix.Close(fd)
}

// unpolledCount implements port.
func (n *Network) unpolledCount() uint32 { return n.lives.EventsCount() }

// close implements port.
func (n *Network) close() {
	if n.acceptedFd >= 0 {
		_ = unix.Close(n.acceptedFd)
		n.acceptedFd = -1
	}
	for i := range n.connections {
		if c := &n.connections[i]; c.fd >= 0 {
			_ = unix.Close(c.fd)
			c.fd = -1
		}
	}
}
