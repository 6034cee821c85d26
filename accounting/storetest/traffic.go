package storetest

import (
	"math/rand/v2"
	"unsafe"

	"ledger/accounting"
	"ledger/wire"
)

// Traffic makes requests that often succeed and that fail in every possible way: few accounts, few
// ids, extreme amounts, chains, imports, events that are sent again with a changed field, and
// filters of all kinds.
type Traffic struct {
	*rand.Rand
	clockNs uint64
	idLast  int                   // of the transfers made so far; most get the next one
	sent    []accounting.Transfer // to be sent again, changed or not
	words   []uint64              // the body of the request, aligned
}

// New returns traffic that begins at clockNs.
func New(random *rand.Rand, clockNs uint64) *Traffic {
	return &Traffic{Rand: random, clockNs: clockNs, words: make([]uint64, bodyBytesMax/8)}
}

// bodyBytesMax is more than the largest body.
const bodyBytesMax = 64 << 10

// ClockNs is the timestamp of the last request.
func (r *Traffic) ClockNs() uint64 { return r.clockNs }

// Advance moves the clock on and returns it, for a pulse or another request in between.
func (r *Traffic) Advance(ns uint64) uint64 {
	r.clockNs += ns
	return r.clockNs
}

// Next returns a valid request with its timestamp. Its memory may be used until the next call.
func (r *Traffic) Next() accounting.Request {
	if r.one(30) {
		r.clockNs += uint64(r.IntN(2_000_000_000))
	}
	operation := pick(r, pick(r, createOperations...), pick(r, createOperations...), pick(r, readOperations...))
	batches := make([][]byte, 1)
	if operation.IsMultiBatch() && r.one(4) {
		batches = make([][]byte, 1+r.IntN(5))
	}
	for i := range batches {
		if operation.Class() == wire.ClassCreate {
			batches[i] = r.creates(operation)
		} else {
			batches[i] = r.reads(operation)
		}
	}
	body := encode(bytesOf(r.words), operation, batches)
	r.clockNs += 1 + uint64(r.IntN(2_000_000)) + wire.TimestampDelta(operation, body)
	return accounting.Request{
		Operation:       operation,
		RequestBytesMax: pick[uint32](r, 1<<20, 1<<20, 32<<10),
		Timestamp:       r.clockNs,
		Body:            body,
	}
}

// encode builds the body of a request in buffer.
func encode(buffer []byte, operation wire.Operation, batches [][]byte) []byte {
	if !operation.IsMultiBatch() {
		return buffer[:copy(buffer, batches[0])]
	}
	encoder := wire.NewBatchEncoder(buffer, operation.EventBytes(), len(batches))
	for _, batch := range batches {
		encoder.EndBatch(copy(encoder.Free(), batch) / int(operation.EventBytes()))
	}
	return encoder.Finish()
}

// bytesOf returns records as bytes.
func bytesOf[T any](records []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(records))), len(records)*int(unsafe.Sizeof(one)))
}

func id(number int) accounting.U128 { return wire.U128From(uint64(number)) }

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

func pick[T any](r *Traffic, values ...T) T { return values[r.IntN(len(values))] }

func (r *Traffic) one(in int) bool { return r.IntN(in) == 0 }

func (r *Traffic) amount() accounting.U128 {
	switch r.IntN(60) {
	case 0:
		return wire.U128Max()
	case 1:
		return accounting.U128{Lo: ^uint64(0), Hi: ^uint64(0) >> r.IntN(4)}
	case 2:
		return accounting.U128{Hi: 1 << 62}
	case 3:
		return accounting.U128{}
	}
	return id(r.IntN(100))
}

// stamp is the timestamp of an import: mostly a little behind the clock, sometimes invalid.
func (r *Traffic) stamp() uint64 {
	if r.one(10) {
		return pick(r, 0, 1, ^uint64(0), 1<<63, r.clockNs, r.clockNs+1, r.clockNs-1, r.clockNs+5_000_000, r.clockNs+5_000_000)
	}
	return r.clockNs - uint64(r.IntN(1_000_000))
}

