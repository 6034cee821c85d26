package workload

import "ledger/interop/conformance/internal/proto"

// createTransfers makes a request that creates transfers.
func (g *Generator) createTransfers(events int) proto.Request {
	g.batchPending = nil
	rows := make([]proto.Transfer, 0, events)
	for range events {
		t := g.transferOf(g.choose(g.mix.transfers))
		if len(rows) > 0 && g.chance(g.mix.resend/4) {
			t = rows[g.IntN(len(rows))]
		}
		if g.chance(g.mix.faults) {
			g.spoilTransfer(&t)
		}
		if t.Flags&proto.TransferPending != 0 {
			g.batchPending = append(g.batchPending, t)
		}
		rows = append(rows, t)
	}
	g.link(len(rows), func(i int) { rows[i].Flags |= proto.TransferLinked })
	return proto.Request{Op: proto.CreateTransfers, Transfers: rows}
}

// transferOf makes up a transfer of a kind, or a plain one when the state has
// nothing to base that kind on.
func (g *Generator) transferOf(kind string) proto.Transfer {
	switch kind {
	case "pending":
		t := g.newTransfer()
		t.Flags |= proto.TransferPending
		if g.chance(0.4) {
			t.Timeout = uint32(longTimeout + g.IntN(1000))
		}
		if g.chance(0.02) {
			t.Timeout = 1<<32 - 1
		}
		return t
	case "post", "void":
		if t, ok := g.finishPending(kind == "post"); ok {
			return t
		}
		return g.transferOf("pending")
	case "balancing":
		t := g.newTransfer()
		t.Flags |= pick[uint16](g, proto.TransferBalancingDebit, proto.TransferBalancingCredit,
			proto.TransferBalancingDebit|proto.TransferBalancingCredit)
		if g.chance(0.3) {
			t.Flags |= proto.TransferPending
		}
		if g.chance(0.4) {
			t.Amount = proto.MaxU128
		}
		return t
	case "closing":
		t := g.newTransfer()
		t.Flags |= proto.TransferPending
		t.Flags |= pick[uint16](g, proto.TransferClosingDebit, proto.TransferClosingCredit,
			proto.TransferClosingDebit|proto.TransferClosingCredit)
		if g.chance(0.6) {
			t.Amount = proto.U128{}
		}
		return t
	case "again":
		if t, ok := g.transferAgain(); ok {
			return t
		}
	case "failed":
		if len(g.model.failed) > 0 {
			return g.model.failed[g.IntN(len(g.model.failed))]
		}
	}
	return g.newTransfer()
}

// newTransfer makes up a valid transfer between two accounts of one ledger.
func (g *Generator) newTransfer() proto.Transfer {
	t := proto.Transfer{
		ID:          g.newID(&g.model.nextTransfer),
		UserData128: g.userData128(),
		UserData64:  g.userData(^uint64(0)),
		UserData32:  uint32(g.userData(1<<32 - 1)),
		Ledger:      g.ledger(),
		Code:        g.code(),
	}
	if accounts := g.model.byLedger[t.Ledger]; len(accounts) < 2 && len(g.model.ledgers) > 0 {
		t.Ledger = pick(g, g.model.ledgers...)
	}
	debit := g.someAccount(t.Ledger)
	if debit == nil {
		return t
	}
	credit := debit
	for try := 0; credit == debit && try < 5; try++ {
		credit = g.someAccount(t.Ledger)
	}
	t.DebitAccountID, t.CreditAccountID = debit.ID, credit.ID
	t.Amount = g.amount(debit, credit)
	return t
}

// finishPending makes up a transfer that posts or voids a pending one.
func (g *Generator) finishPending(post bool) (proto.Transfer, bool) {
	var pending proto.Transfer
	open := g.model.openPending()
	switch {
	case len(g.batchPending) > 0 && g.chance(0.3):
		pending = g.batchPending[g.IntN(len(g.batchPending))]
	case len(open) > 0 && g.chance(0.85):
		pending = open[g.IntN(len(open))].Transfer
	case len(g.model.transfers) > 0:
		pending = g.someTransfer().Transfer
		if finished := g.model.byXfer[pending.PendingID]; g.chance(0.5) && finished != nil {
			pending = finished.Transfer
		}
	default:
		return pending, false
	}
	t := proto.Transfer{ID: g.newID(&g.model.nextTransfer), PendingID: pending.ID, Flags: proto.TransferVoid}
	if post {
		t.Flags = proto.TransferPost
	}
	t.Amount = g.finishAmount(post, pending.Amount)
	if g.chance(0.3) {
		t.DebitAccountID = pending.DebitAccountID
	}
	if g.chance(0.3) {
		t.CreditAccountID = pending.CreditAccountID
	}
	if g.chance(0.3) {
		t.Ledger = pending.Ledger
	}
	if g.chance(0.3) {
		t.Code = pending.Code
	}
	if g.chance(0.2) {
		t.UserData128 = g.userData128()
		t.UserData64 = g.userData(9)
		t.UserData32 = uint32(g.userData(9))
	}
	return t, true
}

// finishAmount is the amount of a posting or voiding transfer, mostly a valid one.
func (g *Generator) finishAmount(post bool, amount proto.U128) proto.U128 {
	more, _ := amount.Add(proto.N(1))
	switch n := g.IntN(20); {
	case n == 0:
		return more
	case n == 1:
		return amount.Sub(proto.N(1))
	case n == 2:
		return proto.MaxU128
	case n == 3:
		return proto.U128{}
	case n < 10 && post:
		return proto.MaxU128
	case n < 10:
		return proto.U128{}
	case n < 14 && post:
		return proto.U128{Lo: amount.Lo / 2, Hi: amount.Hi / 2}
	}
	return amount
}

