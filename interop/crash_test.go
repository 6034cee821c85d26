package interop

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tb "github.com/tigerbeetle/tigerbeetle-go"

	"ledger/interop/server"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the crash test's random choices; 0 picks one")

// kills is how often the crash test kills the server: 5, or what KILLS says (100 for a full run).
func kills(t *testing.T) int {
	count := 5
	if text := os.Getenv("KILLS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 1 || count > 1000 {
			t.Fatalf("KILLS=%s: want a number from 1 to 1000", text)
		}
	}
	return count
}

const (
	crashAccounts = 40
	crashWriters  = 6 // goroutines with a client each
	// Above so many transfers the writers send small batches only, so that a long run is not a large
	// one.
	crashTransfersMany = 1_500_000
	// How long a call may take with the server being killed again and again meanwhile.
	crashCallWithin = 3 * time.Minute
)

// kind is what a transfer is for.
type kind uint8

const (
	plain    kind = iota
	hold          // pending without a timeout, for a later posting, voiding, or neither
	expiring      // pending, expires before the test ends
	posting
	voiding
	broken // refused, and so is its chain
	chained
)

// entry is all that is needed to build a transfer again and to know what must have become of it.
// There is one for every transfer ever sent, so it is kept small.
type entry struct {
	kind          kind
	resolved      bool // a hold that was posted or voided
	debit, credit uint8
	amount        uint32 // of a posting: what it posts
	pending       uint32 // of a resolution: the index of its hold
	timestamp     uint64 // as acknowledged; 0 until then, and for what must not exist
}

func (e *entry) exists() bool { return e.kind != broken && e.kind != chained }

// writer is one client application. It knows the outcome of everything it sends, for it alone uses
// its ids.
type writer struct {
	number  uint64
	address string
	random  *rand.Rand
	client  tb.Client
	entries []entry
	holds   []uint32 // indexes of acknowledged holds that are still open

	resent []uint32 // of the batch in the making: places that hold an old transfer again

	mu      sync.Mutex
	sending bool // a request is under way
	gaveUp  bool // its client was closed meanwhile
	aborted atomic.Bool

	recent atomic.Pointer[[]entryAt]
	// Requests without an answer, and how many of them had been carried out.
	abandoned, unknown, carriedOut int
}

// entryAt is an acknowledged transfer for the auditor.
type entryAt struct {
	id        tb.Uint128
	timestamp uint64
}

func (w *writer) id(index uint32) tb.Uint128 { return id(w.number<<40 + uint64(index) + 1) }

// transfer builds the transfer of an entry, the same one every time.
func (w *writer) transfer(index uint32) tb.Transfer {
	e := &w.entries[index]
	out := tb.Transfer{ID: w.id(index), DebitAccountID: id(uint64(e.debit)), CreditAccountID: id(uint64(e.credit)),
		Amount: id(uint64(e.amount)), UserData128: id(uint64(index) * 3), UserData64: w.number, UserData32: index, Ledger: 1, Code: 1}
	switch e.kind {
	case hold:
		out.Flags = pending.ToUint16()
	case expiring:
		out.Flags, out.Timeout = pending.ToUint16(), 1+index%2
	case posting:
		out.Flags, out.PendingID = post.ToUint16(), w.id(e.pending)
	case voiding:
		out.Flags, out.PendingID = void.ToUint16(), w.id(e.pending)
	case chained:
		out.Flags = linked.ToUint16()
	case broken:
		out.CreditAccountID = out.DebitAccountID
	}
	return out
}

// add appends an entry with random accounts and amount.
func (w *writer) add(k kind) *entry {
	e := entry{kind: k, amount: 1 + w.random.Uint32N(1000), debit: uint8(1 + w.random.IntN(crashAccounts))}
	e.credit = uint8(1 + (int(e.debit)+w.random.IntN(crashAccounts-1))%crashAccounts)
	w.entries = append(w.entries, e)
	return &w.entries[len(w.entries)-1]
}

