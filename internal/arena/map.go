//go:build !race

package arena

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
)

// inGoHeap tells whether a mapping of size bytes lies in the Go heap. Without the race detector
// none does.
func inGoHeap(uintptr) bool { return false }

// mapMemory returns size zeroed bytes outside the Go heap, at the start of a page.
func mapMemory(size uintptr) (unsafe.Pointer, error) {
	return unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
}

func unmapMemory(start unsafe.Pointer, size uintptr) {
	err := unix.MunmapPtr(start, size)
	assert.That(err == nil, "what was mapped can be unmapped")
}
