package workload

import "ledger/interop/conformance/internal/proto"

// lookupAccounts asks for accounts by id; some do not exist, some are asked twice.
func (g *Generator) lookupAccounts(ids int) proto.Request {
	request := proto.Request{Op: proto.LookupAccounts}
	for range ids {
		id := g.unknownID()
		if a := g.someAccount(g.lane); a != nil && g.chance(0.95) {
			id = a.ID
		} else if g.chance(0.2) {
			id = pick(g, proto.U128{}, proto.MaxU128)
		}
		request.IDs = append(request.IDs, id)
	}
	return request
}

// lookupTransfers asks for transfers by id; some do not exist or were refused.
func (g *Generator) lookupTransfers(ids int) proto.Request {
	request := proto.Request{Op: proto.LookupTransfers}
	for range ids {
		id := g.unknownID()
		if t := g.someTransfer(); t != nil && g.chance(0.9) {
			id = t.ID
		} else if len(g.model.failed) > 0 && g.chance(0.7) {
			id = g.model.failed[g.IntN(len(g.model.failed))].ID
		} else if g.chance(0.3) {
			id = pick(g, proto.U128{}, proto.MaxU128)
		}
		request.IDs = append(request.IDs, id)
	}
	return request
}

// allAccounts looks up every account that the generator knows, in requests of at
// most 1000.
func (g *Generator) allAccounts() []proto.Request {
	var requests []proto.Request
	for i, a := range g.model.accounts {
		if i%1000 == 0 {
			requests = append(requests, proto.Request{Op: proto.LookupAccounts})
		}
		last := &requests[len(requests)-1]
		last.IDs = append(last.IDs, a.ID)
	}
	return requests
}

// accountFilter makes a request with an account filter, for transfers or balances.
func (g *Generator) accountFilter(op proto.Op) proto.Request {
	f := &proto.AccountFilter{AccountID: g.unknownID(), Limit: g.limit(maxBatch)}
	account, sample := g.queriedAccount(op)
	if account != nil && g.chance(0.97) {
		f.AccountID = account.ID
	}
	f.Flags = pick[uint32](g, proto.FilterDebits, proto.FilterCredits,
		proto.FilterDebits|proto.FilterCredits, proto.FilterDebits|proto.FilterCredits)
	if g.chance(0.4) {
		f.Flags |= proto.FilterReversed
	}
	if sample != nil {
		if g.chance(0.2) {
			f.UserData128 = sample.UserData128
		}
		if g.chance(0.2) {
			f.UserData64 = sample.UserData64
		}
		if g.chance(0.2) {
			f.UserData32 = sample.UserData32
		}
		if g.chance(0.2) {
			f.Code = sample.Code
		}
	}
	f.TimestampMin, f.TimestampMax = g.timeRange()
	if g.chance(g.mix.badFilters) {
		switch g.IntN(8) {
		case 0:
			f.AccountID = proto.U128{}
		case 1:
			f.AccountID = proto.MaxU128
		case 2:
			f.Flags = f.Flags & proto.FilterReversed
		case 3:
			f.Flags |= 1 << g.between(3, 31)
		case 4:
			f.Reserved[g.IntN(len(f.Reserved))] = 1
		case 5:
			f.Limit = 0
		default:
			g.badTimes(&f.TimestampMin, &f.TimestampMax)
		}
	}
	return proto.Request{Op: op, AccountFilter: f}
}

// queriedAccount picks an account to ask about, mostly one that has transfers, and
// one of these. For balances it is mostly an account with history.
func (g *Generator) queriedAccount(op proto.Op) (*account, *transfer) {
	for range 8 {
		sample := g.someTransfer()
		if sample == nil {
			break
		}
		found := g.model.byID[pick(g, sample.DebitAccountID, sample.CreditAccountID)]
		if found != nil && (op != proto.GetAccountBalances || found.Flags&proto.AccountHistory != 0) {
			return found, sample
		}
	}
	return g.someAccount(g.lane), nil
}

