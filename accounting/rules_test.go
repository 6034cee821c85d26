package accounting_test

import (
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/wire"
)

const (
	linked         = accounting.TransferLinked
	pending        = accounting.TransferPending
	post           = accounting.TransferPostPending
	void           = accounting.TransferVoidPending
	balancingDebit = accounting.TransferBalancingDebit
	closingDebit   = accounting.TransferClosingDebit
	imported       = accounting.TransferImported

	created = accounting.TransferStatusCreated
	exists  = accounting.TransferStatusExists
	failed  = accounting.TransferStatusLinkedEventFailed
	isDead  = accounting.TransferStatusIDAlreadyFailed
)

// with returns transfer after change.
func with(transfer Transfer, change func(t *Transfer)) Transfer {
	change(&transfer)
	return transfer
}

// Goal: the traps of precedence (accounting, 17), one batch each, on accounts 1 and 2 (3 is
// limited, 4 is of another ledger, 9 does not exist), with transfer 100 created, 101 pending, and
// id 102 dead.
func TestPrecedence(t *testing.T) {
	maxAmount := func(t *Transfer) { t.Amount = wire.U128Max() }
	tests := []struct {
		name  string
		batch []Transfer
		want  []accounting.TransferStatus
	}{
		{"1: flags before exists", []Transfer{newTransfer(100, 1, 2, 5, 1<<9)},
			[]accounting.TransferStatus{accounting.TransferStatusReservedFlag}},
		{"1: timestamp before flags", []Transfer{with(newTransfer(100, 1, 2, 5, 1<<9), func(t *Transfer) { t.Timestamp = 1 })},
			[]accounting.TransferStatus{accounting.TransferStatusTimestampMustBeZero}},
		{"1: exists before field checks", []Transfer{newTransfer(100, 0, 0, 5, 0)},
			[]accounting.TransferStatus{accounting.TransferStatusExistsWithDifferentDebitAccountID}},
		{"1: dead id before field checks", []Transfer{newTransfer(102, 0, 0, 5, 0)}, []accounting.TransferStatus{isDead}},
		{"1: dead id before the checks of a resolving transfer", []Transfer{resolve(102, 0, post|void)}, []accounting.TransferStatus{isDead}},
		{"2: open chain wins over failed members", []Transfer{newTransfer(1, 1, 1, 1, linked), newTransfer(0, 1, 2, 1, linked)},
			[]accounting.TransferStatus{accounting.TransferStatusAccountsMustBeDifferent, accounting.TransferStatusLinkedEventChainOpen}},
		{"3: the breaker dies, members do not", []Transfer{newTransfer(1, 1, 2, 1, linked), newTransfer(2, 1, 9, 1, linked),
			newTransfer(3, 1, 9, 1, 0), newTransfer(2, 1, 2, 1, 0), newTransfer(1, 1, 2, 1, 0), newTransfer(3, 1, 2, 1, 0)},
			[]accounting.TransferStatus{failed, accounting.TransferStatusCreditAccountNotFound, failed, isDead, created, created}},
		{"6: post of zero posts zero", []Transfer{with(resolve(1, 101, post), func(t *Transfer) { t.Amount = U128{} })},
			[]accounting.TransferStatus{created}},
		{"6: void of 2^128-1 is a number", []Transfer{with(resolve(1, 101, void), maxAmount)},
			[]accounting.TransferStatus{accounting.TransferStatusExceedsPendingTransferAmount}},
		{"6: void of less", []Transfer{with(resolve(1, 101, void), func(t *Transfer) { t.Amount = id(9) })},
			[]accounting.TransferStatus{accounting.TransferStatusPendingTransferHasDifferentAmount}},
		{"7: user data given once, then not", []Transfer{with(resolve(1, 101, void), func(t *Transfer) { t.UserData64 = 9 }),
			resolve(1, 101, void)},
			[]accounting.TransferStatus{created, accounting.TransferStatusExistsWithDifferentUserData64}},
		{"7: inherited user data may be given", []Transfer{resolve(1, 101, void),
			with(resolve(1, 101, void), func(t *Transfer) { t.UserData64 = 77 })},
			[]accounting.TransferStatus{created, exists}},
		{"8: balancing again with more, with less", []Transfer{newTransfer(1, 2, 1, 3, balancingDebit), newTransfer(1, 2, 1, 4, balancingDebit),
			newTransfer(1, 2, 1, 2, balancingDebit)},
			[]accounting.TransferStatus{created, exists, accounting.TransferStatusExistsWithDifferentAmount}},
		{"9: posted overflows of a pending transfer", []Transfer{newTransfer(1, 1, 2, 20, 0),
			with(newTransfer(2, 1, 2, 0, pending), func(t *Transfer) { t.Amount = U128{Lo: ^uint64(15), Hi: ^uint64(0)} })},
			[]accounting.TransferStatus{created, accounting.TransferStatusOverflowsDebitsPosted}},
		{"9: the sum overflows", []Transfer{with(newTransfer(1, 1, 2, 0, 0),
			func(t *Transfer) { t.Amount = U128{Lo: ^uint64(5), Hi: ^uint64(0)} })},
			[]accounting.TransferStatus{accounting.TransferStatusOverflowsDebits}},
		{"9: before the sum", []Transfer{with(newTransfer(1, 1, 2, 0, pending), maxAmount)},
			[]accounting.TransferStatus{accounting.TransferStatusOverflowsDebitsPending}},
		{"9: single-phase skips pending", []Transfer{with(newTransfer(1, 1, 2, 0, 0), maxAmount)},
			[]accounting.TransferStatus{accounting.TransferStatusOverflowsDebitsPosted}},
		{"10: pending credits give no room", []Transfer{newTransfer(1, 1, 3, 5, pending), newTransfer(2, 3, 1, 1, 0)},
			[]accounting.TransferStatus{created, accounting.TransferStatusExceedsCredits}},
		{"11: a zero amount runs the limits and passes", []Transfer{newTransfer(1, 3, 1, 0, 0)}, []accounting.TransferStatus{created}},
		{"13: closed accounts refuse posts, not voids", []Transfer{newTransfer(1, 1, 2, 0, pending|closingDebit), resolve(2, 101, post),
			resolve(3, 101, void), resolve(4, 1, post), resolve(5, 1, void), newTransfer(6, 1, 2, 1, 0)},
			[]accounting.TransferStatus{created, accounting.TransferStatusDebitAccountAlreadyClosed, created,
				accounting.TransferStatusDebitAccountAlreadyClosed, created, created}},
		{"ledgers before closed and limits", []Transfer{newTransfer(1, 3, 4, 1, 0)},
			[]accounting.TransferStatus{accounting.TransferStatusAccountsMustHaveTheSameLedger}},
		{"amount before status", []Transfer{resolve(1, 101, void), with(resolve(2, 101, post), func(t *Transfer) { t.Amount = id(11) }),
			resolve(3, 101, post)},
			[]accounting.TransferStatus{created, accounting.TransferStatusExceedsPendingTransferAmount,
				accounting.TransferStatusPendingTransferAlreadyVoided}},
		{"exists breaks a chain", []Transfer{newTransfer(1, 1, 2, 1, linked), newTransfer(100, 1, 2, 5, 0), newTransfer(1, 1, 2, 1, 0)},
			[]accounting.TransferStatus{failed, exists, created}},
		{"import mode of a failed first event", []Transfer{newTransfer(0, 1, 2, 1, imported), newTransfer(1, 1, 2, 1, 0)},
			[]accounting.TransferStatus{accounting.TransferStatusImportedEventTimestampOutOfRange, accounting.TransferStatusImportedEventExpected}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := precedenceBench(t)
			if got := b.transferStatuses(test.batch...); !slices.Equal(got, test.want) {
				t.Fatalf("in   %+v\ngot  %v\nwant %v", test.batch, got, test.want)
			}
		})
	}
}

