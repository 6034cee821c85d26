package uring

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/internal/ports/connections"
)

// message is what a sendmsg names: the kernel's msghdr, and the list of parts to which it points.
type message struct {
	name         uint64
	nameBytes    uint64
	partsAddress uint64
	partsCount   uint64
	control      uint64
	controlBytes uint64
	flags        uint64
	parts        [2]part
}

// part is the kernel's iovec.
type part struct{ address, bytes uint64 }

// These fail to compile if the layouts differ from the kernel's.
var (
	_ [unsafe.Sizeof(unix.Msghdr{})]byte          = [unsafe.Offsetof(message{}.parts)]byte{}
	_ [unsafe.Offsetof(unix.Msghdr{}.Iov)]byte    = [unsafe.Offsetof(message{}.partsAddress)]byte{}
	_ [unsafe.Offsetof(unix.Msghdr{}.Iovlen)]byte = [unsafe.Offsetof(message{}.partsCount)]byte{}
	_ [unsafe.Sizeof(unix.Iovec{})]byte           = [unsafe.Sizeof(part{})]byte{}
)

// Send implements ports.Network.
func (n *Network) Send(id ports.ConnectionID, buffer []byte) {
	c := &n.connections[id]
	assert.That(n.lives.State(id) == connections.Open, "a connection that sends is open")
	assert.That(!c.isSending, "one send per connection")
	assert.That(len(buffer) > 0 && len(buffer) <= transferBytesMax, "a send has a length")
	c.isSending, c.sendAddress, c.sendBytes, c.sentBytes = true, address(buffer), uint32(len(buffer)), 0
	n.push(kindSend, id, c)
}

// SendParts implements ports.Network.
func (n *Network) SendParts(id ports.ConnectionID, header, body []byte) {
	if len(body) == 0 {
		n.Send(id, header)
		return
	}
	c := &n.connections[id]
	assert.That(n.lives.State(id) == connections.Open, "a connection that sends is open")
	assert.That(!c.isSending, "one send per connection")
	assert.That(len(header) > 0, "a send has a header")
	assert.That(len(header)+len(body) <= transferBytesMax, "a send of two parts has a length")
	c.isSending, c.sendAddress, c.sendBytes, c.sentBytes = true, address(header), uint32(len(header)+len(body)), 0
	c.headerBytes, c.bodyAddress = uint32(len(header)), address(body)
	n.push(kindSendParts, id, c)
}

// rest makes m name the bytes that are not sent yet. The kernel reads it until the send completes.
func (m *message) rest(c *connection) {
	header, body := c.headerBytes-min(c.sentBytes, c.headerBytes), c.sendBytes-max(c.sentBytes, c.headerBytes)
	*m = message{partsAddress: uint64(uintptr(unsafe.Pointer(&m.parts)))}
	if header > 0 {
		m.parts[0] = part{uint64(c.sendAddress) + uint64(c.headerBytes-header), uint64(header)}
		m.partsCount = 1
	}
	bodyAt := c.sendBytes - c.headerBytes - body
	m.parts[m.partsCount] = part{uint64(c.bodyAddress) + uint64(bodyAt), uint64(body)}
	m.partsCount++
}
