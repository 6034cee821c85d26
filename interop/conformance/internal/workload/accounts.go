package workload

import "ledger/interop/conformance/internal/proto"

// createAccounts makes a request that creates accounts.
func (g *Generator) createAccounts(events int) proto.Request {
	rows := make([]proto.Account, 0, events)
	for range events {
		switch {
		case len(g.model.accounts) > 0 && g.chance(g.mix.resend):
			rows = append(rows, g.accountAgain())
		case len(rows) > 0 && g.chance(g.mix.resend/2):
			rows = append(rows, rows[g.IntN(len(rows))])
		default:
			rows = append(rows, g.newAccount())
		}
		if g.chance(g.mix.faults) {
			g.spoilAccount(&rows[len(rows)-1])
		}
	}
	g.link(len(rows), func(i int) { rows[i].Flags |= proto.AccountLinked })
	return proto.Request{Op: proto.CreateAccounts, Accounts: rows}
}

// newAccount makes up a valid account.
func (g *Generator) newAccount() proto.Account {
	a := proto.Account{
		ID:          g.newID(&g.model.nextAccount),
		UserData128: g.userData128(),
		UserData64:  g.userData(^uint64(0)),
		UserData32:  uint32(g.userData(1<<32 - 1)),
		Ledger:      g.ledger(),
		Code:        g.code(),
	}
	if g.chance(g.mix.limited) {
		a.Flags |= pick[uint16](g, proto.AccountDebitsMustNotExceedCredits, proto.AccountCreditsMustNotExceedDebits)
	}
	if g.chance(g.mix.history) {
		a.Flags |= proto.AccountHistory
	}
	if g.chance(g.mix.closed) {
		a.Flags |= proto.AccountClosed
	}
	return a
}

// accountAgain sends an account once more, sometimes with a change.
func (g *Generator) accountAgain() proto.Account {
	a := g.model.accounts[g.IntN(len(g.model.accounts))].sent
	for range g.IntN(3) {
		changeAccount[g.IntN(len(changeAccount))](g, &a)
	}
	return a
}

var changeAccount = []func(*Generator, *proto.Account){
	func(g *Generator, a *proto.Account) { a.Flags ^= 1 << pick(g, 1, 2, 3, 5) },
	func(g *Generator, a *proto.Account) { a.UserData128 = g.userData128() },
	func(g *Generator, a *proto.Account) { a.UserData64 = g.userData(9) },
	func(g *Generator, a *proto.Account) { a.UserData32 = uint32(g.userData(9)) },
	func(g *Generator, a *proto.Account) { a.Ledger = uint32(g.IntN(5)) },
	func(g *Generator, a *proto.Account) { a.Code = uint16(g.IntN(5)) },
	func(g *Generator, a *proto.Account) { a.DebitsPosted = proto.N(1) },
}

// spoilAccount puts one to three faults into an account.
func (g *Generator) spoilAccount(a *proto.Account) {
	for range pick(g, 1, 1, 1, 1, 2, 3) {
		accountFaults[g.IntN(len(accountFaults))](g, a)
	}
}

var accountFaults = []func(*Generator, *proto.Account){
	func(g *Generator, a *proto.Account) { a.Timestamp = proto.Plain(uint64(g.between(1, 3))) },
	func(g *Generator, a *proto.Account) { a.Reserved = 1 },
	func(g *Generator, a *proto.Account) { a.Flags |= 1 << g.between(6, 15) },
	func(g *Generator, a *proto.Account) { a.ID = proto.U128{} },
	func(g *Generator, a *proto.Account) { a.ID = proto.MaxU128 },
	func(g *Generator, a *proto.Account) {
		a.Flags |= proto.AccountDebitsMustNotExceedCredits | proto.AccountCreditsMustNotExceedDebits
	},
	func(g *Generator, a *proto.Account) { a.DebitsPending = proto.N(1) },
	func(g *Generator, a *proto.Account) { a.DebitsPosted = proto.N(1) },
	func(g *Generator, a *proto.Account) { a.CreditsPending = proto.N(1) },
	func(g *Generator, a *proto.Account) { a.CreditsPosted = proto.MaxU128 },
	func(g *Generator, a *proto.Account) { a.Ledger = 0 },
	func(g *Generator, a *proto.Account) { a.Code = 0 },
	func(g *Generator, a *proto.Account) { a.Flags ^= proto.AccountImported },
}
