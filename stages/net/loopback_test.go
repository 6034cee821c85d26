package net

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	stdnet "net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/internal/seeded"
	"ledger/internal/uring"
	"ledger/limits"
	"ledger/ring"
	"ledger/stages"
	"ledger/wire"
)

var backends = []struct {
	name string
	make func(ports.ThreadOptions) (ports.Thread, error)
}{
	{"posix", func(o ports.ThreadOptions) (ports.Thread, error) { return posix.NewThread(o) }},
	{"uring", func(o ports.ThreadOptions) (ports.Thread, error) { return uring.NewThread(o) }},
}

// server is the stage over real sockets, with a consensus that answers every message at once: a
// ping with a pong, a request with a reply of replyBytes.
type server struct {
	t          testing.TB
	address    netip.AddrPort
	stage      *Stage
	replyBytes atomic.Uint32
	dialled    atomic.Uint64
	closed     atomic.Uint64 // connections whose end the server has seen
	lent       atomic.Uint64 // client slots that are not free
	stop       atomic.Bool
	done       chan struct{}
}

func startServer(t testing.TB, backend func(ports.ThreadOptions) (ports.Thread, error), connections, clientSlots uint32) *server {
	kernel, err := backend(ports.ThreadOptions{WakeFd: -1})
	if errors.Is(err, uring.ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	memory := arena.New()
	l := limits.Production()
	l.ConnectionsMax = connections
	slots := &stages.Slots{}
	slots.Pools[stages.SlotClient] = arena.NewPool(memory, clientSlots, wire.MessageBytesMax, "client slots")
	slots.Pools[stages.SlotReply] = arena.NewPool(memory, connections+8, wire.MessageBytesMax, "reply slots")
	s := &server{t: t, address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), done: make(chan struct{})}
	s.stage = New(l, wire.U128From(testCluster), slots, memory, nil)
	toNet, fromNet := ring.NewSPSC[stages.ConsensusToNet](1024), ring.NewSPSC[stages.NetToConsensus](1024)
	driver := NewDriver(s.stage, kernel.Network(fd, connections, 0), nil, toNet, stages.Sender[stages.NetToConsensus]{Ring: fromNet}, nil)
	s.replyBytes.Store(wire.HeaderBytes)
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		if err := kernel.Start(); err != nil {
			t.Error(err)
			return
		}
		for !s.stop.Load() {
			busy := driver.Turn(0, 0)
			busy = s.answer(slots, fromNet, toNet) || busy
			s.closed.Store(s.stage.Counters.AcceptedCount - s.stage.Counters.ConnectionsCount)
			s.lent.Store(uint64(clientSlots) - uint64(slots.Pools[stages.SlotClient].FreeCount()))
			if kernel.Turn() == 0 && !busy {
				kernel.Wait(1_000_000)
			}
		}
		kernel.Close()
	}()
	t.Cleanup(func() {
		s.stop.Store(true)
		<-s.done
		_ = unix.Close(fd)
		memory.Close()
	})
	return s
}

func (s *server) answer(slots *stages.Slots, from *ring.SPSC[stages.NetToConsensus], to *ring.SPSC[stages.ConsensusToNet]) (busy bool) {
	for {
		e, ok := from.PopOne()
		if !ok {
			return busy
		}
		busy = true
		if e.Kind == stages.NetSent {
			slots.Put(e.Slot)
			continue
		}
		h := wire.HeaderOf(slots.Bytes(e.Slot))
		fields := wire.ServerFields{Cluster: wire.U128From(testCluster), Release: wire.ReleaseOf(0, 17, 9)}
		if h.Command() == wire.CommandPingClient {
			wire.BuildPong(h, &fields, h.PingTimestampNs())
			to.PushOne(stages.ConsensusToNet{Kind: stages.NetSendFree, Slot: e.Slot, Bytes: wire.HeaderBytes, Connection: e.Connection})
			continue
		}
		reply := slots.Get(stages.SlotReply)
		size := s.replyBytes.Load()
		r := wire.HeaderOf(slots.Bytes(reply))
		f := wire.ReplyFields{Op: uint64(h.RequestNumber()), Timestamp: 1}
		f.SetRequest(h)
		wire.BuildReply(r, &f, slots.Bytes(reply)[wire.HeaderBytes:size])
		to.PushOne(stages.ConsensusToNet{Kind: stages.NetSend, Slot: reply, Bytes: size, Client: h.RequestClient()})
		to.PushOne(stages.ConsensusToNet{Kind: stages.NetFree, Slot: e.Slot})
	}
}

