//go:build !race

// The race detector keeps records beside all memory, which the figures of start do not count.

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/client"
	"ledger/replica"
	"ledger/wire"
)

var memoryGroup = flag.String("memory-group", "",
	"a directory of a control group in which TestControlGroup may make a group with a limit of memory, as in /sys/fs/cgroup/ci")

// production is a server with a file of many clients, small caches and no --development, started by
// a shell that runs prepare first; prepare may be empty.
type production struct {
	*exec.Cmd
	stderr           *bytes.Buffer
	address, metrics string
}

const mostClients = 1024

// smallCaches leave the message slots as the largest part of what load can touch.
var smallCaches = []string{"--cache-grid=128MiB", "--cache-accounts=16MiB", "--limit-storage=8GiB"}

// formattedFor makes a data file with so many client sessions.
func formattedFor(t *testing.T, clients int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.data")
	status, _, stderr := ended(t, nil, "format", "--cluster=0", "--replica=0", "--replica-count=1", "--development",
		fmt.Sprintf("--clients-max=%d", clients), path)
	if status != exitDone {
		t.Fatalf("format: status %d: %s", status, stderr)
	}
	return path
}

// freePort is a port that nothing listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// inProduction starts a server and waits until it announces its port.
func inProduction(t *testing.T, prepare, path string, arguments ...string) *production {
	t.Helper()
	p := &production{metrics: freePort(t), stderr: &bytes.Buffer{}}
	arguments = append(append([]string{"start", "--addresses=0", "--metrics-address=" + p.metrics}, arguments...), path)
	p.Cmd = prepared(prepare, arguments...)
	p.Stderr = p.stderr
	stdin, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		stdin.Close()
		_ = p.Wait() // it may have been waited for
	})
	line, err := io.ReadAll(stdout) // the server closes stdout behind the port
	if err != nil || len(line) == 0 {
		_ = p.Process.Kill()
		_ = p.Wait()
		t.Fatalf("no port on stdout: %q, %v\n%s", line, err, p.stderr)
	}
	p.address = "127.0.0.1:" + strings.TrimSpace(string(line))
	return p
}

// prepared is a command that a shell becomes after it has run prepare.
func prepared(prepare string, arguments ...string) *exec.Cmd {
	if prepare == "" {
		return command(nil, arguments...)
	}
	shell := exec.Command("/bin/sh", append([]string{"-ec", prepare + "\nexec \"$0\" \"$@\"", os.Args[0]}, arguments...)...)
	shell.Env = append(os.Environ(), asCommand+"=1")
	return shell
}

// stopped ends the server by SIGTERM and returns what it printed.
func (p *production) stopped(t *testing.T) string {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, p.Cmd); status != exitDone {
		t.Errorf("status %d after SIGTERM:\n%s", status, p.stderr)
	}
	return p.stderr.String()
}

// figure reads a number of the metrics page, summed over its labels.
func (p *production) figure(t *testing.T, name string) (sum uint64) {
	t.Helper()
	answer, err := http.Get("http://" + p.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(page)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sum, found = sum+uint64(value), true
	}
	if !found {
		t.Fatalf("no %s in\n%s", name, page)
	}
	return sum
}

var memoryLine = regexp.MustCompile(`info: memory: (\d+) MiB expected, (\d+) MiB at most`)

// printedFigures are those of the line of start, in MiB.
func printedFigures(t *testing.T, stderr string) (expected, most int) {
	t.Helper()
	match := memoryLine.FindStringSubmatch(stderr)
	if match == nil {
		t.Fatalf("no line with the figures of memory:\n%s", stderr)
	}
	expected, _ = strconv.Atoi(match[1])
	most, _ = strconv.Atoi(match[2])
	return expected, most
}

// needMachine skips on a machine that has no room for what the test makes resident.
func needMachine(t *testing.T, mebibytes int) {
	t.Helper()
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Skipf("how much memory is free is not known: %v", err)
	}
	for line := range strings.Lines(string(meminfo)) {
		kibibytes := 0
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kibibytes); err == nil && kibibytes>>10 < mebibytes {
			t.Skipf("%d MiB of memory are free, the test takes up to %d", kibibytes>>10, mebibytes)
		}
	}
}

// rawClient speaks the protocol by hand, so that it can stop in the middle of a message.
type rawClient struct {
	net.Conn
	fields wire.RequestFields
}

