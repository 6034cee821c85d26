package replica

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/ports"
)

// scriptedDisk ends what the test tells it to.
type scriptedDisk struct {
	ports.Disk
	ends []ports.DiskCompletion
}

func (d *scriptedDisk) Sync(uint64) {}

func (d *scriptedDisk) Write(uint64, uint64, []byte, ports.WriteFlags) {}

func (d *scriptedDisk) Poll(out []ports.DiskCompletion) int {
	count := copy(out, d.ends)
	d.ends = d.ends[count:]
	return count
}

// Goal: once a sync of the file has failed on one thread, no sync succeeds on another, although the
// kernel says so: it tells of lost writes only once. Other operations end as they do.
func TestSyncAfterAFailedSync(t *testing.T) {
	var failed atomic.Bool
	scripts := [2]*scriptedDisk{{}, {}}
	journal, compact := synced(scripts[0], &failed), synced(scripts[1], &failed)
	out := make([]ports.DiskCompletion, 4)
	ends := func(disk ports.Disk, script *scriptedDisk, ends ...ports.DiskCompletion) []ports.DiskCompletion {
		script.ends = ends
		return out[:disk.Poll(out)]
	}
	want := func(got []ports.DiskCompletion, results ...int32) {
		t.Helper()
		if len(got) != len(results) {
			t.Fatalf("%d completions, want %d", len(got), len(results))
		}
		for i := range got {
			if got[i].Result != results[i] {
				t.Errorf("tag %d ends with %d, want %d", got[i].Tag, got[i].Result, results[i])
			}
		}
	}
	const canceled, broken = -int32(unix.ECANCELED), -int32(unix.EIO)
	journal.Sync(1)
	want(ends(journal, scripts[0], ports.DiskCompletion{Tag: 1}), 0)
	journal.Sync(1)
	want(ends(journal, scripts[0], ports.DiskCompletion{Tag: 1, Result: canceled}), canceled)
	if failed.Load() {
		t.Error("a sync that never began counts as failed")
	}
	journal.Sync(1)
	compact.Sync(9)
	journal.Write(2, 0, nil, 0)
	want(ends(compact, scripts[1], ports.DiskCompletion{Tag: 9, Result: -int32(unix.ENOSPC)}), -int32(unix.ENOSPC))
	want(ends(journal, scripts[0], ports.DiskCompletion{Tag: 2, Result: 512}, ports.DiskCompletion{Tag: 1}), 512, broken)
	compact.Sync(9)
	want(ends(compact, scripts[1], ports.DiskCompletion{Tag: 9}), broken)
}
