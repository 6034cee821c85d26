package portstest

import (
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/posix"
)

// silent returns an address whose packets nobody answers: the backlog of its listener is full.
func (h *harness) silent() netip.AddrPort {
	h.t.Helper()
	fd, address := h.listener()
	if err := unix.Listen(fd, 0); err != nil {
		h.t.Fatal(err)
	}
	// With a backlog of 0, one connection is established and waits. The handshake of the next one
	// is not finished.
	for range 2 {
		waiting, errno := posix.NewPeerSocket(posix.PeerFromAddrPort(address), true)
		if errno != 0 {
			h.t.Fatal(errno)
		}
		h.t.Cleanup(func() { _ = unix.Close(waiting) })
		err := unix.Connect(waiting, &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()})
		if err != nil && err != unix.EINPROGRESS {
			h.t.Fatal(err)
		}
	}
	return address
}

// Goal: Connect reaches a network that listens, in either direction, and both ends exchange bytes.
// An id can be used again when its connection has ended.
func testPairConnect(p *pairTest) {
	message, buffer := p.Bytes(5000, 1), p.Bytes(5000, 0)
	random := rand.New(rand.NewPCG(3, 0))
	for round := range 6 {
		from := round % 2
		ids := p.connect(from)
		for _, side := range []int{from, 1 - from, from} {
			p.Networks[side].Send(ids[side], message)
			p.collect(1-side, ids[1-side], message, buffer, random)
			p.event(side, ports.NetworkSent)
		}
		p.close(from, ids[from])
		p.Networks[1-from].Receive(ids[1-from], buffer)
		if received := p.event(1-from, ports.NetworkReceived); received.Bytes != 0 {
			p.t.Fatalf("received %d at the end of the stream", received.Bytes)
		}
		p.close(1-from, ids[1-from])
	}
}

// Goal: a refused Connect is one event, after which its place is free. One that is closed before
// its event was polled ends with NetworkClosed alone.
func testPairConnectRefused(p *pairTest) {
	for range 3 {
		id := p.dial(0, p.Refusing)
		if connected := p.event(0, ports.NetworkConnected); connected.Bytes != -int32(unix.ECONNREFUSED) || connected.Connection != id {
			p.t.Fatalf("connected %+v, want ECONNREFUSED of %d", connected, id)
		}
	}
	for _, turns := range []int{0, 1, 20} {
		id := p.dial(0, p.Refusing)
		for range turns {
			p.Turn()
		}
		p.close(0, id)
		p.quiet(0)
	}
	p.connect(0)
}

// Goal: while no answer comes, a Connect has no event and takes a place. It ends when it is closed,
// and then the place is free. How long that may take is the caller's decision.
func testPairConnectClosed(p *pairTest) {
	for range 3 {
		id := p.dial(0, p.Silent)
		p.quiet(0)
		if _, ok := p.Networks[0].Connect(p.Addresses[1]); ok {
			p.t.Fatal("a Connect under way has no place")
		}
		p.close(0, id)
		p.quiet(0)
	}
	p.connect(0)
}

// Goal: Connect and accepted connections share the limit. A Connect beyond it is refused at once,
// and is possible when a place is free.
func testPairConnectLimit(p *pairTest) {
	first := p.connect(0)
	p.connect(1)
	p.connect(0)
	if _, ok := p.Networks[0].Connect(p.Addresses[1]); ok {
		p.t.Error("Connect went beyond the limit")
	}
	p.close(0, first[0])
	p.close(1, first[1])
	p.connect(1)
	if _, ok := p.Networks[1].Connect(p.Addresses[0]); ok {
		p.t.Error("Connect went beyond the limit after a place was used again")
	}
}

// Goal: accepted connections leave the reserved places to Connect, and further ones wait. The place
// of an accepted connection goes to the next one that waits.
func testPairConnectsReserved(p *pairTest) {
	accepted := []ports.ConnectionID{p.connect(1)[0], p.connect(1)[0]}
	for range 2 { // they are beyond 4 - 2
		p.dial(1, p.Addresses[0])
		p.event(1, ports.NetworkConnected)
	}
	p.quiet(0)
	for range 2 { // the reserved places; the other side has none left, but that is its own affair
		p.dial(0, p.Silent)
	}
	p.quiet(0)
	if _, ok := p.Networks[0].Connect(p.Silent); ok {
		p.t.Fatal("Connect went beyond the limit")
	}
	for _, id := range accepted {
		p.close(0, id)
		p.event(0, ports.NetworkAccepted)
	}
	p.quiet(0)
}

// Goal: a peer that connects while Connect takes the last place waits until a place is free. It is
// not dropped.
func testPairConnectTakesTheLast(p *pairTest) {
	p.quiet(0) // accept is armed
	ids := []ports.ConnectionID{p.dial(0, p.Silent), p.dial(0, p.Silent)}
	stranger := p.dial(1, p.Addresses[0])
	p.event(1, ports.NetworkConnected)
	p.Networks[1].Receive(stranger, p.Bytes(4096, 0))
	p.quiet(0)
	p.quiet(1) // neither the end of the stream nor an error
	p.close(0, ids[0])
	id := p.event(0, ports.NetworkAccepted).Connection
	p.Networks[0].Send(id, p.Bytes(100, 1))
	p.event(0, ports.NetworkSent)
	if received := p.event(1, ports.NetworkReceived); received.Bytes <= 0 {
		p.t.Errorf("received %d, want some of 100 bytes", received.Bytes)
	}
	p.quiet(0)
}

// Goal: two networks that connect to each other at the same moment have two connections, and each
// has two ends.
func testPairConnectAtOnce(p *pairTest) {
	dialled := [2]ports.ConnectionID{p.dial(0, p.Addresses[1]), p.dial(1, p.Addresses[0])}
	var accepted [2]ports.ConnectionID
	for side := range dialled {
		for range 2 { // in any order
			p.until("both ends", func() bool { return p.Networks[side].Poll(p.events[:1]) > 0 })
			switch event := p.events[0]; {
			case event.Kind == ports.NetworkConnected && event.Bytes == 0 && event.Connection == dialled[side]:
			case event.Kind == ports.NetworkAccepted && event.Connection != dialled[side]:
				accepted[side] = event.Connection
			default:
				p.t.Fatalf("side %d: event %+v", side, event)
			}
		}
	}
	random := rand.New(rand.NewPCG(4, 0))
	buffer := p.Bytes(5000, 0)
	for side := range dialled {
		message := p.Bytes(5000, byte(side))
		p.Networks[side].Send(dialled[side], message)
		p.collect(1-side, accepted[1-side], message, buffer, random)
		p.event(side, ports.NetworkSent)
	}
}
