package metrics

import "sync/atomic"

// Activity is work beside the ops that can slow them down.
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

// Span adds up the time for which an activity was under way. One thread calls Set; any thread may
// read the sum meanwhile.
//
// A single word holds both states, so a reader never sees half of a change. The word of an idle
// span is the doubled sum. The word of a busy span is twice the sum minus the beginning time, plus
// one.
type Span struct{ word atomic.Uint64 }

// Set tells whether the activity is under way from nowNs on. Only a change is written.
func (s *Span) Set(nowNs uint64, busy bool) {
	word := s.word.Load()
	switch isBusy := word&1 == 1; {
	case busy && !isBusy:
		s.word.Store((word>>1-nowNs)<<1 | 1)
	case !busy && isBusy:
		s.word.Store(s.SumNs(nowNs) << 1)
	}
}

// SumNs is the time for which the activity has been under way, up to nowNs.
func (s *Span) SumNs(nowNs uint64) uint64 {
	word := s.word.Load()
	if word&1 == 0 {
		return word >> 1
	}
	return uint64(int64(word)>>1 + int64(nowNs))
}

// Board is the memory in which all threads write the figures for the recorder of slow ops. Each
// word has one writer.
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
	// TurnNsMax is the longest turn since the recorder's last look. The recorder sets it to zero.
	TurnNsMax atomic.Uint64
	// KernelNs adds up the calls that submit and collect I/O and take at least KernelNsMin.
	KernelNs atomic.Uint64
	// RunNs and WaitNs are the kernel's figures of the thread: the time on a core, and the time
	// ready to run without a core.
	RunNs, WaitNs atomic.Uint64
}

const (
	// TurnNsMin is the shortest turn, and KernelNsMin the shortest call, that is written to the
	// board.
	TurnNsMin   = 500_000
	KernelNsMin = 100_000
)

// Turned records a turn. To be called on the thread.
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

// Called records a call that submitted and collected I/O. To be called on the thread.
func (t *ThreadBoard) Called(kernelNs uint64) {
	if kernelNs >= KernelNsMin {
		t.KernelNs.Store(t.KernelNs.Load() + kernelNs)
	}
}

// look is the board at one moment; all sums are since the start.
type look struct {
	atNs         uint64
	activeNs     [ActivitiesCount]uint64
	writtenBytes uint64
	threads      [ThreadsMax]ThreadConditions // TurnNsMax: since the previous look
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
