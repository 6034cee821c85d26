package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// connected is a client with a session.
func connected(t *testing.T, port string) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	c, err := client.New(ctx, client.Options{Addresses: []string{"127.0.0.1:" + port}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// makeAccount creates one account, and wants the result that a new one has.
func makeAccount(t *testing.T, c *client.Client, id uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	results, err := c.CreateAccounts(ctx, []client.Account{{ID: wire.U128From(id), Ledger: 1, Code: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Status != accounting.AccountStatusCreated {
		t.Fatalf("account %d: %+v", id, results)
	}
}

// wantAccounts looks accounts 1..count up.
func wantAccounts(t *testing.T, c *client.Client, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	var ids []client.U128
	for id := range count {
		ids = append(ids, wire.U128From(uint64(id)+1))
	}
	found, err := c.LookupAccounts(ctx, ids)
	if err != nil || len(found) != count {
		t.Fatalf("%d of %d accounts, error %v", len(found), count, err)
	}
}

// With --addresses=0 stdout is the port, a newline and its end while the server runs; the server
// ends with 0 when its stdin closes or yields a byte.
func TestHarnessProtocol(t *testing.T) {
	path := formatted(t)
	for name, end := range map[string]func(s *served) error{
		"stdin closes": func(s *served) error { return s.stdin.Close() },
		"a byte":       func(s *served) error { _, err := s.stdin.Write([]byte{'q'}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			s := harness(t, path)
			if rest, err := io.ReadAll(s.stdout); err != nil || len(rest) != 0 {
				t.Fatalf("behind the port came %q, error %v; want the end of stdout", rest, err)
			}
			wantAccounts(t, connected(t, s.port), 0)
			if err := end(s); err != nil {
				t.Fatal(err)
			}
			if status := wait(t, s.Cmd); status != exitDone {
				t.Fatalf("status %d, want 0\n%s", status, s.stderr)
			}
			if said := s.stderr.String(); !strings.Contains(said, inputEnded) {
				t.Errorf("the log does not say why the server ended:\n%s", said)
			}
		})
	}
}

// inputEnded is why a harness's server ends.
const inputEnded = "info: ending with status 0: with --addresses=0 the server ends when stdin closes or yields a byte; to serve "

// Goal: a start whose stdin is at its end from the first says why it ends. That happens to whoever
// starts it as a daemon. It ends with the same status if nobody reads the line.
func TestHarnessWithoutStdin(t *testing.T) {
	path := formatted(t)
	status, stdout, stderr := ended(t, nil, "start", "--addresses=0", "--development", path)
	if status != exitDone || !strings.Contains(stderr, inputEnded) {
		t.Fatalf("status %d, stdout %q: %s", status, stdout, stderr)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	process := command(nil, "start", "--addresses=0", "--development", path)
	process.Stderr = w
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if status := wait(t, process); status != exitDone {
		t.Fatalf("with a stderr that nobody reads: status %d", status)
	}
}

// With an address the null device as stdin ends nothing, stdout stays empty, signals end it with
// status 0, and a killed server starts again on the same file and port at once, with its sessions
// and all that was acknowledged.
func TestSignals(t *testing.T) {
	for _, kind := range []string{"uring", "posix"} {
		t.Run(kind, func(t *testing.T) {
			path := formatted(t)
			first := harness(t, path)
			port := first.port
			first.stdin.Close()
			wait(t, first.Cmd)

			s := on(t, port, path, "--io="+kind)
			c := connected(t, port)
			count := 0
			for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGKILL, unix.SIGKILL, unix.SIGTERM} {
				count++
				makeAccount(t, c, uint64(count))
				s.signal(t, signal)
				want := exitDone
				if signal == unix.SIGKILL {
					want = -1
				}
				if status := wait(t, s.Cmd); status != want {
					t.Fatalf("%v: status %d, want %d", signal, status, want)
				}
				if out, _ := io.ReadAll(s.stdout); len(out) != 0 {
					t.Errorf("stdout: %q, want nothing", out)
				}
				s = on(t, port, path, "--io="+kind)
				wantAccounts(t, c, count)
			}
			// A pause that is longer than any timeout of a client's request.
			s.signal(t, unix.SIGSTOP)
			resumed := time.AfterFunc(2*time.Second, func() { _ = s.Process.Signal(unix.SIGCONT) })
			defer resumed.Stop()
			makeAccount(t, c, uint64(count)+1)
			wantAccounts(t, c, count+1)
			s.signal(t, unix.SIGTERM)
			if status := wait(t, s.Cmd); status != exitDone {
				t.Fatalf("after a pause: status %d", status)
			}
		})
	}
}

// Paths count from the working directory.
func TestRelativePath(t *testing.T) {
	folder := t.TempDir()
	for _, arguments := range [][]string{
		{"format", "--cluster=0", "--replica=0", "--replica-count=1", "--development", "here.data"},
		{"start", "--addresses=0", "--development", "here.data"},
	} {
		process := command(nil, arguments...)
		process.Dir = folder
		stdin, err := process.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		stdin.Close()
		if status := wait(t, process); status != exitDone {
			t.Fatalf("%v: status %d", arguments, status)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "here.data")); err != nil {
		t.Fatal(err)
	}
}

// A server that is killed again and again without anything in between starts every time, with all
// that was acknowledged.
func TestManyStarts(t *testing.T) {
	path := formatted(t)
	s := harness(t, path)
	makeAccount(t, connected(t, s.port), 1)
	for range 10 {
		_ = s.Process.Kill()
		wait(t, s.Cmd)
		s = harness(t, path)
	}
	wantAccounts(t, connected(t, s.port), 1)
}

// Goal: SIGTERM of a server with much in its log ends it with status 0, and the next start has next
// to nothing to execute, and everything that was answered. On a machine that is too busy, the
// server says that it has given the checkpoint up, and the next start executes the log.
func TestStopTakesACheckpoint(t *testing.T) {
	path := formatted(t)
	arguments := []string{"start", "--addresses=0", "--cache-grid=64MiB", "--cache-accounts=8MiB", path}
	s := harnessOf(t, command(nil, arguments...))
	c := connected(t, s.port)
	makeAccount(t, c, 1)
	makeAccount(t, c, 2)
	const requests = 36
	events := make([]client.Transfer, 8189)
	for request := range uint64(requests) {
		for i := range events {
			events[i] = client.Transfer{ID: wire.U128From(1 + request*8189 + uint64(i)), DebitAccountID: wire.U128From(1),
				CreditAccountID: wire.U128From(2), Amount: wire.U128From(1), Ledger: 1, Code: 1}
		}
		ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
		results, err := c.CreateTransfers(ctx, events)
		if cancel(); err != nil || len(results) != len(events) || results[8188].Status != accounting.TransferStatusCreated {
			t.Fatalf("request %d: %d results, error %v", request, len(results), err)
		}
	}
	c.Close()
	s.signal(t, unix.SIGTERM)
	if status := wait(t, s.Cmd); status != exitDone {
		t.Fatalf("status %d after SIGTERM\n%s", status, s.stderr)
	}
	status, out, stderr := ended(t, nil, "start", "--check", "--json", path)
	var plan struct {
		CheckpointOp uint64 `json:"checkpoint_op"`
		ReplayedOps  uint64 `json:"replayed_ops"`
	}
	if err := json.Unmarshal([]byte(out), &plan); status != exitDone || err != nil {
		t.Fatalf("status %d, %v: %s%s", status, err, out, stderr)
	}
	isGivenUp := strings.Contains(s.stderr.String(), "is given up: the next start executes the log instead")
	if isGivenUp == (plan.CheckpointOp == 895) || !isGivenUp && plan.ReplayedOps != 32 {
		t.Errorf("given up: %v; the next start executes %d ops behind checkpoint %d\n%s", isGivenUp, plan.ReplayedOps, plan.CheckpointOp,
			s.stderr)
	}
	s = harnessOf(t, command(nil, arguments...))
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	found, err := connected(t, s.port).LookupAccounts(ctx, []client.U128{wire.U128From(1)})
	if err != nil || len(found) != 1 || found[0].DebitsPosted != wire.U128From(requests*8189) {
		t.Errorf("account 1 is %+v, error %v", found, err)
	}
}
