package workload

import (
	"ledger/interop/conformance/internal/corpus"
	"ledger/interop/conformance/internal/proto"
)

// expiryNext queues one cycle: pending transfers that time out after one or two
// seconds, some of which are posted or voided at once; a sleep until all of the rest
// have expired; and a look at what has become of them.
//
// All pending transfers of a cycle are in one request. So the order in which they
// expire does not depend on how fast the requests follow each other.
func expiryNext(g *Generator) {
	if g.script++; g.script == 1 {
		g.mix = mixes["two-phase"]()
		g.mix.faults, g.mix.chains, g.mix.history = 0, 0, 0.6
		g.mix.ledgers = 1
		g.mix.limited = 0
		g.mix.resend = 0
	}
	accounts := g.freshAccounts(8)
	g.call(proto.Request{Op: proto.CreateAccounts, Accounts: accounts})
	pending := g.pendingBatch(accounts)
	first := len(g.queue)
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: pending})
	cycle := proto.At(g.queue[first].Exchange.Request.Number, 0)
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: g.finishSome(pending[:len(pending)/3])})

	g.sleep(2600)
	poll := proto.Request{Op: proto.LookupAccounts, IDs: idsOf(accounts)}
	g.queue = append(g.queue, &corpus.Step{Kind: corpus.Poll, Exchange: corpus.Exchange{Request: g.numbered(poll)}})

	g.call(proto.Request{Op: proto.GetChangeEvents,
		ChangesFilter: &proto.ChangesFilter{TimestampMin: cycle, Limit: maxChanges}})
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: g.finishSome(pending)}) // Too late.
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: pending})               // They exist.
	g.call(proto.Request{Op: proto.LookupTransfers, IDs: transferIDs(pending)})
	for _, a := range accounts[:4] {
		g.call(proto.Request{Op: proto.GetAccountBalances, AccountFilter: &proto.AccountFilter{
			AccountID: a.ID, Limit: 100, Flags: proto.FilterDebits | proto.FilterCredits}})
	}
	g.call(proto.Request{Op: proto.CreateTransfers, Transfers: g.plainBatch(accounts)}) // Closed ones are open again.
	g.call(poll)
	g.call(proto.Request{Op: proto.GetChangeEvents,
		ChangesFilter: &proto.ChangesFilter{TimestampMin: cycle, Limit: maxChanges}})
}

func (g *Generator) freshAccounts(n int) []proto.Account {
	var accounts []proto.Account
	for i := range n {
		a := g.newAccount()
		a.Flags &^= proto.AccountClosed
		if i == 0 {
			a.Flags |= proto.AccountHistory
		}
		accounts = append(accounts, a)
	}
	return accounts
}

// pendingBatch makes transfers with timeouts of one second, two seconds and long.
// The last ones also close their accounts.
func (g *Generator) pendingBatch(accounts []proto.Account) []proto.Transfer {
	var batch []proto.Transfer
	for range 24 {
		t := g.between2(accounts[:len(accounts)-3])
		t.Flags = proto.TransferPending
		t.Timeout = pick[uint32](g, 1, 1, 2, 2, 2, longTimeout, 0)
		batch = append(batch, t)
	}
	for i, flags := range []uint16{proto.TransferClosingDebit, proto.TransferClosingCredit,
		proto.TransferClosingDebit | proto.TransferClosingCredit} {
		t := g.between2(accounts)
		t.DebitAccountID, t.CreditAccountID = accounts[len(accounts)-1-i].ID, accounts[len(accounts)-2-i].ID
		t.Flags = proto.TransferPending | flags
		t.Timeout = uint32(1 + i%2)
		t.Amount = proto.N(uint64(g.IntN(3)))
		batch = append(batch, t)
	}
	return batch
}

// between2 makes a transfer between two of the accounts.
func (g *Generator) between2(accounts []proto.Account) proto.Transfer {
	debit := g.IntN(len(accounts))
	credit := (debit + g.between(1, len(accounts)-1)) % len(accounts)
	return proto.Transfer{
		ID:             g.newID(&g.model.nextTransfer),
		DebitAccountID: accounts[debit].ID, CreditAccountID: accounts[credit].ID,
		Amount:      proto.N(uint64(g.IntN(100))),
		UserData128: g.userData128(), UserData64: g.userData(9), UserData32: uint32(g.userData(9)),
		Ledger: 1, Code: g.code(),
	}
}

func (g *Generator) plainBatch(accounts []proto.Account) []proto.Transfer {
	var batch []proto.Transfer
	for range 8 {
		batch = append(batch, g.between2(accounts))
	}
	return batch
}

// finishSome posts and voids some of the pending transfers. Those with a timeout of
// one second are left alone: they might expire before the request arrives.
func (g *Generator) finishSome(pending []proto.Transfer) []proto.Transfer {
	var batch []proto.Transfer
	for _, p := range pending {
		if p.Timeout == 1 && len(pending) < 12 {
			continue
		}
		t := proto.Transfer{ID: g.newID(&g.model.nextTransfer), PendingID: p.ID, Flags: proto.TransferPost, Amount: proto.MaxU128}
		if g.chance(0.4) {
			t.Flags, t.Amount = proto.TransferVoid, proto.U128{}
		}
		batch = append(batch, t)
	}
	return batch
}

func idsOf(accounts []proto.Account) []proto.U128 {
	var ids []proto.U128
	for _, a := range accounts {
		ids = append(ids, a.ID)
	}
	return ids
}

func transferIDs(transfers []proto.Transfer) []proto.U128 {
	var ids []proto.U128
	for _, t := range transfers {
		ids = append(ids, t.ID)
	}
	return ids
}
