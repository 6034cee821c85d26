//go:build diskfaults

package replica

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/ring"
	"ledger/wire"
)

// The file of disk faults, which the server shares with a test (interop/cluster/faults.go has the
// same numbers). LEDGER_DISK_FAULTS names it. Integers are of this machine.
//
//	0     delay, ns      the test sets it: each completion of each disk comes so much later
//	8     reads          the test sets it: of so many reads of a disk, one fails with EIO; 0: none
//	16    writes         the test sets it: 1: all writes fail with EIO, and change nothing
//	4096  32 entries     the writes of the log's disk that are under way
//
// An entry has a page of fields and then the bytes that the range had before the write. The state
// is set to 1 before the write is submitted, and to 0 when its completion was polled. So after a
// kill -9, the file tells which writes nobody had been told of, and what a power cut could have
// left in their place.
const (
	faultsEntriesAt  = 4096
	faultsEntries    = 32
	faultsEntryBytes = 4096 + wire.MessageBytesMax
	faultsBytes      = faultsEntriesAt + faultsEntries*faultsEntryBytes
)

// faultsEntry is the fields of an entry.
type faultsEntry struct {
	state    uint64
	sequence uint64 // of the write among all of this process
	offset   uint64
	length   uint64
	isLinked uint64 // 1: the write with the next sequence begins only when this one has succeeded
	tag      uint64
}

type diskFaults struct {
	memory []byte
	fd     int // of the data file
}

// newDiskFaults maps the file. Without the variable there are no faults.
func (s *Server) newDiskFaults() (*diskFaults, error) {
	path := os.Getenv("LEDGER_DISK_FAULTS")
	if path == "" {
		return nil, nil
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("LEDGER_DISK_FAULTS=%s: %w", path, err)
	}
	defer unix.Close(fd)
	memory, err := unix.Mmap(fd, 0, faultsBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping LEDGER_DISK_FAULTS=%s: %w", path, err)
	}
	return &diskFaults{memory: memory, fd: s.file.Fd}, nil
}

// of is disk with its faults. records: its writes are recorded. waker wakes the thread that polls.
func (f *diskFaults) of(disk ports.Disk, waker ring.Waker, records bool) ports.Disk {
	if f == nil {
		return disk
	}
	return &faultyDisk{Disk: disk, faults: f, waker: waker, records: records}
}

func (f *diskFaults) delay() time.Duration    { return time.Duration(f.number(0)) }
func (f *diskFaults) readsPerFailure() uint64 { return f.number(8) }
func (f *diskFaults) failsWrites() bool       { return f.number(16) != 0 }

func (f *diskFaults) number(at int) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&f.memory[at])))
}

func (f *diskFaults) entry(i int) (*faultsEntry, []byte) {
	at := faultsEntriesAt + i*faultsEntryBytes
	return (*faultsEntry)(unsafe.Pointer(&f.memory[at])), f.memory[at+4096 : at+faultsEntryBytes]
}

// faultyDisk is a disk whose completions come late or fail, and whose writes are recorded.
type faultyDisk struct {
	ports.Disk
	faults   *diskFaults
	waker    ring.Waker
	records  bool
	sequence uint64
	late     []lateCompletion
	reads    uint64
	failing  []uint64               // tags of reads under way that fail
	failed   []ports.DiskCompletion // of writes that never began
	polled   [64]ports.DiskCompletion
}

type lateCompletion struct {
	ports.DiskCompletion
	due time.Time
}

// Read implements ports.Disk.
func (d *faultyDisk) Read(tag, offsetBytes uint64, buffer []byte) {
	d.reads++
	if per := d.faults.readsPerFailure(); per > 0 && d.reads%per == 0 {
		d.failing = append(d.failing, tag)
	}
	d.Disk.Read(tag, offsetBytes, buffer)
}

// Write implements ports.Disk. A write that fails takes the next one along if that is linked behind
// it, since all fail.
func (d *faultyDisk) Write(tag, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	if d.faults.failsWrites() {
		d.failed = append(d.failed, ports.DiskCompletion{Tag: tag, Result: -int32(unix.EIO)})
		d.waker.Wake()
		return
	}
	if d.records {
		d.record(tag, offsetBytes, buffer, flags)
	}
	d.Disk.Write(tag, offsetBytes, buffer, flags)
}

func (d *faultyDisk) record(tag, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	d.sequence++
	for i := range faultsEntries {
		e, before := d.faults.entry(i)
		if atomic.LoadUint64(&e.state) != 0 {
			continue
		}
		count, err := unix.Pread(d.faults.fd, before[:len(buffer)], int64(offsetBytes))
		assert.That(err == nil, "what a write replaces can be read")
		clear(before[count:len(buffer)]) // behind the end of the file
		e.sequence, e.offset, e.length, e.tag, e.isLinked = d.sequence, offsetBytes, uint64(len(buffer)), tag, 0
		if flags&ports.WriteLinked != 0 {
			e.isLinked = 1
		}
		atomic.StoreUint64(&e.state, 1)
		return
	}
	assert.That(false, "few writes of the log's disk are under way")
}

// Poll implements ports.Disk.
func (d *faultyDisk) Poll(out []ports.DiskCompletion) int {
	if len(d.failed) > 0 {
		count := copy(out, d.failed)
		d.failed = append(d.failed[:0], d.failed[count:]...)
		return count
	}
	delay := d.faults.delay()
	if delay == 0 && len(d.late) == 0 {
		count := d.fail(out[:d.Disk.Poll(out)])
		d.ended(out[:count])
		return count
	}
	now := time.Now()
	for _, one := range d.polled[:d.fail(d.polled[:d.Disk.Poll(d.polled[:])])] {
		d.late = append(d.late, lateCompletion{one, now.Add(delay)})
		time.AfterFunc(delay, d.waker.Wake)
	}
	count := 0
	for count < len(out) && count < len(d.late) && !d.late[count].due.After(now) {
		out[count] = d.late[count].DiskCompletion
		count++
	}
	d.late = append(d.late[:0], d.late[count:]...)
	d.ended(out[:count])
	return count
}

// fail turns the completions of failing reads into errors, and returns the number of all.
func (d *faultyDisk) fail(completions []ports.DiskCompletion) (count int) {
	for i := range completions {
		if at := slices.Index(d.failing, completions[i].Tag); at >= 0 {
			completions[i].Result = -int32(unix.EIO)
			d.failing = slices.Delete(d.failing, at, at+1)
		}
	}
	return len(completions)
}

// ended: the caller is told of these completions.
func (d *faultyDisk) ended(completions []ports.DiskCompletion) {
	if !d.records {
		return
	}
	for _, one := range completions {
		for i := range faultsEntries {
			if e, _ := d.faults.entry(i); atomic.LoadUint64(&e.state) != 0 && e.tag == one.Tag {
				atomic.StoreUint64(&e.state, 0)
			}
		}
	}
}
