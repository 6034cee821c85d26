package workload

import (
	"math/rand/v2"

	"ledger/sim/model"
)

// Request is one request of a client: operation and body. Refused: the server must evict the client
// for it.
type Request struct {
	Operation model.Operation
	Body      []byte
	Refused   bool
}

// rememberedMax bounds each list of created objects.
const rememberedMax = 4096

// whaleLedger is the ledger of the accounts that overflow.
const whaleLedger = 901

// account is the generator's knowledge of an account: its record, and whether a transfer has closed
// it.
type account struct {
	model.Account
	closedUntilNs uint64 // 0: open; a closed account opens again by void (closedBy) or at its timeout
	closedBy      model.Number
}

// Generator makes up requests.
type Generator struct {
	random  *rand.Rand
	profile Profile
	limits  model.Limits
	nowNs   uint64

	idNext    uint64
	asked     int // accounts asked for so far
	accounts  []*account
	byID      map[model.Number]*account
	transfers []model.Transfer // as stored
	pendings  []model.Transfer // those of them that are pending, resolved or not
	open      []model.Transfer // those of them that should still be open, newest last
	closings  []model.Transfer
	dead      []model.Number
	stamps    []uint64 // of objects and requests

	accountStampMax  uint64
	transferStampMax uint64
	stampLast        uint64 // the newest timestamp seen anywhere
}

// NewGenerator returns a generator of requests for a server with these limits.
func NewGenerator(seed uint64, profile Profile, limits model.Limits) *Generator {
	g := &Generator{
		random:  rand.New(rand.NewPCG(seed, 0x6c6f6164)),
		profile: profile,
		limits:  limits,
		byID:    map[model.Number]*account{},
	}
	g.idNext = 1
	if profile.IDs == IDDecreasing {
		g.idNext = 1 << 40
	}
	return g
}

// Next returns the next request of some client at nowNs.
func (g *Generator) Next(nowNs uint64) Request {
	g.nowNs = nowNs
	base := g.operation()
	if base == model.Noop {
		return Request{Operation: model.Noop, Body: []byte{}}
	}
	o := g.variant(base)
	body := g.body(o)
	if g.chance(g.profile.InvalidPercent) {
		if refused, ok := g.spoil(o, body); ok {
			return refused
		}
	}
	if err := g.limits.CheckBody(o, body); err != nil || len(body)+256 > int(g.limits.RequestBytesMax) {
		panic("workload: a body that should be valid is not")
	}
	return Request{Operation: o, Body: body}
}

func (g *Generator) chance(percent int) bool { return g.random.IntN(100) < percent }

// pickShare returns an index with the probability of its share.
func (g *Generator) pickShare(shares []int) int {
	sum := 0
	for _, share := range shares {
		sum += share
	}
	n := g.random.IntN(sum)
	for i, share := range shares {
		if n -= share; n < 0 {
			return i
		}
	}
	panic("workload: shares do not add up")
}

func pickOne[T any](g *Generator, list []T) T { return list[g.random.IntN(len(list))] }

// pickNew prefers the end of the list, where the newest elements are.
func pickNew[T any](g *Generator, list []T) T {
	if window := 16; len(list) > window && g.chance(70) {
		return list[len(list)-1-g.random.IntN(window)]
	}
	return pickOne(g, list)
}

func remember[T any](list []T, item T) []T {
	if len(list) == rememberedMax {
		list = list[:copy(list, list[rememberedMax/4:])]
	}
	return append(list, item)
}

func (g *Generator) operation() model.Operation {
	// Accounts come first, but not for ever, because a reply may never come.
	if len(g.accounts) < g.profile.Accounts && g.asked < 2*g.profile.Accounts && !g.chance(20) {
		return model.CreateAccounts
	}
	var operations []model.Operation
	var shares []int
	for o := model.Noop; o <= model.CreateTransfers; o++ {
		if share := g.profile.OperationShares[o]; share > 0 {
			operations, shares = append(operations, o), append(shares, share)
		}
	}
	return operations[g.pickShare(shares)]
}

// variant is the operation or one of its deprecated forms.
func (g *Generator) variant(base model.Operation) model.Operation {
	if !g.chance(g.profile.DeprecatedPercent) {
		return base
	}
	var forms []model.Operation
	for o := model.CreateAccountsUnbatched; o < model.CreateAccounts; o++ {
		if o.Base() == base && o != base {
			forms = append(forms, o)
		}
	}
	if len(forms) == 0 {
		return base
	}
	return pickOne(g, forms)
}

// batchSizes decides on the number of batches and events of a request of an operation with many
// events per batch.
func (g *Generator) batchSizes(o model.Operation) []int {
	event, result := o.EventBytes(), o.ResultBytes()
	if !o.IsMultiBatch() {
		return []int{g.events(g.limits.EventsMax(o))}
	}
	count := 1
	if g.chance(g.profile.MultiBatchPercent) {
		count = 2 + g.random.IntN(5)
		if g.chance(5) {
			count = 64 + g.random.IntN(10) // a trailer of more than one element
		}
	}
	left := min((int(g.limits.RequestBytesMax)-256-model.TrailerBytes(event, count))/event,
		(int(g.limits.MessageBytesMax)-256-model.TrailerBytes(result, count))/result, g.limits.EventsMax(o))
	if left < 0 {
		return []int{0}
	}
	sizes := make([]int, count)
	for i := range sizes {
		sizes[i] = min(left, g.events(left))
		if count > 10 {
			sizes[i] = min(sizes[i], 2)
		}
		left -= sizes[i]
	}
	return sizes
}

