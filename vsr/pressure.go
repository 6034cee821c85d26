package vsr

import "ledger/limits"

// Limits of back-pressure.
const (
	// LagForNs: what a backup has told longer ago says nothing of now.
	LagForNs = 1_000_000_000

	pressureShareMax = 100     // of 1000 parts of the time
	pressureNsMin    = 100_000 // a shorter pause would be the time that a thread needs to wake up
	pressureNsMax    = 10_000_000
	pressureWorkNs   = pressureNsMax * (1000 - pressureShareMax) / pressureShareMax
)

// Lag is what a backup has told of its execution.
type Lag struct {
	Ops    uint64 // that were committed and not executed there, when it told so
	ToldNs uint64 // 0: it has told nothing
}

// Pressure pauses a primary before its prepares, in proportion to the lag of its slowest backup, so
// that a backup that is a little slower stays near. The pauses take at most a tenth of the time,
// however large the lag is. A backup that falls behind nevertheless is left to state sync.
//
//	lag of the slowest backup, in ops    share of the time
//	up to an eighth of the log (128)     none
//	half of the log (512)                a tenth
//	more than the log (1024)             none: it cannot catch up by the log
//
// Time in which the primary works earns the time of a pause. Short pauses are saved up until they
// are worth a timer. A pause that takes longer than planned, because the thread wakes late, is
// earned before the next one. So the bound holds for the real time of the pauses.
type Pressure struct {
	free, full, far uint64

	balanceNs int64  // time of pauses that was earned and not taken; below 0: taken and not earned
	sinceNs   uint64 // the time from here on earns; 0: nothing was prepared yet
	heldNs    uint64 // since when the next prepare waits; 0: none does
	untilNs   uint64 // when it goes
	pausedNs  uint64 // time of all pauses
}

// NewPressure returns one without any pause.
func NewPressure(l *limits.Limits) Pressure {
	slots := uint64(l.JournalSlotsCount)
	return Pressure{free: NearOps(l), full: slots / 2, far: slots}
}

// Slowest returns the largest lag of the backups that have told theirs of late, and that can catch
// up by the log.
func (p *Pressure) Slowest(nowNs uint64, lags []Lag) (ops uint64) {
	for i := range lags {
		if l := &lags[i]; l.ToldNs > 0 && nowNs <= l.ToldNs+LagForNs && l.Ops <= p.far {
			ops = max(ops, l.Ops)
		}
	}
	return ops
}

// share of the time that pauses take, in parts of 1000.
func (p *Pressure) share(lagOps uint64) uint64 {
	if lagOps <= p.free || lagOps > p.far {
		return 0
	}
	return min(pressureShareMax, pressureShareMax*(lagOps-p.free)/(p.full-p.free))
}

// Hold tells whether the next prepare waits. It is asked whenever one could begin.
func (p *Pressure) Hold(nowNs, lagOps uint64) bool {
	share := p.share(lagOps)
	if p.heldNs > 0 {
		if share > 0 && nowNs < p.untilNs {
			return true
		}
		p.end(nowNs)
	}
	if p.sinceNs > 0 {
		worked := min(nowNs-p.sinceNs, pressureWorkNs)
		p.balanceNs = min(p.balanceNs+int64(worked*share/(1000-share)), pressureNsMax)
	}
	p.sinceNs = max(nowNs, 1)
	switch {
	case share == 0:
		p.balanceNs = min(p.balanceNs, 0)
	case p.balanceNs >= pressureNsMin: // never right behind a pause, which has taken all of it
		p.heldNs, p.untilNs = p.sinceNs, p.sinceNs+uint64(p.balanceNs)
		return true
	}
	return false
}

// end of a pause.
func (p *Pressure) end(nowNs uint64) {
	took := nowNs - p.heldNs
	p.pausedNs += took
	p.balanceNs -= int64(took)
	p.heldNs, p.untilNs, p.sinceNs = 0, 0, max(nowNs, 1)
}

// Leave: the replica is not the primary any more. It ends a pause.
func (p *Pressure) Leave(nowNs uint64) {
	if p.heldNs > 0 {
		p.end(nowNs)
	}
	p.sinceNs, p.balanceNs = 0, min(p.balanceNs, 0)
}

// NextNs returns when a pause ends; the greatest number if there is none.
func (p *Pressure) NextNs() uint64 {
	if p.heldNs == 0 {
		return ^uint64(0)
	}
	return p.untilNs
}

// PausedNs is the time of all pauses that have ended.
func (p *Pressure) PausedNs() uint64 { return p.pausedNs }
