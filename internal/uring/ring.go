package uring

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"ledger/internal/arena"
)

// ErrUnavailable is wrapped by NewThread's errors when this system has no io_uring that we can use.
var ErrUnavailable = errors.New("io_uring is not available")

const (
	submissionsMax     = 256  // entries of the submission queue
	completionsMax     = 4096 // entries of the completion queue
	completionsTurnMax = 256
	trialEntries       = 4 // entries of the ring that tryCalls makes
	trialWait          = 5 * time.Second
)

// params mirrors io_uring_params. The fields of giouring's own struct are private.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFd uint32
	reserved                                                               [3]uint32
	sqHead, sqTail, sqRingMask, sqRingEntries, sqFlags                     uint32
	sqRest                                                                 [3]uint32
	sqUserAddress                                                          uint64
	cqOffsets                                                              [8]uint32
	cqUserAddress                                                          uint64
}

var _ [unsafe.Sizeof(giouring.Params{})]byte = [unsafe.Sizeof(params{})]byte{}

// setupFlags:
//   - single issuer, deferred task work: the kernel finishes operations only when our thread asks,
//     and never interrupts it for them. The flag word tells that there is work.
//   - disabled: the ring is bound to the thread that enables it, not to the one that made it.
//   - submit all: one refused entry does not hold up the entries behind it.
const setupFlags = giouring.SetupSingleIssuer | giouring.SetupDeferTaskrun | giouring.SetupTaskrunFlag |
	giouring.SetupRDisabled | giouring.SetupCQSize | giouring.SetupSubmitAll

// featuresNeeded and operationsNeeded are used without an alternative.
const featuresNeeded = giouring.FeatSingleMMap | giouring.FeatNoDrop | giouring.FeatSubmitStable |
	giouring.FeatRWCurPos | giouring.FeatFastPoll | giouring.FeatExtArg

var operationsNeeded = [...]struct {
	code uint8
	name string
}{
	{giouring.OpNop, "nop"}, {giouring.OpRead, "read"}, {giouring.OpWrite, "write"}, {giouring.OpFsync, "fsync"},
	{giouring.OpFallocate, "fallocate"}, {giouring.OpAccept, "accept"}, {giouring.OpConnect, "connect"},
	{giouring.OpRecv, "recv"}, {giouring.OpSend, "send"}, {giouring.OpSendmsg, "sendmsg"},
	{giouring.OpClose, "close"}, {giouring.OpAsyncCancel, "cancel"},
}

// ring is a giouring.Ring, the words of the ring that giouring keeps private, and our own enter.
type ring struct {
	*giouring.Ring
	flags   *uint32 // of the submission queue, written by the kernel
	head    *uint32 // of the submission queue, written by the kernel
	tail    *uint32 // of the submission queue, written by us
	mapping []byte
}