// transferAgain sends a transfer once more, sometimes with a change.
func (g *Generator) transferAgain() (proto.Transfer, bool) {
	known := g.someTransfer()
	if known == nil {
		return proto.Transfer{}, false
	}
	t := known.sent
	if g.chance(0.1) {
		t = known.Transfer // As the server returned it, except for the timestamp.
		if t.Flags&proto.TransferImported == 0 {
			t.Timestamp = proto.Time{}
		}
	}
	for range g.IntN(3) {
		changeTransfer[g.IntN(len(changeTransfer))](g, &t)
	}
	return t, true
}

var changeTransfer = []func(*Generator, *proto.Transfer){
	func(g *Generator, t *proto.Transfer) { t.Flags ^= 1 << g.between(1, 7) },
	func(g *Generator, t *proto.Transfer) { t.PendingID = pick(g, proto.U128{}, proto.N(1), g.unknownID()) },
	func(g *Generator, t *proto.Transfer) { t.Timeout = pick[uint32](g, 0, longTimeout, longTimeout+5000) },
	func(g *Generator, t *proto.Transfer) {
		t.DebitAccountID = pick(g, t.CreditAccountID, g.unknownID(), proto.U128{})
	},
	func(g *Generator, t *proto.Transfer) {
		t.CreditAccountID = pick(g, t.DebitAccountID, g.unknownID(), proto.U128{})
	},
	func(g *Generator, t *proto.Transfer) {
		more, _ := t.Amount.Add(proto.N(1))
		t.Amount = pick(g, more, t.Amount.Sub(proto.N(1)), proto.U128{}, proto.MaxU128)
	},
	func(g *Generator, t *proto.Transfer) { t.UserData128 = g.userData128() },
	func(g *Generator, t *proto.Transfer) { t.UserData64 = g.userData(9) },
	func(g *Generator, t *proto.Transfer) { t.UserData32 = uint32(g.userData(9)) },
	func(g *Generator, t *proto.Transfer) { t.Ledger = uint32(g.IntN(5)) },
	func(g *Generator, t *proto.Transfer) { t.Code = uint16(g.IntN(5)) },
}

// spoilTransfer puts one to three faults into a transfer.
func (g *Generator) spoilTransfer(t *proto.Transfer) {
	for range pick(g, 1, 1, 1, 1, 2, 3) {
		transferFaults[g.IntN(len(transferFaults))](g, t)
	}
}

var transferFaults = []func(*Generator, *proto.Transfer){
	func(g *Generator, t *proto.Transfer) { t.Timestamp = proto.Plain(uint64(g.between(1, 3))) },
	func(g *Generator, t *proto.Transfer) { t.Flags |= 1 << g.between(9, 15) },
	func(g *Generator, t *proto.Transfer) { t.Flags ^= 1 << g.between(1, 7) },
	func(g *Generator, t *proto.Transfer) { t.Flags ^= proto.TransferImported },
	func(g *Generator, t *proto.Transfer) { t.Flags |= proto.TransferPost | proto.TransferVoid },
	func(g *Generator, t *proto.Transfer) { t.ID = proto.U128{} },
	func(g *Generator, t *proto.Transfer) { t.ID = proto.MaxU128 },
	func(g *Generator, t *proto.Transfer) { t.DebitAccountID = proto.U128{} },
	func(g *Generator, t *proto.Transfer) { t.DebitAccountID = proto.MaxU128 },
	func(g *Generator, t *proto.Transfer) { t.CreditAccountID = proto.U128{} },
	func(g *Generator, t *proto.Transfer) { t.CreditAccountID = proto.MaxU128 },
	func(g *Generator, t *proto.Transfer) { t.CreditAccountID = t.DebitAccountID },
	func(g *Generator, t *proto.Transfer) { t.DebitAccountID = g.unknownID() },
	func(g *Generator, t *proto.Transfer) { t.CreditAccountID = g.unknownID() },
	func(g *Generator, t *proto.Transfer) { t.DebitAccountID = g.otherAccount() },
	func(g *Generator, t *proto.Transfer) { t.CreditAccountID = g.otherAccount() },
	func(g *Generator, t *proto.Transfer) {
		t.PendingID = pick(g, proto.U128{}, proto.MaxU128, t.ID, g.unknownID(), proto.N(1))
	},
	func(g *Generator, t *proto.Transfer) { t.Timeout = longTimeout },
	func(g *Generator, t *proto.Transfer) {
		t.Flags |= pick[uint16](g, proto.TransferClosingDebit, proto.TransferClosingCredit)
	},
	func(g *Generator, t *proto.Transfer) { t.Ledger = 0 },
	func(g *Generator, t *proto.Transfer) { t.Ledger += 1 },
	func(g *Generator, t *proto.Transfer) { t.Code = 0 },
	func(g *Generator, t *proto.Transfer) { t.Code += 7 },
	func(g *Generator, t *proto.Transfer) {
		// A huge amount would fill up the balances of ordinary accounts for good.
		const bounded = proto.TransferPost | proto.TransferVoid | proto.TransferBalancingDebit
		if g.mix.amounts == amountsHuge || t.Flags&bounded != 0 {
			t.Amount = proto.MaxU128
		} else {
			t.Amount = proto.U128{}
		}
	},
}

// otherAccount is the id of any account, perhaps of another ledger.
func (g *Generator) otherAccount() proto.U128 {
	if a := g.someAccount(0); a != nil {
		return a.ID
	}
	return g.unknownID()
}
