package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ledger/client/clienttest"
	"ledger/internal/seeded"
	"ledger/wire"
)

func newClient(t *testing.T, addresses []string) *Client {
	t.Helper()
	client, err := New(deadline(t), Options{Addresses: addresses})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Goal: all nine operations, with results that belong together.
func TestClientOperations(t *testing.T) {
	testOperations(t, startServer(t, clienttest.Options{}).Addresses())
}

// Goal: the same, against the server named by LEDGER_BIN.
func TestClientRealServer(t *testing.T) {
	binary := os.Getenv("LEDGER_BIN")
	if binary == "" {
		t.Skip("LEDGER_BIN names no server")
	}
	testOperations(t, []string{startReal(t, binary)})
}

// startReal formats a file and serves it, until the test ends.
func startReal(t *testing.T, binary string) (address string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "0.data")
	format := exec.Command(binary, "format", "--cluster=0", "--replica=0", "--replica-count=1", "--development", file)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, out)
	}
	server := exec.Command(binary, "start", "--addresses=0", "--development", file)
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // it ends with its standard input
		timer := time.AfterFunc(10*time.Second, func() { _ = server.Process.Kill() })
		defer timer.Stop()
		_ = server.Wait()
	})
	var port [16]byte
	count, err := out.Read(port[:])
	if err != nil {
		t.Fatalf("the server printed no port: %v", err)
	}
	return "127.0.0.1:" + strings.TrimSpace(string(port[:count]))
}

func testOperations(t *testing.T, addresses []string) {
	ctx, client := deadline(t), newClient(t, addresses)
	id := wire.U128From
	accounts := []Account{{ID: id(1), Ledger: 1, Code: 10, Flags: 1 << 3}, {ID: id(2), Ledger: 1, Code: 20, UserData64: 5}}
	created, err := client.CreateAccounts(ctx, accounts)
	if err != nil || len(created) != 2 || created[0].Status != 1<<32-1 || created[1].Status != 1<<32-1 {
		t.Fatalf("create accounts: %+v, %v", created, err)
	}
	transfers := []Transfer{
		{ID: id(100), DebitAccountID: id(1), CreditAccountID: id(2), Amount: id(7), Ledger: 1, Code: 1, UserData32: 9},
		{ID: id(101), DebitAccountID: id(2), CreditAccountID: id(1), Amount: id(3), Ledger: 1, Code: 2},
		{ID: id(102), DebitAccountID: id(2), CreditAccountID: id(3), Amount: id(3), Ledger: 1, Code: 2},
	}
	made, err := client.CreateTransfers(ctx, transfers)
	if err != nil || len(made) != 3 || made[0].Status != 1<<32-1 || made[1].Status != 1<<32-1 || made[2].Status != 22 {
		t.Fatalf("create transfers: %+v, %v", made, err)
	}
	found, err := client.LookupAccounts(ctx, []U128{id(2), id(9), id(1)})
	if err != nil || len(found) != 2 || found[0].ID != id(2) || found[1].DebitsPosted != id(7) || found[1].CreditsPosted != id(3) {
		t.Fatalf("lookup accounts: %+v, %v", found, err)
	}
	seen, err := client.LookupTransfers(ctx, []U128{id(101), id(100)})
	if err != nil || len(seen) != 2 || seen[0].Timestamp != made[1].Timestamp {
		t.Fatalf("lookup transfers: %+v, %v", seen, err)
	}
	filter := AccountFilter{AccountID: id(1), Limit: 10, Flags: 3}
	if rows, err := client.GetAccountTransfers(ctx, filter); err != nil || len(rows) != 2 || rows[0].ID != id(100) {
		t.Fatalf("get account transfers: %+v, %v", rows, err)
	}
	if rows, err := client.GetAccountBalances(ctx, filter); err != nil || len(rows) != 2 || rows[1].CreditsPosted != id(3) {
		t.Fatalf("get account balances: %+v, %v", rows, err)
	}
	if rows, err := client.QueryAccounts(ctx, QueryFilter{UserData64: 5, Limit: 8189}); err != nil || len(rows) != 1 || rows[0].ID != id(2) {
		t.Fatalf("query accounts: %+v, %v", rows, err)
	}
	if rows, err := client.QueryTransfers(ctx, QueryFilter{Code: 1, Limit: 1}); err != nil || len(rows) != 1 || rows[0].UserData32 != 9 {
		t.Fatalf("query transfers: %+v, %v", rows, err)
	}
	events, err := client.GetChangeEvents(ctx, ChangeEventsFilter{Limit: 100})
	if err != nil || len(events) != 2 || events[1].TransferID != id(101) || events[1].CreditAccountCreditsPosted != id(3) {
		t.Fatalf("get change events: %+v, %v", events, err)
	}
	if rows, err := client.LookupAccounts(ctx, nil); err != nil || len(rows) != 0 {
		t.Fatalf("an empty lookup: %+v, %v", rows, err)
	}
	if rows, err := client.QueryAccounts(ctx, QueryFilter{}); err != nil || len(rows) != 0 {
		t.Fatalf("an invalid filter: %+v, %v", rows, err)
	}
}

