package doctor

import (
	"fmt"
	"path/filepath"
	"time"
)

// Storage is the file system of a folder.
type Storage struct {
	Name      string // as in ext4; "" if unknown
	FreeBytes uint64 // for this user
	AllBytes  uint64
	Direct    error // nil if direct I/O with sectors of 4 KiB works
}

// Timing of durable writes.
type Timing struct {
	Median, Longest time.Duration
	Count           int
}

// folder of the data file, or the current one.
func (e *examination) folder() string {
	if e.Subject.File == "" {
		return "."
	}
	return filepath.Dir(e.Subject.File)
}

const diskRemedy = "name a file in a folder that this user may write to, on a disk that works"

func (e *examination) fileSystem() Result {
	s, err := e.probes.Storage(e.folder())
	if err != nil {
		return failure(diskRemedy, "%s: %v", e.folder(), err)
	}
	const remedy = "put the data file on ext4 or xfs, on a disk of this machine, or on a block device"
	switch s.Name {
	case "ext4", "xfs":
		return ok("%s is on %s", e.folder(), s.Name)
	case "tmpfs", "ramfs":
		return failure(remedy, "%s is on %s: data is lost when the machine stops", e.folder(), s.Name)
	case "nfs", "cifs", "smb2", "fuse", "ceph", "9p", "overlay":
		return warning(remedy, "%s is on %s: durable writes are slow, and what a power failure leaves is not known", e.folder(), s.Name)
	case "btrfs", "zfs", "bcachefs":
		return warning(remedy, "%s is on %s, which copies on write: durable writes are slow, and a full disk fails rewrites as well",
			e.folder(), s.Name)
	}
	return warning(remedy, "%s is on a file system that was not tried (%s)", e.folder(), s.Name)
}

func (e *examination) directIO() Result {
	s, err := e.probes.Storage(e.folder())
	switch {
	case err != nil:
		return failure(diskRemedy, "%s: %v", e.folder(), err)
	case s.Direct != nil:
		return failure("put the data file on ext4 or xfs; for development only, start with --development",
			"%s: direct I/O does not work: %v", e.folder(), s.Direct)
	}
	return ok("direct I/O works in %s", e.folder())
}

// Room for a new data file, and a part of the disk that should be free.
const (
	newFileBytes = 1041 << 20
	freePart     = 10 // a tenth
)

func (e *examination) freeSpace() Result {
	s, err := e.probes.Storage(e.folder())
	if err != nil {
		return failure(diskRemedy, "%s: %v", e.folder(), err)
	}
	const remedy = "free some space, or move the data file to a larger disk; a full disk ends a server with status 4"
	isNew := true
	if e.Subject.File != "" {
		file, err := e.probes.File(e.Subject.File)
		isNew = err != nil || !file.Exists
	}
	switch {
	case isNew && s.FreeBytes < newFileBytes:
		return failure(remedy, "%s has %s free, and a new data file takes %s", e.folder(), size(s.FreeBytes), size(newFileBytes))
	case s.FreeBytes < s.AllBytes/freePart:
		return warning(remedy, "%s has %s free of %s", e.folder(), size(s.FreeBytes), size(s.AllBytes))
	}
	return ok("%s has %s free of %s", e.folder(), size(s.FreeBytes), size(s.AllBytes))
}

// Durable writes: how many of which size, and the median from which on they are slow.
const (
	timedSmallBytes, timedSmallCount, timedSmallSlow = 4 << 10, 64, 2 * time.Millisecond
	timedLargeBytes, timedLargeCount, timedLargeSlow = 1 << 20, 16, 20 * time.Millisecond
)

func (e *examination) writeSmall() Result {
	return e.writes("4 KiB", timedSmallBytes, timedSmallCount, timedSmallSlow)
}

func (e *examination) writeLarge() Result {
	return e.writes("1 MiB", timedLargeBytes, timedLargeCount, timedLargeSlow)
}

func (e *examination) writes(what string, writeBytes, count int, slow time.Duration) Result {
	t, err := e.probes.Time(e.folder(), writeBytes, count)
	if err != nil {
		return failure(diskRemedy, "%s: durable writes of %s: %v", e.folder(), what, err)
	}
	text := fmt.Sprintf("durable writes of %s in %s take %s, the longest of %d %s", what, e.folder(), t.Median.Round(time.Microsecond),
		t.Count, t.Longest.Round(time.Microsecond))
	if t.Median > slow {
		return warning("use a disk with power-loss protection on this machine; every request waits for such a write", "%s: above %s is slow",
			text, slow)
	}
	return ok("%s", text)
}
