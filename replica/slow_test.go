package replica

import (
	"strings"
	"testing"

	"ledger/metrics"
)

// Goal: the description of a slow op names the op, its parts of a millisecond and more, and every
// thread, without allocation.
func TestDescribeSlow(t *testing.T) {
	o := &metrics.SlowOp{}
	o.Number, o.Requests, o.Events, o.Bytes = 4711, 3, 24_567, 1<<20
	o.Apply.PagesNs = 7_250_000
	o.Conditions.WindowNs, o.Conditions.WrittenBytes, o.Conditions.ThreadsCount = 120_000_000, 3<<20, 1
	o.Conditions.Threads[0].WaitNs = 99_900_000
	got := DescribeSlow(o, []string{"net+apply", "compact"})
	for _, want := range []string{"op 4711 (3 requests, 24567 events, 1048576 bytes) took ", ", of execute: pages 7.2 ms",
		"; meanwhile, in 120.0 ms:",
		", 3072 KiB written to the grid", "; thread net+apply ran 0.0 ms, waited for a core 99.9 ms"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
	if strings.Contains(got, "other stages") || strings.Contains(got, "compact") {
		t.Errorf("a part below a millisecond, or a thread that is not on the board, is named in %q", got)
	}
	line := make([]byte, 0, 4<<10)
	if allocs := testing.AllocsPerRun(100, func() { line = appendSlow(line[:0], o, []string{"net+apply"}) }); allocs != 0 {
		t.Errorf("a description allocates %.0f times", allocs)
	}
}
