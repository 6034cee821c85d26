package accounting_test

import (
	"bytes"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/limits"
	"ledger/wire"
)

// Goal: the operations of the session layer have their bodies, whatever the buffer held before.
func TestRegisterAndNoop(t *testing.T) {
	for _, limit := range []uint32{32 << 10, 1 << 20} {
		b := newBench(t)
		for i := range b.reply {
			b.reply[i] = 0xaa
		}
		request := accounting.Request{Operation: wire.OperationRegister, Timestamp: 1, RequestBytesMax: limit, Body: make([]byte, 256)}
		reply := b.reply[:b.machine.Execute(&request, b.reply)]
		if got := wire.RegisterReplyBatchBytesMax(reply); got != limit-256 || !bytes.Equal(reply[4:], make([]byte, 60)) {
			t.Fatalf("register with %d: batch size limit %d, body %x", limit, got, reply)
		}
		request.Operation, request.Body = wire.OperationNoop, nil
		if count := b.machine.Execute(&request, b.reply); count != 0 {
			t.Fatalf("noop answers %d bytes, want 0", count)
		}
	}
}

// Goal: a full batch is answered in full, and rows are cut to R of the encoding and to R_ce of the
// request limit.
func TestRowLimits(t *testing.T) {
	b := newBench(t)
	b.createAccounts(newAccount(1, accounting.AccountHistory), newAccount(2, 0))
	for first := uint64(1); first <= 8190; first += 4095 {
		var batch []Transfer
		for number := first; number < first+4095; number++ {
			batch = append(batch, newTransfer(number, 1, 2, 1, 0))
		}
		for i, result := range b.createTransfers(batch...) {
			b.wantStatus("event", result, created)
			if want := b.clock - 4095 + uint64(i) + 1; result.Timestamp != want {
				t.Fatalf("event %d: timestamp %d, want %d", i, result.Timestamp, want)
			}
		}
	}
	accountFilter := bytesOf([]accounting.AccountFilter{{AccountID: id(1), Limit: 1 << 31, Flags: accounting.FilterDebits}})
	queryFilter := bytesOf([]accounting.QueryFilter{{Limit: 1 << 31}})
	eventsFilter := bytesOf([]accounting.ChangeEventsFilter{{Limit: 1 << 31}})
	tests := []struct {
		operation wire.Operation
		filter    []byte
		limit     uint32
		want      int
	}{
		{wire.OperationGetAccountTransfers, accountFilter, 1 << 20, 8189},
		{wire.OperationGetAccountTransfers, accountFilter, 32 << 10, 8189},
		{wire.OperationGetAccountTransfersUnbatched, accountFilter, 1 << 20, 8190},
		{wire.OperationGetAccountBalances, accountFilter, 1 << 20, 8189},
		{wire.OperationGetAccountBalancesUnbatched, accountFilter, 32 << 10, 8190},
		{wire.OperationQueryTransfers, queryFilter, 1 << 20, 8189},
		{wire.OperationQueryTransfersUnbatched, queryFilter, 1 << 20, 8190},
		{wire.OperationQueryAccounts, queryFilter, 1 << 20, 2},
		{wire.OperationGetChangeEvents, eventsFilter, 1 << 20, 2730},
		{wire.OperationGetChangeEvents, eventsFilter, 32 << 10, 1016},
	}
	for _, test := range tests {
		b.limit = test.limit
		got := len(b.run(test.operation, test.filter)[0]) / int(test.operation.ResultBytes())
		if got != test.want {
			t.Errorf("%v with requests of %d: %d rows, want %d", test.operation, test.limit, got, test.want)
		}
	}
}

// Goal: sparse results count within their batch, hold failures alone, and list a chain's members
// before its breaker (12).
func TestSparseResults(t *testing.T) {
	b := newBench(t)
	b.createAccounts(newAccount(1, 0), newAccount(2, 0))
	results := b.run(wire.OperationCreateTransfersSparse,
		bytesOf([]Transfer{newTransfer(1, 1, 2, 1, 0), newTransfer(2, 1, 1, 1, 0)}),
		nil,
		bytesOf([]Transfer{newTransfer(3, 1, 2, 1, 0), newTransfer(4, 1, 2, 1, linked), newTransfer(5, 1, 2, 1, linked),
			newTransfer(6, 1, 9, 1, linked), newTransfer(7, 1, 2, 1, 0), newTransfer(8, 1, 2, 1, 0)}))
	want := [][]accounting.SparseResult{
		{{Index: 1, Status: uint32(accounting.TransferStatusAccountsMustBeDifferent)}},
		{},
		{{Index: 1, Status: 1}, {Index: 2, Status: 1}, {Index: 3, Status: uint32(accounting.TransferStatusCreditAccountNotFound)},
			{Index: 4, Status: 1}},
	}
	for i := range want {
		if got := recordsOf[accounting.SparseResult](results[i]); !slices.Equal(got, want[i]) {
			t.Fatalf("batch %d: got %v, want %v", i, got, want[i])
		}
	}
}

