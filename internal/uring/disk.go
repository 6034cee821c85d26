package uring

import (
	"unsafe"

	"github.com/pawelgaczynski/giouring"
	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/internal/ports/fifo"
	"ledger/internal/posix"
)

// Every operation belongs to a chain; most chains have length 1. A chain is submitted whole, in one
// enter, with the kernel's links (IOSQE_IO_LINK) between its operations. So the kernel itself
// starts the next operation, without waiting for a turn of this thread.
//
// The kernel breaks a chain at the first operation that does not transfer all of its bytes, and
// cancels the rest. The promise of ports.Disk differs: only an error breaks a chain. A short write
// is to be continued, and the operations behind it run after that. So the chain is examined when
// all completions of a submission are in:
//
//	1 done, 2 failed, 3 cancelled   -> 2 has its error, 3 -ECANCELED, the chain is over
//	1 done, 2 short,  3 cancelled   -> submit: rest of 2, linked, 3
type (
	chain struct {
		first, last uint32 // operations that have not completed, in order; none if empty
		length      uint32 // number of these operations
		inKernel    uint32 // operations submitted whose completion has not come
		isOpen      bool   // the next operation that is queued joins this chain
		isFailed    bool   // an operation has failed: the others are cancelled
	}

	operation struct {
		tag         uint64
		offsetBytes uint64
		address     uintptr // of the buffer
		lengthBytes uint64
		doneBytes   uint64
		chain       uint32
		next        uint32 // the next operation of the chain, or none
		code        uint8
		flags       ports.WriteFlags
		isVoid      bool   // a no-operation was submitted in its place
		cancels     uint16 // since it last got on, so that it is not submitted for ever; see cancelsMax
	}
)

const none = 0xffffffff

// transferBytesMax is the most that one operation transfers: the length must fit a completion's
// Result.
const transferBytesMax = 1 << 30

// cancelsMax is how often in a row the kernel may take back one operation. Most operations on files
// run in a thread that the kernel makes for that. If it cannot make one, all operations that wait
// for it end with -ECANCELED, and none of them has begun. The usual reason passes: signals, which
// Go's scheduler sends to busy threads, came at each of its four tries (WORKER_INIT_LIMIT in the
// kernel's io_uring/io-wq.c), which take some 30 ms. A limit on threads or memory may stay, so that
// there is an end.
const cancelsMax = 100

// Disk is ports.Disk over the thread's ring.
type Disk struct {
	thread           *Thread
	port             uint8
	fd               int
	operations       []operation
	operationsFree   []uint32
	chains           []chain
	chainsFree       []uint32
	chainOpen        uint32 // the chain that the next operation joins, or none
	ready            *fifo.Queue[uint32]
	completions      *fifo.Queue[ports.DiskCompletion]
	outstandingCount uint32 // operations not yet polled
}

func newDisk(t *Thread, port uint8, fd int, operationsMax uint32) *Disk {
	assert.That(operationsMax > 0, "a disk has operations")
	d := &Disk{
		thread:         t,
		port:           port,
		fd:             fd,
		operations:     make([]operation, operationsMax),
		operationsFree: make([]uint32, 0, operationsMax),
		chains:         make([]chain, operationsMax),
		chainsFree:     make([]uint32, 0, operationsMax),
		chainOpen:      none,
		ready:          fifo.New[uint32](operationsMax),
		completions:    fifo.New[ports.DiskCompletion](operationsMax),
	}
	for i := operationsMax; i > 0; i-- {
		d.operationsFree = append(d.operationsFree, i-1)
		d.chainsFree = append(d.chainsFree, i-1)
	}
	return d
}

// Read implements ports.Disk.
func (d *Disk) Read(tag uint64, offsetBytes uint64, buffer []byte) {
	assert.That(len(buffer) > 0 && len(buffer) <= transferBytesMax, "a read has a length")
	d.push(operation{tag: tag, offsetBytes: offsetBytes, address: address(buffer), lengthBytes: uint64(len(buffer)), code: giouring.OpRead})
}

// Write implements ports.Disk.
func (d *Disk) Write(tag uint64, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	assert.That(len(buffer) > 0 && len(buffer) <= transferBytesMax, "a write has a length")
	d.push(operation{tag: tag, offsetBytes: offsetBytes, address: address(buffer), lengthBytes: uint64(len(buffer)), code: giouring.OpWrite,
		flags: flags})
}

// Sync implements ports.Disk.
func (d *Disk) Sync(tag uint64) { d.push(operation{tag: tag, code: giouring.OpFsync}) }

// Allocate implements ports.Disk.
func (d *Disk) Allocate(tag uint64, offsetBytes, lengthBytes uint64) {
	d.push(operation{tag: tag, offsetBytes: offsetBytes, lengthBytes: lengthBytes, code: giouring.OpFallocate})
}

// Poll implements ports.Disk.
func (d *Disk) Poll(out []ports.DiskCompletion) (count int) {
	for count < len(out) && d.completions.Count() > 0 {
		out[count] = d.completions.Pop()
		d.outstandingCount--
		count++
	}
	return count
}

func address(buffer []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(buffer))) }