// sealed builds a request in buffer, whose body is in place.
func (c *rawClient) sealed(buffer []byte, operation wire.Operation) []byte {
	c.fields.Operation, c.fields.Release = operation, wire.ReleaseCurrent
	wire.BuildRequest(wire.HeaderOf(buffer), &c.fields, buffer[wire.HeaderBytes:])
	return buffer
}

// ask sends a request and reads the reply, whose size it returns.
func (c *rawClient) ask(request []byte) (replyBytes int, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	header := make([]byte, wire.HeaderBytes)
	if _, err := io.ReadFull(c, header); err != nil {
		return 0, err
	}
	h := wire.HeaderOf(header)
	if h.Command() != wire.CommandReply {
		return 0, fmt.Errorf("command %d, want a reply", h.Command())
	}
	if c.fields.Session == 0 {
		c.fields.Session = h.ReplyCommit()
	}
	c.fields.Parent, c.fields.View, c.fields.Number = h.ReplyContext(), h.View(), c.fields.Number+1
	_, err = io.CopyN(io.Discard, c, int64(h.SizeBytes())-wire.HeaderBytes)
	return int(h.SizeBytes()), err
}

const largestBatch = 8189 // events of a full message

// batchOf is a message with room for a header and with records as its body.
func batchOf[T any](operation wire.Operation, records []T) []byte {
	var one T
	events := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(records))), len(records)*int(unsafe.Sizeof(one)))
	size := uint64(len(events)) + wire.TrailerBytes(operation.EventBytes(), 1)
	message := make([]byte, wire.HeaderBytes+size)
	encoder := wire.NewBatchEncoder(message[wire.HeaderBytes:], operation.EventBytes(), 1)
	encoder.EndBatch(copy(encoder.Free(), events) / int(operation.EventBytes()))
	return message[:wire.HeaderBytes+len(encoder.Finish())]
}

// fillSlots makes all that clients can reach resident: each has a session whose last reply is a
// message of full size, and is in the middle of sending another full message.
func fillSlots(t *testing.T, p *production) {
	accounts, ids := make([]accounting.Account, largestBatch), make([]wire.U128, largestBatch)
	for i := range accounts {
		ids[i] = wire.U128From(uint64(1 + i))
		accounts[i] = accounting.Account{ID: ids[i], Ledger: 1, Code: 1}
	}
	create, lookup := batchOf(wire.OperationCreateAccounts, accounts), batchOf(wire.OperationLookupAccounts, ids)
	one := func(index int, create, lookup []byte) error {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		c := &rawClient{Conn: conn, fields: wire.RequestFields{Client: wire.U128From(uint64(1000 + index))}}
		if _, err := c.ask(c.sealed(make([]byte, wire.HeaderBytes+wire.RegisterBodyBytes), wire.OperationRegister)); err != nil {
			return fmt.Errorf("register: %w", err)
		}
		if index == 0 {
			if _, err := c.ask(c.sealed(create, wire.OperationCreateAccounts)); err != nil {
				return fmt.Errorf("accounts: %w", err)
			}
		}
		size, err := c.ask(c.sealed(lookup, wire.OperationLookupAccounts))
		if err != nil || size < largestBatch*wire.AccountBytes {
			return fmt.Errorf("lookup: a reply of %d bytes, error %w", size, err)
		}
		message := c.sealed(create, wire.OperationCreateAccounts)
		if _, err := c.Write(message[:len(message)-1]); err != nil {
			return fmt.Errorf("a message that does not end: %w", err)
		}
		return nil
	}
	if err := one(0, create, lookup); err != nil {
		t.Fatal(err)
	}
	next := make(chan int)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			create, lookup := bytes.Clone(create), bytes.Clone(lookup)
			for index := range next {
				if err := one(index, create, lookup); err != nil {
					t.Errorf("client %d: %v", index, err)
				}
			}
		})
	}
	for index := 1; index < mostClients; index++ {
		next <- index
	}
	close(next)
	running.Wait()
}

