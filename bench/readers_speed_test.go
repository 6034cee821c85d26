package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

const (
	readersBatches   = 250      // of 8189 transfers behind the queries
	readersBusy      = 4        // accounts with more transfers than a reply has room for
	readersColdBytes = 32 << 20 // a grid cache of a fraction of what the queries read
)

// readersOptions of the transfers behind the queries: an account that is not busy has some 400 of
// them, nearly all on pages of their own.
func readersOptions() Options {
	o := DefaultOptions()
	o.IDOrder, o.AccountCountHot, o.TransferHotPercent = IDOrderRandom, readersBusy, 5
	return o
}

// loadSearched loads an execution with transfers whose fields have few values, as in payments.
func loadSearched(b *testing.B, cacheBytes uint64) (*execution, *builder) {
	e, builder := newExecutionCached(b, cacheBytes), newBuilder(newPlan(readersOptions()))
	e.load(builder, 0)
	for batch := range uint64(readersBatches) {
		transfers := client.View[client.Transfer](e.body())[:8189]
		builder.transfers(batch, batch*8189, transfers)
		for i := range transfers {
			t := &transfers[i]
			t.UserData64, t.UserData32, t.Code = 1+t.UserData64%campaignsCount, 1+t.UserData32%shopsCount, 1+t.Code%codesCount
		}
		e.commit(wire.OperationCreateTransfers, 8189)
	}
	e.settle()
	return e, builder
}

// readerQueries are the kinds of queries. fill writes the event of the query with this number.
var readerQueries = []struct {
	name      string
	operation wire.Operation
	fill      func(b *builder, number uint64, random *rand.Rand, event unsafe.Pointer)
}{
	{"newest-20", wire.OperationGetAccountTransfers, accountQuery(newestRows, accounting.FilterReversed, readersBusy)},
	{"account-400", wire.OperationGetAccountTransfers, accountQuery(8189, 0, readersBusy)},
	{"account-8189", wire.OperationGetAccountTransfers, accountQuery(8189, 0, 0)},
	{"balances-400", wire.OperationGetAccountBalances, accountQuery(8189, 0, readersBusy)},
	{"search-2-fields", wire.OperationQueryTransfers, func(_ *builder, _ uint64, random *rand.Rand, event unsafe.Pointer) {
		*(*client.QueryFilter)(event) = client.QueryFilter{UserData32: 1 + random.Uint32N(shopsCount),
			Code: 1 + uint16(random.Uint32N(codesCount)), Limit: 8189}
	}},
	{"search-3-fields", wire.OperationQueryTransfers, func(_ *builder, _ uint64, random *rand.Rand, event unsafe.Pointer) {
		*(*client.QueryFilter)(event) = client.QueryFilter{UserData64: 1 + random.Uint64N(campaignsCount),
			UserData32: 1 + random.Uint32N(shopsCount), Code: 1 + uint16(random.Uint32N(codesCount)), Limit: 8189}
	}},
	{"range-8189", wire.OperationQueryTransfers, func(_ *builder, _ uint64, random *rand.Rand, event unsafe.Pointer) {
		*(*client.QueryFilter)(event) = client.QueryFilter{Ledger: ledgerNumber, TimestampMin: readersMoment(random), Limit: 8189}
	}},
	{"events-2730", wire.OperationGetChangeEvents, func(_ *builder, _ uint64, random *rand.Rand, event unsafe.Pointer) {
		*(*client.ChangeEventsFilter)(event) = client.ChangeEventsFilter{TimestampMin: readersMoment(random), Limit: 2730}
	}},
}

// readersMoment is a timestamp of the load, not of its last batches.
func readersMoment(random *rand.Rand) uint64 {
	const perBatch = 10_000 // of execution.begin
	return 1_700_000_000_000_000_000 + 10*perBatch + random.Uint64N((readersBatches-20)*perBatch)
}

// accountQuery asks for the transfers of an account that is busy (first 0), or of one that is not.
func accountQuery(limit uint32, flags accounting.AccountFilterFlags, first uint64) func(*builder, uint64, *rand.Rand, unsafe.Pointer) {
	return func(b *builder, number uint64, _ *rand.Rand, event unsafe.Pointer) {
		index := number % readersBusy
		if first > 0 {
			index = first + number*7919%(b.options.AccountCount-first) // no account twice, and no neighbours
		}
		*(*client.AccountFilter)(event) = client.AccountFilter{AccountID: b.accountID(index), Limit: limit,
			Flags: flags | accounting.FilterDebits | accounting.FilterCredits}
	}
}

