package consensus

// Timers, in nanoseconds. Source: consensus, 13.2 and 16.
const pulseIdleNs = 100_000_000 // after this idle time, a primary looks for due expiries

// A wall clock that is more than clockBehindNsMax behind the newest timestamp is reported, every
// clockReportEveryNs. The usual corrections of a clock stay below a second.
const (
	clockBehindNsMax   = 1_000_000_000
	clockReportEveryNs = 3_600_000_000_000
)

// timers has both clocks as of this step, and the deadlines. Deadlines of this process are on the
// monotonic clock (nowNs). Expiries are on the clock of the log, which the wall clock drives.
type timers struct {
	nowNs  uint64
	wallNs uint64

	idleSinceNs     uint64 // the last prepare, or the last look for expiries that were due
	expiryNs        uint64 // when the next transfer expires
	isPulseInFlight bool
	hasPulseYielded bool // requests have once gone before a due pulse

	clockReportNs uint64 // a clock that is behind is reported again from then on
}

// newTimers: whether expiries are due is not known before the first op was executed.
func newTimers() timers { return timers{expiryNs: 1} }

// begin starts a step.
func (t *timers) begin(nowNs, wallNs uint64) { t.nowNs, t.wallNs = nowNs, wallNs }

// now is the time of this step on the monotonic clock.
func (t *timers) now() uint64 { return t.nowNs }

// wall is the time of this step on the wall clock.
func (t *timers) wall() uint64 { return t.wallNs }

// serve: the replica begins to serve. A primary begins with a pulse, because expiries may have
// become due while it was down.
func (t *timers) serve() { t.idleSinceNs = 0 }

// prepared: a prepare has started.
func (t *timers) prepared() { t.idleSinceNs = t.nowNs }

// expiriesAt: the next transfer expires then, on the clock of the log.
func (t *timers) expiriesAt(expiryNs uint64) { t.expiryNs = expiryNs }

// pulseDue tells whether a pulse is due, for expiries. Source: accounting, 7.3.
func (t *timers) pulseDue(timestampLast uint64) bool {
	if t.isPulseInFlight {
		return false
	}
	if t.expiryNs <= timestampLast {
		return true
	}
	if t.nowNs < t.idleSinceNs+pulseIdleNs {
		return false
	}
	if t.expiryNs > t.wallNs {
		t.idleSinceNs = t.nowNs // no expiry is due: the timer starts again
		return false
	}
	return true
}

// pulseNow tells whether a due pulse goes before the requests that wait. One prepare of requests
// may go before it.
func (t *timers) pulseNow(isDue, areRequestsWaiting bool) bool {
	return isDue && (!areRequestsWaiting || t.hasPulseYielded)
}

// requestsGo: a prepare of requests starts, before a pulse that is due or not.
func (t *timers) requestsGo(isPulseDue bool) { t.hasPulseYielded = isPulseDue }

// pulseGoes: a pulse starts. It returns the log's time at which the pulse begins. The due time of
// the idle timer is on the wall clock.
func (t *timers) pulseGoes(timestampLast uint64) (timestamp uint64) {
	t.isPulseInFlight, t.hasPulseYielded = true, false
	if t.expiryNs > timestampLast {
		return max(timestampLast, t.wallNs)
	}
	return timestampLast
}

// pulseEnded: the pulse is executed and complete.
func (t *timers) pulseEnded() { t.isPulseInFlight = false }

// pulseInLog: a pulse is on its way that a primary before this one has prepared.
func (t *timers) pulseInLog() { t.isPulseInFlight = true }

// isPulsing tells whether a pulse is on its way.
func (t *timers) isPulsing() bool { return t.isPulseInFlight }

// idleNs is when to look for expiries, if no prepare starts until then.
func (t *timers) idleNs() uint64 { return t.idleSinceNs + pulseIdleNs }

// clockBehind returns by how much the wall clock is behind the newest timestamp, if that is to be
// reported: at the start, and then once an hour. New timestamps continue from the newest one, so
// the order of events is safe. Replicas that have agreed on no time have nothing to compare.
func (t *timers) clockBehind(timestampLast uint64) (behindNs uint64) {
	if t.wallNs == 0 || timestampLast <= t.wallNs+clockBehindNsMax || t.nowNs < t.clockReportNs {
		return 0
	}
	t.clockReportNs = t.nowNs + clockReportEveryNs
	return timestampLast - t.wallNs
}
