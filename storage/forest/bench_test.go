package forest

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// benchmarkLoad says what benchmarkTransfers does.
type benchmarkLoad struct {
	accounts  uint64
	randomIDs bool
	blind     bool // without Lookahead
	queries   bool
}

// benchmarkTransfers runs full batches of plain transfers between accounts through the rules.
// Compaction is done outside of the measured time: it has a core of its own.
func benchmarkTransfers(b *testing.B, load benchmarkLoad) {
	const batch = 8189
	accounts, randomIDs, lookahead, queries := load.accounts, load.randomIDs, !load.blind, load.queries
	l := limits.Production()
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 16<<30
	l.CacheGridBytes = 1 << 30
	w := newWorld(b, l, &memoryDisk{data: make([]byte, 0, 3<<30)}, storage.Checkpoint{})
	w.late = true
	machine := accounting.New(l, w.forest)
	random := rand.New(rand.NewPCG(1, 0))
	reply := wordBytes(make([]uint64, wire.BodyBytesMax/8))
	body := wordBytes(make([]uint64, wire.BodyBytesMax/8))
	now := uint64(1_700_000_000_000_000_000)
	execute := func(operation wire.Operation, body []byte) {
		now += 10_000_000
		request := accounting.Request{Operation: operation, Timestamp: now, RequestBytesMax: 1 << 20, Body: body}
		machine.Execute(&request, reply)
	}
	var account accounting.Account
	for first := uint64(0); first < accounts; first += 5000 {
		encoder := wire.NewBatchEncoder(body, 128, 1)
		for i := range uint64(5000) {
			account = accounting.Account{ID: accounting.U128{Lo: first + i + 1}, Ledger: 1, Code: 1, Flags: accounting.AccountHistory}
			*(*accounting.Account)(pointerOf(encoder.Free()[i*128:])) = account
		}
		encoder.EndBatch(5000)
		execute(wire.OperationCreateAccounts, encoder.Finish())
		w.ended()
	}
	id := uint64(0)
	build := func() []byte {
		encoder := wire.NewBatchEncoder(body, 128, 1)
		out := encoder.Free()
		for i := range batch {
			id++
			t := (*accounting.Transfer)(pointerOf(out[i*128:]))
			*t = accounting.Transfer{ID: accounting.U128{Lo: id}, Ledger: 1, Code: uint16(1 + random.IntN(65535)),
				Amount:         accounting.U128{Lo: 1 + random.Uint64N(1000)},
				DebitAccountID: accounting.U128{Lo: 1 + random.Uint64N(accounts)},
				UserData128:    accounting.U128{Lo: random.Uint64(), Hi: random.Uint64()},
				UserData64:     random.Uint64(), UserData32: random.Uint32()}
			if randomIDs {
				t.ID = accounting.U128{Lo: random.Uint64(), Hi: random.Uint64()}
			}
			t.CreditAccountID = accounting.U128{Lo: (t.DebitAccountID.Lo+random.Uint64N(accounts-1))%accounts + 1}
		}
		encoder.EndBatch(batch)
		return encoder.Finish()
	}
	for range 64 { // two bars: some trees, all pages touched
		request := build()
		if lookahead {
			w.forest.Lookahead(request)
		}
		execute(wire.OperationCreateTransfers, request)
		w.ended()
	}
	runtime.LockOSThread()
	var spentNs, bars, barsNs, barNsMax int64 // of this thread: the machine may be busy with other things
	for b.Loop() {
		request := build()
		start := threadNs()
		if lookahead {
			w.forest.Lookahead(request)
		}
		execute(wire.OperationCreateTransfers, request)
		spentNs += threadNs() - start
		start = threadNs()
		w.ended()
		if spent := threadNs() - start; l.IsBarEnd(w.op) {
			bars++
			barsNs += spent
			barNsMax = max(barNsMax, spent)
			if testing.Verbose() {
				b.Logf("bar %d: %d ms", w.op/32, spent/1e6)
			}
		}
	}
	b.ReportMetric(float64(barsNs)/1e6/float64(max(bars, 1)), "ms/bar-compaction")
	b.ReportMetric(float64(barNsMax)/1e6, "ms/bar-compaction-max")
	if queries {
		benchmarkQueries(b, w, machine, now, random, reply)
	}
	b.ReportMetric(float64(spentNs)/float64(b.N)/batch, "ns/transfer")
	c := w.forest.Counters()
	b.ReportMetric(float64(runsCount(&c)), "runs")
	b.ReportMetric(float64(c.BlocksAcquired), "blocks")
	b.ReportMetric(float64(c.PageWaits)*1e6/float64(w.forest.TransfersCount()), "reads/million")
	b.ReportMetric(float64(w.forest.TransfersCount()), "transfers")
	b.ReportMetric(float64(len(w.disk.data))/float64(w.forest.TransfersCount()), "file-B/transfer")
}

func threadNs() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		panic(err)
	}
	return now.Nano()
}

// Expected: about 200 ns: two accounts and one id found, 3 cache lines of row written.
func BenchmarkTransfersIncreasing(b *testing.B) {
	benchmarkTransfers(b, benchmarkLoad{accounts: 10_000})
}

// Expected: 50 ns more, for two accounts of two cache lines each that lie in no processor's cache,
// but are fetched many at once.
func BenchmarkTransfersManyAccounts(b *testing.B) {
	benchmarkTransfers(b, benchmarkLoad{accounts: 1_000_000})
}