// batch makes up what to send next: indexes of entries, new ones and now and then old ones.
func (w *writer) batch(small bool) (indexes []uint32) {
	size := 1
	switch roll := w.random.IntN(100); {
	case small || roll < 35:
		size = 1 + w.random.IntN(3)
	case roll < 70:
		size = 1 + w.random.IntN(30)
	case roll < 92:
		size = 30 + w.random.IntN(300)
	default:
		size = 1000 + w.random.IntN(1500)
	}
	w.resent = w.resent[:0]
	oldCount := uint32(len(w.entries))
	for len(indexes) < size {
		next := uint32(len(w.entries))
		switch roll := w.random.IntN(100); {
		case roll < 4 && oldCount > 0:
			// A retry of the application's own: the same transfer under the same id, in another request.
			again := w.random.Uint32N(oldCount)
			if !w.entries[again].exists() {
				continue
			}
			w.resent = append(w.resent, uint32(len(indexes)))
			next = again
		case roll < 20:
			w.add(hold)
		case roll < 22:
			w.add(expiring)
		case roll < 34 && len(w.holds) > 0:
			pick := w.random.IntN(len(w.holds))
			open := w.holds[pick]
			w.holds[pick] = w.holds[len(w.holds)-1]
			w.holds = w.holds[:len(w.holds)-1]
			w.entries[open].resolved = true
			of := w.entries[open]
			e := w.add(posting)
			e.debit, e.credit, e.pending, e.amount = of.debit, of.credit, open, of.amount
			if w.random.IntN(2) == 0 {
				e.kind = voiding
			} else {
				e.amount = 1 + w.random.Uint32N(of.amount)
			}
		case roll < 36:
			// A chain whose last transfer is refused: nothing of it may ever be seen.
			w.add(chained)
			w.add(broken)
			indexes = append(indexes, next)
			next++
		default:
			w.add(plain)
		}
		indexes = append(indexes, next)
	}
	return indexes
}

// giveUp closes the client if a request is under way: an application that dies with an answer
// outstanding.
func (w *writer) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sending && !w.gaveUp {
		w.gaveUp = true
		w.client.Close()
	}
}

// under notes whether a request is under way, and tells whether it was given up.
func (w *writer) under(way bool) (gaveUp bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gaveUp = w.gaveUp
	w.sending, w.gaveUp = way, false
	return gaveUp
}

// errAborted ends a writer whose test has failed already.
var errAborted = errors.New("the test is over")

