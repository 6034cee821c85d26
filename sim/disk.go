package sim

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// Zone names the stage that uses a disk port.
type Zone uint8

// The stages that have ports.
const (
	PortJournal Zone = iota
	PortApply
	PortCompact // of each worker
)

type diskKind uint8

const (
	diskRead diskKind = iota
	diskWrite
	diskSync
	diskAllocate
)

// The notes of operations are put together once: most runs have no trace.
var (
	beginsNotes = [...]string{"read begins: port, offset", "write begins: port, offset", "sync begins: port, offset",
		"allocate begins: port, offset"}
	endsNotes = [...]string{"read ends: port, offset", "write ends: port, offset", "sync ends: port, offset", "allocate ends: port, offset"}
)

// diskOperation is one queued operation of a port.
type diskOperation struct {
	port        *DiskPort
	kind        diskKind
	flags       ports.WriteFlags
	tag         uint64
	offsetBytes uint64
	lengthBytes uint64
	buffer      []byte
	copy        []byte // of a write's buffer when it was queued: the buffer must not change
	next        *diskOperation
	started     bool
	ended       bool
	succeeded   bool
	covers      uint64 // sync: the volatile writes that had completed
	epoch       uint64 // of the disk, when it was started
	due         func() // performs it, unless the machine has gone down since
}

// Disk is the machine's disk: an image, the operations under way, and the faults of the disk.
type Disk struct {
	image  *Image
	events *agenda
	random *rand.Rand
	fail   func(format string, arguments ...any)

	flying []*diskOperation
	unused *diskOperation // a list of operations that have ended, to be used again
	epoch  uint64
	slow   bool // draw long latencies
	// tiredNs: until then, each request takes tens of milliseconds.
	tiredNs uint64
	flaky   bool     // reads of the grid may fail once; a repeated read succeeds
	failed  []uint64 // places with a read that has failed in this way since the start
	// A place is a block. Reads of its parts are repeated together, so one of them may fail.
	placesAt, placeBytes uint64
	flakes               int
	woken                bool // an operation has ended since somebody looked
	synced               bool // a checkpoint's sync has ended, and the superblock was not written since
	// slowNs is the largest additional time of operations in a part of the file, while others stay
	// fast. So a checkpoint can take long.
	slowFrom, slowTo, slowNs uint64

	// Errors to come, counted down by the operations that they can hit; 0: none.
	writeErrorIn, syncErrorIn int
	errorGiven                bool
	// loses tells whether a write is to be lost. A lost write seems to succeed, but the medium does
	// not change.
	loses func(offsetBytes uint64) bool

	note    func(what string, a, b uint64)                                 // for the trace
	onWrite func(zone Zone, offsetBytes uint64, data []byte, durable bool) // queued
	onSync  func(zone Zone, ended bool)                                    // begun, ended
	onEnd   func(zone Zone, offsetBytes uint64, data []byte, result bool)  // completed
}

// DiskPort is one stage's port to the disk.
type DiskPort struct {
	disk        *Disk
	zone        Zone
	limit       int // operations
	outstanding int
	last        *diskOperation // the last queued operation, if it is linked
	wroteAt     uint64         // offset of the last write: a sync is as slow as that part of the file
	ready       []ports.DiskCompletion
}

var _ ports.Disk = (*DiskPort)(nil)

func newDisk(image *Image, q *agenda, random *rand.Rand, fail func(string, ...any)) *Disk {
	return &Disk{image: image, events: q, random: random, fail: fail, onSync: func(Zone, bool) {}, placeBytes: image.sectorBytes}
}

// port makes a port for a start. The ports of earlier starts are dead.
func (d *Disk) port(zone Zone, operationsMax int) *DiskPort {
	return &DiskPort{disk: d, zone: zone, limit: operationsMax}
}

// Read implements ports.Disk.
func (p *DiskPort) Read(tag, offsetBytes uint64, buffer []byte) {
	p.check(offsetBytes, buffer)
	o := p.operation(diskRead, tag, offsetBytes, uint64(len(buffer)))
	o.buffer = buffer
	p.queue(o)
}

// Write implements ports.Disk.
func (p *DiskPort) Write(tag, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	p.check(offsetBytes, buffer)
	data := append([]byte(nil), buffer...)
	if p.zone == PortJournal {
		p.disk.synced = false // a prepare, or the superblock
	}
	p.wroteAt = offsetBytes
	if p.disk.onWrite != nil {
		p.disk.onWrite(p.zone, offsetBytes, data, flags&ports.WriteDurable != 0)
	}
	o := p.operation(diskWrite, tag, offsetBytes, uint64(len(buffer)))
	o.flags, o.buffer, o.copy = flags, buffer, data
	p.queue(o)
}

// Sync implements ports.Disk.
func (p *DiskPort) Sync(tag uint64) {
	o := p.operation(diskSync, tag, p.wroteAt, 0)
	o.covers = p.disk.image.order
	p.queue(o)
}

