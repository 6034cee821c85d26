//go:build race

package arena

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
)

// goHeapBytesMax is the largest mapping that lies in the Go heap. Larger ones are tables of
// production size, which the heap would have to clear when it uses their place again.
const goHeapBytesMax = 512 << 20

// inGoHeap tells whether a mapping of size bytes lies in the Go heap. The race detector checks
// only memory that the Go runtime has allocated, so slots, memtables and caches have to be there.
func inGoHeap(size uintptr) bool { return size <= goHeapBytesMax }

// mapMemory returns size zeroed bytes at the start of a page. The arena's pointer keeps those of
// the heap alive, and the Go heap does not move, so the kernel may be given their addresses.
func mapMemory(size uintptr) (unsafe.Pointer, error) {
	if !inGoHeap(size) {
		return unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	}
	// The Go runtime gives large objects whole pages of its own, of 8 KiB.
	words := make([][PageBytes]byte, max(size/PageBytes, 16))
	start := unsafe.Pointer(unsafe.SliceData(words))
	assert.That(uintptr(start)%PageBytes == 0, "the heap aligns a large object to a page")
	return start, nil
}

func unmapMemory(start unsafe.Pointer, size uintptr) {
	if inGoHeap(size) {
		return // the collector takes it when no slice names it any longer
	}
	err := unix.MunmapPtr(start, size)
	assert.That(err == nil, "what was mapped can be unmapped")
}
