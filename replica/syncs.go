package replica

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ledger/internal/assert"
	"ledger/internal/ports"
)

// syncsMax is the largest number of syncs that are under way on one disk at a time.
const syncsMax = 8

// syncedDisk makes every sync of the data file fail once one of them has failed, on whichever
// thread. All stages sync one file, and the kernel reports an error of writing to one caller only.
// So a sync of the log that follows a failed sync of compaction may succeed although writes that
// both cover are lost.
//
// A thread sees a failure only when another one has polled it: a gap of microseconds stays.
type syncedDisk struct {
	ports.Disk
	failed *atomic.Bool // shared by all disks of the file
	tags   [syncsMax]uint64
	count  int // syncs under way
}

func synced(disk ports.Disk, failed *atomic.Bool) ports.Disk {
	return &syncedDisk{Disk: disk, failed: failed}
}

// Sync implements ports.Disk.
func (d *syncedDisk) Sync(tag uint64) {
	assert.Below(d.count, syncsMax, "syncs under way on a disk")
	d.tags[d.count] = tag
	d.count++
	d.Disk.Sync(tag)
}

// Poll implements ports.Disk.
func (d *syncedDisk) Poll(out []ports.DiskCompletion) int {
	count := d.Disk.Poll(out)
	for i := 0; i < count && d.count > 0; i++ {
		if c := &out[i]; d.take(c.Tag) {
			switch {
			case c.Result == -int32(unix.ECANCELED): // the write that it was linked to has failed: it never began
			case c.Result < 0:
				d.failed.Store(true)
			case d.failed.Load():
				c.Result = -int32(unix.EIO)
			}
		}
	}
	return count
}

// take tells whether tag is a sync that is under way, which it is no longer.
func (d *syncedDisk) take(tag uint64) bool {
	for i := range d.count {
		if d.tags[i] == tag {
			d.count--
			d.tags[i] = d.tags[d.count]
			return true
		}
	}
	return false
}
