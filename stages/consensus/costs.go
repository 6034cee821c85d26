package consensus

import (
	"ledger/limits"
	"ledger/stages"
	"ledger/vsr"
	"ledger/wire"
)

// costs is what writes and executions have taken here of late. Pings tell it, and a primary that is
// much slower than its peers gives way.
type costs struct {
	write, execute cost
	executionsNs   uint64 // mean of the executions
	writing        [stages.BudgetJournalAppends]write
	slow           vsr.Slow
	sampledNs      uint64
	periodNs       uint64 // of the samples
}

// cost is what something takes when nothing else is in its way: of the last times, one of the
// shortest. On a machine with more to do than cores to do it, the mean is mostly the wait for a
// core, and hides a disk that is ten times as slow as the others.
type cost struct {
	ns     uint64
	lastNs uint64 // when it was last measured
}

// write is an append that is under way.
type write struct {
	checksum wire.Checksum // zero: the place is free
	beganNs  uint64
}

// costForNs: what was measured longer ago says nothing of now.
const costForNs = 2_000_000_000

func newCosts() costs { return costs{periodNs: vsr.TimersOf().SlowSample.PeriodNs} }

// took adds a time to a cost, which falls fast and rises slowly.
func (c *cost) took(ns, nowNs uint64) {
	switch {
	case c.lastNs == 0 || nowNs > c.lastNs+costForNs:
		c.ns = ns
	case ns < c.ns:
		c.ns -= (c.ns - ns) / 2
	default:
		c.ns += (ns - c.ns) / 16
	}
	c.lastNs = nowNs
}

// of late; 0: nothing was measured.
func (c *cost) of(nowNs uint64) uint64 {
	if c.lastNs == 0 || nowNs > c.lastNs+costForNs {
		return 0
	}
	return c.ns
}

// began: an append was given to journal.
func (c *costs) began(checksum wire.Checksum, nowNs uint64) {
	for i := range c.writing {
		if w := &c.writing[i]; w.checksum.IsZero() {
			*w = write{checksum: checksum, beganNs: nowNs}
			return
		}
	}
}

// written: an append is durable.
func (c *costs) written(checksum wire.Checksum, nowNs uint64) {
	for i := range c.writing {
		if w := &c.writing[i]; w.checksum == checksum {
			c.write.took(nowNs-w.beganNs, nowNs)
			*w = write{}
			return
		}
	}
}

// executed: an op was executed in this time.
func (c *costs) executed(ns, nowNs uint64) {
	c.execute.took(ns, nowNs)
	c.executionsNs = (15*c.executionsNs + ns) / 16
}

// executionNs is the mean of the executions of late, with what was in their way.
func (c *costs) executionNs() uint64 { return c.executionsNs }

// writeHangsNs: an append that takes so long counts before it ends.
const writeHangsNs = 1_000_000_000

// now is the cost of late. An append that does not come to an end counts with its age.
func (c *costs) now(nowNs uint64) vsr.Cost {
	cost := vsr.Cost{WriteNs: c.write.of(nowNs), ExecuteNs: c.execute.of(nowNs)}
	for i := range c.writing {
		if w := &c.writing[i]; !w.checksum.IsZero() && nowNs >= w.beganNs+writeHangsNs {
			cost.WriteNs = max(cost.WriteNs, nowNs-w.beganNs)
		}
	}
	return cost
}

// isSlow compares with the peers, once in a while. It tells whether the primary gives way now.
func (c *costs) isSlow(nowNs uint64, peers []vsr.Cost) bool {
	if nowNs < c.sampledNs+c.periodNs {
		return false
	}
	c.sampledNs = nowNs
	return c.slow.Sample(nowNs, c.now(nowNs), peers)
}

// stepDown: the replica is no primary any more.
func (c *costs) stepDown() { c.slow.Left() }

// isSlow tells whether the primary gives way because its peers are much faster.
func (s *Stage) isSlow() bool {
	var each [limits.ReplicasMax]vsr.Cost
	for i := range s.quorums.Replicas {
		if s.peers.isReported(i, s.timers.now()) {
			state := s.peers.reported(i)
			each[i] = vsr.Cost{WriteNs: uint64(state.WriteNs), ExecuteNs: uint64(state.ExecuteNs)}
		}
	}
	return s.costs.isSlow(s.timers.now(), each[:s.quorums.Replicas])
}
