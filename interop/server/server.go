// Package server starts and stops real server processes for the interop tests.
//
// In:     the binary that LEDGER_BIN names, a folder for data files, flags.
// Out:    a Process, with the port on which it listens.
// Owns:   the process and the folder of its data files. Both end with the test.
// Limits: startWithin for a start, stopWithin for a stop. Output is kept in a file beside the data.
// Faults: any error fails the test with the end of the server's own output.
// Source: the command line on which harnesses rely (specification, "command line").
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	formatWithin = time.Minute
	startWithin  = time.Minute
	stopWithin   = 15 * time.Second
)

// Binary is the server under test: LEDGER_BIN, or ../bin/ledger beside this module.
// A relative LEDGER_BIN counts from this module's folder, as `go test` changes to each package's.
func Binary(t testing.TB) string {
	t.Helper()
	_, source, _, _ := runtime.Caller(0)
	module := filepath.Dir(filepath.Dir(source))
	path := os.Getenv("LEDGER_BIN")
	if path == "" {
		path = "../bin/ledger"
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(module, path)
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
		t.Fatalf("no server to test at %s: build it, or set LEDGER_BIN to a server binary", path)
	}
	return path
}

// Options are the differences from the default, which is a single replica of cluster 0 with
// production limits.
type Options struct {
	Development bool     // both verbs get --development
	FormatOnly  bool     // only format gets --development: `start` decides the limits
	StartArgs   []string // further flags of start
	Binary      string   // the server under test; "": the one of LEDGER_BIN
	Env         []string // of start, beside our own
}

// File is a formatted data file of one replica, and the data for starting servers on it.
type File struct {
	Path    string
	binary  string
	options Options
	logPath string
	starts  int
	stale   map[string]bool // listening sockets (inodes) of processes that have ended

	startWithin, stopWithin time.Duration
}

// Format makes a data file in a folder of its own, which the test's end removes.
func Format(t testing.TB, options Options) *File {
	t.Helper()
	return FormatReplica(t, options, 0, 1)
}

