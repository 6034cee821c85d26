package apply

import (
	"ledger/internal/assert"
	"ledger/prepare"
)

// upgrade is the upgrade op that was executed last, if nothing was executed behind it. The release
// of a checkpoint follows from the log alone. So all replicas give it the same one, whatever they
// offer and whoever is primary.
type upgrade struct {
	to    prepare.Upgrade
	first uint64 // op of the first of these upgrade ops that this start has executed; 0: the last op was none
}

// executed: op was executed. Between the first upgrade op and the trigger there are only upgrade
// ops of the same kind. Consensus has refused any other op, so that here it is a bug.
func (u *upgrade) executed(op uint64, to *prepare.Upgrade, isUpgrade bool) {
	isNext := isUpgrade && u.first != 0 && *to == u.to
	assert.That(isNext || u.first == 0 || op > u.to.TriggerOp, "upgrade ops go on until the trigger")
	switch {
	case !isUpgrade:
		u.first = 0
	case !isNext:
		u.to, u.first = *to, op
	}
}

// releaseAt is the release that goes on from the checkpoint whose trigger is op.
func (u *upgrade) releaseAt(op uint64, running uint32) uint32 {
	if u.first != 0 && u.to.TriggerOp == op {
		return u.to.Release
	}
	return running
}

// reset: the state of a checkpoint is opened.
func (u *upgrade) reset() { *u = upgrade{} }
