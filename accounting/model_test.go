package accounting_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/sim/model"
	"ledger/wire"
)

// pair runs every request on the machine and on the naive model, which shares no code with it, and compares the replies.
type pair struct {
	*bench
	model *model.Machine
}

func newPair(t testing.TB) *pair {
	return &pair{bench: newBench(t), model: model.NewMachine(wire.MessageBytesMax)}
}

// execute runs a valid body at the current clock and returns the reply.
func (p *pair) execute(operation wire.Operation, body []byte) []byte {
	p.t.Helper()
	request := accounting.Request{Operation: operation, Timestamp: p.clock, RequestBytesMax: p.limit, Body: body}
	got := p.reply[:p.machine.Execute(&request, p.reply)]
	want, err := p.model.Execute(model.Operation(operation), p.clock, p.limit, body)
	if err != nil {
		p.t.Fatalf("%v: model: %v", operation, err)
	}
	if !bytes.Equal(got, want) {
		p.t.Fatalf("%v at %d: reply differs\nbody %x\ngot  %x\nwant %x", operation, p.clock, body, got, want)
	}
	accounts, transfers, dead, _ := p.model.Counts()
	if accounts != p.store.AccountsCount() || transfers != p.store.TransfersCount() || dead != p.store.DeadCount() {
		p.t.Fatalf("%v at %d: the states differ", operation, p.clock)
	}
	if at, ok := p.model.ExpiresNext(); ok && p.machine.NextPulse() > at {
		p.t.Fatalf("next pulse %d is too late for an expiry at %d", p.machine.NextPulse(), at)
	}
	if operation.IsMultiBatch() {
		batches, fault := wire.DecodeBatches(got, operation.ResultBytes())
		requested := wire.RequestBatches(operation, body)
		if fault != "" || batches.Left() != requested.Left() {
			p.t.Fatalf("%v: reply has %d batches, want %d (%s)", operation, batches.Left(), requested.Left(), fault)
		}
	} else if operation.ResultBytes() != 0 && len(got)%int(operation.ResultBytes()) != 0 {
		p.t.Fatalf("%v: reply of %d bytes is not whole results", operation, len(got))
	}
	return got
}

// traffic makes requests that often succeed, and fail in every way.
type traffic struct {
	*rand.Rand
	clock *uint64
	sent  []Transfer // to be sent again, changed or not
}

var (
	createOperations = []wire.Operation{
		wire.OperationCreateTransfers, wire.OperationCreateTransfers, wire.OperationCreateTransfers,
		wire.OperationCreateTransfersSparse, wire.OperationCreateTransfersUnbatched,
		wire.OperationCreateAccounts, wire.OperationCreateAccountsSparse, wire.OperationCreateAccountsUnbatched,
	}
	readOperations = []wire.Operation{
		wire.OperationLookupAccounts, wire.OperationLookupTransfers, wire.OperationGetAccountTransfers,
		wire.OperationGetAccountBalances, wire.OperationQueryAccounts, wire.OperationQueryTransfers,
		wire.OperationGetChangeEvents, wire.OperationLookupAccountsUnbatched, wire.OperationLookupTransfersUnbatched,
		wire.OperationGetAccountTransfersUnbatched, wire.OperationGetAccountBalancesUnbatched,
		wire.OperationQueryAccountsUnbatched, wire.OperationQueryTransfersUnbatched,
	}
)

func pick[T any](r *traffic, values ...T) T { return values[r.IntN(len(values))] }

func (r *traffic) one(in int) bool { return r.IntN(in) == 0 }

func (r *traffic) amount() U128 {
	switch r.IntN(12) {
	case 0:
		return wire.U128Max()
	case 1:
		return U128{Lo: ^uint64(0), Hi: ^uint64(0) >> r.IntN(4)}
	case 2:
		return U128{Hi: 1 << 62}
	case 3:
		return U128{}
	}
	return id(uint64(r.IntN(100)))
}

// stamp of an import: mostly a little behind the clock, now and then senseless.
func (r *traffic) stamp() uint64 {
	if r.one(10) {
		return pick(r, 0, 1, ^uint64(0), 1<<63, *r.clock, *r.clock+1, *r.clock-1, *r.clock+5_000_000, *r.clock+5_000_000)
	}
	return *r.clock - uint64(r.IntN(1_000_000))
}