// Expected: the same, and some 20 ns for each run of the id tree.
func BenchmarkTransfersRandom(b *testing.B) {
	benchmarkTransfers(b, benchmarkLoad{accounts: 10_000, randomIDs: true})
}

// Without the hint, for comparison.
func BenchmarkTransfersIncreasingBlind(b *testing.B) {
	benchmarkTransfers(b, benchmarkLoad{accounts: 10_000, blind: true})
}

// BenchmarkAccountQueries: how long 100 queries of one account each take, behind as many batches as
// -benchtime says.
// Expected: 10 µs for a transfer of the account that lies on a page of its own, which is read and
// verified.
func BenchmarkAccountQueries(b *testing.B) {
	benchmarkTransfers(b, benchmarkLoad{accounts: 10_000, queries: true})
}

func benchmarkQueries(b *testing.B, w *world, machine *accounting.Machine, now uint64, random *rand.Rand, reply []byte) {
	const queries = 100
	body := wordBytes(make([]uint64, 64))
	var spentNs, worstNs int64
	rows := 0
	for range queries {
		filter := accounting.AccountFilter{AccountID: accounting.U128{Lo: 1 + random.Uint64N(10_000)}, Limit: 8189, Flags: 3}
		encoder := wire.NewBatchEncoder(body, 128, 1)
		copy(encoder.Free(), unsafe.Slice((*byte)(unsafe.Pointer(&filter)), 128))
		encoder.EndBatch(1)
		start := threadNs()
		rows += machine.Execute(&accounting.Request{Operation: wire.OperationGetAccountTransfers, Timestamp: now, RequestBytesMax: 1 << 20,
			Body: encoder.Finish()}, reply) / 128
		spent := threadNs() - start
		spentNs += spent
		worstNs = max(worstNs, spent)
	}
	b.ReportMetric(float64(spentNs)/queries/1e6, "ms/query")
	b.ReportMetric(float64(worstNs)/1e6, "ms-worst")
	b.ReportMetric(float64(rows)/queries, "rows/query")
}

// BenchmarkPending: 30 % of the transfers are pending and expire after 1 to 5 seconds; pulses run
// when they are due. A batch takes 20 ms of the log's time. Expected: twice a plain transfer, as
// each pending one is executed and expires.
func BenchmarkPending(b *testing.B) {
	const accounts, batch = 10_000, 8189
	l := limits.Production()
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + 16<<30
	w := newWorld(b, l, &memoryDisk{data: make([]byte, 0, 3<<30)}, storage.Checkpoint{})
	w.late = true
	machine := accounting.New(l, w.forest)
	random := rand.New(rand.NewPCG(1, 0))
	reply := wordBytes(make([]uint64, wire.BodyBytesMax/8))
	body := wordBytes(make([]uint64, wire.BodyBytesMax/8))
	now := uint64(1_700_000_000_000_000_000)
	runtime.LockOSThread()
	var spentNs, worstNs int64
	execute := func(operation wire.Operation, body []byte) {
		request := accounting.Request{Operation: operation, Timestamp: now, RequestBytesMax: 1 << 20, Body: body}
		start := threadNs()
		if operation == wire.OperationCreateTransfers {
			w.forest.Lookahead(body)
		}
		machine.Execute(&request, reply)
		w.forest.Lookahead(nil)
		spent := threadNs() - start
		spentNs += spent
		worstNs = max(worstNs, spent)
		w.ended()
	}
	for first := 0; first < accounts; first += 5000 {
		now += 20_000_000
		encoder := wire.NewBatchEncoder(body, 128, 1)
		for i := range 5000 {
			account := accounting.Account{ID: accounting.U128{Lo: uint64(first + i + 1)}, Ledger: 1, Code: 1}
			*(*accounting.Account)(pointerOf(encoder.Free()[i*128:])) = account
		}
		encoder.EndBatch(5000)
		execute(wire.OperationCreateAccounts, encoder.Finish())
	}
	spentNs = 0
	id, pulses := uint64(0), 0
	for b.Loop() {
		now += 20_000_000
		encoder := wire.NewBatchEncoder(body, 128, 1)
		out := encoder.Free()
		for i := range batch {
			id++
			t := (*accounting.Transfer)(pointerOf(out[i*128:]))
			*t = accounting.Transfer{ID: accounting.U128{Lo: id}, Ledger: 1, Code: 1, Amount: accounting.U128{Lo: 1},
				DebitAccountID: accounting.U128{Lo: 1 + random.Uint64N(accounts)}}
			t.CreditAccountID = accounting.U128{Lo: t.DebitAccountID.Lo%accounts + 1}
			if random.IntN(10) < 3 {
				t.Flags, t.Timeout = accounting.TransferPending, 1+uint32(random.IntN(5))
			}
		}
		encoder.EndBatch(batch)
		execute(wire.OperationCreateTransfers, encoder.Finish())
		for machine.NextPulse() <= now {
			now += 8191
			execute(wire.OperationPulse, nil)
			pulses++
		}
	}
	c := w.forest.Counters()
	b.ReportMetric(float64(spentNs)/float64(b.N)/batch, "ns/transfer")
	b.ReportMetric(float64(worstNs)/1e6, "ms-worst")
	b.ReportMetric(float64(pulses), "pulses")
	b.ReportMetric(float64(c.PageWaits), "reads")
	b.ReportMetric(float64(len(w.disk.data))/float64(w.forest.TransfersCount()), "file-B/transfer")
}
