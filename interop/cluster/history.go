package cluster

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	tb "github.com/tigerbeetle/tigerbeetle-go"
)

const (
	historyFirst   = 101 // id of the first account
	historyPause   = 50 * time.Millisecond
	judgeWithin    = 2 * time.Minute
	abandonOneOf   = 150 // calls
	newClientAfter = 20 * time.Millisecond
)

// history is clients whose calls and answers are recorded and judged. Each round of calls is judged
// by itself: it begins with the balances that the round before has ended with.
type history struct {
	t       testing.TB
	g       *group
	clients []*historian
	stop    atomic.Bool // the round is over
	over    atomic.Bool // the test is over
	running sync.WaitGroup
	begun   time.Time
	state   state             // with which the round began
	final   map[uint64]uint64 // the time of each transfer that exists

	mu        sync.Mutex
	recorded  []porcupine.Operation
	ids       []uint64 // that were sent, for lookups
	judged    int
	abandoned int
	taken     int // abandoned calls that were carried out
}

// historian is one application, with one call at a time.
type historian struct {
	*history
	number   int
	official bool
	random   *rand.Rand
	bankMu   sync.Mutex // of a bank that is replaced while the test's end wants to close it
	bank     *closer
	count    uint64
	err      error
}

func newHistory(t testing.TB, g *group, clients int, seed uint64) *history {
	t.Helper()
	h := &history{t: t, g: g, begun: time.Now(), final: map[uint64]uint64{}}
	for number := range clients {
		c := &historian{history: h, number: number, official: number%2 == 0, random: rand.New(rand.NewPCG(seed, uint64(number)))}
		h.clients = append(h.clients, c)
		if err := c.connect(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		h.stop.Store(true)
		h.over.Store(true)
		g.governor.end()
		for _, c := range h.clients {
			c.close()
		}
		h.running.Wait()
	})
	accounts := make([]tb.Account, modelAccounts)
	for i := range accounts {
		accounts[i] = tb.Account{ID: id(historyFirst + uint64(i)), Ledger: historyLedger, Code: 1}
		if i < modelLimited {
			accounts[i].Flags = tb.AccountFlags{DebitsMustNotExceedCredits: true}.ToUint16()
		}
	}
	results, err := within(h.clients[0].bank.CreateAccounts, accounts)
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range results {
		if result.Status != tb.AccountCreated {
			t.Fatalf("account %d: %v", i, result.Status)
		}
	}
	return h
}

// connect takes a new client.
func (c *historian) connect() error {
	b, err := newBank(c.g.addresses(), c.official)
	if err != nil {
		return err
	}
	c.bankMu.Lock()
	defer c.bankMu.Unlock()
	c.bank = &closer{bank: b}
	if c.over.Load() {
		c.bank.Close()
	}
	return nil
}

// close ends the client that there is when the test is over.
func (c *historian) close() {
	c.bankMu.Lock()
	defer c.bankMu.Unlock()
	if c.bank != nil {
		c.bank.Close()
	}
}

// begin starts a round.
func (h *history) begin() {
	h.stop.Store(false)
	for _, c := range h.clients {
		h.running.Go(func() {
			for !h.stop.Load() && c.err == nil {
				c.g.governor.wait()
				c.err = c.step()
				time.Sleep(time.Duration(c.random.Int64N(int64(2 * historyPause))))
			}
		})
	}
}

// step makes one call.
func (c *historian) step() error {
	switch roll := c.random.IntN(10); {
	case roll < 5:
		moves := make([]move, 1+c.random.IntN(3))
		for i := range moves {
			c.count++
			m := &moves[i]
			*m = move{id: uint64(c.number+1)<<32 + c.count + 1<<62, debit: c.random.IntN(modelAccounts), amount: 1 + c.random.Uint64N(50)}
			m.credit = (m.debit + 1 + c.random.IntN(modelAccounts-1)) % modelAccounts
		}
		return c.move(moves, c.random.IntN(abandonOneOf) == 0)
	case roll < 7:
		c.mu.Lock()
		wanted := make([]uint64, 0, 8)
		for range min(cap(wanted), len(c.ids)) {
			recent := c.ids[max(0, len(c.ids)-40):]
			wanted = append(wanted, recent[c.random.IntN(len(recent))])
		}
		c.mu.Unlock()
		if len(wanted) == 0 {
			return nil
		}
		return c.lookUp(wanted)
	default:
		_, err := c.readBalances()
		return err
	}
}

// record keeps an operation. Of a call whose end nobody saw, returned is the end of time.
func (h *history) record(number int, called time.Duration, c *call, returned time.Duration, r *reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recorded = append(h.recorded,
		porcupine.Operation{ClientId: number, Input: c, Call: int64(called), Output: r, Return: int64(returned)})
}

const never = time.Duration(math.MaxInt64)

