package accounting_test

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/wire"
)

func toBig(u U128) *big.Int {
	number := new(big.Int).SetUint64(u.Hi)
	return number.Lsh(number, 64).Add(number, new(big.Int).SetUint64(u.Lo))
}

func sum(numbers ...U128) *big.Int {
	total := new(big.Int)
	for _, number := range numbers {
		total.Add(total, toBig(number))
	}
	return total
}

// wide draws numbers of all sizes, often at an edge of 64 or 128 bits.
func wide(random *rand.Rand) U128 {
	number := U128{Lo: random.Uint64() >> random.IntN(64), Hi: random.Uint64() >> random.IntN(64)}
	switch random.IntN(6) {
	case 0:
		number.Hi = 0
	case 1:
		number.Hi = ^uint64(0)
	case 2:
		number = U128{Lo: -uint64(random.IntN(3)), Hi: ^uint64(0)}
	case 3:
		number = U128{Lo: uint64(random.IntN(3)), Hi: uint64(random.IntN(2))}
	}
	return number
}

// widePair draws two numbers whose sum fits 128 bits, as pending and posted of an account.
func widePair(random *rand.Rand) (a, b U128) {
	for {
		a, b = wide(random), wide(random)
		if _, overflows := a.Add(b); !overflows {
			return a, b
		}
	}
}

// Goal: overflows, limits and balancing of one transfer are those of unbounded arithmetic
// (accounting, 5.2 lines 21 to 30).
func TestAmountsAgainstBigNumbers(t *testing.T) {
	random := seeded.Rand(t)
	store := newFlatStore(2, 1)
	machine := accounting.New(limits.Production(), store)
	body, reply := aligned(4096), aligned(wire.BodyBytesMax)
	seen := map[accounting.TransferStatus]int{}
	for range 60_000 {
		debit, credit := &store.accounts[0], &store.accounts[1]
		debit.DebitsPending, debit.DebitsPosted = widePair(random)
		debit.CreditsPosted = wide(random)
		credit.CreditsPending, credit.CreditsPosted = widePair(random)
		credit.DebitsPosted = wide(random)
		debit.Flags, credit.Flags = 0, 0
		if random.IntN(3) == 0 {
			debit.Flags = accounting.AccountDebitsMustNotExceedCredits
		}
		if random.IntN(3) == 0 {
			credit.Flags = accounting.AccountCreditsMustNotExceedDebits
		}
		transfer := newTransfer(1, 1, 2, 0, 0)
		transfer.Amount = wide(random)
		transfer.Flags = accounting.TransferFlags(random.IntN(2)) * pending
		if random.IntN(2) == 0 {
			transfer.Flags |= accounting.TransferFlags(random.IntN(4)) * balancingDebit
		}

		wantStatus, wantAmount := amountsOf(&transfer, debit, credit)
		store.count = 0
		request := accounting.Request{Operation: wire.OperationCreateTransfers, Timestamp: startTime, RequestBytesMax: requestBytesMax,
			Body: encode(t, body, wire.OperationCreateTransfers, bytesOf([]Transfer{transfer}))}
		before := [2]Account{*debit, *credit}
		store.killed = 0
		machine.Execute(&request, reply)
		got := accounting.TransferStatus(recordsOf[Result](reply[:16])[0].Status)
		if got != wantStatus {
			t.Fatalf("%+v\ndebit  %+v\ncredit %+v\ngot %v, want %v", transfer, before[0], before[1], got, wantStatus)
		}
		if dies := wantStatus == accounting.TransferStatusExceedsCredits ||
			wantStatus == accounting.TransferStatusExceedsDebits; dies != (store.killed == 1) {
			t.Fatalf("%v: %d ids died", got, store.killed)
		}
		seen[got]++
		if got != created {
			continue
		}
		if stored := store.transfers[0].Transfer.Amount; toBig(stored).Cmp(wantAmount) != 0 {
			t.Fatalf("%+v\ndebit  %+v\ncredit %+v\nstored %v, want %v", transfer, before[0], before[1], stored, wantAmount)
		}
		moved := sum(debit.DebitsPending, debit.DebitsPosted)
		moved.Sub(moved, sum(before[0].DebitsPending, before[0].DebitsPosted))
		if moved.Cmp(wantAmount) != 0 || debit.DebitsPending != before[0].DebitsPending != (transfer.Flags&pending != 0 &&
			wantAmount.Sign() > 0) {
			t.Fatalf("moved %v, want %v: %+v", moved, wantAmount, transfer)
		}
	}
	for _, status := range []accounting.TransferStatus{created, 47, 48, 49, 50, 51, 52, 54, 55} {
		if seen[status] < 50 {
			t.Errorf("status %v was seen %d times only", status, seen[status])
		}
	}
}

// amountsOf is lines 21 to 30 with numbers that cannot overflow.
func amountsOf(transfer *Transfer, debit, credit *Account) (accounting.TransferStatus, *big.Int) {
	largest := toBig(wire.U128Max())
	amount := toBig(transfer.Amount)
	limit := func(room *big.Int) {
		if room.Sign() < 0 {
			room.SetInt64(0)
		}
		if room.Cmp(amount) < 0 {
			amount = room
		}
	}
	if transfer.Flags&accounting.TransferBalancingDebit != 0 {
		limit(new(big.Int).Sub(toBig(debit.CreditsPosted), sum(debit.DebitsPosted, debit.DebitsPending)))
	}
	if transfer.Flags&accounting.TransferBalancingCredit != 0 {
		limit(new(big.Int).Sub(toBig(credit.DebitsPosted), sum(credit.CreditsPosted, credit.CreditsPending)))
	}
	exceeds := func(bound *big.Int, numbers ...U128) bool {
		total := sum(numbers...)
		return total.Add(total, amount).Cmp(bound) > 0
	}
	isPending := transfer.Flags&pending != 0
	switch {
	case isPending && exceeds(largest, debit.DebitsPending):
		return accounting.TransferStatusOverflowsDebitsPending, amount
	case isPending && exceeds(largest, credit.CreditsPending):
		return accounting.TransferStatusOverflowsCreditsPending, amount
	case exceeds(largest, debit.DebitsPosted):
		return accounting.TransferStatusOverflowsDebitsPosted, amount
	case exceeds(largest, credit.CreditsPosted):
		return accounting.TransferStatusOverflowsCreditsPosted, amount
	case exceeds(largest, debit.DebitsPending, debit.DebitsPosted):
		return accounting.TransferStatusOverflowsDebits, amount
	case exceeds(largest, credit.CreditsPending, credit.CreditsPosted):
		return accounting.TransferStatusOverflowsCredits, amount
	case debit.Flags&accounting.AccountDebitsMustNotExceedCredits != 0 &&
		exceeds(toBig(debit.CreditsPosted), debit.DebitsPending, debit.DebitsPosted):
		return accounting.TransferStatusExceedsCredits, amount
	case credit.Flags&accounting.AccountCreditsMustNotExceedDebits != 0 &&
		exceeds(toBig(credit.DebitsPosted), credit.CreditsPending, credit.CreditsPosted):
		return accounting.TransferStatusExceedsDebits, amount
	}
	return created, amount
}
