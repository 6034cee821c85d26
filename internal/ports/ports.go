// Package ports defines the operations on disk and network that a stage can use.
//
//	stage --Read, Write, Send, Receive--> [port] --completions, by tag--> stage
//
// A port queues operations. It never blocks and never calls back. When the thread that owns the
// port takes its turn, it submits queued operations and collects completions. Package uring does so
// with one system call for all ports of a thread, package posix with plain system calls, and
// package sim with a seeded scheduler.
//
// Buffers are off-heap (package arena). They belong to the port until their completion has been
// polled. Buffers for the disk are aligned to the sector in address, length and offset. A port
// belongs to one thread.
package ports

import "sync"

// DiskCompletion is the result of a queued disk operation.
type DiskCompletion struct {
	Tag    uint64 // the caller's tag
	Result int32  // bytes transferred, or a negative errno
}

// WriteFlags of one write.
type WriteFlags uint8

const (
	// WriteLinked: the next operation on this port starts only after this one has succeeded. If
	// this one fails or is short, the next completes with -ECANCELED. A chain may have more than
	// two operations.
	WriteLinked WriteFlags = 1 << iota
	// WriteDurable: the write has reached the medium when it completes (O_DSYNC or RWF_DSYNC).
	WriteDurable
)

// Disk is one view of the data file.
//
// A port completes short transfers itself by submitting the rest. The exception is the end of the
// file, where a read returns the bytes that there are. Results: the full length; a short read at
// the end of the file; or -errno (EIO, ENOSPC, ...).
type Disk interface {
	// Read queues a read of len(buffer) bytes at offsetBytes.
	Read(tag uint64, offsetBytes uint64, buffer []byte)
	// Write queues a write of buffer at offsetBytes.
	Write(tag uint64, offsetBytes uint64, buffer []byte, flags WriteFlags)
	// Sync queues an fdatasync. It covers the writes that had completed when it was queued, and no
	// others.
	Sync(tag uint64)
	// Allocate queues the reservation of disk space up to the end of the range (fallocate). The
	// result is ENOSPC on a full disk.
	Allocate(tag uint64, offsetBytes, lengthBytes uint64)
	// Poll moves up to len(out) completions into out and returns their number.
	Poll(out []DiskCompletion) int
}

// File is the data file before the pipeline runs. Its calls are synchronous. Format and recovery
// use it.
type File interface {
	// ReadAt fills buffer. Bytes behind the end of the file read as zeros. An unreadable sector is
	// an error.
	ReadAt(buffer []byte, offsetBytes uint64) error
	// WriteAt returns when buffer is durable.
	WriteAt(buffer []byte, offsetBytes uint64) error
	// SizeBytes of the file.
	SizeBytes() (uint64, error)
}

// SharedFile is a File whose ReadAt up to ReadersMax goroutines may call at the same time. A disk
// answers several reads sooner than as many one after the other.
type SharedFile interface {
	File
	ReadersMax() int
}

// ReadersMax is the number of goroutines that may read a file at the same time.
func ReadersMax(file File) int {
	if shared, ok := file.(SharedFile); ok {
		return shared.ReadersMax()
	}
	return 1
}

// SideBySide calls read for each of up to readersMax readers, or as many as the file allows, and
// returns when all calls have returned. Each runs on a goroutine of its own if there are several.
func SideBySide(file File, readersMax int, read func(reader, readers int)) {
	readers := min(readersMax, ReadersMax(file))
	if readers == 1 {
		read(0, 1)
		return
	}
	var reading sync.WaitGroup
	for reader := range readers {
		reading.Go(func() { read(reader, readers) })
	}
	reading.Wait()
}

// DataFile is the File with which a server starts.
type DataFile interface {
	File
	// Sync makes durable the file's name and the writes that an earlier process left unsynced.
	// After it, ReadAt returns bytes that are on the medium. No decision may depend on bytes that
	// were read before. Source: consensus, 8.1.
	Sync() error
}

// NameAnswer is the answer to a question for a replica's address.
type NameAnswer struct {
	Replica uint8
	OK      bool // otherwise its name has no address, or nobody knows it now
	Attempt uint64
	Address [18]byte // as in NetworkEvent.Peer
}

// Names finds the addresses of the other replicas of a cluster.
type Names interface {
	// Resolve asks for the address of a replica. A newer question about the same replica may take
	// the place of an older one, which then has no answer. The caller decides how long it waits.
	Resolve(replica uint8, attempt uint64)
	// Poll moves up to len(out) answers into out and returns their number.
	Poll(out []NameAnswer) int
}

// ConnectionID names a connection of one Network: an index below the connection limit. After
// NetworkClosed, it may name another connection.
type ConnectionID uint32

// NetworkEventKind of a NetworkEvent.
type NetworkEventKind uint8

const (
	NetworkAccepted     NetworkEventKind = iota + 1 // a peer connected; Connection is new
	NetworkReceived                                 // Receive ended: Bytes > 0 arrived, 0 the peer closed, < 0 -errno
	NetworkSent                                     // Send ended: all Bytes were handed over, or < 0 -errno
	NetworkClosed                                   // after Close: no buffer of this connection is in use any more
	NetworkConnected                                // Connect ended: Bytes 0, or -errno (then the connection is gone at once)
	NetworkAcceptFailed                             // accepting pauses, Bytes is -errno; the event has no connection
)

// NetworkEvent is an event of a connection.
type NetworkEvent struct {
	Kind       NetworkEventKind
	Connection ConnectionID
	Bytes      int32
	Peer       [18]byte // Accepted: the peer's IPv6 (or v4-mapped) address and its port, big-endian
}

// Network is the sockets of one thread: a listener and a bounded number of connections.
//
// At most one Receive and one Send are outstanding per connection. A Send is complete when all of
// its bytes are handed to the kernel. If no further connection may be accepted, new ones stay in
// the listener's backlog. An error such as a lack of descriptors is told as NetworkAcceptFailed,
// and accepting pauses for a time.
type Network interface {
	// Connect queues a connection to peer (an address as in NetworkEvent.Peer). NetworkConnected is
	// its result; until then, the connection may only be closed. ok is false if the limit of
	// connections is reached. The caller decides how long it waits for an answer, and then closes
	// the connection, because the kernel alone would try for minutes.
	Connect(peer [18]byte) (connection ConnectionID, ok bool)
	// Receive queues one receive of 1..len(buffer) bytes.
	Receive(connection ConnectionID, buffer []byte)
	// ReceiveAll is Receive for bytes that the caller expects. A port that can do so waits until
	// buffer is full. It may return fewer bytes all the same.
	ReceiveAll(connection ConnectionID, buffer []byte)
	// Send queues buffer.
	Send(connection ConnectionID, buffer []byte)
	// SendParts is Send of the bytes of header and then those of body, as one send. A message whose
	// parts lie in different places needs no copy, and the parts can leave in one segment. header
	// has bytes. body may be empty.
	SendParts(connection ConnectionID, header, body []byte)
	// Close ends the connection. Outstanding operations are cancelled and have no events. Events of
	// the connection that were not polled yet are dropped. NetworkClosed follows. The bytes of a
	// finished Send still reach the peer, unless the peer has sent bytes that nobody received: then
	// TCP resets the connection.
	Close(connection ConnectionID)
	// Poll moves up to len(out) events into out and returns their number.
	Poll(out []NetworkEvent) int
}
