package uring

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
)

const sectorBytes = 4096

// newThread returns a thread on the calling goroutine, with memory.
func newThread(t testing.TB) (*Thread, *arena.Arena) {
	t.Helper()
	skipWithout(t)
	runtime.LockOSThread()
	memory := arena.New()
	thread, err := NewThread(ports.ThreadOptions{WakeFd: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		thread.Close()
		memory.Close()
		runtime.UnlockOSThread()
	})
	return thread, memory
}

// newPipe returns the ends of a pipe, which are closed before the thread is.
func newPipe(t testing.TB) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = reader.Close()
		_ = writer.Close()
	})
	return reader, writer
}

func start(t testing.TB, thread *Thread) {
	t.Helper()
	if err := thread.Start(); err != nil {
		t.Fatal(err)
	}
}

// results takes turns until count operations have completed.
func results(t testing.TB, thread *Thread, disk ports.Disk, count int) map[uint64]int32 {
	t.Helper()
	var out [64]ports.DiskCompletion
	got := map[uint64]int32{}
	for end := time.Now().Add(10 * time.Second); len(got) < count; {
		if time.Now().After(end) {
			t.Fatalf("%d of %d operations completed within 10 s", len(got), count)
		}
		if thread.Turn() == 0 {
			thread.Wait(10_000_000)
		}
		for _, completion := range out[:disk.Poll(out[:])] {
			got[completion.Tag] = completion.Result
		}
	}
	return got
}

