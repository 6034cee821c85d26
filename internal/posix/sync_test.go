package posix_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/portstest"
	"ledger/internal/posix"
)

// Goal: a signal that interrupts a sync, of the file or of its directory, or an allocation, causes
// another try and no error.
func TestSyncInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	var seen func() map[int32]int
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its filter
		file, err := posix.OpenDataFile(path, posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true, Create: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		if seen, err = portstest.InterruptOnce(unix.SYS_FSYNC, unix.SYS_FALLOCATE); err != nil {
			t.Error(err)
			return
		}
		if err := file.Allocate(0, sectorBytes); err != nil {
			t.Errorf("an allocation that is interrupted: %v", err)
		}
		if err := file.Sync(); err != nil {
			t.Errorf("a sync that is interrupted: %v", err)
		}
	}()
	<-done
	if t.Failed() {
		return
	}
	// Each first call was interrupted; the directory has a sync of its own.
	if counts := seen(); counts[unix.SYS_FSYNC] != 3 || counts[unix.SYS_FALLOCATE] != 2 {
		t.Errorf("%d syncs and %d allocations, want 3 and 2", counts[unix.SYS_FSYNC], counts[unix.SYS_FALLOCATE])
	}
}

const unreadableEnvironment = "LEDGER_TEST_UNREADABLE"

// Goal: a data file in a directory that may be entered and not listed is opened, synced and
// written. The child has a user of its own, since permissions do not bind root.
func TestUnreadableDirectory(t *testing.T) {
	if path := os.Getenv(unreadableEnvironment); path != "" {
		if _, err := os.ReadDir(filepath.Dir(path)); err == nil {
			t.Fatal("the directory can be listed")
		}
		file, err := posix.OpenDataFile(path, posix.OpenOptions{SectorBytes: sectorBytes, DirectOptional: true})
		if err != nil {
			t.Fatal(err)
		}
		memory := arena.New()
		defer memory.Close()
		if err := file.WriteAt(memory.Bytes(sectorBytes, sectorBytes, "test"), 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	root, err := os.MkdirTemp("", "ledger-unreadable") // a path that another user may enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	directory := filepath.Join(root, "entered-only")
	path := filepath.Join(directory, "data")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(root, "child")
	text, err := os.ReadFile(os.Args[0]) // where Go builds tests, another user may not enter
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(binary, "-test.run=^TestUnreadableDirectory$")
	child.Env = append(os.Environ(), unreadableEnvironment+"="+path)
	child.Dir = "/"
	if os.Getuid() == 0 {
		const nobody = 65534
		for _, name := range []string{directory, path} {
			if err := os.Chown(name, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if err := os.Chmod(directory, 0o300); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(directory, 0o700)
	output, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "PASS") {
		t.Errorf("the child: %v\n%s", err, output)
	}
}
