package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	ticksPerSecond = 100 // of processor times in /proc; the same on all machines
	stopTimeout    = 30 * time.Second
	startTimeout   = 2 * time.Minute // reserving memory and a log on a slow disk
)

// ServerOptions of a server that is started for one load.
type ServerOptions struct {
	Binary string
	// File is the data file. It is made here, and kept if it was named. "" means a temporary file
	// in the working directory, because the disk matters.
	File string
	// FormatFlags and StartFlags are passed on, as in --clients-max=100 and --cache-grid=1GiB.
	FormatFlags []string
	StartFlags  []string
	// Metrics gives the server a metrics endpoint, at Server.MetricsAddress.
	Metrics bool
	// Log gets the server's standard error. If it is nil, only the end is kept, for errors.
	Log io.Writer
}

// Server is a server process that was started here.
type Server struct {
	Address        string
	MetricsAddress string // "" without ServerOptions.Metrics
	file           string
	isTemp         bool
	emptyBytes     int64
	command        *exec.Cmd
	stdin          io.Closer
	log            *tail
	exited         chan struct{} // closed when the process has ended
}

// StartServer makes a data file and starts a server on it, on a free port of 127.0.0.1.
func StartServer(ctx context.Context, options ServerOptions) (*Server, error) {
	s := &Server{file: options.File, log: &tail{to: options.Log}, exited: make(chan struct{})}
	if s.file == "" {
		// The name is free; format makes the file itself.
		named, err := os.CreateTemp(".", "0_0-*.ledger.benchmark")
		if err != nil {
			return nil, fmt.Errorf("making a data file: %w", err)
		}
		s.file, s.isTemp = named.Name(), true
		_ = named.Close()
		_ = os.Remove(s.file)
	}
	arguments := append([]string{"format", "--cluster=0", "--replica=0", "--replica-count=1"}, options.FormatFlags...)
	format := exec.CommandContext(ctx, options.Binary, append(arguments, s.file)...)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format %s: %w\n%s", s.file, err, bytes.TrimSpace(out))
	}
	if err := s.start(options); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(options ServerOptions) error {
	status, err := os.Stat(s.file)
	if err != nil {
		return err
	}
	s.emptyBytes = status.Size()
	arguments := append([]string{"start", "--addresses=0"}, options.StartFlags...)
	if options.Metrics {
		if s.MetricsAddress, err = freeAddress(); err != nil {
			return err
		}
		arguments = append(arguments, "--metrics-address="+s.MetricsAddress)
	}
	s.command = exec.Command(options.Binary, append(arguments, s.file)...)
	s.command.Stderr = s.log
	// The server has a process group of its own. So an interrupt from the terminal reaches only
	// this process, which stops the server in order.
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := s.command.StdinPipe() // the server ends when this is closed, even if this process crashes
	if err != nil {
		return err
	}
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", options.Binary, err)
	}
	s.stdin = stdin
	impatient := time.AfterFunc(startTimeout, func() { _ = s.command.Process.Kill() })
	defer impatient.Stop()
	printed, err := bufio.NewReader(stdout).ReadString('\n')
	port := strings.TrimSpace(printed)
	if err != nil || port == "" {
		_ = stdin.Close()
		_ = s.command.Wait()
		return fmt.Errorf("the server did not start:\n%s", s.log.text())
	}
	go func() {
		_ = s.command.Wait() // its status is in ProcessState
		close(s.exited)
	}()
	s.Address = "127.0.0.1:" + port
	return nil
}

// MemoryBytes is the resident memory of the process, or 0 if the kernel does not tell.
func (s *Server) MemoryBytes() int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.command.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// CPUNs is the processor time of the process so far, in steps of 10 ms, or 0 if the kernel does not
// tell.
func (s *Server) CPUNs() int64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	if err != nil {
		return 0
	}
	// Field 2, the name in parentheses, may have spaces. Fields 14 and 15 are user and system time.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	ticks := int64(0)
	for _, field := range fields[11:13] {
		count, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += count
	}
	return ticks * int64(time.Second/ticksPerSecond)
}

// Exited is closed when the process has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Stop ends the server, removes a temporary data file, and returns the server's resource usage. One
// whose file is kept is stopped in order, so that the next start on the file is short. The other
// one ends at once.
func (s *Server) Stop() (*ServerResult, error) {
	if s.isTemp {
		_ = s.stdin.Close()
	} else {
		_ = s.command.Process.Signal(syscall.SIGTERM)
	}
	impatient := time.AfterFunc(stopTimeout, func() { _ = s.command.Process.Kill() })
	<-s.exited
	impatient.Stop()
	_ = s.stdin.Close()
	defer s.remove()
	state := s.command.ProcessState
	if !state.Success() {
		return nil, fmt.Errorf("the server ended with %v:\n%s", state, s.log.text())
	}
	r := &ServerResult{FileBytesEmpty: s.emptyBytes, CPUNs: int64(state.UserTime() + state.SystemTime())}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		r.MemoryBytesMax = usage.Maxrss << 10 // Linux counts KiB
	}
	status, err := os.Stat(s.file)
	if err != nil {
		return nil, err
	}
	r.FileBytes = status.Size()
	if status, ok := status.Sys().(*syscall.Stat_t); ok {
		r.FileBytesOccupied = status.Blocks * 512
	}
	return r, nil
}

func (s *Server) remove() {
	if s.isTemp {
		_ = os.Remove(s.file)
	}
}

// tailBytes is the number of bytes of a log in an error.
const tailBytes = 4096

// tail passes a log on and keeps its end.
type tail struct {
	to   io.Writer
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.kept = append(t.kept, p...)
	if excess := len(t.kept) - tailBytes; excess > 0 {
		t.kept = append(t.kept[:0], t.kept[excess:]...)
	}
	t.mu.Unlock()
	if t.to == nil {
		return len(p), nil
	}
	return t.to.Write(p)
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.kept))
}
