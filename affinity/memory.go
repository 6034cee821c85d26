package affinity

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prctlName is in this file because it gives an address to the kernel, like the other calls here.
func prctlName(name *byte) error {
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot name a thread: %w", err)
	}
	return nil
}

// BindMemory binds the pages of data to a NUMA node. Untouched pages are allocated there when they
// are touched; touched ones are moved. data is mapped memory and begins on a page. If the node is
// full, the kernel takes another one, which is slower.
func BindMemory(data []byte, node int) error {
	if len(data) == 0 {
		return nil
	}
	if node < 0 || node >= NodesMax {
		return fmt.Errorf("cannot bind memory to node %d: must be 0 to %d", node, NodesMax-1)
	}
	mask := uint64(1) << node
	const maskBits = NodesMax + 1 // the kernel subtracts one
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)),
		unix.MPOL_PREFERRED, uintptr(unsafe.Pointer(&mask)), maskBits, unix.MPOL_MF_MOVE)
	if errno != 0 {
		return fmt.Errorf("cannot bind %d bytes of memory to node %d: %w", len(data), node, errno)
	}
	return nil
}

// LockMemory locks the touched pages of all regions in memory, as far as permitted, and also pages
// that are touched later.
//
// error: one for all regions together, so that there is one warning. It names the bytes that are
// not locked and the way out. The server goes on.
func LockMemory(regions ...[]byte) error {
	var refusedBytes, totalBytes uint64
	var first error
	for _, region := range regions {
		if len(region) == 0 {
			continue
		}
		totalBytes += uint64(len(region))
		_, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(unsafe.SliceData(region))), uintptr(len(region)), unix.MLOCK_ONFAULT)
		if errno == 0 {
			continue
		}
		refusedBytes += uint64(len(region))
		if first == nil {
			first = errno
		}
	}
	if refusedBytes == 0 {
		return nil
	}
	var limit unix.Rlimit
	limitText := "unknown"
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err == nil {
		limitText = fmt.Sprintf("%d bytes", limit.Cur)
		if limit.Cur == unix.RLIM_INFINITY {
			limitText = "none"
		}
	}
	return fmt.Errorf("%d of %d bytes are not locked in memory (%w; RLIMIT_MEMLOCK is %s): raise the limit or grant "+
		"CAP_IPC_LOCK; going on without",
		refusedBytes, totalBytes, first, limitText)
}
