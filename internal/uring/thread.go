package uring

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/ports"
)

const (
	portsMax  = 64
	wakePort  = 255             // in place of a port's index: the parker's eventfd
	closePort = 254             // the cancellation of everything, in Close
	closeWait = 5 * time.Second // for what is not an operation of a disk
	// idleTurnsMax is how many turns without a completion a receive may wait for an enter that has
	// more to do. A thread that waits gets there sooner, one that spins does not notice.
	idleTurnsMax = 8
	// portionMax is how many entries one enter takes while a disk works: a send needs some 10 µs, and
	// the kernel begins the next operation of a chain only between enters.
	portionMax = 4
	// waitBriefNs is how long a stop of the world may have to wait for us.
	waitBriefNs = 500_000
)

// port is what the thread needs of a Disk or a Network.
type port interface {
	// flush moves queued operations into the submission queue, as many as fit.
	flush()
	// complete takes the completion of an operation.
	complete(kind uint8, slot uint32, result int32, flags uint32)
	// void says that an operation that was flushed has been taken back; a completion still follows.
	void(slot uint32)
	// unpolledCount is the number of completions that wait for Poll.
	unpolledCount() uint32
	// close frees what the kernel would keep beyond the ring's life.
	close()
}

// kernelMemory is what submissions of the thread itself name.
type kernelMemory struct {
	timeout     syscall.Timespec
	arguments   enterArguments
	wakeCounter uint64
}

// Thread is ports.Thread over one io_uring.
type Thread struct {
	ring    *ring
	memory  *arena.Arena // a few KiB: what submissions name besides the buffers
	ports   []port
	started bool
	closed  bool

	kernel      *kernelMemory
	wakeFd      int
	wakeArmed   bool
	isWoken     bool   // a Turn took a wake that is meant for the next Wait
	isAfterWait bool   // the next Turn is the first after a Wait, which has had its wake
	inKernel    uint64 // entries submitted whose last completion has not come
	completions [completionsTurnMax]*giouring.CompletionQueueEvent
	queued      []*giouring.SubmissionQueueEntry // filled in since the kernel last took some, in order
	disksQueued int                              // of them, those up to the last one of a disk
	disksCount  uint32                           // operations of disks in the kernel
	isUrgent    bool                             // queued holds more than receives
	isSending   bool                             // queued holds sends
	idleTurns   uint32                           // since the last completion

	syscalls atomic.Uint64
}

var _ ports.Thread = (*Thread)(nil)

// NewThread makes a thread without ports, its ring disabled until Start. Its error wraps
// ErrUnavailable when package posix is the way to go on.
func NewThread(options ports.ThreadOptions) (*Thread, error) {
	r, err := newRing()
	if err != nil {
		return nil, err
	}
	memory := arena.New()
	return &Thread{
		ring:   r,
		memory: memory,
		kernel: &arena.Slice[kernelMemory](memory, 1, "io_uring")[0],
		wakeFd: options.WakeFd,
		queued: make([]*giouring.SubmissionQueueEntry, 0, submissionsMax),
	}, nil
}

// Disk implements ports.Thread.
func (t *Thread) Disk(fd int, operationsMax uint32) ports.Disk {
	d := newDisk(t, t.portNext(), fd, operationsMax)
	t.ports = append(t.ports, d)
	return d
}

// Network implements ports.Thread.
func (t *Thread) Network(listenerFd int, connectionsMax uint32) ports.Network {
	n := newNetwork(t, t.portNext(), listenerFd, connectionsMax)
	t.ports = append(t.ports, n)
	return n
}

func (t *Thread) portNext() uint8 {
	assert.That(!t.started, "ports are made before the thread starts")
	assert.Below(len(t.ports), portsMax, "ports of a thread")
	return uint8(len(t.ports))
}

// Start implements ports.Thread. From here on the ring serves the calling OS thread and no other.
func (t *Thread) Start() error {
	assert.That(!t.started && !t.closed, "a thread starts once")
	if _, err := t.ring.EnableRings(); err != nil {
		return fmt.Errorf("enable the io_uring: %w", err)
	}
	t.started = true
	return nil
}

// Turn implements ports.Thread.
func (t *Thread) Turn() (completionsCount int) {
	assert.That(t.started && !t.closed, "a turn is taken between Start and Close")
	t.flush()
	t.submit()
	completionsCount = t.collect()
	t.isAfterWait = false
	t.idleTurns++
	if completionsCount > 0 {
		t.idleTurns = 0
	}
	return completionsCount
}