// Goal: the figure at most is true. 1,024 clients, each with a reply and an unfinished message of
// full size, and garbage of the metrics pages make the server larger than it was said to be needed
// before there were two figures, and not larger than the figure at most.
func TestMostMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes 3 GiB resident")
	}
	needMachine(t, 6<<10)
	path := formattedFor(t, mostClients)
	p := inProduction(t, "", path, smallCaches...)
	fillSlots(t, p)
	for range 64 { // a page looks at each of the pages that are reserved, and leaves garbage
		answer, err := http.Get("http://" + p.metrics + "/summary")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	// The last bytes that were sent may still be on their way into slots.
	const sent = mostClients * largestBatch * wire.AccountBytes
	deadline := time.Now().Add(endsWithin)
	for slots := uint64(0); slots < 2*sent; slots = p.figure(t, `ledger_memory_resident_bytes{class="slot"`) {
		if time.Now().After(deadline) {
			t.Fatalf("%d MiB of slots are resident, want %d for what was sent", slots>>20, 2*sent>>20)
		}
	}
	gone := p.figure(t, "ledger_go_memory_bytes")
	largest := p.figure(t, "ledger_memory_largest_bytes")
	peak := memoryPeakMiB(t, p.Process.Pid)
	expected, most := printedFigures(t, p.stopped(t))
	t.Logf("%d MiB were resident at most, %d of them Go's at the end; printed: %d expected, %d at most", peak, gone>>20, expected, most)
	if peak > most {
		t.Errorf("%d MiB were resident, more than the %d that start printed as the most", peak, most)
	}
	if peak <= expected || peak < 2*sent>>20 {
		t.Errorf("%d MiB were resident at most: the load did not reach all slots", peak)
	}
	if int(largest>>20) != most && int(largest>>20) != most-1 {
		t.Errorf("the metrics say %d bytes at most, start %d MiB", largest, most)
	}

	// The next start reads the replies of the checkpoint into Go's memory, and copies them into
	// slots. Go gives its memory back then.
	p = inProduction(t, "", path, smallCaches...)
	gone, peak = p.figure(t, "ledger_go_memory_bytes"), memoryPeakMiB(t, p.Process.Pid)
	expected, most = printedFigures(t, p.stopped(t))
	t.Logf("the next start: %d MiB were resident at most, %d of them Go's at the end; printed: %d expected, %d at most",
		peak, gone>>20, expected, most)
	if peak > most || expected > most {
		t.Errorf("the next start: %d MiB were resident, more than the %d that start printed as the most", peak, most)
	}
	if gone > replica.GoHeapBytesMax {
		t.Errorf("the next start: Go's memory is %d MiB, its limit is %d", gone>>20, replica.GoHeapBytesMax>>20)
	}
}

// Goal: the expected figure is what usual load comes to: not less than what it makes resident, and
// not more than three times as much.
func TestExpectedMemory(t *testing.T) {
	needMachine(t, 2<<10)
	p := inProduction(t, "", formattedFor(t, 64), "--cache-grid=128MiB", "--cache-accounts=64MiB", "--limit-storage=8GiB")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for index := range uint64(4) {
		running.Go(func() {
			c, err := client.New(ctx, client.Options{Addresses: []string{p.address}})
			if err != nil {
				t.Errorf("client %d: %v", index, err)
				return
			}
			defer c.Close()
			accounts := make([]client.Account, largestBatch)
			for i := range accounts {
				accounts[i] = client.Account{ID: client.U128{Lo: index<<40 + uint64(i) + 1}, Ledger: 1, Code: 1}
			}
			if _, err := c.CreateAccounts(ctx, accounts); err != nil {
				t.Errorf("client %d: %v", index, err)
			}
			transfers := make([]client.Transfer, largestBatch)
			for round := range uint64(40) { // 1.3 million in all: several memtables are filled and flushed
				for i := range transfers {
					n := round*largestBatch + uint64(i)
					transfers[i] = client.Transfer{
						ID: client.U128{Lo: index<<40 + n + 1}, Amount: client.U128{Lo: 1}, Ledger: 1, Code: 1,
						DebitAccountID: accounts[i].ID, CreditAccountID: accounts[(i+1)%largestBatch].ID,
					}
				}
				if _, err := c.CreateTransfers(ctx, transfers); err != nil {
					t.Errorf("client %d, round %d: %v", index, round, err)
					return
				}
			}
		})
	}
	running.Wait()
	peak := memoryPeakMiB(t, p.Process.Pid)
	expected, most := printedFigures(t, p.stopped(t))
	t.Logf("%d MiB were resident at most; printed: %d expected, %d at most", peak, expected, most)
	if peak > expected || expected > 3*peak {
		t.Errorf("%d MiB are expected, %d were resident", expected, peak)
	}
}

