package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// hang in the environment makes the command behave as with a disk that does not let it stop; broken
// makes it break an assertion.
const (
	hang   = "LEDGER_TEST_STOP_HANGS"
	broken = "LEDGER_TEST_STOP_PANICS"
)

// Goal: the table of exit statuses and the one of docs/operations.md are the same, and no status
// has two meanings.
func TestStatusesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Exit statuses\n")
	section, _, _ = strings.Cut(section, "\n## ")
	seen := map[int]bool{}
	for _, s := range exitStatuses {
		if seen[s.status] {
			t.Errorf("status %d has two meanings", s.status)
		}
		seen[s.status] = true
		if row := fmt.Sprintf("\n| %d | %s |", s.status, s.means); !strings.Contains(section, row) {
			t.Errorf("docs/operations.md does not have the row %q", row)
		}
	}
	if rows := strings.Count(section, "\n| ") - 1; rows != len(exitStatuses) {
		t.Errorf("docs/operations.md has %d statuses, the code %d", rows, len(exitStatuses))
	}
}

// Goal: a panic ends with Go's 2 and a stack, which no other end has: TestFullDisk wants 4 of a
// full disk, TestRefusals has 1.
func TestPanicHasItsOwnStatus(t *testing.T) {
	path := formatted(t)
	s := harnessIn(t, []string{broken + "=1"}, path)
	s.signal(t, syscall.SIGTERM)
	if status := wait(t, s.Cmd); status != exitPanic || !strings.Contains(s.stderr.String(), "goroutine ") {
		t.Fatalf("status %d: %s", status, s.stderr)
	}
}

// Goal: damage has its status with the real process.
func TestDamageHasItsOwnStatus(t *testing.T) {
	path := formatted(t)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(0); at < 4*24<<10; at += 4096 { // all copies of the superblock
		if _, err := file.WriteAt([]byte("damage"), at+512); err != nil {
			t.Fatal(err)
		}
	}
	file.Close()
	status, _, stderr := ended(t, nil, "start", "--addresses=0", "--development", path)
	if status != exitDamage || !strings.Contains(stderr, "error: ledger: ") {
		t.Fatalf("status %d: %s", status, stderr)
	}
}

// Goal: a server that cannot stop, because its disk hangs, ends at once at the second signal, with
// the status of that signal.
func TestSecondSignal(t *testing.T) {
	for first, second := range map[syscall.Signal]syscall.Signal{unix.SIGTERM: unix.SIGINT, unix.SIGINT: unix.SIGTERM} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		s := piped(t, w, []string{hang + "=1"}, formatted(t))
		w.Close()
		s.signal(t, first)
		lines := bufio.NewScanner(r)
		for lines.Scan() && !strings.Contains(lines.Text(), "info: stopping: "+unix.SignalName(first)) {
		}
		s.signal(t, second)
		if status := wait(t, s.Cmd); status != exitSignaled+int(second) {
			t.Errorf("status %d, want %d", status, exitSignaled+int(second))
		}
		r.Close()
	}
}
