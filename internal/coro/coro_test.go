package coro

import (
	"runtime"
	"testing"
)

// The body runs in turns with its resumer, in order, and its end is seen.
func TestResumeAlternates(t *testing.T) {
	var trace []int
	c := New(func(c *Coroutine) {
		trace = append(trace, 1)
		c.Wait()
		trace = append(trace, 3)
		c.Breathe()
		trace = append(trace, 5)
	})
	if c.Resume() {
		t.Fatal("a wait is not a breath")
	}
	trace = append(trace, 2)
	if !c.Resume() {
		t.Fatal("a breath lets the body go on")
	}
	trace = append(trace, 4)
	if c.Resume() || !c.ended {
		t.Fatal("the body has ended")
	}
	for i, v := range trace {
		if v != i+1 {
			t.Fatalf("order %v, want 1..5", trace)
		}
	}
	if len(trace) != 5 {
		t.Fatalf("order %v, want five entries", trace)
	}
}

// Stop unwinds a waiting body: its deferred calls run, and it is not resumed.
func TestStopUnwinds(t *testing.T) {
	unwound := false
	c := New(func(c *Coroutine) {
		defer func() { unwound = true }()
		for {
			c.Wait()
		}
	})
	c.Resume()
	c.Stop()
	if !unwound || c.Resume() {
		t.Fatalf("unwound %t, want true and no further step", unwound)
	}
}

// A panic of the body reaches the stage's step: a broken assertion must stop the process.
func TestPanicComesOut(t *testing.T) {
	c := New(func(c *Coroutine) { panic("broken") })
	defer func() {
		if r := recover(); r != "broken" {
			t.Fatalf("recovered %v, want the body's panic", r)
		}
	}()
	c.Resume()
}

// Switching does not allocate, on a locked thread as in production.
func TestSwitchDoesNotAllocate(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := New(func(c *Coroutine) {
		for {
			c.Wait()
		}
	})
	c.Resume()
	if allocs := testing.AllocsPerRun(1000, func() { c.Resume() }); allocs != 0 {
		t.Fatalf("Resume allocates %.1f times, want 0", allocs)
	}
	c.Stop()
}

func BenchmarkResume(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := New(func(c *Coroutine) {
		for {
			c.Wait()
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		c.Resume()
	}
	c.Stop()
}

// Restart unwinds a body wherever it is and runs it again from its start, without allocating; one
// that has not begun just begins.
func TestRestart(t *testing.T) {
	begun, unwound := 0, 0
	deep := func(c *Coroutine) {
		defer func() { unwound++ }()
		for {
			c.Wait()
		}
	}
	c := New(func(c *Coroutine) {
		begun++
		deep(c)
	})
	c.Restart()
	c.Resume()
	if begun != 1 || unwound != 0 {
		t.Fatalf("begun %d times, unwound %d times: want 1, 0", begun, unwound)
	}
	allocs := testing.AllocsPerRun(10, func() {
		c.Resume()
		c.Restart()
		c.Resume()
	})
	if begun != 12 || unwound != 11 || allocs != 0 {
		t.Fatalf("begun %d times, unwound %d times, %.1f allocations: want 12, 11, 0", begun, unwound, allocs)
	}
	c.Stop()
	if unwound != 12 {
		t.Fatal("stopping does not unwind")
	}
}
