package accounting_test

import (
	"testing"
	"unsafe"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/limits"
	"ledger/wire"
)

type (
	U128     = accounting.U128
	Account  = accounting.Account
	Transfer = accounting.Transfer
	Result   = accounting.CreateResult
)

const (
	startTime       = uint64(1_700_000_000_000_000_000)
	requestBytesMax = uint32(1 << 20)
)

// aligned returns count zero bytes at an address that is a multiple of 8.
func aligned(count int) []byte {
	words := make([]uint64, (count+7)/8+1)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), count)
}

// bytesOf shows records as the bytes that travel.
func bytesOf[T any](records []T) []byte {
	var one T
	if len(records) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(records))), len(records)*int(unsafe.Sizeof(one)))
}

// recordsOf copies bytes into records.
func recordsOf[T any](bytes []byte) []T {
	var one T
	records := make([]T, len(bytes)/int(unsafe.Sizeof(one)))
	copy(bytesOf(records), bytes)
	return records
}

// bench is a machine over an empty memory store, with a clock and the buffers of one request.
type bench struct {
	t       testing.TB
	store   *memory.Store
	machine *accounting.Machine
	clock   uint64
	body    []byte
	reply   []byte
	limit   uint32 // request limit
}

func newBench(t testing.TB) *bench {
	store := memory.New(1024, 1024)
	return &bench{
		t:       t,
		store:   store,
		machine: accounting.New(limits.Production(), store),
		clock:   startTime,
		body:    aligned(wire.BodyBytesMax),
		reply:   aligned(wire.BodyBytesMax),
		limit:   requestBytesMax,
	}
}

// encode builds the body of a request; operations without trailer take exactly one batch.
func encode(t testing.TB, buffer []byte, operation wire.Operation, batches ...[]byte) []byte {
	t.Helper()
	if !operation.IsMultiBatch() {
		if len(batches) != 1 {
			t.Fatalf("%v takes one batch, not %d", operation, len(batches))
		}
		return buffer[:copy(buffer, batches[0])]
	}
	encoder := wire.NewBatchEncoder(buffer, operation.EventBytes(), len(batches))
	for _, batch := range batches {
		encoder.EndBatch(copy(encoder.Free(), batch) / int(operation.EventBytes()))
	}
	return encoder.Finish()
}

// run executes a request one millisecond after the last and returns the batches of its reply.
func (b *bench) run(operation wire.Operation, batches ...[]byte) [][]byte {
	b.t.Helper()
	body := encode(b.t, b.body, operation, batches...)
	b.clock += 1_000_000 + wire.TimestampDelta(operation, body)
	return b.runBody(operation, body)
}

func (b *bench) runBody(operation wire.Operation, body []byte) [][]byte {
	b.t.Helper()
	if fault := wire.ValidateBody(operation, body, b.limit-wire.HeaderBytes); fault != "" {
		b.t.Fatalf("%v: body is not valid: %v", operation, fault)
	}
	request := accounting.Request{Operation: operation, Timestamp: b.clock, RequestBytesMax: b.limit, Body: body}
	reply := b.reply[:b.machine.Execute(&request, b.reply)]
	if !operation.IsMultiBatch() {
		return [][]byte{reply}
	}
	decoded, fault := wire.DecodeBatches(reply, operation.ResultBytes())
	if fault != "" {
		b.t.Fatalf("%v: reply is malformed: %v", operation, fault)
	}
	var results [][]byte
	for batch, ok := decoded.Next(); ok; batch, ok = decoded.Next() {
		results = append(results, append([]byte(nil), batch...))
	}
	return results
}

func (b *bench) pulse() int {
	b.clock += 8191
	return b.machine.Pulse(b.clock, b.limit)
}

func (b *bench) createAccounts(accounts ...Account) []Result {
	b.t.Helper()
	return recordsOf[Result](b.run(wire.OperationCreateAccounts, bytesOf(accounts))[0])
}

func (b *bench) createTransfers(transfers ...Transfer) []Result {
	b.t.Helper()
	return recordsOf[Result](b.run(wire.OperationCreateTransfers, bytesOf(transfers))[0])
}

// transferStatuses runs one batch and returns the statuses alone.
func (b *bench) transferStatuses(transfers ...Transfer) []accounting.TransferStatus {
	b.t.Helper()
	var statuses []accounting.TransferStatus
	for _, result := range b.createTransfers(transfers...) {
		statuses = append(statuses, accounting.TransferStatus(result.Status))
	}
	return statuses
}

func (b *bench) account(identifier uint64) Account {
	b.t.Helper()
	found := recordsOf[Account](b.run(wire.OperationLookupAccounts, bytesOf([]U128{{Lo: identifier}}))[0])
	if len(found) != 1 {
		b.t.Fatalf("account %d: %d found", identifier, len(found))
	}
	return found[0]
}

func (b *bench) wantStatus(what string, got Result, want accounting.TransferStatus) {
	b.t.Helper()
	if accounting.TransferStatus(got.Status) != want {
		b.t.Fatalf("%s: status %v, want %v", what, accounting.TransferStatus(got.Status), want)
	}
}

func id(number uint64) U128 { return U128{Lo: number} }

// newAccount and newTransfer are valid; tests change what they are about.
func newAccount(identifier uint64, flags accounting.AccountFlags) Account {
	return Account{ID: id(identifier), Ledger: 1, Code: 1, Flags: flags}
}

func newTransfer(identifier, debit, credit, amount uint64, flags accounting.TransferFlags) Transfer {
	return Transfer{
		ID: id(identifier), DebitAccountID: id(debit), CreditAccountID: id(credit), Amount: id(amount),
		Ledger: 1, Code: 1, Flags: flags,
	}
}

func resolve(identifier, pending uint64, flags accounting.TransferFlags) Transfer {
	transfer := Transfer{ID: id(identifier), PendingID: id(pending), Flags: flags}
	if flags&accounting.TransferPostPending != 0 {
		transfer.Amount = wire.U128Max()
	}
	return transfer
}
