package arena

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// NewRegion returns an arena that takes its first regionBytes of reservations from one mapping. A
// reservation costs four system calls otherwise, two of them for advice. A test that starts
// hundreds of small servers spends a third of its time there.
//
// All of it is in small pages, whatever the options of a reservation say. Further reservations are
// mappings of their own. With the race detector, all of them are, so that it sees their bytes.
func NewRegion(regionBytes uint64) (*Arena, error) {
	a := New()
	if inGoHeap(uintptr(regionBytes)) {
		return a, nil
	}
	start, err := mapMemory(uintptr(regionBytes))
	if err != nil {
		return nil, &Error{Name: "a region", Bytes: regionBytes, Err: err}
	}
	a.region = mapping{address: start, bytes: uintptr(regionBytes)}
	_ = unix.Madvise(unsafe.Slice((*byte)(start), regionBytes), unix.MADV_NOHUGEPAGE) // EINVAL: a kernel without huge pages
	return a, nil
}

// take returns size bytes of the region, if it has so many left.
func (a *Arena) take(size uintptr) (start unsafe.Pointer, ok bool) {
	if a.region.bytes-a.regionUsed < size {
		return nil, false
	}
	start = unsafe.Add(a.region.address, a.regionUsed)
	a.regionUsed += size
	return start, true
}
