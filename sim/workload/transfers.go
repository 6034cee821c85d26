package workload

import "ledger/sim/model"

const resolving = model.TransferPostPending | model.TransferVoidPending

// transferBatch makes one batch of n events.
func (g *Generator) transferBatch(n int) []byte {
	imported := g.chance(g.profile.ImportedPercent)
	var stamps *stampSource
	if imported {
		stamps = g.importStamps(n, g.transferStampMax)
	}
	transfers := make([]model.Transfer, n)
	var pendings []model.Transfer // of this batch
	for i := range transfers {
		t := g.transfer(imported, pendings, transfers[:i])
		if imported && t.Timestamp == 0 && !g.chance(2) {
			t.Timestamp = stamps.take()
			t.Flags |= model.TransferImported
			if !g.chance(3) {
				t.Timeout = 0
			}
			if g.chance(5) {
				g.predate(&t)
			}
		}
		if t.Flags&model.TransferPending != 0 {
			pendings = append(pendings, t)
		}
		transfers[i] = t
	}
	g.linkChains(n,
		func(i int) { transfers[i].Flags |= model.TransferLinked },
		func(i int) { g.spoilTransfer(&transfers[i]) })
	out := make([]byte, 0, n*128)
	for i := range transfers {
		out = transfers[i].Append(out)
	}
	return out
}

// predate gives an imported transfer a timestamp above that of every transfer and below that of one
// of its accounts, if there is room.
func (g *Generator) predate(t *model.Transfer) {
	if len(g.accounts) < 2 || g.accountStampMax <= g.transferStampMax+2 || t.Flags&resolving != 0 {
		return
	}
	newest := g.accounts[len(g.accounts)-1]
	other := g.partner(newest)
	if other == nil {
		return
	}
	t.Ledger = newest.Ledger
	t.Timestamp = g.transferStampMax + 1
	t.DebitAccountID, t.CreditAccountID = newest.ID, other.ID
	if g.chance(50) {
		t.DebitAccountID, t.CreditAccountID = other.ID, newest.ID
	}
}

// transfer makes one event. Its timestamp is zero, unless the kind needs one.
func (g *Generator) transfer(imported bool, pendings, batch []model.Transfer) model.Transfer {
	kind := transferKind(g.pickShare(g.profile.TransferShares[:]))
	switch kind {
	case kindPost, kindVoid:
		if p, ok := g.pendingToResolve(pendings); ok {
			return g.resolve(p, kind == kindPost)
		}
		kind = kindPending
	case kindReopen:
		if len(g.closings) > 0 {
			return g.resolve(pickNew(g, g.closings), g.chance(20))
		}
		kind = kindClosing
	case kindRepeat:
		if t, ok := g.repeatTransfer(imported, batch); ok {
			return t
		}
	case kindDead:
		if len(g.dead) > 0 {
			t := g.newTransfer(kindSingle)
			if g.chance(70) {
				t.ID = pickNew(g, g.dead)
			} else {
				t.Flags, t.PendingID = model.TransferPostPending, pickNew(g, g.dead)
			}
			return t
		}
	case kindMistake:
		t := g.newTransfer(pickOne(g, []transferKind{kindSingle, kindPending, kindBalancing}))
		if p, ok := g.pendingToResolve(pendings); ok && g.chance(40) {
			t = g.resolve(p, g.chance(50))
		}
		g.spoilTransfer(&t)
		return t
	}
	return g.newTransfer(kind)
}

// pair returns two different accounts of one ledger. They are mostly open, and mostly in roles that
// their limits allow.
func (g *Generator) pair(whales bool) (debit, credit *account, ok bool) {
	for range 8 {
		if len(g.accounts) < 2 {
			return nil, nil, false
		}
		debit = pickOne(g, g.accounts)
		if (debit.Ledger == whaleLedger) != whales || g.isClosed(debit) && !g.chance(3) {
			continue
		}
		if credit = g.partner(debit); credit == nil || g.isClosed(credit) && !g.chance(3) {
			continue
		}
		wrongRole := debit.Flags&model.AccountDebitsMustNotExceedCredits != 0 || credit.Flags&model.AccountCreditsMustNotExceedDebits != 0
		if wrongRole && g.chance(60) {
			debit, credit = credit, debit
		}
		return debit, credit, true
	}
	return nil, nil, false
}

func (g *Generator) isClosed(a *account) bool { return a.closedUntilNs > g.nowNs }

// partner returns another account of the same ledger.
func (g *Generator) partner(a *account) *account {
	for range 8 {
		if other := pickOne(g, g.accounts); other.Ledger == a.Ledger && other.ID != a.ID {
			return other
		}
	}
	return nil
}

func (g *Generator) amount() model.Number {
	switch n := g.random.IntN(100); {
	case n < 5:
		return model.Number{}
	case n < 80:
		return model.Num(1 + g.random.Uint64N(100))
	case n < 97:
		return model.Num(1 + g.random.Uint64N(1_000_000))
	}
	return model.Number{High: 1 + g.random.Uint64N(1<<20), Low: g.random.Uint64()} // carries
}

