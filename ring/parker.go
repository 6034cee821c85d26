package ring

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
)

// Parker is the place where one thread sleeps. The package documentation has the protocol.
type Parker struct {
	_    [lineBytes]byte
	word atomic.Uint32 // 1: the owner sleeps, or is about to. Every producer reads it after each push.
	_    [lineBytes]byte

	wakesCount atomic.Uint64 // eventfd writes; counted only on the slow path
	one        uint64        // the number that a wake writes; never changes
	descriptor int

	// Memory of the owner for WaitPlain. It is not on the stack, because the kernel gets its
	// address.
	counter uint64
	poll    [1]unix.PollFd
	timeout unix.Timespec
}

// NewParker makes the Parker of one thread. It opens a file descriptor, so it is called at start.
func NewParker() (*Parker, error) {
	// The eventfd does not block. A read or write of it must never block, even if another reader
	// has emptied it. Waiting is done by ppoll, or by io_uring. (A read that is armed in an
	// io_uring also waits on a non-blocking descriptor; seen on Linux 6.18.)
	descriptor, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd for parking a thread: %w", err)
	}
	p := &Parker{descriptor: descriptor, one: 1}
	p.poll[0] = unix.PollFd{Fd: int32(descriptor), Events: unix.POLLIN}
	return p, nil
}

// Close closes the eventfd. All threads that could wake or wait must have stopped before.
func (p *Parker) Close() error {
	err := unix.Close(p.descriptor)
	p.descriptor = -1
	return err
}

// FileDescriptor is the eventfd that a wake writes. The owner's I/O backend keeps a read of 8 bytes
// armed and waits for any completion. The read completes once per wake, or once for several wakes.
func (p *Parker) FileDescriptor() int { return p.descriptor }

// Prepare announces that the owner is about to sleep. The owner then looks at every input once
// more. It waits if there is nothing, and calls Cancel in either case. Owner only.
func (p *Parker) Prepare() { p.word.Store(1) }

// Cancel ends the announcement of Prepare. From here on, producers make no system call. It must
// also follow a wait, because a time limit or an I/O completion ends a wait without clearing the
// word.
//
// returns: true if a producer had cleared the word. Its eventfd write has happened or is about to,
// and may end a later wait early. Owner only.
func (p *Parker) Cancel() (woken bool) { return p.word.Swap(0) == 0 }

// WaitPlain sleeps until a wake or for timeoutNs, or for less, because signals also end it. Then it
// reads the eventfd. It is called between Prepare and Cancel if no io_uring does the waiting. Owner
// only.
func (p *Parker) WaitPlain(timeoutNs uint64) {
	var timeout *unix.Timespec
	if timeoutNs <= math.MaxInt64 {
		p.timeout = unix.NsecToTimespec(int64(timeoutNs))
		timeout = &p.timeout
	}
	// This is no RawSyscall, because the runtime must know that the thread sleeps. Otherwise the
	// next stop of the world would wait for it.
	readyCount, err := unix.Ppoll(p.poll[:], timeout, nil)
	if err == unix.EINTR || err == unix.ENOMEM || readyCount == 0 {
		return // early or late; in any case, the owner looks at its inputs
	}
	assert.That(err == nil, "ppoll of an open eventfd succeeds")
	unix.RawSyscall(unix.SYS_READ, uintptr(p.descriptor), uintptr(unsafe.Pointer(&p.counter)), 8)
}

// Waker returns the handle with which producers wake the owner of p.
func (p *Parker) Waker() Waker { return Waker{parker: p} }

// WakesCount is the number of wakes that needed a system call. Any thread.
func (p *Parker) WakesCount() uint64 { return p.wakesCount.Load() }

// Waker is a producer's handle of its consumer's thread. The zero Waker wakes no thread. It is used
// if producer and consumer share a thread, and in simulation.
type Waker struct {
	parker *Parker
}

// Wake ends the wait of the owner if it sleeps. It is called after publishing, on any thread. While
// the owner is awake, it is a single load of a cache line that no thread writes.
func (w Waker) Wake() {
	if w.parker != nil && w.parker.word.Load() != 0 {
		w.parker.wake()
	}
}

// wake makes the system call if this caller clears the word. So there is one wake per park, for any
// number of producers.
//
//go:noinline
func (p *Parker) wake() {
	if p.word.Swap(0) == 0 {
		return
	}
	p.wakesCount.Add(1)
	for {
		// This cannot block, so it is a RawSyscall: the producer keeps its P. The counter grows by
		// at most one per park and never reaches its end, so the write is never refused.
		count, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(p.descriptor), uintptr(unsafe.Pointer(&p.one)), 8)
		if errno == unix.EINTR {
			continue
		}
		assert.That(errno == 0, "the write of an eventfd succeeds")
		assert.Equal(uint64(count), 8, "bytes written to an eventfd")
		return
	}
}
