package ports

// WaitNsMax is the longest single wait. A longer one ends after this time, like any wait may end
// early.
const WaitNsMax = 3600 * 1_000_000_000

// ThreadOptions are the options of both kinds of thread.
type ThreadOptions struct {
	// WakeFd is the eventfd of the thread's parker. A write to it ends Wait. Only the thread reads
	// it. Below 0: only I/O and time end a Wait.
	WakeFd int
}

// Thread is the kernel side of one OS thread: the ports of the stages that take turns on it.
//
// The order of calls: create the thread, then its ports, then Start (on the goroutine that has
// locked its OS thread), then Turn and Wait again and again, then Close. All calls from Start on,
// also to the ports, are made on that one OS thread.
type Thread interface {
	// Disk makes a port to fd with at most operationsMax operations that are queued, under way, or
	// completed and not yet polled. One more is a broken assertion, because every stage has a
	// budget. It must not be called after Start.
	Disk(fd int, operationsMax uint32) Disk
	// Network makes a port with at most connectionsMax connections, which accepts from listenerFd
	// (below 0: only Connect). Accepted connections leave connectsReserved of them to Connect, so
	// strangers cannot use up what a caller needs for the peers that it connects to. Connect may
	// also use the others. The port owns its connections. listenerFd stays the caller's, who closes
	// it after the thread. It must not be called after Start.
	Network(listenerFd int, connectionsMax, connectsReserved uint32) Network
	// Start binds the thread to the calling OS thread and arms the operations that are always
	// armed.
	Start() error
	// Turn submits operations that the ports have queued and collects completions, a bounded number
	// of each, with as few system calls as possible. It never waits. It returns the number of
	// completions that the ports may have to poll.
	Turn() (completionsCount int)
	// Wait submits queued operations and blocks until something may have happened: I/O, a write to
	// WakeFd, timeoutNs, or nothing at all. The caller then calls Turn. A write to WakeFd that a
	// Turn has noticed ends the next Wait at once. So turns between the announcement of the parking
	// and the wait lose no wake.
	Wait(timeoutNs uint64)
	// Close cancels all operations, waits until the kernel uses no buffer any more, and closes all
	// connections.
	Close()
	// SyscallCount is the number of system calls so far. Any thread may ask.
	SyscallCount() uint64
}
