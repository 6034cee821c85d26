package memory

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"ledger/accounting"
)

// snapshot is everything that a rollback must restore.
type snapshot struct {
	accounts  []accounting.Account
	transfers []accounting.TransferRow
	statuses  []accounting.PendingStatus
	expiries  []expiry
	ids       [2]int
}

func snapshotOf(s *Store) snapshot {
	expiries := slices.Clone(s.expiries.items)
	slices.SortFunc(expiries, func(a, b expiry) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	return snapshot{
		slices.Clone(s.accounts), slices.Clone(s.transfers), slices.Clone(s.statuses), expiries,
		[2]int{len(s.accountsByID), len(s.transfersByID)},
	}
}

// Goal: a chain that is rolled back leaves no trace, whatever it did; one that is committed stays.
func TestChainRollback(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	s := New(0, 0)
	clock := uint64(100)
	for range 2000 {
		before := snapshotOf(s)
		chained := random.IntN(2) == 0
		if chained {
			s.ChainOpen()
		}
		for range random.IntN(6) {
			clock++
			change(s, random, clock)
		}
		if chained && random.IntN(2) == 0 {
			s.ChainCommit()
		} else if chained {
			s.ChainRollback()
			if after := snapshotOf(s); !reflect.DeepEqual(before, after) {
				t.Fatalf("rolled back at %d: got\n%+v\nwant\n%+v", clock, after, before)
			}
		}
	}
	if s.AccountsCount() < 100 || s.TransfersCount() < 100 {
		t.Fatalf("%d accounts and %d transfers only", s.AccountsCount(), s.TransfersCount())
	}
}

// change does one legal thing.
func change(s *Store, random *rand.Rand, clock uint64) {
	id := accounting.U128{Lo: clock}
	switch random.IntN(5) {
	case 0:
		s.AccountAppend(&accounting.Account{ID: id, Timestamp: clock})
	case 1:
		flags := accounting.TransferFlags(random.IntN(2)) * accounting.TransferPending
		*s.TransferRow() = accounting.TransferRow{Transfer: accounting.Transfer{ID: id, Timestamp: clock, Flags: flags}}
		ordinal := s.TransferAppend()
		if flags != 0 {
			s.ExpiryAdd(uint64(random.IntN(1000)), ordinal)
		}
	case 2:
		if len(s.accounts) > 0 {
			ordinal := accounting.AccountOrdinal(random.IntN(len(s.accounts)))
			var account accounting.Account
			s.AccountRead(ordinal, &account)
			account.DebitsPosted.Lo++
			account.Flags ^= accounting.AccountClosed
			s.AccountWrite(ordinal, &account)
		}
	default:
		if len(s.expiries.items) > 0 {
			expiry := s.expiries.items[random.IntN(len(s.expiries.items))]
			s.ExpiryRemove(expiry.expiresAtNs, expiry.ordinal)
			s.PendingWrite(expiry.ordinal, accounting.PendingPosted)
		}
	}
}

// Goal: expiries come in order of time, then of ordinal, whatever was added and removed in between.
func TestExpiryOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 0))
	heap := newExpiryHeap(0)
	var want []expiry
	for ordinal := range accounting.TransferOrdinal(3000) {
		e := expiry{uint64(random.IntN(100)), ordinal}
		heap.add(e)
		want = append(want, e)
		if random.IntN(3) == 0 {
			at := random.IntN(len(want))
			heap.remove(want[at])
			want = slices.Delete(want, at, at+1)
		}
	}
	slices.SortFunc(want, func(a, b expiry) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	for i := range want {
		first, ok := heap.first()
		if !ok || first != want[i] {
			t.Fatalf("expiry %d: got %v (%v), want %v", i, first, ok, want[i])
		}
		heap.remove(first)
	}
	if _, ok := heap.first(); ok || len(heap.places) != 0 {
		t.Fatal("the heap is not empty at the end")
	}
}

// Goal: a transfer hides an expiry of the same timestamp, wherever the window begins (accounting,
// 7.5).
func TestEventsHideExpiries(t *testing.T) {
	s := New(0, 0)
	for _, at := range []uint64{10, 20, 30} {
		*s.TransferRow() = accounting.TransferRow{Transfer: accounting.Transfer{ID: accounting.U128{Lo: at}, Timestamp: at}}
		s.TransferAppend()
	}
	for _, at := range []uint64{20, 25, 40} {
		s.ExpiredAppend(&accounting.ExpiredRow{Timestamp: at})
	}
	type event struct {
		at      uint64
		expired bool
	}
	tests := []struct {
		first, last uint64
		want        []event
	}{
		{1, accounting.TimestampMax, []event{{10, false}, {20, false}, {25, true}, {30, false}, {40, true}}},
		{20, 25, []event{{20, false}, {25, true}}},
		{41, 50, nil},
	}
	for _, test := range tests {
		var got []event
		var row accounting.EventRow
		s.EventsOpen(test.first, test.last)
		for s.EventsNext(&row) {
			got = append(got, event{row.Timestamp, row.Expired})
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%d..%d: got %v, want %v", test.first, test.last, got, test.want)
		}
	}
}