// push queues o at the end of the open chain, or as a new chain.
func (d *Disk) push(o operation) {
	assert.Below(d.outstandingCount, uint32(len(d.operations)), "operations of a disk port")
	d.outstandingCount++
	slot := d.operationsFree[len(d.operationsFree)-1]
	d.operationsFree = d.operationsFree[:len(d.operationsFree)-1]

	index := d.chainOpen
	if index == none {
		index = d.chainsFree[len(d.chainsFree)-1]
		d.chainsFree = d.chainsFree[:len(d.chainsFree)-1]
		d.chains[index] = chain{first: slot, isOpen: true}
	} else {
		d.operations[d.chains[index].last].next = slot
	}
	c := &d.chains[index]
	c.last = slot
	c.length++
	assert.AtMost(c.length, submissionsMax, "operations of a chain")
	o.chain, o.next = index, none
	d.operations[slot] = o

	d.chainOpen = index
	if o.flags&ports.WriteLinked == 0 {
		c.isOpen = false
		d.chainOpen = none
		d.ready.Push(index)
	}
}

// flush submits chains, each of them whole, because the kernel's links do not reach from one enter
// to the next.
func (d *Disk) flush() {
	for d.ready.Count() > 0 {
		c := &d.chains[*d.ready.Peek()]
		if c.length > d.thread.spaceCount() {
			return
		}
		d.ready.Pop()
		for slot := c.first; slot != none; slot = d.operations[slot].next {
			d.submit(slot)
			c.inKernel++
			d.thread.disksCount++
		}
	}
}

func (d *Disk) submit(slot uint32) {
	o := &d.operations[slot]
	entry := d.thread.entry(d.port, 0, slot)
	entry.OpCode = o.code
	entry.Fd = int32(d.fd)
	if o.next != none {
		entry.Flags = giouring.SqeIOLink
	}
	switch o.code {
	case giouring.OpRead, giouring.OpWrite:
		entry.Off = o.offsetBytes + o.doneBytes
		entry.Addr = uint64(o.address) + o.doneBytes
		entry.Len = uint32(o.lengthBytes - o.doneBytes)
		if o.flags&ports.WriteDurable != 0 {
			entry.OpcodeFlags = unix.RWF_DSYNC
		}
	case giouring.OpFsync:
		entry.OpcodeFlags = giouring.FsyncDatasync
	// The length goes where other operations have the address, the mode where others have the
	// length.
	case giouring.OpFallocate:
		entry.Off = o.offsetBytes
		entry.Addr = o.lengthBytes
	}
}

// void implements port.
func (d *Disk) void(slot uint32) { d.operations[slot].isVoid = true }

// complete implements port.
func (d *Disk) complete(_ uint8, slot uint32, result int32, _ uint32) {
	o := &d.operations[slot]
	c := &d.chains[o.chain]
	assert.That(c.inKernel > 0, "an operation that completes was submitted")
	c.inKernel--
	d.thread.disksCount--
	isFirst := slot == c.first
	switch {
	case o.isVoid:
		o.isVoid = false // it is submitted again
	case !isFirst && result == -int32(unix.ECANCELED):
		// An operation before it was short or has failed. settle decides what becomes of this one.
	case !isFirst:
		// Completions of a chain come in order, each after the success of the previous operation.
		// The exception is a chain that the kernel refused to begin, because of a mistake of ours
		// in one of its entries.
		assert.That(result < 0, "an operation completes after the one that it is linked to")
		c.isFailed = true
	case result == -int32(unix.EINTR) || result == -int32(unix.EAGAIN):
		// The operation has not begun. It is submitted again.
	case result == -int32(unix.ECANCELED) && o.cancels < cancelsMax:
		o.cancels++ // nor has this one
	default:
		o.cancels = 0
		d.progress(o, c, slot, result)
	}
	if c.inKernel == 0 {
		d.settle(o.chain, c)
	}
}

// progress takes the result of the first operation of c.
func (d *Disk) progress(o *operation, c *chain, slot uint32, result int32) {
	isTransfer := o.code == giouring.OpRead || o.code == giouring.OpWrite
	isRead := o.code == giouring.OpRead
	switch {
	case result == -int32(unix.EINVAL) && isTransfer && posix.EndOfDirectFile(isRead, int(o.doneBytes)):
		result = int32(o.doneBytes)
	case result < 0:
		c.isFailed = true
	case !isTransfer:
	case result == 0 && isRead:
		result = int32(o.doneBytes) // the end of the file
	case result == 0:
		result = -int32(unix.EIO) // the write wrote nothing and gave no reason
		c.isFailed = true
	default:
		o.doneBytes += uint64(result)
		assert.AtMost(o.doneBytes, o.lengthBytes, "bytes of a transfer")
		if o.doneBytes < o.lengthBytes {
			return // the rest is submitted by settle
		}
		result = int32(o.doneBytes)
	}
	d.finish(c, slot, result)
}

// finish removes the first operation from c and queues its completion.
func (d *Disk) finish(c *chain, slot uint32, result int32) {
	assert.Equal(slot, c.first, "operations of a chain finish in order")
	o := &d.operations[slot]
	c.first = o.next
	c.length--
	d.completions.Push(ports.DiskCompletion{Tag: o.tag, Result: result})
	d.operationsFree = append(d.operationsFree, slot)
}

// settle decides how a chain goes on when no operation of it is in the kernel.
func (d *Disk) settle(index uint32, c *chain) {
	if c.isFailed {
		for c.first != none {
			d.finish(c, c.first, -int32(unix.ECANCELED))
		}
	}
	if c.first == none {
		assert.Equal(c.length, 0, "operations of an empty chain")
		d.chainsFree = append(d.chainsFree, index)
		return
	}
	d.ready.Push(index)
}

// pauseNs implements port. A disk begins nothing by itself.
func (d *Disk) pauseNs() uint64 { return noPause }

// unpolledCount implements port.
func (d *Disk) unpolledCount() uint32 { return d.completions.Count() }

// close implements port.
func (d *Disk) close() {}
