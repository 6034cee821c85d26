package interop

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/interop/server"
)

// TestBasics wants accounts and transfers to be created once, found again, and refused for plain
// mistakes.
func TestBasics(t *testing.T) {
	client := connected(t, started(t, small).Address)

	rich := account(1, tb.AccountFlags{History: true})
	rich.UserData128, rich.UserData64, rich.UserData32 = tb.AmountMax, ^uint64(0), ^uint32(0)
	results := makeAccounts(t, client, rich, account(2), account(3, tb.AccountFlags{DebitsMustNotExceedCredits: true}))
	found := ask(t, client.LookupAccounts, ids(1, 4))
	if len(found) != 3 {
		t.Fatalf("%d accounts found, want 3", len(found))
	}
	rich.Timestamp = results[0].Timestamp
	if found[0] != rich {
		t.Fatalf("account 1 is %+v, want %+v", found[0], rich)
	}
	if now := uint64(time.Now().UnixNano()); results[0].Timestamp > now || now-results[0].Timestamp > uint64(time.Minute) {
		t.Fatalf("timestamp %d is not about now, %d", results[0].Timestamp, now)
	}

	again := account(2)
	other := account(2)
	other.Code = 11
	zero := account(0)
	statuses := ask(t, client.CreateAccounts, []tb.Account{again, other, zero})
	for i, want := range []tb.CreateAccountStatus{tb.AccountExists, tb.AccountExistsWithDifferentCode, tb.AccountIDMustNotBeZero} {
		if len(statuses) != 3 || statuses[i].Status != want {
			t.Fatalf("repeated account %d: %+v, want %v", i, statuses, want)
		}
	}
	if statuses[0].Timestamp != results[1].Timestamp {
		t.Fatal("`exists` does not name the timestamp of the existing account")
	}

	first := transfer(100, 1, 2, 25)
	first.UserData128, first.UserData64, first.UserData32 = id(7), 8, 9
	made := makeTransfers(t, client, []tb.Transfer{first, transfer(101, 2, 1, 5)})
	wantBalances(t, client, 1, [4]uint64{0, 25, 0, 5})
	wantBalances(t, client, 2, [4]uint64{0, 5, 0, 25})
	first.Timestamp = made[0].Timestamp
	if stored := ask(t, client.LookupTransfers, []tb.Uint128{id(999), id(100)}); len(stored) != 1 || stored[0] != first {
		t.Fatalf("transfer 100 is %+v, want %+v", stored, first)
	}
	first.Timestamp = 0
	more := first
	more.Amount = id(26)
	makeTransfers(t, client,
		[]tb.Transfer{first, more, transfer(102, 1, 9, 1), transfer(103, 1, 1, 1), transfer(104, 3, 1, 1), transfer(104, 1, 3, 1)},
		tb.TransferExists, tb.TransferExistsWithDifferentAmount, tb.TransferCreditAccountNotFound,
		tb.TransferAccountsMustBeDifferent, tb.TransferExceedsCredits, tb.TransferIDAlreadyFailed)
	wantBalances(t, client, 1, [4]uint64{0, 25, 0, 5})

	if rows := ask(t, client.CreateAccounts, nil); len(rows) != 0 {
		t.Fatalf("no accounts to create: %d results", len(rows))
	}
	if rows := ask(t, client.CreateTransfers, nil); len(rows) != 0 {
		t.Fatalf("no transfers to create: %d results", len(rows))
	}
	if rows := ask(t, client.LookupAccounts, nil); len(rows) != 0 {
		t.Fatalf("no accounts to look up: %d found", len(rows))
	}
}

