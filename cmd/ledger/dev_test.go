package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/client"
)

// shared is a buffer for several goroutines.
type shared struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.text.Write(b)
}

func (s *shared) String() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.text.String()
}

// await a part of the text.
func (s *shared) await(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(endsWithin); !strings.Contains(s.String(), want); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %q in\n%s", want, s)
		}
		time.Sleep(time.Millisecond)
	}
}

// scripted is a development cluster whose replicas are a shell script; $i is the number of a
// replica.
func scripted(t *testing.T, script string) (d *devCluster, said *shared, ended chan error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "replica")
	text := "#!/bin/sh\ncase \"$*\" in *0.data) i=0;; *1.data) i=1;; *) i=2;; esac\necho \"called $*\" >&2\n" + script
	if err := os.WriteFile(program, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	said, ended = &shared{}, make(chan error, 1)
	d, err := newDevCluster(&streams{err: said}, "folder", 3, 4001)
	if err != nil {
		t.Fatal(err)
	}
	d.program = program
	return d, said, ended
}

const (
	listens = "echo '2026-01-01T00:00:00.000Z info: listening on 127.0.0.1:1' >&2\n"
	lives   = "trap 'echo stopped >&2; exit 0' TERM\nwhile :; do sleep 0.02; done\n"
)

// Goal: dev starts each replica with its own file, the addresses of all and a port for its metrics,
// says when all serve clients, and on SIGTERM ends all of them and then itself.
func TestDevCluster(t *testing.T) {
	d, said, ended := scripted(t, listens+lives)
	go func() { ended <- d.serve() }()
	said.await(t, "ready: connect any official TigerBeetle client to cluster 0 at 127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003;")
	for i := range 3 {
		want := fmt.Sprintf("replica %d: called start --development --addresses=127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003 "+
			"--metrics-address=127.0.0.1:%d folder/%d.data", i, 4011+i, i)
		said.await(t, want)
		said.await(t, fmt.Sprintf("replica %d is process %d", i, d.processes[i].Process.Pid))
	}
	// A replica that is killed leaves the others alone.
	if err := d.processes[1].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	said.await(t, "replica 1 has ended (signal: killed); the others go on")
	if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	for i, process := range d.processes {
		if process.ProcessState == nil || i != 1 && process.ProcessState.ExitCode() != 0 {
			t.Errorf("replica %d: %v", i, process.ProcessState)
		}
	}
	if text := said.String(); strings.Count(text, "ready: ") != 1 || strings.Count(text, ": stopped") != 2 {
		t.Errorf("said\n%s", text)
	}
}

// Goal: a replica that cannot start ends the others and dev, with its status; when the last replica
// ends by itself, dev ends with an error.
func TestDevClusterFails(t *testing.T) {
	d, said, ended := scripted(t, "if [ $i = 2 ]; then echo broken >&2; exit 3; fi\n"+listens+lives)
	go func() { ended <- d.serve() }()
	err := <-ended
	if statusOf(err) != exitDamage || !strings.Contains(err.Error(), "replica 2 has ended (exit status 3) before all") {
		t.Errorf("status %d: %v", statusOf(err), err)
	}
	if text := said.String(); !strings.Contains(text, "replica 2: broken") || strings.Contains(text, "ready") {
		t.Errorf("said\n%s", text)
	}

	d, said, ended = scripted(t, listens+lives)
	go func() { ended <- d.serve() }()
	said.await(t, "ready: ")
	for _, process := range d.processes {
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; err == nil || statusOf(err) != exitRefused {
		t.Errorf("all replicas were killed: %v", err)
	}
}

// Goal: dev makes the files of all replicas in one folder, which gets its name when they are whole.
// It refuses a folder of another number of replicas, and one that lacks a file.
func TestDevFiles(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cluster")
	making := folder + makingSuffix
	if err := os.Mkdir(making, 0o700); err != nil { // a command that was killed left a part
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(making, "1.data"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	makeFiles := func(replicas int) (said string, err error) {
		var out bytes.Buffer
		d, err := newDevCluster(&streams{err: &out}, folder, replicas, devPort)
		if err != nil {
			t.Fatal(err)
		}
		err = d.makeFiles()
		return out.String(), err
	}
	if said, err := makeFiles(2); err != nil || !strings.Contains(said, "made "+folder+" with the files of 2 replicas") {
		t.Fatalf("%q, %v", said, err)
	}
	if _, err := os.Stat(making); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", making, err)
	}
	incarnations := map[uint64]bool{}
	for i := range 2 {
		s := superblockOf(t, filepath.Join(folder, fmt.Sprintf("%d.data", i)))
		if int(s.Replica) != i || s.ReplicasCount != 2 || !s.Cluster.IsZero() {
			t.Errorf("file %d: %+v", i, s.Superblock)
		}
		incarnations[s.Incarnation] = true
	}
	if len(incarnations) != 2 {
		t.Error("the files have one incarnation")
	}
	if said, err := makeFiles(2); err != nil || said != "" {
		t.Errorf("again: %q, %v", said, err)
	}
	if _, err := makeFiles(3); err == nil || !strings.Contains(err.Error(), "replica 0 of 2: use --replicas=2") {
		t.Errorf("of 3: %v", err)
	}
	if err := os.Remove(filepath.Join(folder, "1.data")); err != nil {
		t.Fatal(err)
	}
	if _, err := makeFiles(2); err == nil || !strings.Contains(err.Error(), "1.data does not exist") ||
		!strings.Contains(err.Error(), "remove all of") {
		t.Errorf("one is missing: %v", err)
	}
}

// devPortFree is a first port of which all ports of a development cluster are free.
func devPortFree(t *testing.T, replicas int) int {
	t.Helper()
	for range 1000 {
		address := netip.MustParseAddrPort(freeAddress(t))
		isFree := address.Port() <= 65000
		for i := range 2 * replicas {
			port := address.Port() + uint16(i%replicas+i/replicas*devMetricsAfter)
			listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(address.Addr(), port)))
			if isFree = isFree && err == nil; err == nil {
				listener.Close()
			}
		}
		if isFree {
			return int(address.Port())
		}
	}
	t.Fatal("no free ports")
	return 0
}

// Goal: one command makes the files of three replicas in one folder and serves clients with three
// real processes. One of them that is killed is visible in a line, the others go on, and SIGTERM
// ends all and the command with status 0.
func TestDevServes(t *testing.T) {
	folder, port := filepath.Join(t.TempDir(), "cluster"), devPortFree(t, 3)
	process, said := command(nil, "dev", "--replicas=3", fmt.Sprintf("--port=%d", port), folder), &shared{}
	process.Stderr = said
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Signal(unix.SIGTERM) })
	said.await(t, "ready: connect any official TigerBeetle client to cluster 0 at ")
	var addresses []string
	for i := range 3 {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port+i))
		if _, err := os.Stat(filepath.Join(folder, fmt.Sprintf("%d.data", i))); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	c, err := client.New(ctx, client.Options{Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	makeAccount(t, c, 1)
	line := lineWith(said.String(), "replica 1 is process ")
	pid := 0
	if _, err := fmt.Sscanf(line, "replica 1 is process %d", &pid); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	said.await(t, "replica 1 has ended (signal: killed); the others go on")
	makeAccount(t, c, 2)
	wantAccounts(t, c, 2)
	if err := process.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, process); status != exitDone {
		t.Errorf("status %d: %s", status, said)
	}
}