func (r *Traffic) account() accounting.Account {
	account := accounting.Account{ID: id(r.IntN(40))}
	account.Ledger = uint32(pick(r, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0))
	account.Code = uint16(pick(r, 1, 1, 1, 2, 2, 2, 3, 0))
	account.UserData128, account.UserData64, account.UserData32 = id(r.IntN(2)), uint64(r.IntN(2)), uint32(r.IntN(2))
	account.Flags = pick(r, 0, 0, 0, accounting.AccountHistory, accounting.AccountHistory, accounting.AccountHistory,
		accounting.AccountDebitsMustNotExceedCredits,
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

func (r *Traffic) transferID() accounting.U128 {
	if r.one(12) {
		return id(1 + r.IntN(r.idLast+1))
	}
	r.idLast++
	return id(r.idLast)
}

func (r *Traffic) transfer() accounting.Transfer {
	if len(r.sent) > 0 && r.one(6) {
		transfer := r.sent[r.IntN(len(r.sent))]
		r.mutate(&transfer)
		return transfer
	}
	transfer := accounting.Transfer{ID: r.transferID(), DebitAccountID: id(r.IntN(42)), CreditAccountID: id(r.IntN(42))}
	transfer.Amount = r.amount()
	transfer.Ledger = uint32(pick(r, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0))
	transfer.UserData128, transfer.UserData64, transfer.UserData32 = id(r.IntN(2)), uint64(r.IntN(2)), uint32(r.IntN(2))
	transfer.Code = uint16(1 + r.IntN(2))
	switch r.IntN(8) {
	case 0, 1:
		transfer.Flags = accounting.TransferPending | accounting.TransferFlags(r.IntN(16))<<4&^0x3f0 | pick[accounting.TransferFlags](r, 0, 0, 16,
			32, 48)
		transfer.Timeout = uint32(r.IntN(4))
		if r.one(20) {
			transfer.Flags |= pick(r, accounting.TransferClosingDebit, accounting.TransferClosingCredit)
		}
	case 2:
		transfer.Flags = pick(r, accounting.TransferBalancingDebit, accounting.TransferBalancingCredit,
			accounting.TransferBalancingCredit|accounting.TransferBalancingDebit)
	case 3, 4:
		r.resolving(&transfer)
	}
	r.mutateRarely(&transfer)
	r.sent = append(r.sent, transfer)
	return transfer
}

// resolving makes transfer post or void an earlier one.
func (r *Traffic) resolving(transfer *accounting.Transfer) {
	transfer.Flags = pick(r, accounting.TransferPostPending, accounting.TransferVoidPending)
	transfer.PendingID = id(1 + r.IntN(r.idLast+1))
	for range 20 { // look for a pending one
		if len(r.sent) == 0 {
			break
		}
		if sent := &r.sent[len(r.sent)-1-r.IntN(min(len(r.sent), 200))]; sent.Flags&accounting.TransferPending != 0 {
			transfer.PendingID, transfer.Amount = sent.ID, pick(r, sent.Amount, accounting.U128{}, wire.U128Max(), r.amount())
			break
		}
	}
	if r.one(2) {
		transfer.DebitAccountID, transfer.CreditAccountID = accounting.U128{}, accounting.U128{}
		transfer.Ledger, transfer.Code = 0, pick[uint16](r, 0, 0, 0, 1)
		transfer.UserData128, transfer.UserData64, transfer.UserData32 = accounting.U128{}, 0, 0
	}
}

func (r *Traffic) mutateRarely(transfer *accounting.Transfer) {
	if r.one(10) {
		r.mutate(transfer)
	}
}

// mutate changes one field, or none.
func (r *Traffic) mutate(transfer *accounting.Transfer) {
	switch r.IntN(16) {
	case 0:
		transfer.DebitAccountID = pick(r, accounting.U128{}, wire.U128Max(), id(7))
	case 1:
		transfer.CreditAccountID = pick(r, accounting.U128{}, wire.U128Max(), id(7))
	case 2:
		transfer.Amount = r.amount()
	case 3:
		transfer.PendingID = pick(r, accounting.U128{}, wire.U128Max(), id(7), transfer.ID)
	case 4:
		transfer.UserData128 = id(r.IntN(3))
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
		transfer.ID = pick(r, accounting.U128{}, wire.U128Max())
	}
}

// creates makes one batch of a create operation.
func (r *Traffic) creates(operation wire.Operation) []byte {
	count := r.IntN(12)
	chained, imported := 2+r.IntN(10), r.one(8)
	switch operation {
	case wire.OperationCreateTransfers, wire.OperationCreateTransfersSparse, wire.OperationCreateTransfersUnbatched:
		batch := make([]accounting.Transfer, count)
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
	batch := make([]accounting.Account, count)
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
func (r *Traffic) window() (first, last uint64) {
	switch r.IntN(6) {
	case 0, 1, 2:
		return 0, 0
	case 3:
		return r.stamp(), 0
	case 4:
		return 0, r.stamp()
	}
	first = r.clockNs - uint64(r.IntN(10_000_000_000))
	return first, first + uint64(r.IntN(5_000_000_000)) - 1
}

// reads makes one batch of a read operation.
func (r *Traffic) reads(operation wire.Operation) []byte {
	first, last := r.window()
	limit := pick(r, 0, 1, 3, 10, uint32(300))
	switch operation.EventBytes() {
	case 16:
		ids := make([]accounting.U128, r.IntN(30))
		for i := range ids {
			ids[i] = pick(r, id(r.IntN(40)), id(r.IntN(r.idLast+2)), accounting.U128{}, wire.U128Max())
		}
		return bytesOf(ids)
	case 128:
		filter := accounting.AccountFilter{
			AccountID: id(r.IntN(42)), TimestampMin: first, TimestampMax: last, Limit: limit,
			Flags: pick(r, 1, 2, 3, 5, 7, accounting.AccountFilterFlags(r.IntN(16))),
			Code:  uint16(pick(r, 0, 0, 1)), UserData32: uint32(pick(r, 0, 0, 1)), UserData64: uint64(pick(r, 0, 0, 1)),
			UserData128: id(pick(r, 0, 0, 1)),
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
		UserData64: uint64(pick(r, 0, 0, 1)), UserData128: id(pick(r, 0, 0, 1)),
	}
	if r.one(20) {
		filter.Reserved[r.IntN(6)] = 1
	}
	return bytesOf([]accounting.QueryFilter{filter})
}