// submit makes the system calls of a turn: what is queued goes to the kernel, and the kernel works
// off what it has announced. A receive can wait for the next enter that has another reason, at most
// a few turns: its message is seldom there already.
func (t *Thread) submit() {
	if !t.ring.announces() && (len(t.queued) == 0 || !t.isUrgent && t.idleTurns < idleTurnsMax) {
		return
	}
	for {
		before := len(t.queued)
		portion := before
		switch {
		case !t.isSending:
		case t.disksQueued > 0:
			portion = t.disksQueued // the log does not wait for the replies behind it
		case t.disksCount > 0:
			portion = min(before, portionMax)
		}
		t.countSyscall()
		t.entered(t.ring.enter(nil, portion, true))
		if len(t.queued) == 0 || len(t.queued) == before {
			return
		}
	}
}

// Wait implements ports.Thread.
func (t *Thread) Wait(timeoutNs uint64) {
	assert.That(t.started && !t.closed, "a wait is between Start and Close")
	isWoken := t.isWoken
	t.isWoken, t.isAfterWait = false, true
	t.flush()
	if isWoken || t.ring.CQReady() > 0 {
		return
	}
	for _, p := range t.ports {
		if p.unpolledCount() > 0 {
			return
		}
	}
	// Under load something comes soon, so the first part of a wait is one that the runtime need not
	// know of.
	briefNs := min(timeoutNs, waitBriefNs)
	if t.enterAndWait(briefNs, true) == unix.ETIME && timeoutNs > briefNs && t.ring.CQReady() == 0 {
		_ = t.enterAndWait(timeoutNs-briefNs, false)
	}
}

func (t *Thread) enterAndWait(timeoutNs uint64, isBrief bool) error {
	t.kernel.timeout = syscall.NsecToTimespec(int64(min(timeoutNs, ports.WaitNsMax)))
	t.kernel.arguments = enterArguments{timeout: uint64(uintptr(unsafe.Pointer(&t.kernel.timeout)))}
	t.countSyscall()
	err := t.ring.enter(&t.kernel.arguments, len(t.queued), isBrief)
	t.entered(err)
	return err
}

// flush lets all ports fill in submissions. The eventfd comes first: it must be armed whenever the
// thread waits.
func (t *Thread) flush() {
	if t.wakeFd >= 0 && !t.wakeArmed {
		if entry := t.entry(wakePort, 0, 0); entry != nil {
			entry.OpCode = giouring.OpRead
			entry.Fd = int32(t.wakeFd)
			entry.Addr = uint64(uintptr(unsafe.Pointer(&t.kernel.wakeCounter)))
			entry.Len = 8
			t.wakeArmed = true
		}
	}
	before := len(t.queued)
	// Disks before networks: a write of the log takes longest and waits for nobody, while every send
	// costs some microseconds.
	for _, p := range t.ports {
		if disk, ok := p.(*Disk); ok {
			disk.flush()
		}
	}
	if len(t.queued) > before {
		t.disksQueued, t.isUrgent = len(t.queued), true
	}
	for _, p := range t.ports {
		if network, ok := p.(*Network); ok {
			network.flush()
		}
	}
}

// spaceCount is the number of entries that can be filled in before the next enter.
func (t *Thread) spaceCount() uint32 { return submissionsMax - uint32(len(t.queued)) }

// entry returns an empty submission whose completion comes back to port with kind and slot; nil
// when the queue is full. It is emptied here: the library's own functions leave behind what an
// earlier use has put in.
func (t *Thread) entry(port, kind uint8, slot uint32) *giouring.SubmissionQueueEntry {
	if t.spaceCount() == 0 {
		return nil
	}
	entry := t.ring.GetSQE()
	assert.That(entry != nil, "the submission queue has room where we count it")
	*entry = giouring.SubmissionQueueEntry{UserData: uint64(port)<<56 | uint64(kind)<<48 | uint64(slot)}
	t.queued = append(t.queued, entry)
	t.inKernel++
	return entry
}

// entered looks at how an enter ended. Whatever it says, the ring tells what has happened.
func (t *Thread) entered(err error) {
	switch err {
	case nil, unix.ETIME, unix.EINTR, unix.EAGAIN, unix.EBUSY, unix.ENOMEM:
		// Time, a signal, or a kernel short of memory or of room for completions: what was not taken
		// stays queued.
	default:
		panic("broken assertion: io_uring_enter is called rightly, by the thread that started the ring: " + err.Error())
	}
	if left := int(t.ring.SQReady()); left > 0 {
		t.keepLeft(left)
		return
	}
	t.queued, t.disksQueued, t.isUrgent, t.isSending = t.queued[:0], 0, false, false
}

