package portstest

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/posix"
)

// Pair is two networks that can reach each other. Each listens, and each can connect.
type Pair struct {
	Networks  [2]ports.Network
	Addresses [2][18]byte
	Refusing  [18]byte // an address at which nobody listens
	Silent    [18]byte // an address from which no answer comes
	// Turn lets both networks do what they can, and lets some time pass if that is nothing.
	Turn func()
	// Bytes returns memory that the kernel may use, filled with a pattern of seed.
	Bytes func(size int, seed byte) []byte
}

// PairOptions are the sizes of both networks.
type PairOptions struct{ ConnectionsMax, ConnectsReserved uint32 }

// PairMaker makes a pair for one test.
type PairMaker func(t *testing.T, o PairOptions) *Pair

// RunPairs runs the tests of ports.Network that need no kernel: what connects to what, and what
// arrives.
func RunPairs(t *testing.T, make PairMaker) {
	tests := []struct {
		name    string
		options PairOptions
		run     func(*pairTest)
	}{
		{"PartsArrive", PairOptions{2, 0}, testPartsArrive},
		{"PartsBothWays", PairOptions{2, 0}, testPartsBothWays},
		{"PartsCancelled", PairOptions{2, 0}, testPartsCancelled},
		{"PartsToNobody", PairOptions{2, 0}, testPartsToNobody},
		{"Connect", PairOptions{2, 0}, testPairConnect},
		{"ConnectRefused", PairOptions{1, 0}, testPairConnectRefused},
		{"ConnectClosedUnderWay", PairOptions{1, 0}, testPairConnectClosed},
		{"ConnectLimit", PairOptions{3, 0}, testPairConnectLimit},
		{"ConnectsReserved", PairOptions{4, 2}, testPairConnectsReserved},
		{"ConnectTakesTheLast", PairOptions{2, 0}, testPairConnectTakesTheLast},
		{"ConnectAtOnce", PairOptions{2, 1}, testPairConnectAtOnce},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.run(&pairTest{Pair: make(t, test.options), t: t})
		})
	}
}

// ThreadPair makes pairs of networks of one thread.
func ThreadPair(backend Backend) PairMaker {
	return func(t *testing.T, o PairOptions) *Pair {
		h := newHarness(t, backend)
		p := &Pair{Bytes: h.bytes}
		for side := range p.Networks {
			fd, address := h.listener()
			p.Networks[side] = h.thread.Network(fd, o.ConnectionsMax, o.ConnectsReserved)
			p.Addresses[side] = posix.PeerFromAddrPort(address)
		}
		fd, refusing := h.listener()
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // it keeps the port and does not listen any more
		p.Refusing = posix.PeerFromAddrPort(refusing)
		p.Silent = posix.PeerFromAddrPort(h.silent())
		h.start()
		p.Turn = func() {
			if h.thread.Turn() == 0 {
				h.thread.Wait(1_000_000)
			}
		}
		return p
	}
}

// pairTest is a test with a pair.
type pairTest struct {
	*Pair
	t      *testing.T
	events [16]ports.NetworkEvent
}

// until takes turns until done.
func (p *pairTest) until(what string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(deadline); !done(); p.Turn() {
		if time.Now().After(end) {
			p.t.Fatalf("%s: not within %v", what, deadline)
		}
	}
}

// event waits for the next event of a side and checks its kind.
func (p *pairTest) event(side int, kind ports.NetworkEventKind) (event ports.NetworkEvent) {
	p.t.Helper()
	p.until("network event", func() bool { return p.Networks[side].Poll(p.events[:1]) > 0 })
	if event = p.events[0]; event.Kind != kind {
		p.t.Fatalf("side %d: event %+v, want kind %d", side, event, kind)
	}
	return event
}

// quiet takes some turns and expects no event of a side.
func (p *pairTest) quiet(side int) {
	p.t.Helper()
	for range 20 {
		p.Turn()
		if p.Networks[side].Poll(p.events[:1]) > 0 {
			p.t.Fatalf("side %d: unexpected event %+v", side, p.events[0])
		}
	}
}

// close closes a connection and waits for its end.
func (p *pairTest) close(side int, id ports.ConnectionID) {
	p.t.Helper()
	p.Networks[side].Close(id)
	if closed := p.event(side, ports.NetworkClosed); closed.Connection != id {
		p.t.Fatalf("side %d: closed %d, want %d", side, closed.Connection, id)
	}
}

// dial begins a Connect of a side, which must have room.
func (p *pairTest) dial(side int, address [18]byte) ports.ConnectionID {
	p.t.Helper()
	id, ok := p.Networks[side].Connect(address)
	if !ok {
		p.t.Fatalf("side %d: there is no place for a connection", side)
	}
	return id
}

// connect joins side from to the other one.
func (p *pairTest) connect(from int) (ids [2]ports.ConnectionID) {
	p.t.Helper()
	ids[from] = p.dial(from, p.Addresses[1-from])
	if connected := p.event(from, ports.NetworkConnected); connected.Bytes != 0 || connected.Connection != ids[from] {
		p.t.Fatalf("connected %+v, want %d", connected, ids[from])
	}
	ids[1-from] = p.event(1-from, ports.NetworkAccepted).Connection
	return ids
}

// collect receives until want has come, in receives of any length.
func (p *pairTest) collect(side int, id ports.ConnectionID, want, buffer []byte, random *rand.Rand) {
	p.t.Helper()
	for at := 0; at < len(want); {
		p.Networks[side].Receive(id, buffer[:1+random.IntN(min(len(buffer), len(want)-at))])
		received := p.event(side, ports.NetworkReceived)
		if received.Bytes <= 0 || !bytes.Equal(buffer[:received.Bytes], want[at:at+int(received.Bytes)]) {
			p.t.Fatalf("side %d: received %d bytes at %d of %d, or other bytes", side, received.Bytes, at, len(want))
		}
		at += int(received.Bytes)
	}
}
