package workload

import "ledger/interop/conformance/internal/proto"

// unknownID is an id that no account or transfer has.
func (g *Generator) unknownID() proto.U128 { return proto.U128{Hi: 0xdead, Lo: g.Uint64N(1000)} }

// newID makes a new id from a counter; some ids are spread over the whole range.
func (g *Generator) newID(counter *uint64) proto.U128 {
	*counter++
	switch n := *counter; {
	case g.lane == 0 && g.chance(g.mix.wideIDs):
		return proto.U128{Hi: g.Uint64N(1 << 62), Lo: n}
	case g.lane == 0 && g.chance(g.mix.wideIDs/2):
		return proto.MaxU128.Sub(proto.N(n))
	default:
		return proto.N(n)
	}
}

// userData returns a user_data value from a small set, so that queries find matches.
func (g *Generator) userData(most uint64) uint64 {
	switch {
	case g.chance(g.mix.plainData):
		return 0
	case g.chance(0.05):
		return most
	}
	return uint64(g.between(1, 4))
}

func (g *Generator) userData128() proto.U128 {
	if g.chance(0.1) && g.mix.plainData < 1 {
		return proto.U128{Hi: uint64(g.between(1, 3)), Lo: 7}
	}
	return proto.N(g.userData(1 << 63))
}

func (g *Generator) code() uint16 {
	if g.chance(0.02) {
		return 65535
	}
	return uint16(g.between(1, 4))
}

// ledger picks a ledger, mostly one that has accounts.
func (g *Generator) ledger() uint32 {
	if g.lane != 0 {
		return g.lane
	}
	return uint32(g.between(1, g.mix.ledgers))
}

// someAccount picks an account of a ledger, or of any ledger for 0; nil if there is none.
func (g *Generator) someAccount(ledger uint32) *account {
	accounts := g.model.accounts
	if ledger != 0 {
		accounts = g.model.byLedger[ledger]
	}
	if len(accounts) == 0 {
		return nil
	}
	if g.mix.hot > 0 && g.chance(g.mix.hot) {
		return accounts[g.IntN(min(4, len(accounts)))]
	}
	if g.chance(0.3) { // A recent one.
		return accounts[len(accounts)-1-g.IntN(min(8, len(accounts)))]
	}
	return accounts[g.IntN(len(accounts))]
}

// someTransfer picks a transfer; nil if there is none.
func (g *Generator) someTransfer() *transfer {
	transfers := g.model.transfers
	if len(transfers) == 0 {
		return nil
	}
	if g.chance(0.3) {
		return transfers[len(transfers)-1-g.IntN(min(8, len(transfers)))]
	}
	return transfers[g.IntN(len(transfers))]
}

// amount makes up an amount in the style of the mix.
func (g *Generator) amount(debit, credit *account) proto.U128 {
	switch g.mix.amounts {
	case amountsHuge:
		return g.hugeAmount(debit, credit)
	case amountsAtLimit:
		if g.chance(0.6) {
			return g.amountAtLimit(debit, credit)
		}
	}
	if g.chance(0.04) {
		return proto.U128{}
	}
	return proto.N(uint64(g.between(1, 1000)))
}

// amountAtLimit is close to what the accounts' limits still allow.
func (g *Generator) amountAtLimit(debit, credit *account) proto.U128 {
	used, _ := debit.DebitsPosted.Add(debit.DebitsPending)
	free := debit.CreditsPosted.Sub(used)
	if g.chance(0.4) {
		used, _ = credit.CreditsPosted.Add(credit.CreditsPending)
		free = credit.DebitsPosted.Sub(used)
	}
	switch g.IntN(4) {
	case 0:
		free, _ = free.Add(proto.N(1))
	case 1:
		free = free.Sub(proto.N(1))
	case 2:
		free = proto.U128{Lo: free.Lo / 2, Hi: free.Hi / 2}
	}
	return free
}

// hugeAmount is close to the largest amount, or to what still fits in a balance.
func (g *Generator) hugeAmount(debit, credit *account) proto.U128 {
	balance := pick(g, debit.DebitsPending, debit.DebitsPosted, credit.CreditsPending, credit.CreditsPosted)
	free := proto.MaxU128.Sub(balance)
	if g.chance(0.3) {
		both, overflow := debit.DebitsPending.Add(debit.DebitsPosted)
		if g.chance(0.5) {
			both, overflow = credit.CreditsPending.Add(credit.CreditsPosted)
		}
		if !overflow {
			free = proto.MaxU128.Sub(both)
		}
	}
	switch g.IntN(7) {
	case 0:
		return proto.MaxU128
	case 1:
		return proto.MaxU128.Sub(proto.N(uint64(g.IntN(3))))
	case 2:
		return free
	case 3:
		more, overflow := free.Add(proto.N(1))
		if overflow {
			return free
		}
		return more
	case 4:
		return free.Sub(proto.N(uint64(g.between(1, 5))))
	case 5:
		return proto.U128{Hi: 1 << 63, Lo: uint64(g.IntN(2))}
	}
	return proto.N(uint64(g.between(0, 10)))
}
