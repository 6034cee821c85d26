package ports

// WaitNsMax is the longest single wait; a longer one is cut to it (any wait may end early).
const WaitNsMax = 3600 * 1_000_000_000

// ThreadOptions are what both kinds of thread are made from.
type ThreadOptions struct {
	// WakeFd is the eventfd of the thread's parker: a write to it ends Wait. The thread reads it, and
	// nobody else does. Below 0: nothing but I/O and time ends Wait.
	WakeFd int
}

// Thread is the kernel side of one OS thread: the ports of the stages that take turns on it.
//
// Life: create the thread, its ports, then (on the goroutine that has locked its OS thread) Start;
// Turn and Wait for ever; Close. Everything from Start on, ports included, is called on that one OS
// thread.
type Thread interface {
	// Disk makes a port to fd with at most operationsMax operations queued, under way or completed but
	// not yet polled. One more is a broken assertion: whoever queues keeps within its budget. Not
	// after Start.
	Disk(fd int, operationsMax uint32) Disk
	// Network makes a port with at most connectionsMax connections, which accepts from listenerFd
	// (below 0: only Connect). The port owns its connections; listenerFd stays the caller's, to be
	// closed after the thread. Not after Start.
	Network(listenerFd int, connectionsMax uint32) Network
	// Start binds the thread to the calling OS thread and arms what is always armed.
	Start() error
	// Turn submits what the ports have queued and collects what has completed, a bounded amount of
	// each, with as few system calls as there can be; it never waits. It returns how many completions
	// the ports may have to poll.
	Turn() (completionsCount int)
	// Wait submits what is queued and blocks until something may have happened: I/O, a write to
	// WakeFd, timeoutNs, or nothing at all. Call Turn afterwards. A write to WakeFd that was noticed
	// by a Turn ends the next Wait at once, so that turns between announcing to park and waiting lose
	// no wake.
	Wait(timeoutNs uint64)
	// Close cancels what is under way, waits until the kernel uses no buffer any more and closes all
	// connections.
	Close()
	// SyscallCount is the number of system calls so far. Any thread may ask.
	SyscallCount() uint64
}