func (g *Generator) whaleAmount() model.Number {
	return pickOne(g, []model.Number{
		model.NumberMax, {High: 1 << 63}, {High: 1 << 62}, {High: 1<<63 - 1, Low: ^uint64(0)}, {High: 3 << 62}, model.Num(1),
	})
}

func (g *Generator) timeout() uint32 {
	if g.chance(g.profile.LongHoldPercent) {
		return 3600
	}
	switch n := g.random.IntN(100); {
	case n < 35:
		return 0
	case n < 96:
		return 1 + g.random.Uint32N(3)
	case n < 98:
		return ^uint32(0)
	}
	return 1 << 20
}

// newTransfer makes a regular transfer of the given kind.
func (g *Generator) newTransfer(kind transferKind) model.Transfer {
	t := model.Transfer{
		ID:          g.newID(),
		Amount:      g.amount(),
		UserData128: g.value128(),
		UserData64:  g.value(),
		UserData32:  uint32(g.value()),
		Code:        g.code(),
		Ledger:      1,
	}
	debit, credit, ok := g.pair(kind == kindWhale)
	if ok {
		t.DebitAccountID, t.CreditAccountID, t.Ledger = debit.ID, credit.ID, debit.Ledger
	} else {
		t.DebitAccountID, t.CreditAccountID = g.newID(), g.newID()
	}
	switch kind {
	case kindPending:
		t.Flags |= model.TransferPending
		t.Timeout = g.timeout()
	case kindWhale:
		t.Amount = g.whaleAmount()
		if g.chance(60) {
			t.Flags |= model.TransferPending
			t.Timeout = g.timeout()
		}
	case kindBalancing:
		t.Flags |= pickOne(g, []uint16{model.TransferBalancingDebit, model.TransferBalancingCredit,
			model.TransferBalancingDebit | model.TransferBalancingCredit})
		if g.chance(30) {
			t.Flags |= model.TransferPending
			t.Timeout = g.timeout()
		}
		if g.chance(40) {
			t.Amount = model.NumberMax
		}
	case kindClosing:
		t.Flags |= model.TransferPending | pickOne(g, []uint16{model.TransferClosingDebit, model.TransferClosingCredit,
			model.TransferClosingDebit | model.TransferClosingCredit})
		t.Timeout = 1 + g.random.Uint32N(3)
		if g.chance(20) {
			t.Timeout = 0
		}
		if g.chance(50) {
			t.Amount = model.Number{}
		}
	}
	return t
}

func (g *Generator) pendingToResolve(batch []model.Transfer) (model.Transfer, bool) {
	switch {
	case len(batch) > 0 && g.chance(25):
		return pickOne(g, batch), true
	case len(g.open) > 0 && !g.chance(8):
		i := len(g.open) - 1 - g.random.IntN(min(len(g.open), 16))
		p := g.open[i]
		g.open = append(g.open[:i], g.open[i+1:]...)
		return p, true
	case len(g.pendings) > 0:
		return pickNew(g, g.pendings), true // perhaps resolved or expired
	}
	return model.Transfer{}, false
}

// resolve posts or voids p. Every field may be given or be zero.
func (g *Generator) resolve(p model.Transfer, post bool) model.Transfer {
	t := model.Transfer{ID: g.newID(), PendingID: p.ID, Flags: model.TransferVoidPending}
	if post {
		t.Flags = model.TransferPostPending
		switch g.random.IntN(3) {
		case 0:
			t.Amount = model.NumberMax
		case 1:
			t.Amount = p.Amount
		case 2:
			t.Amount = model.Number{High: p.Amount.High / 2, Low: p.Amount.Low / 2}
		}
	} else if g.chance(50) {
		t.Amount = p.Amount
	}
	if g.chance(50) {
		t.DebitAccountID, t.CreditAccountID = p.DebitAccountID, p.CreditAccountID
	}
	if g.chance(50) {
		t.Ledger, t.Code = p.Ledger, p.Code
	}
	if g.chance(50) {
		t.UserData128, t.UserData64, t.UserData32 = g.value128(), g.value(), uint32(g.value())
	}
	if p.Flags&(model.TransferBalancingDebit|model.TransferBalancingCredit) != 0 && g.chance(90) {
		t.Amount = model.Number{} // the moved amount is not remembered: post nothing, or void all
	}
	return t
}

