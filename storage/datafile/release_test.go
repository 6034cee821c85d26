package datafile

import (
	"strings"
	"testing"

	"ledger/limits"
	"ledger/storage"
)

// Goal: one of several replicas goes on with its checkpoint's release, or before the first one with
// that of its format; a single replica with its program's newest. What a program does not offer is
// refused, with both values and the way out.
func TestReleases(t *testing.T) {
	const one, two = limits.Release, limits.ReleaseTrial
	at := func(replicas uint8, release uint32, checkpointOp uint64, checkpointRelease uint32) *Superblock {
		return &Superblock{ReplicasCount: replicas, Release: release,
			Checkpoint: storage.Checkpoint{Op: checkpointOp, Release: checkpointRelease}}
	}
	for _, c := range []struct {
		name     string
		s        *Superblock
		min, max uint32
		runs     uint32 // 0: refused
		says     string
	}{
		{"a single one", at(1, one, 0, 0), one, two, two, ""},
		{"a single one with a checkpoint", at(1, one, 95, one), one, two, two, ""},
		{"a single one of a newer program", at(1, two, 95, one), one, one, 0, "use a server of that release or newer"},
		{"a single one of a program that is too old", at(1, one, 95, one), two, two, 0, "offers release 1 first"},
		{"several, formatted", at(3, one, 0, 0), one, two, one, ""},
		{"several, formatted by a newer program", at(3, two, 0, 0), one, one, 0, "use a server of that release or newer"},
		{"several with a checkpoint", at(3, one, 95, one), one, two, one, ""},
		{"several behind the switch", at(3, two, 95, two), one, two, two, ""},
		{"several behind the switch, older program", at(3, two, 95, two), one, one, 0, "release 2, this server offers release 1"},
		{"several before the switch, without the older rules", at(3, one, 95, one), two, two, 0, "offers release 1 first"},
	} {
		l := limits.Production()
		l.ReleaseMin, l.ReleaseMax = c.min, c.max
		err := refusedRelease(c.s, &l)
		if (err == nil) != (c.runs != 0) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if got := ReleaseOf(c.s, &l); err == nil && got != c.runs {
			t.Errorf("%s: release %d, want %d", c.name, got, c.runs)
		}
	}
}