func (r *traffic) account() Account {
	account := newAccount(uint64(r.IntN(40)), 0)
	account.Ledger = uint32(pick(r, 1, 1, 1, 2, 0))
	account.Code = uint16(pick(r, 1, 1, 2, 2, 3, 0))
	account.UserData128, account.UserData64, account.UserData32 = id(uint64(r.IntN(2))), uint64(r.IntN(2)), uint32(r.IntN(2))
	account.Flags = pick(r, 0, 0, accounting.AccountHistory, accounting.AccountHistory, accounting.AccountDebitsMustNotExceedCredits,
		accounting.AccountCreditsMustNotExceedDebits, accounting.AccountFlags(r.IntN(64)), accounting.AccountFlags(1<<r.IntN(16)))
	switch r.IntN(40) {
	case 0:
		account.ID = wire.U128Max()
	case 1:
		account.Reserved = 1
	case 2:
		*pick(r, &account.DebitsPending, &account.DebitsPosted, &account.CreditsPending, &account.CreditsPosted) = id(1)
	case 3:
		account.Timestamp = r.stamp()
	}
	return account
}

func (r *traffic) transfer() Transfer {
	if len(r.sent) > 0 && r.one(6) {
		transfer := r.sent[r.IntN(len(r.sent))]
		r.mutate(&transfer)
		return transfer
	}
	transfer := newTransfer(uint64(1+r.IntN(3000)), uint64(r.IntN(42)), uint64(r.IntN(42)), 0, 0)
	transfer.Amount = r.amount()
	transfer.Ledger = uint32(pick(r, 1, 1, 1, 1, 2, 0))
	transfer.UserData128, transfer.UserData64, transfer.UserData32 = id(uint64(r.IntN(2))), uint64(r.IntN(2)), uint32(r.IntN(2))
	transfer.Code = uint16(1 + r.IntN(2))
	switch r.IntN(8) {
	case 0, 1:
		transfer.Flags = accounting.TransferPending | accounting.TransferFlags(r.IntN(16))<<4&^0x3f0 | pick[accounting.TransferFlags](r, 0, 0, 16, 32, 48)
		transfer.Timeout = uint32(r.IntN(4))
		if r.one(8) {
			transfer.Flags |= pick(r, accounting.TransferClosingDebit, accounting.TransferClosingCredit)
		}
	case 2:
		transfer.Flags = pick(r, accounting.TransferBalancingDebit, accounting.TransferBalancingCredit, accounting.TransferBalancingCredit|accounting.TransferBalancingDebit)
	case 3, 4:
		r.resolving(&transfer)
	}
	r.mutateRarely(&transfer)
	r.sent = append(r.sent, transfer)
	return transfer
}

// resolving makes transfer post or void one that was sent before.
func (r *traffic) resolving(transfer *Transfer) {
	transfer.Flags = pick(r, accounting.TransferPostPending, accounting.TransferVoidPending)
	transfer.PendingID = id(uint64(r.IntN(3000)))
	for range 20 { // look for a pending one
		if len(r.sent) == 0 {
			break
		}
		if sent := &r.sent[len(r.sent)-1-r.IntN(min(len(r.sent), 200))]; sent.Flags&accounting.TransferPending != 0 {
			transfer.PendingID, transfer.Amount = sent.ID, pick(r, sent.Amount, U128{}, wire.U128Max(), r.amount())
			break
		}
	}
	if r.one(2) {
		transfer.DebitAccountID, transfer.CreditAccountID = U128{}, U128{}
		transfer.Ledger, transfer.Code = 0, pick[uint16](r, 0, 0, 0, 1)
		transfer.UserData128, transfer.UserData64, transfer.UserData32 = U128{}, 0, 0
	}
}

func (r *traffic) mutateRarely(transfer *Transfer) {
	if r.one(10) {
		r.mutate(transfer)
	}
}

// mutate changes one field, or none.
func (r *traffic) mutate(transfer *Transfer) {
	switch r.IntN(16) {
	case 0:
		transfer.DebitAccountID = pick(r, U128{}, wire.U128Max(), id(7))
	case 1:
		transfer.CreditAccountID = pick(r, U128{}, wire.U128Max(), id(7))
	case 2:
		transfer.Amount = r.amount()
	case 3:
		transfer.PendingID = pick(r, U128{}, wire.U128Max(), id(7), transfer.ID)
	case 4:
		transfer.UserData128 = id(uint64(r.IntN(3)))
	case 5:
		transfer.UserData64 = uint64(r.IntN(3))
	case 6:
		transfer.UserData32 = uint32(r.IntN(3))
	case 7:
		transfer.Timeout = pick[uint32](r, 0, 1, 2, ^uint32(0))
	case 8:
		transfer.Ledger = uint32(r.IntN(3))
	case 9:
		transfer.Code = uint16(r.IntN(3))
	case 10:
		transfer.Flags ^= accounting.TransferFlags(1 << r.IntN(16))
	case 11:
		transfer.Timestamp = r.stamp()
	case 12:
		transfer.ID = pick(r, U128{}, wire.U128Max())
	}
}

