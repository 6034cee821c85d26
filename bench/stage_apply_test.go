package bench

import (
	"testing"

	"ledger/accounting"
	"ledger/client"
	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/apply"
	"ledger/stages/compact"
	"ledger/storage"
	"ledger/wire"
)

// memoryDisk is a disk without delay: what is left to measure is the stages' own work.
type memoryDisk struct {
	data  []byte
	done  []ports.DiskCompletion
	reads uint64
}

func newMemoryDisk(data []byte) *memoryDisk {
	return &memoryDisk{data: data, done: make([]ports.DiskCompletion, 0, 256)}
}

func (d *memoryDisk) Read(tag, offset uint64, buffer []byte) {
	d.reads++
	d.end(tag, copy(buffer, d.data[offset:]))
}
func (d *memoryDisk) Write(tag, offset uint64, buffer []byte, _ ports.WriteFlags) {
	d.end(tag, copy(d.data[offset:], buffer))
}
func (d *memoryDisk) Sync(tag uint64)           { d.end(tag, 0) }
func (d *memoryDisk) Allocate(tag, _, _ uint64) { d.end(tag, 0) }
func (d *memoryDisk) end(tag uint64, result int) {
	d.done = append(d.done, ports.DiskCompletion{Tag: tag, Result: int32(result)})
}
func (d *memoryDisk) Poll(out []ports.DiskCompletion) int {
	count := copy(out, d.done)
	d.done = d.done[:copy(d.done, d.done[count:])]
	return count
}

// execution is apply and compact taking turns on one thread, each with its time.
type execution struct {
	b         *testing.B
	limits    limits.Limits
	memory    *arena.Arena
	slots     *stages.Slots
	slot      stages.Slot
	replySlot stages.Slot
	drivers   [2]stages.Driver // apply, compact
	disk      *memoryDisk      // of apply
	spentNs   [2]int64
	to        *ring.SPSC[stages.ConsensusToApply]
	from      *ring.SPSC[stages.ApplyToConsensus]
	on        func(work func()) // runs work on the thread that made the stages
	sessions  stages.Sessions
	newestOp  uint64
	op        uint64
	timestamp uint64
}

const gridBytes = 16 << 30 // reserved; what is not written is not there

const cacheBytes = 256 << 20

func newExecution(b *testing.B) *execution { return newExecutionCached(b, cacheBytes) }

// newExecutionCached has a grid cache of so many bytes.
func newExecutionCached(b *testing.B, cacheBytes uint64) *execution {
	slots := &stages.Slots{}
	memory := arena.New()
	b.Cleanup(memory.Close)
	for class := range slots.Pools {
		slots.Pools[class] = arena.NewPool(memory, 4, fullBytes, "slots")
	}
	e := newExecutionOf(b, slots, memory, cacheBytes, ring.NewSPSC[stages.ConsensusToApply](64), ring.NewSPSC[stages.ApplyToConsensus](64))
	e.slot, e.replySlot = e.slots.Get(stages.SlotPrepare), e.slots.Get(stages.SlotReply)
	return e
}

// newExecutionOf has slots and rings that others have as well.
func newExecutionOf(b *testing.B, slots *stages.Slots, memory *arena.Arena, cacheBytes uint64,
	to *ring.SPSC[stages.ConsensusToApply], from *ring.SPSC[stages.ApplyToConsensus]) *execution {
	lockThread()
	e := &execution{b: b, limits: limits.Production(), memory: memory, slots: slots, timestamp: 1_700_000_000_000_000_000, to: to, from: from}
	e.limits.CacheGridBytes = cacheBytes
	data := memory.Bytes(gridBytes, 4096, "disk")
	applyDisk, compactDisk := newMemoryDisk(data), newMemoryDisk(data)
	applyStage := apply.New(e.limits, wire.U128{}, e.slots, storage.Checkpoint{}, 0, applyDisk, memory)
	e.disk = applyDisk
	compactStage := compact.New(e.limits, wire.U128{}, 0, nil, memory)
	toCompact, fromCompact := ring.NewSPSC[stages.ApplyToCompact](256), ring.NewSPSC[stages.CompactToApply](256)
	e.drivers[0] = apply.NewDriver(applyStage, applyDisk, e.to, stages.Sender[stages.ApplyToConsensus]{Ring: e.from},
		[]apply.Worker{{To: stages.Sender[stages.ApplyToCompact]{Ring: toCompact}, From: fromCompact}})
	e.drivers[1] = compact.NewDriver(compactStage, compactDisk, toCompact, stages.Sender[stages.CompactToApply]{Ring: fromCompact})
	e.on = func(work func()) { work() }
	b.Cleanup(func() {
		e.on(func() {
			applyStage.Stop()
			compactStage.Stop()
		})
	})
	return e
}

// turn gives apply and compact a turn each, and measures it.
func (e *execution) turn() {
	for i, driver := range e.drivers {
		before := threadTime()
		driver.Turn(e.timestamp, e.timestamp)
		e.spentNs[i] += threadTime() - before
	}
}

