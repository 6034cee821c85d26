package replica

import (
	"fmt"
	"strings"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/storage"
)

// Goal: the expected figure counts the part of each class that load uses. The largest figure counts
// all that is reserved, and the limit of the Go heap. Names of entries do not matter.
func TestMemoryNeed(t *testing.T) {
	l := limits.Production()
	l.SessionsMax = 512
	const mebibyte = 1 << 20
	fixed := uint64(programBytes + goBytesExpected)
	fixedLargest := uint64(programBytes + GoHeapBytesMax + threadsSpare*threadBytes)
	none := &storage.Checkpoint{}
	cases := []struct {
		name              string
		entry             arena.Entry
		checkpoint        *storage.Checkpoint
		expected, largest uint64 // beside what is fixed
	}{
		{"nothing", arena.Entry{}, none, 0, 0},
		{"a buffer", arena.Entry{Class: arena.Buffer, Bytes: 100 * mebibyte}, none, 100 * mebibyte, 100 * mebibyte},
		{"a cache", arena.Entry{Class: arena.Cache, Bytes: 100 * mebibyte}, none, 100 * mebibyte, 100 * mebibyte},
		{"a cache whose name ends like a slot's", arena.Entry{Name: "cache slots", Class: arena.Cache, Bytes: 1 << 30}, none, 1 << 30, 1 << 30},
		{"slots of many clients", arena.Entry{Class: arena.Slot, Bytes: 5 << 30, TouchBytes: 8 * mebibyte}, none,
			(8 + 64 + 512/8) * mebibyte, 5 << 30},
		{"few slots", arena.Entry{Class: arena.Slot, Bytes: 3 * mebibyte}, none, 3 * mebibyte, 3 * mebibyte},
		{"slots of clients whose last replies are large", arena.Entry{Class: arena.Slot, Bytes: 5 << 30},
			&storage.Checkpoint{TrailerBytes: [storage.TrailersCount]uint64{storage.TrailerReplies: 100 * mebibyte}},
			(64 + 100) * mebibyte, 5 << 30},
		{"the same beside a cache", arena.Entry{Class: arena.Slot, Bytes: 5 << 30, TouchBytes: 200 * mebibyte},
			&storage.Checkpoint{TrailerBytes: [storage.TrailersCount]uint64{storage.TrailerReplies: 100 * mebibyte}},
			(200 + 64 + 100) * mebibyte, 5 << 30},
		{"tables", arena.Entry{Class: arena.Table, Bytes: 800 * mebibyte, TouchBytes: 300 * mebibyte, SpareBytes: 50 * mebibyte}, none,
			(300 + 64) * mebibyte, 850 * mebibyte},
		{"indexes of an empty file", arena.Entry{Class: arena.Index, Bytes: 20 << 30, TouchBytes: 16 * mebibyte}, none, 16 * mebibyte, 20 << 30},
		{"indexes of a large file", arena.Entry{Class: arena.Index, Bytes: 20 << 30, TouchBytes: 16 * mebibyte},
			&storage.Checkpoint{TransfersCount: 100 * mebibyte, TrailerBytes: [storage.TrailersCount]uint64{storage.TrailerManifest: mebibyte}},
			920 * mebibyte, 20 << 30},
	}
	for _, c := range cases {
		for _, threads := range []int{0, 12} {
			need := needOf([]arena.Entry{c.entry}, &l, c.checkpoint, threads)
			wantExpected := fixed + c.expected + uint64(threads)*threadBytes
			wantLargest := fixedLargest + c.largest + uint64(threads)*threadBytes
			wantExpected, wantLargest = wantExpected+wantExpected/512, wantLargest+wantLargest/512
			if need.ExpectedBytes != wantExpected || need.LargestBytes != wantLargest || need.ClassBytes[c.entry.Class] != c.largest {
				t.Errorf("%s, %d threads: %+v, want %d expected and %d at most", c.name, threads, need, wantExpected, wantLargest)
			}
		}
	}
}

// Goal: the figures of --clients-max=1024 and of 64 differ by the slots of 960 clients.
func TestMemoryNeedOfClients(t *testing.T) {
	figures := func(sessions uint32) MemoryNeed {
		l := limits.Production()
		l.SessionsMax, l.ConnectionsMax = sessions, sessions+32
		memory := arena.New()
		defer memory.Close()
		NewSlots(&l, memory)
		return needOf(memory.Entries(), &l, &storage.Checkpoint{}, 2)
	}
	few, many := figures(64), figures(limits.SessionsMax)
	const more = 960 * 5 << 20 // of a client: two slots in reception, two replies, and the reply of its connection
	if grown := many.LargestBytes - few.LargestBytes; grown < more || grown > more+more/100 {
		t.Errorf("at most %d MiB more for 960 clients more, want %d", grown>>20, more>>20)
	}
	if many.ExpectedBytes <= few.ExpectedBytes || many.ExpectedBytes > few.LargestBytes {
		t.Errorf("expected %d and %d MiB", few.ExpectedBytes>>20, many.ExpectedBytes>>20)
	}
}

