package bench

import (
	"context"
	"fmt"
	"testing"

	"ledger/client"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/wire"
)

// Two stages together, on one thread as on a small machine, the others played: what a pair costs
// beyond the sum of its parts, or saves by working at the same time, shows here and nowhere else.
// Apply and compact are BenchmarkApply; all together is BenchmarkServer.

// BenchmarkNetConsensus is a request's way over loopback into the order of requests, and its
// reply's way back. The limit is the same bytes between two bare sockets, with the checksums on
// both sides.
func BenchmarkNetConsensus(b *testing.B) {
	for _, kernel := range kernels {
		for _, eventsCount := range eventsCounts {
			b.Run(fmt.Sprintf("%s/events=%d", kernel.name, eventsCount), func(b *testing.B) {
				o := newOrder(b, stages.Net)
				address, syscalls := runNet(b, newKernel(b, kernel.make), o.slots, o.memory, o.toNet, o.fromNet, o.turn)
				session, err := client.Open(context.Background(), client.Options{Addresses: []string{address}})
				if err != nil {
					b.Fatal(err)
				}
				defer session.Close()
				request, reply := client.NewMessage(), client.NewMessage()
				bodyBytes := request.EndBatch(wire.OperationCreateTransfers, eventsCount)
				bare := bareLoopback(b, wire.HeaderBytes+bodyBytes)
				checksums := (2*limitAEGIS() + limitBLAKE3()) * float64(bodyBytes)
				b.SetBytes(int64(bodyBytes))
				before := syscalls.Load()
				for b.Loop() {
					if _, err := session.Do(context.Background(), wire.OperationCreateTransfers, request, bodyBytes, reply); err != nil {
						b.Fatal(err)
					}
				}
				ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(float64(syscalls.Load()-before)/float64(b.N), "syscalls/request")
				share(b, "loopback+checksums", bare+checksums, ns)
			})
		}
	}
}

// BenchmarkConsensusJournal orders a round of requests and makes it durable in a real file. The
// limit is the disk's: two bare durable writes, of the prepare and of its header's sector.
func BenchmarkConsensusJournal(b *testing.B) {
	for _, c := range []struct{ clients, events int }{{1, 1}, {32, 1}, {1, 8189}} {
		b.Run(fmt.Sprintf("clients=%d/events=%d", c.clients, c.events), func(b *testing.B) {
			lockThread()
			o := newOrder(b, stages.Journal)
			log := newLog(b, kernels[0].make, o.limits, o.slots, o.memory, o.toJournal, o.journal)
			o.register(c.clients, log.turn)
			body := bodyOf(wire.OperationCreateTransfers, c.events)
			sum, checksum := prepare.Sum(body), wire.ChecksumOf(body)
			prepareBytes := prepare.HeaderBytes + len(body)
			if c.clients > 1 {
				prepareBytes = prepare.HeaderBytes + c.clients*(len(body)+prepare.EntryBytes)
			}
			bare := log.bare(uint32(prepareBytes+4095) &^ 4095)
			b.ReportAllocs()
			for b.Loop() {
				for i := range o.clients {
					o.request(i, wire.OperationCreateTransfers, body, sum, checksum)
				}
				o.settleWith(log.turn)
			}
			ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(ns/float64(c.clients), "ns/request")
			share(b, "disk", bare, ns)
		})
	}
}

