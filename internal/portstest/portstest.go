// Package portstest is the test suite for all implementations of ports.Thread.
//
// In:     a Backend, from the test of a package that implements it.
// Out:    failures. An implementation that passes behaves like any other for a stage.
// Owns:   temporary files, loopback sockets, helper goroutines. Each is gone when its test ends.
// Limits: every wait ends after deadline; the suite takes a few seconds.
package portstest

import (
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
)

const (
	deadline    = 10 * time.Second
	sectorBytes = 4096
)

// Backend makes a thread.
type Backend func(options ports.ThreadOptions) (ports.Thread, error)

// Run runs all tests against backend.
func Run(t *testing.T, backend Backend) {
	tests := []struct {
		name string
		run  func(*testing.T, Backend)
	}{
		{"DiskReadsWhatWasWritten", testDiskReadsWhatWasWritten},
		{"DiskEndOfFile", testDiskEndOfFile},
		{"DiskChains", testDiskChains},
		{"DiskChainCutByTurn", testDiskChainCutByTurn},
		{"DiskShortWrite", testDiskShortWrite},
		{"DiskErrors", testDiskErrors},
		{"DiskAllocate", testDiskAllocate},
		{"DiskModel", testDiskModel},
		{"DiskBudget", testDiskBudget},
		{"TwoDisks", testTwoDisks},
		{"NetworkEcho", testNetworkEcho},
		{"NetworkSplitFrames", testNetworkSplitFrames},
		{"NetworkReceiveAll", testNetworkReceiveAll},
		{"NetworkPeerCloses", testNetworkPeerCloses},
		{"NetworkPeerResets", testNetworkPeerResets},
		{"NetworkCloseWhileBusy", testNetworkCloseWhileBusy},
		{"NetworkCloseDropsEvents", testNetworkCloseDropsEvents},
		{"NetworkLimit", testNetworkLimit},
		{"NetworkMany", testNetworkMany},
		{"NetworkLargeSend", testNetworkLargeSend},
		{"NetworkConnect", testNetworkConnect},
		{"NetworkConnectRefused", testNetworkConnectRefused},
		{"NetworkDescriptorsRunOut", testNetworkDescriptorsRunOut},
		{"NetworkChurn", testNetworkChurn},
		{"NetworkOptions", testNetworkOptions},
		{"WaitEndsByWake", testWaitEndsByWake},
		{"WaitEndsByTime", testWaitEndsByTime},
		{"CloseWhileBusy", testCloseWhileBusy},
		{"NoAllocation", testNoAllocation},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, backend) })
	}
}

// harness is one thread under test, on the calling goroutine's OS thread.
type harness struct {
	t      testing.TB
	memory *arena.Arena
	thread ports.Thread
	wakeFd int

	diskOut    [64]ports.DiskCompletion
	networkOut [64]ports.NetworkEvent
}

func newHarness(t testing.TB, backend Backend) *harness {
	t.Helper()
	runtime.LockOSThread()
	h := &harness{t: t, memory: arena.New()}
	var err error
	if h.wakeFd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	if h.thread, err = backend(ports.ThreadOptions{WakeFd: h.wakeFd}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.thread.Close()
		_ = unix.Close(h.wakeFd)
		h.memory.Close()
		runtime.UnlockOSThread()
	})
	return h
}

func (h *harness) start() {
	h.t.Helper()
	if err := h.thread.Start(); err != nil {
		h.t.Fatal(err)
	}
}

// bytes returns size bytes off heap, filled with a pattern of seed.
func (h *harness) bytes(size int, seed byte) []byte {
	data := h.memory.Bytes(uint64(size), sectorBytes, "test")
	fill(data, seed)
	return data
}

func fill(data []byte, seed byte) {
	for i := range data {
		data[i] = byte(i)*7 + byte(i>>8)*13 + seed
	}
}

// until takes turns until done.
func (h *harness) until(what string, done func() bool) {
	h.t.Helper()
	end := time.Now().Add(deadline)
	for !done() {
		if time.Now().After(end) {
			h.t.Fatalf("%s: not within %v", what, deadline)
		}
		if h.thread.Turn() == 0 && !done() {
			h.thread.Wait(2_000_000)
		}
	}
}

// dataFile creates a data file, with direct I/O if the file system of the temporary directory has
// it.
func (h *harness) dataFile(sizeBytes int) *posix.DataFile {
	h.t.Helper()
	file, err := posix.OpenDataFile(filepath.Join(h.t.TempDir(), "data"),
		posix.OpenOptions{Create: true, DirectOptional: true, SectorBytes: sectorBytes})
	if err != nil {
		h.t.Fatal(err)
	}
	if sizeBytes > 0 {
		if err := unix.Ftruncate(file.Fd, int64(sizeBytes)); err != nil {
			h.t.Fatal(err)
		}
	}
	h.t.Cleanup(func() { _ = file.Close() })
	return file
}

// results waits for count completions of disk and returns them by tag.
func (h *harness) results(disk ports.Disk, count int) map[uint64]int32 {
	h.t.Helper()
	results := map[uint64]int32{}
	h.until("disk completions", func() bool {
		for _, completion := range h.diskOut[:disk.Poll(h.diskOut[:])] {
			if _, twice := results[completion.Tag]; twice {
				h.t.Fatalf("operation %d completed twice", completion.Tag)
			}
			results[completion.Tag] = completion.Result
		}
		return len(results) >= count
	})
	return results
}

// expect waits for len(want) completions and compares.
func (h *harness) expect(disk ports.Disk, want map[uint64]int32) {
	h.t.Helper()
	got := h.results(disk, len(want))
	for tag, result := range want {
		if got[tag] != result {
			h.t.Errorf("operation %d: result %d, want %d", tag, got[tag], result)
		}
	}
}

// listener opens a listener on loopback and returns its descriptor and address.
func (h *harness) listener() (fd int, address netip.AddrPort) {
	h.t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	fd, port, err := posix.Listen(netip.AddrPortFrom(loopback, 0))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = unix.Close(fd) })
	return fd, netip.AddrPortFrom(loopback, port)
}

// event waits for the next event of network and checks its kind.
func (h *harness) event(network ports.Network, kind ports.NetworkEventKind) ports.NetworkEvent {
	h.t.Helper()
	count := 0
	h.until("network event", func() bool {
		count = network.Poll(h.networkOut[:1])
		return count > 0
	})
	if h.networkOut[0].Kind != kind {
		h.t.Fatalf("event %+v, want kind %d", h.networkOut[0], kind)
	}
	return h.networkOut[0]
}

// quiet takes some turns and expects no event.
func (h *harness) quiet(network ports.Network) {
	h.t.Helper()
	for range 10 {
		h.thread.Turn()
		if count := network.Poll(h.networkOut[:]); count > 0 {
			h.t.Fatalf("unexpected event %+v", h.networkOut[0])
		}
		h.thread.Wait(1_000_000)
	}
}

func panics(f func()) (panicked bool) {
	defer func() { panicked = recover() != nil }()
	f()
	return false
}
