package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/client"
	"ledger/wire"
)

// processes is a cluster of real processes on loopback, each with a data file of its own.
type processes struct {
	t         *testing.T
	addresses []string // of the replicas
	standbys  []string // addresses of the standbys behind them
	metrics   []string
	paths     []string
	replicas  []*follower
}

// follower is a replica's process, and what it has said.
type follower struct {
	*exec.Cmd
	said *shared
}

// newProcesses formats the files of a cluster. Nothing runs yet.
func newProcesses(t *testing.T, count int, arguments ...string) *processes {
	t.Helper()
	p := &processes{t: t, addresses: freeAddresses(t, 2*count), replicas: make([]*follower, count)}
	p.addresses, p.metrics = p.addresses[:count], p.addresses[count:]
	for i := range count {
		p.paths = append(p.paths, formattedOf(t, i, count, arguments...))
	}
	return p
}

// freeAddresses are free at the same time, so they are different.
func freeAddresses(t *testing.T, count int) (addresses []string) {
	t.Helper()
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

// start starts a replica, with more in its environment and its command.
func (p *processes) start(i int, environment []string, arguments ...string) {
	p.t.Helper()
	p.replicas[i] = p.follow(p.paths[i], slices.Concat(p.addresses, p.standbys), environment,
		append([]string{"--metrics-address=" + p.metrics[i]}, arguments...)...)
}

// follow starts a process with a data file and a list of addresses.
func (p *processes) follow(path string, addresses, environment []string, arguments ...string) *follower {
	p.t.Helper()
	arguments = append([]string{"start", "--development", "--addresses=" + strings.Join(addresses, ",")}, arguments...)
	f := &follower{Cmd: command(environment, append(arguments, path)...), said: &shared{}}
	stderr, err := f.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := f.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = f.Process.Kill() })
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(f.said, lines.Text())
		}
	}()
	return f
}

// startAll starts all replicas and waits until they serve clients.
func (p *processes) startAll() {
	p.t.Helper()
	for i := range p.replicas {
		p.start(i, nil)
	}
	for _, f := range p.replicas {
		f.said.await(p.t, "info: listening on ")
	}
}

// client is a client of the cluster with a session.
func (p *processes) client() *client.Client {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	c, err := client.New(ctx, client.Options{Addresses: p.addresses, Cluster: wire.U128From(7)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}

// ready asks a replica whether it serves clients. body says why not.
func (p *processes) ready(i int) (isReady bool, body string) {
	status, body := page(p.metrics[i], "/readyz")
	return status == http.StatusOK, body
}

// page of a metrics endpoint; status 0: it does not answer.
func page(address, path string) (status int, body string) {
	c := http.Client{Timeout: endsWithin}
	response, err := c.Get("http://" + address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	var text strings.Builder
	_, _ = bufio.NewReader(response.Body).WriteTo(&text)
	return response.StatusCode, text.String()
}

// awaitReady waits until a replica serves clients, or does not.
func (p *processes) awaitReady(i int, want bool) {
	p.t.Helper()
	for deadline := time.Now().Add(endsWithin); ; time.Sleep(5 * time.Millisecond) {
		isReady, body := p.ready(i)
		if isReady == want {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("replica %d: ready %v, never %v: %s\n%s", i, isReady, want, body, p.replicas[i].said)
		}
	}
}

// primary is the index of the replica that says it is the primary.
func (p *processes) primary() int {
	p.t.Helper()
	for deadline := time.Now().Add(endsWithin); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for i := range p.replicas {
			_, body := page(p.metrics[i], "/metrics")
			if isReady, _ := p.ready(i); isReady && strings.Contains(body, `ledger_cluster_role_info{role="primary"} 1`) {
				return i
			}
		}
	}
	p.t.Fatal("there is no primary")
	return -1
}

// kill ends a replica like a crash.
func (p *processes) kill(i int) {
	p.t.Helper()
	if err := p.replicas[i].Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	_ = p.replicas[i].Wait()
}

// Goal: three processes serve a client with three addresses. When the primary is killed, the others
// go on with another one and say so in one line; /readyz of each replica follows. The killed one
// comes back and catches up. SIGTERM ends each with status 0.
func TestCluster(t *testing.T) {
	p := newProcesses(t, 3)
	p.startAll()
	c := p.client()
	accounts := uint64(0)
	more := func() {
		t.Helper()
		for range 5 {
			accounts++
			makeAccount(t, c, accounts)
		}
		wantAccounts(t, c, int(accounts))
	}
	more()
	for range 2 {
		dead := p.primary()
		p.kill(dead)
		more()
		alive := p.primary()
		want := fmt.Sprintf(": replica %d is the primary (this one), because nothing was heard of the primary; ", alive)
		p.replicas[alive].said.await(t, want)
		p.start(dead, nil)
		p.awaitReady(dead, true)
		more()
	}
	// Without a quorum nobody serves, and with one again all do.
	dead := p.primary()
	other := (dead + 1) % 3
	p.kill(dead)
	p.kill(other)
	last := 3 - dead - other
	p.awaitReady(last, false)
	if _, body := p.ready(last); !strings.Contains(body, "too few other replicas are heard") && !strings.Contains(body, "choosing a primary") {
		t.Errorf("/readyz of a replica alone: %s", body)
	}
	p.start(dead, nil)
	p.start(other, nil)
	for i := range 3 {
		p.awaitReady(i, true)
	}
	more()
	for i := range 3 {
		if _, body := page(p.metrics[i], "/summary"); !strings.Contains(body, fmt.Sprintf("replica %d of 3, ", i)) {
			t.Errorf("/summary of replica %d: %s", i, body)
		}
	}
	for i, f := range p.replicas {
		if err := f.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := wait(t, f.Cmd); status != exitDone {
			t.Errorf("replica %d: status %d: %s", i, status, f.said)
		}
	}
}

// Goal: a replica whose disk is full ends with the status of a full disk, and the others go on
// serving.
func TestClusterFullDisk(t *testing.T) {
	p := newProcesses(t, 3)
	info, err := os.Stat(p.paths[2])
	if err != nil {
		t.Fatal(err)
	}
	p.start(2, []string{fmt.Sprintf("%s=%d", fileSize, info.Size()+4<<20)})
	p.start(0, nil)
	p.start(1, nil)
	for _, f := range p.replicas {
		f.said.await(t, "info: listening on ")
	}
	running, stopped := context.WithCancel(context.Background())
	status := -1
	go func() {
		defer stopped()
		status = wait(t, p.replicas[2].Cmd)
	}()
	c := p.client()
	made := fillWith(running, t, c)
	if status != exitNoSpace {
		t.Fatalf("status %d after %d transfers, want %d: %s", status, made, exitNoSpace, p.replicas[2].said)
	}
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	found, err := c.LookupTransfers(ctx, []client.U128{{Lo: 1}, {Lo: made}})
	if err != nil || len(found) != 2 {
		t.Fatalf("%d of 2 transfers, error %v", len(found), err)
	}
}
