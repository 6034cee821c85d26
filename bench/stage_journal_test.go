package bench

import (
	"runtime"
	"testing"

	"ledger/arena"
	"ledger/limits"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/journal"
	"ledger/storage/datafile"
	"ledger/wire"
)

// BenchmarkJournalAppend makes one prepare after the other durable in a real file: its bytes, then its header's sector. The limit
// is the disk's: two bare durable writes of the same sizes.
func BenchmarkJournalAppend(b *testing.B) {
	for _, kernel := range kernels {
		for _, sizeBytes := range sizes {
			b.Run(kernel.name+"/"+sizeName(sizeBytes), func(b *testing.B) {
				thread := newKernel(b, kernel.make)
				memory := arena.New()
				b.Cleanup(memory.Close)
				l := limits.Production()
				l.JournalSlotsCount = 64 // more would only take longer to make
				layout := datafile.NewLayout(&l)
				file := openFile(b, layout.GridAt, memory)
				slots := &stages.Slots{}
				slots.Pools[stages.SlotPrepare] = arena.NewPool(memory, l.PipelineOpsMax+2, fullBytes, "prepare slots")
				headers := memory.Bytes(uint64(l.JournalSlotsCount)*limits.HeaderBytes, 4096, "headers")
				for slot := range uint64(l.JournalSlotsCount) {
					prepare.PutReserved(headers[slot*limits.HeaderBytes:(slot+1)*limits.HeaderBytes], wire.U128{}, slot)
				}
				bare := bareWrite(b, file, memory.Bytes(uint64(sizeBytes), 4096, "bare"), 32) +
					bareWrite(b, file, memory.Bytes(4096, 4096, "bare"), 32)

				to, from := ring.NewSPSC[stages.ConsensusToJournal](64), ring.NewSPSC[stages.JournalToConsensus](64)
				driver := journal.NewDriver(journal.New(l, wire.U128{}, slots, headers, memory), thread.Disk(file.Fd, 64), to,
					stages.Sender[stages.JournalToConsensus]{Ring: from})
				slot := slots.Get(stages.SlotPrepare)
				fields := prepare.Fields{SizeBytes: sizeBytes, RequestsCount: 1, Operation: wire.OperationNoop, Command: prepare.CommandPrepare}
				sum := prepare.Sum(slots.Bytes(slot)[prepare.HeaderBytes:sizeBytes])

				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				if err := thread.Start(); err != nil {
					b.Fatal(err)
				}
				b.Cleanup(thread.Close)
				syscalls := thread.SyscallCount()
				b.ReportAllocs()
				b.SetBytes(int64(sizeBytes))
				for b.Loop() {
					fields.Op++
					prepare.Put(slots.Bytes(slot), &fields, sum)
					to.PushOne(stages.ConsensusToJournal{Kind: stages.JournalAppend, Slot: slot, Op: fields.Op})
					for {
						busy := driver.Turn(0, 0)
						if answer, ok := from.PopOne(); ok {
							if answer.Kind != stages.JournalAppended {
								b.Fatal(answer.Fault)
							}
							break
						}
						if thread.Turn() == 0 && !busy {
							thread.Wait(1_000_000_000)
						}
					}
				}
				b.ReportMetric(float64(thread.SyscallCount()-syscalls)/float64(b.N), "syscalls/append")
				share(b, "disk", bare, float64(b.Elapsed().Nanoseconds())/float64(b.N))
			})
		}
	}
}
