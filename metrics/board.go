package metrics

import "sync/atomic"

// Activity is work that goes on beside the ops and can slow them.
type Activity uint8

const (
	ActivityGridWrites Activity = iota // blocks that compact writes
	ActivityGridSync                   // the fdatasync of a checkpoint
	ActivityGridGrowth                 // fallocate, where the file grows
	ActivityCheckpoint                 // from the capture at a trigger op until the superblock is durable
	ActivitySuperblock                 // the copies of the superblock
	ActivityPageReads                  // pages that apply reads
	ActivitiesCount
)

// ActivityNames in order of the activities.
var ActivityNames = [ActivitiesCount]string{"grid_writes", "grid_sync", "grid_growth", "checkpoint", "superblock", "page_reads"}

const (
	// WorkersMax of compact, and ThreadsMax of a server: net, consensus, journal, apply and the
	// workers.
	WorkersMax = 8
	ThreadsMax = WorkersMax + 4
)

// Span adds up how long something was under way. One thread calls Set; any thread reads it while it
// is counted.
//
// A single word holds both states, so that a reader never sees half of a change: an idle span is
// its sum, doubled; a busy one is the sum less the time at which it began, doubled, plus one.
type Span struct{ word atomic.Uint64 }

// Set says whether the thing is under way from nowNs on. Only a change is written.
func (s *Span) Set(nowNs uint64, busy bool) {
	word := s.word.Load()
	switch isBusy := word&1 == 1; {
	case busy && !isBusy:
		s.word.Store((word>>1-nowNs)<<1 | 1)
	case !busy && isBusy:
		s.word.Store(s.SumNs(nowNs) << 1)
	}
}

// SumNs is how long the thing has been under way, up to nowNs.
func (s *Span) SumNs(nowNs uint64) uint64 {
	word := s.word.Load()
	if word&1 == 0 {
		return word >> 1
	}
	return uint64(int64(word)>>1 + int64(nowNs))
}

// Board is where all threads write what the recorder of slow ops wants to know of them. Each word
// has one writer.
type Board struct {
	Workers [WorkersMax]WorkerBoard
	Threads [ThreadsMax]ThreadBoard
	_       [lineBytes]byte
	// Of the threads of apply and of journal.
	Checkpoint, PageReads Span
	_                     [lineBytes]byte
	Superblock            Span
	_                     [lineBytes]byte
}

// WorkerBoard of one worker of compact.
type WorkerBoard struct {
	_                    [lineBytes]byte
	Writes, Sync, Growth Span
	WrittenBytes         atomic.Uint64
}

// ThreadBoard of one stage thread.
type ThreadBoard struct {
	_ [lineBytes]byte
	// TurnNsMax is the longest turn since the recorder last looked. The recorder sets it to zero.
	TurnNsMax atomic.Uint64
	// KernelNs adds up the calls that submit and collect I/O, those of KernelNsMin and more.
	KernelNs atomic.Uint64
	// RunNs and WaitNs are the kernel's figures of the thread: how long it had a core, and how long it
	// was ready and had none.
	RunNs, WaitNs atomic.Uint64
}

const (
	// TurnNsMin is the shortest turn, and KernelNsMin the shortest call, that the board is told of.
	TurnNsMin   = 500_000
	KernelNsMin = 100_000
)

// Turned notes a turn. Thread only.
func (t *ThreadBoard) Turned(turnNs uint64) {
	if turnNs < TurnNsMin {
		return
	}
	for {
		longest := t.TurnNsMax.Load()
		if turnNs <= longest || t.TurnNsMax.CompareAndSwap(longest, turnNs) {
			return
		}
	}
}

// Called notes a call that submitted and collected I/O. Thread only.
func (t *ThreadBoard) Called(kernelNs uint64) {
	if kernelNs >= KernelNsMin {
		t.KernelNs.Store(t.KernelNs.Load() + kernelNs)
	}
}

// look is the board at one moment, all sums since the start.
type look struct {
	atNs         uint64
	activeNs     [ActivitiesCount]uint64
	writtenBytes uint64
	threads      [ThreadsMax]ThreadConditions // TurnNsMax: since the look before
}

// read fills out. Of several workers that do the same at once, the longest counts.
func (b *Board) read(nowNs uint64, threadsCount int, out *look) {
	*out = look{atNs: nowNs}
	for i := range b.Workers {
		w := &b.Workers[i]
		for activity, span := range [...]*Span{ActivityGridWrites: &w.Writes, ActivityGridSync: &w.Sync, ActivityGridGrowth: &w.Growth} {
			out.activeNs[activity] = max(out.activeNs[activity], span.SumNs(nowNs))
		}
		out.writtenBytes += w.WrittenBytes.Load()
	}
	out.activeNs[ActivityCheckpoint] = b.Checkpoint.SumNs(nowNs)
	out.activeNs[ActivitySuperblock] = b.Superblock.SumNs(nowNs)
	out.activeNs[ActivityPageReads] = b.PageReads.SumNs(nowNs)
	for i := range threadsCount {
		t := &b.Threads[i]
		out.threads[i] = ThreadConditions{KernelNs: t.KernelNs.Load(), RunNs: t.RunNs.Load(), WaitNs: t.WaitNs.Load()}
		if t.TurnNsMax.Load() > 0 {
			out.threads[i].TurnNsMax = t.TurnNsMax.Swap(0)
		}
	}
}
