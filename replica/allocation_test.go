package replica

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/client"
	"ledger/limits"
	"ledger/wire"
)

// The environment of the process that is the load: where the server is, and how many transfers each
// half of the load creates.
const (
	loadAddress      = "LEDGER_TEST_LOAD_ADDRESS"
	loadTransfersEnv = "LEDGER_TEST_LOAD_TRANSFERS"
)

// TestMain: the load generator of TestNoAllocationUnderLoad is this binary, so that the server's
// process counts its own allocations.
func TestMain(m *testing.M) {
	if address := os.Getenv(loadAddress); address != "" {
		count, err := strconv.ParseUint(os.Getenv(loadTransfersEnv), 10, 64)
		if err == nil {
			err = generateLoad(address, count)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// generateLoad does the same load twice: full batches, small ones of several sessions at once,
// pending transfers that are posted or expire, lookups and queries. Between the halves it writes a
// byte to stdout and waits for one; at the end as well.
func generateLoad(address string, transfersCount uint64) error {
	ctx := context.Background()
	l := &load{}
	for range 9 {
		session, err := client.Open(ctx, client.Options{Addresses: []string{address}})
		if err != nil {
			return err
		}
		defer session.Close()
		l.sessions = append(l.sessions, session)
		l.requests, l.replies = append(l.requests, client.NewMessage()), append(l.replies, client.NewMessage())
	}
	accounts := client.View[client.Account](l.requests[0].Events(wire.OperationCreateAccounts, l.sessions[0].BodyBytesMax()))
	accounts = accounts[:loadAccounts]
	for i := range accounts {
		accounts[i] = client.Account{ID: wire.U128From(uint64(i) + 1), Ledger: 1, Code: 1, Flags: accounting.AccountHistory}
	}
	if err := l.begin(ctx, 0, wire.OperationCreateAccounts, len(accounts)); err != nil {
		return err
	}
	if err := l.wait(ctx, 0, wire.OperationCreateAccounts, true); err != nil {
		return err
	}
	for range 2 {
		if err := l.half(ctx, transfersCount); err != nil {
			return err
		}
		var one [1]byte
		if _, err := os.Stdout.Write(one[:]); err != nil {
			return err
		}
		if _, err := io.ReadFull(os.Stdin, one[:]); err != nil {
			return err
		}
	}
	return nil
}

const loadAccounts = 100

type load struct {
	sessions []*client.Session
	requests []*client.Message
	replies  []*client.Message
	next     uint64 // id of the next transfer
}

func (l *load) begin(ctx context.Context, session int, o wire.Operation, eventsCount int) error {
	request := l.requests[session]
	return l.sessions[session].Begin(ctx, o, request, request.EndBatch(o, eventsCount), l.replies[session])
}

// wait for the reply; of a create, all must have been created.
func (l *load) wait(ctx context.Context, session int, o wire.Operation, create bool) error {
	if _, err := l.sessions[session].Wait(ctx); err != nil {
		return err
	}
	results, err := l.replies[session].Results(o)
	if err != nil || !create {
		return err
	}
	for i, result := range client.View[client.CreateTransferResult](results) {
		if result.Status != accounting.TransferStatusCreated {
			return fmt.Errorf("event %d: %v", i, result.Status)
		}
	}
	return nil
}

// create begins a batch of transfers; every tenth is pending, and half of those expire after a
// second.
func (l *load) create(ctx context.Context, session int, count uint64) error {
	events := client.View[client.Transfer](l.requests[session].Events(wire.OperationCreateTransfers, l.sessions[session].BodyBytesMax()))
	for i := range events[:min(count, uint64(len(events)))] {
		n := l.next
		l.next++
		t := &events[i]
		*t = client.Transfer{
			ID: wire.U128From(n + 1), DebitAccountID: wire.U128From(n%loadAccounts + 1), CreditAccountID: wire.U128From((n+7)%loadAccounts + 1),
			Amount: wire.U128From(1 + n%100), UserData64: n % 1000, Ledger: 1, Code: 1,
		}
		if n%7 == 0 {
			t.ID.Hi = n * 0x9e3779b97f4a7c15 // ids in no order
		}
		if n%10 == 3 {
			t.Flags, t.Timeout = accounting.TransferPending, uint32(n/10%2)
		}
	}
	return l.begin(ctx, session, wire.OperationCreateTransfers, int(min(count, uint64(len(events)))))
}

func (l *load) half(ctx context.Context, transfersCount uint64) error {
	o := wire.OperationCreateTransfers
	end := l.next + transfersCount
	for round := 0; l.next < end; round++ {
		for range 8 {
			if err := l.create(ctx, 0, 1<<30); err != nil {
				return err
			}
			if err := l.wait(ctx, 0, o, true); err != nil {
				return err
			}
		}
		for s := range l.sessions {
			if err := l.create(ctx, s, uint64(1+round%20)); err != nil {
				return err
			}
		}
		for s := range l.sessions {
			if err := l.wait(ctx, s, o, true); err != nil {
				return err
			}
		}
		if err := l.queries(ctx); err != nil {
			return err
		}
	}
	return nil
}

// queries asks one of each kind, each in a session of its own.
func (l *load) queries(ctx context.Context) error {
	account := accounting.AccountFilter{AccountID: wire.U128From(l.next%loadAccounts + 1), Limit: 100,
		Flags: accounting.FilterDebits | accounting.FilterCredits}
	query := accounting.QueryFilter{UserData64: 1 + l.next%999, Ledger: 1, Limit: 50}
	all := []wire.Operation{
		wire.OperationLookupAccounts, wire.OperationLookupTransfers, wire.OperationGetAccountTransfers, wire.OperationGetAccountBalances,
		wire.OperationQueryTransfers, wire.OperationQueryAccounts, wire.OperationGetChangeEvents,
	}
	for i, o := range all {
		events, count := l.requests[i].Events(o, l.sessions[i].BodyBytesMax()), 1
		switch o {
		case wire.OperationLookupAccounts, wire.OperationLookupTransfers:
			list := client.View[client.U128](events)
			count = 50
			for k := range list[:count] {
				list[k] = wire.U128From((l.next - uint64(k)*977) % l.next)
			}
		case wire.OperationGetAccountTransfers, wire.OperationGetAccountBalances:
			client.View[client.AccountFilter](events)[0] = account
		case wire.OperationGetChangeEvents:
			client.View[client.ChangeEventsFilter](events)[0] = accounting.ChangeEventsFilter{Limit: 50}
		default:
			client.View[client.QueryFilter](events)[0] = query
		}
		if err := l.begin(ctx, i, o, count); err != nil {
			return err
		}
	}
	for i, o := range all {
		if err := l.wait(ctx, i, o, false); err != nil {
			return err
		}
	}
	return nil
}

// A running server allocates nothing: its process' counter of heap objects stands still under a
// load of everything, through bars' ends and checkpoints.
func TestNoAllocationUnderLoad(t *testing.T) {
	defer func(rate int) { runtime.MemProfileRate = rate }(runtime.MemProfileRate)
	runtime.MemProfileRate = 1
	for _, c := range []struct {
		name    string
		kind    IOKind
		workers uint32
	}{{"uring", IOUring, 1}, {"posix", IOPosix, 1}, {"uring, 4 workers", IOUring, 4}} {
		t.Run(c.name, func(t *testing.T) {
			l := limits.Production()
			l.CompactWorkers = c.workers
			l.CacheGridBytes = 128 << 20
			l.JournalSlotsCount = 256 // a checkpoint every 128 ops
			transfersCount := uint64(1_000_000)
			if testing.Short() {
				transfersCount = 150_000
			}
			s := started(t, formatted(t, l), l, c.kind)
			defer debug.SetGCPercent(debug.SetGCPercent(-1)) // as the server's main does

			process := exec.Command(os.Args[0])
			process.Env = append(os.Environ(), loadAddress+"="+s.address, loadTransfersEnv+"="+strconv.FormatUint(transfersCount, 10))
			process.Stderr = os.Stderr
			stdin, err := process.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := process.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			defer process.Process.Kill()

			// A system call of our own: waiting by the runtime's poller could allocate.
			fd := int(stdout.(*os.File).Fd())
			unix.SetNonblock(fd, false)
			var before, after runtime.MemStats
			one := make([]byte, 1)
			halfDone := func() {
				if count, err := unix.Read(fd, one); err != nil || count != 1 {
					t.Fatalf("the load ended early: %v", err)
				}
			}
			halfDone()
			profileBefore := profiled()
			startedAt := time.Now()
			runtime.ReadMemStats(&before)
			if _, err := stdin.Write(one); err != nil {
				t.Fatal(err)
			}
			halfDone()
			runtime.ReadMemStats(&after)
			elapsed := time.Since(startedAt)
			ours := profiled().since(profileBefore)
			objects := after.Mallocs - before.Mallocs
			t.Logf("%d transfers in %v: %d objects, %d bytes allocated", transfersCount, elapsed, objects, after.TotalAlloc-before.TotalAlloc)
			if ours != "" {
				t.Errorf("the server allocated under load, want nothing%s", ours)
			}
			// A thread that the runtime starts for itself takes 6 objects.
			if objects > 24 {
				t.Errorf("the process allocated %d objects under load, want none beside those of a few threads of the runtime", objects)
			}
			if _, err := stdin.Write(one); err != nil {
				t.Fatal(err)
			}
			if err := process.Wait(); err != nil {
				t.Fatal(err)
			}
			s.close()
			if ops := s.server.replica.Apply.Op(); !testing.Short() && ops < 2*l.CheckpointIntervalOps() {
				t.Errorf("the load had %d ops, too few for a checkpoint in its second half", ops)
			}
		})
	}
}

// allocations counts objects by the stack that allocated them.
type allocations map[[32]uintptr]int64

// profiled is every allocation of the process so far.
func profiled() allocations {
	runtime.GC() // what the profile shows is two collections old
	runtime.GC()
	records := make([]runtime.MemProfileRecord, 100_000)
	count, _ := runtime.MemProfile(records, true)
	all := allocations{}
	for i := range records[:count] {
		all[records[i].Stack0] += records[i].AllocObjects
	}
	return all
}

// since names what our code, not the runtime and not the test, allocated after before.
func (a allocations) since(before allocations) string {
	var out strings.Builder
	for stack, count := range a {
		if count -= before[stack]; count == 0 {
			continue
		}
		length := slices.Index(stack[:], 0)
		if length < 0 {
			length = len(stack)
		}
		lines, isOurs := "", false
		for frames := runtime.CallersFrames(stack[:length]); ; {
			frame, more := frames.Next()
			isTest := strings.HasSuffix(frame.File, "_test.go")
			isOurs = strings.HasPrefix(frame.Function, "ledger/") && !isTest || isOurs && !isTest
			lines += fmt.Sprintf("\n\t%s %s:%d", frame.Function, filepath.Base(frame.File), frame.Line)
			if !more {
				break
			}
		}
		if isOurs {
			fmt.Fprintf(&out, "\n%d objects:%s", count, lines)
		}
	}
	return out.String()
}