// queryFilter makes a request with a query filter, for accounts or transfers.
func (g *Generator) queryFilter(op proto.Op) proto.Request {
	f := &proto.QueryFilter{Ledger: g.lane, Limit: g.limit(maxBatch)}
	use := func() bool { return g.chance(0.3) }
	if op == proto.QueryAccounts {
		if a := g.someAccount(g.lane); a != nil {
			g.fillQuery(f, use, a.UserData128, a.UserData64, a.UserData32, a.Ledger, a.Code)
		}
	} else if t := g.someTransfer(); t != nil {
		g.fillQuery(f, use, t.UserData128, t.UserData64, t.UserData32, t.Ledger, t.Code)
	}
	if g.chance(0.03) {
		f.UserData64 = 12345 // Matches nothing.
	}
	if g.chance(0.4) {
		f.Flags = proto.QueryReversed
	}
	f.TimestampMin, f.TimestampMax = g.timeRange()
	if g.chance(g.mix.badFilters) {
		switch g.IntN(5) {
		case 0:
			f.Limit = 0
		case 1:
			f.Flags |= 1 << g.between(1, 31)
		case 2:
			f.Reserved[g.IntN(len(f.Reserved))] = 1
		default:
			g.badTimes(&f.TimestampMin, &f.TimestampMax)
		}
	}
	return proto.Request{Op: op, QueryFilter: f}
}

func (g *Generator) fillQuery(f *proto.QueryFilter, use func() bool, data128 proto.U128, data64 uint64, data32, ledger uint32,
	code uint16) {
	if use() {
		f.UserData128 = data128
	}
	if use() {
		f.UserData64 = data64
	}
	if use() {
		f.UserData32 = data32
	}
	if use() {
		f.Ledger = ledger
	}
	if use() {
		f.Code = code
	}
}

// changesFilter makes a request for change events.
func (g *Generator) changesFilter() proto.Request {
	f := &proto.ChangesFilter{Limit: g.limit(maxChanges)}
	f.TimestampMin, f.TimestampMax = g.timeRange()
	if g.chance(g.mix.badFilters) {
		switch g.IntN(4) {
		case 0:
			f.Limit = 0
		case 1:
			f.Reserved[g.IntN(len(f.Reserved))] = 1
		default:
			g.badTimes(&f.TimestampMin, &f.TimestampMax)
		}
	}
	return proto.Request{Op: proto.GetChangeEvents, ChangesFilter: f}
}

// limit is a number of rows to ask for: mostly few, at times all that fit in a
// reply, and at times more than that.
func (g *Generator) limit(most int) uint32 {
	switch n := g.IntN(100); {
	case n < 30:
		return uint32(g.between(1, 3))
	case n < 96 || len(g.model.transfers) > 1500:
		return uint32(g.between(4, 20))
	case n < 99:
		return uint32(most)
	}
	return pick(g, uint32(most)+1, 1<<32-1)
}

// timeRange is a range of timestamps, mostly open at one or both ends. The lower
// end may be one nanosecond after an event and the upper end one before, so that
// the result is the same however far apart a server puts its timestamps.
func (g *Generator) timeRange() (from, to proto.Time) {
	if g.chance(0.3) {
		from = g.someTime()
	}
	if g.chance(0.3) {
		to = g.someTime()
	}
	if !from.IsZero() && !to.IsZero() && to.Before(from) && g.chance(0.9) {
		from, to = to, from
	}
	if g.chance(0.3) && !from.IsZero() {
		from = from.Plus(1)
	}
	if g.chance(0.3) && !to.IsZero() {
		to = to.Plus(-1)
	}
	if g.chance(0.03) {
		from = proto.Plain(1)
	}
	if g.chance(0.03) {
		to = proto.Plain(1<<63 - 1)
	}
	return from, to
}

// someTime is the timestamp of an account or a transfer.
func (g *Generator) someTime() proto.Time {
	if a := g.someAccount(g.lane); a != nil && g.chance(0.2) {
		return a.Timestamp
	}
	if t := g.someTransfer(); t != nil {
		return t.Timestamp
	}
	return proto.Time{}
}

// badTimes makes a range invalid.
func (g *Generator) badTimes(from, to *proto.Time) {
	switch g.IntN(5) {
	case 0:
		*from = proto.Plain(1 << 63)
	case 1:
		*to = proto.Plain(1 << 63)
	case 2:
		*from = proto.Plain(^uint64(0))
	case 3:
		*to = proto.Plain(^uint64(0))
	case 4:
		*to = g.someTime()
		*from = to.Plus(1)
	}
}