// TestTwoPhase wants pending transfers to be posted, voided and expired exactly once, and expiry to
// be punctual.
func TestTwoPhase(t *testing.T) {
	client := connected(t, started(t, small).Address)
	makeAccounts(t, client, account(1), account(2))
	makeTransfers(t, client, []tb.Transfer{
		transfer(10, 1, 2, 100, pending), transfer(11, 1, 2, 200, pending), transfer(12, 1, 2, 300, pending),
	})
	wantBalances(t, client, 1, [4]uint64{600, 0, 0, 0})
	makeTransfers(t, client, []tb.Transfer{
		resolution(20, 10, tb.AmountMax, post), // all of it
		resolution(21, 11, id(50), post),       // a part; the rest is given back
		resolution(22, 12, id(0), void),
		resolution(23, 10, tb.AmountMax, post),
		resolution(24, 12, id(0), void),
		resolution(25, 99, id(0), void),
		resolution(26, 20, id(0), void),
	}, tb.TransferCreated, tb.TransferCreated, tb.TransferCreated,
		tb.TransferPendingTransferAlreadyPosted, tb.TransferPendingTransferAlreadyVoided,
		tb.TransferPendingTransferNotFound, tb.TransferPendingTransferNotPending)
	wantBalances(t, client, 1, [4]uint64{0, 150, 0, 0})
	wantBalances(t, client, 2, [4]uint64{0, 0, 0, 150})

	// No request in between: the server has to look at the clock by itself. The event of the expiry
	// tells when it did. Only a silence shows it, so a machine that was held up gets a longer one.
	expiringID := uint64(28)
	for quiet := 1500 * time.Millisecond; ; quiet *= 2 {
		expiringID += 2
		expiring := transfer(expiringID, 1, 2, 7, pending)
		expiring.Timeout = 1
		made := makeTransfers(t, client, []tb.Transfer{expiring})
		wantBalances(t, client, 1, [4]uint64{7, 150, 0, 0})
		time.Sleep(quiet)
		events := awaitEvents(t, client, made[0].Timestamp+1, tb.ChangeEventTwoPhaseExpired)
		if len(events) != 1 {
			t.Fatalf("events after the pending transfer: %+v, want its expiry alone", events)
		}
		late := events[0].Timestamp - made[0].Timestamp - uint64(time.Second)
		if late <= uint64(500*time.Millisecond) {
			break
		}
		if quiet > 10*time.Second {
			t.Fatalf("expired %v late, want at most 500 ms", time.Duration(late))
		}
	}
	wantBalances(t, client, 1, [4]uint64{0, 150, 0, 0})
	makeTransfers(t, client, []tb.Transfer{resolution(31, expiringID, tb.AmountMax, post)}, tb.TransferPendingTransferExpired)
}

// TestLinkedChains wants a chain to happen as a whole or not at all.
func TestLinkedChains(t *testing.T) {
	client := connected(t, started(t, small).Address)
	makeAccounts(t, client, account(1), account(2))
	makeTransfers(t, client, []tb.Transfer{
		transfer(10, 1, 2, 1, linked), transfer(11, 1, 2, 2, linked), transfer(12, 1, 2, 4), // whole
		transfer(20, 1, 2, 8, linked), transfer(21, 1, 1, 16, linked), transfer(22, 1, 2, 32), // broken in the middle
		transfer(30, 1, 2, 64),          // on its own
		transfer(40, 1, 2, 128, linked), // open
	}, tb.TransferCreated, tb.TransferCreated, tb.TransferCreated,
		tb.TransferLinkedEventFailed, tb.TransferAccountsMustBeDifferent, tb.TransferLinkedEventFailed,
		tb.TransferCreated, tb.TransferLinkedEventChainOpen)
	wantBalances(t, client, 1, [4]uint64{0, 1 + 2 + 4 + 64, 0, 0})
	if rows := ask(t, client.LookupTransfers, ids(10, 40)); len(rows) != 4 {
		t.Fatalf("%d transfers exist, want 4", len(rows))
	}
	// A transfer that was rolled back may be tried again.
	makeTransfers(t, client, []tb.Transfer{transfer(20, 1, 2, 8)})
	wantBalances(t, client, 2, [4]uint64{0, 0, 0, 79})
}

