package portstest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/posix"
)

const churnSeeds = 4

// dial connects a plain Go socket.
func dial(t testing.TB, address netip.AddrPort) *net.TCPConn {
	t.Helper()
	peer, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	_ = peer.SetDeadline(time.Now().Add(deadline))
	t.Cleanup(func() { _ = peer.Close() })
	return peer
}

// pair returns a started network with one accepted connection and its peer.
func pair(t *testing.T, backend Backend) (h *harness, network ports.Network, id ports.ConnectionID, peer *net.TCPConn) {
	t.Helper()
	h = newHarness(t, backend)
	fd, address := h.listener()
	network = h.thread.Network(fd, 4, 0)
	h.start()
	peer = dial(t, address)
	return h, network, h.event(network, ports.NetworkAccepted).Connection, peer
}

// Goal: an accepted connection names its peer, and bytes go both ways.
func testNetworkEcho(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, address := h.listener()
	network := h.thread.Network(fd, 4, 0)
	h.start()
	peer := dial(t, address)
	accepted := h.event(network, ports.NetworkAccepted)
	local := peer.LocalAddr().(*net.TCPAddr).AddrPort()
	if got := posix.AddrPortFromPeer(accepted.Peer); got != netip.AddrPortFrom(local.Addr().Unmap(), local.Port()) {
		t.Errorf("peer %v, want %v", got, local)
	}
	buffer := h.bytes(sectorBytes, 0)
	for round := range 50 {
		message := bytes.Repeat([]byte{byte(round)}, 1+round*17)
		network.Receive(accepted.Connection, buffer)
		if _, err := peer.Write(message); err != nil {
			t.Fatal(err)
		}
		received := h.event(network, ports.NetworkReceived)
		if int(received.Bytes) != len(message) || !bytes.Equal(buffer[:received.Bytes], message) {
			t.Fatalf("round %d: received %d bytes, want %d", round, received.Bytes, len(message))
		}
		network.Send(accepted.Connection, buffer[:received.Bytes])
		if sent := h.event(network, ports.NetworkSent); sent.Bytes != received.Bytes {
			t.Fatalf("sent %d, want %d", sent.Bytes, received.Bytes)
		}
		answer := make([]byte, len(message))
		if _, err := io.ReadFull(peer, answer); err != nil || !bytes.Equal(answer, message) {
			t.Fatalf("round %d: the peer got something else (%v)", round, err)
		}
	}
}

