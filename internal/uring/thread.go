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
	noPause   = ^uint64(0)
	wakePort  = 255             // user data in place of a port's index: the parker's eventfd
	closePort = 254             // user data in place of a port's index: Close's cancellation
	closeWait = 5 * time.Second // for operations that are not of a disk
	// idleTurnsMax is the number of turns without a completion for which a receive may wait for an
	// enter that has another reason. A thread that parks enters earlier, by Wait. A thread that
	// spins takes eight turns in no time.
	idleTurnsMax = 8
	// portionMax is the number of entries that one enter takes while a disk operation is under way.
	// A send takes some 10 µs, and the kernel begins the next operation of a chain only between two
	// enters.
	portionMax = 4
	// waitBriefNs is the longest time for which a stop of the world may have to wait for this
	// thread.
	waitBriefNs = 500_000
)

// port is what the thread needs of a Disk or a Network.
type port interface {
	// flush moves queued operations into the submission queue, as many as fit.
	flush()
	// complete takes the completion of an operation.
	complete(kind uint8, slot uint32, result int32, flags uint32)
	// void marks a flushed operation as replaced by a no-operation, whose completion still follows.
	void(slot uint32)
	// unpolledCount is the number of completions that wait for Poll.
	unpolledCount() uint32
	// pauseNs is the time until the port has something to queue by itself, or the end of time.
	pauseNs() uint64
	// close frees what the kernel would keep beyond the ring's life.
	close()
}

// kernelMemory is the memory that the thread's own submissions name.
type kernelMemory struct {
	timeout     syscall.Timespec
	arguments   enterArguments
	wakeCounter uint64
}

// Thread is ports.Thread over one io_uring.
type Thread struct {
	ring    *ring
	memory  *arena.Arena // a few KiB that submissions name, besides the buffers
	ports   []port
	started bool
	closed  bool

	kernel      *kernelMemory
	wakeFd      int
	wakeArmed   bool
	isWoken     bool   // a Turn took a wake that is meant for the next Wait
	isAfterWait bool   // the next Turn is the first after a Wait, which the wake has ended
	inKernel    uint64 // entries submitted whose last completion has not come
	completions [completionsTurnMax]*giouring.CompletionQueueEvent
	queued      []*giouring.SubmissionQueueEntry // entries that the kernel has not taken, in order
	disksQueued int                              // of queued, those up to the last one of a disk
	disksCount  uint32                           // operations of disks in the kernel
	isUrgent    bool                             // queued holds more than receives
	isSending   bool                             // queued holds sends
	idleTurns   uint32                           // turns since the last completion

	syscalls atomic.Uint64
}

var _ ports.Thread = (*Thread)(nil)

// NewThread makes a thread without ports. Its ring is disabled until Start. An error that wraps
// ErrUnavailable means that the caller should use package posix.
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
func (t *Thread) Network(listenerFd int, connectionsMax, connectsReserved uint32) ports.Network {
	n := newNetwork(t, t.portNext(), listenerFd, connectionsMax, connectsReserved)
	t.ports = append(t.ports, n)
	return n
}

func (t *Thread) portNext() uint8 {
	assert.That(!t.started, "ports are made before the thread starts")
	assert.Below(len(t.ports), portsMax, "ports of a thread")
	return uint8(len(t.ports))
}

// Start implements ports.Thread. From here on, the ring serves only the calling OS thread.
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

// submit makes the system calls of a turn. They submit the queued entries, and the kernel finishes
// the work that it has announced. Receives alone wait up to idleTurnsMax turns for an enter that
// has another reason, because their message has seldom arrived yet.
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
			portion = t.disksQueued // the log's write does not wait for the replies behind it
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
		timeoutNs = min(timeoutNs, p.pauseNs())
	}
	// Under load, something completes soon. So the first part of the wait is hidden from the
	// runtime.
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

// flush lets all ports fill in submissions. The eventfd comes first, because it must be armed
// whenever the thread waits.
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
	// Disks come before networks: a write of the log takes longest and depends on nothing, while
	// each send costs some microseconds.
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

// entry returns an empty submission whose completion comes back to port with kind and slot. It
// returns nil when the queue is full. The entry is cleared here, because giouring leaves the
// content of its last use in it.
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

// entered handles the end of an enter. The error alone does not tell how many entries the kernel
// took; the ring's head does.
func (t *Thread) entered(err error) {
	switch err {
	case nil, unix.ETIME, unix.EINTR, unix.EAGAIN, unix.EBUSY, unix.ENOMEM:
		// A time limit, a signal, or a kernel that is short of memory or of room for completions.
		// Entries that it did not take stay queued.
	default:
		panic("broken assertion: io_uring_enter is called rightly, by the thread that started the ring: " + err.Error())
	}
	if left := int(t.ring.SQReady()); left > 0 {
		t.keepLeft(left)
		return
	}
	t.queued, t.disksQueued, t.isUrgent, t.isSending = t.queued[:0], 0, false, false
}

// keepLeft handles an enter that took only the first entries of queued. The last left ones remain.
//
// If the enter cut a chain in two, the kernel has made its first part a chain of its own. The
// second part would then run without waiting for the first. So its entries are turned into
// no-operations. When they complete, the disk queues the original operations again.
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
	// It asks for no more completions than are ready. For more, the library would enter the kernel
	// itself and submit entries that do not exist.
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

// onWake takes the completion of the eventfd's read. The next flush arms the read again.
func (t *Thread) onWake(result int32) {
	t.wakeArmed = false
	t.isWoken = !t.isAfterWait
	if result == -int32(unix.EAGAIN) {
		// An older kernel answers EAGAIN for a descriptor that does not block, instead of waiting.
		// Only this thread reads the eventfd, so it may be made blocking.
		t.countSyscall()
		flags, err := unix.FcntlInt(uintptr(t.wakeFd), unix.F_GETFL, 0)
		assert.That(err == nil, "the flags of an open eventfd can be read")
		_, err = unix.FcntlInt(uintptr(t.wakeFd), unix.F_SETFL, flags&^unix.O_NONBLOCK)
		assert.That(err == nil, "the flags of an open eventfd can be set")
		return
	}
	assert.That(result == 8 || result == -int32(unix.ECANCELED) || result == -int32(unix.EINTR), "an eventfd is read")
}

// Close implements ports.Thread. It runs on the thread that started the ring.
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

// drain cancels all operations and collects their completions. Next, the caller closes the data
// file, which gives up the file's lock and frees the descriptor's number. Therefore no operation of
// a disk may be left in the kernel, and Close waits for them without a time limit. A process that
// must end at once exits instead; then the kernel keeps the lock until the operations have ended.
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

// collectUntil collects completions until none is outstanding. After the deadline, it goes on only
// for operations of disks.
func (t *Thread) collectUntil(deadline time.Time) {
	for t.disksCount > 0 || t.inKernel > 0 && time.Now().Before(deadline) {
		if t.collect() == 0 && t.inKernel > 0 {
			_ = t.enterAndWait(uint64(10*time.Millisecond), false)
		}
	}
}

// SyscallCount implements ports.Thread.
func (t *Thread) SyscallCount() uint64 { return t.syscalls.Load() }

// countSyscall counts a system call. Only this thread writes the counter, so a load and a store are
// enough; an atomic addition would cost more.
func (t *Thread) countSyscall() { t.syscalls.Store(t.syscalls.Load() + 1) }