// keepLeft deals with an enter that took only the first entries, leaving the last left ones.
//
// If that cut through a chain, its first part has become a chain of its own, and the second would
// run without waiting for it. So the entries of the second part are turned into no-operations; when
// they complete, the disk queues what they were again.
func (t *Thread) keepLeft(left int) {
	taken := len(t.queued) - left
	assert.That(taken >= 0, "the kernel takes no more than was queued")
	isCut := taken > 0 && t.queued[taken-1].Flags&giouring.SqeIOLink != 0
	for _, entry := range t.queued[taken:] {
		if !isCut {
			break
		}
		isCut = entry.Flags&giouring.SqeIOLink != 0
		t.ports[entry.UserData>>56].void(uint32(entry.UserData))
		*entry = giouring.SubmissionQueueEntry{OpCode: giouring.OpNop, UserData: entry.UserData}
	}
	copy(t.queued, t.queued[taken:])
	t.queued, t.disksQueued = t.queued[:left], max(0, t.disksQueued-taken)
}

// collect hands completions to their ports.
func (t *Thread) collect() (completionsCount int) {
	count := t.ring.CQReady()
	if count == 0 {
		return 0
	}
	// No more than are ready, else the library looks into the kernel itself and fills in entries that
	// do not exist.
	count = t.ring.PeekBatchCQE(t.completions[:min(count, completionsTurnMax)])
	for _, completion := range t.completions[:count] {
		userData, result, flags := completion.UserData, completion.Res, completion.Flags
		if flags&giouring.CQEFMore == 0 {
			t.inKernel--
		}
		switch index := uint8(userData >> 56); index {
		case wakePort:
			t.onWake(result)
		case closePort:
		default:
			t.ports[index].complete(uint8(userData>>48), uint32(userData), result, flags)
			completionsCount++
		}
	}
	t.ring.CQAdvance(count)
	return completionsCount
}

// onWake: the eventfd was read, so the read is to be armed again.
func (t *Thread) onWake(result int32) {
	t.wakeArmed = false
	t.isWoken = !t.isAfterWait
	if result == -int32(unix.EAGAIN) {
		// An older kernel does not wait on a descriptor that is set not to block. Nobody but us reads it.
		t.countSyscall()
		flags, err := unix.FcntlInt(uintptr(t.wakeFd), unix.F_GETFL, 0)
		assert.That(err == nil, "the flags of an open eventfd can be read")
		_, err = unix.FcntlInt(uintptr(t.wakeFd), unix.F_SETFL, flags&^unix.O_NONBLOCK)
		assert.That(err == nil, "the flags of an open eventfd can be set")
		return
	}
	assert.That(result == 8 || result == -int32(unix.ECANCELED) || result == -int32(unix.EINTR), "an eventfd is read")
}

// Close implements ports.Thread. On the thread that started the ring.
func (t *Thread) Close() {
	if t.closed {
		return
	}
	if t.started {
		t.drain()
	}
	t.closed = true
	for _, p := range t.ports {
		p.close()
	}
	t.ring.close()
	t.memory.Close()
}

// drain cancels what is under way and collects the completions. The caller closes the data file
// next: that gives up its lock and frees its descriptor's number, so no operation of a disk may be
// left in the kernel, however long the disk takes. Without an end of those, Close does not return:
// a process that must end at once exits, and the kernel keeps the lock for it.
func (t *Thread) drain() {
	for t.spaceCount() == 0 {
		_ = t.enterAndWait(uint64(10*time.Millisecond), false)
		t.collect()
	}
	entry := t.entry(closePort, 0, 0)
	assert.That(entry != nil, "the cancellation has a place in the submission queue")
	entry.OpCode = giouring.OpAsyncCancel
	entry.Fd = -1
	entry.OpcodeFlags = giouring.AsyncCancelAny | giouring.AsyncCancelAll
	t.collectUntil(time.Now().Add(closeWait))
}

// collectUntil collects completions until none is to come. After the deadline it goes on for the
// operations of disks only.
func (t *Thread) collectUntil(deadline time.Time) {
	for t.disksCount > 0 || t.inKernel > 0 && time.Now().Before(deadline) {
		if t.collect() == 0 && t.inKernel > 0 {
			_ = t.enterAndWait(uint64(10*time.Millisecond), false)
		}
	}
}

// SyscallCount implements ports.Thread.
func (t *Thread) SyscallCount() uint64 { return t.syscalls.Load() }

// countSyscall: only this thread writes the counter, so a load and a store do; an atomic addition
// would cost more.
func (t *Thread) countSyscall() { t.syscalls.Store(t.syscalls.Load() + 1) }
