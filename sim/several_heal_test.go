package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ledger/sim/workload"
)

// Goal: a replica that has lost all blocks of its grid, or some pages of each, starts, executes
// what the others do, and comes to the same checkpoints, while no other fault happens. The blocks
// that it reads it gets from the others. One that runs reads the blocks that it has not in memory.
func TestSeveralHealsBlocks(t *testing.T) {
	for i, kind := range []spoilKind{spoilZeros, spoilMany, spoilHeader, spoilAstray} {
		for _, isUp := range []bool{false, true} {
			seed := uint64(10 + i)
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
				repaired := liveHealing(w, kind, isUp)
				t.Logf("kind %d, up %v: %d blocks are repaired", kind, isUp, repaired)
				if repaired == 0 {
					t.Errorf("kind %d, up %v: no block is repaired", kind, isUp)
				}
			}()
		}
	}
}

// liveHealing damages all blocks of one machine in the middle of a life without other faults, and
// returns how many it has repaired.
func liveHealing(w *World, kind spoilKind, isUp bool) (repaired int) {
	s := w.calmThree()
	c := s.cluster
	until := func(op uint64, what string) {
		s.runUntil(func() bool { return s.oracle.Highest() >= op }, what)
	}
	until(200, "200 ops")
	m := c.machines[1]
	if !isUp {
		s.goDown(m, true, 0)
	}
	for address := uint64(1); address <= m.blocksHigh(); address++ {
		s.spoilBlock(m, address, kind)
	}
	hold := func(isHeld bool) {
		for _, one := range c.clients {
			one.protocol.Hold(isHeld)
		}
	}
	// Without a pause, the others may free blocks that the checkpoint of this machine names.
	hold(true)
	s.runUntil(func() bool {
		return m.replica != nil && m.replica.Apply.IsOpen() && m.replica.Consensus.Commit() == s.oracle.Highest()
	}, "the machine has executed all ops")
	hold(false)
	until(400, "200 ops behind the damage")
	s.heal()
	s.audit()
	s.agree()
	return s.marks.Counts[MarkRepairedTable]
}

// calmThree is a cluster of three machines without faults, and with two clients.
func (w *World) calmThree() *several {
	c := w.addSeveral(3, 0)
	s := c.several
	s.mix = drawMix(w.random, len(c.machines))
	for _, m := range c.machines {
		m.format(-1)
		m.witness.rescan()
	}
	s.connectPaths()
	s.settle()
	profile := workload.DrawProfile(w.random)
	profile.Accounts, profile.BatchEventsMax = 20, 4
	c.addClients(2, workload.NewGenerator(w.random.Uint64(), profile, c.modelLimits), 20*nsPerMs)
	return s
}

// Goal: while a lost data file is there by mistake, disks spoil no block that is whole in no other
// one. When that file is taken away, the block would be gone for ever, and requests that need it
// would wait for ever. Seeds 7000185 and 7000617 of the clusters once came to that.
func TestSeveralSpoilsNoLastCopyThatStays(t *testing.T) {
	w := newWorld(Options{Seed: 10, Several: true}, rand.New(rand.NewPCG(10, 1)), func(format string, arguments ...any) {
		t.Fatalf(format, arguments...)
	})
	defer w.abandon()
	s := w.calmThree()
	s.runUntil(func() bool { return s.oracle.Highest() >= 200 && s.isEven() }, "200 ops on three machines that are even")
	machines := s.cluster.machines
	s.replacement.isOld, s.replacement.spareOf = true, machines[2]
	for _, m := range machines[:2] {
		for address := uint64(1); address <= m.blocksHigh(); address++ {
			s.spoilBlock(m, address, spoilZeros)
		}
	}
	spoiled := 0
	for _, block := range s.blocks.Named(machines[0].witness.checkpointOp) {
		if s.blocks.IsWhole(0, block) {
			continue
		}
		if spoiled++; !s.blocks.IsWhole(1, block) {
			t.Fatalf("block %d of the checkpoint is whole in no data file that stays", block.Address)
		}
	}
	if spoiled == 0 {
		t.Error("no block is spoiled")
	}
}