// repeatTransfer makes an existing transfer again, sometimes with a changed field.
func (g *Generator) repeatTransfer(imported bool, batch []model.Transfer) (t model.Transfer, ok bool) {
	for range 4 {
		switch {
		case len(batch) > 0 && g.chance(20):
			t = pickOne(g, batch)
		case len(g.transfers) > 0:
			t = pickNew(g, g.transfers)
		default:
			return t, false
		}
		// The repeated transfer should be imported if the batch is, and not linked. The flags
		// count, and its chain is not repeated.
		if (t.Flags&model.TransferImported != 0) == imported && t.Flags&model.TransferLinked == 0 || g.chance(5) {
			ok = true
			break
		}
	}
	if t.Flags&model.TransferImported == 0 {
		t.Timestamp = 0
	}
	switch g.random.IntN(16) {
	case 0:
		t.Flags ^= pickOne(g, []uint16{model.TransferPending, model.TransferBalancingDebit, model.TransferClosingCredit,
			model.TransferPostPending})
	case 1:
		t.PendingID.Low++
	case 2:
		t.Timeout++
	case 3:
		t.DebitAccountID.Low++
	case 4:
		t.CreditAccountID.Low++
	case 5:
		t.Amount.Low++
	case 6:
		t.Amount.Low /= 2
	case 7:
		t.UserData128.High++
	case 8:
		t.UserData64++
	case 9:
		t.UserData32++
	case 10:
		t.Ledger++
	case 11:
		t.Code++
	case 12:
		t.Amount = model.NumberMax
	}
	return t, ok
}

// spoilTransfer makes one field wrong.
func (g *Generator) spoilTransfer(t *model.Transfer) {
	if t.Flags&resolving != 0 && g.chance(75) {
		g.spoilResolving(t)
		return
	}
	imported := t.Flags&model.TransferImported != 0
	switch g.random.IntN(25) {
	case 0:
		t.Flags |= 1 << (9 + g.random.IntN(7))
	case 1:
		t.ID = model.Number{}
	case 2:
		t.ID = model.NumberMax
	case 3:
		t.DebitAccountID = model.Number{}
	case 4:
		t.DebitAccountID = model.NumberMax
	case 5:
		t.CreditAccountID = model.Number{}
	case 6:
		t.CreditAccountID = model.NumberMax
	case 7:
		t.CreditAccountID = t.DebitAccountID
	case 8:
		t.PendingID = g.newID()
	case 9:
		t.Flags &^= model.TransferPending
		t.Timeout = 1
	case 10:
		t.Flags = t.Flags&^model.TransferPending | model.TransferClosingDebit
		t.Timeout = 0
	case 11:
		t.Ledger = 0
	case 12:
		t.Code = 0
	case 13:
		t.DebitAccountID = g.newID()
	case 14:
		t.CreditAccountID = g.newID()
	case 15: // often one of another ledger
		if len(g.accounts) > 0 {
			t.CreditAccountID = pickOne(g, g.accounts).ID
		}
	case 16:
		t.Ledger++
	case 17:
		t.Flags ^= model.TransferImported
	case 18, 19:
		t.Timestamp = g.wrongStamp(imported)
	case 20:
		if !imported {
			t.Timestamp = 1
		} else {
			t.Timeout, t.Flags = 1, t.Flags|model.TransferPending
		}
	case 21, 22: // more than a limit allows
		for range 8 {
			if len(g.accounts) == 0 {
				break
			}
			a := pickOne(g, g.accounts)
			other := g.partner(a)
			if a.Ledger == whaleLedger || other == nil ||
				a.Flags&(model.AccountDebitsMustNotExceedCredits|model.AccountCreditsMustNotExceedDebits) == 0 {
				continue
			}
			t.Ledger, t.Amount = a.Ledger, model.Number{High: 1 << 40}
			t.DebitAccountID, t.CreditAccountID = a.ID, other.ID
			if a.Flags&model.AccountCreditsMustNotExceedDebits != 0 {
				t.DebitAccountID, t.CreditAccountID = other.ID, a.ID
			}
			break
		}
	case 23:
		for _, a := range g.accounts {
			if g.isClosed(a) {
				if other := g.partner(a); other != nil {
					t.Ledger = a.Ledger
					t.DebitAccountID, t.CreditAccountID = a.ID, other.ID
					if g.chance(50) {
						t.DebitAccountID, t.CreditAccountID = other.ID, a.ID
					}
				}
				break
			}
		}
	case 24:
		t.Flags |= model.TransferPostPending | model.TransferVoidPending
	}
}

// spoilResolving makes one field of a post or a void wrong.
func (g *Generator) spoilResolving(t *model.Transfer) {
	switch g.random.IntN(14) {
	case 0:
		t.Flags |= resolving
	case 1:
		t.Flags |= pickOne(g, []uint16{model.TransferPending, model.TransferBalancingDebit, model.TransferBalancingCredit,
			model.TransferClosingDebit, model.TransferClosingCredit})
	case 2:
		t.PendingID = model.Number{}
	case 3:
		t.PendingID = model.NumberMax
	case 4:
		t.PendingID = t.ID
	case 5:
		t.Timeout = 1
	case 6:
		t.PendingID = g.newID()
	case 7:
		if len(g.transfers) > 0 {
			t.PendingID = pickOne(g, g.transfers).ID // often not a pending one
		}
	case 8:
		t.DebitAccountID = g.newID()
	case 9:
		t.CreditAccountID = g.newID()
	case 10:
		t.Ledger = 77
	case 11:
		t.Code = 777
	case 12:
		t.Amount = model.Number{High: ^uint64(0), Low: 1}
	case 13:
		t.Amount = model.Num(1)
	}
}
