package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// strangers each send what is no message, so that each makes a line of the log, and wait until the
// server has closed their connection.
func strangers(t *testing.T, port string, count int) {
	t.Helper()
	for range count {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatalf("the server is gone: %v", err)
		}
		if _, err := conn.Write(make([]byte, 256)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
}

// piped starts a harness's server whose stderr is the pipe's end w.
func piped(t *testing.T, w *os.File, environment []string, arguments ...string) *served {
	t.Helper()
	s := &served{Cmd: command(environment, append([]string{"start", "--addresses=0", "--development"}, arguments...)...)}
	s.Cmd.Stderr = w
	stdin, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Process.Kill() })
	s.stdout = bufio.NewReader(stdout)
	line, err := s.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("no port on stdout: %v", err)
	}
	s.port = strings.TrimSuffix(line, "\n")
	return s
}

// Goal: no state of stderr stops or ends a server: a pipe that is full before the first line, a
// reader that goes away, a closed descriptor. It serves, however much there is to log, and ends
// with 0 at a signal.
func TestStderrStates(t *testing.T) {
	full := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		size, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		return w
	}
	gone := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		return w
	}
	closed := func(t *testing.T) *os.File {
		w, err := os.Open(os.DevNull) // not writable: each write fails with EBADF, as on a closed descriptor
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, state := range map[string]func(*testing.T) *os.File{"full": full, "gone": gone, "closed": closed} {
		t.Run(name, func(t *testing.T) {
			w := state(t)
			s := piped(t, w, nil, formatted(t))
			w.Close()
			strangers(t, s.port, 64)
			makeAccount(t, connected(t, s.port), 1)
			s.signal(t, syscall.SIGTERM)
			if status := wait(t, s.Cmd); status != exitDone {
				t.Fatalf("status %d, want 0", status)
			}
		})
	}
}

// Goal: a harness that closes its end of stdout before the port is printed does not end the server.
func TestStdoutGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	process := command(nil, "start", "--addresses=0", "--development", formatted(t))
	process.Stdout = w
	if _, err := process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	messages, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	w.Close()
	lines, port := bufio.NewScanner(messages), ""
	for port == "" && lines.Scan() {
		_, port, _ = strings.Cut(lines.Text(), "info: listening on 127.0.0.1:")
	}
	if port == "" {
		t.Fatal("the server does not listen")
	}
	go func() { _, _ = io.Copy(io.Discard, messages) }()
	makeAccount(t, connected(t, port), 1)
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, process); status != exitDone {
		t.Fatalf("status %d, want 0", status)
	}
}

// Goal: with --log=json each line of stderr is an object with time, level, event and text, from the
// first to the last.
func TestLogJSON(t *testing.T) {
	s := harness(t, formatted(t), "--log=json")
	strangers(t, s.port, 1)
	s.signal(t, syscall.SIGTERM)
	if status := wait(t, s.Cmd); status != exitDone {
		t.Fatalf("status %d: %s", status, s.stderr)
	}
	seen := map[string]map[string]any{}
	for line := range strings.Lines(s.stderr.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if object["time"] == nil || object["level"] == nil || object["text"] == nil {
			t.Errorf("a line without time, level or text: %s", line)
		}
		seen[fmt.Sprint(object["event"])] = object
	}
	if seen["started"]["cluster"] != "0" || seen["listening"]["address"] != "127.0.0.1:"+s.port ||
		seen["connection_closed"]["reason"] == nil || seen["stopping"]["signal"] != "SIGTERM" {
		t.Errorf("the log says: %s", s.stderr)
	}
}
