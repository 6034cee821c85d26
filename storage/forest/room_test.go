package forest

import (
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Goal: with a cache of the size that is called enough, a full request of random ids reads each
// page that it needs about once, be it a lookup or a creation of transfers that exist; with a
// sixteenth of that it reads many of them again. The size of production is what the documents say.
func TestCacheGridBytesEnough(t *testing.T) {
	production := limits.Production()
	if got := CacheGridBytesEnough(&production); got != 1<<30 || got > production.CacheGridBytes {
		t.Errorf("%d MiB are enough in production, and %d are the default", got>>20, production.CacheGridBytes>>20)
	}
	random := seeded.Rand(t)
	l := identityLimits()
	l.RequestBytesMax, l.CacheAccountsMax = 4096, 1<<10
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 128<<20
	disk := &memoryDisk{}
	w := newWorld(t, l, disk, storage.Checkpoint{})
	const accountsCount, perRequest, requestsCount = 100, 100, 400
	now := uint64(1_700_000_000_000_000_000)
	reply := make([]byte, 1<<20)
	// execute does what apply does with a request of count events.
	execute := func(w *world, operation wire.Operation, count int, fill func(i int, event []byte)) {
		size := int(operation.EventBytes())
		body := wordBytes(make([]uint64, (count+1)*size/8+16))
		encoder := wire.NewBatchEncoder(body, uint32(size), 1)
		for i := range count {
			fill(i, encoder.Free()[i*size:])
		}
		encoder.EndBatch(count)
		request := accounting.Request{Operation: operation, RequestBytesMax: 1 << 20, Body: encoder.Finish()}
		now += 1_000_000
		request.Timestamp = now
		switch operation {
		case wire.OperationCreateTransfers:
			w.forest.Lookahead(request.Body)
		case wire.OperationLookupTransfers:
			w.forest.LookupTransfers(request.Body)
		}
		accounting.New(w.limits, w.forest).Execute(&request, reply)
		w.forest.Lookahead(nil)
		w.forest.LookupTransfers(nil)
	}
	execute(w, wire.OperationCreateAccounts, accountsCount, func(i int, event []byte) {
		*(*accounting.Account)(pointerOf(event)) = accounting.Account{ID: accounting.U128{Lo: uint64(i + 1)}, Ledger: 1, Code: 1}
	})
	w.ended()
	var transfers []accounting.Transfer
	for range requestsCount {
		execute(w, wire.OperationCreateTransfers, perRequest, func(_ int, event []byte) {
			debit := 1 + random.Uint64N(accountsCount-1)
			transfer := accounting.Transfer{ID: drawID(random, 0, 0), DebitAccountID: accounting.U128{Lo: debit},
				CreditAccountID: accounting.U128{Lo: debit + 1}, Amount: accounting.U128{Lo: 1}, Ledger: 1, Code: 1}
			transfers = append(transfers, transfer)
			*(*accounting.Transfer)(pointerOf(event)) = transfer
		})
		w.ended()
	}
	for _, operation := range []wire.Operation{wire.OperationLookupTransfers, wire.OperationCreateTransfers} {
		count := int(wire.EventsMax(operation, l.RequestBytesMax-limits.HeaderBytes))
		var chosen []int
		// reads is what a full request of ids in a checkpoint reads with a cold cache of that size.
		// Accounts are in their cache.
		reads := func(cacheBytes uint64) uint64 {
			small := l
			small.CacheGridBytes = cacheBytes
			cold := newWorld(t, small, disk, w.newest)
			defer cold.close()
			cold.warms = true
			for len(chosen) < count {
				chosen = append(chosen, random.IntN(int(cold.forest.TransfersCount())))
			}
			for id := range uint64(accountsCount) {
				var account accounting.Account
				if _, ok := cold.forest.AccountFind(accounting.U128{Lo: id + 1}, &account); !ok {
					t.Fatalf("account %d is not found", id+1)
				}
			}
			before := cold.grid.Statistics().Reads
			execute(cold, operation, count, func(i int, event []byte) {
				if operation == wire.OperationLookupTransfers {
					*(*accounting.U128)(pointerOf(event)) = transfers[chosen[i]].ID
				} else {
					*(*accounting.Transfer)(pointerOf(event)) = transfers[chosen[i]]
				}
			})
			return cold.grid.Statistics().Reads - before
		}
		all, enough, little := reads(64<<20), reads(CacheGridBytesEnough(&l)), reads(CacheGridBytesEnough(&l)/16)
		t.Logf("%v: %d ids: %d pages; with %d KiB %d reads, with a sixteenth %d",
			operation, count, all, CacheGridBytesEnough(&l)>>10, enough, little)
		if enough > all+all/20 {
			t.Errorf("%v: %d reads of %d pages with a cache that is enough", operation, enough, all)
		}
		// A creation has an eighth as many ids: its pages fit the small cache as well.
		if operation == wire.OperationLookupTransfers && little < all+all/4 {
			t.Errorf("%v: %d reads of %d pages with a sixteenth of it: the test does not show that the size matters", operation, little, all)
		}
	}
}
