package vsr

import "ledger/limits"

// Limits of the pace.
const (
	// PaceAfterNs: a backup that is behind for a shorter time comes near by itself.
	PaceAfterNs = 1_000_000_000
	// PaceMaxNs: a primary keeps a pace for at most so long. A tenth of the time in which it keeps
	// none counts as given back.
	PaceMaxNs = 60_000_000_000

	paceBehind     = 6  // pipelines that are to be executed: more make a backup behind
	paceNear       = 2  // pipelines with which it is near again
	paceOps        = 2  // that a backup executes for each op that is prepared
	paceSavedMax   = 16 // prepares that may be saved up; what is executed is told in portions
	paceExecutions = 4  // own executions after which the next prepare starts anyway
	paceWaitNsMax  = 100_000_000
	paceRefund     = 10
)

// Pace is how fast a primary prepares while a backup comes back by the log: one op for each two
// that the backup executes. So it is back when it has executed twice what it missed, whether ops
// are large or small, and whether what it lacks is a core of its own, its disk, or what repair
// brings.
//
// A pause of a share of the time (Pressure) does not do that. Full requests take longer than the
// pauses, and wait in the pipeline meanwhile, so as many are executed as without it.
//
// A backup is behind when it has more than six pipelines of committed ops to execute, as it tells
// itself, and near when it has two. So the distance of a backup that is far away is no lag. It is
// near as well when it has one as the primary knows it, which is later than that.
//
// It is waited for when it has been behind for a second, so that a checkpoint or a burst of small
// ops is none of the primary's business. Its pings come once a second, and the first one of a
// backup that was stopped knows of nothing that it has missed. So an answer counts as well: ops
// that take a second to execute took the others a second to get ahead.
//
// The primary goes on whatever the backup does: it starts a prepare after four of its own
// executions, and after 100 ms. A backup does not count that has executed nothing for a second, as
// one that is dead or hangs, that lacks more than the log, or that is not waited for. None counts
// for more than a minute, which comes back ten times as slowly.
type Pace struct {
	pipeline, far uint64

	each    [limits.ReplicasMax]paced
	lastNs  uint64 // when a prepare started
	sawNs   uint64 // up to which time spentNs is known
	spentNs uint64 // of PaceMaxNs
	totalNs uint64 // in which a pace was kept
}

// paced is what a primary knows of one backup.
type paced struct {
	sinceNs  uint64 // since when it is behind; 0: it is near, or not waited for
	isLeft   bool   // it is not waited for, as it last reported
	movedNs  uint64 // when it had executed something
	executed uint64
	credit   uint64 // ops that it has executed and that no prepare has taken
}

// NewPace returns that of a cluster without a backup that is behind.
func NewPace(l *limits.Limits) Pace {
	return Pace{pipeline: uint64(l.PipelineOpsMax), far: uint64(l.JournalSlotsCount)}
}

// Reported takes the number of committed ops that a backup has to execute, as it tells of itself.
// isLeft: it is not waited for.
func (p *Pace) Reported(nowNs uint64, replica int, lagOps uint64, isLeft bool) {
	p.pass(nowNs)
	b := &p.each[replica]
	b.isLeft = isLeft
	switch {
	case isLeft || lagOps <= paceNear*p.pipeline || lagOps > p.far:
		b.sinceNs = 0
	case lagOps > paceBehind*p.pipeline && b.sinceNs == 0:
		b.sinceNs = max(nowNs, 1)
	}
}

// Executed takes what a backup has executed, and how far that is behind what the primary knows to
// be committed.
func (p *Pace) Executed(nowNs uint64, replica int, commitMin, lagOps uint64) {
	p.pass(nowNs)
	b := &p.each[replica]
	if commitMin > b.executed {
		b.movedNs = nowNs
	}
	b.credit = min(b.credit+commitMin-min(commitMin, b.executed), paceOps*paceSavedMax)
	b.executed = commitMin
	if lagOps <= p.pipeline {
		b.sinceNs = 0
	}
}

// Answered takes how many ops a backup knows of and has not executed, as an answer of it tells.
// executeNs is the mean of the primary's own executions.
func (p *Pace) Answered(nowNs uint64, replica int, unexecutedOps, executeNs uint64) {
	b := &p.each[replica]
	if b.isLeft || unexecutedOps <= paceBehind*p.pipeline || unexecutedOps > p.far || unexecutedOps*executeNs < PaceAfterNs {
		return
	}
	p.pass(nowNs)
	if since := nowNs - min(nowNs, PaceAfterNs); b.sinceNs == 0 || b.sinceNs > since {
		b.sinceNs = max(since, 1)
	}
}

// Prepared: a prepare starts.
func (p *Pace) Prepared(nowNs uint64) {
	p.lastNs = nowNs
	for i := range p.each {
		b := &p.each[i]
		b.credit -= min(b.credit, paceOps)
	}
}

// UntilNs is when the next prepare may start; a time that has passed: now. executeNs is the mean of
// the primary's own executions.
func (p *Pace) UntilNs(nowNs, executeNs uint64) uint64 {
	p.pass(nowNs)
	for i := range p.each {
		if b := &p.each[i]; p.waitsFor(b, nowNs) && b.credit < paceOps {
			return p.lastNs + min(paceExecutions*executeNs, paceWaitNsMax)
		}
	}
	return 0
}

// IsOn tells whether a pace is kept.
func (p *Pace) IsOn(nowNs uint64) bool {
	for i := range p.each {
		if p.waitsFor(&p.each[i], nowNs) {
			return true
		}
	}
	return false
}

// TotalNs is the time in which a pace was kept.
func (p *Pace) TotalNs() uint64 { return p.totalNs }

// Leave: the replica is not the primary any more. What was spent stays spent.
func (p *Pace) Leave(nowNs uint64) {
	p.pass(nowNs)
	p.each = [limits.ReplicasMax]paced{}
}

func (p *Pace) waitsFor(b *paced, nowNs uint64) bool {
	return b.sinceNs > 0 && nowNs >= b.sinceNs+PaceAfterNs && nowNs <= b.movedNs+LagForNs && p.spentNs < PaceMaxNs
}

// pass counts the time since it was counted last. A pace that was kept then has ended a second
// later, if nothing was counted meanwhile.
func (p *Pace) pass(nowNs uint64) {
	passed := nowNs - min(nowNs, p.sawNs)
	if p.IsOn(p.sawNs) {
		kept := min(passed, LagForNs)
		p.spentNs += kept
		p.totalNs += kept
	} else {
		p.spentNs -= min(p.spentNs, passed/paceRefund)
	}
	p.sawNs = nowNs
}