// creates makes one batch of a create operation.
func (r *traffic) creates(transfers bool) []byte {
	count := r.IntN(12)
	chained, imported := 2+r.IntN(10), r.one(8)
	if transfers {
		batch := make([]Transfer, count)
		for i := range batch {
			batch[i] = r.transfer()
			if r.one(chained) {
				batch[i].Flags |= accounting.TransferLinked
			}
			if imported != r.one(30) {
				batch[i].Flags |= accounting.TransferImported
				batch[i].Timestamp = r.stamp()
				if !r.one(10) {
					batch[i].Timeout = 0
				}
			}
		}
		return bytesOf(batch)
	}
	batch := make([]Account, count)
	for i := range batch {
		batch[i] = r.account()
		if r.one(chained) {
			batch[i].Flags |= accounting.AccountLinked
		}
		if imported != r.one(30) {
			batch[i].Flags |= accounting.AccountImported
			batch[i].Timestamp = r.stamp()
		}
	}
	return bytesOf(batch)
}

// window of timestamps: often open, sometimes narrow, rarely invalid.
func (r *traffic) window() (first, last uint64) {
	switch r.IntN(6) {
	case 0, 1, 2:
		return 0, 0
	case 3:
		return r.stamp(), 0
	case 4:
		return 0, r.stamp()
	}
	first = *r.clock - uint64(r.IntN(10_000_000_000))
	return first, first + uint64(r.IntN(5_000_000_000)) - 1
}

// reads makes one batch of a read operation.
func (r *traffic) reads(operation wire.Operation) []byte {
	first, last := r.window()
	limit := pick(r, 0, 1, 3, 10, uint32(300))
	switch operation.EventBytes() {
	case 16:
		ids := make([]U128, r.IntN(30))
		for i := range ids {
			ids[i] = pick(r, id(uint64(r.IntN(40))), id(uint64(r.IntN(3000))), U128{}, wire.U128Max())
		}
		return bytesOf(ids)
	case 128:
		filter := accounting.AccountFilter{
			AccountID: id(uint64(r.IntN(42))), TimestampMin: first, TimestampMax: last, Limit: limit,
			Flags: pick(r, 1, 2, 3, 5, 7, accounting.AccountFilterFlags(r.IntN(16))),
			Code:  uint16(pick(r, 0, 0, 1)), UserData32: uint32(pick(r, 0, 0, 1)), UserData64: uint64(pick(r, 0, 0, 1)), UserData128: id(uint64(pick(r, 0, 0, 1))),
		}
		if r.one(20) {
			filter.Reserved[r.IntN(58)] = 1
		}
		return bytesOf([]accounting.AccountFilter{filter})
	}
	if operation == wire.OperationGetChangeEvents {
		filter := accounting.ChangeEventsFilter{TimestampMin: first, TimestampMax: last, Limit: pick(r, limit, 1<<30)}
		if r.one(20) {
			filter.Reserved[r.IntN(44)] = 1
		}
		return bytesOf([]accounting.ChangeEventsFilter{filter})
	}
	filter := accounting.QueryFilter{
		TimestampMin: first, TimestampMax: last, Limit: limit, Flags: accounting.QueryFilterFlags(pick(r, 0, 0, 1, 1, 2)),
		Ledger: uint32(pick(r, 0, 0, 1, 2)), Code: uint16(pick(r, 0, 0, 1)), UserData32: uint32(pick(r, 0, 0, 1)),
		UserData64: uint64(pick(r, 0, 0, 1)), UserData128: id(uint64(pick(r, 0, 0, 1))),
	}
	if r.one(20) {
		filter.Reserved[r.IntN(6)] = 1
	}
	return bytesOf([]accounting.QueryFilter{filter})
}