func precedenceBench(t *testing.T) *bench {
	b := newBench(t)
	other := newAccount(4, 0)
	other.Ledger = 2
	b.createAccounts(newAccount(1, 0), newAccount(2, 0), newAccount(3, accounting.AccountDebitsMustNotExceedCredits), other)
	held := newTransfer(101, 1, 2, 10, pending)
	held.UserData64 = 77
	got := b.transferStatuses(newTransfer(100, 1, 2, 5, 0), held, newTransfer(102, 1, 9, 1, 0))
	want := []accounting.TransferStatus{created, created, accounting.TransferStatusCreditAccountNotFound}
	if !slices.Equal(got, want) {
		t.Fatalf("setup: got %v, want %v", got, want)
	}
	return b
}

// Goal: a rolled back imported member reports its imported timestamp, and the maximum is as before
// (traps 4 and 5).
func TestImportedChainRollback(t *testing.T) {
	b := newBench(t)
	b.createAccounts(newAccount(1, 0), newAccount(2, 0))
	stamp := b.clock + 500_000
	batch := []Transfer{
		with(newTransfer(1, 1, 2, 1, imported|linked), func(t *Transfer) { t.Timestamp = stamp + 7 }),
		with(newTransfer(2, 1, 1, 1, imported), func(t *Transfer) { t.Timestamp = stamp + 8 }),
		with(newTransfer(3, 1, 2, 1, imported), func(t *Transfer) { t.Timestamp = stamp }),
	}
	got := b.createTransfers(batch...)
	want := []Result{
		{Timestamp: stamp + 7, Status: uint32(failed)},
		{Timestamp: b.clock - 1, Status: uint32(accounting.TransferStatusAccountsMustBeDifferent)},
		{Timestamp: stamp, Status: uint32(created)},
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// Goal: the inputs on which the reference stops have the answers that the specification gives
// instead (14).
func TestInputsThatStopTheReference(t *testing.T) {
	t.Run("imported resolving transfers of a pending one with timeout", func(t *testing.T) {
		for _, flags := range []accounting.TransferFlags{post, void} {
			b := newBench(t)
			b.createAccounts(newAccount(1, 0), newAccount(2, 0))
			held := newTransfer(1, 1, 2, 10, pending)
			held.Timeout = 1
			b.createTransfers(held)
			stamp := b.clock + 500_000
			got := b.createTransfers(with(resolve(2, 1, flags|imported), func(t *Transfer) { t.Timestamp = stamp }))[0]
			b.wantStatus("imported "+flags.String(), got, created)
			if got.Timestamp != stamp {
				t.Fatalf("timestamp %d, want %d", got.Timestamp, stamp)
			}
			b.clock += 2_000_000_000
			if count := b.pulse(); count != 0 {
				t.Fatalf("%d transfers expired, want 0: the expiry was removed", count)
			}
		}
	})
	t.Run("import mode of a later batch", func(t *testing.T) {
		b := newBench(t)
		b.createAccounts(newAccount(1, 0), newAccount(2, 0))
		stamp := b.clock + 500_000
		results := b.run(wire.OperationCreateTransfers,
			bytesOf([]Transfer{newTransfer(1, 1, 2, 1, 0)}),
			bytesOf([]Transfer{with(newTransfer(2, 1, 2, 1, imported), func(t *Transfer) { t.Timestamp = stamp })}))
		b.wantStatus("first", recordsOf[Result](results[0])[0], created)
		b.wantStatus("older than the first", recordsOf[Result](results[1])[0], accounting.TransferStatusImportedEventTimestampMustNotRegress)

		// Above the maximum of its own kind: the batch before failed, so nothing is newer.
		stamp = b.clock + 500_000
		results = b.run(wire.OperationCreateTransfers,
			bytesOf([]Transfer{newTransfer(3, 1, 1, 1, 0)}),
			bytesOf([]Transfer{with(newTransfer(4, 1, 2, 1, imported), func(t *Transfer) { t.Timestamp = stamp })}))
		b.wantStatus("above the maximum", recordsOf[Result](results[1])[0], created)
		accounts := b.run(wire.OperationCreateAccounts,
			bytesOf([]Account{{}}),
			bytesOf([]Account{{ID: id(3), Ledger: 1, Code: 1, Flags: accounting.AccountImported, Timestamp: stamp},
				{ID: id(4), Ledger: 1, Code: 1, Flags: accounting.AccountImported, Timestamp: stamp + 1}}))
		statuses := []uint32{recordsOf[Result](accounts[1])[0].Status, recordsOf[Result](accounts[1])[1].Status}
		want := []uint32{uint32(accounting.AccountStatusImportedEventTimestampMustNotRegress), uint32(accounting.AccountStatusCreated)}
		if !slices.Equal(statuses, want) {
			t.Fatalf("accounts: got %v, want %v (one stamp is a transfer's)", statuses, want)
		}
	})
	t.Run("import between event time and batch timestamp", func(t *testing.T) {
		b := newBench(t)
		b.createAccounts(newAccount(1, 0), newAccount(2, 0))
		batchTimestamp := b.clock + 1_000_000 + 3
		at := func(number, stamp uint64) Transfer {
			return with(newTransfer(number, 1, 2, 1, imported), func(t *Transfer) { t.Timestamp = stamp })
		}
		got := b.transferStatuses(at(1, batchTimestamp-1), at(2, batchTimestamp), at(3, batchTimestamp-1))
		want := []accounting.TransferStatus{created, accounting.TransferStatusImportedEventTimestampMustNotAdvance,
			accounting.TransferStatusImportedEventTimestampMustNotRegress}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		b.wantStatus("the next one", b.createTransfers(newTransfer(4, 1, 2, 1, 0))[0], created)
	})
}

// Goal: a timeout that leaves the range of timestamps is refused; no clock of today reaches that,
// so the request's does.
func TestOverflowsTimeout(t *testing.T) {
	b := newBench(t)
	b.createAccounts(newAccount(1, 0), newAccount(2, 0))
	held := func(number uint64, timeout uint32) Transfer {
		return with(newTransfer(number, 1, 2, 1, pending), func(t *Transfer) { t.Timeout = timeout })
	}
	const longest = 1<<32 - 1
	b.clock = accounting.TimestampMax - longest*1_000_000_000 - 1_000_000 - 2
	got := b.transferStatuses(held(1, longest), held(2, longest))
	want := []accounting.TransferStatus{created, created}
	if !slices.Equal(got, want) {
		t.Fatalf("at the end of the range: got %v, want %v", got, want)
	}
	got = b.transferStatuses(held(3, longest), held(3, 1))
	want = []accounting.TransferStatus{accounting.TransferStatusOverflowsTimeout, created}
	if !slices.Equal(got, want) {
		t.Fatalf("behind the range: got %v, want %v", got, want)
	}
}

// Goal: next_pulse falls with new expiries, is unknown when the first one is resolved, and is
// recomputed (7.3).
func TestNextPulse(t *testing.T) {
	b := newBench(t)
	b.limit = 32 << 10
	const perPulse = 254
	want := func(what string, next uint64) {
		t.Helper()
		if got := b.machine.NextPulse(); got != next {
			t.Fatalf("%s: next pulse %d, want %d", what, got, next)
		}
	}
	want("after a start", 1)
	b.pulse()
	want("with nothing to expire", accounting.TimestampMax)
	b.createAccounts(newAccount(1, 0), newAccount(2, 0))
	hold := func(number uint64, timeout uint32) uint64 {
		transfer := newTransfer(number, 1, 2, 1, pending)
		transfer.Timeout = timeout
		return b.createTransfers(transfer)[0].Timestamp + uint64(timeout)*1_000_000_000
	}
	late := hold(1, 9)
	want("one", late)
	soon := hold(2, 2)
	want("a sooner one", soon)
	far := hold(3, 20)
	want("a later one", soon)
	b.createTransfers(resolve(4, 1, void))
	want("another one resolved", soon)
	b.createTransfers(resolve(5, 2, void))
	want("the first one resolved", 1)
	b.pulse()
	want("recomputed", far)

	// Exactly as many as one pulse takes: its last one, in the past, so that another follows.
	var many []Transfer
	for i := range uint64(perPulse - 1) {
		transfer := newTransfer(100+i, 1, 2, 1, pending)
		transfer.Timeout = 1
		many = append(many, transfer)
	}
	b.createTransfers(many...)
	last := b.createTransfers(with(newTransfer(99, 1, 2, 1, pending), func(t *Transfer) { t.Timeout = 1 }))[0].Timestamp + 1_000_000_000
	b.clock += 3_000_000_000
	if count := b.pulse(); count != perPulse {
		t.Fatalf("%d expired, want %d", count, perPulse)
	}
	want("a full pulse", last)
	if count := b.pulse(); count != 0 {
		t.Fatalf("%d expired, want 0", count)
	}
	account := b.account(1)
	if account.DebitsPending != id(1) {
		t.Fatalf("debits pending %v, want 1: all but one were given back", account.DebitsPending)
	}
}

// Goal: event times of a pulse are consecutive and end at its timestamp; no more than the limit,
// the earliest first.
func TestPulseEvents(t *testing.T) {
	b := newBench(t)
	b.limit = 32 << 10
	b.createAccounts(newAccount(1, 0), newAccount(2, 0))
	for round := range uint64(2) {
		var batch []Transfer
		for i := range uint64(200) {
			transfer := newTransfer(1+round*200+i, 1, 2, 1, pending)
			transfer.Timeout = uint32(2 - round) // the second batch expires first
			batch = append(batch, transfer)
		}
		b.createTransfers(batch...)
	}
	b.clock += 5_000_000_000
	counts := []int{b.pulse(), b.pulse(), b.pulse()}
	if want := []int{254, 146, 0}; !slices.Equal(counts, want) {
		t.Fatalf("expired %v, want %v", counts, want)
	}
	first := b.clock - 2*8191 - 253
	filter := []accounting.ChangeEventsFilter{{TimestampMin: first, Limit: 1000}}
	events := recordsOf[accounting.ChangeEvent](b.run(wire.OperationGetChangeEvents, bytesOf(filter))[0])
	if len(events) != 400 {
		t.Fatalf("%d events, want 400", len(events))
	}
	for i, event := range events {
		wantTime, wantID := first+uint64(i), uint64(201+i)
		if i >= 200 {
			wantID -= 400
		}
		if i >= 254 {
			wantTime = b.clock - 1_000_000 - 8191 - 145 + uint64(i-254)
		}
		if event.Timestamp != wantTime || event.TransferID != id(wantID) || event.Type != accounting.EventTwoPhaseExpired {
			t.Fatalf("event %d: transfer %v at %d (%v), want %d at %d", i, event.TransferID, event.Timestamp, event.Type, wantID, wantTime)
		}
	}
}
