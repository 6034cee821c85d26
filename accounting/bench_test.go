package accounting_test

import (
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/limits"
	"ledger/wire"
)

const (
	benchAccounts  = 10_000
	benchTransfers = 8189
)

// flatStore is a store whose lookups cost nothing: the id of an account, or of a transfer, is its
// ordinal + 1. So a benchmark measures the price of the rules and of the calls. Tests may set its
// accounts to any values.
type flatStore struct {
	accounting.Store
	accounts  []accounting.Account
	transfers []accounting.TransferRow
	statuses  []accounting.PendingStatus
	count     int
	killed    int
	breaths   int
}

func newFlatStore(accountsCount, transfersCount int) *flatStore {
	s := &flatStore{
		accounts:  make([]accounting.Account, accountsCount),
		transfers: make([]accounting.TransferRow, transfersCount),
		statuses:  make([]accounting.PendingStatus, transfersCount),
	}
	for i := range s.accounts {
		s.accounts[i] = newAccount(uint64(i+1), 0)
		s.accounts[i].Timestamp = uint64(i + 1)
	}
	return s
}

func (s *flatStore) AccountFind(id U128, account *accounting.Account) (accounting.AccountOrdinal, bool) {
	if id.Lo > uint64(len(s.accounts)) {
		return 0, false
	}
	*account = s.accounts[id.Lo-1]
	return accounting.AccountOrdinal(id.Lo - 1), true
}
func (s *flatStore) AccountRead(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	*account = s.accounts[ordinal]
}
func (s *flatStore) AccountWrite(ordinal accounting.AccountOrdinal, account *accounting.Account) {
	s.accounts[ordinal] = *account
}
func (s *flatStore) TransferFind(id U128) (accounting.TransferOrdinal, accounting.TransferState) {
	if id.Lo <= uint64(s.count) {
		return accounting.TransferOrdinal(id.Lo - 1), accounting.TransferExists
	}
	return 0, accounting.TransferAbsent
}
func (s *flatStore) TransferRead(ordinal accounting.TransferOrdinal,
	transfer *accounting.Transfer) (debit, credit accounting.AccountOrdinal) {
	row := &s.transfers[ordinal]
	*transfer = row.Transfer
	return row.DebitOrdinal, row.CreditOrdinal
}
func (s *flatStore) TransferRow() *accounting.TransferRow { return &s.transfers[s.count] }
func (s *flatStore) TransferAppend() accounting.TransferOrdinal {
	at := s.count
	row := &s.transfers[at]
	s.statuses[at] = accounting.PendingNone
	if row.Transfer.Flags&accounting.TransferPending != 0 {
		s.statuses[at] = accounting.PendingOpen
	}
	s.count++
	return accounting.TransferOrdinal(at)
}
func (s *flatStore) PendingRead(ordinal accounting.TransferOrdinal) accounting.PendingStatus {
	return s.statuses[ordinal]
}
func (s *flatStore) PendingWrite(ordinal accounting.TransferOrdinal, status accounting.PendingStatus) {
	s.statuses[ordinal] = status
}
func (s *flatStore) TransferKill(U128)                               { s.killed++ }
func (s *flatStore) ExpiryAdd(uint64, accounting.TransferOrdinal)    {}
func (s *flatStore) ExpiryRemove(uint64, accounting.TransferOrdinal) {}
func (s *flatStore) ChainOpen()                                      {}
func (s *flatStore) ChainCommit()                                    {}
func (s *flatStore) Breathe()                                        { s.breaths++ }

// benchBatch fills a batch of transfers numbered from 1; a resolving one is of the transfer before
// it.
func benchBatch(kind string) []Transfer {
	transfers := make([]Transfer, benchTransfers)
	for i := range transfers {
		number := uint64(i + 1)
		debit := number*7919%benchAccounts + 1
		transfers[i] = newTransfer(number, debit, debit%benchAccounts+1, 10, 0)
		switch kind {
		case "two-phase":
			transfers[i].Flags, transfers[i].Timeout = accounting.TransferPending, 60
			if i%2 == 1 {
				transfers[i] = resolve(number, number-1, accounting.TransferPostPending)
			}
		case "chains":
			if i%4 != 3 && i != len(transfers)-1 {
				transfers[i].Flags = accounting.TransferLinked
			}
		}
	}
	return transfers
}

func benchRequest(t testing.TB, kind string) *accounting.Request {
	body := encode(t, aligned(wire.BodyBytesMax), wire.OperationCreateTransfers, bytesOf(benchBatch(kind)))
	return &accounting.Request{Operation: wire.OperationCreateTransfers, RequestBytesMax: requestBytesMax, Timestamp: startTime, Body: body}
}

func wantAllCreated(t testing.TB, reply []byte) {
	t.Helper()
	batches, fault := wire.DecodeBatches(reply, wire.CreateResultBytes)
	if fault != "" {
		t.Fatal(fault)
	}
	batch, _ := batches.Next()
	for i, result := range recordsOf[Result](batch) {
		if accounting.TransferStatus(result.Status) != accounting.TransferStatusCreated {
			t.Fatalf("transfer %d: %v", i, accounting.TransferStatus(result.Status))
		}
	}
}

