package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// startWithin is how long a server may take until it accepts connections.
const startWithin = 2 * time.Minute

// ownServer is a server that this tool has started, with a data folder of its own.
type ownServer struct {
	address string
	folder  string
	process *exec.Cmd
	exited  chan struct{}
}

// startServer runs a shell command that formats a new data file and becomes a server
// (with exec). It finds ADDRESS, PORT and DATA, an empty folder, in its environment.
func startServer(command string) (*ownServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	folder, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	s := &ownServer{
		address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		folder:  folder,
		process: exec.Command("sh", "-c", command),
		exited:  make(chan struct{}),
	}
	log, err := os.Create(s.logPath())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.process.Stdout, s.process.Stderr = log, log
	s.process.Env = append(os.Environ(), "ADDRESS="+s.address, fmt.Sprintf("PORT=%d", port), "DATA="+folder)
	// The server must not outlive a tool that is killed.
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.process.Wait()
		close(s.exited)
	}()
	if err := s.await(); err != nil {
		err = fmt.Errorf("%w; its output ends with:\n%s", err, s.logTail())
		s.stop()
		return nil, err
	}
	return s, nil
}

// await waits until the server accepts connections.
func (s *ownServer) await() error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); {
		if connection, err := net.Dial("tcp", s.address); err == nil {
			return connection.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server has ended: %v", s.process.ProcessState)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server does not accept connections")
}

// stop ends the server and removes its data.
func (s *ownServer) stop() {
	s.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(5 * time.Second):
		s.process.Process.Kill()
		<-s.exited
	}
	os.RemoveAll(s.folder)
}

func (s *ownServer) logPath() string { return filepath.Join(s.folder, "output.log") }

// logTail is the end of what the server has written.
func (s *ownServer) logTail() string {
	text, _ := os.ReadFile(s.logPath())
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
}
