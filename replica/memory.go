package replica

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ledger/events"
	"ledger/internal/arena"
	"ledger/limits"
	"ledger/storage"
)

// GoHeapBytesMax is the limit that start sets for the memory of the Go runtime. The collector runs
// only near this limit, so garbage of metrics pages and log lines may grow up to it.
const GoHeapBytesMax = 256 << 20

// Memory that is not reserved in the arena.
const (
	programBytes     = 32 << 20  // code, constants and variables of the program, as mapped from its file
	goBytesExpected  = 32 << 20  // the Go runtime with rings and driver state
	threadBytes      = 512 << 10 // a thread: stacks, and the queues of its io_uring in both mappings (some 200 KiB)
	threadsSpare     = 16        // threads that the Go runtime makes for system calls, beside those of the stages
	pageBytesPerPTE  = 512       // page tables: 8 bytes for each page of 4 KiB
	slotBytesUsual   = 64 << 20  // message slots that a few busy clients touch
	tableBytesUsual  = 64 << 20  // memtables beyond what is touched at start: accounts, expiries; with --development all of them
	indexBytesPerID  = 3 + 6     // of filters: 3 of the table's; up to 4 of the filter of all ids and a third of these for later ids
	openingBytes     = 16 << 20  // blocks and ids on their way into the indexes
	indexBytesFactor = 4         // the manifest relative to its trailer: lists double, and the next trailer is beside them
)

// MemoryNeed is the memory of a server that may become resident, including the kernel's page
// tables. It does not count memory that the kernel keeps for the server elsewhere: buffers of
// sockets, and the page cache, which the kernel frees when memory is short.
type MemoryNeed struct {
	ExpectedBytes uint64 // usual load with full caches, and the data file of this start
	LargestBytes  uint64 // every slot, cache and table full, the largest data file, and the Go heap at its limit
	// ClassBytes of the largest figure, by the class of a reservation.
	ClassBytes [arena.ClassesCount]uint64
}

// needOf sums up all reservations.
//
// checkpoint:   of the data file, from which the indexes are read.
// threadsCount: of the stages.
func needOf(entries []arena.Entry, l *limits.Limits, checkpoint *storage.Checkpoint, threadsCount int) (need MemoryNeed) {
	var touched, reserved [arena.ClassesCount]uint64
	for i := range entries {
		e := &entries[i]
		touched[e.Class] += e.TouchBytes
		reserved[e.Class] += e.Bytes
		need.ClassBytes[e.Class] += e.Bytes + e.SpareBytes
	}
	expected, largest := uint64(0), uint64(0)
	for class := range arena.ClassesCount {
		bytes := reserved[class]
		switch class {
		case arena.Slot:
			bytes = min(bytes, touched[class]+slotsUsual(l, checkpoint))
		case arena.Table:
			bytes = min(bytes, touched[class]+tableBytesUsual)
		case arena.Index:
			bytes = min(bytes, max(touched[class], indexesOf(checkpoint)))
		}
		expected += bytes
		largest += need.ClassBytes[class]
	}
	threads := uint64(threadsCount) * threadBytes
	expected += programBytes + goBytesExpected + threads
	largest += programBytes + GoHeapBytesMax + threads + threadsSpare*threadBytes
	need.ExpectedBytes = expected + expected/pageBytesPerPTE
	need.LargestBytes = largest + largest/pageBytesPerPTE
	return need
}

// slotsUsual is the part of the message slots that load touches. The slot that was freed last is
// used first, so busy clients share slots. But the last reply of each session stays in a slot of
// its own, and the results of a full batch take an eighth of the request's size. If the replies in
// the checkpoint are larger, their size counts as usual.
func slotsUsual(l *limits.Limits, checkpoint *storage.Checkpoint) uint64 {
	replies := uint64(l.SessionsMax) * uint64(l.RequestBytesMax) / 8
	return slotBytesUsual + max(replies, sessionsOf(checkpoint))
}

// sessionsOf is the size of the sessions in a checkpoint: records and replies.
func sessionsOf(checkpoint *storage.Checkpoint) uint64 {
	return checkpoint.TrailerBytes[storage.TrailerSessions] + checkpoint.TrailerBytes[storage.TrailerReplies]
}

