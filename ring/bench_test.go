package ring

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onThread runs body on a thread of its own, pinned to core if core >= 0. The thread ends with
// body.
func onThread(b *testing.B, core int, body func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if core >= 0 {
			var set unix.CPUSet
			set.Set(core)
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				b.Errorf("pin to core %d: %v", core, err)
			}
		}
		body()
	}()
	return done
}

// needsCores skips what only makes sense with a core per spinning thread.
func needsCores(b *testing.B, count int) {
	if runtime.NumCPU() < count {
		b.Skipf("needs %d cores", count)
	}
}

// Sketch: 15 ns for one item, since producer and consumer are one thread and nothing misses the
// cache.
func BenchmarkFused(b *testing.B) {
	for _, group := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			r := NewSPSC[descriptor](256)
			items, out := make([]descriptor, group), make([]descriptor, group)
			b.ReportAllocs()
			for b.Loop() {
				r.Push(items)
				r.Pop(out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*group), "ns/item")
		})
	}
}

// Sketch: a line travels between the cores per publication, 100 ns or more; groups of 32 share
// that.
func BenchmarkStream(b *testing.B) {
	needsCores(b, 2)
	for _, pinned := range []bool{true, false} {
		for _, group := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("pinned=%v/group=%d", pinned, group), func(b *testing.B) {
				producerCore, consumerCore := -1, -1
				if pinned {
					producerCore, consumerCore = 0, 1
				}
				r := NewSPSC[descriptor](1024)
				total := b.N * group
				consumed := onThread(b, consumerCore, func() {
					out := make([]descriptor, group)
					for got := 0; got < total; {
						got += r.Pop(out)
					}
				})
				b.ResetTimer()
				<-onThread(b, producerCore, func() {
					items := make([]descriptor, group)
					for sent := 0; sent < total; {
						sent += r.Push(items[:min(group, total-sent)])
					}
				})
				<-consumed
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/item")
			})
		}
	}
}

// sleeper is one way to wait for a word to change; the benchmark compares them.
type sleeper interface {
	wait(look func() bool)
	wake()
}

type spinSleeper struct{}

func (spinSleeper) wait(look func() bool) {
	for !look() {
	}
}
func (spinSleeper) wake() {}

type eventfdSleeper struct{ parker *Parker }

func (s eventfdSleeper) wait(look func() bool) {
	for !look() {
		s.parker.Prepare()
		if look() {
			s.parker.Cancel()
			return
		}
		s.parker.WaitPlain(waitForever)
		s.parker.Cancel()
	}
}
func (s eventfdSleeper) wake() { s.parker.Waker().Wake() }

// futexSleeper is what we did not take; see the package documentation.
type futexSleeper struct{ word atomic.Uint32 }

const (
	futexWaitPrivate = 0 | 128
	futexWakePrivate = 1 | 128
)

func (s *futexSleeper) wait(look func() bool) {
	for !look() {
		s.word.Store(1)
		if look() {
			s.word.Store(0)
			return
		}
		unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.word)), futexWaitPrivate, 1, 0, 0, 0)
	}
}

func (s *futexSleeper) wake() {
	if s.word.Load() != 0 && s.word.Swap(0) != 0 {
		unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&s.word)), futexWakePrivate, 1, 0, 0, 0)
	}
}

// Sketch: 0.3 µs per hop when both spin, 45 µs when an idle virtual core must be resumed.
func BenchmarkHop(b *testing.B) {
	makers := []struct {
		name string
		make func(b *testing.B) sleeper
	}{
		{"spin", func(*testing.B) sleeper { return spinSleeper{} }},
		{"eventfd", func(b *testing.B) sleeper { return eventfdSleeper{newTestParker(b)} }},
		{"futex", func(*testing.B) sleeper { return &futexSleeper{} }},
	}
	for _, maker := range makers {
		for _, pinned := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/pinned=%v", maker.name, pinned), func(b *testing.B) {
				needsCores(b, 2)
				cores := [2]int{-1, -1}
				if pinned {
					cores = [2]int{0, 1}
				}
				var rings [2]*SPSC[descriptor]
				var sleepers [2]sleeper
				for i := range rings {
					rings[i], sleepers[i] = NewSPSC[descriptor](64), maker.make(b)
				}
				player := func(self int, first bool) func() {
					in, out, me, other := rings[self], rings[1-self], sleepers[self], sleepers[1-self]
					var item descriptor
					look := func() (ok bool) {
						item, ok = in.PopOne()
						return ok
					}
					return func() {
						for range b.N {
							if first {
								out.PushOne(item)
								other.wake()
							}
							me.wait(look)
							if !first {
								out.PushOne(item)
								other.wake()
							}
						}
					}
				}
				echoed := onThread(b, cores[1], player(1, false))
				b.ResetTimer()
				<-onThread(b, cores[0], player(0, true))
				<-echoed
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/hop")
			})
		}
	}
}

// Sketch: what Wake costs its caller: under 1 ns while the owner is awake, one eventfd write when
// it sleeps.
func BenchmarkWake(b *testing.B) {
	b.Run("awake", func(b *testing.B) {
		waker := newTestParker(b).Waker()
		b.ReportAllocs()
		for b.Loop() {
			waker.Wake()
		}
	})
	b.Run("prepared", func(b *testing.B) { // the write alone: nobody is in the kernel
		p := newTestParker(b)
		waker := p.Waker()
		b.ReportAllocs()
		for b.Loop() {
			p.Prepare()
			waker.Wake()
		}
	})
}