// Goal: the same reply bytes as the naive model, over traffic of all operations that fails in every way.
func TestAgainstModel(t *testing.T) {
	random, fixed := seeded(t), rand.New(rand.NewPCG(1, 0))
	roundsCount := 40
	if testing.Short() {
		roundsCount = 4
	}
	seen := map[string]int{}
	for round := range roundsCount {
		p := newPair(t)
		r := &traffic{Rand: random, clock: &p.clock}
		if round%2 == 0 {
			r.Rand = fixed // every other round is always the same: what is seen at all cannot depend on luck
		}
		for range 1500 {
			p.limit = pick(r, requestBytesMax, requestBytesMax, 32<<10)
			if r.one(30) {
				p.clock += uint64(r.IntN(2_000_000_000))
			}
			if r.one(3) && p.machine.NextPulse() <= p.clock {
				p.clock += 8191
				p.execute(wire.OperationPulse, nil)
			}
			operation := pick(r, pick(r, createOperations...), pick(r, createOperations...), pick(r, readOperations...))
			batches := make([][]byte, 1)
			if operation.IsMultiBatch() && r.one(4) {
				batches = make([][]byte, 1+r.IntN(5))
			}
			for i := range batches {
				if operation.Class() == wire.ClassCreate {
					batches[i] = r.creates(operation.EventBytes() == 128 && operation.String()[:10] == "create_tra")
				} else {
					batches[i] = r.reads(operation)
				}
			}
			body := encode(t, p.body, operation, batches...)
			p.clock += 1 + uint64(r.IntN(2_000_000)) + wire.TimestampDelta(operation, body)
			reply := p.execute(operation, body)
			countStatuses(seen, operation, reply)
		}
	}
	t.Logf("created %d accounts and %d transfers", seen["account created"], seen["transfer created"])
	if testing.Short() {
		return
	}
	// Each status that can occur must occur, or the traffic is too tame to mean much.
	for status := accounting.TransferStatus(1); status <= 68; status++ {
		switch status {
		case 18, accounting.TransferStatusOverflowsTimeout:
			continue // retired; and not before the year 2126
		case accounting.TransferStatusImportedEventTimestampMustPostdateDebitAccount,
			accounting.TransferStatusImportedEventTimestampMustPostdateCreditAccount:
			continue // too rare here; in the observed cases
		}
		if seen["transfer "+status.String()] == 0 {
			t.Errorf("no transfer had status %v", status)
		}
	}
	for status := accounting.AccountStatus(1); status <= 26; status++ {
		if seen["account "+status.String()] == 0 {
			t.Errorf("no account had status %v", status)
		}
	}
}

func countStatuses(seen map[string]int, operation wire.Operation, reply []byte) {
	if operation != wire.OperationCreateAccounts && operation != wire.OperationCreateTransfers {
		return
	}
	batches, _ := wire.DecodeBatches(reply, operation.ResultBytes())
	for batch, ok := batches.Next(); ok; batch, ok = batches.Next() {
		for _, result := range recordsOf[Result](batch) {
			if operation == wire.OperationCreateAccounts {
				seen["account "+accounting.AccountStatus(result.Status).String()]++
			} else {
				seen["transfer "+accounting.TransferStatus(result.Status).String()]++
			}
		}
	}
}

// Goal: whatever bytes a valid request holds, there is no panic, and the reply is the model's.
func FuzzExecute(f *testing.F) {
	f.Add(uint8(147), uint8(3), uint64(1), []byte("any bytes will do: the batches are built around them"))
	f.Add(uint8(146), uint8(1), uint64(2), bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 64))
	f.Add(uint8(142), uint8(2), uint64(3), bytes.Repeat([]byte{0}, 256))
	f.Add(uint8(137), uint8(1), uint64(4), bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, number, batchesCount uint8, seed uint64, data []byte) {
		operation := wire.Operation(129 + number%19)
		p := newPair(t)
		r := &traffic{Rand: rand.New(rand.NewPCG(seed, 0)), clock: &p.clock}
		for _, prepare := range []bool{false, true, true} { // so that the bytes meet some state
			body := encode(t, p.body, wire.OperationCreateAccounts, r.creates(prepare))
			if prepare {
				body = encode(t, p.body, wire.OperationCreateTransfers, r.creates(prepare))
			}
			p.clock += 100 + wire.TimestampDelta(wire.OperationCreateTransfers, body)
			p.execute(pick(r, wire.OperationCreateAccounts, wire.OperationCreateTransfers), body)
		}
		count := 1
		if operation.IsMultiBatch() {
			count = 1 + int(batchesCount)%8
		}
		batches := make([][]byte, count)
		eventBytes := int(operation.EventBytes())
		for i := range batches {
			size := len(data) / eventBytes * eventBytes / (i + 1) / eventBytes * eventBytes
			if operation.Class() == wire.ClassQuery {
				size = eventBytes
			}
			batches[i] = make([]byte, size)
			copy(batches[i], data[len(data)*i/count:])
		}
		body := encode(t, p.body, operation, batches...)
		if wire.ValidateBody(operation, body, p.limit-wire.HeaderBytes) != "" {
			t.Skip("no such request enters the log")
		}
		p.clock += 100 + wire.TimestampDelta(operation, body)
		p.execute(operation, body)
		p.clock += 8191
		p.execute(wire.OperationPulse, nil)
	})
}