// Goal: a reply that fills its buffer to the last byte is right: the counts of the batches wait at
// the end of that buffer.
func TestFullMultiBatchReply(t *testing.T) {
	b := newBench(t)
	b.createAccounts(newAccount(1, 0))
	one := b.account(1)
	for _, test := range []struct{ batchesCount, resultsCount int }{{1, 8189}, {63, 8189}, {64, 8188}, {128, 8187}} {
		ids := make([]U128, test.resultsCount-test.batchesCount+1)
		for i := range ids {
			ids[i] = id(1)
		}
		batches := [][]byte{bytesOf(ids)}
		for range test.batchesCount - 1 {
			batches = append(batches, bytesOf(ids[:1]))
		}
		results := b.run(wire.OperationLookupAccounts, batches...)
		if len(results) != test.batchesCount {
			t.Fatalf("%d batches, want %d", len(results), test.batchesCount)
		}
		for i := range results {
			accounts := recordsOf[Account](results[i])
			if len(accounts) != len(batches[i])/wire.U128Bytes {
				t.Fatalf("batch %d of %d: %d accounts for %d ids", i, len(results), len(accounts), len(batches[i])/wire.U128Bytes)
			}
			for k := range accounts {
				if accounts[k] != one {
					t.Fatalf("batch %d of %d: account %d is %+v", i, len(results), k, accounts[k])
				}
			}
		}
	}
}

type recordingWarmer struct{ keys []string }

func (w *recordingWarmer) WarmAccount(id U128)  { w.keys = append(w.keys, "account "+id.String()) }
func (w *recordingWarmer) WarmTransfer(id U128) { w.keys = append(w.keys, "transfer "+id.String()) }
func (w *recordingWarmer) WarmPending(id U128)  { w.keys = append(w.keys, "pending "+id.String()) }

// Goal: Warm names every key that execution looks for, over all batches.
func TestWarm(t *testing.T) {
	filter := bytesOf([]accounting.AccountFilter{{AccountID: id(5)}})
	tests := []struct {
		operation wire.Operation
		batches   [][]byte
		want      []string
	}{
		{wire.OperationCreateAccounts, [][]byte{bytesOf([]Account{newAccount(1, 0)}), nil, bytesOf([]Account{newAccount(2, 0)})},
			[]string{"account 1", "account 2"}},
		{wire.OperationCreateTransfersUnbatched, [][]byte{bytesOf([]Transfer{newTransfer(1, 2, 3, 1, 0), resolve(4, 1, void)})},
			[]string{"transfer 1", "account 2", "account 3", "transfer 4", "pending 1"}},
		{wire.OperationLookupTransfers, [][]byte{bytesOf([]U128{id(9), id(8)})}, []string{"transfer 9", "transfer 8"}},
		{wire.OperationLookupAccountsUnbatched, [][]byte{bytesOf([]U128{id(9)})}, []string{"account 9"}},
		{wire.OperationGetAccountBalances, [][]byte{filter}, []string{"account 5"}},
		{wire.OperationQueryAccounts, [][]byte{make([]byte, 64)}, nil},
	}
	for _, test := range tests {
		var warmer recordingWarmer
		accounting.Warm(test.operation, encode(t, aligned(4096), test.operation, test.batches...), &warmer)
		if !slices.Equal(warmer.keys, test.want) {
			t.Errorf("%v: got %v, want %v", test.operation, warmer.keys, test.want)
		}
	}
	var warmer recordingWarmer
	accounting.Warm(wire.OperationRegister, make([]byte, 256), &warmer)
	accounting.Warm(wire.OperationNoop, nil, &warmer)
	accounting.Warm(wire.OperationPulse, nil, &warmer)
	if len(warmer.keys) != 0 {
		t.Errorf("operations without events warm %v", warmer.keys)
	}
}

// Goal: names are those of the specification, and numbers without a name say which they are.
func TestNames(t *testing.T) {
	tests := []struct{ got, want string }{
		{accounting.AccountStatusCreated.String(), "created"},
		{accounting.AccountStatusExists.String(), "exists"},
		{accounting.AccountStatusIDMustNotBeIntMax.String(), "id_must_not_be_int_max"},
		{accounting.AccountStatus(27).String(), "account_status_27"},
		{accounting.TransferStatusIDAlreadyFailed.String(), "id_already_failed"},
		{accounting.TransferStatusExists.String(), "exists"},
		{accounting.TransferStatus(18).String(), "transfer_status_18"},
		{accounting.TransferStatus(0).String(), "transfer_status_0"},
		{accounting.AccountFlags(0).String(), ""},
		{(accounting.AccountLinked | accounting.AccountClosed).String(), "linked|closed"},
		{accounting.AccountFlags(1<<15 | 1<<6).String(), "0x8040"},
		{(pending | closingDebit | imported).String(), "pending|closing_debit|imported"},
		{accounting.EventTwoPhaseExpired.String(), "two_phase_expired"},
		{accounting.EventType(9).String(), "9"},
		{accounting.PendingVoided.String(), "voided"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// Goal: a long batch lets the store breathe every 256 events.
func TestBreathe(t *testing.T) {
	store := newFlatStore(benchAccounts, benchTransfers)
	machine := accounting.New(limits.Production(), store)
	machine.Execute(benchRequest(t, "plain"), aligned(wire.BodyBytesMax))
	if want := benchTransfers / 256; store.breaths != want {
		t.Fatalf("%d breaths in %d events, want %d", store.breaths, benchTransfers, want)
	}
}
