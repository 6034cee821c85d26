package posix

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/internal/ports/fifo"
)

// diskTurnMax bounds the operations of one Turn, because each blocks the thread for up to a
// millisecond.
const diskTurnMax = 4

// transferBytesMax is the most that one operation transfers: the length must fit a completion's
// Result.
const transferBytesMax = 1 << 30

type diskKind uint8

const (
	diskRead diskKind = iota + 1
	diskWrite
	diskSync
	diskAllocate
)

type diskOperation struct {
	tag         uint64
	offsetBytes uint64
	lengthBytes uint64 // of diskAllocate
	buffer      []byte
	kind        diskKind
	flags       ports.WriteFlags
}

// Disk is ports.Disk with pread and pwritev2. Operations are performed in the thread's turn, in the
// order of queueing.
type Disk struct {
	thread        *Thread
	fd            int
	operationsMax uint32
	queue         *fifo.Queue[diskOperation]
	completions   *fifo.Queue[ports.DiskCompletion]
	cancelNext    bool // the last operation was linked and failed
	vector        unix.Iovec
}

func newDisk(t *Thread, fd int, operationsMax uint32) *Disk {
	return &Disk{
		thread:        t,
		fd:            fd,
		operationsMax: operationsMax,
		queue:         fifo.New[diskOperation](operationsMax),
		completions:   fifo.New[ports.DiskCompletion](operationsMax),
	}
}

// Read implements ports.Disk.
func (d *Disk) Read(tag uint64, offsetBytes uint64, buffer []byte) {
	assert.That(len(buffer) > 0 && len(buffer) <= transferBytesMax, "a read has a length")
	d.push(diskOperation{tag: tag, offsetBytes: offsetBytes, buffer: buffer, kind: diskRead})
}

// Write implements ports.Disk.
func (d *Disk) Write(tag uint64, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	assert.That(len(buffer) > 0 && len(buffer) <= transferBytesMax, "a write has a length")
	d.push(diskOperation{tag: tag, offsetBytes: offsetBytes, buffer: buffer, kind: diskWrite, flags: flags})
}

// Sync implements ports.Disk.
func (d *Disk) Sync(tag uint64) { d.push(diskOperation{tag: tag, kind: diskSync}) }

// Allocate implements ports.Disk.
func (d *Disk) Allocate(tag uint64, offsetBytes, lengthBytes uint64) {
	d.push(diskOperation{tag: tag, offsetBytes: offsetBytes, lengthBytes: lengthBytes, kind: diskAllocate})
}

// Poll implements ports.Disk.
func (d *Disk) Poll(out []ports.DiskCompletion) (count int) {
	for count < len(out) && d.completions.Count() > 0 {
		out[count] = d.completions.Pop()
		count++
	}
	return count
}

func (d *Disk) push(operation diskOperation) {
	assert.Below(d.queue.Count()+d.completions.Count(), d.operationsMax, "operations of a disk port")
	d.queue.Push(operation)
}

// turn performs a bounded number of operations. It may cut a chain; cancelNext carries the state to
// the next turn.
func (d *Disk) turn() (completionsCount int) {
	for completionsCount < diskTurnMax && d.queue.Count() > 0 {
		operation := d.queue.Pop()
		result := -int32(unix.ECANCELED)
		if !d.cancelNext {
			result = d.perform(&operation)
		}
		d.cancelNext = operation.flags&ports.WriteLinked != 0 && result != int32(len(operation.buffer))
		d.completions.Push(ports.DiskCompletion{Tag: operation.tag, Result: result})
		completionsCount++
	}
	return completionsCount
}

func (d *Disk) perform(operation *diskOperation) (result int32) {
	switch operation.kind {
	case diskRead:
		return d.transfer(operation, 0)
	case diskWrite:
		flags := uintptr(0)
		if operation.flags&ports.WriteDurable != 0 {
			flags = unix.RWF_DSYNC
		}
		return d.transfer(operation, flags)
	case diskSync:
		return d.retried(unix.SYS_FDATASYNC, 0, 0, 0)
	case diskAllocate:
		return d.retried(unix.SYS_FALLOCATE, 0, uintptr(operation.offsetBytes), uintptr(operation.lengthBytes))
	}
	assert.That(false, "the kind of a disk operation is known")
	return 0
}

// transfer reads or writes all of the operation's buffer, in as many calls as the kernel needs.
func (d *Disk) transfer(operation *diskOperation, flags uintptr) (result int32) {
	number := uintptr(unix.SYS_PREADV2)
	if operation.kind == diskWrite {
		number = unix.SYS_PWRITEV2
	}
	done := 0
	for done < len(operation.buffer) {
		d.vector.Base = &operation.buffer[done]
		d.vector.SetLen(len(operation.buffer) - done)
		d.thread.countSyscall()
		moved, _, errno := unix.Syscall6(number, uintptr(d.fd), uintptr(unsafe.Pointer(&d.vector)), 1,
			uintptr(operation.offsetBytes)+uintptr(done), 0, flags)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EINVAL && EndOfDirectFile(operation.kind == diskRead, done):
			return int32(done)
		case errno != 0:
			return -int32(errno)
		case moved == 0 && operation.kind == diskRead:
			return int32(done) // the end of the file
		case moved == 0:
			return -int32(unix.EIO) // the write wrote nothing and gave no reason
		default:
			done += int(moved)
		}
	}
	return int32(done)
}

func (d *Disk) retried(number, a, b, c uintptr) (result int32) {
	for {
		d.thread.countSyscall()
		if _, _, errno := unix.Syscall6(number, uintptr(d.fd), a, b, c, 0, 0); errno != unix.EINTR {
			return -int32(errno)
		}
	}
}

// EndOfDirectFile tells whether EINVAL for the rest of a transfer, after doneBytes of it, means the
// end of the file. Direct I/O returns the last bytes of a file and then refuses an offset that is
// no multiple of a sector.
func EndOfDirectFile(isRead bool, doneBytes int) bool { return isRead && doneBytes%512 != 0 }
