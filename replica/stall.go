package replica

import (
	"ledger/events"
	"ledger/internal/ports"
)

// stallNs is the time without the end of any operation, while some are under way, that counts as a
// stall of the disk.
const stallNs = 1_000_000_000

// watchedDisk reports a stall of the disk in the log: once while it lasts, and once when it is
// over. A parked thread wakes every waitNsMax, so a stall is reported within two seconds. Plain
// system calls are the exception: with them the thread itself blocks until the stall is over.
type watchedDisk struct {
	ports.Disk
	stage   string
	clock   func() uint64
	log     *events.Log
	pending uint64 // operations queued and not polled
	movedNs uint64 // time of the last end of an operation, or of the first operation on an idle port
	isTold  bool   // this stall was reported
}

// watch returns disk with a watch on it.
func watch(disk ports.Disk, stage string, clock func() uint64, log *events.Log) ports.Disk {
	return &watchedDisk{Disk: disk, stage: stage, clock: clock, log: log}
}

func (d *watchedDisk) queued() {
	if d.pending == 0 {
		d.movedNs = d.clock()
	}
	d.pending++
}

// Read implements ports.Disk.
func (d *watchedDisk) Read(tag uint64, offsetBytes uint64, buffer []byte) {
	d.queued()
	d.Disk.Read(tag, offsetBytes, buffer)
}

// Write implements ports.Disk.
func (d *watchedDisk) Write(tag uint64, offsetBytes uint64, buffer []byte, flags ports.WriteFlags) {
	d.queued()
	d.Disk.Write(tag, offsetBytes, buffer, flags)
}

// Sync implements ports.Disk.
func (d *watchedDisk) Sync(tag uint64) {
	d.queued()
	d.Disk.Sync(tag)
}

// Allocate implements ports.Disk.
func (d *watchedDisk) Allocate(tag uint64, offsetBytes, lengthBytes uint64) {
	d.queued()
	d.Disk.Allocate(tag, offsetBytes, lengthBytes)
}

// Poll implements ports.Disk.
func (d *watchedDisk) Poll(out []ports.DiskCompletion) int {
	count := d.Disk.Poll(out)
	if d.pending == 0 {
		return count
	}
	nowNs := d.clock()
	if stalledNs := nowNs - d.movedNs; stalledNs >= stallNs && (count > 0 || !d.isTold) {
		d.log.DiskStalled(events.DiskStalled{Stage: d.stage, Pending: d.pending, DurationNs: stalledNs, Ended: count > 0})
		d.isTold = true
	}
	if count > 0 {
		d.pending -= uint64(count)
		d.movedNs, d.isTold = nowNs, false
	}
	return count
}