// BenchmarkReaders is what queries cost the core that executes them, behind two million transfers,
// on a disk without delay. Warm: the same query again and again. Cold: other queries each time, and
// a cache that holds a fraction of what they read. The limit is copying the results.
func BenchmarkReaders(b *testing.B) {
	for _, warmth := range []struct {
		name       string
		cacheBytes uint64
	}{{"warm", cacheBytes}, {"cold", readersColdBytes}} {
		b.Run(warmth.name, func(b *testing.B) {
			owner := newOwner(b)
			var e *execution
			var builder *builder
			owner.do(func() { e, builder = loadSearched(b, warmth.cacheBytes) })
			e.on = owner.do
			number := uint64(0)
			for kind, query := range readerQueries {
				b.Run(query.name, func(b *testing.B) {
					random := rand.New(rand.NewPCG(1, uint64(kind)))
					rows, bytes, calls := 0, 0, 0
					ask := func() {
						number++
						if warmth.name == "warm" {
							number = 1
							random = rand.New(rand.NewPCG(1, uint64(kind)))
						}
						query.fill(builder, number, random, unsafe.Pointer(unsafe.SliceData(e.body())))
						results := e.ask(query.operation)
						bytes += len(results)
						rows += len(results) / int(query.operation.ResultBytes())
						calls++
					}
					owner.do(ask) // what follows is warm, if it is the same
					e.b = b
					reads := e.disk.reads
					rows, bytes, calls = 0, 0, 0
					e.measure(1, "query", func() { owner.do(ask) })
					b.ReportMetric(float64(rows)/float64(calls), "rows/query")
					b.ReportMetric(float64(rows)/float64(e.spentNs[0])*1e9, "rows/s/core")
					b.ReportMetric(float64(e.spentNs[0])/float64(max(rows, 1)), "ns/row")
					b.ReportMetric(float64(e.disk.reads-reads)/float64(calls), "reads/query")
					share(b, "copy", limitCopy()*float64(bytes), float64(e.spentNs[0]))
				})
			}
		})
	}
}

// owner is a goroutine on a thread of its own. Stages have coroutines, which stay on the thread
// that made them, and every benchmark below another one is a goroutine of its own.
type owner struct {
	work chan func()
	done chan struct{}
}

func newOwner(b *testing.B) *owner {
	o := &owner{work: make(chan func()), done: make(chan struct{})}
	go func() {
		for work := range o.work {
			work()
			o.done <- struct{}{}
		}
		close(o.done)
	}()
	b.Cleanup(func() {
		close(o.work)
		<-o.done
	})
	return o
}

// do runs work on the owner's thread.
func (o *owner) do(work func()) {
	o.work <- work
	<-o.done
}

// ask is commit of one query, also of an operation that knows no batches.
func (e *execution) ask(operation wire.Operation) []byte {
	e.begin(operation, 1)
	for !e.ended() {
		e.turn()
	}
	if operation.IsMultiBatch() {
		return e.results(operation)
	}
	frame := e.slots.Bytes(e.replySlot)
	return frame[wire.HeaderBytes:wire.HeaderOf(frame).SizeBytes()]
}

// BenchmarkReadersBesideWriters is what heavy readers cost writers on a whole server, that of
// LEDGER_BIN, behind a million transfers. Readers and writers share the machine with the server.
func BenchmarkReadersBesideWriters(b *testing.B) {
	binary := os.Getenv("LEDGER_BIN")
	if binary == "" {
		b.Skip("LEDGER_BIN names no server")
	}
	b.Chdir(benchmarkDirectory(b))
	for _, batch := range []uint32{1, 8189} {
		for _, readers := range []uint32{0, 1, 4} {
			b.Run(fmt.Sprintf("batch-%d/readers-%d", batch, readers), func(b *testing.B) {
				var rate, p50, p99, cpu, rows float64
				for b.Loop() {
					server, err := StartServer(context.Background(), ServerOptions{Binary: binary})
					if err != nil {
						b.Fatal(err)
					}
					o := DefaultOptions()
					o.Addresses, o.QueryCount, o.TransferCount = []string{server.Address}, 0, 1_000_000
					_, err = Run(context.Background(), o, nil)
					var r *Result
					cpuNs := server.CPUNs()
					if err == nil {
						o.ReadersCount, o.TransferBatchCount = readers, batch
						if batch == 1 {
							o.TransferCount, o.ClientsCount = 5000, 4
						}
						r, err = Run(context.Background(), o, nil)
					}
					cpuNs = server.CPUNs() - cpuNs
					_, stopErr := server.Stop()
					if err != nil || stopErr != nil {
						b.Fatal(err, stopErr)
					}
					rate += r.Transfers.RatePerSecond
					p50 += float64(r.Transfers.Latency.At(50))
					p99 += float64(r.Transfers.Latency.At(99))
					cpu += float64(cpuNs) / float64(o.TransferCount)
					if r.Readers != nil {
						rows += r.Readers.RatePerSecond
					}
				}
				n := float64(b.N)
				b.ReportMetric(rate/n, "transfers/s")
				b.ReportMetric(p50/n/1000, "p50-us")
				b.ReportMetric(p99/n/1000, "p99-us")
				b.ReportMetric(cpu/n, "server-cpu-ns/transfer")
				b.ReportMetric(rows/n, "reader-rows/s")
			})
		}
	}
}
