package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ledger/interop/server"
)

// command runs the binary to its end and gives its exit status and output. Stdin is the null
// device.
func command(t *testing.T, within time.Duration, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	run := exec.CommandContext(ctx, server.Binary(t), args...)
	var out, messages bytes.Buffer
	run.Stdout, run.Stderr = &out, &messages
	err := run.Run()
	if ctx.Err() != nil {
		t.Fatalf("%v did not end within %v\n%s", args, within, messages.String())
	}
	if ended := new(exec.ExitError); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return run.ProcessState.ExitCode(), out.String(), messages.String()
}

// refusal checks that a command ended with an error and said so, without crashing.
func refusal(t *testing.T, name string, status int, stdout, stderr string) {
	t.Helper()
	if status == 0 {
		t.Errorf("%s: status 0, want an error\n%s%s", name, stdout, stderr)
	}
	if stderr == "" {
		t.Errorf("%s: nothing on stderr", name)
	}
	// The reference server panics on some of its operators' mistakes; nobody else may.
	crashed := status < 0 || strings.Contains(stderr, "panic") || strings.Contains(stderr, "goroutine ")
	if crashed && os.Getenv("REFERENCE") == "" {
		t.Errorf("%s: the server crashed with status %d\n%s", name, status, stderr)
	}
}

// TestVersion wants a release in one line.
func TestVersion(t *testing.T) {
	status, stdout, _ := command(t, 10*time.Second, "version")
	if status != 0 || strings.Count(stdout, "\n") != 1 || !regexp.MustCompile(`\d+\.\d+\.\d+`).MatchString(stdout) {
		t.Fatalf("version: status %d, %q", status, stdout)
	}
	if status, _, _ := command(t, 10*time.Second, "version", "--verbose"); status != 0 {
		t.Fatalf("version --verbose: status %d", status)
	}
	if status, stdout, stderr := command(t, 10*time.Second, "--help"); status != 0 || !strings.Contains(stdout+stderr, "format") {
		t.Fatalf("--help: status %d, %q", status, stdout)
	}
}

// TestFormat wants a new file that only its owner reads, and an existing one untouched.
func TestFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.data")
	// Flags in any order; no cluster: one is chosen and told.
	status, stdout, stderr := command(t, time.Minute, "format", "--replica-count=1", "--replica=0", path)
	if status != 0 || stdout != "" || !regexp.MustCompile(`\d{9,}`).MatchString(stderr) {
		t.Fatalf("format without a cluster: status %d, stdout %q, stderr %q, want the chosen id on stderr", status, stdout, stderr)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("the data file has mode %v, want 0600", info.Mode())
	}
	if err := os.WriteFile(path, []byte("somebody's file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := command(t, time.Minute, "format", "--cluster=0", "--replica=0", "--replica-count=1", path); status == 0 {
		t.Fatal("format took an existing file")
	}
	if text, _ := os.ReadFile(path); string(text) != "somebody's file" {
		t.Fatalf("format changed an existing file to %d bytes", len(text))
	}
}

// TestMistakes wants every broken command line to end at once with a status, and to leave no file
// behind.
func TestMistakes(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "none.data")
	for _, args := range [][]string{
		{},
		{"dance"},
		{"format", path},
		{"format", "--cluster=0", "--replica=0", path},
		{"format", "--cluster=0", "--replica-count=1", path},
		{"format", "--cluster=0", "--replica=0", "--replica-count=1"},
		{"format", "--cluster=0", "--replica=0", "--replica-count=1", "--replica=0", path},
		{"format", "--cluster=0", "--replica=1", "--replica-count=1", path},
		{"format", "--cluster=0", "--replica=0", "--replica-count=7", path},
		{"format", "--cluster=0", "--replica=3", "--replica-count=3", path},
		{"format", "--cluster=0", "--replica=0", "--replica-count=0", path},
		{"format", "--cluster=340282366920938463463374607431768211456", "--replica=0", "--replica-count=1", path},
		{"format", "--cluster=x", "--replica=0", "--replica-count=1", path},
		{"format", "--cluster=0", "--replica=0", "--replica-count=1", "--colour=red", path},
		{"format", "--cluster=0", "--replica=0", "--replica-count=1", filepath.Join(folder, "no", "folder.data")},
		{"start", path},
		{"start", "--addresses=0"},
		{"start", "--addresses=0", path},
		{"start", "--addresses=127.0.0.1:0x10", path},
		{"start", "--addresses=127.0.0.1:70000", path},
		{"start", "--addresses=", path},
	} {
		status, stdout, stderr := command(t, 15*time.Second, args...)
		refusal(t, fmt.Sprint(args), status, stdout, stderr)
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestStartMistakes wants a server that cannot serve to end within seconds, never to hang.
func TestStartMistakes(t *testing.T) {
	file := server.Format(t, server.Options{Development: true})
	process := file.Start(t)

	garbage := filepath.Join(t.TempDir(), "garbage.data")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("no data file. "), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	other := server.Format(t, server.Options{Development: true})
	for _, one := range []struct {
		name string
		args []string
	}{
		{"a file that was never formatted", []string{"--addresses=0", "--development", garbage}},
		{"an unknown flag", []string{"--addresses=0", "--development", "--colour=red", other.Path}},
		{"a cache in powers of ten", []string{"--addresses=0", "--development", "--cache-grid=1GB", other.Path}},
		{"a broken address", []string{"--addresses=127.0.0.1:http", "--development", other.Path}},
		{"a port in use", []string{fmt.Sprintf("--addresses=%d", process.Port), "--development", other.Path}},
		{"a data file in use", []string{"--addresses=0", "--development", file.Path}},
	} {
		status, stdout, stderr := command(t, 15*time.Second, append([]string{"start"}, one.args...)...)
		refusal(t, one.name, status, stdout, stderr)
	}
	if !process.Running() {
		t.Fatal("the server ended when others were started in its way")
	}
	wantAlive(t, process)
}

func wantAlive(t *testing.T, process *server.Process) {
	t.Helper()
	if rows := ask(t, connected(t, process.Address).LookupAccounts, ids(1, 1)); len(rows) != 0 {
		t.Fatalf("a fresh server knows an account: %+v", rows)
	}
}

// TestHarnessProtocol wants a server with --addresses=0 to live as long as its stdin, and one with
// an address to take no notice of it. That stdout gets a port and is closed then is checked by
// every Start.
func TestHarnessProtocol(t *testing.T) {
	file := server.Format(t, server.Options{Development: true})
	process := file.Start(t)
	wantAlive(t, process)
	process.CloseStdin()
	if status, err := process.Ended(5 * time.Second); err != nil || status != 0 {
		t.Fatalf("after its stdin was closed: status %d, %v", status, err)
	}
	// On the same file and port at once, with the null device as stdin.
	process = file.StartOn(t, process.Port)
	wantAlive(t, process)
	if err := process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Ended(10 * time.Second); err != nil {
		t.Fatalf("after SIGTERM: %v", err)
	}
	process = file.StartOn(t, process.Port)
	process.Kill()
	process = file.StartOn(t, process.Port)
	wantAlive(t, process)
}

// TestRelativePath wants a data file's path to count from the working directory.
func TestRelativePath(t *testing.T) {
	folder := t.TempDir()
	run := exec.Command(server.Binary(t), "format", "--cluster=0", "--replica=0", "--replica-count=1", "--development", "here.data")
	run.Dir = folder
	if output, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(folder, "here.data")); err != nil {
		t.Fatal(err)
	}
}
