package replica

import (
	"strings"
	"testing"
	"time"

	"ledger/events"
	"ledger/internal/ports"
)

// stuckDisk ends an operation when it is told to.
type stuckDisk struct {
	ports.Disk
	ending int
}

func (d *stuckDisk) Sync(uint64) {}

func (d *stuckDisk) Poll([]ports.DiskCompletion) (count int) {
	count, d.ending = d.ending, 0
	return count
}

// Goal: a disk that ends nothing for a second is told once, and once more when it goes on; a busy
// or an idle disk never.
func TestDiskStall(t *testing.T) {
	var out strings.Builder
	log := events.New(&out, events.FormatText)
	nowNs, stuck := uint64(5e9), &stuckDisk{}
	disk := watch(stuck, "journal", func() uint64 { return nowNs }, log)
	poll := func(passedNs uint64, ending int) {
		nowNs, stuck.ending = nowNs+passedNs, ending
		disk.Poll(nil)
	}
	poll(10e9, 0) // idle
	disk.Sync(1)
	poll(9e8, 0)
	disk.Sync(2)
	poll(9e7, 1)
	poll(9e8, 1) // each operation is slow, none is a stall
	disk.Sync(3)
	poll(12e8, 0)
	poll(10e8, 0)
	poll(1e8, 1)
	poll(10e9, 0)
	if !log.Close(time.Minute) {
		t.Fatal("the log did not end")
	}
	text := out.String()
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "nothing of journal's 1 operations has ended for 1200 ms") ||
		!strings.Contains(text, "nothing of journal's 1 operations had ended for 2300 ms") {
		t.Fatalf("the log says: %s", text)
	}
}