func (g *Generator) events(most int) int {
	switch {
	case g.chance(g.profile.FullBatchPercent):
		return most
	case g.chance(3):
		return 0
	}
	return min(most, 1+g.random.IntN(g.profile.BatchEventsMax))
}

func (g *Generator) body(o model.Operation) []byte {
	var batches [][]byte
	switch {
	case o.IsCreate():
		for _, events := range g.batchSizes(o) {
			if o.Base() == model.CreateAccounts {
				batches = append(batches, g.accountBatch(events))
			} else {
				batches = append(batches, g.transferBatch(events))
			}
		}
	case o.IsLookup():
		for _, events := range g.batchSizes(o) {
			batches = append(batches, g.idBatch(o, events))
		}
	default:
		batches = g.filters(o)
	}
	if o.IsMultiBatch() {
		return model.Join(batches, o.EventBytes())
	}
	return batches[0]
}

// newID returns an id that does not repeat within a run.
func (g *Generator) newID() model.Number {
	switch g.profile.IDs {
	case IDRandom:
		return model.Number{High: g.random.Uint64() >> 1, Low: g.random.Uint64() | 1}
	case IDDecreasing:
		g.idNext--
	default:
		g.idNext++
	}
	return model.Num(g.idNext)
}

// Observe tells the generator the timestamp and body of the reply to a request.
func (g *Generator) Observe(request Request, timestamp uint64, reply []byte) {
	g.stampLast = max(g.stampLast, timestamp)
	g.stamps = remember(g.stamps, timestamp)
	o := request.Operation
	if !o.IsKnown() || !o.IsCreate() {
		return
	}
	batches, err := o.Batches(request.Body)
	if err != nil {
		return
	}
	replies := [][]byte{reply}
	if o.IsMultiBatch() {
		if replies, err = model.Split(reply, o.ResultBytes()); err != nil || len(replies) != len(batches) {
			return
		}
	}
	stamp := timestamp - model.TimestampDelta(o, request.Body)
	for i, batch := range batches {
		events := len(batch) / o.EventBytes()
		results := Results(o, replies[i], events)
		for j := range events {
			stamp++
			if j < len(results) {
				g.observeEvent(o, batch[128*j:128*j+128], results[j], stamp)
			}
		}
	}
}

// Results expands one batch of results to a status per event; sparse forms leave out successes.
func Results(o model.Operation, reply []byte, events int) []model.Status {
	results := make([]model.Status, events)
	for i := range results {
		results[i] = model.Created
	}
	if o.IsSparse() {
		for ; len(reply) >= 8; reply = reply[8:] {
			if index := int(u32At(reply)); index < events {
				results[index] = model.Status(u32At(reply[4:]))
			}
		}
		return results
	}
	for i := range results {
		if len(reply) < 16*i+16 {
			return results[:i]
		}
		results[i] = model.Status(u32At(reply[16*i+8:]))
	}
	return results
}

func u32At(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func (g *Generator) observeEvent(o model.Operation, event []byte, status model.Status, stamp uint64) {
	if o.Base() == model.CreateAccounts {
		if status != model.Created {
			return
		}
		a := &account{Account: model.AccountAt(event)}
		if a.Flags&model.AccountImported == 0 {
			a.Timestamp = stamp
		}
		if a.Flags&model.AccountClosed != 0 {
			a.closedUntilNs = ^uint64(0)
		}
		g.accounts = remember(g.accounts, a)
		g.byID[a.ID] = a
		g.accountStampMax = max(g.accountStampMax, a.Timestamp)
		g.stamps = remember(g.stamps, a.Timestamp)
		return
	}
	t := model.TransferAt(event)
	switch status {
	case model.Created:
	case model.TransferDebitAccountNotFound, model.TransferCreditAccountNotFound, model.TransferPendingTransferNotFound,
		model.TransferExceedsCredits, model.TransferExceedsDebits, model.TransferDebitAccountAlreadyClosed,
		model.TransferCreditAccountAlreadyClosed:
		g.dead = remember(g.dead, t.ID)
		return
	default:
		return
	}
	if t.Flags&model.TransferImported == 0 {
		t.Timestamp = stamp
	}
	g.transferStampMax = max(g.transferStampMax, t.Timestamp)
	g.stamps = remember(g.stamps, t.Timestamp)
	g.transfers = remember(g.transfers, t)
	if t.Flags&model.TransferPending != 0 {
		g.pendings = remember(g.pendings, t)
		if t.Flags&(model.TransferClosingDebit|model.TransferClosingCredit) != 0 {
			g.closings = remember(g.closings, t)
			g.close(&t)
		} else {
			g.open = remember(g.open, t)
		}
	}
	if t.Flags&(model.TransferPostPending|model.TransferVoidPending) != 0 {
		g.open = without(g.open, t.PendingID)
		g.closings = without(g.closings, t.PendingID)
		for _, a := range g.accounts {
			if a.closedBy == t.PendingID {
				a.closedUntilNs, a.closedBy = 0, model.Number{}
			}
		}
	}
}

func (g *Generator) close(t *model.Transfer) {
	until := ^uint64(0)
	if t.Timeout > 0 {
		until = t.Timestamp + uint64(t.Timeout)*1_000_000_000
	}
	if a := g.byID[t.DebitAccountID]; a != nil && t.Flags&model.TransferClosingDebit != 0 {
		a.closedUntilNs, a.closedBy = until, t.ID
	}
	if a := g.byID[t.CreditAccountID]; a != nil && t.Flags&model.TransferClosingCredit != 0 {
		a.closedUntilNs, a.closedBy = until, t.ID
	}
}

func without(list []model.Transfer, id model.Number) []model.Transfer {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].ID == id {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}