// Allocate implements ports.Disk.
func (p *DiskPort) Allocate(tag, offsetBytes, lengthBytes uint64) {
	p.queue(p.operation(diskAllocate, tag, offsetBytes, lengthBytes))
}

// Poll implements ports.Disk.
func (p *DiskPort) Poll(out []ports.DiskCompletion) int {
	count := min(len(out), len(p.ready))
	if count > 1 && p.disk.random.IntN(4) == 0 {
		count = 1 + p.disk.random.IntN(count)
	}
	copy(out, p.ready[:count])
	p.ready = p.ready[:copy(p.ready, p.ready[count:])]
	p.outstanding -= count
	return count
}

func (p *DiskPort) check(offsetBytes uint64, buffer []byte) {
	sector := p.disk.image.sectorBytes
	if len(buffer) == 0 || offsetBytes%sector != 0 || uint64(len(buffer))%sector != 0 ||
		uint64(uintptr(unsafe.Pointer(&buffer[0])))%sector != 0 {
		p.disk.fail("disk port %d: offset %d, length %d or the buffer's address is not aligned to sectors of %d", p.zone, offsetBytes,
			len(buffer), sector)
	}
}

// operation returns one that is not in use.
func (p *DiskPort) operation(kind diskKind, tag, offsetBytes, lengthBytes uint64) *diskOperation {
	d := p.disk
	o := d.unused
	if o != nil {
		d.unused = o.next
	} else {
		o = &diskOperation{}
		o.due = func() {
			if d.epoch == o.epoch {
				d.perform(o)
			}
		}
	}
	*o = diskOperation{port: p, kind: kind, tag: tag, offsetBytes: offsetBytes, lengthBytes: lengthBytes, due: o.due}
	return o
}

func (p *DiskPort) queue(o *diskOperation) {
	if p.outstanding == p.limit {
		p.disk.fail("disk port %d has more than %d operations", p.zone, p.limit)
	}
	p.outstanding++
	before := p.last
	p.last = nil
	if o.flags&ports.WriteLinked != 0 {
		p.last = o
	}
	switch {
	case before == nil || before.ended && before.succeeded:
		p.disk.start(o)
	case before.ended:
		p.disk.end(o, -int32(unix.ECANCELED))
	default:
		before.next = o
	}
}

// start begins an operation. From here on, a crash may leave it half done.
func (d *Disk) start(o *diskOperation) {
	o.started = true
	if d.note != nil {
		d.note(beginsNotes[o.kind], uint64(o.port.zone), o.offsetBytes)
	}
	if o.kind == diskWrite {
		for _, f := range d.flying {
			if f.kind == diskWrite && f.offsetBytes < o.offsetBytes+o.lengthBytes && o.offsetBytes < f.offsetBytes+f.lengthBytes {
				d.fail("two writes at %d and %d are under way at once, in the same sectors", f.offsetBytes, o.offsetBytes)
			}
		}
	}
	if o.kind == diskSync {
		d.onSync(o.port.zone, false)
	}
	d.flying = append(d.flying, o)
	o.epoch = d.epoch
	d.events.after(d.latency(o), o.due)
}

func (d *Disk) latency(o *diskOperation) uint64 {
	latency := 1_000 + d.random.Uint64N(200_000)
	if d.slow || d.random.IntN(50) == 0 {
		latency += d.random.Uint64N(20_000_000)
	}
	if d.events.nowNs < d.tiredNs {
		latency += 10_000_000 + d.random.Uint64N(20_000_000)
	}
	if o.kind != diskRead && o.offsetBytes >= d.slowFrom && o.offsetBytes < d.slowTo {
		latency += d.random.Uint64N(d.slowNs)
	}
	return latency
}

func (d *Disk) perform(o *diskOperation) {
	d.land(o)
	result := int32(o.lengthBytes)
	switch o.kind {
	case diskRead:
		n, err := d.image.read(o.offsetBytes, o.buffer)
		result = int32(n)
		if err != nil {
			result = -int32(unix.EIO)
			break
		}
		d.mix(o, n)
		result = d.flake(o, result)
	case diskWrite:
		if !bytes.Equal(o.buffer, o.copy) {
			d.fail("a buffer of port %d changed while it was being written at %d", o.port.zone, o.offsetBytes)
		}
		if d.strikes(&d.writeErrorIn) {
			d.image.leave(d.random, fate(d.random.IntN(int(fatesCount))), o.offsetBytes, o.copy)
			d.image.revert(o.offsetBytes, o.lengthBytes)
			result = -int32(unix.EIO)
			break
		}
		if d.loses != nil && d.loses(o.offsetBytes) {
			d.image.taint(o.offsetBytes, o.lengthBytes)
			d.end(o, result)
			return
		}
		d.image.write(o.offsetBytes, o.copy, o.flags&ports.WriteDurable != 0)
	case diskSync:
		if d.strikes(&d.syncErrorIn) {
			result = -int32(unix.EIO)
			break
		}
		d.image.sync(o.covers)
		d.synced = d.synced || o.port.zone == PortCompact
		d.onSync(o.port.zone, true)
		result = 0
	case diskAllocate:
		result = 0
		if o.offsetBytes+o.lengthBytes > d.image.limitBytes {
			d.errorGiven = true
			result = -int32(unix.ENOSPC)
		} else {
			d.image.allocate(o.offsetBytes + o.lengthBytes)
		}
	}
	if o.kind == diskWrite && d.onEnd != nil {
		d.onEnd(o.port.zone, o.offsetBytes, o.copy, result > 0)
	}
	d.end(o, result)
}

