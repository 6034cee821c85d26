package portstest

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
	"ledger/internal/posix"
)

// Bench runs all benchmarks against backend. The latencies are those of one operation at a time,
// with waits, as a lone client sees them.
func Bench(b *testing.B, backend Backend) {
	b.Run("IdleTurn", func(b *testing.B) { benchIdleTurn(b, backend) })
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("Write/%dKiB", size>>10), func(b *testing.B) { benchWrite(b, backend, size, 0) })
		b.Run(fmt.Sprintf("WriteDurable/%dKiB", size>>10), func(b *testing.B) { benchWrite(b, backend, size, ports.WriteDurable) })
	}
	b.Run("WriteDurableChain/4KiB+4KiB", func(b *testing.B) { benchChain(b, backend) })
	b.Run("ReadMany/16KiB", func(b *testing.B) { benchReadMany(b, backend) })
	b.Run("PingPong/256B", func(b *testing.B) { benchPingPong(b, backend, 256) })
	b.Run("PingPong/1MiB", func(b *testing.B) { benchPingPong(b, backend, 1<<20) })
	b.Run("WakeParked", func(b *testing.B) { benchWakeParked(b, backend) })
}

func (h *harness) reportSyscalls(b *testing.B, before uint64) {
	b.ReportMetric(float64(h.thread.SyscallCount()-before)/float64(b.N), "syscalls/op")
}

// Sketch: a look at one word and at every port for io_uring, an epoll_wait of 150 ns for posix.
func benchIdleTurn(b *testing.B, backend Backend) {
	h := newHarness(b, backend)
	file := h.dataFile(sectorBytes)
	fd, _ := h.listener()
	h.thread.Disk(file.Fd, 8)
	h.thread.Network(fd, 8, 0)
	h.start()
	h.thread.Turn()
	before := h.thread.SyscallCount()
	b.ReportAllocs()
	for b.Loop() {
		h.thread.Turn()
	}
	h.reportSyscalls(b, before)
}

// Sketch: 100 to 130 µs for 4 KiB, 550 to 650 for 1 MiB, whatever the backend.
func benchWrite(b *testing.B, backend Backend, size int, flags ports.WriteFlags) {
	const slots = 16
	h := newHarness(b, backend)
	file := h.dataFile(0)
	disk := h.thread.Disk(file.Fd, 4)
	h.start()
	data := h.bytes(size, 1)
	for i := range slots { // written once: the first write of an extent costs more
		disk.Write(0, uint64(i*size), data, ports.WriteDurable)
		h.one(disk)
	}
	before := h.thread.SyscallCount()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	slot := 0
	for b.Loop() {
		disk.Write(0, uint64(slot*size), data, flags)
		h.one(disk)
		slot = (slot + 1) % slots
	}
	h.reportSyscalls(b, before)
}

// Sketch: two durable writes, one after the other: twice 115 µs.
func benchChain(b *testing.B, backend Backend) {
	h := newHarness(b, backend)
	file := h.dataFile(0)
	disk := h.thread.Disk(file.Fd, 4)
	h.start()
	data := h.bytes(sectorBytes, 1)
	write := func() {
		disk.Write(0, 0, data, ports.WriteLinked|ports.WriteDurable)
		disk.Write(1, 1<<20, data, ports.WriteDurable)
		h.one(disk)
		h.one(disk)
	}
	write()
	before := h.thread.SyscallCount()
	b.ReportAllocs()
	for b.Loop() {
		write()
	}
	h.reportSyscalls(b, before)
}

// Sketch: what a queue depth of 16 is worth over one at a time.
func benchReadMany(b *testing.B, backend Backend) {
	const count, size = 16, 16 << 10
	h := newHarness(b, backend)
	file := h.dataFile(0)
	disk := h.thread.Disk(file.Fd, count)
	h.start()
	data := h.bytes(count*size, 1)
	disk.Write(0, 0, data, ports.WriteDurable)
	h.one(disk)
	before := h.thread.SyscallCount()
	b.SetBytes(count * size)
	b.ReportAllocs()
	for b.Loop() {
		for i := range count {
			disk.Read(uint64(i), uint64(i*size), data[i*size:][:size])
		}
		for range count {
			h.one(disk)
		}
	}
	h.reportSyscalls(b, before)
}

// one waits for one successful completion.
func (h *harness) one(disk ports.Disk) {
	for disk.Poll(h.diskOut[:1]) == 0 {
		if h.thread.Turn() == 0 {
			h.thread.Wait(1_000_000_000)
		}
	}
	if h.diskOut[0].Result <= 0 {
		h.t.Fatalf("result %d", h.diskOut[0].Result)
	}
}

// Sketch: both ends on one thread, so no thread is ever woken: four operations and the loopback's
// own cost.
func benchPingPong(b *testing.B, backend Backend, size int) {
	h := newHarness(b, backend)
	fd, address := h.listener()
	server, client := h.thread.Network(fd, 1, 0), h.thread.Network(-1, 1, 0)
	h.start()
	clientID, _ := client.Connect(posix.PeerFromAddrPort(address))
	h.event(client, ports.NetworkConnected)
	serverID := h.event(server, ports.NetworkAccepted).Connection
	request, buffers := h.bytes(size, 1), [2][]byte{h.bytes(size, 0), h.bytes(size, 0)}
	before := h.thread.SyscallCount()
	b.SetBytes(int64(2 * size))
	b.ReportAllocs()
	for b.Loop() {
		received := [2]int{}
		client.Send(clientID, request)
		server.Receive(serverID, buffers[0])
		client.Receive(clientID, buffers[1])
		for received[1] < size {
			if h.thread.Turn() == 0 {
				h.thread.Wait(1_000_000_000)
			}
			for i, network := range [2]ports.Network{server, client} {
				for _, event := range h.networkOut[:network.Poll(h.networkOut[:])] {
					if event.Kind != ports.NetworkReceived {
						continue
					}
					if event.Bytes <= 0 {
						b.Fatalf("received %d", event.Bytes)
					}
					received[i] += int(event.Bytes)
					if received[i] < size {
						network.Receive(event.Connection, buffers[i][received[i]:])
					} else if i == 0 {
						server.Send(event.Connection, buffers[0])
					}
				}
			}
		}
		// The sends' own events come at any time; nobody waits for them but the next send.
		for range 4 {
			client.Poll(h.networkOut[:])
			server.Poll(h.networkOut[:])
		}
	}
	h.reportSyscalls(b, before)
}

// Sketch: 45 to 65 µs in a virtual machine, there and back by a plain goroutine: twice that.
func benchWakeParked(b *testing.B, backend Backend) {
	h := newHarness(b, backend)
	h.start()
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	wake := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		for range wake {
			_, _ = unix.Write(h.wakeFd, one)
		}
	}()
	before := h.thread.SyscallCount()
	b.ReportAllocs()
	for b.Loop() {
		wake <- struct{}{}
		h.thread.Wait(uint64(time.Second))
		h.thread.Turn()
	}
	close(wake)
	h.reportSyscalls(b, before)
}
