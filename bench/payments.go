package bench

import (
	"math"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// A payment service: who pays is drawn by Zipf's law, and a part of all payments goes to a few
// accounts.
const (
	payeesCount    = 8  // accounts that all pay to, without Options.AccountCountHot
	payeesPercent  = 40 // of the transfers go to them
	listMax        = 50 // transfers or ids of a call; short lists are more frequent
	holdsOpenMax   = 200
	createdMax     = 1024 // newest transfers of a caller, for its lookups
	newestRows     = 20
	searchRows     = 100
	keptTimeoutS   = 3600 // of pending transfers that will be posted or voided
	lapsingPercent = 20   // of pending transfers are left to their timeout
	partialPercent = 25   // of posts take a part of the amount
)

// Values of the fields that searches use. Each value is common; three together are rare.
const (
	campaignsCount = 64 // user_data_64
	shopsCount     = 64 // user_data_32
	codesCount     = 8
)

// callKind is a kind of calls of the payments workload.
type callKind int

const (
	callPay callKind = iota
	callHold
	callPost
	callVoid
	callLookupAccounts
	callLookupTransfers
	callNewest
	callSearchTwo
	callSearchThree
	callKindsCount
)

// callKinds are the kinds' names and shares. Reads are 12 of 100 calls.
var callKinds = [callKindsCount]struct {
	name    string
	percent uint32
}{
	callPay:             {"pay", 46},
	callHold:            {"hold", 21},
	callPost:            {"post", 15},
	callVoid:            {"void", 6},
	callLookupAccounts:  {"lookup accounts", 4},
	callLookupTransfers: {"lookup transfers", 2},
	callNewest:          {"20 newest", 3},
	callSearchTwo:       {"search by 2 fields", 2},
	callSearchThree:     {"search by 3 fields", 1},
}

// isCreate tells whether a call of this kind creates transfers.
func (k callKind) isCreate() bool { return k <= callVoid }

// call is one call of a caller. Its slices are valid until the caller's next call.
type call struct {
	kind      callKind
	transfers []client.Transfer
	ids       []wire.U128
	account   client.AccountFilter
	query     client.QueryFilter
}

// hold is a pending transfer that a later call of the same caller posts or voids.
type hold struct {
	id     wire.U128
	amount uint64
}

// caller makes the calls of one caller, one after the other. They are a function of the seed and of
// the caller's index: a post refers to a pending transfer of the same caller, which was created
// before, whatever other callers do.
type caller struct {
	*builder
	index, count uint64 // this one of so many
	made         uint64 // ids
	payees       chooser
	payers       chooser
	shops        chooser
	holds        []hold // the oldest first
	created      []wire.U128
	transfers    [listMax]client.Transfer
	lookups      [listMax]wire.U128
}

func newCaller(p plan, index, count uint64) *caller {
	payees := p.options.payees()
	c := &caller{
		builder: newBuilder(p), index: index, count: count,
		payees: newChooser(DistributionUniform, payees),
		payers: newChooser(DistributionZipfian, p.options.AccountCount-payees),
		shops:  newChooser(DistributionZipfian, shopsCount),
	}
	c.source.Seed(mix(p.options.Seed), index)
	return c
}

// payees is the number of accounts that all pay to. They come first.
func (o *Options) payees() uint64 {
	if o.AccountCountHot > 0 {
		return o.AccountCountHot
	}
	return min(payeesCount, o.AccountCount/2)
}

// next makes the next call.
func (c *caller) next() call {
	made := call{kind: c.kind()}
	count := c.listLength()
	switch made.kind {
	case callPay, callHold:
		made.transfers = c.transfers[:count]
		for i := range made.transfers {
			c.pay(&made.transfers[i], made.kind == callHold)
		}
	case callPost, callVoid:
		made.transfers = c.transfers[:min(count, len(c.holds))]
		for i := range made.transfers {
			c.settle(&made.transfers[i], made.kind == callPost)
		}
	case callLookupAccounts:
		made.ids = c.lookups[:count]
		for i := range made.ids {
			made.ids[i] = c.accountID(c.anyAccount())
		}
	case callLookupTransfers:
		made.ids = c.lookups[:count]
		for i := range made.ids {
			made.ids[i] = c.created[c.random.IntN(len(c.created))]
		}
	case callNewest:
		made.account = client.AccountFilter{AccountID: c.accountID(c.anyAccount()), Limit: newestRows,
			Flags: accounting.FilterDebits | accounting.FilterCredits | accounting.FilterReversed}
	case callSearchTwo, callSearchThree:
		made.query = client.QueryFilter{UserData32: c.shop(), Code: c.code(), Limit: searchRows, Flags: accounting.QueryReversed}
		if made.kind == callSearchThree {
			made.query.UserData64 = c.campaign()
		}
	}
	return made
}

// kind draws the kind of the next call. What cannot be done yet is a payment instead.
func (c *caller) kind() callKind {
	drawn := c.random.Uint32N(100)
	for kind := range callKindsCount {
		if drawn >= callKinds[kind].percent {
			drawn -= callKinds[kind].percent
			continue
		}
		switch {
		case (kind == callPost || kind == callVoid) && len(c.holds) == 0,
			kind == callHold && len(c.holds) > holdsOpenMax-listMax,
			kind == callLookupTransfers && len(c.created) == 0:
			return callPay
		}
		return kind
	}
	return callPay
}

// listLength draws 1 to listMax, each power of two as often as the next.
func (c *caller) listLength() int {
	return min(int(math.Pow(listMax+1, c.random.Float64())), listMax)
}

func (c *caller) anyAccount() uint64 {
	if c.random.Uint32N(100) < payeesPercent {
		return c.payees.next(c.random)
	}
	return c.payer()
}

func (c *caller) payer() uint64    { return c.options.payees() + c.payers.next(c.random) }
func (c *caller) shop() uint32     { return 1 + uint32(c.shops.next(c.random)) }
func (c *caller) campaign() uint64 { return 1 + c.random.Uint64N(campaignsCount) }
func (c *caller) code() uint16     { return 1 + uint16(c.random.Uint32N(codesCount)) }

// pay makes a payment, or a pending one.
func (c *caller) pay(t *client.Transfer, pending bool) {
	debit, credit := c.payer(), c.anyAccount()
	if credit == debit {
		credit = c.payees.next(c.random)
	}
	amount := 1 + uint64(c.random.ExpFloat64()*amountMean)
	*t = client.Transfer{
		ID: c.transferID(), DebitAccountID: c.accountID(debit), CreditAccountID: c.accountID(credit), Amount: wire.U128From(amount),
		UserData128: wire.U128{Lo: c.random.Uint64(), Hi: c.random.Uint64()}, UserData64: c.campaign(), UserData32: c.shop(),
		Ledger: ledgerNumber, Code: c.code(),
	}
	if !pending {
		return
	}
	t.Flags = accounting.TransferPending
	if c.random.Uint32N(100) < lapsingPercent {
		t.Timeout = 1 + c.random.Uint32N(timeoutMaxS)
		return
	}
	t.Timeout = keptTimeoutS
	c.holds = append(c.holds, hold{t.ID, amount})
}

// settle posts or voids the oldest open pending transfer of this caller.
func (c *caller) settle(t *client.Transfer, post bool) {
	oldest := c.holds[0]
	c.holds = append(c.holds[:0], c.holds[1:]...)
	*t = client.Transfer{ID: c.transferID(), PendingID: oldest.id, Flags: accounting.TransferVoidPending}
	if !post {
		return
	}
	t.Flags = accounting.TransferPostPending
	if c.random.Uint32N(100) < partialPercent {
		oldest.amount = (oldest.amount + 1) / 2
	}
	t.Amount = wire.U128From(oldest.amount)
}

// transferID is the next id. Those of all callers follow each other in the order that is asked for.
func (c *caller) transferID() (id wire.U128) {
	if c.options.IDOrder == IDOrderTBID {
		id = c.ids.Next()
	} else {
		id = c.id(c.made*c.count + c.index)
	}
	c.made++
	if len(c.created) < createdMax {
		c.created = append(c.created, id)
	} else {
		c.created[c.made%createdMax] = id
	}
	return id
}
