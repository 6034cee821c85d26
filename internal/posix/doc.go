// Package posix performs disk and network operations with plain system calls, and opens the data
// file and the listener.
//
//	stage --Read, Write, Receive, Send--> [Disk, Network] --Turn: pread, pwritev2, ...--> kernel
//	                                            ^--------- Wait: epoll, with the parker's eventfd
//
// It is the fallback where io_uring is missing or forbidden (package uring has the same surface,
// and both pass the same tests), and the home of what both need: data file, listener, socket
// options, peer addresses.
//
// In:     operations of ports.Disk and ports.Network; a path, an address.
// Out:    their completions; *DataFile (a ports.File); a listener's descriptor and port.
// Owns:   epoll descriptor and connections of a Thread; the descriptor and lock of a DataFile.
// Limits: operationsMax per disk, connectionsMax per network; a Turn performs diskTurnMax
// operations per disk (a disk call blocks the thread while it lasts) and one receive and send per
// connection that is ready.
// Faults: interrupted and short transfers are continued; every other error is a completion.
// Descriptors running out pauses accepting. OpenDataFile names the kind of failure (ErrMissing,
// ErrExists, ErrLocked, ErrNoDirectIO).
// Source: wire protocol, 1.2 (socket options); command line (locks, ports in use).
package posix