// BenchmarkConsensusApply orders full batches and executes them, with compaction behind, on a disk
// without delay. The limit is the bare work on tables in memory.
func BenchmarkConsensusApply(b *testing.B) {
	for _, order := range []IDOrder{IDOrderSequential, IDOrderRandom} {
		b.Run(string(order), func(b *testing.B) {
			o := newOrder(b, stages.Apply)
			e := newExecutionOf(b, o.slots, o.memory, cacheBytes, o.toApply, o.apply)
			turn := func(bool) { e.turn() }
			o.register(1, turn)
			options := DefaultOptions()
			options.IDOrder = order
			builder := newBuilder(newPlan(options))
			var busyNs int64
			// send orders a request with so many events, which fill has written; making them is not
			// measured.
			send := func(operation wire.Operation, eventsCount int, fill func(events []byte)) {
				body := bodyOf(operation, eventsCount)
				fill(body)
				sum, checksum := prepare.Sum(body), wire.ChecksumOf(body)
				o.request(0, operation, body, sum, checksum)
				before := threadTime()
				o.settleWith(turn)
				busyNs += threadTime() - before
			}
			for first := uint64(0); first < options.AccountCount; first += 8189 {
				count := min(8189, options.AccountCount-first)
				send(wire.OperationCreateAccounts, int(count), func(events []byte) {
					builder.accounts(first, first, client.View[client.Account](events[:count*wire.AccountBytes]))
				})
			}
			batch := uint64(0)
			next := func() {
				send(wire.OperationCreateTransfers, 8189, func(events []byte) {
					builder.transfers(batch, batch*8189, client.View[client.Transfer](events[:8189*wire.TransferBytes]))
				})
				batch++
			}
			bar := uint64(e.limits.BarOps)
			for range 2 * bar { // so that flushes are under way
				next()
			}
			busyNs, e.spentNs = 0, [2]int64{}
			for b.Loop() {
				for range bar {
					next()
				}
			}
			n := float64(b.N) * float64(bar) * 8189
			b.ReportMetric(float64(busyNs)/float64(b.N), "ns/op")
			b.ReportMetric(float64(busyNs-e.spentNs[1])/n, "consensus+apply-ns/transfer")
			b.ReportMetric(float64(e.spentNs[1])/n, "compact-ns/transfer")
			share(b, "table", limitTable(), float64(busyNs-e.spentNs[1])/n)
		})
	}
}

// BenchmarkJournalApply executes full batches while the log writes them to a real file. The limit
// is the longer of the two: the bare writes, or the bare work on tables in memory. What compaction
// does then is not measured.
func BenchmarkJournalApply(b *testing.B) {
	for _, kernel := range kernels {
		b.Run(kernel.name, func(b *testing.B) {
			e := newExecution(b)
			to, from := ring.NewSPSC[stages.ConsensusToJournal](64), ring.NewSPSC[stages.JournalToConsensus](64)
			l := e.limits
			l.JournalSlotsCount = 256
			log := newLog(b, kernel.make, l, e.slots, e.memory, to, from)
			options := DefaultOptions()
			options.IDOrder = IDOrderSequential
			builder := newBuilder(newPlan(options))
			batch := uint64(64)
			e.load(builder, batch)
			disk := log.bare(fullBytes)
			var executedNs, durableNs, bothNs int64
			for b.Loop() {
				b.StopTimer()
				builder.transfers(batch, batch*8189, client.View[client.Transfer](e.body())[:8189])
				batch++
				b.StartTimer()
				begunNs := int64(b.Elapsed())
				e.begin(wire.OperationCreateTransfers, 8189)
				to.PushOne(stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: e.slot, Op: e.op})
				log.turn(false) // on its way to the disk before execution begins
				for isExecuted, isDurable := false, false; !isExecuted || !isDurable; {
					if !isExecuted {
						e.drivers[0].Turn(e.timestamp, e.timestamp)
						if isExecuted = e.ended(); isExecuted {
							executedNs += int64(b.Elapsed()) - begunNs
						}
					}
					log.turn(isExecuted)
					if answer, ok := from.PopOne(); ok {
						if answer.Kind != stages.JournalAppended {
							b.Fatal(answer.Fault)
						}
						isDurable = true
						durableNs += int64(b.Elapsed()) - begunNs
					}
				}
				bothNs += int64(b.Elapsed()) - begunNs
				b.StopTimer()
				e.settle() // compaction has a thread of its own
				b.StartTimer()
			}
			n := float64(b.N)
			b.ReportMetric(float64(executedNs)/n, "executed-ns/batch")
			b.ReportMetric(float64(durableNs)/n, "durable-ns/batch")
			share(b, "disk|table", max(disk, limitTable()*8189), float64(bothNs)/n)
		})
	}
}