// body is where the next request's events go.
func (e *execution) body() []byte { return e.slots.Bytes(e.slot)[prepare.HeaderBytes:] }

// commit executes a request with so many events from body, and returns its results.
func (e *execution) commit(operation wire.Operation, eventsCount int) []byte {
	e.begin(operation, eventsCount)
	for !e.ended() {
		e.turn()
	}
	return e.results(operation)
}

// begin hands the request to apply; the op's message lies in e.slot.
func (e *execution) begin(operation wire.Operation, eventsCount int) {
	body := e.body()[:eventsCount*int(operation.EventBytes())]
	if operation.IsMultiBatch() {
		encoder := wire.NewBatchEncoder(e.body()[:wire.BodyBytesMax], operation.EventBytes(), 1)
		encoder.EndBatch(eventsCount)
		body = encoder.Finish()
	}
	e.op++
	e.timestamp += 10_000
	prepare.Put(e.slots.Bytes(e.slot), &prepare.Fields{
		Op: e.op, Timestamp: e.timestamp, SizeBytes: uint32(prepare.HeaderBytes + len(body)), RequestLimit: fullBytes, RequestsCount: 1,
		Operation: operation, Command: prepare.CommandPrepare, Client: wire.U128From(1), Request: uint32(e.op), Release: wire.ReleaseCurrent,
	}, wire.Checksum{}) // apply trusts what consensus and journal have verified
	e.to.PushOne(stages.ConsensusToApply{Kind: stages.ApplySequenced, Slot: e.slot, Op: e.op})
	e.to.PushOne(stages.ConsensusToApply{Kind: stages.ApplyCommit, Slot: e.slot, ReplySlot: e.replySlot, Op: e.op})
}

// ended takes what apply answers, plays consensus, and tells whether the op is executed.
func (e *execution) ended() (done bool) {
	for answer, ok := e.from.PopOne(); ok; answer, ok = e.from.PopOne() {
		switch answer.Kind {
		case stages.ApplyCommitted:
			done = true
			if e.limits.IsTrigger(answer.Op) && answer.Op > e.limits.CheckpointTrigger(e.newestOp) {
				e.sessions = stages.Sessions{Op: answer.Op, Records: [][]byte{make([]byte, 4096)}}
				e.to.PushOne(stages.ConsensusToApply{Kind: stages.ApplySessions, Op: answer.Op, Sessions: &e.sessions})
			}
		case stages.ApplyCheckpointReady:
			e.newestOp = answer.Checkpoint.Op
			e.to.PushOne(stages.ConsensusToApply{Kind: stages.ApplyCheckpointDurable, Op: answer.Op})
		case stages.ApplyFault:
			e.b.Fatal(answer.Fault)
		}
	}
	return done
}

// results of the op that has ended.
func (e *execution) results(operation wire.Operation) []byte {
	frame := e.slots.Bytes(e.replySlot)
	batches, fault := wire.DecodeBatches(frame[wire.HeaderBytes:wire.HeaderOf(frame).SizeBytes()], operation.ResultBytes())
	if fault != "" {
		e.b.Fatal(fault)
	}
	results, _ := batches.Next()
	return results
}

// load creates accounts and so many batches of transfers.
func (e *execution) load(builder *builder, batches uint64) {
	accounts := builder.options.AccountCount
	for first := uint64(0); first < accounts; first += 8189 {
		count := min(8189, accounts-first)
		builder.accounts(first, first, client.View[client.Account](e.body())[:count])
		e.commit(wire.OperationCreateAccounts, int(count))
	}
	for batch := range batches {
		e.transfers(builder, batch)
	}
}

// settle lets compaction end what it has begun.
func (e *execution) settle() {
	for busy := true; busy; {
		busy = false
		for _, driver := range e.drivers {
			busy = driver.Turn(e.timestamp, e.timestamp) || busy
		}
	}
}

func (e *execution) transfers(builder *builder, batch uint64) {
	builder.transfers(batch, batch*8189, client.View[client.Transfer](e.body())[:8189])
	results := client.View[client.CreateTransferResult](e.commit(wire.OperationCreateTransfers, 8189))
	if len(results) != 8189 || results[0].Status != accounting.TransferStatusCreated {
		e.b.Fatalf("batch %d: %d results, the first %+v", batch, len(results), results[:1])
	}
}

