package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/portstest"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/replica"
	"ledger/wire"
)

type noFallocate struct{ err error }

func (f noFallocate) Allocate(uint64, uint64) error { return f.err }

// Without fallocate the zones are written in full; a full disk is still a full disk.
func TestReserveWithoutFallocate(t *testing.T) {
	if zeros, err := reserve(noFallocate{fmt.Errorf("allocate: %w", unix.EOPNOTSUPP)}, 1); !zeros || err != nil {
		t.Errorf("no fallocate: zeros %t, error %v", zeros, err)
	}
	if _, err := reserve(noFallocate{unix.ENOSPC}, 1); err != unix.ENOSPC {
		t.Errorf("full: error %v", err)
	}
}

// What the environment makes of a command that makes files: noTmpfile and noDirect are file systems
// without O_TMPFILE and without direct I/O; killAt and holdAt name a system call and a number, as
// in fsync:2. The command is killed by SIGKILL as it makes the call for the so many-th time; or it
// says so on stdout, waits for a byte on stdin, and the call ends with the errno that is the byte.
const (
	noTmpfile = "LEDGER_TEST_NO_TMPFILE"
	noDirect  = "LEDGER_TEST_NO_DIRECT"
	killAt    = "LEDGER_TEST_KILL_AT"
	holdAt    = "LEDGER_TEST_HOLD_AT"
)

const tmpfileFlag = 0o20000000 // O_TMPFILE without O_DIRECTORY, which is part of it

var calls = map[string]portstest.Refusal{
	"open":      {Call: unix.SYS_OPENAT, Flag: unix.O_CREAT | tmpfileFlag},
	"fallocate": {Call: unix.SYS_FALLOCATE},
	"write":     {Call: unix.SYS_PWRITEV2},
	"fsync":     {Call: unix.SYS_FSYNC},
	"link":      {Call: unix.SYS_LINKAT},
	"rename":    {Call: unix.SYS_RENAMEAT2},
}

// sandbox does to this process what its environment says.
func sandbox() {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	if os.Getenv(noTmpfile) != "" {
		must(portstest.RefuseCalls(unix.EOPNOTSUPP, true, portstest.Refusal{Call: unix.SYS_OPENAT, Flag: tmpfileFlag}))
	}
	if os.Getenv(noDirect) != "" {
		must(portstest.RefuseCalls(unix.EINVAL, true, portstest.Refusal{Call: unix.SYS_OPENAT, Flag: unix.O_DIRECT}))
	}
	var refusals []portstest.Refusal
	for number := range strings.SplitSeq(os.Getenv(refusedCalls), ",") {
		if call, err := strconv.ParseUint(number, 10, 32); err == nil {
			refusals = append(refusals, portstest.Refusal{Call: uintptr(call)})
		}
	}
	if len(refusals) > 0 {
		must(portstest.RefuseCalls(unix.ENOSYS, true, refusals...))
	}
	at := func(variable string, held func() unix.Errno) {
		name, text, found := strings.Cut(os.Getenv(variable), ":")
		if !found {
			return
		}
		count, err := strconv.Atoi(text)
		must(err)
		must(portstest.HoldAt(calls[name], count, held))
	}
	at(killAt, func() unix.Errno {
		must(unix.Kill(os.Getpid(), unix.SIGKILL))
		select {}
	})
	at(holdAt, func() unix.Errno {
		fmt.Println("held")
		var errno [1]byte
		_, _ = os.Stdin.Read(errno[:])
		return unix.Errno(errno[0])
	})
}

func formatArguments(cluster uint64, path string) []string {
	return []string{"format", fmt.Sprint("--cluster=", cluster), "--replica=0", "--replica-count=1", "--development", path}
}

// held is a format that waits in a system call.
type held struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
}

// formatHeld starts a format and waits until it has come to the system call.
func formatHeld(t *testing.T, environment []string, call string, cluster uint64, path string) *held {
	t.Helper()
	h := &held{Cmd: command(append([]string{holdAt + "=" + call}, environment...), formatArguments(cluster, path)...)}
	h.Stderr = &h.stderr
	stdin, err := h.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.stdin = stdin
	stdout, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Process.Kill() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		t.Fatalf("format says %q, error %v", line, err)
	}
	return h
}

