package rows

import (
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage/forest/foresttest"
	"ledger/storage/forest/keys"
)

// snapshot is what the lists were at a moment.
type snapshot struct {
	moment    Moment
	accounts  []accounting.Account
	transfers []accounting.TransferRow
	memory    [2][]accounting.ExpiredRow // expiries that memtables had
}

func (w *world) snapshot() snapshot {
	memory := w.rows.Reader().Expired()
	for i := range memory {
		memory[i] = slices.Clone(memory[i])
	}
	return snapshot{w.rows.Moment(), slices.Clone(w.accounts), slices.Clone(w.transfers), memory}
}

// created is an account without what may change.
func created(a accounting.Account) accounting.Account {
	a.DebitsPending, a.DebitsPosted = accounting.U128{}, accounting.U128{}
	a.CreditsPending, a.CreditsPosted = accounting.U128{}, accounting.U128{}
	a.Flags &^= accounting.AccountClosed
	return a
}

// cached is the content of the account cache, apart from the marks of use.
func (w *world) cached() (entries []accounting.Account, states []uint64) {
	for i, state := range w.rows.cache.states {
		states = append(states, state&^stateUsed)
		if state != 0 {
			entries = append(entries, w.rows.cache.accounts[i])
		}
	}
	return entries, states
}

// pastAnswers compares what a past says with the lists of its moment.
func (w *world) pastAnswers(p *Past, then *snapshot) {
	w.t.Helper()
	entries, states := w.cached()
	r := p.Reader()
	for range 15 {
		at := w.random.IntN(len(w.transfers)) // also of later ones
		id := w.accounts[w.random.IntN(len(w.accounts))].ID
		var account accounting.Account
		want := slices.IndexFunc(then.accounts, func(a accounting.Account) bool { return a.ID == id })
		got, ok := p.AccountFind(id, &account)
		if ok != (want >= 0) || ok && (int(got) != want || created(account) != created(then.accounts[want])) {
			w.t.Fatalf("account %v is %d (%v) %+v, want %d", id, got, ok, account, want)
		}
		if ok {
			if p.AccountRead(got, &account); created(account) != created(then.accounts[want]) {
				w.t.Fatalf("account %d is read as %+v, want %+v", got, account, then.accounts[want])
			}
		}
		if at >= len(then.transfers) {
			continue
		}
		var row accounting.TransferRow
		if r.Read(accounting.TransferOrdinal(at), &row); row != then.transfers[at] {
			w.t.Fatalf("row %d is %+v, want %+v", at, row, then.transfers[at])
		}
	}
	for _, id := range []accounting.U128{{}, {Lo: ^uint64(0), Hi: ^uint64(0)}, w.id()} {
		if _, ok := p.AccountFind(id, new(accounting.Account)); ok {
			w.t.Fatalf("account %v is found", id)
		}
	}
	for range 5 {
		low, high := w.random.Uint64N(w.clock+3), w.random.Uint64N(w.clock+3)
		if w.random.IntN(3) == 0 {
			high = ^uint64(0)
		}
		first, end := r.TransferRange(low, high)
		wantFirst, wantEnd := uint64(0), uint64(0)
		for i := range then.transfers {
			if then.transfers[i].Transfer.Timestamp < low {
				wantFirst++
			}
			if then.transfers[i].Transfer.Timestamp <= high {
				wantEnd++
			}
		}
		if first != wantFirst || end != wantEnd {
			w.t.Fatalf("transfers of %d..%d were %d..%d, want %d..%d", low, high, first, end, wantFirst, wantEnd)
		}
	}
	if memory := r.Expired(); !slices.Equal(memory[0], then.memory[0]) || !slices.Equal(memory[1], then.memory[1]) {
		w.t.Fatalf("expiries in memory were %v, want %v", memory, then.memory)
	}
	if after, afterStates := w.cached(); !slices.Equal(after, entries) || !slices.Equal(afterStates, states) {
		w.t.Fatal("a query of the past has changed the account cache")
	}
}

