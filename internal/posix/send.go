package posix

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/internal/ports/connections"
)

// Send implements ports.Network.
func (n *Network) Send(id ports.ConnectionID, buffer []byte) {
	c := &n.connections[id]
	assert.That(n.lives.State(id) == connections.Open, "a connection that sends is open")
	assert.That(!c.sending, "one send per connection")
	assert.That(len(buffer) > 0 && len(buffer) <= transferBytesMax, "a send has a length")
	c.sending, c.sendBuffer, c.sendBody, c.sentBytes = true, buffer, nil, 0
	if c.writable {
		n.pushWork(id, c)
	}
}

// SendParts implements ports.Network.
func (n *Network) SendParts(id ports.ConnectionID, header, body []byte) {
	assert.That(len(header)+len(body) <= transferBytesMax, "a send of two parts has a length")
	n.Send(id, header)
	if len(body) > 0 {
		n.connections[id].sendBody = body
	}
}

func (n *Network) send(id ports.ConnectionID, c *connection) {
	for c.sending && c.writable {
		count, errno := n.sendRest(c)
		total := len(c.sendBuffer) + len(c.sendBody)
		result := int32(total)
		switch errno {
		case 0:
			c.sentBytes += count
			if c.sentBytes < total {
				continue
			}
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			c.writable = false
			continue
		default:
			result = -int32(errno)
		}
		c.sending, c.sendBuffer, c.sendBody = false, nil, nil
		n.lives.Push(ports.NetworkEvent{Kind: ports.NetworkSent, Connection: id, Bytes: result})
	}
}

// sendRest gives the kernel what is not sent yet. While a part of the header is left, the body
// follows it in the same call.
func (n *Network) sendRest(c *connection) (count int, errno unix.Errno) {
	n.thread.countSyscall()
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	var sent uintptr
	if c.sentBytes < len(c.sendBuffer) && len(c.sendBody) > 0 {
		header := c.sendBuffer[c.sentBytes:]
		n.parts = [2]unix.Iovec{{Base: &header[0], Len: uint64(len(header))}, {Base: &c.sendBody[0], Len: uint64(len(c.sendBody))}}
		n.message = unix.Msghdr{Iov: &n.parts[0], Iovlen: uint64(len(n.parts))}
		sent, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(c.fd), uintptr(unsafe.Pointer(&n.message)), flags)
		n.parts = [2]unix.Iovec{}
		return int(sent), errno
	}
	rest := c.sendBuffer[min(c.sentBytes, len(c.sendBuffer)):]
	if len(rest) == 0 {
		rest = c.sendBody[c.sentBytes-len(c.sendBuffer):]
	}
	sent, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(c.fd), uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)), flags, 0, 0)
	return int(sent), errno
}
