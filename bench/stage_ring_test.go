package bench

import (
	"fmt"
	"runtime"
	"testing"

	"ledger/ring"
	"ledger/stages"
)

// BenchmarkRing is the cost of a hop between stages: on one thread, and to another thread and back, which spins.
// The limit of the first is copying the descriptor in and out.
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
		done := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			defer close(done)
			for {
				item, ok := there.PopOne()
				if !ok {
					continue
				}
				if item == 0 {
					return
				}
				back.PushOne(item)
			}
		}()
		b.ReportAllocs()
		for b.Loop() {
			there.PushOne(1)
			for {
				if _, ok := back.PopOne(); ok {
					break
				}
			}
		}
		there.PushOne(0)
		<-done
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2, "ns/hop")
	})
}