// move makes the moves. With abandon set, the client is closed during the call, and a new one sends
// the same moves again: an application that dies and comes back.
func (c *historian) move(moves []move, abandon bool) error {
	batch := make([]tb.Transfer, len(moves))
	c.mu.Lock()
	for i, m := range moves {
		batch[i] = tb.Transfer{ID: id(m.id), DebitAccountID: id(historyFirst + uint64(m.debit)),
			CreditAccountID: id(historyFirst + uint64(m.credit)), Amount: id(m.amount), Ledger: historyLedger, Code: 1}
		c.ids = append(c.ids, m.id)
	}
	c.mu.Unlock()
	for isRepeat := false; ; isRepeat = true {
		bank, called := c.bank, time.Since(c.begun)
		if abandon {
			time.AfterFunc(time.Duration(c.random.Int64N(int64(newClientAfter))), bank.Close)
		}
		results, err := within(bank.CreateTransfers, batch)
		returned := time.Since(c.begun)
		answer := &reply{moves: make([]outcome, len(moves))}
		switch {
		case err == nil:
			if len(results) != len(moves) {
				return fmt.Errorf("client %d: %d results for %d transfers", c.number, len(results), len(moves))
			}
			for i, result := range results {
				answer.moves[i] = outcome{status: result.Status, timestamp: result.Timestamp}
			}
		case isClosed(err) && !c.over.Load():
			for i := range answer.moves {
				answer.moves[i].isUnknown = true
			}
			returned = never
		default:
			return fmt.Errorf("client %d: %w", c.number, err)
		}
		c.record(c.number, called, &call{moves: moves, isRepeat: isRepeat}, returned, answer)
		if abandon {
			bank.Close()
			if err := c.connect(); err != nil {
				return err
			}
		}
		if returned != never {
			return nil
		}
		abandon = false
	}
}

func (c *historian) lookUp(wanted []uint64) error {
	ids, answer := make([]tb.Uint128, len(wanted)), &reply{lookups: make([]uint64, len(wanted))}
	for i, one := range wanted {
		ids[i] = id(one)
	}
	called := time.Since(c.begun)
	rows, err := within(c.bank.LookupTransfers, ids)
	if err != nil {
		return fmt.Errorf("client %d: %w", c.number, err)
	}
	returned := time.Since(c.begun)
	found := map[uint64]uint64{}
	for _, row := range rows {
		found[low(row.ID)] = row.Timestamp
	}
	for i, one := range wanted {
		answer.lookups[i] = found[one]
	}
	c.record(c.number, called, &call{lookups: wanted}, returned, answer)
	return nil
}

func (c *historian) readBalances() (*reply, error) {
	ids := make([]tb.Uint128, modelAccounts)
	for i := range ids {
		ids[i] = id(historyFirst + uint64(i))
	}
	called := time.Since(c.begun)
	accounts, err := within(c.bank.LookupAccounts, ids)
	if err != nil {
		return nil, fmt.Errorf("client %d: %w", c.number, err)
	}
	returned := time.Since(c.begun)
	if len(accounts) != modelAccounts {
		return nil, fmt.Errorf("client %d: %d of %d accounts exist", c.number, len(accounts), modelAccounts)
	}
	answer := &reply{}
	for i, account := range accounts {
		answer.balances[i] = balance{low(account.DebitsPosted), low(account.CreditsPosted)}
	}
	c.record(c.number, called, &call{}, returned, answer)
	return answer, nil
}

// end ends the round, and judges it.
func (h *history) end() {
	h.t.Helper()
	h.stop.Store(true)
	h.running.Wait()
	for _, c := range h.clients {
		if c.err != nil {
			h.t.Fatal(c.err)
		}
	}
	last, err := h.clients[0].readBalances()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.findTransfers(); err != nil {
		h.t.Fatal(err)
	}
	h.resolveUnknown()
	switch porcupine.CheckOperationsTimeout(model(h.state, h.final), h.recorded, judgeWithin) {
	case porcupine.Illegal:
		h.t.Fatalf("no order of %d calls explains all answers: the history is not strictly serializable", len(h.recorded))
	case porcupine.Unknown:
		h.t.Fatalf("the judge found no answer about %d calls within %v", len(h.recorded), judgeWithin)
	}
	h.judged += len(h.recorded)
	h.state.balances = last.balances
	for _, one := range h.ids {
		h.state.newest = max(h.state.newest, h.final[one])
	}
	h.recorded, h.ids = nil, nil
}

// findTransfers looks up all transfers of the round.
func (h *history) findTransfers() error {
	for from := 0; from < len(h.ids); from += batchFull {
		part := h.ids[from:min(from+batchFull, len(h.ids))]
		wanted := make([]tb.Uint128, len(part))
		for i, one := range part {
			wanted[i] = id(one)
		}
		rows, err := within(h.clients[0].bank.LookupTransfers, wanted)
		if err != nil {
			return err
		}
		for _, row := range rows {
			h.final[low(row.ID)] = row.Timestamp
		}
	}
	return nil
}

// resolveUnknown gives a call without an answer the outcome that its transfers have. If a repeat
// says that it made them, the call has had no effect.
func (h *history) resolveUnknown() {
	made := map[uint64]bool{}
	for _, one := range h.recorded {
		for i, o := range one.Output.(*reply).moves {
			if !o.isUnknown && o.status == tb.TransferCreated {
				made[one.Input.(*call).moves[i].id] = true
			}
		}
	}
	for _, one := range h.recorded {
		moves, wasTaken := one.Output.(*reply).moves, false
		for i := range moves {
			m := &one.Input.(*call).moves[i]
			if moves[i].isUnknown && !made[m.id] && h.final[m.id] != 0 {
				moves[i] = outcome{status: tb.TransferCreated, timestamp: h.final[m.id]}
				made[m.id], wasTaken = true, true
			}
		}
		if len(moves) > 0 && time.Duration(one.Return) == never {
			h.abandoned++
			if wasTaken {
				h.taken++
			}
		}
	}
}
