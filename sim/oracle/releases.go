package oracle

import "fmt"

// releases knows, from the log alone, which release executes each op. Behind the first upgrade op
// there are upgrade ops only, up to the trigger that they all name. What comes behind the trigger
// is the next release's.
type releases struct {
	now     uint32
	to      uint32 // of the upgrade that is under way; 0: none is
	trigger uint64
	of      []uint32 // by op; 0: an upgrade op, which any release may execute
}

// rulesOf are the rules of a release of the simulator.
func rulesOf(release uint32) uint32 {
	if release == 2 {
		return 0xffff
	}
	return 1
}

// ReleaseOf is the release that executes a committed op. 0: an upgrade op, which has no effect.
func (o *Oracle) ReleaseOf(op uint64) uint32 {
	if op >= uint64(len(o.releases.of)) {
		return 0
	}
	return o.releases.of[op]
}

// Release is that of the op behind the last committed one, and the one to which an upgrade is under
// way; 0: none is.
func (o *Oracle) Release() (now, to uint32) { return o.releases.now, o.releases.to }

// commits takes the next committed op.
func (r *releases) commits(p *Prepare) error {
	for uint64(len(r.of)) <= p.Op {
		r.of = append(r.of, 0)
	}
	switch {
	case r.to != 0 && (p.UpgradeTo != r.to || p.Trigger != r.trigger):
		return fmt.Errorf("op %d, operation %d, lies among the upgrade ops to release %d, which go on to op %d", p.Op, p.Operation, r.to,
			r.trigger)
	case p.UpgradeTo == 0 && p.Rules != rulesOf(r.now):
		return fmt.Errorf("op %d was prepared by rules %d, and release %d, which executes it, has rules %d", p.Op, p.Rules, r.now,
			rulesOf(r.now))
	case p.UpgradeTo == 0:
		r.of[p.Op] = r.now
		return nil
	case r.to == 0 && (p.UpgradeTo <= r.now || p.Trigger < p.Op):
		return fmt.Errorf("op %d begins an upgrade from release %d to %d that ends at op %d", p.Op, r.now, p.UpgradeTo, p.Trigger)
	}
	if r.to, r.trigger = p.UpgradeTo, p.Trigger; p.Op == r.trigger {
		r.now, r.to = r.to, 0
	}
	return nil
}
