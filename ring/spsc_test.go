package ring

import (
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// descriptor is what stages send each other: a handle, an opcode, a tag.
type descriptor struct {
	tag    uint64
	handle uint32
	opcode uint32
}

// Goal: a ring behaves like a bounded list, whatever the sizes of groups, capacity and position of
// the wrap.
func TestSPSCModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := 1 << rapid.IntRange(0, 5).Draw(t, "capacityLog")
		r := NewSPSC[uint64](capacity)
		var model []uint64
		next := uint64(1)
		group := func(count int) []uint64 {
			items := make([]uint64, count)
			for i := range items {
				items[i] = next + uint64(i)
			}
			return items
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				items := group(rapid.IntRange(0, 2*capacity).Draw(t, "count"))
				want := min(len(items), capacity-len(model))
				if got := r.Push(items); got != want {
					t.Fatalf("Push(%d items) with %d of %d used = %d, want %d", len(items), len(model), capacity, got, want)
				}
				model = append(model, items[:want]...)
				next += uint64(want)
			},
			"pushOne": func(t *rapid.T) {
				want := len(model) < capacity
				if got := r.PushOne(next); got != want {
					t.Fatalf("PushOne with %d of %d used = %v", len(model), capacity, got)
				}
				if want {
					model = append(model, next)
					next++
				}
			},
			"pop": func(t *rapid.T) {
				out := make([]uint64, rapid.IntRange(0, 2*capacity).Draw(t, "count"))
				want := min(len(out), len(model))
				if got := r.Pop(out); got != want {
					t.Fatalf("Pop(%d) with %d used = %d, want %d", len(out), len(model), got, want)
				}
				for i := range want {
					if out[i] != model[i] {
						t.Fatalf("item %d is %d, want %d", i, out[i], model[i])
					}
				}
				model = model[want:]
			},
			"popOne": func(t *rapid.T) {
				got, ok := r.PopOne()
				if ok != (len(model) > 0) {
					t.Fatalf("PopOne with %d used says %v", len(model), ok)
				}
				if ok {
					if got != model[0] {
						t.Fatalf("PopOne = %d, want %d", got, model[0])
					}
					model = model[1:]
				}
			},
			"": func(t *rapid.T) {
				if r.Len() != len(model) || r.Capacity() != capacity {
					t.Fatalf("Len %d, want %d; Capacity %d, want %d", r.Len(), len(model), r.Capacity(), capacity)
				}
			},
		})
	})
}

// Goal: between two threads every item arrives once, in order and whole, with groups of every size
// and a ring so short that both sides keep meeting full and empty. Meant for -race as well.
func TestSPSCStress(t *testing.T) {
	const itemsCount = 200_000
	r := NewSPSC[descriptor](8)
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		var items [11]descriptor
		sent := uint64(0)
		for round := 0; sent < itemsCount && !stop.Load(); round++ {
			count := min(round%(len(items)+1), int(itemsCount-sent))
			for i := range count {
				tag := sent + uint64(i)
				items[i] = descriptor{tag: tag, handle: uint32(tag * 3), opcode: uint32(tag * 7)}
			}
			var pushedCount int
			if count == 1 {
				if r.PushOne(items[0]) {
					pushedCount = 1
				}
			} else {
				pushedCount = r.Push(items[:count])
			}
			sent += uint64(pushedCount)
			if pushedCount == 0 {
				runtime.Gosched()
			}
		}
	}()
	var out [5]descriptor
	for want, round := uint64(0), 0; want < itemsCount; round++ {
		poppedCount := r.Pop(out[:round%(len(out)+1)])
		if length := r.Len(); length < 0 || length > r.Capacity() {
			t.Fatalf("Len is %d", length)
		}
		if poppedCount == 0 {
			runtime.Gosched()
		}
		for _, item := range out[:poppedCount] {
			if item.tag != want || item.handle != uint32(want*3) || item.opcode != uint32(want*7) {
				t.Fatalf("item %d arrived as %+v", want, item)
			}
			want++
		}
	}
}

// Goal: descriptors may carry pointers; what they name survives a collection while it is in the
// ring.
func TestSPSCPointers(t *testing.T) {
	r := NewSPSC[*[64]uint64](16)
	for i := range uint64(10) {
		r.PushOne(&[64]uint64{0: i})
	}
	runtime.GC()
	for i := range uint64(10) {
		item, ok := r.PopOne()
		if !ok || item[0] != i {
			t.Fatalf("item %d: ok %v, %v", i, ok, item)
		}
	}
}

// Goal: the most that was ever waiting is remembered, as the consumer found it.
func TestLenMax(t *testing.T) {
	r := NewSPSC[int](8)
	var out [8]int
	for _, step := range []struct{ push, pop, want int }{{1, 1, 1}, {5, 3, 5}, {1, 8, 5}, {8, 8, 8}, {2, 2, 8}} {
		r.Push(make([]int, step.push))
		r.Pop(out[:step.pop])
		if got := r.LenMax(); got != step.want {
			t.Errorf("%d more, %d taken: at most %d, want %d", step.push, step.pop, got, step.want)
		}
	}
}

// Goal: a capacity that cannot be masked is refused at start, not found out later.
func TestCapacityRefused(t *testing.T) {
	for _, capacity := range []int{-1, 0, 3, 6, 1000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("capacity %d: no panic", capacity)
				}
			}()
			NewSPSC[uint32](capacity)
		}()
	}
}

// Goal: no two words that different threads write share a pair of cache lines.
func TestLayout(t *testing.T) {
	var r SPSC[uint32]
	offsets := []uintptr{unsafe.Offsetof(r.mask), unsafe.Offsetof(r.tail), unsafe.Offsetof(r.headSeen), unsafe.Offsetof(r.head),
		unsafe.Offsetof(r.tailSeen), unsafe.Sizeof(r)}
	for i := 1; i < len(offsets); i++ {
		if offsets[i]-offsets[i-1] < lineBytes {
			t.Errorf("field %d lies %d bytes after the one before", i, offsets[i]-offsets[i-1])
		}
	}
}

// Goal: nothing here allocates after construction.
func TestNoAllocation(t *testing.T) {
	r := NewSPSC[descriptor](64)
	p := newTestParker(t)
	waker := p.Waker()
	var items, out [32]descriptor
	allocs := testing.AllocsPerRun(100, func() {
		r.Push(items[:])
		r.PushOne(items[0])
		r.Pop(out[:])
		r.PopOne()
		p.Prepare()
		waker.Wake()
		p.WaitPlain(waitForever)
		p.Cancel()
		p.Prepare()
		p.WaitPlain(1000)
		p.Cancel()
	})
	if allocs != 0 {
		t.Fatalf("%.1f allocations per round, want 0", allocs)
	}
}
