package uring

import (
	"bytes"
	"errors"
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
	"ledger/internal/portstest"
	"ledger/internal/posix"
)

// onOwnThread runs f on an OS thread that ends with it, together with the seccomp filter that f
// installs.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		f()
	}()
	<-done
}

// Goal: whichever of io_uring's system calls a sandbox refuses, and with whichever error, NewThread
// says that io_uring is unavailable and which call is refused, and plain system calls work on the
// same thread. If none is refused, the ring works.
func TestRefusedCalls(t *testing.T) {
	skipWithout(t)
	const probe, enableRings = 8, 12 // operations of io_uring_register
	calls := []struct {
		name    string
		refusal portstest.Refusal
	}{
		{"io_uring_setup", portstest.Refusal{Call: unix.SYS_IO_URING_SETUP}},
		{"io_uring_register, which tells", portstest.Refusal{Call: unix.SYS_IO_URING_REGISTER, Argument: true, Value: probe}},
		{"io_uring_register, which enables", portstest.Refusal{Call: unix.SYS_IO_URING_REGISTER, Argument: true, Value: enableRings}},
		{"io_uring_enter", portstest.Refusal{Call: unix.SYS_IO_URING_ENTER}},
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS, unix.EACCES} {
		for subset := range 1 << len(calls) {
			var refusals []portstest.Refusal
			first := "" // the call that is refused first
			for i, call := range calls {
				if subset>>i&1 != 0 {
					refusals = append(refusals, call.refusal)
					if first == "" {
						first = call.name
					}
				}
			}
			onOwnThread(func() {
				if err := portstest.RefuseCalls(errno, false, refusals...); err != nil {
					t.Errorf("this system lets no test install a filter: %v", err)
					return
				}
				thread, err := NewThread(ports.ThreadOptions{WakeFd: -1})
				if first == "" {
					if err != nil {
						t.Errorf("nothing is refused, and yet: %v", err)
						return
					}
					writeAndRead(t, thread)
					return
				}
				if err == nil {
					thread.Close()
				}
				if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), first+":") && !strings.Contains(err.Error(), first+" ") {
					t.Errorf("%v for %04b: error %v, want ErrUnavailable because of %s", errno, subset, err, first)
				}
				plain, err := posix.NewThread(ports.ThreadOptions{WakeFd: -1})
				if err != nil {
					t.Error(err)
					return
				}
				writeAndRead(t, plain)
			})
		}
	}
}

