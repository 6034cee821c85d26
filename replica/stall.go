package replica

import (
	"ledger/events"
	"ledger/internal/ports"
)

// stallNs without the end of any operation, while some are under way, is a stall of the disk.
const stallNs = 1_000_000_000

// watchedDisk tells the log when the disk stalls: once while it lasts, and once when it is over. A
// parked thread wakes every waitNsMax, so a stall is told within two seconds, except with plain
// system calls, where the thread itself hangs until the end.
type watchedDisk struct {
	ports.Disk
	stage   string
	clock   func() uint64
	log     *events.Log
	pending uint64 // operations queued and not polled
	movedNs uint64 // when the last operation ended, or the first was queued on an idle port
	isTold  bool   // of this stall
}

// watch puts a watch on disk.
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
