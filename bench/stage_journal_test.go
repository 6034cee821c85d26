package bench

import (
	"runtime"
	"testing"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/prepare"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/journal"
	"ledger/storage/datafile"
	"ledger/wire"
)

// log is the journal stage on a real file.
type log struct {
	b      *testing.B
	thread ports.Thread
	driver *journal.Driver
	file   *posix.DataFile
	memory *arena.Arena
}

// newLog makes the file and joins the stage with its rings. The caller is on the thread that will
// run it, locked.
func newLog(b *testing.B, make func() (ports.Thread, error), l limits.Limits, slots *stages.Slots, memory *arena.Arena,
	to *ring.SPSC[stages.ConsensusToJournal], from *ring.SPSC[stages.JournalToConsensus]) *log {
	j := &log{b: b, thread: newKernel(b, make), memory: memory}
	layout := datafile.NewLayout(&l)
	j.file = openFile(b, layout.GridAt, memory)
	headers := memory.Bytes(uint64(l.JournalSlotsCount)*limits.HeaderBytes, 4096, "headers")
	for slot := range uint64(l.JournalSlotsCount) {
		prepare.PutReserved(headers[slot*limits.HeaderBytes:(slot+1)*limits.HeaderBytes], wire.U128{}, slot)
	}
	j.driver = journal.NewDriver(journal.New(l, wire.U128{}, slots, headers, memory), j.thread.Disk(j.file.Fd, 64), to,
		stages.Sender[stages.JournalToConsensus]{Ring: from})
	if err := j.thread.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(j.thread.Close)
	return j
}

// bare is the disk's own time for a prepare of so many bytes, in whole sectors, and the sector of
// its header.
func (j *log) bare(sizeBytes uint32) float64 {
	return bareWrite(j.b, j.file, j.memory.Bytes(uint64(sizeBytes), 4096, "bare"), 32) +
		bareWrite(j.b, j.file, j.memory.Bytes(4096, 4096, "bare"), 32)
}

// turn gives the stage and the kernel their turns, and waits where neither has anything to do.
func (j *log) turn(mayWait bool) {
	busy := j.driver.Turn(0, 0)
	if j.thread.Turn() == 0 && !busy && mayWait {
		j.thread.Wait(1_000_000)
	}
}

// BenchmarkJournalAppend makes one prepare after the other durable in a real file: its bytes, then
// its header's sector. The limit is the disk's: two bare durable writes of the same sizes.
func BenchmarkJournalAppend(b *testing.B) {
	for _, kernel := range kernels {
		for _, sizeBytes := range sizes {
			b.Run(kernel.name+"/"+sizeName(sizeBytes), func(b *testing.B) {
				l := limits.Production()
				l.JournalSlotsCount = 64 // more would only take longer to make
				memory := arena.New()
				b.Cleanup(memory.Close)
				slots := &stages.Slots{}
				slots.Pools[stages.SlotPrepare] = arena.NewPool(memory, l.PipelineOpsMax+2, fullBytes, "prepare slots")
				to, from := ring.NewSPSC[stages.ConsensusToJournal](64), ring.NewSPSC[stages.JournalToConsensus](64)
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				log := newLog(b, kernel.make, l, slots, memory, to, from)
				thread, driver := log.thread, log.driver
				bare := log.bare(sizeBytes)
				slot := slots.Get(stages.SlotPrepare)
				fields := prepare.Fields{SizeBytes: sizeBytes, RequestsCount: 1, Operation: wire.OperationNoop, Command: prepare.CommandPrepare}
				sum := prepare.Sum(slots.Bytes(slot)[prepare.HeaderBytes:sizeBytes])
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
