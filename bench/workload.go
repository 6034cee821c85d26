package bench

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

const (
	ledgerNumber   = 2
	pendingPercent = 30
	timeoutMaxS    = 5 // short, so that most expire during the load
	amountMean     = 10_000
)

// Streams of random numbers. Each kind of batches has its own.
const (
	streamAccounts = iota + 1
	streamTransfers
	streamQueries
)

// plan is the part of a workload that all clients share.
type plan struct {
	options        Options
	accountIDStart wire.U128 // of time-based ids
	idKey          uint64    // of random ids
}

func newPlan(options Options) plan {
	p := plan{options: options, idKey: mix(options.Seed + 0x9e3779b97f4a7c15)}
	if options.IDOrder == IDOrderTBID {
		var random [16]byte
		crand.Read(random[:]) // never fails
		p.accountIDStart = wire.U128{Lo: binary.LittleEndian.Uint64(random[0:8]) >> 1, Hi: binary.LittleEndian.Uint64(random[8:16])>>1 | 1}
	}
	return p
}

// mix is a bijection of 64-bit numbers without a visible pattern: xor-shifts and odd multipliers.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// id is the id with this index, from 0 on, in an order that is not time-based.
func (p *plan) id(index uint64) wire.U128 {
	switch p.options.IDOrder {
	case IDOrderRandom:
		lo := mix(index ^ p.idKey) // different for each index, so the ids are
		return wire.U128{Lo: lo, Hi: mix(lo^p.options.Seed)&^(3<<62) | 1<<62}
	case IDOrderReversed:
		return wire.U128{Lo: ^(index + 1), Hi: ^uint64(0)}
	}
	return wire.U128From(index + 1)
}

// accountID is the id of account index.
func (p *plan) accountID(index uint64) wire.U128 {
	if p.options.IDOrder == IDOrderTBID {
		id, _ := p.accountIDStart.Add(wire.U128From(index))
		return id
	}
	return p.id(index)
}

// builder makes the batches of one client.
type builder struct {
	plan
	source *rand.PCG
	random *rand.Rand
	cold   chooser
	hot    chooser
	ids    *client.IDs
}

func newBuilder(p plan) *builder {
	source := rand.NewPCG(0, 0)
	return &builder{
		plan: p, source: source, random: rand.New(source), ids: client.NewIDs(),
		cold: newChooser(p.options.AccountDistribution, p.options.AccountCount-p.options.AccountCountHot),
		hot:  newChooser(p.options.AccountDistribution, p.options.AccountCountHot),
	}
}

// begin makes the following numbers a function of the seed, the stream and the batch.
func (b *builder) begin(stream, batch uint64) {
	b.source.Seed(b.options.Seed, batch<<2|stream)
}

// accounts fills in the accounts first, first+1...
func (b *builder) accounts(batch, first uint64, out []client.Account) {
	b.begin(streamAccounts, batch)
	var flags client.AccountFlags
	if b.options.FlagHistory {
		flags |= accounting.AccountHistory
	}
	if b.options.FlagImported {
		flags |= accounting.AccountImported
	}
	for i := range out {
		index := first + uint64(i)
		out[i] = client.Account{
			ID:          b.accountID(index),
			UserData128: wire.U128{Lo: b.random.Uint64(), Hi: b.random.Uint64()},
			UserData64:  b.random.Uint64(),
			UserData32:  b.random.Uint32(),
			Ledger:      ledgerNumber,
			Code:        1,
			Flags:       flags,
		}
		if b.options.FlagImported {
			out[i].Timestamp = index + 1
		}
	}
}

// transfers fills in the transfers first, first+1...
func (b *builder) transfers(batch, first uint64, out []client.Transfer) {
	b.begin(streamTransfers, batch)
	o := &b.options
	for i := range out {
		index := first + uint64(i)
		debit := b.account(b.random.Uint32N(100) < o.TransferHotPercent)
		credit := b.account(false)
		if credit == debit {
			credit = (credit + 1) % o.AccountCount
		}
		t := &out[i]
		*t = client.Transfer{
			DebitAccountID:  b.accountID(debit),
			CreditAccountID: b.accountID(credit),
			Amount:          wire.U128From(1 + uint64(b.random.ExpFloat64()*amountMean)),
			UserData128:     wire.U128{Lo: b.random.Uint64(), Hi: b.random.Uint64()},
			UserData64:      b.random.Uint64(),
			Ledger:          ledgerNumber,
		}
		bits := b.random.Uint64()
		t.UserData32, t.Code = uint32(bits), uint16(max(bits>>32&0xffff, 1))
		if o.IDOrder == IDOrderTBID {
			t.ID = b.ids.Next()
		} else {
			t.ID = b.id(index)
		}
		if o.TransferPending && b.random.Uint32N(100) < pendingPercent {
			t.Flags |= accounting.TransferPending
			t.Timeout = 1 + b.random.Uint32N(timeoutMaxS)
		}
		if o.FlagImported {
			t.Flags |= accounting.TransferImported
			t.Timestamp = o.AccountCount + index + 1
		}
	}
}

// account draws one of the hot accounts, which come first, or one of the others. If there are none
// of the wanted kind, it draws one of the other kind.
func (b *builder) account(hot bool) uint64 {
	if hot && b.hot.count > 0 || b.cold.count == 0 {
		return b.hot.next(b.random)
	}
	return b.options.AccountCountHot + b.cold.next(b.random)
}

// query makes the filter of one query: the transfers of an account.
func (b *builder) query(index uint64) client.AccountFilter {
	b.begin(streamQueries, index)
	return client.AccountFilter{
		AccountID: b.accountID(b.account(true)),
		Limit:     wire.RowsMax(wire.OperationGetAccountTransfers, wire.BodyBytesMax),
		Flags:     accounting.FilterDebits | accounting.FilterCredits,
	}
}
