package vsr

import "ledger/limits"

// A cluster passes from one release to the next at a checkpoint. The primary prepares upgrade ops,
// and nothing else, up to the checkpoint's trigger. The checkpoint then says which release goes on
// from it, and each replica starts anew as that one.
//
//	old release                                  | new release
//	... request, upgrade, upgrade, ..., upgrade  | request, ...
//	            first ^   c+1 ^       trigger ^  |
//
// A start from the checkpoint of op c executes c+1 to the trigger again, by the new release. These
// are upgrade ops, which have no effect by the rules of any release. So no op has two results.

// UpgradeTrigger is the op at which an upgrade ends whose first upgrade op is first: the first
// trigger of a checkpoint behind whose op no other op can lie.
func UpgradeTrigger(l *limits.Limits, first uint64) uint64 {
	checkpoint := l.CheckpointAfter(0)
	if first > checkpoint+1 {
		interval := l.CheckpointIntervalOps()
		checkpoint += (first - checkpoint - 1 + interval - 1) / interval * interval
	}
	return l.CheckpointTrigger(checkpoint)
}

// Releases is the range that a replica offers. The zero value is that of one which is not known.
type Releases struct{ Min, Max uint32 }

// UpgradeTo returns the release to which the replicas and standbys can pass: the highest that all
// of them offer, if that is above the one that runs. 0: there is none.
func UpgradeTo(running uint32, offered []Releases) uint32 {
	to := ^uint32(0)
	for _, r := range offered {
		to = min(to, r.Max)
	}
	for _, r := range offered {
		if to < r.Min {
			return 0
		}
	}
	if len(offered) == 0 || to <= running {
		return 0
	}
	return to
}

// LogOp is what the rules of upgrades ask about an op of the log.
type LogOp struct {
	Op        uint64
	Rules     uint32 // by which it was prepared
	UpgradeTo uint32 // of an upgrade op, the release; 0: it is another op
	TriggerOp uint64 // of an upgrade op, the last one
}

// isUnder tells whether behind the op only upgrade ops may come.
func (o *LogOp) isUnder() bool { return o.UpgradeTo != 0 && o.Op < o.TriggerOp }

// MayFollow tells whether next may lie behind before in any log. Otherwise the primary is broken
// that has prepared it, and nobody acknowledges or executes it.
func (o *LogOp) MayFollow(l *limits.Limits, before *LogOp) bool {
	switch {
	case before.isUnder():
		return o.UpgradeTo == before.UpgradeTo && o.TriggerOp == before.TriggerOp
	case o.UpgradeTo != 0:
		return o.TriggerOp == UpgradeTrigger(l, o.Op)
	}
	return true
}

// BehindHead is what a primary may prepare behind the head of its log.
type BehindHead uint8

const (
	// BehindRequests: requests, pulses, and the first op of an upgrade.
	BehindRequests BehindHead = iota
	// BehindUpgrade: the next upgrade op, of the kind of the head.
	BehindUpgrade
	// BehindNothing: what comes next is prepared by another release.
	BehindNothing
)

// Behind says what a primary of the release running may prepare behind the head of its log. The log
// alone decides, so a new primary goes on with an upgrade of which nobody has told it.
func (o *LogOp) Behind(running uint32) BehindHead {
	switch {
	case o.isUnder() && o.UpgradeTo > running:
		return BehindUpgrade
	case o.isUnder() || o.UpgradeTo > running:
		return BehindNothing
	case o.UpgradeTo == 0 && o.Op > 0 && o.Rules != limits.RulesOf(running):
		return BehindNothing
	}
	return BehindRequests
}

// Executes tells whether the release running may execute an op. Upgrade ops have no effect, so
// every release executes them.
func (o *LogOp) Executes(running uint32) bool {
	return o.UpgradeTo != 0 || o.Rules == limits.RulesOf(running)
}

// StopOp is the op above which the release running executes nothing, once it has executed this one.
// ok: it is an upgrade op to a newer release.
func (o *LogOp) StopOp(running uint32) (op uint64, ok bool) {
	return o.TriggerOp, o.UpgradeTo > running
}