// TestQueries pages through everything in both directions and by every kind of filter.
func TestQueries(t *testing.T) {
	client := connected(t, started(t, small).Address)
	accounts := []tb.Account{account(1, tb.AccountFlags{History: true}), account(2), account(3)}
	for i := range accounts {
		accounts[i].UserData64 = 5
		accounts[i].UserData32 = uint32(i)
	}
	makeAccounts(t, client, accounts...)
	const count = 1000
	transfers := make([]tb.Transfer, count)
	for i := range transfers {
		transfers[i] = transfer(uint64(1000+i), 1, 2, uint64(i+1))
		if i%2 == 1 { // every other one in the opposite direction
			transfers[i] = transfer(uint64(1000+i), 3, 1, uint64(i+1))
		}
		transfers[i].UserData64 = uint64(i % 10)
		transfers[i].Code = uint16(1 + i%3)
	}
	made := makeTransfers(t, client, transfers)

	// Page by page, forwards and backwards.
	for _, reversed := range []bool{false, true} {
		filter := tb.AccountFilter{AccountID: id(1), Limit: 300,
			Flags: tb.AccountFilterFlags{Debits: true, Credits: true, Reversed: reversed}.ToUint32()}
		seen := 0
		for {
			page := ask(t, client.GetAccountTransfers, filter)
			for _, row := range page {
				want := seen
				if reversed {
					want = count - 1 - seen
				}
				if row.ID != transfers[want].ID || row.Timestamp != made[want].Timestamp {
					t.Fatalf("reversed %v: row %d is transfer %s at %d", reversed, seen, row.ID.String(), row.Timestamp)
				}
				seen++
			}
			if len(page) < int(filter.Limit) {
				break
			}
			if last := page[len(page)-1].Timestamp; reversed {
				filter.TimestampMax = last - 1
			} else {
				filter.TimestampMin = last + 1
			}
		}
		if seen != count {
			t.Fatalf("reversed %v: %d rows, want %d", reversed, seen, count)
		}
	}
	rowsOf := func(filter tb.AccountFilter) int { return len(ask(t, client.GetAccountTransfers, filter)) }
	both := tb.AccountFilterFlags{Debits: true, Credits: true}.ToUint32()
	for _, one := range []struct {
		name   string
		filter tb.AccountFilter
		want   int
	}{
		{"debits", tb.AccountFilter{AccountID: id(1), Limit: 8189, Flags: 1}, count / 2},
		{"credits", tb.AccountFilter{AccountID: id(1), Limit: 8189, Flags: 2}, count / 2},
		{"user data", tb.AccountFilter{AccountID: id(1), Limit: 8189, Flags: both, UserData64: 7}, count / 10},
		{"user data and code", tb.AccountFilter{AccountID: id(1), Limit: 8189, Flags: both, UserData64: 7, Code: 2}, 34},
		{"span", tb.AccountFilter{AccountID: id(1), Limit: 8189, Flags: both, TimestampMin: made[10].Timestamp, TimestampMax: made[19].Timestamp},
			10},
		{"no direction", tb.AccountFilter{AccountID: id(1), Limit: 8189}, 0},
		{"no limit", tb.AccountFilter{AccountID: id(1), Flags: both}, 0},
		{"no account", tb.AccountFilter{AccountID: id(9), Limit: 8189, Flags: both}, 0},
	} {
		if got := rowsOf(one.filter); got != one.want {
			t.Errorf("get_account_transfers by %s: %d rows, want %d", one.name, got, one.want)
		}
	}

	// The balance after transfer i is the sum of all up to it.
	history := ask(t, client.GetAccountBalances, tb.AccountFilter{AccountID: id(1), Limit: 8189, Flags: both})
	if len(history) != count {
		t.Fatalf("%d balances, want %d", len(history), count)
	}
	var sums [2]uint64
	for i, row := range history {
		sums[i%2] += uint64(i + 1)
		if row.Timestamp != made[i].Timestamp || number(t, row.DebitsPosted) != sums[0] || number(t, row.CreditsPosted) != sums[1] {
			t.Fatalf("balance %d: %+v, want debits %d, credits %d at %d", i, row, sums[0], sums[1], made[i].Timestamp)
		}
	}
	if rows := ask(t, client.GetAccountBalances, tb.AccountFilter{AccountID: id(2), Limit: 10, Flags: both}); len(rows) != 0 {
		t.Errorf("an account without history has %d balances", len(rows))
	}

	if rows := ask(t, client.QueryAccounts, tb.QueryFilter{UserData64: 5, Limit: 8189}); len(rows) != 3 {
		t.Errorf("query_accounts by user data: %d rows, want 3", len(rows))
	}
	if rows := ask(t, client.QueryAccounts, tb.QueryFilter{UserData64: 5, UserData32: 2, Ledger: 1, Code: 10, Limit: 8189}); len(rows) != 1 ||
		rows[0].ID != id(3) {
		t.Errorf("query_accounts by four fields: %+v, want account 3", rows)
	}
	rows := ask(t, client.QueryTransfers, tb.QueryFilter{UserData64: 7, Code: 2, Limit: 8189,
		Flags: tb.QueryFilterFlags{Reversed: true}.ToUint32()})
	if len(rows) != 34 {
		t.Errorf("query_transfers: %d rows, want 34", len(rows))
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].Timestamp >= rows[i-1].Timestamp {
			t.Fatalf("reversed query_transfers: row %d is not older than the one before", i)
		}
	}
	if rows := ask(t, client.QueryTransfers, tb.QueryFilter{Limit: 8189}); len(rows) != count {
		t.Errorf("query_transfers for everything: %d rows, want %d", len(rows), count)
	}
}