// The price of the rules: a store that costs next to nothing. Sketch: about 600 bytes copied and 8
// calls, 50 to 80 ns.
func BenchmarkRules(b *testing.B) {
	for _, kind := range []string{"plain", "two-phase", "chains"} {
		b.Run(kind, func(b *testing.B) {
			store := newFlatStore(benchAccounts, benchTransfers)
			machine := accounting.New(limits.Production(), store)
			request, reply, replyBytes := benchRequest(b, kind), aligned(wire.BodyBytesMax), 0
			b.ReportAllocs()
			for b.Loop() {
				store.count = 0
				replyBytes = machine.Execute(request, reply)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchTransfers, "ns/transfer")
			wantAllCreated(b, reply[:replyBytes])
		})
	}
}

// The same over the memory store, with its maps and its records kept.
func BenchmarkMemory(b *testing.B) {
	for _, kind := range []string{"plain", "two-phase", "chains"} {
		b.Run(kind, func(b *testing.B) {
			request, reply := benchRequest(b, kind), aligned(wire.BodyBytesMax)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				machine := accounting.New(limits.Production(), memoryWithAccounts(b))
				b.StartTimer()
				machine.Execute(request, reply)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchTransfers, "ns/transfer")
		})
	}
}

func memoryWithAccounts(t testing.TB) *memory.Store {
	store := memory.New(benchAccounts, 4*benchTransfers)
	for i := range benchAccounts {
		account := newAccount(uint64(i+1), 0)
		account.Timestamp = uint64(i + 1)
		store.AccountAppend(&account)
	}
	return store
}

// Goal: nothing allocates after the start, on any path that a request takes.
func TestExecuteDoesNotAllocate(t *testing.T) {
	b := newBench(t)
	b.createAccounts(newAccount(1, accounting.AccountHistory), newAccount(2, 0))
	b.createTransfers(newTransfer(1, 1, 2, 10, accounting.TransferPending))

	flat := newFlatStore(benchAccounts, benchTransfers)
	flatMachine := accounting.New(limits.Production(), flat)
	for _, kind := range []string{"plain", "two-phase", "chains"} {
		request := benchRequest(t, kind)
		wantNoAllocations(t, kind, func() {
			flat.count = 0
			flatMachine.Execute(request, b.reply)
		})
	}

	ids := bytesOf([]U128{id(1), id(2), id(3)})
	accountFilter := bytesOf([]accounting.AccountFilter{{AccountID: id(1), Limit: 10, Flags: 3}})
	queryFilter := bytesOf([]accounting.QueryFilter{{Limit: 10}})
	requests := map[wire.Operation][]byte{
		wire.OperationLookupAccounts:      ids,
		wire.OperationLookupTransfers:     ids,
		wire.OperationGetAccountTransfers: accountFilter,
		wire.OperationGetAccountBalances:  accountFilter,
		wire.OperationQueryAccounts:       queryFilter,
		wire.OperationQueryTransfers:      queryFilter,
		wire.OperationGetChangeEvents:     bytesOf([]accounting.ChangeEventsFilter{{Limit: 10}}),
		wire.OperationPulse:               nil,
		wire.OperationNoop:                nil,
		wire.OperationCreateAccounts:      bytesOf([]Account{newAccount(1, 0), newAccount(1, accounting.AccountHistory)}),
		wire.OperationCreateTransfers: bytesOf([]Transfer{newTransfer(1, 1, 2, 10, accounting.TransferPending),
			newTransfer(9, 1, 1, 1, 0)}),
		wire.OperationCreateTransfersSparse: bytesOf([]Transfer{newTransfer(9, 1, 1, 1, accounting.TransferLinked), newTransfer(9, 1, 1, 1, 0)}),
	}
	for operation, batch := range requests {
		body := []byte{}
		if operation.EventBytes() > 0 {
			body = encode(t, aligned(4096), operation, batch)
		}
		request := accounting.Request{Operation: operation, Timestamp: b.clock + 1000, RequestBytesMax: b.limit, Body: body}
		wantNoAllocations(t, operation.String(), func() { b.machine.Execute(&request, b.reply) })
		wantNoAllocations(t, operation.String()+" warmed", func() { accounting.Warm(operation, body, countingWarmer{}) })
	}
}

type countingWarmer struct{}

func (countingWarmer) WarmAccount(U128)  {}
func (countingWarmer) WarmTransfer(U128) {}
func (countingWarmer) WarmPending(U128)  {}

func wantNoAllocations(t *testing.T, what string, run func()) {
	t.Helper()
	if allocations := testing.AllocsPerRun(20, run); allocations != 0 {
		t.Errorf("%s allocates %.1f times per request, want 0", what, allocations)
	}
}