// BenchmarkApply executes bars of full batches, with all that follows from them: indexes, a flush,
// merges, checkpoints, on a disk without delay. What apply and compact spend is told apart. The
// limit is the bare work on tables in memory.
func BenchmarkApply(b *testing.B) {
	for _, workload := range []struct {
		name   string
		change func(*Options)
	}{
		{"sequential", func(o *Options) { o.IDOrder = IDOrderSequential }},
		{"random", func(o *Options) { o.IDOrder = IDOrderRandom }},
		{"reversed", func(o *Options) { o.IDOrder = IDOrderReversed }},
		{"zipfian", func(o *Options) { o.IDOrder, o.AccountDistribution = IDOrderSequential, DistributionZipfian }},
		{"million-accounts", func(o *Options) { o.IDOrder, o.AccountCount = IDOrderSequential, 1_000_000 }},
		{"no-history", func(o *Options) { o.IDOrder, o.FlagHistory = IDOrderSequential, false }},
		{"pending", func(o *Options) { o.IDOrder, o.TransferPending = IDOrderSequential, true }},
	} {
		b.Run(workload.name, func(b *testing.B) {
			o := DefaultOptions()
			workload.change(&o)
			builder := newBuilder(newPlan(o))
			e := newExecution(b)
			batch, bar := uint64(64), uint64(e.limits.BarOps) // some bars before, so that flushes and merges are under way
			e.load(builder, batch)
			e.measure(float64(bar)*8189, "transfer", func() {
				for range bar {
					e.transfers(builder, batch)
					batch++
				}
			})
			share(b, "table", limitTable()*float64(bar)*8189, float64(e.spentNs[0])/float64(b.N))
		})
	}
}

// measure runs b's loop on one thread, and reports what the stages spent, per unit. Making the
// requests is not in it.
func (e *execution) measure(units float64, unit string, body func()) {
	e.spentNs = [2]int64{}
	e.b.ReportAllocs()
	for e.b.Loop() {
		body()
	}
	n := float64(e.b.N)
	e.b.ReportMetric(float64(e.spentNs[0])/n/units, "apply-ns/"+unit)
	e.b.ReportMetric(float64(e.spentNs[1])/n/units, "compact-ns/"+unit)
	e.b.ReportMetric(float64(e.spentNs[0]+e.spentNs[1])/n, "ns/op")
}

// BenchmarkApplyOperations is every other operation, over 800,000 transfers. Lookups and queries
// are held against copying what they return.
func BenchmarkApplyOperations(b *testing.B) {
	const batches = 100
	o := DefaultOptions()
	o.IDOrder = IDOrderSequential
	builder := newBuilder(newPlan(o))
	random := seededForBenchmark()
	filter := func() client.AccountFilter {
		return client.AccountFilter{AccountID: builder.accountID(random.Uint64N(o.AccountCount)), Limit: 8189, Flags: 3}
	}
	nextAccount := o.AccountCount
	for _, operation := range []struct {
		name   string
		number wire.Operation
		count  int
		fill   func(body []byte)
	}{
		{"create-accounts", wire.OperationCreateAccounts, 8189, func(body []byte) {
			builder.accounts(nextAccount, nextAccount, client.View[client.Account](body)[:8189])
			nextAccount += 8189
		}},
		{"lookup-accounts", wire.OperationLookupAccounts, 8189, func(body []byte) {
			for i := range client.View[wire.U128](body)[:8189] {
				client.View[wire.U128](body)[i] = builder.accountID(random.Uint64N(o.AccountCount))
			}
		}},
		{"lookup-transfers", wire.OperationLookupTransfers, 8189, func(body []byte) {
			for i := range client.View[wire.U128](body)[:8189] {
				client.View[wire.U128](body)[i] = builder.id(random.Uint64N(batches * 8189))
			}
		}},
		{"get-account-transfers", wire.OperationGetAccountTransfers, 1, func(body []byte) {
			client.View[client.AccountFilter](body)[0] = filter()
		}},
		{"get-account-balances", wire.OperationGetAccountBalances, 1, func(body []byte) {
			client.View[client.AccountFilter](body)[0] = filter()
		}},
		{"query-accounts", wire.OperationQueryAccounts, 1, func(body []byte) {
			client.View[client.QueryFilter](body)[0] = client.QueryFilter{Ledger: ledgerNumber, Limit: 8189}
		}},
		{"query-transfers", wire.OperationQueryTransfers, 1, func(body []byte) {
			client.View[client.QueryFilter](body)[0] = client.QueryFilter{Code: uint16(1 + random.Uint32N(60_000)), Limit: 8189}
		}},
	} {
		b.Run(operation.name, func(b *testing.B) {
			e := newExecution(b)
			e.load(builder, batches)
			e.settle()
			rows, bytes := 0, 0
			e.measure(1, "request", func() {
				operation.fill(e.body())
				results := e.commit(operation.number, operation.count)
				bytes += len(results)
				rows += len(results) / int(operation.number.ResultBytes())
			})
			b.ReportMetric(float64(rows)/float64(b.N), "rows/request")
			if rows > 0 {
				b.ReportMetric(float64(e.spentNs[0])/float64(rows), "apply-ns/row")
			}
			if operation.number.IsReadOnly() {
				share(b, "copy", limitCopy()*float64(bytes), float64(e.spentNs[0]))
			} else {
				share(b, "table", limitTable()*8189, float64(e.spentNs[0])/float64(b.N))
			}
		})
	}
}