// TestChangeEvents wants one row per transfer and per expiry, in order, with the balances of that
// moment.
func TestChangeEvents(t *testing.T) {
	client := connected(t, started(t, small).Address)
	makeAccounts(t, client, account(1), account(2))
	expiring := transfer(13, 1, 2, 1, pending)
	expiring.Timeout = 1
	makeTransfers(t, client, []tb.Transfer{
		transfer(10, 1, 2, 100), transfer(11, 1, 2, 10, pending), transfer(12, 1, 2, 20, pending), expiring,
		resolution(14, 11, id(4), post), resolution(15, 12, id(0), void),
		transfer(16, 1, 1, 1), // failed: no row
	}, tb.TransferCreated, tb.TransferCreated, tb.TransferCreated, tb.TransferCreated, tb.TransferCreated, tb.TransferCreated,
		tb.TransferAccountsMustBeDifferent)
	awaitEvents(t, client, 0, tb.ChangeEventTwoPhaseExpired)

	type row struct {
		kind                   tb.ChangeEventType
		transfer, pending      uint64
		amount                 uint64
		debitPending, debitSum uint64 // of account 1, right after
	}
	want := []row{
		{tb.ChangeEventSinglePhase, 10, 0, 100, 0, 100},
		{tb.ChangeEventTwoPhasePending, 11, 0, 10, 10, 100},
		{tb.ChangeEventTwoPhasePending, 12, 0, 20, 30, 100},
		{tb.ChangeEventTwoPhasePending, 13, 0, 1, 31, 100},
		{tb.ChangeEventTwoPhasePosted, 14, 11, 4, 21, 104},
		{tb.ChangeEventTwoPhaseVoided, 15, 12, 20, 1, 104},
		{tb.ChangeEventTwoPhaseExpired, 13, 0, 1, 0, 104},
	}
	filter := tb.ChangeEventsFilter{Limit: 3}
	var got []row
	for range 4 { // three pages of rows and an empty one
		page := ask(t, client.GetChangeEvents, filter)
		for _, event := range page {
			if event.Timestamp < filter.TimestampMin {
				t.Fatalf("an event at %d although none before %d was asked for", event.Timestamp, filter.TimestampMin)
			}
			filter.TimestampMin = event.Timestamp + 1
			if event.DebitAccountID != id(1) || event.CreditAccountID != id(2) || event.Ledger != 1 {
				t.Fatalf("an event names other accounts: %+v", event)
			}
			got = append(got, row{event.Type, number(t, event.TransferID), number(t, event.TransferPendingID), number(t, event.TransferAmount),
				number(t, event.DebitAccountDebitsPending), number(t, event.DebitAccountDebitsPosted)})
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("events %v\nwant   %v", got, want)
	}
}

// TestConcurrency has many goroutines call at once, through one client and through several: the
// library puts calls of one client together into one message, and none may get another's results.
func TestConcurrency(t *testing.T) {
	for _, one := range []struct {
		clients, goroutines, calls int
	}{
		{1, 64, 15},
		{7, 8, 15}, // a development server takes 8 connections
	} {
		t.Run(fmt.Sprintf("%d clients", one.clients), func(t *testing.T) {
			options := small
			if one.clients > 1 {
				options = server.Options{Development: true}
			}
			process := started(t, options)
			clients := make([]tb.Client, one.clients)
			for i := range clients {
				clients[i] = connected(t, process.Address)
			}
			makeAccounts(t, clients[0], account(1), account(2))
			var created atomic.Uint64
			work := func(client tb.Client, worker uint64) error {
				for call := range uint64(one.calls) {
					first := 1_000_000*(worker+1) + 1000*call
					batch := make([]tb.Transfer, 1+(worker+call)%13)
					for i := range batch {
						batch[i] = transfer(first+uint64(i), 1, 2, 1)
					}
					results, err := within(callWithin, func() ([]tb.CreateTransferResult, error) { return client.CreateTransfers(batch) })
					if err != nil {
						return err
					}
					if len(results) != len(batch) {
						return fmt.Errorf("%d results for %d transfers", len(results), len(batch))
					}
					for i, result := range results {
						if result.Status != tb.TransferCreated {
							return fmt.Errorf("transfer %s: %v", batch[i].ID.String(), result.Status)
						}
					}
					created.Add(uint64(len(batch)))
					rows, err := within(callWithin, func() ([]tb.Transfer, error) {
						return client.LookupTransfers([]tb.Uint128{batch[0].ID, id(first + 999), batch[len(batch)-1].ID})
					})
					if err != nil {
						return err
					}
					if len(rows) != 2 || rows[0].ID != batch[0].ID || rows[1].ID != batch[len(batch)-1].ID ||
						rows[0].Timestamp != results[0].Timestamp || rows[1].Timestamp != results[len(results)-1].Timestamp {
						return fmt.Errorf("lookup of transfers %s.. gave %+v", batch[0].ID.String(), rows)
					}
				}
				return nil
			}
			failures := make(chan error, one.clients*one.goroutines)
			for c, client := range clients {
				for g := range one.goroutines {
					go func() { failures <- work(client, uint64(c*one.goroutines+g)) }()
				}
			}
			for range one.clients * one.goroutines {
				if err := <-failures; err != nil {
					t.Fatal(err)
				}
			}
			wantBalances(t, clients[0], 2, [4]uint64{0, 0, 0, created.Load()})
		})
	}
}

// TestRequestLimits wants the largest requests and replies to work and one event more to be
// refused. It is the flag of `start` that decides, not that of `format`.
func TestRequestLimits(t *testing.T) {
	for _, one := range []struct {
		name           string
		options        server.Options
		events, lookup uint64
	}{
		{"1 MiB", small, 8189, 8189},
		{"1 MiB on a file formatted with --development", server.Options{FormatOnly: true, StartArgs: small.StartArgs}, 8189, 8189},
		{"32 KiB", server.Options{Development: true}, 253, 2031},
	} {
		t.Run(one.name, func(t *testing.T) {
			client := connected(t, started(t, one.options).Address)
			accounts := make([]tb.Account, one.events+1)
			for i := range accounts {
				accounts[i] = account(uint64(i + 1))
			}
			refused(t, tb.ErrTooMuchData, client.CreateAccounts, accounts)
			makeAccounts(t, client, accounts[:one.events]...)
			transfers := make([]tb.Transfer, one.events+1)
			for i := range transfers {
				transfers[i] = transfer(uint64(i+1), 1, 2, 1)
			}
			refused(t, tb.ErrTooMuchData, client.CreateTransfers, transfers)
			makeTransfers(t, client, transfers[:one.events])
			wantBalances(t, client, 2, [4]uint64{0, 0, 0, one.events})
			refused(t, tb.ErrTooMuchData, client.LookupAccounts, ids(1, one.lookup+1))
			if rows := ask(t, client.LookupAccounts, ids(1, one.lookup)); uint64(len(rows)) != one.events {
				t.Fatalf("%d accounts found, want %d", len(rows), one.events)
			}
			// The limit of replies is the same for all.
			everything := tb.AccountFilter{AccountID: id(1), Limit: 8189, Flags: 3}
			if rows := ask(t, client.GetAccountTransfers, everything); uint64(len(rows)) != one.events {
				t.Fatalf("%d transfers of account 1, want %d", len(rows), one.events)
			}
			everything.Limit++
			refused(t, tb.ErrTooMuchData, client.GetAccountTransfers, everything)
			want := min(one.events, 2730)
			if rows := ask(t, client.GetChangeEvents, tb.ChangeEventsFilter{Limit: 2730}); uint64(len(rows)) != want {
				t.Fatalf("%d change events, want %d", len(rows), want)
			}
		})
	}
}

// TestSessionsLimit wants the 65th session to evict the one that has been quiet for longest, and
// only that.
func TestSessionsLimit(t *testing.T) {
	process := started(t, small)
	silent, active := connected(t, process.Address), connected(t, process.Address)
	makeAccounts(t, silent, account(1))
	makeAccounts(t, active, account(2))
	// A session does not need its client: 62 register and leave, a few at a time, for the
	// connections are fewer than the sessions.
	var wave sync.WaitGroup
	places := make(chan struct{}, 12)
	for i := range 62 {
		wave.Add(1)
		go func() {
			defer wave.Done()
			places <- struct{}{}
			defer func() { <-places }()
			client, err := tb.NewClient(tb.ToUint128(0), []string{process.Address})
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			if _, err := within(callWithin, func() ([]tb.Account, error) { return client.LookupAccounts(ids(1, 1)) }); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		}()
	}
	wave.Wait()
	if t.Failed() {
		return
	}
	// 64 sessions: all are still there. The active client's is now the youngest, the silent one's the
	// oldest.
	wantBalances(t, active, 1, [4]uint64{})
	newest := connected(t, process.Address)
	wantBalances(t, newest, 1, [4]uint64{})
	refused(t, tb.ErrClientEvicted, silent.LookupAccounts, ids(1, 1))
	refused(t, tb.ErrClientClosed, silent.LookupAccounts, ids(1, 1))
	wantBalances(t, active, 2, [4]uint64{})
	wantBalances(t, newest, 2, [4]uint64{})
}

// TestRestart wants a client to go on through an orderly restart, a crash, and a frozen server.
func TestRestart(t *testing.T) {
	file := server.Format(t, small)
	port := server.FreePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	// A client may come before its server: the process that listens there when it calls hangs up.
	before, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	client := connected(t, address)
	early := make(chan error, 1)
	go func() {
		results, err := within(2*callWithin, func() ([]tb.CreateAccountResult, error) {
			return client.CreateAccounts([]tb.Account{account(1), account(2)})
		})
		if err == nil && (len(results) != 2 || results[1].Status != tb.AccountCreated) {
			err = errors.New("the accounts were not created")
		}
		early <- err
	}()
	connection, err := before.Accept()
	if err != nil {
		t.Fatal(err)
	}
	connection.Close()
	before.Close()
	process := file.StartOn(t, port)
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	makeTransfers(t, client, []tb.Transfer{transfer(1, 1, 2, 1)})
	process.Stop(t)
	process = file.StartOn(t, port)
	makeTransfers(t, client, []tb.Transfer{transfer(1, 1, 2, 1), transfer(2, 1, 2, 2)}, tb.TransferExists, tb.TransferCreated)
	process.Kill()
	process = file.StartOn(t, port)
	makeTransfers(t, client, []tb.Transfer{transfer(2, 1, 2, 2), transfer(3, 1, 2, 4)}, tb.TransferExists, tb.TransferCreated)
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	frozen := time.AfterFunc(2500*time.Millisecond, func() { process.Signal(syscall.SIGCONT) })
	defer frozen.Stop()
	makeTransfers(t, client, []tb.Transfer{transfer(4, 1, 2, 8)})
	wantBalances(t, client, 2, [4]uint64{0, 0, 0, 15})
	wantBalances(t, connected(t, address), 1, [4]uint64{0, 15, 0, 0})
}