func tempFile(t testing.TB) int {
	t.Helper()
	fd, err := unix.Open(filepath.Join(t.TempDir(), "data"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// Goal: a chain whose writes the kernel cuts short, again and again, still runs in order and to the
// end. A pipe takes what fits into it and no more.
func TestChainOverShortWrites(t *testing.T) {
	thread, memory := newThread(t)
	reader, writer := newPipe(t)
	writerFd := int(writer.Fd()) // blocking from here on
	if _, err := unix.FcntlInt(uintptr(writerFd), unix.F_SETPIPE_SZ, sectorBytes); err != nil {
		t.Fatal(err)
	}
	disk := thread.Disk(writerFd, 8)
	start(t, thread)
	sizes := []int{10_000, 3, 20_000, 1, 5_000, 4096}
	var want []byte
	for i, size := range sizes {
		data := memory.Bytes(uint64(size), sectorBytes, "test")
		for j := range data {
			data[j] = byte(i*50 + j)
		}
		want = append(want, data...)
		flags := ports.WriteLinked
		if i == len(sizes)-1 {
			flags = 0
		}
		disk.Write(uint64(i), 0, data, flags)
	}
	read := make(chan []byte, 1)
	go func() {
		all, piece := []byte(nil), make([]byte, 777)
		for len(all) < len(want) {
			count, err := reader.Read(piece)
			if err != nil {
				break
			}
			all = append(all, piece[:count]...)
			time.Sleep(50 * time.Microsecond)
		}
		read <- all
	}()
	got := results(t, thread, disk, len(sizes))
	for i, size := range sizes {
		if got[uint64(i)] != int32(size) {
			t.Errorf("write %d: result %d, want %d", i, got[uint64(i)], size)
		}
	}
	_ = writer.Close()
	if all := <-read; !bytes.Equal(all, want) {
		t.Errorf("the pipe carried %d bytes in another order, want %d", len(all), len(want))
	}
}

// Goal: when the peer of a short write goes away, the write has the error and the rest of its chain
// is cancelled.
func TestChainOverShortWriteThenError(t *testing.T) {
	thread, memory := newThread(t)
	reader, writer := newPipe(t)
	disk := thread.Disk(int(writer.Fd()), 8)
	start(t, thread)
	data := memory.Bytes(1<<20, sectorBytes, "test")
	disk.Write(1, 0, data[:100], ports.WriteLinked)
	disk.Write(2, 0, data, ports.WriteLinked)
	disk.Write(3, 0, data[:1], ports.WriteLinked)
	disk.Sync(4)
	for range 3 {
		thread.Turn()
		thread.Wait(1_000_000)
	}
	_ = reader.Close()
	got := results(t, thread, disk, 4)
	const canceled = -int32(unix.ECANCELED)
	if got[1] != 100 || got[2] != -int32(unix.EPIPE) || got[3] != canceled || got[4] != canceled {
		t.Errorf("results %v", got)
	}
}

// Goal: an enter that takes only part of a chain does not let its second part run ahead. The kernel
// does that when memory is short; here it is only told to the thread.
func TestChainCutByEnter(t *testing.T) {
	for left := range 5 {
		thread, memory := newThread(t)
		fd := tempFile(t)
		disk := thread.Disk(fd, 16)
		start(t, thread)
		data, read := memory.Bytes(sectorBytes, sectorBytes, "test"), memory.Bytes(sectorBytes, sectorBytes, "test")
		data[0] = byte(left) + 1
		disk.Write(1, 0, data, ports.WriteLinked)
		disk.Write(2, sectorBytes, data, ports.WriteLinked)
		disk.Read(3, sectorBytes, read)
		disk.Read(4, 1<<20, read) // of another chain
		thread.flush()
		queued := append([]*giouring.SubmissionQueueEntry(nil), thread.queued...)
		thread.keepLeft(left)
		for i, entry := range queued {
			isNop, want := entry.OpCode == giouring.OpNop, i >= 4-left && i < 3 && left != 4
			if isNop != want {
				t.Errorf("left %d: entry %d taken back %v, want %v", left, i, isNop, want)
			}
		}
		thread.queued = append(thread.queued[:0], queued...) // the kernel has in fact taken none yet
		got := results(t, thread, disk, 4)
		if got[1] != sectorBytes || got[2] != sectorBytes || got[3] != sectorBytes || got[4] != 0 {
			t.Errorf("left %d: results %v", left, got)
		}
		if !bytes.Equal(data, read) {
			t.Errorf("left %d: the linked read overtook its write", left)
		}
	}
}

// takenBack is a port for no-operations in place of a disk's operations. It tells the disk that the
// kernel took each of them back.
type takenBack struct{ *Disk }

func (b takenBack) complete(kind uint8, slot uint32, _ int32, flags uint32) {
	b.Disk.complete(kind, slot, -int32(unix.ECANCELED), flags)
}

// Goal: operations that the kernel takes back before they have begun are submitted again, in the
// order of their chain, and not for ever.
func TestChainTakenBack(t *testing.T) {
	const canceled = -int32(unix.ECANCELED)
	for _, times := range []int{1, cancelsMax, cancelsMax + 1} {
		thread, memory := newThread(t)
		disk := thread.Disk(tempFile(t), 16).(*Disk)
		start(t, thread)
		data, read := memory.Bytes(sectorBytes, sectorBytes, "test"), memory.Bytes(sectorBytes, sectorBytes, "test")
		data[0] = 1
		disk.Write(1, 0, data, ports.WriteLinked)
		disk.Read(2, 0, read)
		thread.ports = append(thread.ports, takenBack{disk})
		for range times {
			thread.flush()
			for _, entry := range thread.queued {
				data := uint64(len(thread.ports)-1)<<56 | uint64(uint32(entry.UserData))
				*entry = giouring.SubmissionQueueEntry{OpCode: giouring.OpNop, UserData: data}
			}
			for end := time.Now().Add(10 * time.Second); disk.ready.Count() == 0 && disk.completions.Count() == 0; thread.Turn() {
				if time.Now().After(end) {
					t.Fatal("the chain does not come back within 10 s")
				}
			}
		}
		got := results(t, thread, disk, 2)
		if times > cancelsMax {
			if got[1] != canceled || got[2] != canceled {
				t.Errorf("taken back %d times: results %v", times, got)
			}
		} else if got[1] != sectorBytes || got[2] != sectorBytes || !bytes.Equal(data, read) {
			t.Errorf("taken back %d times: results %v, or the linked read overtook its write", times, got)
		}
	}
}

// Goal: more operations than the submission queue holds wait for their turn; chains as long as the
// queue work.
func TestMoreOperationsThanEntries(t *testing.T) {
	const operationsMax = 3 * submissionsMax
	thread, memory := newThread(t)
	disk := thread.Disk(tempFile(t), operationsMax)
	start(t, thread)
	data := memory.Bytes(sectorBytes, sectorBytes, "test")
	for i := range operationsMax - submissionsMax {
		flags := ports.WriteFlags(0)
		if i%3 != 2 {
			flags = ports.WriteLinked
		}
		disk.Write(uint64(i), uint64(i)*512, data[:512], flags)
	}
	disk.Sync(1 << 32) // ends the chain
	for i := range submissionsMax - 2 {
		disk.Write(1<<33+uint64(i), uint64(i)*512, data[:512], ports.WriteLinked)
	}
	disk.Sync(1 << 34)
	for tag, result := range results(t, thread, disk, operationsMax) {
		if tag&(1<<32|1<<34) == 0 && result != 512 || tag&(1<<32|1<<34) != 0 && result != 0 {
			t.Fatalf("operation %#x: result %d", tag, result)
		}
	}
}

// Goal: an idle turn makes no system call; an operation costs one to submit and at most a few to
// collect.
func TestSyscallCount(t *testing.T) {
	thread, memory := newThread(t)
	disk := thread.Disk(tempFile(t), 8)
	start(t, thread)
	before := thread.SyscallCount()
	for range 1000 {
		thread.Turn()
	}
	if count := thread.SyscallCount() - before; count != 0 {
		t.Errorf("1000 idle turns made %d system calls, want 0", count)
	}
	data := memory.Bytes(sectorBytes, sectorBytes, "test")
	disk.Write(1, 0, data, ports.WriteLinked)
	disk.Write(2, 0, data, ports.WriteLinked|ports.WriteDurable)
	disk.Read(3, 0, data)
	before = thread.SyscallCount()
	thread.Turn()
	if count := thread.SyscallCount() - before; count != 1 {
		t.Errorf("a turn that submits made %d system calls, want 1", count)
	}
	var out [8]ports.DiskCompletion
	for completed := 0; completed < 3; {
		before = thread.SyscallCount()
		thread.Turn()
		if count := thread.SyscallCount() - before; count > 1 {
			t.Fatalf("a turn made %d system calls, want at most 1", count)
		}
		if count := disk.Poll(out[:]); count > 0 {
			completed += count
			continue
		}
		before = thread.SyscallCount()
		thread.Wait(1_000_000)
		if count := thread.SyscallCount() - before; count > 2 {
			t.Fatalf("a wait made %d system calls, want a brief one and a long one at most", count)
		}
	}
}

// Goal: a receive causes no system call of its own while other turns are to be expected, and is not
// forgotten either; sends behind a write go in portions, after it.
func TestPortions(t *testing.T) {
	const connectionsCount = 10
	thread, memory := newThread(t)
	listenerFd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listenerFd)
	disk, network := thread.Disk(tempFile(t), 8), thread.Network(listenerFd, connectionsCount, 0)
	start(t, thread)
	until := func(kind ports.NetworkEventKind, count int) {
		t.Helper()
		var events [connectionsCount]ports.NetworkEvent
		for end := time.Now().Add(10 * time.Second); count > 0; {
			if time.Now().After(end) {
				t.Fatalf("%d events of kind %d are missing", count, kind)
			}
			if thread.Turn() == 0 {
				thread.Wait(10_000_000)
			}
			for _, event := range events[:network.Poll(events[:])] {
				if event.Kind == kind {
					count--
				}
			}
		}
	}
	for range connectionsCount {
		peer, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
	}
	until(ports.NetworkAccepted, connectionsCount)

	data := memory.Bytes(sectorBytes, sectorBytes, "test")
	network.Receive(0, data)
	thread.idleTurns = 0
	before := thread.SyscallCount()
	for range idleTurnsMax {
		thread.Turn()
	}
	if count := thread.SyscallCount() - before; count != 0 {
		t.Errorf("a receive alone caused %d system calls at once, want 0", count)
	}
	thread.Turn()
	if count := thread.SyscallCount() - before; count != 1 || len(thread.queued) != 0 {
		t.Errorf("then it caused %d system calls, and %d entries wait, want 1 and 0", count, len(thread.queued))
	}

	disk.Write(1, 0, data, ports.WriteLinked|ports.WriteDurable)
	disk.Write(2, 0, data, ports.WriteDurable)
	for id := range ports.ConnectionID(connectionsCount) {
		network.Send(id, data)
	}
	before = thread.SyscallCount()
	thread.Turn()
	if count, want := thread.SyscallCount()-before, uint64(1+(connectionsCount+portionMax-1)/portionMax); count != want {
		t.Errorf("a chain of writes and %d sends made %d system calls, want %d", connectionsCount, count, want)
	}
	until(ports.NetworkSent, connectionsCount)
	results(t, thread, disk, 2)
}

// Goal: a thread that was never started closes, and one that ran on another OS thread is our own
// mistake, loudly.
func TestThreadBinding(t *testing.T) {
	skipWithout(t)
	idle, err := NewThread(ports.ThreadOptions{WakeFd: -1})
	if err != nil {
		t.Fatal(err)
	}
	idle.Close()
	idle.Close()

	thread, memory := newThread(t)
	disk := thread.Disk(tempFile(t), 1)
	start(t, thread)
	message := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: this OS thread ends with the goroutine
		defer func() {
			text, _ := recover().(string)
			message <- text
		}()
		disk.Read(1, 0, memory.Bytes(sectorBytes, sectorBytes, "test"))
		thread.Turn()
	}()
	if text := <-message; !strings.Contains(text, "by the thread that started the ring") {
		t.Errorf("a turn on another OS thread: %q", text)
	}
}

// Goal: every way in which a system can refuse io_uring is told in words that say what to do, and
// is known by errors.Is.
func TestReason(t *testing.T) {
	for err, want := range map[error]string{
		unix.ENOSYS: "sandbox", unix.EPERM: "io_uring_disabled", unix.EINVAL: "too old", unix.ENOMEM: "RLIMIT_MEMLOCK", io.EOF: "EOF",
	} {
		if got := reason(err); !strings.Contains(got, want) {
			t.Errorf("%v: %q does not mention %q", err, got, want)
		}
	}
	// No descriptors left: the one refusal that a test can bring about.
	skipWithout(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := newRing()
	if restoreErr := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("error %v, want ErrUnavailable because of too many open files", err)
	}
}
