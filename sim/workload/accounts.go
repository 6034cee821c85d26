package workload

import "ledger/sim/model"

// value is one of the few values of user data. Sometimes it is zero, for which filters cannot ask.
func (g *Generator) value() uint64 {
	if g.chance(20) {
		return 0
	}
	return 1 + g.random.Uint64N(g.profile.ValuesCount)
}

func (g *Generator) value128() model.Number {
	n := model.Num(g.value())
	if g.chance(30) {
		n.High = g.value()
	}
	return n
}

func (g *Generator) code() uint16 { return uint16(1 + g.random.Uint64N(g.profile.ValuesCount)) }

func (g *Generator) ledger() uint32 {
	if g.profile.TransferShares[kindWhale] > 0 && g.chance(10) {
		return whaleLedger
	}
	return 1 + g.random.Uint32N(g.profile.LedgersCount)
}

// stampSource deals the timestamps of one import batch of n events. They rise, and stay below the
// batch's own timestamp.
type stampSource struct{ next uint64 }

func (g *Generator) importStamps(n int, newest uint64) *stampSource {
	s := &stampSource{next: newest + 1 + g.random.Uint64N(50)} // in the past, near existing timestamps
	if g.stampLast < g.nowNs && g.chance(50) {
		s.next = max(g.nowNs-uint64(n)-g.random.Uint64N(20), newest+1)
	}
	return s
}

func (s *stampSource) take() uint64 {
	s.next++
	return s.next - 1
}

// linkChains sets the linked flags of a batch: link(i) marks event i, breakIt(i) makes it fail.
func (g *Generator) linkChains(n int, link, breakIt func(i int)) {
	for i := 0; i < n; i++ {
		if !g.chance(g.profile.ChainPercent) {
			continue
		}
		length := 2 + g.random.IntN(max(1, g.profile.ChainEventsMax-1))
		end := min(i+length, n)
		if g.chance(g.profile.ChainBreakPercent) {
			breakIt(i + g.random.IntN(end-i))
		}
		for ; i < end-1; i++ {
			link(i)
		}
		if end == n && g.chance(5) {
			link(i) // an open chain
		}
	}
}

func (g *Generator) accountBatch(n int) []byte {
	imported := g.chance(g.profile.ImportedPercent)
	var stamps *stampSource
	if imported {
		stamps = g.importStamps(n, g.accountStampMax)
	}
	accounts := make([]model.Account, n)
	for i := range accounts {
		accounts[i] = g.newAccount()
		g.asked++
		if imported {
			accounts[i].Flags |= model.AccountImported
			accounts[i].Timestamp = stamps.take()
		}
		switch {
		case g.chance(g.profile.MistakePercent):
			g.spoilAccount(&accounts[i])
		case g.chance(g.profile.MistakePercent):
			g.repeatAccount(&accounts[i], accounts[:i])
		}
	}
	g.linkChains(n,
		func(i int) { accounts[i].Flags |= model.AccountLinked },
		func(i int) { g.spoilAccount(&accounts[i]) })
	out := make([]byte, 0, n*128)
	for i := range accounts {
		out = accounts[i].Append(out)
	}
	return out
}

func (g *Generator) newAccount() model.Account {
	a := model.Account{
		ID:          g.newID(),
		UserData128: g.value128(),
		UserData64:  g.value(),
		UserData32:  uint32(g.value()),
		Ledger:      g.ledger(),
		Code:        g.code(),
	}
	if g.chance(g.profile.HistoryPercent) {
		a.Flags |= model.AccountHistory
	}
	if a.Ledger != whaleLedger && g.chance(g.profile.LimitedPercent) {
		a.Flags |= pickOne(g, []uint16{model.AccountDebitsMustNotExceedCredits, model.AccountCreditsMustNotExceedDebits})
	}
	if g.chance(1) {
		a.Flags |= model.AccountClosed
	}
	if g.profile.TrialPercent > 0 && g.chance(g.profile.TrialPercent) {
		a.Code = model.TrialCode
	}
	return a
}

// repeatAccount makes an existing account again, or one that this batch has asked for already,
// sometimes with a changed field.
func (g *Generator) repeatAccount(a *model.Account, batch []model.Account) {
	var old model.Account
	switch {
	case len(batch) > 0 && g.chance(20):
		old = pickOne(g, batch)
	case len(g.accounts) > 0:
		old = pickNew(g, g.accounts).Account
	default:
		return
	}
	imported := a.Flags & model.AccountImported
	timestamp := a.Timestamp
	*a = old
	a.Timestamp = timestamp
	if g.chance(80) {
		a.Flags = a.Flags&^(model.AccountImported|model.AccountLinked) | imported
	}
	switch g.random.IntN(12) {
	case 0:
		a.Flags ^= model.AccountHistory
	case 1:
		a.UserData128.Low++
	case 2:
		a.UserData64++
	case 3:
		a.UserData32++
	case 4:
		a.Ledger++
	case 5:
		a.Code++
	case 6:
		a.CreditsPosted = model.Num(7) // not compared
	case 7:
		a.Flags |= model.AccountClosed
	}
}

// spoilAccount makes one field wrong.
func (g *Generator) spoilAccount(a *model.Account) {
	one := model.Number{High: g.random.Uint64N(2), Low: 1}
	switch g.random.IntN(16) {
	case 0:
		a.Reserved = 1 + g.random.Uint32N(9)
	case 1:
		a.Flags |= 1 << (6 + g.random.IntN(10))
	case 2:
		a.ID = model.Number{}
	case 3:
		a.ID = model.NumberMax
	case 4:
		a.Flags |= model.AccountDebitsMustNotExceedCredits | model.AccountCreditsMustNotExceedDebits
	case 5:
		a.DebitsPending = one
	case 6:
		a.DebitsPosted = one
	case 7:
		a.CreditsPending = one
	case 8:
		a.CreditsPosted = one
	case 9:
		a.Ledger = 0
	case 10:
		a.Code = 0
	case 11:
		a.Flags ^= model.AccountImported
	default:
		a.Timestamp = g.wrongStamp(a.Flags&model.AccountImported != 0)
	}
}

// wrongStamp is a timestamp that an event should not have.
func (g *Generator) wrongStamp(imported bool) uint64 {
	if !imported {
		return 1 + g.random.Uint64N(g.nowNs)
	}
	switch g.random.IntN(6) {
	case 0:
		return 0
	case 1:
		return 1<<63 + g.random.Uint64N(9)
	case 2:
		return g.nowNs + 3600*1_000_000_000
	case 4:
		return g.nowNs + g.random.Uint64N(uint64(2*g.profile.BatchEventsMax)) // at the edge of the batch's own
	case 3:
		if len(g.stamps) > 0 {
			return pickOne(g, g.stamps)
		}
	}
	return 1 + g.random.Uint64N(3)
}