// send makes the call for a batch. If the client is given up during it, the outcome is unknown, and
// a new client sends the same batch again.
func (w *writer) send(indexes []uint32, abandon bool) error {
	batch := make([]tb.Transfer, len(indexes))
	for place, index := range indexes {
		batch[place] = w.transfer(index)
	}
	if abandon {
		defer time.AfterFunc(time.Duration(w.random.IntN(5000))*time.Microsecond, w.giveUp).Stop()
	}
	for unknown := false; ; unknown = true {
		w.under(true)
		if w.aborted.Load() {
			return errAborted
		}
		results, err := within(crashCallWithin, func() ([]tb.CreateTransferResult, error) { return w.client.CreateTransfers(batch) })
		if w.under(false) {
			w.abandoned++
			if w.aborted.Load() {
				return errAborted
			}
			next, err := reconnected(w.address, err)
			if err != nil {
				return err
			}
			w.client = next
			if results == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		return w.check(batch, indexes, results, unknown)
	}
}

// reconnected is a new client after one that was closed on purpose; any other end of the call is an
// error.
func reconnected(address string, ended error) (tb.Client, error) {
	if ended != nil && !errors.Is(ended, tb.ErrClientClosed) {
		return nil, ended
	}
	return tb.NewClient(tb.ToUint128(0), []string{address})
}

// check compares results with what must come, and notes the acknowledged timestamps. With unknown
// set the batch was sent before without an answer: then it was carried out as a whole, or not at
// all.
func (w *writer) check(batch []tb.Transfer, indexes []uint32, results []tb.CreateTransferResult, unknown bool) error {
	if len(results) != len(indexes) {
		return fmt.Errorf("%d results for %d transfers", len(results), len(indexes))
	}
	resent := make(map[uint32]bool, len(w.resent))
	for _, place := range w.resent {
		resent[place] = true
	}
	fresh := tb.TransferCreated
	if unknown {
		for place, index := range indexes {
			if !resent[uint32(place)] && w.entries[index].exists() {
				if results[place].Status == tb.TransferExists {
					fresh = tb.TransferExists
					w.carriedOut++
				}
				break
			}
		}
		w.unknown++
	}
	recent := make([]entryAt, 0, len(indexes))
	for place, index := range indexes {
		e := &w.entries[index]
		want := fresh
		switch {
		case resent[uint32(place)]:
			want = tb.TransferExists
		case e.kind == chained:
			want = tb.TransferLinkedEventFailed
		case e.kind == broken:
			want = tb.TransferAccountsMustBeDifferent
		}
		got := results[place]
		if got.Status != want {
			return fmt.Errorf("writer %d, transfer %d of %d (index %d, kind %d, resent %v, unknown %v): %v, want %v",
				w.number, place, len(indexes), index, e.kind, resent[uint32(place)], unknown, got.Status, want)
		}
		if !e.exists() {
			continue
		}
		if resent[uint32(place)] && e.timestamp != got.Timestamp {
			return fmt.Errorf("writer %d, index %d: exists at %d, but was acknowledged at %d", w.number, index, got.Timestamp, e.timestamp)
		}
		if !resent[uint32(place)] && e.kind == hold {
			w.holds = append(w.holds, index)
		}
		e.timestamp = got.Timestamp
		recent = append(recent, entryAt{batch[place].ID, got.Timestamp})
	}
	w.recent.Store(&recent)
	return nil
}

// TestKill9 tests durability: clients write while the server is killed with kill -9 again and again
// at random moments, also while it starts. What was acknowledged must be there, once, with the
// fields that were sent; what was not acknowledged must be there whole or not at all; and all
// balances must be the sums of it. KILLS sets the number of kills. The state is looked at through a
// client too: no knowledge of files.
func TestKill9(t *testing.T) {
	count := kills(t)
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay the choices: go test . -run '^TestKill9$' -seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	file := server.Format(t, small)
	port := server.FreePort(t)
	process := file.StartOn(t, port)
	auditor := connected(t, process.Address)
	accounts := make([]tb.Account, crashAccounts)
	for i := range accounts {
		accounts[i] = account(uint64(i+1), tb.AccountFlags{History: i%4 == 0})
	}
	makeAccounts(t, auditor, accounts...)

	var (
		stop, failed     atomic.Bool
		calls, transfers atomic.Uint64
		done             sync.WaitGroup
		writers          [crashWriters]*writer
	)
	for i := range writers {
		w := &writer{number: uint64(i + 1), address: process.Address, random: rand.New(rand.NewPCG(seed, uint64(i+1)))}
		var err error
		if w.client, err = tb.NewClient(tb.ToUint128(0), []string{w.address}); err != nil {
			t.Fatal(err)
		}
		writers[i] = w
		done.Add(1)
		go func() {
			defer done.Done()
			defer func() { w.client.Close() }()
			for !stop.Load() {
				indexes := w.batch(transfers.Load() > crashTransfersMany)
				// A new client takes 0.6 s to register, so the abandoning is rare.
				if err := w.send(indexes, w.random.IntN(150) == 0); err == errAborted {
					return
				} else if err != nil {
					t.Errorf("writer %d: %v", w.number, err)
					failed.Store(true)
					return
				}
				calls.Add(1)
				transfers.Add(uint64(len(indexes)))
				time.Sleep(time.Duration(w.random.IntN(3000)) * time.Microsecond)
			}
		}()
	}
	defer func() {
		// After a failure the server may be gone, and clients without one would try for ever.
		stop.Store(true)
		for _, w := range writers {
			w.aborted.Store(true)
			w.giveUp()
		}
		done.Wait()
	}()

	starting := 0
	for kill := range count {
		// Some work in between, then a random moment.
		target, deadline := calls.Load()+5, time.Now().Add(crashCallWithin)
		for calls.Load() < target && !failed.Load() {
			if !process.Running() {
				t.Fatalf("before kill %d the server ended by itself\n%s", kill, process.LogTail())
			}
			if time.Now().After(deadline) {
				t.Fatalf("before kill %d: no progress within %v\n%s", kill, crashCallWithin, process.LogTail())
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
		if failed.Load() {
			t.Fatalf("a writer failed before kill %d\n%s", kill, process.LogTail())
		}
		if !process.Running() {
			t.Fatalf("before kill %d the server ended by itself\n%s", kill, process.LogTail())
		}
		// Taken before the kill, so all of it was acknowledged before it.
		var acknowledged []entryAt
		for _, w := range writers {
			if recent := w.recent.Load(); recent != nil {
				acknowledged = append(acknowledged, *recent...)
			}
		}
		process.Kill()
		// Some applications die with their server. The last requests of these may be lost, or not.
		for _, w := range writers[:random.IntN(crashWriters/2+1)] {
			w.giveUp()
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		if random.IntN(4) == 0 { // killed again while it recovers
			starting++
			process = file.Launch(t, port)
			time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
			process.Kill()
		}
		process = file.StartOn(t, port)
		if err := audit(auditor, acknowledged); err != nil {
			t.Fatalf("after kill %d: %v\n%s", kill, err, process.LogTail())
		}
	}
	stop.Store(true)
	done.Wait()
	if failed.Load() {
		t.Fatalf("a writer failed\n%s", process.LogTail())
	}
	process.Kill()
	file.StartOn(t, port)
	compareWithWriters(t, auditor, writers[:])
	abandoned, unknown, carriedOut := 0, 0, 0
	for _, w := range writers {
		abandoned, unknown, carriedOut = abandoned+w.abandoned, unknown+w.unknown, carriedOut+w.carriedOut
	}
	t.Logf("%d kills, %d more while starting; %d requests with %d transfers; %d clients given up during a request, %d of these "+
		"without an answer, %d of those carried out",
		count, starting, calls.Load(), transfers.Load(), abandoned, unknown, carriedOut)
}

// audit looks up transfers that were acknowledged.
func audit(client tb.Client, acknowledged []entryAt) error {
	for len(acknowledged) > 0 {
		part := acknowledged[:min(len(acknowledged), 8189)]
		acknowledged = acknowledged[len(part):]
		wanted := make([]tb.Uint128, len(part))
		for i := range part {
			wanted[i] = part[i].id
		}
		rows, err := within(crashCallWithin, func() ([]tb.Transfer, error) { return client.LookupTransfers(wanted) })
		if err != nil {
			return err
		}
		if len(rows) != len(part) {
			return fmt.Errorf("%d of %d acknowledged transfers are gone", len(part)-len(rows), len(part))
		}
		for i, row := range rows {
			if row.ID != part[i].id || row.Timestamp != part[i].timestamp {
				return fmt.Errorf("transfer %s is at %d, but was acknowledged at %d", part[i].id.String(), row.Timestamp, part[i].timestamp)
			}
		}
	}
	return nil
}

// compareWithWriters compares everything in the database with everything the writers know.
func compareWithWriters(t *testing.T, client tb.Client, writers []*writer) {
	t.Helper()
	var sums [crashAccounts + 1][4]uint64 // debits pending, posted, credits pending, posted
	existing := uint64(0)
	for _, w := range writers {
		for first := 0; first < len(w.entries); first += 8189 {
			end := min(first+8189, len(w.entries))
			wanted := make([]tb.Uint128, 0, end-first)
			for index := first; index < end; index++ {
				wanted = append(wanted, w.id(uint32(index)))
			}
			rows := ask(t, client.LookupTransfers, wanted)
			for index := first; index < end; index++ {
				e := &w.entries[index]
				if !e.exists() {
					if len(rows) > 0 && rows[0].ID == w.id(uint32(index)) {
						t.Fatalf("writer %d, index %d: exists although its chain was refused", w.number, index)
					}
					continue
				}
				existing++
				want := w.transfer(uint32(index))
				want.Timestamp = e.timestamp
				if len(rows) == 0 || rows[0] != want {
					t.Fatalf("writer %d, index %d (kind %d): acknowledged %+v, found next %+v", w.number, index, e.kind, want, rows[:min(1, len(rows))])
				}
				rows = rows[1:]
			}
			if len(rows) != 0 {
				t.Fatalf("writer %d: %d transfers that nobody asked for", w.number, len(rows))
			}
		}
		for i := range w.entries {
			e := &w.entries[i]
			amount := uint64(e.amount)
			switch {
			case e.kind == plain, e.kind == posting:
				sums[e.debit][1] += amount
				sums[e.credit][3] += amount
			case e.kind == hold && !e.resolved:
				sums[e.debit][0] += amount
				sums[e.credit][2] += amount
			}
		}
	}
	for n := 1; n <= crashAccounts; n++ {
		awaitBalances(t, client, uint64(n), sums[n]) // some holds have yet to expire
	}
	// Every transfer there is, in the order of time: as many as there must be, each id once.
	filter, last, seen := tb.QueryFilter{Limit: 8189}, uint64(0), uint64(0)
	for {
		page := ask(t, client.QueryTransfers, filter)
		for _, row := range page {
			if row.Timestamp <= last {
				t.Fatalf("query_transfers goes back from %d to %d", last, row.Timestamp)
			}
			last = row.Timestamp
			low, _ := row.ID.Uint64()
			number, index := low>>40, low&(1<<40-1)-1
			if number < 1 || number > uint64(len(writers)) || index >= uint64(len(writers[number-1].entries)) ||
				writers[number-1].entries[index].timestamp != row.Timestamp {
				t.Fatalf("transfer %s at %d was never acknowledged so", row.ID.String(), row.Timestamp)
			}
		}
		seen += uint64(len(page))
		if len(page) < int(filter.Limit) {
			break
		}
		filter.TimestampMin = last + 1
	}
	if seen != existing {
		t.Fatalf("%d transfers in the database, %d were acknowledged", seen, existing)
	}
}
