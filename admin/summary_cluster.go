package admin

import (
	"fmt"
	"io"
	"strconv"

	"ledger/stages/consensus"
)

// writeCluster tells what one of several replicas knows of its cluster.
func writeCluster(w io.Writer, s *snapshot) {
	c := s.cluster()
	if c == nil {
		return
	}
	who, isAway := fmt.Sprintf("replica %d of %d, %s", c.Self, c.Replicas, role(c)), "clients are not served here"
	if c.IsStandby() {
		who, isAway = fmt.Sprintf("standby %d of a cluster of %d replicas", c.Self, c.Replicas), "this standby does not follow"
	}
	fmt.Fprintf(w, "%s; the primary of the view is replica %d; log view %d, %d views left since the start\n", who, c.Primary, c.LogView,
		c.ViewChanges)
	if c.Away != consensus.AwayNot {
		fmt.Fprintf(w, "%s: %s\n", isAway, c.Away)
	}
	if !c.AreNamed {
		fmt.Fprintln(w, "the cluster does not know its data files by number yet: that begins when all replicas have been connected")
	}
	if c.SyncOp > 0 {
		fmt.Fprintf(w, "state sync: blocks of the checkpoint of op %d are missing here; opening it took %s\n", c.SyncOp, duration(c.OpenNs))
	}
	writeRelease(w, c)
	fmt.Fprintf(w, "committed op %d, log slots damaged here %d, prepares missing here %d; prepares asked for %d, got %d, given %d\n",
		c.CommitMax, c.FaultySlots, c.MissingPrepares, c.RepairsAsked, c.RepairsTaken, c.RepairsServed)
	fmt.Fprintf(w, "blocks waited for %d, of which no replica brings %d; asked for %d, repaired %d with %d bytes, given %d\n", c.BlocksWanted,
		c.BlocksLost, c.BlocksAsked, c.BlocksRepaired, c.BlockBytesRepaired, c.BlocksServed)
	if c.Clock.IsKnown {
		fmt.Fprintf(w, "clocks of %d replicas agree within %s, %s ago; the own one is off by %d ns\n", c.Clock.Sources, duration(c.Clock.WidthNs),
			duration(c.Clock.AgeNs), c.Clock.OwnOffsetNs)
	} else {
		fmt.Fprintln(w, "the replicas do not agree on the time")
	}
	fmt.Fprintf(w, "\n%-32s %12s %12s %12s %12s %12s %12s\n", "replica", "behind, ops", "head", "executed", "checkpoint", "log view", "silent")
	for i := range max(c.Indexes, c.Self+1) {
		if i >= c.Indexes && i != c.Self {
			continue // another standby, of which this one hears nothing
		}
		if i == c.Self {
			fmt.Fprintf(w, "%-32s %12d %12d %12d %12d %12d %12s\n", fmt.Sprintf("%d (this one)", i),
				c.CommitMax-min(c.CommitMax, s.Consensus.Commit), s.Consensus.Op, s.Consensus.Commit, s.Consensus.CheckpointOp, c.LogView, "-")
			continue
		}
		p := &c.Peers[i]
		if p.StateNs == consensus.NeverNs {
			fmt.Fprintf(w, "%-32d %12s\n", i, "never heard")
			continue
		}
		fmt.Fprintf(w, "%-32s %12d %12d %12d %12d %12d %12s\n", strconv.Itoa(int(i)), lag(c, p), p.Op, p.CommitMin, p.CheckpointOp, p.LogView,
			duration(p.SilentNs))
	}
}

// writeRelease tells which release runs, which are offered, and what an upgrade waits for.
func writeRelease(w io.Writer, c *consensus.ClusterSample) {
	fmt.Fprintf(w, "release %d runs, %d to %d are offered here", c.Release, c.ReleaseMin, c.ReleaseMax)
	if c.UpgradeTo != 0 {
		fmt.Fprintf(w, "; an upgrade to release %d is under way, and requests wait", c.UpgradeTo)
	} else if c.ReleaseMax > c.Release {
		missing := ""
		for i := range c.Indexes {
			if p := &c.Peers[i]; i != c.Self && (p.ReleaseMin > c.ReleaseMax || p.ReleaseMax < c.ReleaseMax) {
				missing += " " + strconv.Itoa(int(i))
			}
		}
		if missing != "" {
			fmt.Fprintf(w, "; an upgrade to release %d waits for those that do not offer it:%s", c.ReleaseMax, missing)
		}
	}
	fmt.Fprintln(w)
}