// writeAndRead lets thread write and read a sector, and closes it.
func writeAndRead(t *testing.T, thread ports.Thread) {
	defer thread.Close()
	memory := arena.New()
	defer memory.Close()
	fd, err := unix.Open(filepath.Join(t.TempDir(), "data"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	disk := thread.Disk(fd, 4)
	if err := thread.Start(); err != nil {
		t.Error(err)
		return
	}
	data, read := memory.Bytes(sectorBytes, sectorBytes, "test"), memory.Bytes(sectorBytes, sectorBytes, "test")
	data[7] = 7
	disk.Write(1, 0, data, ports.WriteLinked)
	disk.Read(2, 0, read)
	var out [4]ports.DiskCompletion
	for end, count := time.Now().Add(10*time.Second), 0; count < 2; count += disk.Poll(out[:]) {
		if time.Now().After(end) {
			t.Error("a write and a read do not complete within 10 s")
			return
		}
		if thread.Turn() == 0 {
			thread.Wait(10_000_000)
		}
	}
	if !bytes.Equal(data, read) {
		t.Error("a sector reads as it was not written")
	}
}

// Goal: for every set of operations that a kernel may lack, the error names exactly these; with all
// of them there is none.
func TestMissingOperations(t *testing.T) {
	for missing := range 1 << len(operationsNeeded) {
		probe := &giouring.Probe{OpsLen: uint8(len(operationsNeeded))}
		var want []string
		for i, operation := range operationsNeeded {
			probe.Ops[i].Op = operation.code
			if missing>>i&1 != 0 {
				want = append(want, operation.name)
			} else {
				probe.Ops[i].Flags = 1 // supported
			}
		}
		err := missingOperations(probe)
		if missing == 0 {
			if err != nil {
				t.Fatalf("nothing is missing, and yet: %v", err)
			}
			continue
		}
		if !errors.Is(err, ErrUnavailable) || !strings.HasSuffix(err.Error(), "operations "+strings.Join(want, ", ")) {
			t.Fatalf("error %v, want ErrUnavailable and %v", err, want)
		}
	}
}

// Goal: the operations that are probed are those that the package submits. A new one in the source
// must be added to the list.
func TestOperationsNeeded(t *testing.T) {
	source := ""
	for _, name := range []string{"disk.go", "network.go", "thread.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source += string(text)
	}
	needed, err := os.ReadFile("ring.go")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, word := range strings.FieldsFunc(source, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.')
	}) {
		if name, ok := strings.CutPrefix(word, "giouring.Op"); ok {
			used[name] = true
		}
	}
	for name := range used {
		if !strings.Contains(string(needed), "{giouring.Op"+name+", ") {
			t.Errorf("Op%s is submitted and not probed", name)
		}
	}
	if len(used) != len(operationsNeeded) {
		t.Errorf("%d operations are submitted, %d probed", len(used), len(operationsNeeded))
	}
}

// Goal: the end of a thread waits for the operations of disks, however long they take, and for
// nothing else beyond its time limit: the data file's lock is given up next. A write to a full pipe
// is one that takes long.
func TestCloseAwaitsDisk(t *testing.T) {
	thread, memory := newThread(t)
	reader, writer := newPipe(t)
	disk := thread.Disk(int(writer.Fd()), 1)
	start(t, thread)
	data := memory.Bytes(1<<20, sectorBytes, "test")
	disk.Write(1, 0, data, 0)
	for thread.inKernel == 0 {
		thread.Turn()
	}
	if thread.disksCount != 1 {
		t.Fatalf("%d operations in the kernel, want 1", thread.disksCount)
	}
	before := thread.SyscallCount()
	hasWaited := make(chan bool, 1)
	go func() {
		// The end of the write is held back until the thread has asked for it several times, or has given
		// up.
		for end := time.Now().Add(10 * time.Second); thread.SyscallCount() < before+3 && time.Now().Before(end); {
			runtime.Gosched()
		}
		hasWaited <- thread.SyscallCount() >= before+3
		piece := make([]byte, len(data))
		for left := len(data); left > 0; {
			count, err := reader.Read(piece)
			if err != nil {
				return
			}
			left -= count
		}
	}()
	thread.collectUntil(time.Now().Add(-time.Second)) // the time limit has passed
	if thread.disksCount != 0 {
		t.Errorf("%d operations of the disk are left in the kernel", thread.disksCount)
		return // what holds them back ends with the pipe
	}
	if !<-hasWaited {
		t.Error("the write had ended before the thread waited for it")
	}
}

// Goal: a thread that closes with a full submission queue still cancels what it has under way.
func TestCloseWithFullQueue(t *testing.T) {
	thread, memory := newThread(t)
	reader, _ := newPipe(t)
	disk := thread.Disk(int(reader.Fd()), submissionsMax)
	start(t, thread)
	data := memory.Bytes(sectorBytes, sectorBytes, "test")
	for i := range uint64(submissionsMax) {
		disk.Read(i, 0, data) // of an empty pipe: it ends only by being cancelled
	}
	thread.flush()
	if space := thread.spaceCount(); space != 0 {
		t.Fatalf("the submission queue has room for %d entries, want none", space)
	}
	thread.Close()
	if thread.inKernel != 0 {
		t.Errorf("%d operations are left in the kernel", thread.inKernel)
	}
}