// FormatReplica makes the data file of replica index of count.
func FormatReplica(t testing.TB, options Options, index, count int) *File {
	t.Helper()
	folder := t.TempDir()
	binary := options.Binary
	if binary == "" {
		binary = Binary(t)
	}
	f := &File{
		Path:    filepath.Join(folder, fmt.Sprintf("0_%d.data", index)),
		binary:  binary,
		options: options,
		logPath: filepath.Join(folder, "output.log"),
		stale:   make(map[string]bool),

		startWithin: startWithin, stopWithin: stopWithin,
	}
	args := []string{"format", "--cluster=0", fmt.Sprintf("--replica=%d", index), fmt.Sprintf("--replica-count=%d", count)}
	if options.Development || options.FormatOnly {
		args = append(args, "--development")
	}
	ctx, cancel := context.WithTimeout(context.Background(), formatWithin)
	defer cancel()
	output, err := exec.CommandContext(ctx, f.binary, append(args, f.Path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("format: %v\n%s", err, output)
	}
	return f
}

// Process is a running server.
type Process struct {
	Port    int
	Address string

	file   *File
	cmd    *exec.Cmd
	stdin  io.Closer // the harness's end: closing it ends a server that was started with --addresses=0
	exited chan struct{}
	once   sync.Once
}

// Start starts a server that picks its own port, by the protocol of harnesses. Its stdout gets the
// port and a newline and is then closed. The process ends when its stdin ends.
func (f *File) Start(t testing.TB) *Process {
	t.Helper()
	p := f.process(t, "0")
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	// The pipe is our own. Wait closes the one of StdoutPipe, perhaps before all of it was read.
	stdout, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout = theirs
	p.run(t)
	theirs.Close()
	defer stdout.Close()
	stdout.SetReadDeadline(time.Now().Add(f.startWithin))
	announced, err := io.ReadAll(stdout) // up to the end: stdout must be closed after the port
	if err != nil {
		t.Fatalf("reading the port from stdout: %v (so far %q)\n%s", err, announced, p.LogTail())
	}
	port, err := strconv.Atoi(strings.TrimSuffix(string(announced), "\n"))
	if err != nil || port < 1 || port > 65535 || !bytes.HasSuffix(announced, []byte("\n")) {
		t.Fatalf("start --addresses=0 wrote %q on stdout, want a port and a newline\n%s", announced, p.LogTail())
	}
	p.listens(port)
	connection, err := net.DialTimeout("tcp", p.Address, 5*time.Second)
	if err != nil {
		t.Fatalf("port %d was announced but does not accept: %v", port, err)
	}
	connection.Close()
	return p
}

// StartOn starts a server on a port and waits until it accepts connections.
func (f *File) StartOn(t testing.TB, port int) *Process {
	t.Helper()
	p := f.Launch(t, port)
	if err := p.Await(f.startWithin); err != nil {
		t.Fatal(err)
	}
	return p
}

// Launch starts a server on a port and does not wait for it.
func (f *File) Launch(t testing.TB, port int) *Process {
	t.Helper()
	return f.LaunchCluster(t, port, fmt.Sprintf("127.0.0.1:%d", port))
}

// LaunchCluster starts a server that is one of several and does not wait for it.
func (f *File) LaunchCluster(t testing.TB, port int, addresses string) *Process {
	t.Helper()
	p := f.process(t, addresses)
	p.listens(port)
	p.run(t)
	return p
}

func (f *File) process(t testing.TB, addresses string) *Process {
	args := []string{"start", "--addresses=" + addresses}
	if f.options.Development {
		args = append(args, "--development")
	}
	args = append(args, f.options.StartArgs...)
	p := &Process{file: f, cmd: exec.Command(f.binary, append(args, f.Path)...), exited: make(chan struct{})}
	if len(f.options.Env) > 0 {
		p.cmd.Env = append(os.Environ(), f.options.Env...)
	}
	return p
}

// run starts the process and makes sure that it ends.
func (p *Process) run(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(p.file.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.file.starts++
	fmt.Fprintf(log, "--- start %d\n", p.file.starts)
	p.cmd.Stderr = log
	if p.cmd.Stdout == nil {
		p.cmd.Stdout = log
	}
	// The server must not outlive a test binary that its own timeout kills. The signal is bound to
	// the life of the starting thread. So the goroutine that starts and waits stays on its thread.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
}

func (p *Process) listens(port int) {
	p.Port, p.Address = port, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// Await waits until the server accepts connections.
//
// A listening socket may outlive its process for some milliseconds, because the kernel tears down
// an io_uring in the background. It accepts connections and then resets them. So the sockets of
// ended processes do not count.
func (p *Process) Await(within time.Duration) error {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); {
		for _, inode := range listeners(p.Port) {
			if p.file.stale[inode] {
				continue
			}
			if connection, err := net.Dial("tcp", p.Address); err == nil {
				return connection.Close()
			}
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the server has ended: %v\n%s", p.cmd.ProcessState, p.LogTail())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server accepts no connection within %v\n%s", within, p.LogTail())
}

// listeners are the inodes of the sockets that listen on a port.
func listeners(port int) (inodes []string) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // a machine without IPv6
		}
		suffix := fmt.Sprintf(":%04X", port)
		for line := range strings.Lines(string(text)) {
			const listening = "0A"
			if columns := strings.Fields(line); len(columns) > 9 && strings.HasSuffix(columns[1], suffix) && columns[3] == listening {
				inodes = append(inodes, columns[9])
			}
		}
	}
	return inodes
}

// ending records the process's listening sockets just before it ends.
func (p *Process) ending() {
	for _, inode := range listeners(p.Port) {
		p.file.stale[inode] = true
	}
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal to this very process.
func (p *Process) Signal(signal syscall.Signal) error {
	if signal == syscall.SIGTERM {
		p.ending()
	}
	return p.cmd.Process.Signal(signal)
}

// Ended waits for the end of the process and returns its exit status, or -1 after a signal.
func (p *Process) Ended(within time.Duration) (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(within):
		return 0, fmt.Errorf("the server has not ended within %v\n%s", within, p.LogTail())
	}
}

// CloseStdin ends a server that was started with --addresses=0.
func (p *Process) CloseStdin() {
	p.ending()
	p.stdin.Close()
}

// Kill ends the server like a crash (kill -9) and waits until it is gone.
func (p *Process) Kill() {
	p.once.Do(func() {
		if p.Running() {
			p.ending()
		}
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			panic(err) // it is our own child
		}
		<-p.exited
		if p.stdin != nil {
			p.stdin.Close()
		}
	})
}

// Stop ends the server with SIGTERM, like an operator.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("the server was gone before it was stopped: %v\n%s", err, p.LogTail())
	}
	if _, err := p.Ended(p.file.stopWithin); err != nil {
		t.Fatal(err)
	}
	p.Kill()
}

// Running tells whether the process is still there.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// LogTail is the end of the output of the servers on this file.
func (p *Process) LogTail() string { return p.file.LogTail(15) }

// LogTail is the last lines of the output of the servers on this file.
func (f *File) LogTail(linesCount int) string {
	text, _ := os.ReadFile(f.logPath)
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return "the server's output ends with:\n" + string(bytes.Join(lines[max(0, len(lines)-linesCount):], []byte("\n")))
}

// FreePort is a port on 127.0.0.1 that is not in use now.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