// goOn lets the call end with errno, and waits for the end of the format.
func (h *held) goOn(t *testing.T, errno unix.Errno) (status int) {
	t.Helper()
	if _, err := h.stdin.Write([]byte{byte(errno)}); err != nil {
		t.Fatal(err)
	}
	return wait(t, h.Cmd)
}

// names in a folder.
func names(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

// wantFile wants path to be a whole data file of the cluster, alone in its folder.
func wantFile(t *testing.T, path string, cluster uint64) {
	t.Helper()
	if list := names(t, filepath.Dir(path)); !slices.Equal(list, []string{filepath.Base(path)}) {
		t.Errorf("the folder holds %q, want %s alone", list, filepath.Base(path))
	}
	l := limits.Production()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{SectorBytes: l.SectorBytes})
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	memory := arena.New()
	defer memory.Close()
	opened, err := replica.Open(file, l, memory)
	if err != nil {
		t.Error(err)
	} else if got := opened.Consensus.Superblock.Cluster; got != (wire.U128{Lo: cluster}) {
		t.Errorf("a file of cluster %s, want %d", got, cluster)
	}
}

// Goal: a format that is killed leaves nothing under the file's name until the file is whole, and
// nothing at all where the file system has files without a name. Where it has none, a temporary
// name is left, which the next format of the path removes.
func TestKilledFormat(t *testing.T) {
	l := limits.Production()
	writes := int(l.JournalSlotsCount*l.TwinBytes/l.MessageBytesMax + l.JournalSlotsCount + l.SuperblockCopies)
	before := []string{"fallocate:1", fmt.Sprint("write:", writes/2), fmt.Sprint("write:", writes)}
	for _, kind := range []struct {
		name        string
		environment []string
		naming      string // the call that gives the file its name
		left        int    // names that a killed format leaves
	}{
		{"without a name", nil, "link:1", 0},
		{"temporary name", []string{noTmpfile + "=1"}, "rename:1", 1},
	} {
		t.Run(kind.name, func(t *testing.T) {
			kill := func(t *testing.T, path, call string) {
				t.Helper()
				process := command(append([]string{killAt + "=" + call}, kind.environment...), formatArguments(1, path)...)
				_ = process.Run()
				if signaled := process.ProcessState.Sys().(syscall.WaitStatus); !signaled.Signaled() || signaled.Signal() != unix.SIGKILL {
					t.Fatalf("%s: %v, want the end by SIGKILL", call, process.ProcessState)
				}
			}
			path := filepath.Join(t.TempDir(), "0.data")
			for _, call := range append([]string{"open:1"}, append(before, kind.naming)...) {
				kill(t, path, call)
				list := names(t, filepath.Dir(path))
				if want := kind.left; len(list) != want && call != "open:1" || slices.Contains(list, "0.data") {
					t.Fatalf("killed at %s it leaves %q, want %d names", call, list, want)
				}
			}
			// A file of another format, or of a format that goes on, stays.
			other := path + "2.format-0123456789abcdef"
			if err := os.WriteFile(other, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			living := formatHeld(t, []string{noTmpfile + "=1"}, "rename:1", 2, path)
			if status, _, stderr := ended(t, kind.environment, formatArguments(3, path)...); status != exitDone {
				t.Fatalf("status %d: %s", status, stderr)
			}
			if status := living.goOn(t, 0); status != exitRefused || !strings.Contains(living.stderr.String(), "exists already") {
				t.Fatalf("status %d of the slower format: %s", status, &living.stderr)
			}
			if err := os.Remove(other); err != nil {
				t.Error(err)
			}
			wantFile(t, path, 3)
			// From the naming on, the name has the whole file.
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			kill(t, path, "fsync:3")
			wantFile(t, path, 1)
		})
	}
}

// Goal: of several formats of one path, whichever way they overlap, exactly one makes the file,
// whole and with its cluster; the others are refused and take nothing away; no other name is left.
func TestTwoFormatsOfOnePath(t *testing.T) {
	environments := map[string][]string{
		"without a name": nil,
		"temporary name": {noDirect + "=1", noTmpfile + "=1"},
	}
	for name, environment := range environments {
		naming := "link:1"
		if environment != nil {
			naming = "rename:1"
		}
		t.Run(name, func(t *testing.T) {
			// One is about to name its file while the other makes all of its own.
			path := filepath.Join(t.TempDir(), "0.data")
			first := formatHeld(t, environment, naming, 1, path)
			if status, _, stderr := ended(t, environment, formatArguments(2, path)...); status != exitDone {
				t.Fatalf("status %d: %s", status, stderr)
			}
			if status := first.goOn(t, 0); status != exitRefused || !strings.Contains(first.stderr.String(), "exists already") {
				t.Fatalf("status %d of the second to name its file: %s", status, &first.stderr)
			}
			wantFile(t, path, 2)
			if environment != nil {
				inParallel(t, environment)
			}
		})
		// One fails at its end, when the path belongs to another file.
		t.Run("one fails, "+name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "0.data")
			first := formatHeld(t, environment, "fsync:1", 1, path)
			_ = os.Remove(path) // an operator who takes it for the remains of another format
			if status, _, stderr := ended(t, environment, formatArguments(2, path)...); status != exitDone {
				t.Fatalf("status %d: %s", status, stderr)
			}
			if status := first.goOn(t, unix.EIO); status != exitRefused {
				t.Fatalf("status %d of the one whose sync fails: %s", status, &first.stderr)
			}
			wantFile(t, path, 2)
		})
	}
}

