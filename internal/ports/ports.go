// Package ports says what a stage may ask of the disk and of the network.
//
//	stage --Read, Write, Send, Receive--> [port] --completions, by tag--> stage
//
// A port queues; it never blocks and never calls back. What was queued is submitted, and what has
// completed is collected, when the thread that owns the port takes its turn (one system call for
// all ports of a thread, see package uring; plain system calls in package posix; a seeded scheduler
// in package sim). Buffers are off-heap (package arena), stay the port's until their completion has
// been polled, and for the disk are aligned to the sector in address, length and offset. A port
// belongs to one thread.
package ports

// DiskCompletion says how a queued disk operation ended.
type DiskCompletion struct {
	Tag    uint64 // what the caller gave
	Result int32  // bytes transferred, or a negative errno
}

// WriteFlags of one write.
type WriteFlags uint8

const (
	// WriteLinked: the operation queued next on this port starts only after this one has succeeded; if
	// this one fails or is short, the next completes with -ECANCELED. Chains may be longer than two.
	WriteLinked WriteFlags = 1 << iota
	// WriteDurable: the write has reached the medium when it completes (O_DSYNC or RWF_DSYNC).
	WriteDurable
)

// Disk is one view of the data file.
//
// Short transfers: a port finishes them itself (it resubmits the rest), except at the end of the
// file, where a read delivers what there is. Results: the full length; a short read at the end of
// the file; or -errno (EIO, ENOSPC, ...).
type Disk interface {
	// Read queues a read of len(buffer) bytes at offsetBytes.
	Read(tag uint64, offsetBytes uint64, buffer []byte)
	// Write queues a write of buffer at offsetBytes.
	Write(tag uint64, offsetBytes uint64, buffer []byte, flags WriteFlags)
	// Sync queues an fdatasync. It covers the writes that had completed when it was queued, no others.
	Sync(tag uint64)
	// Allocate queues the reservation of disk space up to the end of the range (fallocate); ENOSPC is
	// its answer to a full disk.
	Allocate(tag uint64, offsetBytes, lengthBytes uint64)
	// Poll moves up to len(out) completions into out and returns how many.
	Poll(out []DiskCompletion) int
}

// File is the data file before the pipeline runs: plain synchronous calls, used by format and by
// recovery.
type File interface {
	// ReadAt fills buffer; what lies behind the end of the file reads as zeros. An unreadable sector
	// is an error.
	ReadAt(buffer []byte, offsetBytes uint64) error
	// WriteAt returns when buffer is durable.
	WriteAt(buffer []byte, offsetBytes uint64) error
	// SizeBytes of the file.
	SizeBytes() (uint64, error)
}

// DataFile is the File of a start.
type DataFile interface {
	File
	// Sync makes durable what an earlier process wrote and did not sync, and the file's name; what
	// ReadAt gives from then on is on the medium. Nothing may be decided by what was read before.
	// Source: consensus, 8.1.
	Sync() error
}

// SharedFile is a File that several threads may read at once.
type SharedFile interface {
	File
	// ReadersMax is how many threads make it faster.
	ReadersMax() int
}

// ConnectionID names a connection of one Network: an index below the connection limit. It may name
// another connection after NetworkClosed.
type ConnectionID uint32

// NetworkEventKind of a NetworkEvent.
type NetworkEventKind uint8

const (
	NetworkAccepted  NetworkEventKind = iota + 1 // a peer connected; Connection is new
	NetworkReceived                              // Receive ended: Bytes > 0 arrived, 0 the peer closed, < 0 -errno
	NetworkSent                                  // Send ended: all Bytes were handed over, or < 0 -errno
	NetworkClosed                                // after Close: no buffer of this connection is in use any more
	NetworkConnected                             // Connect ended: Bytes 0, or -errno (then the connection is gone at once)
)

// NetworkEvent is what happened to a connection.
type NetworkEvent struct {
	Kind       NetworkEventKind
	Connection ConnectionID
	Bytes      int32
	Peer       [18]byte // Accepted: the peer's IPv6 (or v4-mapped) address and its port, big-endian
}

// Network is the sockets of one thread: a listener and at most a fixed number of connections.
//
// At most one Receive and one Send are outstanding per connection. A Send is complete when all of
// its bytes are handed to the kernel. A connection beyond the limit stays in the listener's backlog
// until a place is free. After an error such as a lack of descriptors, accepting pauses for a time.
type Network interface {
	// Connect queues a connection to peer (an address as in NetworkEvent.Peer); NetworkConnected tells
	// how it ended, and until then the connection may only be closed. ok is false when the limit of
	// connections is reached.
	Connect(peer [18]byte) (connection ConnectionID, ok bool)
	// Receive queues one receive of 1..len(buffer) bytes.
	Receive(connection ConnectionID, buffer []byte)
	// ReceiveAll is Receive for bytes that the caller knows to come: a port that can waits until
	// buffer is full. Fewer may be delivered all the same.
	ReceiveAll(connection ConnectionID, buffer []byte)
	// Send queues buffer.
	Send(connection ConnectionID, buffer []byte)
	// Close ends the connection. Outstanding operations are cancelled without events of their own,
	// events of it that were not polled yet are dropped, and NetworkClosed follows. What a finished
	// Send handed over still reaches the peer, unless there are bytes from the peer that nobody
	// received: then TCP resets the connection.
	Close(connection ConnectionID)
	// Poll moves up to len(out) events into out and returns how many.
	Poll(out []NetworkEvent) int
}