// limitFileOf is the file with the limit of memory of the control group that the test is in.
func limitFileOf(t *testing.T) string {
	t.Helper()
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skipf("the kernel has no control groups: %v", err)
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, file := range []string{
			"/sys/fs/cgroup/" + fields[1] + fields[2] + "/memory.limit_in_bytes", "/sys/fs/cgroup/" + fields[1] + "/memory.limit_in_bytes",
			"/sys/fs/cgroup" + fields[2] + "/memory.max", "/sys/fs/cgroup/memory.max",
		} {
			if _, err := os.Stat(file); err == nil {
				return file
			}
		}
	}
	t.Skip("no control group that limits memory is mounted at /sys/fs/cgroup")
	return ""
}

// Goal: a process reads the limit of its control group by the kernel's own /proc, of the version
// that runs here. In a mount namespace of its own another file lies over the file with the limit,
// so that no control group is changed.
func TestLimitOfControlGroup(t *testing.T) {
	limitFile, path := limitFileOf(t), formattedFor(t, 64)
	limit := filepath.Join(t.TempDir(), "limit")
	run := func(limitMiB int, arguments ...string) (status int, stderr string) {
		if err := os.WriteFile(limit, fmt.Appendf(nil, "%d\n", limitMiB<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(append([]string{"start", "--addresses=0"}, arguments...), path)
		process := prepared(fmt.Sprintf("mount --bind '%s' '%s'", limit, limitFile), arguments...)
		process.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		if os.Getuid() != 0 {
			process.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			process.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
			process.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		}
		var out bytes.Buffer
		process.Stderr = &out
		stdin, err := process.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		stdout, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Skipf("a process with a mount namespace of its own cannot be started: %v", err)
		}
		if port, _ := io.ReadAll(stdout); len(port) > 0 { // else it has ended
			if err := process.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		status = wait(t, process)
		if strings.Contains(out.String(), "mount:") {
			t.Skipf("a file cannot be mounted over %s: %s", limitFile, out.String())
		}
		return status, out.String()
	}
	status, stderr := run(600)
	if status != exitRefused {
		t.Errorf("production defaults in 600 MiB: status %d, want %d", status, exitRefused)
	}
	for _, part := range []string{"MiB are expected to be used and", "MiB may be at most",
		"allows 600 MiB", "control group /", filepath.Base(limitFile), "--cache-grid"} {
		if !strings.Contains(stderr, part) {
			t.Errorf("production defaults in 600 MiB: the line does not say %q:\n%s", part, stderr)
		}
	}
	status, stderr = run(1200, "--cache-grid=128MiB")
	if status != exitDone || !strings.Contains(stderr, "warning: memory: ") || !strings.Contains(stderr, "allows 1200 MiB") {
		t.Errorf("small caches in 1200 MiB: status %d, want a warning:\n%s", status, stderr)
	}
	status, stderr = run(3000, "--development")
	if status != exitDone || strings.Contains(stderr, "warning: memory") || !strings.Contains(stderr, "allows 3000 MiB") {
		t.Errorf("development in 3000 MiB: status %d, want no warning:\n%s", status, stderr)
	}
}

// Goal: under a limit equal to the figure at most, the kernel does not kill the server under any
// load. The limit leaves room for buffers of sockets, which the kernel charges to the group.
func TestControlGroup(t *testing.T) {
	if *memoryGroup == "" {
		t.Skip("no control group may be made here: name a directory for it by -memory-group=DIR, as in -memory-group=/sys/fs/cgroup/ci")
	}
	group := filepath.Join(*memoryGroup, fmt.Sprintf("ledger-test-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	limitFile := filepath.Join(group, "memory.max")
	if _, err := os.Stat(limitFile); err != nil {
		limitFile = filepath.Join(group, "memory.limit_in_bytes")
	}
	path := formattedFor(t, mostClients)
	_, most := printedFigures(t, inProduction(t, "", path, smallCaches...).stopped(t))
	const socketsMiB = 1024
	if err := os.WriteFile(limitFile, fmt.Appendf(nil, "%d\n", (most+socketsMiB)<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := inProduction(t, fmt.Sprintf("echo $$ > '%s/cgroup.procs'", group), path, smallCaches...)
	fillSlots(t, p)
	t.Logf("%d MiB were resident at most under a limit of %d", memoryPeakMiB(t, p.Process.Pid), most+socketsMiB)
	allowed := fmt.Sprintf("allows %d MiB", most+socketsMiB)
	if stderr := p.stopped(t); !strings.Contains(stderr, allowed) || strings.Contains(stderr, "warning: memory") {
		t.Errorf("the limit of %d MiB is not read, or not enough:\n%s", most+socketsMiB, stderr)
	}
}
