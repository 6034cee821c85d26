package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// copiesSeen is how far a machine is with its superblocks: the durable one, and the copies of the
// next one.
type copiesSeen struct {
	sequence uint64
	next     uint32
}

// Goal: whenever the replicas of a cluster are even, readers of their disks find one and the same
// checkpoint, with the same used pages. A machine between two copies of its next superblock is not
// even with others, although nothing is in flight there. Seed 335 of the clusters with short lives
// once came to that.
func TestSeveralEven(t *testing.T) {
	var evens, halves int
	for seed := uint64(1); seed <= 6; seed++ {
		w := newWorld(Options{Seed: seed, Several: true}, rand.New(rand.NewPCG(seed, 1)), func(format string, arguments ...any) {
			panic(violation{fmt.Sprintf(format, arguments...)})
		})
		func() {
			defer w.abandon()
			defer func() {
				if r := recover(); r != nil {
					t.Fatalf("seed %d: %v", seed, r)
				}
			}()
			even, half := liveEven(w)
			evens, halves = evens+even, halves+half
		}()
	}
	t.Logf("%d even states were compared; in %d steps a machine at rest was between two copies", evens, halves)
	if evens == 0 || halves == 0 {
		t.Errorf("%d even states were compared, and in %d steps a machine at rest was between two copies; want some of both", evens, halves)
	}
}

// liveEven runs three machines without faults, and compares them whenever they are even. Clients
// begin nothing while a checkpoint is due. So all ops are executed when superblocks are written.
//
// halves: the steps in which a machine had two copies of its next superblock, and nothing in
// flight.
func liveEven(w *World) (evens, halves int) {
	s := w.calmThree()
	c := s.cluster
	var was [3]copiesSeen
	for s.oracle.Highest() < 300 {
		trigger := c.limits.CheckpointTrigger(c.limits.CheckpointAfter(c.machines[0].witness.checkpointOp))
		for _, one := range c.clients {
			one.protocol.Hold(s.oracle.Highest() >= trigger)
		}
		if s.step(); w.steps == wholeStepsMax {
			w.fail("%d ops after %d steps", s.oracle.Highest(), w.steps)
		}
		var is [3]copiesSeen
		for i, m := range c.machines {
			is[i] = copiesSeen{m.witness.sequence, m.witness.copies[m.witness.sequence+1]}
			if is[i].next == 2 && len(m.disk.flying) == 0 {
				halves++
			}
		}
		if is != was && c.machines[0].witness.checkpointOp > 0 && s.isEven() {
			was = is
			evens++
			s.compare()
		}
	}
	return evens, halves
}
