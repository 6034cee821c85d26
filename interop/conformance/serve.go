package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startWithin is how long a server may take until it accepts connections, and a cluster until a
// replica says that it is the primary.
const startWithin = 2 * time.Minute

// ownServer is a server that this tool has started, with a data folder of its own: one process, or
// one for each replica of a cluster.
type ownServer struct {
	addresses string // for a client
	folder    string
	replicas  []*ownProcess
}

// ownProcess is a process of an ownServer.
type ownProcess struct {
	address string
	logPath string
	command *exec.Cmd
	exited  chan struct{}
}

// startServer runs a shell command that formats a new data file and becomes a server (with exec),
// once for each replica. It finds ADDRESS, PORT and DATA, an empty folder, in its environment, and
// of a cluster REPLICA, REPLICAS and ADDRESSES as well.
func startServer(command string, replicas int) (*ownServer, error) {
	folder, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, err
	}
	s := &ownServer{folder: folder}
	addresses, err := freeAddresses(replicas)
	if err != nil {
		return nil, err
	}
	s.addresses = strings.Join(addresses, ",")
	for i, address := range addresses {
		if err := s.startReplica(command, i, address); err != nil {
			s.stop()
			return nil, err
		}
	}
	for _, p := range s.replicas {
		if err := p.await(); err != nil {
			err = fmt.Errorf("%w; its output ends with:\n%s", err, s.logTail())
			s.stop()
			return nil, err
		}
	}
	return s, nil
}

// freeAddresses are free at the same time, so they are different.
func freeAddresses(count int) (addresses []string, err error) {
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// startReplica starts one process.
func (s *ownServer) startReplica(command string, index int, address string) error {
	data := filepath.Join(s.folder, strconv.Itoa(index))
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	p := &ownProcess{address: address, logPath: filepath.Join(s.folder, fmt.Sprintf("output-%d.log", index)),
		command: exec.Command("sh", "-c", command), exited: make(chan struct{})}
	log, err := os.Create(p.logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	p.command.Stdout, p.command.Stderr = log, log
	_, port, _ := net.SplitHostPort(address)
	p.command.Env = append(os.Environ(), "ADDRESS="+address, "PORT="+port, "DATA="+data, "ADDRESSES="+s.addresses,
		fmt.Sprintf("REPLICA=%d", index), fmt.Sprintf("REPLICAS=%d", strings.Count(s.addresses, ",")+1))
	// The server must not outlive a tool that is killed.
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return err
	}
	s.replicas = append(s.replicas, p)
	go func() {
		p.command.Wait()
		close(p.exited)
	}()
	return nil
}

// await waits until the server accepts connections.
func (p *ownProcess) await() error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); {
		if connection, err := net.Dial("tcp", p.address); err == nil {
			return connection.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the server has ended: %v", p.command.ProcessState)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server does not accept connections")
}

// primaryLine is what a replica says of itself when clients are served in a new view.
var primaryLine = regexp.MustCompile(`view (\d+): replica (\d+) is the primary`)

// killPrimary ends the primary of the newest view that any replica has told of, as a crash does.
func (s *ownServer) killPrimary() error {
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		view, primary := -1, -1
		for _, p := range s.replicas {
			text, err := os.ReadFile(p.logPath)
			if err != nil {
				return err
			}
			for _, match := range primaryLine.FindAllSubmatch(text, -1) {
				if number, _ := strconv.Atoi(string(match[1])); number > view {
					view = number
					primary, _ = strconv.Atoi(string(match[2]))
				}
			}
		}
		if primary < 0 || primary >= len(s.replicas) {
			continue // no replica has said it yet
		}
		fmt.Printf("killing replica %d, the primary of view %d\n", primary, view)
		return s.replicas[primary].command.Process.Kill()
	}
	return fmt.Errorf("no replica has said who is the primary")
}

// stop ends the server and removes its data.
func (s *ownServer) stop() {
	for _, p := range s.replicas {
		p.command.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range s.replicas {
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
			p.command.Process.Kill()
			<-p.exited
		}
	}
	os.RemoveAll(s.folder)
}

// logTail is the end of what each process has written.
func (s *ownServer) logTail() string {
	var out strings.Builder
	for i, p := range s.replicas {
		text, _ := os.ReadFile(p.logPath)
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		fmt.Fprintf(&out, "process %d:\n%s\n", i, bytes.Join(lines[max(0, len(lines)-10):], []byte("\n")))
	}
	return out.String()
}