// newRing makes a disabled ring and checks that it has all that we need.
func newRing() (*ring, error) {
	if err := tryCalls(); err != nil {
		return nil, err
	}
	p := params{flags: setupFlags, cqEntries: completionsMax}
	r := &ring{Ring: giouring.NewRing()}
	if err := r.QueueInitParams(submissionsMax, (*giouring.Params)(unsafe.Pointer(&p))); err != nil {
		return nil, refused("io_uring_setup", err)
	}
	if err := r.prepare(&p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *ring) prepare(p *params) error {
	if missing := featuresNeeded &^ p.features; missing != 0 {
		return fmt.Errorf("%w: the kernel lacks features %#x", ErrUnavailable, missing)
	}
	probe := new(giouring.Probe)
	if _, err := r.RegisterProbe(probe, len(probe.Ops)); err != nil {
		return refused("io_uring_register, which tells the operations", err)
	}
	if err := missingOperations(probe); err != nil {
		return err
	}
	mappingBytes := int(max(p.sqFlags, p.sqHead, p.sqTail)) + 4
	mapping, err := unix.Mmap(r.RingFd(), 0, mappingBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("%w: its queue's words cannot be mapped: %v", ErrUnavailable, err)
	}
	r.mapping = mapping
	r.flags = (*uint32)(unsafe.Pointer(&mapping[p.sqFlags]))
	r.head = (*uint32)(unsafe.Pointer(&mapping[p.sqHead]))
	r.tail = (*uint32)(unsafe.Pointer(&mapping[p.sqTail]))
	return nil
}

// tryCalls makes each system call of io_uring once, on a trial ring that is closed again. A sandbox
// may refuse any of them, and a thread that has begun to use a ring cannot change to plain system
// calls. The trial ends with a wait for a no-operation, with the same flags and arguments as in
// Wait.
func tryCalls() error {
	runtime.LockOSThread() // a ring serves only the thread that enables it
	defer runtime.UnlockOSThread()
	p := params{flags: setupFlags, cqEntries: 2 * trialEntries}
	r := &ring{Ring: giouring.NewRing()}
	if err := r.QueueInitParams(trialEntries, (*giouring.Params)(unsafe.Pointer(&p))); err != nil {
		return refused("io_uring_setup", err)
	}
	defer r.close()
	if err := r.prepare(&p); err != nil {
		return err
	}
	if _, err := r.EnableRings(); err != nil {
		return refused("io_uring_register, which enables the ring", err)
	}
	memory := arena.New()
	defer memory.Close()
	kernel := &arena.Slice[kernelMemory](memory, 1, "io_uring")[0]
	kernel.timeout = syscall.NsecToTimespec(int64(trialWait))
	kernel.arguments = enterArguments{timeout: uint64(uintptr(unsafe.Pointer(&kernel.timeout)))}
	*r.GetSQE() = giouring.SubmissionQueueEntry{OpCode: giouring.OpNop}
	for deadline := time.Now().Add(trialWait); r.CQReady() == 0; {
		switch err := r.enter(&kernel.arguments, int(r.SQReady()), false); {
		case err != nil && err != unix.EINTR && err != unix.EAGAIN && err != unix.EBUSY && err != unix.ETIME:
			return refused("io_uring_enter", err)
		case time.Now().After(deadline):
			return fmt.Errorf("%w: a no-operation does not complete within %v", ErrUnavailable, trialWait)
		}
	}
	return nil
}

// missingOperations returns an error that names all operations that we need and the probe lacks.
func missingOperations(probe *giouring.Probe) error {
	var missing []string
	for _, operation := range operationsNeeded {
		if !probe.IsSupported(operation.code) {
			missing = append(missing, operation.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the kernel lacks its operations %s", ErrUnavailable, strings.Join(missing, ", "))
}

// refused returns the error for a system call of io_uring that this system refuses.
func refused(call string, err error) error {
	return fmt.Errorf("%w: %s: %s", ErrUnavailable, call, reason(err))
}

// reason puts the error of a system call of io_uring into words.
func reason(err error) string {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return "the kernel was built without it, or a sandbox hides it"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "not permitted here (sysctl kernel.io_uring_disabled, or a sandbox)"
	case errors.Is(err, unix.EINVAL):
		return "the kernel's is too old (Linux 6.1 has what we need)"
	case errors.Is(err, unix.ENOMEM):
		return "not enough locked memory (RLIMIT_MEMLOCK)"
	default:
		return err.Error()
	}
}

// announces tells whether the kernel has work or completions that reach the completion queue only
// by an enter.
func (r *ring) announces() bool {
	return atomic.LoadUint32(r.flags)&(giouring.SQTaskrun|giouring.SQCQOverflow) != 0
}

// enterArguments is the kernel's io_uring_getevents_arg. A waiting enter names it, so it lies off
// heap.
type enterArguments struct {
	signalMask      uint64
	signalMaskBytes uint32
	waitUs          uint32
	timeout         uint64 // address
}

// enter publishes the entries that were filled in, submits the first submitCount of them and
// collects completions. With arguments, it waits for one completion.
//
// isBrief hides the call from Go's runtime. A call that the runtime knows of costs more than most
// enters take: after 20 µs the runtime gives our P to another thread, and on return we have to find
// one again. But a stop of the world has to wait for a hidden call. Therefore isBrief may be set
// only for a call that returns soon.
func (r *ring) enter(arguments *enterArguments, submitCount int, isBrief bool) error {
	left := r.SQReady()
	atomic.StoreUint32(r.tail, atomic.LoadUint32(r.head)+left)
	system := syscall.Syscall6
	flags, waitCount, argumentsBytes := uintptr(giouring.EnterGetEvents), uintptr(0), uintptr(0)
	if arguments != nil {
		flags, waitCount, argumentsBytes = flags|uintptr(giouring.EnterExtArg), 1, unsafe.Sizeof(*arguments)
	}
	if isBrief {
		system = syscall.RawSyscall6
	}
	_, _, errno := system(unix.SYS_IO_URING_ENTER, uintptr(r.RingFd()), uintptr(submitCount), waitCount, flags,
		uintptr(unsafe.Pointer(arguments)), argumentsBytes)
	if errno != 0 {
		return errno
	}
	return nil
}

func (r *ring) close() {
	if r.mapping != nil {
		_ = unix.Munmap(r.mapping)
		r.mapping, r.flags, r.head, r.tail = nil, nil, nil, nil
	}
	r.QueueExit()
}
