package vsr

import (
	"testing"

	"ledger/limits"
)

// Goal: an upgrade ends at the trigger of the first checkpoint behind whose op only upgrade ops can
// lie: for each first op, checked op by op.
func TestUpgradeTrigger(t *testing.T) {
	l := limits.Production()
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 128, 8, 10, 8
	for first := uint64(1); first < 6*l.CheckpointIntervalOps(); first++ {
		want := first
		for !l.IsTrigger(want) || first > want-uint64(l.BarOps)+1 {
			want++
		}
		if got := UpgradeTrigger(&l, first); got != want {
			t.Fatalf("an upgrade that begins with op %d ends with op %d, want %d", first, got, want)
		}
	}
}

// Goal: the release is the highest that all offer, and above the one that runs; one that offers
// nothing, or only later ones, leaves it as it is.
func TestUpgradeTo(t *testing.T) {
	for _, c := range []struct {
		running uint32
		offered []Releases
		want    uint32
	}{
		{1, []Releases{{1, 1}, {1, 1}, {1, 1}}, 0},
		{1, []Releases{{1, 2}, {1, 2}, {1, 2}}, 2},
		{1, []Releases{{1, 2}, {1, 1}, {1, 2}}, 0},
		{1, []Releases{{1, 3}, {1, 2}, {1, 4}}, 2},
		{1, []Releases{{1, 3}, {2, 2}, {1, 4}}, 2},
		{1, []Releases{{1, 3}, {3, 4}, {1, 2}}, 0},
		{2, []Releases{{1, 2}, {1, 2}, {1, 2}}, 0},
		{2, []Releases{{1, 1}, {1, 2}, {1, 2}}, 0},
		{1, []Releases{{1, 2}, {}, {1, 2}}, 0},
		{1, nil, 0},
	} {
		if got := UpgradeTo(c.running, c.offered); got != c.want {
			t.Errorf("release %d, offered %v: %d, want %d", c.running, c.offered, got, c.want)
		}
	}
}

// Goal: from the first upgrade op to the trigger only upgrade ops of the same kind may follow; an
// upgrade begins with the trigger that its first op has; behind the trigger anything may follow. A
// primary prepares the same: nothing above the trigger as the older release, and nothing behind an
// op that another release has prepared.
func TestUpgradeOps(t *testing.T) {
	const old, next = limits.Release, limits.ReleaseTrial
	l := limits.Production()
	trigger := UpgradeTrigger(&l, 100)
	request := func(op uint64, release uint32) LogOp { return LogOp{Op: op, Rules: limits.RulesOf(release)} }
	upgrade := func(op uint64, to uint32, trigger uint64) LogOp {
		return LogOp{Op: op, Rules: limits.RulesOf(old), UpgradeTo: to, TriggerOp: trigger}
	}
	for _, c := range []struct {
		name         string
		before, next LogOp
		may          bool
	}{
		{"a request behind one", request(99, old), request(100, old), true},
		{"the first upgrade op", request(99, old), upgrade(100, next, trigger), true},
		{"the first upgrade op with another trigger", request(99, old), upgrade(100, next, trigger+1), false},
		{"the first upgrade op with a later trigger", request(99, old), upgrade(100, next, trigger+l.CheckpointIntervalOps()), false},
		{"the next upgrade op", upgrade(100, next, trigger), upgrade(101, next, trigger), true},
		{"to another release", upgrade(100, next, trigger), upgrade(101, next+1, trigger), false},
		{"with another trigger", upgrade(100, next, trigger), upgrade(101, next, trigger+1), false},
		{"a request between", upgrade(100, next, trigger), request(101, old), false},
		{"a request of the next release between", upgrade(trigger-1, next, trigger), request(trigger, next), false},
		{"a request behind the trigger", upgrade(trigger, next, trigger), request(trigger+1, next), true},
		{"another upgrade behind the trigger", upgrade(trigger, next, trigger), upgrade(trigger+1, next+1, UpgradeTrigger(&l, trigger+1)), true},
	} {
		if got := c.next.MayFollow(&l, &c.before); got != c.may {
			t.Errorf("%s: may follow %v, want %v", c.name, got, c.may)
		}
	}
	for _, c := range []struct {
		name    string
		head    LogOp
		running uint32
		want    BehindHead
	}{
		{"the root", request(0, old), next, BehindRequests},
		{"the own release", request(50, old), old, BehindRequests},
		{"an op of the next release", request(50, next), old, BehindNothing},
		{"an op of the release before", request(50, old), next, BehindNothing},
		{"upgrade ops under way", upgrade(100, next, trigger), old, BehindUpgrade},
		{"the last upgrade op, older release", upgrade(trigger, next, trigger), old, BehindNothing},
		{"the last upgrade op, next release", upgrade(trigger, next, trigger), next, BehindRequests},
		{"upgrade ops under way, next release", upgrade(100, next, trigger), next, BehindNothing},
	} {
		if got := c.head.Behind(c.running); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		op       LogOp
		running  uint32
		executes bool
		stops    bool
	}{
		{request(5, old), old, true, false},
		{request(5, next), old, false, false},
		{request(5, old), next, false, false},
		{upgrade(100, next, trigger), old, true, true},
		{upgrade(100, next, trigger), next, true, false},
	} {
		if got := c.op.Executes(c.running); got != c.executes {
			t.Errorf("release %d executes %+v: %v, want %v", c.running, c.op, got, c.executes)
		}
		if stopOp, stops := c.op.StopOp(c.running); stops != c.stops || stops && stopOp != trigger {
			t.Errorf("release %d stops for %+v: %v at %d, want %v", c.running, c.op, stops, stopOp, c.stops)
		}
	}
}