// inParallel lets three formats of one path run at the same time.
func inParallel(t *testing.T, environment []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.data")
	var statuses [3]int
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() { statuses[i], _, _ = ended(t, environment, formatArguments(uint64(i)+1, path)...) })
	}
	all.Wait()
	winner := slices.Index(statuses[:], exitDone)
	for i, status := range statuses {
		if winner < 0 || i != winner && status != exitRefused {
			t.Fatalf("statuses %v, want one 0 and else 1", statuses)
		}
	}
	wantFile(t, path, uint64(winner)+1)
}

// Goal: whichever call finds no room, and of whichever kind, format ends with the status of a full
// disk, names the cause and the way out, and leaves nothing.
func TestFormatWithoutRoom(t *testing.T) {
	for _, test := range []struct {
		environment []string
		call        string
		errno       unix.Errno
		want        []string
	}{
		{nil, "open:1", unix.ENOSPC, []string{"the disk is full", "free some"}},
		{nil, "fallocate:1", unix.ENOSPC, []string{"the disk is full", "1040 MiB", "free some"}},
		{nil, "fallocate:1", unix.EDQUOT, []string{"quota", "1040 MiB"}},
		{nil, "fallocate:1", unix.EFBIG, []string{"may not get larger", "raise the limit"}},
		{nil, "write:100", unix.EDQUOT, []string{"quota"}},
		{nil, "fsync:1", unix.ENOSPC, []string{"the disk is full"}},
		{nil, "link:1", unix.ENOSPC, []string{"the disk is full"}},
		{nil, "fsync:3", unix.EDQUOT, []string{"quota"}},
		{[]string{noTmpfile + "=1"}, "open:1", unix.EDQUOT, []string{"quota"}},
		{[]string{noTmpfile + "=1"}, "write:100", unix.ENOSPC, []string{"the disk is full"}},
		{[]string{noTmpfile + "=1"}, "rename:1", unix.ENOSPC, []string{"the disk is full"}},
		{[]string{noTmpfile + "=1"}, "fsync:3", unix.ENOSPC, []string{"the disk is full"}},
	} {
		path := filepath.Join(t.TempDir(), "0.data")
		h := formatHeld(t, test.environment, test.call, 1, path)
		status := h.goOn(t, test.errno)
		if list := names(t, filepath.Dir(path)); status != exitNoSpace || len(list) > 0 {
			t.Errorf("%v at %s: status %d, want %d; it leaves %q", test.errno, test.call, status, exitNoSpace, list)
		}
		for _, part := range append(test.want, "no space left", path) {
			if !strings.Contains(h.stderr.String(), part) {
				t.Errorf("%v at %s: %q does not say %q", test.errno, test.call, &h.stderr, part)
			}
		}
	}
}

