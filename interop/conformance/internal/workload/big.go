package workload

import "ledger/interop/conformance/internal/proto"

// bigNext makes full batches. After a few batches of accounts come batches of
// transfers, and now and then a lookup or a query whose reply is as large as can be.
func bigNext(g *Generator) {
	g.script++
	switch {
	case g.script == 1:
		g.mix = mixes["basic"]()
		g.mix.plainData, g.mix.wideIDs, g.mix.faults, g.mix.chains = 1, 0, 0, 0
		g.mix.ledgers, g.mix.hot, g.mix.limited = 2, 0.05, 0.05
		g.mix.resend = 0
		g.call(g.createAccounts(maxBatch))
	case g.script == 2:
		g.call(g.createAccounts(maxBatch))
	case g.script == 3: // One chain as long as a batch, which holds.
		g.mix.transfers = weights{{"plain", 1}}
		g.mix.limited = 0
		g.longChain(false)
	case g.script == 4: // And one that its last event breaks.
		g.longChain(true)
	case g.script == 5: // One event more than fits.
		g.call(g.createTransfers(maxBatch + 1))
	case g.script == 6:
		request := g.lookupAll(proto.LookupAccounts)
		request.IDs = append(request.IDs, proto.N(1))
		g.call(request)
	default:
		g.bigRequest()
	}
}

// bigRequest queues a full batch, or a request for as much as fits in a reply.
func (g *Generator) bigRequest() {
	g.mix.transfers = weights{{"plain", 90}, {"pending", 6}, {"post", 3}, {"void", 1}}
	g.mix.faults, g.mix.chains, g.mix.resend = 0, 0, 0
	switch n := g.IntN(40); {
	case n < 26:
		g.call(g.createTransfers(maxBatch))
	case n < 29: // With some faults and chains.
		g.mix.faults, g.mix.chains, g.mix.resend = 0.01, 0.002, 0.01
		g.call(g.createTransfers(maxBatch))
	case n < 31:
		g.call(g.createTransfers(g.between(1, maxBatch)))
	case n < 33: // Mostly pending, then posted.
		g.mix.transfers = weights{{"pending", 70}, {"post", 30}}
		g.call(g.createTransfers(maxBatch))
	case n < 34:
		g.call(g.lookupAll(proto.LookupAccounts))
	case n < 35:
		g.call(g.lookupAll(proto.LookupTransfers))
	case n < 36:
		g.call(proto.Request{Op: proto.GetAccountTransfers, AccountFilter: g.hotFilter()})
	case n < 37:
		g.call(proto.Request{Op: proto.GetAccountBalances, AccountFilter: g.hotFilter()})
	case n < 38:
		g.call(proto.Request{Op: proto.QueryAccounts,
			QueryFilter: &proto.QueryFilter{Limit: maxBatch, Ledger: 1, Flags: uint32(g.IntN(2))}})
	case n < 39:
		g.call(proto.Request{Op: proto.QueryTransfers,
			QueryFilter: &proto.QueryFilter{Limit: maxBatch, Code: 2, Flags: uint32(g.IntN(2))}})
	default:
		f := &proto.ChangesFilter{Limit: maxChanges, TimestampMin: g.someTime()}
		g.call(proto.Request{Op: proto.GetChangeEvents, ChangesFilter: f})
	}
}

// longChain queues a full batch that is one chain.
func (g *Generator) longChain(broken bool) {
	request := g.createTransfers(maxBatch)
	for i := range maxBatch - 1 {
		request.Transfers[i].Flags |= proto.TransferLinked
	}
	if broken {
		request.Transfers[maxBatch-1].Code = 0
	}
	g.call(request)
}

// lookupAll asks for as many rows as fit in a reply, from a random place on.
func (g *Generator) lookupAll(op proto.Op) proto.Request {
	request := proto.Request{Op: op}
	for i := range maxBatch {
		if op == proto.LookupAccounts {
			accounts := g.model.accounts
			request.IDs = append(request.IDs, accounts[(g.script*1000+i)%len(accounts)].ID)
		} else {
			transfers := g.model.transfers
			request.IDs = append(request.IDs, transfers[(g.script*1000+i)%len(transfers)].ID)
		}
	}
	return request
}

// hotFilter asks for all that there is about one of the busiest accounts.
func (g *Generator) hotFilter() *proto.AccountFilter {
	f := &proto.AccountFilter{Limit: maxBatch, Flags: proto.FilterDebits | proto.FilterCredits}
	for _, ledger := range g.model.ledgers { // One with history, if there is one.
		for _, a := range g.model.byLedger[ledger][:4] {
			if f.AccountID.IsZero() || a.Flags&proto.AccountHistory != 0 && g.chance(0.5) {
				f.AccountID = a.ID
			}
		}
	}
	if g.chance(0.5) {
		f.Flags |= proto.FilterReversed
	}
	return f
}
