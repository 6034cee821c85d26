package ring

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waitForever as a time limit means none.
const waitForever = math.MaxUint64

func newTestParker(t testing.TB) *Parker {
	p, err := NewParker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Goal: the rules of the word, one thread: a wake costs a system call only for a sleeper, and only
// once.
func TestParkerWord(t *testing.T) {
	p := newTestParker(t)
	waker := p.Waker()
	expectWakes := func(want uint64) {
		t.Helper()
		if got := p.WakesCount(); got != want {
			t.Fatalf("%d wakes, want %d", got, want)
		}
	}
	waker.Wake() // nobody sleeps
	expectWakes(0)
	p.Prepare()
	if p.Cancel() {
		t.Fatal("Cancel says woken, and nobody woke")
	}
	waker.Wake()
	expectWakes(0)
	p.Prepare()
	waker.Wake()
	waker.Wake() // the second finds the word clear
	expectWakes(1)
	if !p.Cancel() {
		t.Fatal("Cancel missed the wake")
	}
	// The eventfd still holds that wake: the next wait ends at once, the one after it does not.
	p.Prepare()
	p.WaitPlain(waitForever)
	p.Cancel()
	start := time.Now()
	p.Prepare()
	p.WaitPlain(2e6)
	p.Cancel()
	if waited := time.Since(start); waited < 2*time.Millisecond {
		t.Fatalf("waited %v, want 2ms: the eventfd was not emptied", waited)
	}
	Waker{}.Wake() // the fused and the simulated case: nobody to wake
}

// Goal: no wake is lost. Producers publish one item each and then wait for it to be consumed, so
// one lost wake stops everything; the consumer sleeps without a time limit whenever it finds
// nothing.
func TestNoLostWake(t *testing.T) {
	const producersCount, itemsPerProducer = 3, 1500
	p := newTestParker(t)
	var rings [producersCount]*SPSC[uint32]
	var consumedCounts [producersCount]atomic.Uint32
	var stop atomic.Bool
	var group sync.WaitGroup
	for i := range rings {
		rings[i] = NewSPSC[uint32](4)
		group.Add(1)
		go func() {
			defer group.Done()
			waker := p.Waker()
			for item := range uint32(itemsPerProducer) {
				if !rings[i].PushOne(item) {
					t.Errorf("ring %d is full", i)
					return
				}
				waker.Wake()
				for consumedCounts[i].Load() == item && !stop.Load() {
					runtime.Gosched()
				}
				for range item % 64 { // vary the distance between the consumer's last look and the next push
					consumedCounts[i].Load()
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		consumedCount := 0
		take := func() (busy bool) {
			for i, r := range rings {
				for {
					item, ok := r.PopOne()
					if !ok {
						break
					}
					if item != consumedCounts[i].Load() {
						t.Errorf("ring %d: item %d, want %d", i, item, consumedCounts[i].Load())
					}
					consumedCounts[i].Add(1)
					consumedCount++
					busy = true
				}
			}
			return busy
		}
		for consumedCount < producersCount*itemsPerProducer && !stop.Load() {
			if take() {
				continue
			}
			p.Prepare()
			if !take() {
				p.WaitPlain(waitForever)
			}
			p.Cancel()
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		stop.Store(true)
		for i, r := range rings {
			t.Errorf("ring %d: %d consumed, %d waiting", i, consumedCounts[i].Load(), r.Len())
		}
		var one = [8]byte{0: 1}
		unix.Write(p.FileDescriptor(), one[:])
		<-done
	}
	group.Wait()
	t.Logf("%d items, %d wakes by system call", producersCount*itemsPerProducer, p.WakesCount())
}

// isAsleep tells whether the kernel has put a thread of this process to sleep.
func isAsleep(t *testing.T, thread int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", thread))
	if err != nil {
		t.Fatal(err)
	}
	_, state, _ := strings.Cut(string(status), ") ") // the name before it is in parentheses
	return strings.HasPrefix(state, "S")
}

// Goal: a parked thread does not hold up the collector, and signals that end its wait early do no
// harm.
func TestParkedThreadLetsTheCollectorRun(t *testing.T) {
	p := newTestParker(t)
	var stop atomic.Bool
	sleeper, done := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		sleeper <- unix.Gettid()
		for !stop.Load() {
			p.Prepare()
			if !stop.Load() {
				p.WaitPlain(waitForever)
			}
			p.Cancel()
		}
	}()
	for thread := <-sleeper; p.word.Load() == 0 || !isAsleep(t, thread); {
		runtime.Gosched()
	}
	collected := make(chan struct{})
	go func() {
		runtime.GC()
		close(collected)
	}()
	select {
	case <-collected:
	case <-time.After(10 * time.Second):
		t.Fatal("the collector waits for a parked thread")
	}
	stop.Store(true)
	p.Waker().Wake()
	<-done
}
