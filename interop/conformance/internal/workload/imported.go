package workload

import "ledger/interop/conformance/internal/proto"

// importedNext begins with imports into an empty server, at plain timestamps, goes
// on with ordinary requests, and then imports events between ordinary ones.
func importedNext(g *Generator) {
	g.script++
	switch {
	case g.script == 1:
		g.mix = mixes["queries"]()
		g.mix.faults = 0.04
		g.mix.limited = 0.15
		g.importAccounts(g.plainTimes(), 12)
	case g.number < g.requests/2:
		g.importEarly()
	default:
		g.importLate()
	}
	if g.number >= g.requests {
		g.finalLookups()
	}
}

// importEarly imports at plain timestamps, while the server has only such events.
func (g *Generator) importEarly() {
	switch n := g.IntN(10); {
	case n < 1:
		g.importTooEarly(g.plainTimes())
	case n < 2 && g.chance(0.2):
		g.importAfterBroken(g.plainTimes())
	case n < 3:
		g.importAccounts(g.plainTimes(), g.between(1, 6))
	case n < 7:
		g.importTransfers(g.plainTimes(), g.between(1, 10))
	default:
		g.call(g.request(pick(g, proto.LookupAccounts, proto.LookupTransfers, proto.GetAccountTransfers,
			proto.GetAccountBalances, proto.QueryAccounts, proto.QueryTransfers, proto.GetChangeEvents)))
	}
}

// importLate mixes ordinary requests with imports right after the latest event.
func (g *Generator) importLate() {
	if g.chance(0.5) || g.model.latest.IsZero() {
		g.ordinaryCall()
		return
	}
	// The server's clock must have moved past the timestamps to import.
	g.sleep(2)
	if g.chance(0.1) {
		g.importAfterBroken(g.timesAfter(g.model.latest))
	} else if g.chance(0.15) {
		g.importTooEarly(g.timesAfter(g.model.latest))
	} else if g.chance(0.3) {
		g.importAccounts(g.timesAfter(g.model.latest), g.between(1, 6))
	} else {
		g.importTransfers(g.timesAfter(g.model.latest), g.between(1, 10))
	}
}

// plainTimes counts plain timestamps upwards.
func (g *Generator) plainTimes() func() proto.Time {
	return func() proto.Time {
		g.clock += uint64(g.between(1, 20))
		return proto.Plain(g.clock)
	}
}

// timesAfter counts timestamps upwards from an event.
func (g *Generator) timesAfter(base proto.Time) func() proto.Time {
	return func() proto.Time {
		base = base.Plus(int64(g.between(1, 20)))
		return base
	}
}

// importAccounts queues a request that imports accounts.
func (g *Generator) importAccounts(next func() proto.Time, events int) {
	request := g.createAccounts(events)
	for i := range request.Accounts {
		a := &request.Accounts[i]
		a.Flags ^= proto.AccountImported
		a.Timestamp = g.importTime(next, a.Timestamp)
	}
	g.call(request)
}

// importTransfers queues a request that imports transfers.
func (g *Generator) importTransfers(next func() proto.Time, events int) {
	request := g.createTransfers(events)
	for i := range request.Transfers {
		t := &request.Transfers[i]
		if known := g.model.byXfer[t.ID]; known != nil && g.chance(0.5) {
			continue // Sent again as it was.
		}
		if pending := g.model.byXfer[t.PendingID]; pending != nil && pending.Timeout != 0 {
			// The reference server stops when an imported transfer finishes a pending
			// one that has a timeout, so there is no right answer to record.
			*t = g.newTransfer()
		}
		t.Flags ^= proto.TransferImported
		t.Timestamp = g.importTime(next, t.Timestamp)
		if t.Timeout != 0 && g.chance(0.8) {
			t.Timeout = 0
		}
	}
	g.call(request)
}

// importTooEarly queues an account and transfers that are older than the account.
func (g *Generator) importTooEarly(next func() proto.Time) {
	mix := g.mix
	g.mix.limited, g.mix.closed = 0, 0
	a := g.newAccount()
	g.mix = mix
	old := g.someAccount(a.Ledger)
	if old == nil {
		return
	}
	early := next()
	const age = 30
	a.Flags |= proto.AccountImported
	a.Timestamp = early.Plus(age)
	g.clock += 2 * age
	g.call(proto.Request{Op: proto.CreateAccounts, Accounts: []proto.Account{a}})

	var rows []proto.Transfer
	for i, t := range []struct {
		debit, credit proto.U128
		after         int64
	}{
		{a.ID, old.ID, 0}, {old.ID, a.ID, 1}, {old.ID, a.ID, age}, {a.ID, old.ID, age}, {old.ID, a.ID, age + 1},
	} {
		rows = append(rows, proto.Transfer{ID: g.newID(&g.model.nextTransfer),
			DebitAccountID: t.debit, CreditAccountID: t.credit, Amount: proto.N(uint64(i)),
			Ledger: a.Ledger, Code: g.code(), Flags: proto.TransferImported, Timestamp: early.Plus(t.after)})
	}
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: rows})
}

// importAfterBroken queues imports that are rolled back with their chain, and then
// imports that are older than those. What was rolled back does not count.
func (g *Generator) importAfterBroken(next func() proto.Time) {
	first := next()
	g.clock += 100
	bad := func(t proto.Transfer) proto.Transfer {
		t.Code = 0
		return t
	}
	row := func(after int64, flags uint16) proto.Transfer {
		t := g.newTransfer()
		t.Flags |= proto.TransferImported | flags
		t.Timestamp = first.Plus(after)
		return t
	}
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: []proto.Transfer{
		row(10, proto.TransferLinked), bad(row(11, 0))}})
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: []proto.Transfer{
		row(1, 0), row(20, proto.TransferLinked), row(30, proto.TransferLinked), bad(row(31, 0)), row(15, 0), row(15, 0)}})

	account := func(after int64, code uint16, flags uint16) proto.Account {
		a := g.newAccount()
		a.Code, a.Flags = code, proto.AccountImported|flags
		a.Timestamp = first.Plus(after)
		return a
	}
	g.call(proto.Request{Op: proto.CreateAccounts, Accounts: []proto.Account{
		account(60, 1, proto.AccountLinked), account(61, 0, 0), account(50, 1, 0), account(50, 1, 0), account(40, 1, 0)}})
}

// importTime is the timestamp of an event to import, mostly a valid one. A bad
// timestamp (one that a fault has put there) is kept.
func (g *Generator) importTime(next func() proto.Time, bad proto.Time) proto.Time {
	if !bad.IsZero() && bad.IsPlain() && bad.Value < 10 {
		return bad
	}
	if !g.chance(0.15) {
		return next()
	}
	switch g.IntN(8) {
	case 0:
		return proto.Time{}
	case 1:
		return pick(g, proto.Plain(1<<63), proto.Plain(^uint64(0)))
	case 2:
		return proto.Plain(1<<63 - 1) // Far in the future, but in range.
	}
	switch g.IntN(4) {
	case 0:
		return proto.Plain(uint64(g.between(1, 900))) // Before everything.
	case 1:
		if t := g.someTransfer(); t != nil {
			return t.Timestamp
		}
	case 2:
		if a := g.someAccount(0); a != nil {
			return a.Timestamp
		}
	}
	// At or just before one of the latest accounts, perhaps after the latest transfer.
	if n := len(g.model.accounts); n > 0 {
		at := g.model.accounts[n-1-g.IntN(min(3, n))].Timestamp
		if at.IsPlain() {
			return at.Plus(int64(-g.IntN(3)))
		}
		return at
	}
	return next()
}
