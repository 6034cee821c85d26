package replica

import (
	"fmt"
	"io"

	"ledger/internal/arena"
	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
)

// Check is what a start of this program would do with a data file. As JSON it is its fields.
type Check struct {
	Starts bool   `json:"starts"`
	Error  string `json:"error,omitempty"` // why not
	Status int    `json:"status"`          // with which it would end; 0 if it starts

	InUse bool `json:"in_use"` // a server has the file, so this is as of a moment ago

	OfferedMin uint32 `json:"release_offered_min"`
	OfferedMax uint32 `json:"release_offered_max"`

	// Of a file that can be started.
	Replica           uint8  `json:"replica"`
	Replicas          uint8  `json:"replicas"`
	CheckpointOp      uint64 `json:"checkpoint_op"`
	CheckpointRelease uint32 `json:"checkpoint_release"` // 0: there is no checkpoint
	Running           uint32 `json:"release_running"`    // the release that it would run
	HeadOp            uint64 `json:"head_op"`
	ReplayedOps       uint64 `json:"replayed_ops"` // of the log behind the checkpoint; in a cluster, those that are committed
	RulesMin          uint32 `json:"rules_min"`    // by which they would be executed; 0: there are none
	RulesMax          uint32 `json:"rules_max"`
	UpgradeTo         uint32 `json:"upgrade_to"` // an upgrade is in the log; 0: none
	UpgradeTriggerOp  uint64 `json:"upgrade_trigger_op"`
	RepairedCopies    uint64 `json:"repaired_copies"` // of superblock and log, that it would write again
}

// unwritten is a file of which nothing is changed.
type unwritten struct{ ports.File }

func (unwritten) WriteAt([]byte, uint64) error { return nil }
func (unwritten) Sync() error                  { return nil }

// CheckOf recovers a data file as a start does, and writes nothing.
//
// error: that of the start, which would be refused.
func CheckOf(file ports.File, l limits.Limits) (c *Check, err error) {
	c = &Check{OfferedMin: l.ReleaseMin, OfferedMax: l.ReleaseMax}
	memory := arena.New()
	defer memory.Close()
	o, err := recoverFile(unwritten{file}, l, memory)
	if err != nil {
		_, replicas, _ := PositionOf(file, &l)
		return c, ofReplicas(refusal(err), uint32(replicas))
	}
	s := &o.Consensus.Superblock
	c.Starts, c.Replica, c.Replicas, c.Running = true, s.Replica, s.ReplicasCount, o.Limits.Release
	c.CheckpointOp, c.HeadOp = s.Checkpoint.Op, o.Consensus.OpHead
	if c.CheckpointOp > 0 {
		c.CheckpointRelease = s.Checkpoint.Release
	}
	c.RepairedCopies = uint64(o.SuperblockCopiesFixed + o.Journal.TwinsFixed + o.Journal.PreparesFixed)
	c.readLog(o)
	return c, nil
}

// readLog looks at the ops that would be executed again.
func (c *Check) readLog(o *Opened) {
	end := c.HeadOp
	if c.Replicas > 1 {
		end = min(end, max(o.Consensus.CommitMax, o.Consensus.Superblock.CommitMax))
	}
	for op := c.CheckpointOp + 1; op <= c.HeadOp && (c.UpgradeTo == 0 || op <= c.UpgradeTriggerOp); op++ {
		slot := op % uint64(o.Limits.JournalSlotsCount)
		h := prepare.Header(o.Consensus.Headers[slot*limits.HeaderBytes:][:limits.HeaderBytes])
		if h.Op() != op || h.Command() != prepare.CommandPrepare {
			continue // others have it
		}
		if to, ok := prepare.UpgradeOf(h); ok {
			if to.Release > c.Running {
				c.UpgradeTo, c.UpgradeTriggerOp = to.Release, to.TriggerOp
			}
			continue // no rules are asked
		}
		if op <= end {
			if c.RulesMin == 0 || h.Rules() < c.RulesMin {
				c.RulesMin = h.Rules()
			}
			c.RulesMax = max(c.RulesMax, h.Rules())
		}
	}
	if c.UpgradeTo != 0 {
		end = min(end, c.UpgradeTriggerOp) // what follows is for the next release
	}
	c.ReplayedOps = end - min(end, c.CheckpointOp)
}

// Text writes it for people.
func (c *Check) Text(out io.Writer) {
	fmt.Fprintf(out, "this program offers releases %d to %d\n", c.OfferedMin, c.OfferedMax)
	if c.InUse {
		fmt.Fprintln(out, "a server uses the file: what follows is as of a moment ago")
	}
	if !c.Starts {
		fmt.Fprintf(out, "a start is refused, with status %d, and nothing is written: %s\n", c.Status, c.Error)
		return
	}
	fmt.Fprintf(out, "replica %d of %d, ", c.Replica, c.Replicas)
	if c.CheckpointOp > 0 {
		fmt.Fprintf(out, "checkpoint of op %d, which is of release %d\n", c.CheckpointOp, c.CheckpointRelease)
	} else {
		fmt.Fprintln(out, "without a checkpoint")
	}
	fmt.Fprintf(out, "a start runs release %d", c.Running)
	if c.Replicas > 1 && c.OfferedMax > c.Running {
		fmt.Fprintf(out, ", and passes to release %d when all replicas and standbys offer it", c.OfferedMax)
	}
	fmt.Fprintln(out)
	switch {
	case c.ReplayedOps == 0:
		fmt.Fprintln(out, "no op is executed again")
	case c.RulesMin == c.RulesMax && c.RulesMin != 0:
		fmt.Fprintf(out, "%d ops of the log are executed again, by rules %d\n", c.ReplayedOps, c.RulesMin)
	case c.RulesMin != 0:
		fmt.Fprintf(out, "%d ops of the log are executed again, each by the rules by which it was prepared: %d to %d\n", c.ReplayedOps,
			c.RulesMin, c.RulesMax)
	default:
		fmt.Fprintf(out, "%d ops of the log are executed again: upgrade ops, or ops that the other replicas have to bring\n", c.ReplayedOps)
	}
	if c.UpgradeTo != 0 {
		fmt.Fprintf(out, "an upgrade is in the log: behind op %d, release %d goes on", c.UpgradeTriggerOp, c.UpgradeTo)
		if c.UpgradeTo > c.OfferedMax {
			fmt.Fprint(out, ", which this program does not offer: it ends there with status 7")
		}
		fmt.Fprintln(out)
	}
	if c.RepairedCopies > 0 {
		fmt.Fprintf(out, "%d copies of superblock and log are written again\n", c.RepairedCopies)
	}
}
