package forest

import (
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/limits"
	"ledger/storage"
	"ledger/wire"
)

// identityLimits have generations that are soon full.
func identityLimits() limits.Limits {
	l := tiny()
	l.MessageBytesMax, l.RequestBytesMax = 16<<10, 16<<10
	l.GroupBytesMax = l.RequestBytesMax - limits.HeaderBytes
	return l
}

// drawID draws ids of the kinds that clients use: random, counting, a time and then random bits.
func drawID(random *rand.Rand, kind int, counter uint64) accounting.U128 {
	switch kind {
	case 0:
		return accounting.U128{Lo: random.Uint64(), Hi: random.Uint64()}
	case 1:
		return accounting.U128{Lo: counter}
	}
	return accounting.U128{Lo: random.Uint64(), Hi: counter<<16 | random.Uint64N(1<<16)}
}

// Goal: an id that exists is found, and an id that died or was rolled back with its chain is
// answered as the plain store does, for any sequence of kinds of ids, through flushes, merges and
// restarts. Runs of random ids are covered; runs of ids of a counter alone are not.
func TestCoveredRuns(t *testing.T) {
	random := seeded.Rand(t)
	l := identityLimits()
	w := newWorld(t, l, &memoryDisk{random: random}, storage.Checkpoint{})
	pair := storetest.NewPair(t, l, w.forest, random)
	now := uint64(1_700_000_000_000_000_000)
	var log []logged
	op := 0
	execute := func(operation wire.Operation, count int, fill func(i int, event []byte)) {
		body := wordBytes(make([]uint64, (count+1)*16))
		encoder := wire.NewBatchEncoder(body, 128, 1)
		for i := range count {
			fill(i, encoder.Free()[i*128:])
		}
		encoder.EndBatch(count)
		now += 1_000_000
		request := accounting.Request{Operation: operation, Timestamp: now, RequestBytesMax: 1 << 20, Body: encoder.Finish()}
		log = append(log, logged{w.op + 1, request})
		if operation == wire.OperationCreateTransfers && random.IntN(8) > 0 {
			w.forest.Lookahead(request.Body)
		}
		pair.Execute(&request)
		w.forest.Lookahead(nil)
		w.covers = max(0, random.IntN(12)-10) * (1 + op/400%2*4) // few at times: merges replace runs that are being covered
		w.ended()
		w.grid.Poll()
		for len(log) > 0 && log[0].op <= w.newest.Op {
			log = log[1:]
		}
	}
	execute(wire.OperationCreateAccounts, 2, func(i int, event []byte) {
		*(*accounting.Account)(pointerOf(event)) = accounting.Account{ID: accounting.U128{Lo: uint64(i + 1)}, Ledger: 1, Code: 1}
	})
	var ids []accounting.U128
	covered, uncovered, generationsMax := 0, 0, 0
	for ; op < 3000; op++ {
		kind := 1
		if op > 600 {
			kind = op / 400 % 3
		}
		execute(wire.OperationCreateTransfers, 1+random.IntN(40), func(_ int, event []byte) {
			id := drawID(random, kind, uint64(len(ids)+1))
			if len(ids) > 0 && random.IntN(4) == 0 {
				id = ids[random.IntN(len(ids))]
			}
			ids = append(ids, id)
			transfer := accounting.Transfer{ID: id, DebitAccountID: accounting.U128{Lo: 1}, CreditAccountID: accounting.U128{Lo: 2},
				Amount: accounting.U128{Lo: 1}, Ledger: 1, Code: 1}
			switch chance := random.IntN(8); {
			case chance == 0:
				transfer.DebitAccountID.Lo = 3 // does not exist: the id dies
			case chance == 1 && op > 600: // an id that is rolled back comes again, below the highest
				transfer.Flags = accounting.TransferLinked
			}
			*(*accounting.Transfer)(pointerOf(event)) = transfer
		})
		if op == 600 && w.forest.filter.Generations() > 0 {
			t.Error("ids of a counter are in the filter of all ids")
		}
		for _, r := range w.forest.levels.Tree(storage.TreeTransferID).Runs() {
			if r.IsCovered() {
				covered++
			} else {
				uncovered++
			}
		}
		generationsMax = max(generationsMax, w.forest.filter.Generations())
		if random.IntN(100) == 0 && w.newest.Op > 0 {
			w = restart(t, w, log)
			pair.Reopened(w.forest)
		}
	}
	for steps := 0; w.forest.levels.IsCovering(); steps++ {
		w.cover(1)
		if steps > 100_000 {
			t.Fatal("a run that is wanted is never covered")
		}
	}
	if covered == 0 || uncovered == 0 || generationsMax < 2 {
		t.Errorf("%d runs were covered, %d were not, %d generations: the test shows nothing", covered, uncovered, generationsMax)
	}
}
