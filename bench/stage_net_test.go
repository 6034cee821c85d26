package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/client"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/internal/uring"
	"ledger/limits"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/net"
	"ledger/wire"
)

var kernels = []struct {
	name string
	make func() (ports.Thread, error)
}{
	{"uring", func() (ports.Thread, error) { return uring.NewThread(ports.ThreadOptions{WakeFd: -1}) }},
	{"posix", func() (ports.Thread, error) { return posix.NewThread(ports.ThreadOptions{WakeFd: -1}) }},
}

// newKernel makes a thread's kernel side, or skips where it is missing.
func newKernel(b *testing.B, make func() (ports.Thread, error)) ports.Thread {
	kernel, err := make()
	if errors.Is(err, uring.ErrUnavailable) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	return kernel
}

// BenchmarkNet is the net stage over loopback: one client sends requests that are answered at once.
// The limits are the same bytes between two bare sockets, and the checksums of request and reply on
// both sides: one after the other, since nothing overlaps.
func BenchmarkNet(b *testing.B) {
	for _, kernel := range kernels {
		for _, eventsCount := range eventsCounts {
			b.Run(fmt.Sprintf("%s/events=%d", kernel.name, eventsCount), func(b *testing.B) {
				address, syscalls := startNet(b, newKernel(b, kernel.make))
				session, err := client.Open(context.Background(), client.Options{Addresses: []string{address}})
				if err != nil {
					b.Fatal(err)
				}
				defer session.Close()
				request, reply := client.NewMessage(), client.NewMessage()
				bodyBytes := request.EndBatch(wire.OperationCreateTransfers, eventsCount)
				bare := bareLoopback(b, wire.HeaderBytes+bodyBytes)
				checksums := 2 * float64(bodyBytes) * limitAEGIS()
				b.SetBytes(int64(bodyBytes))
				before := syscalls.Load()
				for b.Loop() {
					if _, err := session.Do(context.Background(), wire.OperationCreateTransfers, request, bodyBytes, reply); err != nil {
						b.Fatal(err)
					}
				}
				ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(float64(syscalls.Load()-before)/float64(b.N), "syscalls/request")
				share(b, "loopback", bare, ns)
				share(b, "loopback+aegis", bare+checksums, ns)
			})
		}
	}
}

// startNet runs the net stage on a thread of its own, with a consensus that answers every request
// with an empty batch.
func startNet(b *testing.B, kernel ports.Thread) (address string, syscalls *atomic.Uint64) {
	l := limits.Production()
	memory := arena.New()
	b.Cleanup(memory.Close)
	slots := &stages.Slots{}
	slots.Pools[stages.SlotClient] = arena.NewPool(memory, l.ConnectionsMax+8, fullBytes, "client slots")
	slots.Pools[stages.SlotReply] = arena.NewPool(memory, l.ConnectionsMax+8, fullBytes, "reply slots")
	toNet, fromNet := ring.NewSPSC[stages.ConsensusToNet](1024), ring.NewSPSC[stages.NetToConsensus](1024)
	return runNet(b, kernel, slots, memory, toNet, fromNet, func() bool { return answerNet(slots, fromNet, toNet) })
}

// runNet runs the net stage and what stands behind it on a thread of their own.
func runNet(b *testing.B, kernel ports.Thread, slots *stages.Slots, memory *arena.Arena, toNet *ring.SPSC[stages.ConsensusToNet],
	fromNet *ring.SPSC[stages.NetToConsensus], behind func() (busy bool)) (address string, syscalls *atomic.Uint64) {
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	l := limits.Production()
	driver := net.NewDriver(net.New(l, wire.U128{}, slots, memory, nil), kernel.Network(fd, net.PortConnectionsMax(&l), 0), nil, toNet,
		stages.Sender[stages.NetToConsensus]{Ring: fromNet}, nil)
	var stop atomic.Bool
	syscalls = new(atomic.Uint64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := kernel.Start(); err != nil {
			b.Error(err)
			return
		}
		for !stop.Load() {
			busy := driver.Turn(0, 0)
			busy = behind() || busy
			if kernel.Turn() == 0 && !busy {
				kernel.Wait(1_000_000)
			}
			syscalls.Store(kernel.SyscallCount())
		}
		kernel.Close()
	}()
	b.Cleanup(func() { // before the memory is given back
		stop.Store(true)
		<-done
		_ = unix.Close(fd)
	})
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String(), syscalls
}

func answerNet(slots *stages.Slots, from *ring.SPSC[stages.NetToConsensus], to *ring.SPSC[stages.ConsensusToNet]) (busy bool) {
	for {
		event, ok := from.PopOne()
		if !ok {
			return busy
		}
		busy = true
		if event.Kind == stages.NetSent {
			slots.Put(event.Slot)
			continue
		}
		header := wire.HeaderOf(slots.Bytes(event.Slot))
		slot := slots.Get(stages.SlotReply)
		frame := slots.Bytes(slot)
		bodyBytes := buildReply(frame, header, 1+uint64(header.RequestNumber()), 1)
		to.PushOne(stages.ConsensusToNet{Kind: stages.NetSend, Slot: slot, Bytes: uint32(wire.HeaderBytes + bodyBytes),
			Client: header.RequestClient()})
		to.PushOne(stages.ConsensusToNet{Kind: stages.NetFree, Slot: event.Slot})
	}
}

// buildReply answers a register, or any other request with an empty batch.
func buildReply(frame []byte, request *wire.Header, op, timestamp uint64) (bodyBytes int) {
	fields := wire.ReplyFields{Op: op, Timestamp: timestamp}
	fields.SetRequest(request)
	body := frame[wire.HeaderBytes:]
	if fields.Operation == wire.OperationRegister {
		bodyBytes = wire.RegisterReplyBytes
		wire.PutRegisterReplyBody(body[:bodyBytes], wire.BodyBytesMax)
	} else {
		encoder := wire.NewReplyEncoder(fields.Operation, body[:fields.Operation.ResultBytes()], 1) // room for the trailer
		encoder.EndBatch(0)
		bodyBytes = len(encoder.Finish())
	}
	wire.BuildReply(wire.HeaderOf(frame), &fields, body[:bodyBytes])
	return bodyBytes
}