// mix makes a read see any sectors of the writes that are under way at the same time.
func (d *Disk) mix(o *diskOperation, n int) {
	for _, f := range d.flying {
		if f.kind != diskWrite || f.offsetBytes >= o.offsetBytes+uint64(n) || o.offsetBytes >= f.offsetBytes+f.lengthBytes {
			continue
		}
		for at := max(o.offsetBytes, f.offsetBytes); at < min(o.offsetBytes+uint64(n), f.offsetBytes+f.lengthBytes); at += d.image.sectorBytes {
			if d.random.IntN(2) == 0 {
				copy(o.buffer[at-o.offsetBytes:][:d.image.sectorBytes], f.copy[at-f.offsetBytes:])
			}
		}
	}
}

// flake makes a read of the grid fail, with an error or with wrong bytes. In each block that
// happens once in the life of a replica, because a second failure of one read ends the replica.
func (d *Disk) flake(o *diskOperation, result int32) int32 {
	if !d.flaky || o.port.zone == PortJournal || d.random.IntN(24) != 0 {
		return result
	}
	place := (o.offsetBytes - d.placesAt) / d.placeBytes
	if slices.Contains(d.failed, place) {
		return result
	}
	d.failed = append(d.failed, place)
	d.flakes++
	if d.random.IntN(2) == 0 {
		return -int32(unix.EIO)
	}
	sector := d.image.sectorBytes
	at := d.random.Uint64N(o.lengthBytes/sector) * sector
	for i := range o.buffer[at : at+sector] {
		o.buffer[at+uint64(i)] ^= byte(d.random.Uint32())
	}
	return result
}

func (d *Disk) strikes(countdown *int) bool {
	if *countdown == 0 {
		return false
	}
	*countdown--
	if *countdown > 0 {
		return false
	}
	d.errorGiven = true
	return true
}

func (d *Disk) land(o *diskOperation) {
	for i, f := range d.flying {
		if f == o {
			last := len(d.flying) - 1
			d.flying[i] = d.flying[last]
			d.flying[last] = nil
			d.flying = d.flying[:last]
			return
		}
	}
}

func (d *Disk) end(o *diskOperation, result int32) {
	o.ended, d.woken = true, true
	if d.note != nil {
		d.note(endsNotes[o.kind], uint64(o.port.zone), o.offsetBytes)
	}
	o.succeeded = result == int32(o.lengthBytes) || o.kind != diskWrite && result >= 0
	o.port.ready = append(o.port.ready, ports.DiskCompletion{Tag: o.tag, Result: result})
	if o.next != nil && o.succeeded {
		d.start(o.next)
	} else if o.next != nil {
		d.end(o.next, -int32(unix.ECANCELED))
	}
	if o.port.last != o { // the next one may be linked to it
		o.next, d.unused = d.unused, o
	}
}

// isSound tells whether no failure for good is under way or to come.
func (d *Disk) isSound() bool {
	return d.writeErrorIn == 0 && d.syncErrorIn == 0 && !d.errorGiven && d.loses == nil && d.image.limitBytes == ^uint64(0)
}

// drop forgets all operations. Nobody will use the disk again.
func (d *Disk) drop() { d.epoch, d.flying = d.epoch+1, nil }

// crash ends all operations. A power cut also loses writes that were not synced.
func (d *Disk) crash(powerCut bool) {
	d.epoch++
	if powerCut {
		d.image.powerCut(d.random)
	} else {
		d.image.sync(d.image.order) // the next start syncs before it reads, as File demands
	}
	// Writes under way land in any order. Each sector is written whole or not at all.
	d.random.Shuffle(len(d.flying), func(i, j int) { d.flying[i], d.flying[j] = d.flying[j], d.flying[i] })
	for _, o := range d.flying {
		if o.kind == diskWrite {
			d.image.leave(d.random, fate(d.random.IntN(int(fatesCount))), o.offsetBytes, o.copy)
		}
	}
	d.flying = d.flying[:0]
	d.writeErrorIn, d.syncErrorIn, d.errorGiven, d.loses, d.synced = 0, 0, false, nil, false
	d.failed = d.failed[:0]
	d.image.settle()
}
