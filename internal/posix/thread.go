package posix

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
)

const (
	epollEventsMax = 256
	portsMax       = 64
	wakePort       = 255 // in an epoll event in place of a port's index: the parker's eventfd
)

// Thread is ports.Thread over plain system calls and epoll.
type Thread struct {
	epollFd  int
	wakeFd   int
	disks    []*Disk
	networks []*Network
	started  bool
	closed   bool

	events      [epollEventsMax]unix.EpollEvent
	timeout     unix.Timespec
	wakeCounter uint64
	isWoken     bool // a Turn took a wake that is meant for the next Wait
	noPwait2    bool // the kernel has no epoll_pwait2: timeouts are whole milliseconds

	syscalls atomic.Uint64
}

var _ ports.Thread = (*Thread)(nil)

// NewThread returns a thread without ports.
func NewThread(options ports.ThreadOptions) (*Thread, error) {
	epollFd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	t := &Thread{epollFd: epollFd, wakeFd: options.WakeFd}
	if t.wakeFd >= 0 {
		if errno := t.epollControl(unix.EPOLL_CTL_ADD, t.wakeFd, unix.EPOLLIN, wakePort, 0, 0); errno != 0 {
			_ = unix.Close(epollFd)
			return nil, fmt.Errorf("epoll_ctl of the parker's eventfd: %w", errno)
		}
	}
	return t, nil
}

// Disk implements ports.Thread.
func (t *Thread) Disk(fd int, operationsMax uint32) ports.Disk {
	assert.That(!t.started, "ports are made before the thread starts")
	d := newDisk(t, fd, operationsMax)
	t.disks = append(t.disks, d)
	return d
}

// Network implements ports.Thread.
func (t *Thread) Network(listenerFd int, connectionsMax, connectsReserved uint32) ports.Network {
	assert.That(!t.started, "ports are made before the thread starts")
	assert.Below(len(t.networks), portsMax, "networks of a thread")
	n := newNetwork(t, uint32(len(t.networks)), listenerFd, connectionsMax, connectsReserved)
	t.networks = append(t.networks, n)
	return n
}

// Start implements ports.Thread.
func (t *Thread) Start() error {
	assert.That(!t.started, "a thread starts once")
	t.started = true
	for _, n := range t.networks {
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

// Turn implements ports.Thread.
func (t *Thread) Turn() (completionsCount int) {
	assert.That(t.started && !t.closed, "a turn is taken between Start and Close")
	for _, d := range t.disks {
		completionsCount += d.turn()
	}
	if len(t.networks) > 0 {
		t.poll(0)
		for _, n := range t.networks {
			completionsCount += n.turn()
		}
	}
	return completionsCount
}

// Wait implements ports.Thread.
func (t *Thread) Wait(timeoutNs uint64) {
	assert.That(t.started && !t.closed, "a wait is between Start and Close")
	for _, d := range t.disks {
		if d.queue.Count() > 0 || d.completions.Count() > 0 {
			return // the next Turn performs the queued operations
		}
	}
	for _, n := range t.networks {
		if n.busy() {
			return
		}
		timeoutNs = min(timeoutNs, n.pauseNs())
	}
	if !t.isWoken {
		t.poll(min(timeoutNs, ports.WaitNsMax))
	}
	t.isWoken = false
}

// poll records which descriptors are ready. It waits up to timeoutNs for the first.
func (t *Thread) poll(timeoutNs uint64) {
	count, errno := t.epollWait(timeoutNs)
	if errno != 0 {
		assert.That(errno == unix.EINTR, "epoll_wait fails only when interrupted")
		return
	}
	for i := range t.events[:count] {
		event := &t.events[i]
		port, generation := uint32(event.Pad)>>24, uint32(event.Pad)&generationMask
		if port == wakePort {
			// The eventfd is readable, so this does not block, even if the descriptor is blocking.
			t.countSyscall()
			_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(t.wakeFd), uintptr(unsafe.Pointer(&t.wakeCounter)), 8)
			t.isWoken = true
			continue
		}
		t.networks[port].onReady(uint32(event.Fd), generation, event.Events)
	}
}

func (t *Thread) epollWait(timeoutNs uint64) (count int, errno unix.Errno) {
	t.countSyscall()
	events := uintptr(unsafe.Pointer(&t.events[0]))
	if timeoutNs == 0 {
		// This does not block, so it may be a RawSyscall.
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(t.epollFd), events, epollEventsMax, 0, 0, 0)
		return int(n), errno
	}
	if !t.noPwait2 {
		t.timeout = unix.NsecToTimespec(int64(timeoutNs))
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(t.epollFd), events, epollEventsMax, uintptr(unsafe.Pointer(&t.timeout)), 0, 0)
		if errno != unix.ENOSYS {
			return int(n), errno
		}
		t.noPwait2 = true
	}
	milliseconds := (timeoutNs + 999_999) / 1_000_000
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(t.epollFd), events, epollEventsMax, uintptr(milliseconds), 0, 0)
	return int(n), errno
}

// epollControl registers fd. Its events bring back port, generation and index.
func (t *Thread) epollControl(operation, fd int, interest, port, generation, index uint32) unix.Errno {
	t.countSyscall()
	event := unix.EpollEvent{Events: interest, Fd: int32(index), Pad: int32(port<<24 | generation&generationMask)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(t.epollFd), uintptr(operation), uintptr(fd), uintptr(unsafe.Pointer(&event)),
		0, 0)
	return errno
}

// Close implements ports.Thread.
func (t *Thread) Close() {
	if t.closed {
		return
	}
	t.closed = true
	for _, n := range t.networks {
		n.closeAll()
	}
	_ = unix.Close(t.epollFd)
}

// SyscallCount implements ports.Thread.
func (t *Thread) SyscallCount() uint64 { return t.syscalls.Load() }

// countSyscall counts a system call. Only this thread writes the counter, so a load and a store are
// enough; an atomic addition would cost more.
func (t *Thread) countSyscall() { t.syscalls.Store(t.syscalls.Load() + 1) }
