// Package posix performs disk and network operations with plain system calls, and opens the data
// file and the listener.
//
//	stage --Read, Write, Receive, Send--> [Disk, Network] --Turn: pread, pwritev2, ...--> kernel
//	                                            ^--------- Wait: epoll, with the parker's eventfd
//
// It is the fallback if io_uring is missing or forbidden. Package uring has the same interface, and
// both pass the same tests. This package also has the parts that both need: data file, listener,
// socket options, peer addresses.
//
// In:     operations of ports.Disk and ports.Network; a path, an address.
// Out:    their completions; *DataFile (a ports.File); a listener's descriptor and port.
// Owns:   epoll descriptor and connections of a Thread; the descriptor and lock of a DataFile.
// Limits: operationsMax per disk, connectionsMax per network. A Turn performs diskTurnMax
// operations per disk, each of which blocks the thread, and one receive and one send per ready
// connection.
// Faults: interrupted and short transfers are continued. Every other error is a completion. If
// descriptors run out, accepting pauses. OpenDataFile names the kind of failure (ErrMissing,
// ErrExists, ErrLocked, ErrNoDirectIO).
// Source: wire protocol, 1.2 (socket options); command line (locks, ports in use).
package posix
