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
//	24    elsewhere      the test sets it: of so many reads, one brings what lies behind it; 0: none
//	32    lost           the test sets it: of so many writes, one changes nothing; 0: none
//	40    syncs          the test sets it: 1: all syncs fail with EIO
//	48    clock, ns      the test sets it: so much is added to the wall clock; signed
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
	f := &diskFaults{memory: memory, fd: s.file.Fd}
	s.clock.skew.faults = f
	return f, nil
}

// clockSkew is how wrong the wall clock is.
type clockSkew struct{ faults *diskFaults }

func (k *clockSkew) ns() int64 {
	if k.faults == nil {
		return 0
	}
	return int64(k.faults.number(48))
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
func (f *diskFaults) readsPerStray() uint64   { return f.number(24) }
func (f *diskFaults) writesPerLoss() uint64   { return f.number(32) }
func (f *diskFaults) failsSyncs() bool        { return f.number(40) != 0 }

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
	writes   uint64
	failing  []uint64               // tags of reads under way that fail
	straying []stray                // reads under way that bring something else
	lost     []stray                // writes under way that change nothing
	answered []ports.DiskCompletion // of writes and syncs that never began
	polled   [64]ports.DiskCompletion
}

type lateCompletion struct {
	ports.DiskCompletion
	due time.Time
}

// stray is a read that brings what lies behind its range, or a write that is lost.
type stray struct {
	tag, offsetBytes uint64
	buffer           []byte
}

// Read implements ports.Disk.
func (d *faultyDisk) Read(tag, offsetBytes uint64, buffer []byte) {
	d.reads++
	if per := d.faults.readsPerFailure(); per > 0 && d.reads%per == 0 {
		d.failing = append(d.failing, tag)
	}
	if per := d.faults.readsPerStray(); per > 0 && d.reads%per == 0 {
		d.straying = append(d.straying, stray{tag, offsetBytes, buffer})
	}
	d.Disk.Read(tag, offsetBytes, buffer)
}

// answer completes an operation that never begins.
func (d *faultyDisk) answer(tag uint64, result int32) {
	d.answered = append(d.answered, ports.DiskCompletion{Tag: tag, Result: result})
	d.waker.Wake()
}

// Sync implements ports.Disk.
func (d *faultyDisk) Sync(tag uint64) {
	if d.faults.failsSyncs() {
		d.answer(tag, -int32(unix.EIO))
		return
	}
	d.Disk.Sync(tag)
}

// Write implements ports.Disk. A write that fails takes the next one along if that is linked behind
// it, since all fail.
func (d *faultyDisk) Write(tag, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	if d.faults.failsWrites() {
		d.answer(tag, -int32(unix.EIO))
		return
	}
	d.writes++
	if per := d.faults.writesPerLoss(); per > 0 && d.writes%per == 0 {
		buffer = d.before(tag, offsetBytes, len(buffer))
	}
	if d.records {
		d.record(tag, offsetBytes, buffer, flags)
	}
	d.Disk.Write(tag, offsetBytes, buffer, flags)
}

// before is the bytes that a range has now. A write that is lost writes these, so its completion
// comes in its turn. The memory is given back with it.
func (d *faultyDisk) before(tag, offsetBytes uint64, length int) []byte {
	memory, err := unix.Mmap(-1, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	assert.That(err == nil, "there is memory for a write that is lost")
	_, err = unix.Pread(d.faults.fd, memory, int64(offsetBytes))
	assert.That(err == nil, "what a write replaces can be read")
	d.lost = append(d.lost, stray{tag, offsetBytes, memory})
	return memory
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
	if len(d.answered) > 0 {
		count := copy(out, d.answered)
		d.answered = append(d.answered[:0], d.answered[count:]...)
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

// fail turns the completions of failing reads into errors, puts other bytes into the buffers of
// straying ones, and returns the number of all.
func (d *faultyDisk) fail(completions []ports.DiskCompletion) (count int) {
	for i := range completions {
		if at := slices.IndexFunc(d.straying, func(s stray) bool { return s.tag == completions[i].Tag }); at >= 0 {
			s := d.straying[at]
			_, err := unix.Pread(d.faults.fd, s.buffer, int64(s.offsetBytes)+int64(len(s.buffer)))
			assert.That(err == nil, "what lies behind a read can be read")
			d.straying = slices.Delete(d.straying, at, at+1)
		}
		if at := slices.IndexFunc(d.lost, func(s stray) bool { return s.tag == completions[i].Tag }); at >= 0 {
			_ = unix.Munmap(d.lost[at].buffer)
			d.lost = slices.Delete(d.lost, at, at+1)
		}
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
