package bench

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/ring"
	"ledger/stages"
)

// BenchmarkRing is the cost of a hop between stages: on one thread, and to another thread and back,
// which spins or sleeps. The limit of the first is copying the descriptor in and out, of the others
// a bare word, or a bare eventfd, between two threads.
func BenchmarkRing(b *testing.B) {
	for _, group := range []int{1, 32} {
		b.Run(fmt.Sprintf("fused/%d", group), func(b *testing.B) {
			lockThread()
			r := ring.NewSPSC[stages.NetToConsensus](64)
			in, out := make([]stages.NetToConsensus, group), make([]stages.NetToConsensus, group)
			ns := computes(b, func() {
				r.Push(in)
				r.Pop(out)
			})
			middle := make([]stages.NetToConsensus, group)
			bare := fastest(func() {
				for range 1000 {
					copy(middle, in)
					copy(out, middle)
				}
			}) / 1000
			b.ReportMetric(ns/float64(group), "ns/item")
			share(b, "copy", bare, ns)
		})
	}
	b.Run("threads/spin", func(b *testing.B) {
		there, back := ring.NewSPSC[uint64](64), ring.NewSPSC[uint64](64)
		take := func(r *ring.SPSC[uint64]) (item uint64) {
			for ok := false; !ok; {
				item, ok = r.PopOne()
			}
			return item
		}
		ns := hops(b, func() uint64 { return take(there) }, func() { back.PushOne(1) }, func(item uint64) {
			there.PushOne(item)
			if item != 0 {
				take(back)
			}
		})
		share(b, "words", bareWords(), ns)
	})
	b.Run("threads/park", func(b *testing.B) {
		there, back := ring.NewSPSC[uint64](64), ring.NewSPSC[uint64](64)
		var parkers [2]*ring.Parker // of the two threads
		for i := range parkers {
			parker, err := ring.NewParker()
			if err != nil {
				b.Fatal(err)
			}
			defer parker.Close()
			parkers[i] = parker
		}
		take := func(r *ring.SPSC[uint64], parker *ring.Parker) uint64 {
			for {
				if item, ok := r.PopOne(); ok {
					return item
				}
				parker.Prepare()
				if item, ok := r.PopOne(); ok { // what came between the two looks
					parker.Cancel()
					return item
				}
				parker.WaitPlain(1_000_000_000)
				parker.Cancel()
			}
		}
		wakers := [2]ring.Waker{parkers[0].Waker(), parkers[1].Waker()}
		ns := hops(b, func() uint64 { return take(there, parkers[1]) }, func() {
			back.PushOne(1)
			wakers[0].Wake()
		}, func(item uint64) {
			there.PushOne(item)
			wakers[1].Wake()
			if item != 0 {
				take(back, parkers[0])
			}
		})
		share(b, "eventfd", bareEventfd(b), ns)
	})
}

// hops runs b's loop: each iteration sends an item to a thread of its own and waits for the answer.
// It returns the time of one way. send 0 ends the other thread and waits for nothing.
func hops(b *testing.B, take func() uint64, answer func(), send func(item uint64)) (nsPerHop float64) {
	lockThread()
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		for take() != 0 {
			answer()
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		send(1)
	}
	ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / 2
	send(0)
	<-done
	b.ReportMetric(ns, "ns/hop")
	return ns
}

// bareWords is the time for a word to get from one core to another, in nanoseconds: the limit of a
// hop between threads that look for it.
func bareWords() float64 {
	const rounds = 100_000
	var there, back atomic.Uint64
	go func() {
		runtime.LockOSThread()
		for round := uint64(1); round <= rounds; round++ {
			for there.Load() != round {
			}
			back.Store(round)
		}
	}()
	begun := time.Now()
	for round := uint64(1); round <= rounds; round++ {
		there.Store(round)
		for back.Load() != round {
		}
	}
	return float64(time.Since(begun)) / rounds / 2
}

// bareEventfd is the kernel's time to wake a thread that reads an eventfd, in nanoseconds: the
// limit of a hop to a thread that sleeps.
func bareEventfd(b *testing.B) float64 {
	const rounds = 5000
	var descriptors [2]int
	for i := range descriptors {
		descriptor, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(descriptor)
		descriptors[i] = descriptor
	}
	one, done := []byte{1, 0, 0, 0, 0, 0, 0, 0}, make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		var buffer [8]byte
		for range rounds {
			_, _ = unix.Read(descriptors[0], buffer[:]) // an eventfd reads and writes whole, or the time is off
			_, _ = unix.Write(descriptors[1], one)
		}
	}()
	var buffer [8]byte
	begun := time.Now()
	for range rounds {
		_, _ = unix.Write(descriptors[0], one)
		_, _ = unix.Read(descriptors[1], buffer[:])
	}
	elapsed := time.Since(begun)
	<-done
	return float64(elapsed) / rounds / 2
}
