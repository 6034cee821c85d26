package portstest

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// Goal: a write to the eventfd by another thread ends a wait, every time, also when it comes before
// the wait, or when turns are taken between the announcement and the wait.
func testWaitEndsByWake(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, _ := h.listener()
	h.thread.Network(fd, 2, 0)
	h.start()
	h.thread.Turn()
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	var published atomic.Uint64
	wake := make(chan time.Duration)
	defer close(wake)
	go func() {
		for delay := range wake {
			time.Sleep(delay)
			published.Add(1)
			_, _ = unix.Write(h.wakeFd, one)
		}
	}()
	for round := range 60 {
		wake <- time.Duration(round%4) * 200 * time.Microsecond
		began := time.Now()
		for published.Load() == uint64(round) {
			for range round % 3 {
				h.thread.Turn()
			}
			h.thread.Wait(5_000_000_000)
			h.thread.Turn()
		}
		if elapsed := time.Since(began); elapsed > 2*time.Second {
			t.Fatalf("round %d: the wake was lost, waited %v", round, elapsed)
		}
	}
}

// Goal: time ends a wait, not much too early on average and never much too late; nothing is spun.
func testWaitEndsByTime(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	fd, _ := h.listener()
	h.thread.Network(fd, 2, 0)
	h.start()
	h.thread.Turn()
	began, calls := time.Now(), h.thread.SyscallCount()
	for time.Since(began) < 50*time.Millisecond {
		h.thread.Wait(10_000_000)
		h.thread.Turn()
	}
	if elapsed := time.Since(began); elapsed > time.Second {
		t.Errorf("waits of 10 ms took %v in all", elapsed)
	}
	if calls = h.thread.SyscallCount() - calls; calls > 100 {
		t.Errorf("%d system calls in 50 ms of waiting: it spins", calls)
	}
}

// Goal: Close with everything under way comes back, and peers see their connections end.
func testCloseWhileBusy(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(64 << 20)
	fd, address := h.listener()
	disk, network := h.thread.Disk(file.Fd, 16), h.thread.Network(fd, 4, 0)
	h.start()
	peer := dial(t, address)
	id := h.event(network, ports.NetworkAccepted).Connection
	network.Receive(id, h.bytes(sectorBytes, 0))
	network.Send(id, h.bytes(64<<20, 0))
	for i := range 8 {
		disk.Write(uint64(i), uint64(i)<<20, h.bytes(1<<20, byte(i)), ports.WriteDurable)
	}
	h.thread.Turn()
	h.thread.Close()
	_ = peer.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.Copy(io.Discard, peer); err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Error("the connection outlived the thread")
		}
	}
}

// Goal: after start, disk and network operations of every kind, turns and waits allocate nothing.
func testNoAllocation(t *testing.T, backend Backend) {
	h := newHarness(t, backend)
	file := h.dataFile(1 << 20)
	fd, address := h.listener()
	disk, network := h.thread.Disk(file.Fd, 16), h.thread.Network(fd, 4, 0)
	h.start()
	peer := dial(t, address)
	id := h.event(network, ports.NetworkAccepted).Connection
	peerFile, err := peer.File()
	if err != nil {
		t.Fatal(err)
	}
	defer peerFile.Close()
	peerFd := int(peerFile.Fd())
	if err := unix.SetNonblock(peerFd, false); err != nil {
		t.Fatal(err)
	}
	data, other, message, answer := h.bytes(sectorBytes, 1), h.bytes(sectorBytes, 2), h.bytes(256, 3), h.bytes(256, 4)
	diskCount, received, sent := 0, 0, 0
	collect := func() {
		h.thread.Turn()
		diskCount += disk.Poll(h.diskOut[:])
		for _, event := range h.networkOut[:network.Poll(h.networkOut[:])] {
			switch event.Kind {
			case ports.NetworkReceived:
				received++
			case ports.NetworkSent:
				sent++
			}
		}
	}
	round := func() {
		diskCount, received, sent = 0, 0, 0
		disk.Write(1, 0, data, ports.WriteLinked)
		disk.Write(2, sectorBytes, data, ports.WriteDurable)
		disk.Read(3, 2*sectorBytes, other)
		disk.Sync(4)
		disk.Allocate(5, 0, 1<<20)
		network.Receive(id, message)
		network.Send(id, answer)
		_, _ = unix.Write(peerFd, answer)
		for diskCount < 5 || received < 1 || sent < 1 {
			collect()
			if diskCount < 5 || received < 1 || sent < 1 {
				h.thread.Wait(1_000_000)
			}
		}
		network.SendParts(id, answer, answer)
		for sent < 2 {
			if collect(); sent < 2 {
				h.thread.Wait(1_000_000)
			}
		}
		for range 3 {
			_, _ = unix.Read(peerFd, message)
		}
	}
	const rounds = 200
	round()
	if allocs := testing.AllocsPerRun(rounds, round); allocs != 0 {
		t.Errorf("a round of operations allocates %.2f times, want 0", allocs)
	}
	runtime.KeepAlive(peerFile)
}
