package consensus

import (
	"runtime"
	"testing"
)

// Goal: no step of a replica of a cluster allocates: of a primary and of backups, while clients are
// served and checkpoints are taken, when the primary is cut off, through the view change, and when
// the old primary comes back and follows. Some replies are late. Nothing else runs while a step is
// measured.
func TestSeveralAllocatesNothing(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	w, primary, _, _ := calm(t, 23)
	w.latePer = 300
	var before, after runtime.MemStats
	steps, allocations := map[string]int{}, map[string]uint64{}
	w.onStep = func(m *machine, step func()) {
		what := "a backup"
		switch s := m.stage; {
		case !s.views.isNormal():
			what = "a view change"
		case s.isPrimary():
			what = "a primary"
		}
		runtime.ReadMemStats(&before)
		step()
		runtime.ReadMemStats(&after)
		steps[what]++
		allocations[what] += after.Mallocs - before.Mallocs
	}
	view, checkpoints := primary.superblock.View, w.count["checkpoint"]
	w.quiet(false)
	w.run(second)
	w.cut(primary)
	w.until("another primary serves", func() bool {
		m := w.primaryOrNil()
		return m != nil && m != primary && m.stage.status.isServing()
	})
	w.run(second)
	w.cut()
	w.until("the old primary follows", func() bool { return primary.superblock.LogView > view && primary.stage.isSettled() })
	w.run(second)
	w.onStep = nil
	for _, what := range []string{"a primary", "a backup", "a view change"} {
		if steps[what] == 0 || allocations[what] > 0 {
			t.Errorf("%s allocates %d times in %d steps, want 0", what, allocations[what], steps[what])
		}
	}
	if w.count["late reply"] == 0 {
		t.Error("no reply was late meanwhile")
	}
	if w.count["checkpoint"] == checkpoints {
		t.Error("no checkpoint was taken meanwhile")
	}
	t.Log(steps, allocations)
}
