package interop

import (
	"errors"
	"fmt"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/interop/server"
)

// callWithin bounds every call of a client: the library itself retries for ever.
const callWithin = time.Minute

// small keeps production limits and a cache that fits beside other work.
var small = server.Options{StartArgs: []string{"--cache-grid=256MiB"}}

// started is a fresh server.
func started(t testing.TB, options server.Options) *server.Process {
	t.Helper()
	return server.Format(t, options).Start(t)
}

// connected is a client of a server. It is closed at the test's end, before the server ends.
func connected(t testing.TB, address string) tb.Client {
	t.Helper()
	client, err := tb.NewClient(tb.ToUint128(0), []string{address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// within runs a call and gives up on it when it takes too long.
func within[T any](limit time.Duration, call func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := call()
		done <- outcome{value, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case got := <-done:
		return got.value, got.err
	case <-timer.C:
		var none T
		return none, fmt.Errorf("no reply within %v", limit)
	}
}

// ask makes a call that must succeed.
func ask[In, Out any](t testing.TB, call func(In) (Out, error), in In) Out {
	t.Helper()
	out, err := within(callWithin, func() (Out, error) { return call(in) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused makes a call that must fail with an error of the client library.
func refused[In, Out any](t testing.TB, want error, call func(In) (Out, error), in In) {
	t.Helper()
	_, err := within(callWithin, func() (Out, error) { return call(in) })
	if !errors.Is(err, want) {
		t.Fatalf("the call ended with %v, want %v", err, want)
	}
}

func id(n uint64) tb.Uint128 { return tb.ToUint128(n) }

func ids(from, count uint64) []tb.Uint128 {
	list := make([]tb.Uint128, count)
	for i := range list {
		list[i] = id(from + uint64(i))
	}
	return list
}

// number is a Uint128 that must fit 64 bits.
func number(t testing.TB, value tb.Uint128) uint64 {
	t.Helper()
	low, high := value.Uint64()
	if high != 0 {
		t.Fatalf("%s does not fit 64 bits", value.String())
	}
	return low
}

// account is a valid account of ledger 1.
func account(n uint64, flags ...tb.AccountFlags) tb.Account {
	a := tb.Account{ID: id(n), Ledger: 1, Code: 10}
	for _, one := range flags {
		a.Flags |= one.ToUint16()
	}
	return a
}

// transfer is a valid transfer of ledger 1.
func transfer(n, debit, credit, amount uint64, flags ...tb.TransferFlags) tb.Transfer {
	x := tb.Transfer{ID: id(n), DebitAccountID: id(debit), CreditAccountID: id(credit), Amount: id(amount), Ledger: 1, Code: 1}
	for _, one := range flags {
		x.Flags |= one.ToUint16()
	}
	return x
}

// resolution posts (all of it) or voids a pending transfer.
func resolution(n, pending uint64, amount tb.Uint128, flags tb.TransferFlags) tb.Transfer {
	return tb.Transfer{ID: id(n), PendingID: id(pending), Amount: amount, Flags: flags.ToUint16()}
}

var (
	linked  = tb.TransferFlags{Linked: true}
	pending = tb.TransferFlags{Pending: true}
	post    = tb.TransferFlags{PostPendingTransfer: true}
	void    = tb.TransferFlags{VoidPendingTransfer: true}
)

// makeAccounts creates accounts and wants every one of them created.
func makeAccounts(t testing.TB, client tb.Client, accounts ...tb.Account) []tb.CreateAccountResult {
	t.Helper()
	results := ask(t, client.CreateAccounts, accounts)
	if len(results) != len(accounts) {
		t.Fatalf("%d results for %d accounts", len(results), len(accounts))
	}
	for i, result := range results {
		if result.Status != tb.AccountCreated {
			t.Fatalf("account %d of %d: %v", i, len(accounts), result.Status)
		}
		if result.Timestamp == 0 || i > 0 && result.Timestamp != results[i-1].Timestamp+1 {
			t.Fatalf("account %d of %d: timestamp %d is no successor", i, len(accounts), result.Timestamp)
		}
	}
	return results
}

// makeTransfers creates transfers and wants the given statuses; without any, all created.
func makeTransfers(t testing.TB, client tb.Client, transfers []tb.Transfer, want ...tb.CreateTransferStatus) []tb.CreateTransferResult {
	t.Helper()
	results := ask(t, client.CreateTransfers, transfers)
	if len(results) != len(transfers) {
		t.Fatalf("%d results for %d transfers", len(results), len(transfers))
	}
	for i, result := range results {
		status := tb.TransferCreated
		if want != nil {
			status = want[i]
		}
		if result.Status != status {
			t.Fatalf("transfer %d of %d (id %s): %v, want %v", i, len(transfers), transfers[i].ID.String(), result.Status, status)
		}
	}
	return results
}

// balances are an account's: debits pending and posted, credits pending and posted.
func balances(t testing.TB, client tb.Client, n uint64) [4]uint64 {
	t.Helper()
	found := ask(t, client.LookupAccounts, []tb.Uint128{id(n)})
	if len(found) != 1 {
		t.Fatalf("account %d: found %d times", n, len(found))
	}
	a := found[0]
	return [4]uint64{number(t, a.DebitsPending), number(t, a.DebitsPosted), number(t, a.CreditsPending), number(t, a.CreditsPosted)}
}

func wantBalances(t testing.TB, client tb.Client, n uint64, want [4]uint64) {
	t.Helper()
	if got := balances(t, client, n); got != want {
		t.Fatalf("account %d has debits pending, posted, credits pending, posted %v, want %v", n, got, want)
	}
}

// awaitEvents returns the change events from a timestamp on, as soon as there is one of a kind.
func awaitEvents(t testing.TB, client tb.Client, from uint64, kind tb.ChangeEventType) []tb.ChangeEvent {
	t.Helper()
	for deadline := time.Now().Add(callWithin); ; time.Sleep(10 * time.Millisecond) {
		events := ask(t, client.GetChangeEvents, tb.ChangeEventsFilter{TimestampMin: from, Limit: 100})
		for _, event := range events {
			if event.Type == kind {
				return events
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("within %v no event of kind %v: %+v", callWithin, kind, events)
		}
	}
}

// awaitBalances returns as soon as an account has these balances.
func awaitBalances(t testing.TB, client tb.Client, n uint64, want [4]uint64) {
	t.Helper()
	for deadline := time.Now().Add(callWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if balances(t, client, n) == want {
			return
		}
	}
	wantBalances(t, client, n, want)
}