func (s *server) dial() stdnet.Conn {
	c, err := stdnet.DialTimeout("tcp", s.address.String(), 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	s.dialled.Add(1)
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// readMessage reads and checks one message of the server.
func readMessage(c io.Reader, buffer []byte) (*wire.Header, error) {
	parser := wire.NewParser(wire.U128From(testCluster), wire.SideClient)
	if _, err := io.ReadFull(c, buffer[:wire.HeaderBytes]); err != nil {
		return nil, err
	}
	h := wire.HeaderOf(buffer)
	if verdict, fault := parser.ParseHeader(h); verdict != wire.VerdictOK {
		return nil, fault
	}
	body := buffer[wire.HeaderBytes:h.SizeBytes()]
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	if verdict, fault := parser.VerifyBody(h, body); verdict != wire.VerdictOK {
		return nil, fault
	}
	if verdict, fault := parser.CheckMessage(h); verdict != wire.VerdictOK {
		return nil, fault
	}
	return h, nil
}

// Goal: over real sockets many clients send requests and pings of all sizes in odd pieces,
// reconnect now and then, and each gets the answer to what it sent; all slots are free afterwards.
func TestLoopback(t *testing.T) {
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			const clients, rounds = 6, 40
			// Beside each client's connection there are some whose end the server has not seen yet.
			s := startServer(t, backend.make, 4*clients, 4*clients+1)
			s.replyBytes.Store(5000)
			var group sync.WaitGroup
			random := seeded.Rand(t)
			for i := range clients {
				seed := random.Uint64()
				group.Go(func() {
					if err := s.runClient(uint64(i+1), rounds, rand.New(rand.NewPCG(seed, 0))); err != nil {
						t.Errorf("client %d: %v", i+1, err)
					}
				})
			}
			group.Wait()
			for deadline := time.Now().Add(30 * time.Second); s.closed.Load() != s.dialled.Load() || s.lent.Load() > 0; runtime.Gosched() {
				if time.Now().After(deadline) {
					t.Fatalf("the ends of %d of %d connections were seen, %d slots are not free", s.closed.Load(), s.dialled.Load(), s.lent.Load())
				}
			}
			s.stop.Store(true)
			<-s.done
			pool := s.stage.slots.Pools[stages.SlotClient]
			if pool.FreeCount() != pool.SlotsCount() {
				t.Errorf("%d of %d slots are free; %+v", pool.FreeCount(), pool.SlotsCount(), s.stage.Counters)
			}
			if c := &s.stage.Counters; c.MessagesCount != clients*rounds*2 || c.ClosedCount[CausePeer] != c.AcceptedCount {
				t.Errorf("counters %+v", *c)
			}
		})
	}
}

func (s *server) runClient(client uint64, rounds int, random *rand.Rand) error {
	c := s.dial()
	defer func() { _ = c.Close() }()
	buffer := make([]byte, wire.MessageBytesMax)
	for number := range rounds {
		if random.IntN(8) == 0 {
			_ = c.Close()
			c = s.dial()
		}
		bodyBytes := []int{0, 128, 5000, 100_000, wire.BodyBytesMax}[random.IntN(5)]
		request := requestFrame(client, uint32(number+1), bodyBytes)
		stream := append(pingFrame(client), request...)
		for len(stream) > 0 {
			count := min(len(stream), 1+random.IntN(1<<(1+random.IntN(20))))
			if _, err := c.Write(stream[:count]); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			stream = stream[count:]
		}
		for range 2 {
			h, err := readMessage(c, buffer)
			if err != nil {
				return fmt.Errorf("answer to request %d of %d bytes: %w", number+1, len(request), err)
			}
			if h.Command() == wire.CommandReply && h.ReplyRequestChecksum() != wire.HeaderOf(request).Checksum() {
				return fmt.Errorf("request %d got the reply to another one", number+1)
			}
		}
	}
	return nil
}

// Goal: over real sockets as well, nonsense closes a connection and harms nobody else.
func TestLoopbackNonsense(t *testing.T) {
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			s := startServer(t, backend.make, 4, 6)
			good := s.dial()
			defer func() { _ = good.Close() }()
			random := seeded.Rand(t)
			buffer := make([]byte, wire.MessageBytesMax)
			for range 20 {
				bad := s.dial()
				noise := make([]byte, wire.HeaderBytes+random.IntN(100_000))
				for i := range noise {
					noise[i] = byte(random.Uint32())
				}
				_, _ = bad.Write(noise)
				if _, err := io.Copy(io.Discard, bad); err != nil && errors.Is(err, stdnet.ErrClosed) {
					t.Fatal(err)
				}
				_ = bad.Close()
				if _, err := good.Write(pingFrame(1)); err != nil {
					t.Fatal(err)
				}
				if h, err := readMessage(good, buffer); err != nil || h.Command() != wire.CommandPongClient || h.PongTimestampNs() != 99 {
					t.Fatalf("pong: %v", err)
				}
			}
		})
	}
}

// BenchmarkLoopback is one client's request and its reply over a socket, with the client's own
// costs.
func BenchmarkLoopback(b *testing.B) {
	for _, backend := range backends {
		for _, bodyBytes := range []int{128, wire.BodyBytesMax} {
			b.Run(fmt.Sprintf("%s/%d", backend.name, bodyBytes), func(b *testing.B) {
				s := startServer(b, backend.make, 4, 8)
				c := s.dial()
				defer func() { _ = c.Close() }()
				frame, buffer := requestFrame(1, 1, bodyBytes), make([]byte, wire.MessageBytesMax)
				b.SetBytes(int64(len(frame)))
				for b.Loop() {
					if _, err := c.Write(frame); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(c, buffer[:wire.HeaderBytes]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
