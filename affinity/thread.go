package affinity

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Allowed returns the cores that the calling thread may run on: at start, those of the process.
func Allowed() (set CoreSet, err error) {
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return CoreSet{}, fmt.Errorf("cannot read which cores are allowed: %w", err)
	}
	for core := range CoresMax {
		if mask.IsSet(core) {
			set.Add(core)
		}
	}
	return set, nil
}

// PinThread pins the calling thread to cores. The goroutine must be locked to its thread for ever.
// Otherwise the thread would return to the runtime's pool while it is still pinned.
func PinThread(cores CoreSet) error {
	var mask unix.CPUSet
	for _, core := range cores.List() {
		mask.Set(core)
	}
	if err := unix.SchedSetaffinity(0, &mask); err != nil {
		return fmt.Errorf("cannot pin a thread to core %s: %w", cores, err)
	}
	return nil
}

// SetThreadName names the calling thread for top and perf; the kernel keeps 15 bytes. The goroutine
// must be locked.
func SetThreadName(name string) error {
	var buffer [16]byte
	copy(buffer[:15], name)
	name = unix.ByteSliceToString(buffer[:])
	pointer, err := unix.BytePtrFromString(name)
	if err != nil {
		return fmt.Errorf("cannot name a thread %q: %w", name, err)
	}
	return prctlName(pointer)
}

// SetSlice asks for a time slice of sliceNs for the calling thread, from 0.1 to 100 ms. Kernels
// before 6.12 ignore it.
func SetSlice(sliceNs uint64) error {
	attributes, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("cannot read how a thread is scheduled: %w", err)
	}
	if attributes.Policy != unix.SCHED_NORMAL && attributes.Policy != unix.SCHED_BATCH {
		return nil // the operator has chosen something else
	}
	attributes.Runtime = sliceNs
	if err := unix.SchedSetAttr(0, attributes, 0); err != nil {
		return fmt.Errorf("cannot set the time slice of a thread: %w", err)
	}
	return nil
}

// Enter locks the calling goroutine to its thread for ever and sets the thread's name, cores and
// time slice, as planned.
//
// error: everything that the kernel refused, for the caller to log. The thread works all the same,
// with other settings.
func (t *Thread) Enter() error {
	runtime.LockOSThread()
	err := SetThreadName(t.Name())
	if !t.Cores.IsEmpty() {
		err = errors.Join(err, PinThread(t.Cores))
	}
	slice := uint64(sliceNs)
	if t.Stages[0] == Compact {
		slice = sliceCompactNs
	}
	return errors.Join(err, SetSlice(slice))
}
