package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asCommand in the environment makes the test binary the command itself.
const asCommand = "LEDGER_TEST_AS_COMMAND"

// addressSpace in the environment limits the command's address space, in bytes; fileSize its files;
// openFilesSoft and openFilesHard are the limits on the number of its descriptors.
const (
	addressSpace  = "LEDGER_TEST_ADDRESS_SPACE"
	fileSize      = "LEDGER_TEST_FILE_SIZE"
	openFilesSoft = "LEDGER_TEST_OPEN_FILES_SOFT"
	openFilesHard = "LEDGER_TEST_OPEN_FILES_HARD"
)

func TestMain(m *testing.M) {
	if script := os.Getenv(inNetwork); script != "" {
		runInNetwork(script)
	}
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	for name, resource := range map[string]int{addressSpace: unix.RLIMIT_AS, fileSize: unix.RLIMIT_FSIZE} {
		if limit, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
				panic(err)
			}
		}
	}
	soft, errSoft := strconv.ParseUint(os.Getenv(openFilesSoft), 10, 64)
	hard, errHard := strconv.ParseUint(os.Getenv(openFilesHard), 10, 64)
	if errSoft == nil && errHard == nil {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: hard}); err != nil {
			panic(err)
		}
	}
	sandbox()
	if os.Getenv(hang) != "" {
		beforeStop = func() { select {} }
	}
	if os.Getenv(broken) != "" {
		beforeStop = func() { panic("a broken assertion") }
	}
	main()
}

// endsWithin bounds every wait for a process.
const endsWithin = time.Minute

// command is a process of ours.
func command(environment []string, arguments ...string) *exec.Cmd {
	process := exec.Command(os.Args[0], arguments...)
	process.Env = append(append(os.Environ(), asCommand+"=1"), environment...)
	return process
}

// ended runs a command to its end, its stdin the null device.
func ended(t *testing.T, environment []string, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	process := command(environment, arguments...)
	var out, err bytes.Buffer
	process.Stdout, process.Stderr = &out, &err
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	status = wait(t, process)
	return status, out.String(), err.String()
}

// wait for the end of a process and give its status; -1 is a signal's.
func wait(t *testing.T, process *exec.Cmd) int {
	t.Helper()
	timer := time.AfterFunc(endsWithin, func() { _ = process.Process.Kill() })
	err := process.Wait()
	if !timer.Stop() {
		t.Fatalf("%v: does not end", process.Args[1:])
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return process.ProcessState.ExitCode()
}

// formatted makes a data file for development.
func formatted(t *testing.T, arguments ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.data")
	arguments = append([]string{"format", "--cluster=0", "--replica=0", "--development", path}, arguments...)
	if len(arguments) == 5 {
		arguments = append(arguments, "--replica-count=1")
	}
	if status, _, stderr := ended(t, nil, arguments...); status != exitDone {
		t.Fatalf("format: status %d: %s", status, stderr)
	}
	return path
}

// served is a running server.
type served struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *bytes.Buffer
	port   string
}

// harness starts a server with --addresses=0 and reads its port.
func harness(t *testing.T, path string, arguments ...string) *served {
	t.Helper()
	return harnessIn(t, nil, path, arguments...)
}

// harnessIn is harness with more in the environment.
func harnessIn(t *testing.T, environment []string, path string, arguments ...string) *served {
	t.Helper()
	return harnessOf(t, command(environment, append([]string{"start", "--addresses=0", "--development", path}, arguments...)...))
}

// harnessOf starts a server by a command with --addresses=0 and reads its port.
func harnessOf(t *testing.T, start *exec.Cmd) *served {
	t.Helper()
	s := &served{Cmd: start, stderr: &bytes.Buffer{}}
	s.Stderr = s.stderr
	var err error
	if s.stdin, err = s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdout = bufio.NewReader(out)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	line, err := s.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("no port on stdout: %v\n%s", err, s.stderr)
	}
	s.port = strings.TrimSuffix(line, "\n")
	if number, err := strconv.ParseUint(s.port, 10, 16); err != nil || number == 0 {
		t.Fatalf("stdout begins with %q, want a port", line)
	}
	return s
}

// on starts a server at an address, its stdin the null device, and waits until it listens.
func on(t *testing.T, address, path string, arguments ...string) *served {
	t.Helper()
	s := &served{Cmd: command(nil, append([]string{"start", "--addresses=" + address, "--development", path}, arguments...)...), port: address}
	messages, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdout, s.stdout = &out, bufio.NewReader(&out)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	lines := bufio.NewReader(messages)
	said := ""
	for {
		line, err := lines.ReadString('\n')
		said += line
		if err != nil {
			t.Fatalf("the server does not listen: %v\n%s", err, said)
		}
		if strings.Contains(line, "info: listening on ") {
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			return s
		}
	}
}

func (s *served) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := s.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// fingerprint is the size of a file and the bytes of its zones before the log, where every start
// would write.
func fingerprint(t *testing.T, path string) string {
	t.Helper()
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return info.Mode().String()
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "no file"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, min(info.Size(), 4*24<<10+1024*256))
	if _, err := file.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %v %x", info.Size(), info.Mode(), head)
}