// Goal: whatever pieces a stream arrives in, and whatever the size of the receives, the bytes come
// in order.
func testNetworkSplitFrames(t *testing.T, backend Backend) {
	h, network, id, peer := pair(t, backend)
	stream := h.bytes(200_000, 3)
	go func() {
		for rest, size := stream, 1; len(rest) > 0; size = size*5%9973 + 1 {
			size = min(size, len(rest))
			if _, err := peer.Write(rest[:size]); err != nil {
				return
			}
			rest = rest[size:]
			if size%7 == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	buffer := h.bytes(1000, 0)
	var got []byte
	for len(got) < len(stream) {
		network.Receive(id, buffer[:1+len(got)%len(buffer)])
		received := h.event(network, ports.NetworkReceived)
		if received.Bytes <= 0 {
			t.Fatalf("received %d after %d bytes", received.Bytes, len(got))
		}
		got = append(got, buffer[:received.Bytes]...)
	}
	if !bytes.Equal(got, stream) {
		t.Error("the stream arrived changed")
	}
}

// Goal: a receive of bytes that are known to come delivers them in order and none behind them, in
// one piece or several; the end of the stream in their middle is told after what had come.
func testNetworkReceiveAll(t *testing.T, backend Backend) {
	h, network, id, peer := pair(t, backend)
	stream := h.bytes(300_000, 3)
	go func() {
		for rest := stream; len(rest) > 0; rest = rest[min(50_000, len(rest)):] {
			if _, err := peer.Write(rest[:min(50_000, len(rest))]); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
		_ = peer.CloseWrite()
	}()
	buffer := h.bytes(len(stream)+1000, 0)
	receive := func(end, at int) int {
		for at < end {
			network.ReceiveAll(id, buffer[at:end])
			received := h.event(network, ports.NetworkReceived)
			if received.Bytes == 0 {
				return at
			}
			if received.Bytes < 0 || at+int(received.Bytes) > end {
				t.Fatalf("received %d at %d of %d", received.Bytes, at, end)
			}
			at += int(received.Bytes)
		}
		return at
	}
	for at, size := 0, 1; at < len(stream)-40_000; size = size*7 + 11 {
		at = receive(min(at+size, len(stream)-40_000), at)
	}
	if at := receive(len(buffer), len(stream)-40_000); at != len(stream) {
		t.Errorf("the stream ended after %d bytes, want %d", at, len(stream))
	}
	if !bytes.Equal(buffer[:len(stream)], stream) {
		t.Error("the stream arrived changed")
	}
}

// Goal: the end of the peer's stream is a receive of 0 bytes, after what it had sent; then the id
// can be used again.
func testNetworkPeerCloses(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, address := h.listener()
	network := h.thread.Network(fd, 1, 0)
	h.start()
	buffer := h.bytes(sectorBytes, 0)
	for round := range 5 {
		peer := dial(t, address)
		id := h.event(network, ports.NetworkAccepted).Connection
		if round%2 == 0 {
			network.Receive(id, buffer) // before the bytes come
		}
		_, _ = peer.Write([]byte("farewell"))
		if round%2 == 1 {
			_ = peer.Close()
			h.quiet(network) // after the end has come
			network.Receive(id, buffer)
		}
		if received := h.event(network, ports.NetworkReceived); received.Bytes != 8 || string(buffer[:8]) != "farewell" {
			t.Fatalf("round %d: received %d bytes", round, received.Bytes)
		}
		_ = peer.Close()
		network.Receive(id, buffer)
		if received := h.event(network, ports.NetworkReceived); received.Bytes != 0 {
			t.Fatalf("round %d: received %d bytes after the end", round, received.Bytes)
		}
		network.Close(id)
		h.event(network, ports.NetworkClosed)
	}
}

// Goal: a reset is an error of the operations under way, not of the process.
func testNetworkPeerResets(t *testing.T, backend Backend) {
	h, network, id, peer := pair(t, backend)
	network.Receive(id, h.bytes(sectorBytes, 0))
	h.quiet(network)
	_ = peer.SetLinger(0)
	_ = peer.Close()
	if received := h.event(network, ports.NetworkReceived); received.Bytes != -int32(unix.ECONNRESET) {
		t.Errorf("received %d, want ECONNRESET", received.Bytes)
	}
	network.Send(id, h.bytes(sectorBytes, 0))
	if sent := h.event(network, ports.NetworkSent); sent.Bytes >= 0 {
		t.Errorf("sent %d bytes to nobody", sent.Bytes)
	}
	network.Close(id)
	h.event(network, ports.NetworkClosed)
}

// Goal: Close with a receive and a send under way gives NetworkClosed and nothing else, and the
// peer sees the end.
func testNetworkCloseWhileBusy(t *testing.T, backend Backend) {
	for _, turnFirst := range []bool{true, false} {
		h, network, id, peer := pair(t, backend)
		network.Receive(id, h.bytes(sectorBytes, 0))
		network.Send(id, h.bytes(64<<20, 0)) // more than any socket takes from a sender whose peer does not read
		if turnFirst {
			h.quiet(network)
		}
		network.Close(id)
		if closed := h.event(network, ports.NetworkClosed); closed.Connection != id {
			t.Errorf("closed %d, want %d", closed.Connection, id)
		}
		h.quiet(network)
		if _, err := io.Copy(io.Discard, peer); err != nil && !bytes.Contains([]byte(err.Error()), []byte("reset")) {
			t.Errorf("the peer saw %v, want the end of the stream", err)
		}
	}
}

// Goal: events of a connection that were not polled before its Close never appear.
func testNetworkCloseDropsEvents(t *testing.T, backend Backend) {
	h, network, id, peer := pair(t, backend)
	network.Receive(id, h.bytes(sectorBytes, 0))
	network.Send(id, []byte(h.bytes(100, 0)))
	_, _ = peer.Write([]byte("hello"))
	// Both operations are over when the thread has told of two completions.
	completionsCount := 0
	for end := time.Now().Add(deadline); completionsCount < 2; completionsCount += h.thread.Turn() {
		if time.Now().After(end) {
			t.Fatalf("%d completions within %v, want a receive's and a send's", completionsCount, deadline)
		}
		h.thread.Wait(1_000_000)
	}
	network.Close(id)
	h.event(network, ports.NetworkClosed)
	h.quiet(network)
}

// Goal: connections beyond the limit wait in the backlog, and are accepted in their order when a
// place gets free.
func testNetworkLimit(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, address := h.listener()
	network := h.thread.Network(fd, 2, 0)
	h.start()
	first, second := dial(t, address), dial(t, address)
	ids := []ports.ConnectionID{h.event(network, ports.NetworkAccepted).Connection, h.event(network, ports.NetworkAccepted).Connection}
	if ids[0] == ids[1] || ids[0] > 1 || ids[1] > 1 {
		t.Fatalf("ids %v", ids)
	}
	third := dial(t, address)
	h.quiet(network)
	if _, ok := network.Connect(posix.PeerFromAddrPort(address)); ok {
		t.Error("Connect went beyond the limit")
	}
	network.Close(ids[0])
	h.event(network, ports.NetworkClosed)
	accepted := h.event(network, ports.NetworkAccepted)
	if accepted.Connection != ids[0] {
		t.Errorf("the new connection is %d, want the free %d", accepted.Connection, ids[0])
	}
	if got, want := posix.AddrPortFromPeer(accepted.Peer).Port(), third.LocalAddr().(*net.TCPAddr).AddrPort().Port(); got != want {
		t.Errorf("accepted port %d, want that of the one who waited, %d", got, want)
	}
	h.quiet(network)
	_, _ = first, second
}

// Goal: many connections at once, each with its own traffic, none mixed up or forgotten.
func testNetworkMany(t *testing.T, backend Backend) {
	const peersCount, roundsCount, messageBytes = 64, 20, 700
	h := newHarness(t, backend)
	fd, address := h.listener()
	network := h.thread.Network(fd, peersCount, 0)
	h.start()
	var done sync.WaitGroup
	for p := range peersCount {
		done.Add(1)
		go func() {
			defer done.Done()
			peer, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(address))
			if err != nil {
				t.Error(err)
				return
			}
			defer peer.Close()
			_ = peer.SetDeadline(time.Now().Add(deadline))
			message, answer := bytes.Repeat([]byte{byte(p)}, messageBytes), make([]byte, messageBytes)
			for range roundsCount {
				if _, err = peer.Write(message); err == nil {
					_, err = io.ReadFull(peer, answer)
				}
				if err != nil || !bytes.Equal(message, answer) {
					t.Errorf("peer %d: %v", p, err)
					return
				}
			}
		}()
	}
	buffers := h.bytes(peersCount*1024, 0)
	buffer := func(id ports.ConnectionID) []byte { return buffers[int(id)*1024:][:1024] }
	closed := 0
	h.until("all peers are served", func() bool {
		for _, event := range h.networkOut[:network.Poll(h.networkOut[:])] {
			switch event.Kind {
			case ports.NetworkAccepted:
				network.Receive(event.Connection, buffer(event.Connection))
			case ports.NetworkReceived:
				if event.Bytes <= 0 {
					network.Close(event.Connection)
				} else {
					network.Send(event.Connection, buffer(event.Connection)[:event.Bytes])
				}
			case ports.NetworkSent:
				network.Receive(event.Connection, buffer(event.Connection))
			case ports.NetworkClosed:
				closed++
			}
		}
		return closed == peersCount
	})
	done.Wait()
}

// Goal: a send larger than any socket buffer is one completion, when all of it has been handed
// over.
func testNetworkLargeSend(t *testing.T, backend Backend) {
	h, network, id, peer := pair(t, backend)
	data := h.bytes(24<<20, 5)
	got, filled := make(chan []byte, 1), make(chan struct{})
	go func() {
		<-filled
		all := make([]byte, len(data))
		_, _ = io.ReadFull(peer, all)
		got <- all
	}()
	network.Send(id, data)
	h.quiet(network) // the buffers of the sockets are full
	close(filled)
	if sent := h.event(network, ports.NetworkSent); int(sent.Bytes) != len(data) {
		t.Errorf("sent %d, want %d", sent.Bytes, len(data))
	}
	if !bytes.Equal(<-got, data) {
		t.Error("the data arrived changed")
	}
}

// Goal: Connect reaches a listener, its event comes first, and bytes go both ways; two networks of
// one thread can talk.
func testNetworkConnect(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, address := h.listener()
	server, client := h.thread.Network(fd, 2, 0), h.thread.Network(-1, 2, 0)
	h.start()
	clientID, ok := client.Connect(posix.PeerFromAddrPort(address))
	if !ok {
		t.Fatal("there is no place for a connection")
	}
	if connected := h.event(client, ports.NetworkConnected); connected.Bytes != 0 || connected.Connection != clientID {
		t.Fatalf("connected %+v", connected)
	}
	serverID := h.event(server, ports.NetworkAccepted).Connection
	message, buffer := h.bytes(sectorBytes, 1), h.bytes(sectorBytes, 0)
	for _, way := range []struct {
		from, to     ports.Network
		fromID, toID ports.ConnectionID
	}{{client, server, clientID, serverID}, {server, client, serverID, clientID}} {
		clear(buffer)
		way.from.Send(way.fromID, message)
		h.event(way.from, ports.NetworkSent)
		way.to.Receive(way.toID, buffer)
		if received := h.event(way.to, ports.NetworkReceived); received.Bytes != sectorBytes || !bytes.Equal(buffer, message) {
			t.Fatalf("received %d bytes", received.Bytes)
		}
	}
}

// Goal: a refused Connect is an event after which the id is free; one closed while it is under way
// ends with NetworkClosed.
func testNetworkConnectRefused(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd) // nobody listens there now
	network := h.thread.Network(-1, 1, 0)
	h.start()
	peer := posix.PeerFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	for range 3 {
		if _, ok := network.Connect(peer); !ok {
			t.Fatal("the place of a refused connection is not free")
		}
		if connected := h.event(network, ports.NetworkConnected); connected.Bytes != -int32(unix.ECONNREFUSED) {
			t.Fatalf("connected %d, want ECONNREFUSED", connected.Bytes)
		}
	}
	id, _ := network.Connect(peer)
	network.Close(id)
	h.event(network, ports.NetworkClosed)
	h.quiet(network)
}

// Goal: out of descriptors, the port says so once for each try and does not spin; when there are
// some again, the waiting peer is accepted, also by a thread to which nothing else happens.
func testNetworkDescriptorsRunOut(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, address := h.listener()
	network := h.thread.Network(fd, 4, 0)
	peer := dial(t, address) // the kernel shakes hands by itself; accept is still to come
	// Turns of a thread without a listener, for comparison: retries are what is above.
	idle := newHarness(t, backend)
	_ = idle.thread.Network(-1, 4, 0)
	idle.start()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	restore := func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }
	defer restore()
	// Before the start, since io_uring remembers the limit of the moment in which accept was armed.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	h.start()
	const turns = 20_000
	base := idle.thread.SyscallCount()
	for range turns {
		idle.thread.Turn()
	}
	base = idle.thread.SyscallCount() - base
	began := time.Now()
	failures := uint64(0)
	for range turns {
		h.thread.Turn()
		for _, event := range h.networkOut[:network.Poll(h.networkOut[:])] {
			if event.Kind != ports.NetworkAcceptFailed || event.Bytes != -int32(unix.EMFILE) {
				t.Fatalf("event %+v without descriptors", event)
			}
			failures++
		}
	}
	retriesMax := uint64(time.Since(began)/posix.AcceptPause) + 2
	if calls := h.thread.SyscallCount(); calls > base+4*retriesMax+16 {
		t.Errorf("%d system calls in %d turns without descriptors, %d without a listener; %d retries are right", calls, turns, base, retriesMax)
	}
	if failures == 0 || failures > retriesMax {
		t.Errorf("%d reports of %d tries at most", failures, retriesMax)
	}
	restore()
	began = time.Now()
	for accepted := false; !accepted; {
		if h.thread.Turn() == 0 {
			h.thread.Wait(uint64(2 * deadline)) // no other event ends it
		}
		for _, event := range h.networkOut[:network.Poll(h.networkOut[:])] {
			// io_uring goes by the limit of the moment in which accept was armed: one try may still fail.
			if accepted = event.Kind == ports.NetworkAccepted; !accepted && event.Kind != ports.NetworkAcceptFailed {
				t.Fatalf("event %+v", event)
			}
		}
	}
	if elapsed := time.Since(began); elapsed > deadline {
		t.Errorf("accepting went on after %v, though it pauses for %v", elapsed, posix.AcceptPause)
	}
	_ = peer.Close()
}

