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
	word atomic.Uint32 // 1: the owner sleeps, or is about to. Every producer reads it after each publication.
	_    [lineBytes]byte

	wakesCount atomic.Uint64 // eventfd writes; counted on the slow way only
	one        uint64        // what a wake writes; never changes
	descriptor int

	// The owner's, for WaitPlain. Here and not on the stack, since the kernel is given their
	// addresses.
	counter uint64
	poll    [1]unix.PollFd
	timeout unix.Timespec
}

// NewParker makes the Parker of one thread. Call it at start: it opens a file descriptor.
func NewParker() (*Parker, error) {
	// Nobody may ever block in a read or a write of it, whoever else emptied it: waiting is ppoll's
	// or io_uring's part (a read armed in an io_uring waits on such a descriptor, too; seen on
	// Linux 6.18).
	descriptor, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd for parking a thread: %w", err)
	}
	p := &Parker{descriptor: descriptor, one: 1}
	p.poll[0] = unix.PollFd{Fd: int32(descriptor), Events: unix.POLLIN}
	return p, nil
}

// Close gives back the eventfd, after every thread that could wake or wait has stopped.
func (p *Parker) Close() error {
	err := unix.Close(p.descriptor)
	p.descriptor = -1
	return err
}

// FileDescriptor is the eventfd that a wake writes. The owner's I/O backend keeps a read of 8 bytes
// of it armed and waits for any completion. The read completes once per wake, or once for several.
func (p *Parker) FileDescriptor() int { return p.descriptor }

// Prepare announces that the owner is going to sleep. The owner then looks at every input once
// more, and either calls Cancel or waits and calls Cancel. Owner only.
func (p *Parker) Prepare() { p.word.Store(1) }

// Cancel ends what Prepare began: from here on producers make no system call. It must follow a
// wait, too, since time and I/O completions end a wait without clearing the word.
//
// returns: true if a producer had cleared the word: its eventfd write has happened or is about to,
// and may end a later wait early. Owner only.
func (p *Parker) Cancel() (woken bool) { return p.word.Swap(0) == 0 }

// WaitPlain sleeps until a wake, or for timeoutNs, or for less (signals end it too), and takes what
// the eventfd holds. It stands between Prepare and Cancel where no io_uring does the waiting. Owner
// only.
func (p *Parker) WaitPlain(timeoutNs uint64) {
	var timeout *unix.Timespec
	if timeoutNs <= math.MaxInt64 {
		p.timeout = unix.NsecToTimespec(int64(timeoutNs))
		timeout = &p.timeout
	}
	// Not RawSyscall: the runtime must know that this thread sleeps, else the next stop-the-world
	// waits for it.
	readyCount, err := unix.Ppoll(p.poll[:], timeout, nil)
	if err == unix.EINTR || err == unix.ENOMEM || readyCount == 0 {
		return // early or late; the owner looks at its inputs either way
	}
	assert.That(err == nil, "ppoll of an open eventfd succeeds")
	unix.RawSyscall(unix.SYS_READ, uintptr(p.descriptor), uintptr(unsafe.Pointer(&p.counter)), 8)
}

// Waker lets producers wake the owner of p.
func (p *Parker) Waker() Waker { return Waker{parker: p} }

// WakesCount is the number of wakes that needed a system call. Any thread.
func (p *Parker) WakesCount() uint64 { return p.wakesCount.Load() }

// Waker is a producer's hold on the thread of its consumer. The zero Waker wakes nobody: right
// where producer and consumer take turns on one thread, and in simulation.
type Waker struct {
	parker *Parker
}

// Wake ends the wait of the owner if it sleeps. Call it after publishing; any thread. While the
// owner is awake this is one load of a line that nobody writes.
func (w Waker) Wake() {
	if w.parker != nil && w.parker.word.Load() != 0 {
		w.parker.wake()
	}
}

// wake makes the system call if the caller is the one who clears the word: one wake per park,
// however many producers.
//
//go:noinline
func (p *Parker) wake() {
	if p.word.Swap(0) == 0 {
		return
	}
	p.wakesCount.Add(1)
	for {
		// RawSyscall, since this cannot block, and a producer should not risk its P over a wake.
		// The counter grows by one per park at most and is far from its end, so the write is never
		// refused.
		count, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(p.descriptor), uintptr(unsafe.Pointer(&p.one)), 8)
		if errno == unix.EINTR {
			continue
		}
		assert.That(errno == 0, "the write of an eventfd succeeds")
		assert.Equal(uint64(count), 8, "bytes written to an eventfd")
		return
	}
}