// Goal: what is expected not to fit is refused, what may come not to fit warns; either names both
// figures, the limit and who sets it, and the flags, the one with the largest part first.
func TestCheckMemory(t *testing.T) {
	need := MemoryNeed{ExpectedBytes: 300 << 20, LargestBytes: 9<<30 + 1, ClassBytes: [arena.ClassesCount]uint64{
		arena.Cache: 100 << 20, arena.Slot: 200 << 20, arena.Index: 8 << 30,
	}}
	const ways = "lower --limit-storage (indexes of the largest data file: 8192 MiB at most), " +
		"--clients-max of ledger format (message slots: 200 MiB at most), --cache-grid or --cache-accounts (caches: 100 MiB)"
	cases := []struct {
		limit                  string
		development            bool
		wantWarning, wantError string
	}{
		{"max", false, "", ""},
		{fmt.Sprint(9<<30 + 1), false, "", ""},
		{fmt.Sprint(9 << 30), false, "memory: 9217 MiB may come to be used and 300 MiB are expected, " +
			"control group /a by memory.max allows 9216 MiB: the kernel ends a server that uses more; " + ways, ""},
		{fmt.Sprint(1<<30 + 1), true, "", ""}, // without the indexes
		{fmt.Sprint(1 << 30), true, "memory: 1025 MiB may come", ""},
		{fmt.Sprint(300 << 20), false, "memory: 9217 MiB may come", ""},
		{fmt.Sprint(300<<20 - 1), false, "", "memory: 300 MiB are expected to be used and 9217 MiB may be at most, " +
			"control group /a by memory.max allows 299 MiB: " +
			"lower --cache-grid or --cache-accounts (caches: 100 MiB), raise that limit, or start with --development"},
		{fmt.Sprint(300<<20 - 1), true, "", "allows 299 MiB: lower --cache-grid or --cache-accounts (caches: 100 MiB), or raise that limit"},
		{"0", true, "", "allows 0 MiB"},
	}
	for _, c := range cases {
		root := fakeRoot(t, map[string]string{"proc/meminfo": "MemTotal: 16777216 kB\n", "proc/self/cgroup": "0::/a\n",
			"proc/self/mountinfo": mountsV2, "sys/fs/cgroup/a/memory.max": c.limit + "\n"})
		indexBytes := need.ClassBytes[arena.Index]
		if c.development {
			indexBytes = 0
		}
		warning, err := need.check(root, c.development, indexBytes)
		if !strings.HasPrefix(warning, c.wantWarning) || (warning == "") != (c.wantWarning == "") ||
			(err == nil) != (c.wantError == "") || err != nil && !strings.Contains(err.Error(), c.wantError) {
			t.Errorf("limit %s, development %v: warning %q, error %v; want %q and %q",
				c.limit, c.development, warning, err, c.wantWarning, c.wantError)
		}
	}
	if warning, err := need.check(t.TempDir(), false, 0); warning != "" || err != nil {
		t.Errorf("without a known limit: warning %q, error %v", warning, err)
	}
}

// Goal: the warning counts the indexes of a data file as large as its disk allows, or the limit.
func TestIndexesReachable(t *testing.T) {
	need := MemoryNeed{ClassBytes: [arena.ClassesCount]uint64{arena.Index: 16 << 30}}
	production, development := limits.Production(), limits.Development()
	for _, c := range []struct {
		l                           *limits.Limits
		fileBytesMax, least, atMost uint64
	}{
		{&production, 1 << 40, 1 << 30, 1<<30 + 1<<20}, // a TiB of 16
		{&production, 0, 0, 1 << 20},
		{&production, 16 << 40, 16 << 30, 16 << 30},
		{&production, 1 << 60, 16 << 30, 16 << 30},
		{&development, 1 << 60, 0, 0},
	} {
		if got := need.indexesReachable(c.l, c.fileBytesMax); got < c.least || got > c.atMost {
			t.Errorf("a file of %d bytes at most: %d bytes, want %d to %d", c.fileBytesMax, got, c.least, c.atMost)
		}
	}
}
