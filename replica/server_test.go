package replica

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/affinity"
	"ledger/client"
	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/storage/datafile"
	"ledger/wire"
)

// kinds of kernel interface that every test runs with.
var kinds = map[string]IOKind{"uring": IOUring, "posix": IOPosix}

// shapes of server that every test runs with. The short log takes a checkpoint every 128 ops.
func shapes() map[string]limits.Limits {
	short := func(l limits.Limits) limits.Limits {
		l.JournalSlotsCount = 256
		l.CacheGridBytes, l.CacheAccountsMax = 32<<20, 1<<16
		return l
	}
	workers := short(limits.Development())
	workers.CompactWorkers = 3
	return map[string]limits.Limits{"production": short(limits.Production()), "development": short(limits.Development()), "workers": workers}
}

// everywhere runs a test over all kinds and shapes.
func everywhere(t *testing.T, test func(t *testing.T, kind IOKind, l limits.Limits)) {
	for shape, l := range shapes() {
		if testing.Short() && shape != "development" {
			continue // the same threads with more memory
		}
		for name, kind := range kinds {
			t.Run(shape+"/"+name, func(t *testing.T) { test(t, kind, l) })
		}
	}
}

// formatted makes a data file on a real disk.
func formatted(t testing.TB, l limits.Limits) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.data")
	file, err := posix.OpenDataFile(path, posix.OpenOptions{Create: true, DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	memory := arena.New()
	defer memory.Close()
	if err := datafile.Format(file, &l, &datafile.FormatOptions{ReplicasCount: 1, Incarnation: 1},
		memory.Bytes(uint64(l.MessageBytesMax), 4096, "format")); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// running is a server of a test.
type running struct {
	t       testing.TB
	server  *Server
	file    *posix.DataFile
	fd      int
	address string
	ended   chan error
	closed  bool
}

// opened prepares a server without running it. It has l.CompactWorkers workers of compaction,
// wherever the kernel puts them.
func opened(t testing.TB, path string, l limits.Limits, kind IOKind) (*running, error) {
	t.Helper()
	return openedWith(t, path, l, ServerOptions{IO: kind})
}

func openedWith(t testing.TB, path string, l limits.Limits, o ServerOptions) (*running, error) {
	t.Helper()
	r := &running{t: t, ended: make(chan error, 8)}
	var err error
	if r.file, err = posix.OpenDataFile(path, posix.OpenOptions{DirectOptional: true, SectorBytes: l.SectorBytes}); err != nil {
		t.Fatal(err)
	}
	topology, err := affinity.System()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := affinity.Place(topology, affinity.AutoRequest())
	if err != nil {
		t.Fatal(err)
	}
	plan.Threads = plan.Threads[:plan.CompactThreads()[0]+1]
	for worker := 1; worker < int(l.CompactWorkers); worker++ {
		plan.Threads = append(plan.Threads, affinity.Thread{Stages: []affinity.Stage{affinity.Compact}, Worker: worker})
	}
	if r.server, err = NewServer(r.file, l, plan, o); err != nil {
		r.file.Close()
		return nil, err
	}
	return r, nil
}

// started runs a server; it is stopped at the test's end at the latest.
func started(t testing.TB, path string, l limits.Limits, kind IOKind) *running {
	t.Helper()
	r, err := opened(t, path, l, kind)
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	return r
}

func (r *running) run() {
	r.t.Helper()
	ready, err := r.listen()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.close)
	select {
	case <-ready:
	case err := <-r.ended:
		r.t.Fatalf("the server ended at start: %v", err)
	case <-time.After(replyWithin):
		r.t.Fatal("the server does not get ready")
	}
}

// listen runs the server; ready is closed when it serves.
func (r *running) listen() (ready chan struct{}, err error) {
	r.t.Helper()
	fd, port, err := posix.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.fd, r.address = fd, fmt.Sprintf("127.0.0.1:%d", port)
	ready = make(chan struct{})
	return ready, r.server.Run(fd, Callbacks{
		Ready: func() { close(ready) },
		Ended: func(err error) { r.ended <- err },
	})
}

// close stops the server and fails if it had stopped by itself.
func (r *running) close() {
	r.t.Helper()
	if r.closed {
		return
	}
	r.closed = true
	done := make(chan struct{})
	go func() {
		r.server.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(replyWithin):
		r.t.Fatal("the server does not stop")
	}
	unix.Close(r.fd)
	r.file.Close()
	select {
	case err := <-r.ended:
		r.t.Errorf("the server stopped by itself: %v", err)
	default:
	}
}

// Requests of every kind are answered, alone and through a full batch.
func TestServes(t *testing.T) {
	everywhere(t, func(t *testing.T, kind IOKind, l limits.Limits) {
		s := started(t, formatted(t, l), l, kind)
		c := registered(t, s.address, 1)
		if want := l.RequestBytesMax - limits.HeaderBytes; c.bodyMax != want {
			t.Fatalf("requests of %d bytes, want %d", c.bodyMax, want)
		}
		c.makeAccounts(1, 10)
		full := uint64(wire.EventsMax(wire.OperationCreateTransfers, c.bodyMax))
		c.makeTransfers(1, full, 1, 2)
		c.makeTransfers(full+1, 1, 2, 3)
		c.makeTransfers(full+2, 100, 3, 1)
		if debits, credits := c.posted(1); debits != full || credits != 100 {
			t.Errorf("account 1 has debits %d, credits %d, want %d, 100", debits, credits, full)
		}
		// The same again is refused, one by one.
		again := c.ask(wire.OperationCreateTransfers, bytesOf(transfers(1, full, 1, 2)))
		for i, result := range client.View[client.CreateTransferResult](again) {
			if result.Status != accounting.TransferStatusExists {
				t.Fatalf("transfer %d again: status %d", i+1, result.Status)
			}
		}
		filter := accounting.AccountFilter{AccountID: wire.U128From(3), Limit: 1000, Flags: accounting.FilterDebits | accounting.FilterCredits}
		rows := client.View[accounting.Transfer](c.ask(wire.OperationGetAccountTransfers, bytesOf([]accounting.AccountFilter{filter})))
		if len(rows) != 101 || rows[0].ID != wire.U128From(full+1) || rows[100].ID != wire.U128From(full+101) {
			t.Errorf("account 3 has %d transfers, want 101", len(rows))
		}
		query := accounting.QueryFilter{Ledger: 1, Code: 1, Limit: 20}
		if rows := c.ask(wire.OperationQueryAccounts, bytesOf([]accounting.QueryFilter{query})); len(rows) != 10*wire.AccountBytes {
			t.Errorf("a query found %d bytes of accounts, want 10 of %d", len(rows), wire.AccountBytes)
		}
		events := c.do(wire.OperationGetChangeEvents, bytesOf([]accounting.ChangeEventsFilter{{Limit: 5}}))
		if len(events) != 5*wire.ChangeEventBytes {
			t.Errorf("change events of %d bytes, want 5 of %d", len(events), wire.ChangeEventBytes)
		}
	})
}

// A server that is stopped and started again knows everything, its sessions and their last replies
// included: before the first checkpoint, after it, and after several.
func TestRestarts(t *testing.T) {
	everywhere(t, func(t *testing.T, kind IOKind, l limits.Limits) {
		path := formatted(t, l)
		s := started(t, path, l, kind)
		a, b := registered(t, s.address, 1), registered(t, s.address, 2)
		a.makeAccounts(1, 4)
		next, sum := uint64(1), uint64(0)
		for round, count := range []int{3, 150, 30, 300, 0} {
			for i := range count {
				size := uint64(1 + i%7)
				a.makeTransfers(next, size, 1, 2)
				next, sum = next+size, sum+size
			}
			if debits, _ := b.posted(1); debits != sum {
				t.Fatalf("round %d: account 1 has debits %d before the restart, want %d", round, debits, sum)
			}
			s.close()
			s = started(t, path, l, kind)
			for _, c := range []*wireClient{a, b} {
				c.address = s.address
				c.connect()
				before := c.reply
				c.number--
				c.resend()
				c.answer()
				// The same bytes, but for the view that it is sent in.
				wire.ResealReply(wire.HeaderOf(before), wire.HeaderOf(c.reply).View())
				if !bytes.Equal(before, c.reply) {
					t.Fatalf("round %d: the reply of %d bytes to request %d is not the same after a restart", round, len(before), c.number-1)
				}
			}
			if debits, _ := b.posted(1); debits != sum {
				t.Fatalf("round %d: account 1 has debits %d after the restart, want %d", round, debits, sum)
			}
		}
		if _, credits := a.posted(2); credits != sum {
			t.Errorf("account 2 has credits %d, want %d", credits, sum)
		}
	})
}

// Goal: a table full of clients with sessions closes newcomers, until one of the clients goes.
// Clients that have lost their sessions to others make room for newcomers, the one that lost its
// first before the others, although they have sent nothing since.
func TestMoreClientsThanConnections(t *testing.T) {
	everywhere(t, func(t *testing.T, kind IOKind, l limits.Limits) {
		l.SessionsMax, l.ConnectionsMax = 8, 8
		s := started(t, formatted(t, l), l, kind)
		var clients []*wireClient
		for id := range uint64(8) {
			clients = append(clients, registered(t, s.address, id+1))
		}
		for id := range uint64(5) {
			dialed(t, s.address, 100+id).closed("a connection above the limit")
		}
		clients[7].makeAccounts(1, 2)
		clients[6].makeTransfers(1, 5, 1, 2)
		// A connection that closes makes room for another.
		clients[1].conn.Close()
		for deadline := time.Now().Add(replyWithin); ; time.Sleep(10 * time.Millisecond) {
			c := dialed(t, s.address, 200)
			c.send(wire.OperationRegister, make([]byte, wire.RegisterBodyBytes))
			if h, _, err := c.receive(); err == nil && h.Command() == wire.CommandReply {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("no room for another client after one has gone")
			}
		}
	})
	everywhere(t, func(t *testing.T, kind IOKind, l limits.Limits) {
		l.SessionsMax, l.ConnectionsMax = 4, 8
		s := started(t, formatted(t, l), l, kind)
		var clients []*wireClient
		for id := range uint64(8) {
			clients = append(clients, registered(t, s.address, id+1))
		}
		clients[0].send(wire.OperationLookupAccounts, one(wire.OperationLookupAccounts, bytesOf([]wire.U128{wire.U128From(1)})))
		h, _, err := clients[0].receive()
		if err != nil || h.Command() != wire.CommandEviction || h.EvictionReason() != wire.EvictionNoSession {
			t.Fatalf("the oldest client got %v, error %v; want an eviction", h, err)
		}
		for i := range uint64(4) {
			dialed(t, s.address, 100+i)
			clients[i].closed("a client without a session, for a newcomer")
		}
		clients[7].makeAccounts(1, 2)
		clients[4].makeTransfers(1, 5, 1, 2)
	})
}

// closed waits until the server has closed the connection.
func (c *wireClient) closed(what string) {
	c.t.Helper()
	if h, _, err := c.receive(); err == nil {
		c.t.Fatalf("%s was not closed: it got %v", what, h.Command())
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("%s was not closed: %v", what, err)
	}
}

// openFiles is how many descriptors the process has.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// threadsCount is how many threads the process has.
func threadsCount(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// mappedBytes is the address space of the process.
func mappedBytes(t *testing.T) (pages uint64) {
	t.Helper()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		t.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}

// A closed server leaves no descriptor, no thread, no goroutine and no memory behind, whether it
// ran or not, served or not.
func TestCloseFreesEverything(t *testing.T) {
	everywhere(t, func(t *testing.T, kind IOKind, l limits.Limits) {
		path := formatted(t, l)
		id := uint64(0)
		life := func(run bool) {
			if !run {
				r, err := opened(t, path, l, kind)
				if err != nil {
					t.Fatal(err)
				}
				r.server.Close()
				r.file.Close()
				return
			}
			s := started(t, path, l, kind)
			id++
			c := registered(t, s.address, id)
			c.ask(wire.OperationLookupAccounts, bytesOf([]wire.U128{wire.U128From(1)}))
			full := uint64(wire.EventsMax(wire.OperationCreateTransfers, c.bodyMax))
			c.send(wire.OperationCreateTransfers, one(wire.OperationCreateTransfers, bytesOf(transfers(1, full, 1, 2)))) // and don't wait
			s.close()
			c.conn.Close()
		}
		life(true) // what the process makes once
		goroutines, files, threads, mapped := runtime.NumGoroutine(), openFiles(t), threadsCount(t), mappedBytes(t)
		for range 5 {
			life(false)
			life(true)
		}
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			nowGoroutines, nowFiles, nowThreads, nowMapped := runtime.NumGoroutine(), openFiles(t), threadsCount(t), mappedBytes(t)
			// The runtime keeps some threads of its own, each with a stack and, with cgo, 64 MiB of
			// addresses; ten servers have gigabytes.
			if nowGoroutines <= goroutines && nowFiles <= files && nowThreads <= threads+3 && nowMapped < mapped+(512<<20) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("ten servers left behind: goroutines %d -> %d, descriptors %d -> %d, threads %d -> %d, MiB mapped %d -> %d",
					goroutines, nowGoroutines, files, nowFiles, threads, nowThreads, mapped>>20, nowMapped>>20)
			}
		}
	})
}

// Caches that the machine has no memory for are refused, with both numbers and the way out, before
// anything runs.
func TestCachesThatDoNotFit(t *testing.T) {
	everywhere(t, func(t *testing.T, kind IOKind, l limits.Limits) {
		path := formatted(t, l)
		l.CacheGridBytes = 1 << 43
		r, err := opened(t, path, l, kind)
		if err != nil {
			t.Fatal(err)
		}
		err = r.server.Run(-1, Callbacks{Ready: func() {}, Ended: func(error) {}})
		r.server.Close()
		r.file.Close()
		if err == nil || !strings.Contains(err.Error(), "--cache-grid") {
			t.Fatalf("a cache of 8 TiB: error %v, want one that names --cache-grid", err)
		}
	})
}