// Goal: while later requests create accounts and transfers, change balances, expire and roll back,
// a past has exactly what its moment had: rows, ranges, expiries, and accounts as they were
// created. It never changes the account cache, whose states are newer. The rows lie in every place:
// memtables, carried tail, log, with names of accounts in the small cache or only in trees.
func TestPastIsAsOfItsMoment(t *testing.T) {
	random := seeded.Rand(t)
	moments, later, opened := 0, 0, 0
	for round := range 6 {
		w := newWorld(t, random)
		for range 40 { // more than the cache holds
			w.account()
		}
		isOpened, bars := round%2 == 1, 25
		if isOpened { // its carried rows have no ids of accounts; it has no free set, and so no bars
			for range 12 {
				for range 10 {
					w.step()
				}
				w.bar(false)
			}
			w.bar(true)
			w = w.reopened()
			bars = 8
			opened += int(w.rows.tail.count)
		}
		past := w.rows.NewPast(w.Memory)
		for bar := range bars {
			for range 1 + random.IntN(25) {
				w.step()
			}
			if len(w.transfers) == 0 {
				w.transfer()
			}
			then := w.snapshot()
			past.Set(&then.moment)
			moments++
			for range 4 {
				w.pastAnswers(past, &then)
				isRolledBack := random.IntN(3) == 0
				before := *w
				before.accounts, before.transfers = slices.Clone(w.accounts), slices.Clone(w.transfers)
				before.statuses, before.expired = slices.Clone(w.statuses), slices.Clone(w.expired)
				if isRolledBack {
					w.rows.ChainOpen()
				}
				for range random.IntN(6) {
					w.step()
					later++
				}
				if isRolledBack {
					w.rows.ChainRollback()
					*w = before
				}
				past.Check()
			}
			w.pastAnswers(past, &then)
			w.answers(false) // the newer states are there as well
			if !isOpened {
				w.bar(bar%7 == 6)
			}
		}
	}
	if moments < 80 || later < 500 || opened == 0 {
		t.Errorf("%d moments, %d later changes, %d carried rows: the test shows little", moments, later, opened)
	}
}

// Goal: a query of the past that goes on after its rows may have moved is stopped: by a seal, by an
// install, and by a change of the trees alone. Ordinary requests do not stop it.
func TestPastEndsWhenRowsMove(t *testing.T) {
	random := seeded.Rand(t)
	for _, c := range []struct {
		name  string
		moves func(w *world)
		ends  bool
	}{
		{"nothing", func(*world) {}, false},
		{"requests", func(w *world) {
			for range 20 {
				w.step()
			}
			w.kill()
		}, false},
		{"a bar that seals nothing", func(w *world) { w.bar(false) }, false},
		{"a seal", func(w *world) { w.rows.seal() }, true},
		{"the install of a flush", func(w *world) { w.install() }, true},
	} {
		l := foresttest.Limits()
		l.MemtableRowsSeal = 64
		w := worldOn(t, random, foresttest.New(t, l, random))
		for range 30 {
			w.account()
		}
		if c.name == "the install of a flush" {
			w.plan(true)
			w.account()
		}
		w.transfer()
		past := w.rows.NewPast(w.Memory)
		moment := w.rows.Moment()
		past.Set(&moment)
		c.moves(w)
		if ended := foresttest.Panics(past.Check); ended != c.ends {
			t.Errorf("%s: the query is stopped: %v, want %v", c.name, ended, c.ends)
		}
		if ended := foresttest.Panics(func() { past.Set(&moment) }); ended != c.ends {
			t.Errorf("%s: a query of that moment is refused: %v, want %v", c.name, ended, c.ends)
		}
	}
}

// Goal: nothing behind the moment can be read, and no moment lies within a chain.
func TestPastHasAnEnd(t *testing.T) {
	w := newWorld(t, seeded.Rand(t))
	for range 3 {
		w.account()
	}
	w.transfer()
	past := w.rows.NewPast(w.Memory)
	moment := w.rows.Moment()
	past.Set(&moment)
	w.account()
	w.transfer()
	var account accounting.Account
	var row accounting.TransferRow
	for name, c := range map[string]struct {
		call func()
		ends bool
	}{
		"the last account":  {func() { past.AccountRead(2, &account) }, false},
		"the next account":  {func() { past.AccountRead(3, &account) }, true},
		"the last transfer": {func() { past.Reader().Read(0, &row) }, false},
		"the next transfer": {func() { past.Reader().Read(1, &row) }, true},
	} {
		if ended := foresttest.Panics(c.call); ended != c.ends {
			t.Errorf("%s: reading it is stopped: %v, want %v", name, ended, c.ends)
		}
	}
	if keys.AccountField(&account, keys.Ledger).IsZero() || row != w.transfers[0] {
		t.Errorf("the last account is %+v, the last row %+v", account, row)
	}
	w.rows.ChainOpen()
	if !foresttest.Panics(func() { w.rows.Moment() }) {
		t.Error("a moment within a chain")
	}
}

// Goal: a past that remembers the name of one account does not take it for that of another, which
// shares its place.
func TestPastNames(t *testing.T) {
	w := newWorld(t, seeded.Rand(t))
	for range 3 {
		w.account()
	}
	past := w.rows.NewPast(w.Memory)
	moment := w.rows.Moment()
	past.Set(&moment)
	w.rows.cache.reset()
	for ordinal := range uint64(3) {
		past.names[ordinal] = name{namesCount + ordinal + 1, accounting.U128{Lo: 77}} // the next that has this place
	}
	for range 2 { // read, then remembered
		for ordinal := range w.accounts {
			if got := past.accountID(accounting.AccountOrdinal(ordinal)); got != w.accounts[ordinal].ID {
				t.Fatalf("account %d is named %v, want %v", ordinal, got, w.accounts[ordinal].ID)
			}
		}
	}
}