// Goal: calls of many goroutines share messages, and each gets its own results.
func TestClientMerges(t *testing.T) {
	random := seeded.Rand(t)
	server := startServer(t, clienttest.Options{ServiceTime: time.Millisecond})
	client := newClient(t, server.Addresses())
	const callers, rounds = 32, 20
	var callersRunning sync.WaitGroup
	for caller := range uint64(callers) {
		seed := random.Uint64()
		callersRunning.Go(func() {
			random := rand.New(rand.NewPCG(seed, caller))
			for round := range uint64(rounds) {
				ids := make([]Account, random.IntN(300))
				for i := range ids {
					ids[i] = Account{ID: U128{Lo: uint64(i), Hi: caller<<32 + round + 1}, Ledger: uint32(i % 2), Code: 1}
				}
				results, err := client.CreateAccounts(context.Background(), ids)
				if err != nil || len(results) != len(ids) {
					t.Errorf("%d results, error %v, want %d", len(results), err, len(ids))
					return
				}
				for i, result := range results {
					if (result.Status == 1<<32-1) != (i%2 == 1) {
						t.Errorf("caller %d, round %d, account %d: status %d", caller, round, i, result.Status)
					}
				}
				if round%4 == 0 {
					rows, err := client.QueryAccounts(context.Background(), QueryFilter{Ledger: 1, Limit: 1 + uint32(caller)})
					if err != nil || uint32(len(rows)) > 1+uint32(caller) {
						t.Errorf("%d rows, error %v, limit %d", len(rows), err, 1+caller)
					}
				}
			}
		})
	}
	callersRunning.Wait()
	if got := len(server.Requests()); got > callers*rounds/2 {
		t.Errorf("%d requests for %d calls: they were not merged", got, callers*rounds)
	}
}

