package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/internal/uring"
	"ledger/wire"
)

// BenchmarkSendParts is the cost of a message whose header and body lie in different places, over
// loopback, with both ends on one thread, in processor time: in parts (SendParts), copied into one
// buffer (Send), and as two sends. The limit is a message that lies in one buffer already.
func BenchmarkSendParts(b *testing.B) {
	for _, bodyBytes := range []int{128, 16 << 10, fullBytes - wire.HeaderBytes} {
		b.Run(fmt.Sprintf("body=%d", bodyBytes), func(b *testing.B) {
			whole := 0.0
			for _, way := range []string{"whole", "parts", "copied", "twice"} {
				b.Run(way, func(b *testing.B) {
					e := newLoopbackEnds(b)
					header, body := e.memory.Bytes(wire.HeaderBytes, 4096, "test"), e.memory.Bytes(uint64(bodyBytes), 4096, "test")
					buffer := e.memory.Bytes(uint64(wire.HeaderBytes+bodyBytes), 4096, "test")
					before := e.kernel.SyscallCount()
					ns := computes(b, func() {
						e.expect(len(buffer))
						switch way {
						case "whole":
							e.client.Send(e.clientID, buffer)
							e.finish(1)
						case "parts":
							e.client.SendParts(e.clientID, header, body)
							e.finish(1)
						case "copied":
							copy(buffer[copy(buffer, header):], body)
							e.client.Send(e.clientID, buffer)
							e.finish(1)
						case "twice":
							e.client.Send(e.clientID, header)
							e.awaitSent()
							e.client.Send(e.clientID, body)
							e.finish(2)
						}
					})
					b.ReportMetric(ns, "cpu-ns/message")
					b.ReportMetric(float64(e.kernel.SyscallCount()-before)/float64(b.N), "syscalls/message")
					if way == "whole" {
						whole = ns
					}
					share(b, "whole", whole, ns)
				})
			}
		})
	}
}

// loopbackEnds are the two ends of a connection on one thread.
type loopbackEnds struct {
	b                  testing.TB
	memory             *arena.Arena
	kernel             ports.Thread
	client, server     ports.Network
	clientID, serverID ports.ConnectionID
	into               []byte
	restBytes          int // that the server still receives
	sentCount          int
	events             [8]ports.NetworkEvent
}

func newLoopbackEnds(b *testing.B) *loopbackEnds {
	lockThread()
	e := &loopbackEnds{b: b, memory: arena.New()}
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	if e.kernel, err = uring.NewThread(ports.ThreadOptions{WakeFd: -1}); errors.Is(err, uring.ErrUnavailable) {
		b.Skip(err)
	} else if err != nil {
		b.Fatal(err)
	}
	e.server, e.client = e.kernel.Network(fd, 1, 0), e.kernel.Network(-1, 1, 0)
	e.into = e.memory.Bytes(fullBytes, 4096, "test")
	if err := e.kernel.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { // before the memory is given back
		e.kernel.Close()
		_ = unix.Close(fd)
		e.memory.Close()
	})
	e.client.Connect(posix.PeerFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)))
	e.clientID = e.await(e.client).Connection
	e.serverID = e.await(e.server).Connection
	return e
}

// await waits for an event of a network.
func (e *loopbackEnds) await(network ports.Network) ports.NetworkEvent {
	for network.Poll(e.events[:1]) == 0 {
		if e.kernel.Turn() == 0 {
			e.kernel.Wait(1_000_000_000)
		}
	}
	return e.events[0]
}

// expect begins to receive a message.
func (e *loopbackEnds) expect(bytes int) {
	e.sentCount, e.restBytes = 0, bytes
	e.server.ReceiveAll(e.serverID, e.into[:e.restBytes])
}

// awaitSent waits until a send has ended.
func (e *loopbackEnds) awaitSent() {
	for before := e.sentCount; e.sentCount == before; {
		e.turn()
	}
}

// finish waits until the message has been received, and as many sends have ended.
func (e *loopbackEnds) finish(sends int) {
	for e.restBytes > 0 || e.sentCount < sends {
		e.turn()
	}
}

func (e *loopbackEnds) turn() {
	if e.kernel.Turn() == 0 {
		e.kernel.Wait(1_000_000_000)
	}
	e.sentCount += e.client.Poll(e.events[:])
	for _, event := range e.events[:e.server.Poll(e.events[:])] {
		if event.Bytes <= 0 {
			e.b.Fatalf("event %+v", event)
		}
		if e.restBytes -= int(event.Bytes); e.restBytes > 0 {
			e.server.ReceiveAll(e.serverID, e.into[:e.restBytes])
		}
	}
}