// Goal: connections that come and go at random, closed by either side at any moment with operations
// under way, keep the rules: no event of a connection that is not there, one NetworkClosed for each
// Close, no socket left over.
func testNetworkChurn(t *testing.T, backend Backend) {
	for seed := range uint64(churnSeeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { churn(t, backend, seed) })
	}
}

func churn(t *testing.T, backend Backend, seed uint64) {
	const connectionsMax, closesCount = 6, 200
	random := rand.New(rand.NewPCG(seed, 0))
	h := newHarness(t, backend)
	fd, address := h.listener()
	type side struct {
		network   ports.Network
		isOpen    [connectionsMax]bool
		isClosing [connectionsMax]bool
		isPending [connectionsMax]bool // Connect under way
		receives  [connectionsMax]bool
		sends     [connectionsMax]bool
		isEnded   [connectionsMax]bool // to be closed when all events of a poll have been handled
	}
	sides := [2]*side{{network: h.thread.Network(fd, connectionsMax, 0)}, {network: h.thread.Network(-1, connectionsMax, 0)}}
	h.start()
	before := len(sockets(t))
	buffers := h.bytes(4*connectionsMax*4096, 0)
	buffer := func(s, way int, id ports.ConnectionID) []byte {
		return buffers[((s*2+way)*connectionsMax+int(id))*4096:][:1+random.IntN(4096)]
	}
	closed := 0
	handle := func(index int, event ports.NetworkEvent) {
		s, id := sides[index], event.Connection
		switch event.Kind {
		case ports.NetworkAccepted:
			if index != 0 || s.isOpen[id] || s.isClosing[id] {
				t.Fatalf("accepted %d, which is in use", id)
			}
			s.isOpen[id] = true
		case ports.NetworkConnected:
			if !s.isPending[id] {
				t.Fatalf("connected %d without a Connect", id)
			}
			s.isPending[id], s.isOpen[id] = false, event.Bytes == 0
		case ports.NetworkReceived, ports.NetworkSent:
			way := &s.receives
			if event.Kind == ports.NetworkSent {
				way = &s.sends
			}
			if !s.isOpen[id] || !way[id] {
				t.Fatalf("side %d: event %+v without an operation", index, event)
			}
			way[id] = false
			s.isEnded[id] = s.isEnded[id] || event.Bytes <= 0
		case ports.NetworkClosed:
			if !s.isClosing[id] {
				t.Fatalf("side %d: closed %d without a Close", index, id)
			}
			s.isClosing[id], s.receives[id], s.sends[id] = false, false, false
			closed++
		}
	}
	poll := func() {
		h.thread.Turn()
		for index, s := range sides {
			for _, event := range h.networkOut[:s.network.Poll(h.networkOut[:1+random.IntN(8)])] {
				handle(index, event)
			}
			for id, isEnded := range s.isEnded {
				if isEnded {
					s.isEnded[id], s.isOpen[id], s.isClosing[id] = false, false, true
					s.network.Close(ports.ConnectionID(id))
				}
			}
		}
	}
	h.until("closes", func() bool {
		for range 1 + random.IntN(6) {
			index, id := random.IntN(2), ports.ConnectionID(random.IntN(connectionsMax))
			s := sides[index]
			switch action := random.IntN(8); {
			case action == 0 && index == 1:
				if id, ok := s.network.Connect(posix.PeerFromAddrPort(address)); ok {
					if s.isOpen[id] || s.isClosing[id] || s.isPending[id] {
						t.Fatalf("Connect gave %d, which is in use", id)
					}
					s.isPending[id] = true
				}
			case action == 1 && (s.isOpen[id] || s.isPending[id]):
				s.isOpen[id], s.isPending[id], s.isClosing[id] = false, false, true
				s.network.Close(id)
			case action <= 4 && s.isOpen[id] && !s.receives[id]:
				s.receives[id] = true
				s.network.Receive(id, buffer(index, 0, id))
			case action > 4 && s.isOpen[id] && !s.sends[id]:
				s.sends[id] = true
				s.network.Send(id, buffer(index, 1, id))
			}
		}
		poll()
		return closed >= closesCount
	})
	h.until("the end of all", func() bool {
		busy := false
		for _, s := range sides {
			for id := range connectionsMax {
				if s.isOpen[id] {
					s.isOpen[id], s.isClosing[id] = false, true
					s.network.Close(ports.ConnectionID(id))
				}
				busy = busy || s.isClosing[id] || s.isPending[id]
			}
		}
		poll()
		return !busy
	})
	for range 20 { // connections that were still in the listener's queue, whose other ends are gone
		poll()
		for id, isOpen := range sides[0].isOpen {
			if isOpen {
				sides[0].isOpen[id], sides[0].isClosing[id] = false, true
				sides[0].network.Close(ports.ConnectionID(id))
			}
		}
		h.thread.Wait(1_000_000)
	}
	if after := len(sockets(t)); after != before {
		t.Errorf("%d sockets are open, want %d as before", after, before)
	}
}

// Goal: connections have the socket options of the wire protocol, accepted and connected ones
// alike.
func testNetworkOptions(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, address := h.listener()
	server, client := h.thread.Network(fd, 2, 0), h.thread.Network(-1, 2, 0)
	h.start()
	before := sockets(t)
	client.Connect(posix.PeerFromAddrPort(address))
	h.event(client, ports.NetworkConnected)
	h.event(server, ports.NetworkAccepted)
	checked := 0
	for name, fd := range sockets(t) {
		if _, isOld := before[name]; isOld {
			continue
		}
		checked++
		for _, option := range []struct {
			name                string
			level, number, want int
		}{
			{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 5},
			{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 4},
			{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
			{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 17_000},
		} {
			if got, err := unix.GetsockoptInt(fd, option.level, option.number); err != nil || got != option.want {
				t.Errorf("%s is %d (%v), want %d", option.name, got, err, option.want)
			}
		}
	}
	if checked != 2 {
		t.Errorf("found %d new sockets, want 2", checked)
	}
}

// sockets returns the descriptors of this process that are sockets, by the name that the kernel
// gives each socket.
func sockets(t *testing.T) map[string]int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]int{}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if name, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasPrefix(name, "socket:") {
			open[name] = fd
		}
	}
	return open
}