// Goal: what does not fit one request is refused and sends nothing; what waits behind a full one
// goes into the next.
func TestClientLimits(t *testing.T) {
	server := startServer(t, clienttest.Options{RequestBytesMax: 32 << 10, ServiceTime: 5 * time.Millisecond})
	client := newClient(t, server.Addresses())
	if _, err := client.CreateAccounts(deadline(t), make([]Account, 254)); !errors.Is(err, ErrTooMuchData) {
		t.Fatalf("error %v for 254 accounts, want ErrTooMuchData", err)
	}
	var running sync.WaitGroup
	for range 5 {
		running.Go(func() {
			if results, err := client.CreateAccounts(deadline(t), make([]Account, 253)); err != nil || len(results) != 253 {
				t.Errorf("%d results, error %v, want 253", len(results), err)
			}
		})
	}
	// The results of two full queries do not fit one reply.
	for range 3 {
		running.Go(func() {
			if _, err := client.QueryAccounts(deadline(t), QueryFilter{Limit: 8189}); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if got := len(server.Requests()); got != 9 {
		t.Fatalf("%d requests executed, want 9", got)
	}
}

// awaitQueued returns when so many calls wait for their turn.
func awaitQueued(c *Client, count int) {
	for queued := -1; queued != count; runtime.Gosched() {
		queued = 0
		c.mu.Lock()
		for at := c.head; at != nil; at = at.next {
			queued++
		}
		c.mu.Unlock()
	}
}

// Goal: a call that is withdrawn before its turn has no effect; the others go on.
func TestClientContext(t *testing.T) {
	// The first request is under way until the second call has been withdrawn.
	arrived, withdrawn := make(chan struct{}), make(chan struct{})
	server := startServer(t, clienttest.Options{Drop: func(_ int, h *wire.Header, copies int) bool {
		if h.RequestNumber() == 1 && copies == 0 {
			close(arrived)
			<-withdrawn
		}
		return false
	}})
	client := newClient(t, server.Addresses())
	var running sync.WaitGroup
	running.Go(func() { _, _ = client.LookupAccounts(deadline(t), nil) })
	<-arrived
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		defer close(withdrawn)
		_, err := client.CreateAccounts(ctx, []Account{{ID: wire.U128From(1), Ledger: 1, Code: 1}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
	})
	awaitQueued(client, 1)
	cancel()
	running.Wait()
	if _, err := client.LookupAccounts(deadline(t), nil); err != nil {
		t.Fatal(err)
	}
	for _, request := range server.Requests() {
		if request.RequestOperation() == wire.OperationCreateAccounts {
			t.Fatal("a withdrawn call was sent")
		}
	}
}

// Goal: the end of the session reaches those in flight, those that wait and those to come.
func TestClientEnds(t *testing.T) {
	for name, end := range map[string]func(*clienttest.Server, *Client){
		"close":    func(_ *clienttest.Server, c *Client) { c.Close() },
		"eviction": func(s *clienttest.Server, c *Client) { s.Evict(c.Session().ID(), wire.EvictionNoSession) },
	} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{})
			server := startServer(t, clienttest.Options{Drop: func(_ int, h *wire.Header, copies int) bool {
				if h.RequestNumber() == 1 && copies == 0 {
					close(arrived)
				}
				return h.RequestNumber() > 0
			}})
			client := newClient(t, server.Addresses())
			want := map[string]error{"close": ErrClosed, "eviction": ErrEvicted}[name]
			var running sync.WaitGroup
			lookup := func() {
				if _, err := client.LookupAccounts(deadline(t), nil); !errors.Is(err, want) {
					t.Errorf("error %v, want %v", err, want)
				}
			}
			running.Go(lookup)
			<-arrived
			for range 7 {
				running.Go(lookup)
			}
			awaitQueued(client, 7)
			end(server, client)
			running.Wait()
			if _, err := client.LookupAccounts(deadline(t), nil); !errors.Is(err, want) {
				t.Errorf("error %v afterwards, want %v", err, want)
			}
		})
	}
}

// Goal: ids rise whatever the clock does, and carry its time.
func TestIDs(t *testing.T) {
	random := seeded.Rand(t)
	nowMs := uint64(1_700_000_000_000)
	ids := newIDs(func() uint64 { return nowMs }, random)
	last := U128{}
	for step := range 10_000 {
		if step%100 == 0 {
			nowMs += random.Uint64N(3) - 1 // it may go back
		}
		if step%500 == 0 {
			ids.low, ids.high = ^uint64(0), 0xffff // the 80 bits overflow next
		}
		next := ids.Next()
		if !last.Less(next) {
			t.Fatalf("id %v after %v", next, last)
		}
		last = next
	}
	if timeMs := last.Hi >> 16; timeMs < 1_700_000_000_000 || timeMs > nowMs+100 {
		t.Fatalf("the last id has time %d, want about %d", timeMs, nowMs)
	}
}