// Goal: format says what it does differently on a tmpfs and where space cannot be reserved, and
// makes a whole file all the same.
func TestFormatWarnings(t *testing.T) {
	path := filepath.Join(mounted(t, "tmpfs", "size=1100m"), "0.data")
	status, _, stderr := ended(t, nil, formatArguments(1, path)...)
	if status != exitDone || !strings.Contains(stderr, "warning: "+path+" is on a tmpfs") {
		t.Errorf("on a tmpfs: status %d: %s", status, stderr)
	}
	wantFile(t, path, 1)

	path = filepath.Join(t.TempDir(), "0.data")
	h := formatHeld(t, nil, "fallocate:1", 2, path)
	status, stderr = h.goOn(t, unix.EOPNOTSUPP), h.stderr.String()
	if status != exitDone || !strings.Contains(stderr, "writing zeros") || strings.Contains(stderr, "tmpfs") {
		t.Errorf("without fallocate: status %d: %s", status, stderr)
	}
	wantFile(t, path, 2)
	var stat unix.Stat_t
	l := limits.Production()
	if err := unix.Stat(path, &stat); err != nil || uint64(stat.Blocks)*512 < uint64(l.JournalSlotsCount)*uint64(l.MessageBytesMax) {
		t.Errorf("the file has %d bytes on the disk, error %v, want its log at least", stat.Blocks*512, err)
	}
}

// blockDevice is a loop device of some size, of zeros.
func blockDevice(t *testing.T, sizeBytes int64) (path string) {
	t.Helper()
	backing, err := os.Create(filepath.Join(t.TempDir(), "device"))
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	if err := backing.Truncate(sizeBytes); err != nil {
		t.Fatal(err)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		without(t, "making a loop device", err)
	}
	defer control.Close()
	number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		without(t, "making a loop device", err)
	}
	path = fmt.Sprint("/dev/loop", number)
	device, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		without(t, "opening a loop device", err)
	}
	// With AUTOCLEAR the device ends when its last user closes it: here, at the end of the test.
	config := &unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(device.Fd()), config); err != nil {
		device.Close()
		without(t, "configuring a loop device", err)
	}
	t.Cleanup(func() { device.Close() })
	return path
}

// Goal: format takes a block device that is blank, large enough and not in use, and start serves it
// until it is full. It refuses every other one and says what it holds. After a format that was
// killed there is nothing on the device that start would serve.
func TestBlockDevice(t *testing.T) {
	l := limits.Production()
	path := blockDevice(t, int64(l.GridAt())+12<<20)
	started := func() (status int, stderr string) {
		status, _, stderr = ended(t, nil, "start", "--addresses=0", "--development", path)
		return status, stderr
	}
	refused := func(wantStatus int, path string, want ...string) {
		t.Helper()
		arguments := formatArguments(1, path)
		status, stdout, stderr := ended(t, nil, arguments...)
		checkRefusal(t, arguments, status, wantStatus, stdout, stderr, want)
	}
	killed := command([]string{killAt + "=write:1041"}, formatArguments(1, path)...) // the first copy of the superblock
	if err := killed.Run(); err == nil || killed.ProcessState.ExitCode() != -1 {
		t.Fatalf("the format was not killed: %v", killed.ProcessState)
	}
	if status, stderr := started(); status != exitRefused || !strings.Contains(stderr, "never formatted") {
		t.Errorf("start after a killed format: status %d: %s", status, stderr)
	}
	refused(exitRefused, path, "not blank", "name another", "write zeros over its first 1024 KiB")
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = file.Write(make([]byte, 1<<20))
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}

	user, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_EXCL, 0) // as a mount does
	if err != nil {
		t.Fatal(err)
	}
	refused(exitRefused, path, "in use", "mounted")
	unix.Close(user)
	if status, _, stderr := ended(t, nil, formatArguments(0, path)...); status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	refused(exitRefused, path, "not blank", "cluster 0, replica 0", "start serves it")
	refused(exitNoSpace, blockDevice(t, 1<<30), "no space left", "1024 MiB", "1040 MiB", "name a larger one")

	s := harness(t, path)
	running, stopped := context.WithCancel(context.Background())
	status := -1
	go func() {
		defer stopped()
		status = wait(t, s.Cmd)
	}()
	acknowledged := fill(running, t, s.port)
	if <-running.Done(); status != exitNoSpace || acknowledged == 0 || !strings.Contains(s.stderr.String(), "the disk is full") {
		t.Errorf("status %d after %d transfers, want %d: %s", status, acknowledged, exitNoSpace, s.stderr)
	}
}
