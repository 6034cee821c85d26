package doctor

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/storage/datafile"
)

// Goal: a data file is recognised with its cluster, mode, owner and lock; what is none is told
// apart; and looking changes nothing.
func TestLookAtFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "0.data")
	if f, err := lookAtFile(path); err != nil || f.Exists {
		t.Errorf("a missing file: %+v, %v", f, err)
	}
	l := limits.Development()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{Create: true, DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	memory := arena.New()
	defer memory.Close()
	err = datafile.Format(file, &l, &datafile.FormatOptions{ReplicasCount: 3, Replica: 2, Incarnation: 1},
		memory.Bytes(uint64(l.MessageBytesMax), 4096, "format"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := lookAtFile(path)
	if err != nil || !f.Exists || !f.IsOurs || f.Foreign != nil || f.Replica != 2 || f.Replicas != 3 || f.Mode != 0o600 ||
		f.Owner != os.Geteuid() || f.MayUse != nil {
		t.Errorf("%+v, %v", f, err)
	}
	if !f.IsLocked || f.LockedBy != os.Getpid() && f.LockedBy != 0 { // 0: a sandbox hides /proc/locks
		t.Errorf("an open file: locked %v by %d", f.IsLocked, f.LockedBy)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first look leaves no lock
		if f, err := lookAtFile(path); err != nil || f.IsLocked {
			t.Errorf("a closed file: %+v, %v", f, err)
		}
	}
	if f, err := lookAtFile(folder); err != nil || f.Kind != "a directory" {
		t.Errorf("a folder: %+v, %v", f, err)
	}
	other := filepath.Join(folder, "other")
	if err := os.WriteFile(other, make([]byte, 2<<20), 0o640); err != nil {
		t.Fatal(err)
	}
	if f, err := lookAtFile(other); err != nil || f.IsOurs || f.Mode != 0o640 {
		t.Errorf("another file: %+v, %v", f, err)
	}
}

// Goal: the disk is measured, and nothing is left behind.
func TestDisk(t *testing.T) {
	folder := t.TempDir()
	s, err := storageOf(folder)
	if err != nil || s.Name == "" || s.AllBytes == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	timing, err := timeWrites(folder, 4<<10, 5)
	if err != nil || timing.Count != 5 || timing.Median <= 0 || timing.Longest < timing.Median {
		t.Errorf("%+v, %v", timing, err)
	}
	if _, err := timeWrites(filepath.Join(folder, "none"), 4<<10, 5); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
	if left, _ := os.ReadDir(folder); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// Goal: the probes of this machine answer, and a port in use is told from a free one.
func TestMachine(t *testing.T) {
	p := Machine()
	if err := p.Uring(); err != nil {
		t.Logf("io_uring: %v", err)
	}
	if _, err := p.Clock(); err != nil && !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
	if limit, err := p.Limit(unix.RLIMIT_NOFILE); err != nil || limit.Max == 0 {
		t.Errorf("%+v, %v", limit, err)
	}
	if list, err := p.Lookup(t.Context(), "localhost"); err != nil || len(list) == 0 {
		t.Logf("localhost: %v, %v", list, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddrPort(listener.Addr().String())
	if err := p.Listen(address); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	listener.Close()
	if err := p.Listen(address); err != nil {
		t.Errorf("a free port: %v", err)
	}
	if err := p.Listen(netip.MustParseAddrPort("192.0.2.1:3001")); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("an address of another machine: %v", err)
	}
	for _, r := range Examine(t.Context(), Subject{File: filepath.Join(t.TempDir(), "0.data"), Timeout: time.Second}, p, func(Result) {}) {
		if r.Text == "" || (r.State == Warning || r.State == Failure) != (r.Remedy != "") {
			t.Errorf("%+v", r)
		}
	}
}