// indexesOf is the memory of the indexes of a checkpoint.
func indexesOf(c *storage.Checkpoint) uint64 {
	trailers := c.TrailerBytes[storage.TrailerManifest] + c.TrailerBytes[storage.TrailerFreeSet]
	if trailers == 0 {
		return 0 // nothing is opened
	}
	return openingBytes + indexBytesFactor*trailers + indexBytesPerID*(c.TransfersCount+c.AccountsCount)
}

// check compares the figures with the available memory. A start whose expected use does not fit is
// refused. A start whose largest use does not fit warns.
//
// root:       "/" except in tests.
// indexBytes: the largest memory of the indexes, see indexesReachable.
func (n *MemoryNeed) check(root string, development bool, indexBytes uint64) (warning string, err error) {
	available, source, err := MemoryAvailable(root)
	if err != nil {
		return "", nil // nothing to compare with
	}
	if n.ExpectedBytes > available {
		ways := "lower --cache-grid or --cache-accounts (caches: %d MiB), or raise that limit"
		if !development {
			ways = "lower --cache-grid or --cache-accounts (caches: %d MiB), raise that limit, or start with --development"
		}
		return "", fmt.Errorf("memory: %d MiB are expected to be used and %d MiB may be at most, %s allows %d MiB: "+ways,
			Mebibytes(n.ExpectedBytes), Mebibytes(n.LargestBytes), source, available>>20, Mebibytes(n.ClassBytes[arena.Cache]))
	}
	if largest := n.LargestBytes - n.ClassBytes[arena.Index] + indexBytes; largest > available {
		return fmt.Sprintf("memory: %d MiB may come to be used and %d MiB are expected, %s allows %d MiB: "+
			"the kernel ends a server that uses more; %s",
			Mebibytes(largest), Mebibytes(n.ExpectedBytes), source, available>>20, n.waysOut()), nil
	}
	return "", nil
}

// indexesReachable is what the indexes may come to take on the disk as it is: they are reserved for
// the largest data file that the limit allows, but it does not become larger than its file system.
// A development server is not expected to fill it.
func (n *MemoryNeed) indexesReachable(l *limits.Limits, fileBytesMax uint64) uint64 {
	if !l.TouchesMemoryAtStart() {
		return 0
	}
	const parts = 1 << 20 // avoids overflows
	share := min(parts, fileBytesMax/max(1, l.StorageBytesMax/parts)+1)
	return n.ClassBytes[arena.Index] / parts * share
}

// waysOut returns the flags that lower the figures, the one with the largest part first.
func (n *MemoryNeed) waysOut() string {
	type way struct {
		bytes uint64
		flag  string
	}
	ways := []way{
		{n.ClassBytes[arena.Index], "--limit-storage (indexes of the largest data file: %d MiB at most)"},
		{n.ClassBytes[arena.Cache], "--cache-grid or --cache-accounts (caches: %d MiB)"},
		{n.ClassBytes[arena.Slot], "--clients-max of ledger format (message slots: %d MiB at most)"},
	}
	slices.SortStableFunc(ways, func(a, b way) int { return cmp.Compare(b.bytes, a.bytes) })
	var list []string
	for _, way := range ways {
		list = append(list, fmt.Sprintf(way.flag, Mebibytes(way.bytes)))
	}
	return "lower " + strings.Join(list, ", ")
}

// Mebibytes rounds up, so that a printed figure is never too low.
func Mebibytes(bytes uint64) uint64 { return (bytes + 1<<20 - 1) >> 20 }

// event returns the event of a start.
func (n *MemoryNeed) event(root string, l *limits.Limits) events.Memory {
	e := events.Memory{ExpectedBytes: n.ExpectedBytes, LargestBytes: n.LargestBytes, IndexBytes: n.ClassBytes[arena.Index],
		StorageBytes: l.StorageBytesMax}
	if available, source, err := MemoryAvailable(root); err == nil {
		e.AllowedBytes, e.AllowedBy = available, source
	}
	return e
}
