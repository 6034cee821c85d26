package consensus

import "testing"

// Goal: a pulse is due when an expiry is due by the clock of the log, at once; or by the wall
// clock, after the idle time. One is on its way at a time, and one prepare of requests may go
// before it.
func TestPulseTimers(t *testing.T) {
	const last, wall = 1000, 5000
	cases := []struct {
		name     string
		expiryNs uint64
		nowNs    uint64 // since the last prepare
		pulsing  bool
		want     bool
	}{
		{"due by the log", last, 0, false, true},
		{"due by the log, but one is on its way", last, 0, true, false},
		{"due by the wall clock, not idle", last + 1, pulseIdleNs - 1, false, false},
		{"due by the wall clock, idle", wall, pulseIdleNs, false, true},
		{"not due", wall + 1, pulseIdleNs, false, false},
	}
	for _, c := range cases {
		timers := newTimers()
		timers.begin(7_000_000_000, wall)
		timers.prepared()
		timers.expiriesAt(c.expiryNs)
		if c.pulsing {
			timers.pulseGoes(last)
		}
		timers.begin(7_000_000_000+c.nowNs, wall)
		if got := timers.pulseDue(last); got != c.want || timers.isPulsing() != c.pulsing {
			t.Errorf("%s: due %v", c.name, got)
		}
	}
	timers := newTimers()
	timers.begin(7_000_000_000, wall)
	timers.prepared()
	timers.expiriesAt(wall + 1)
	timers.begin(7_000_000_000+pulseIdleNs, wall)
	if timers.idleNs() != timers.now() || timers.pulseDue(last) || timers.idleNs() != timers.now()+pulseIdleNs {
		t.Error("after a look that found nothing due, the timer does not start again")
	}
	if timers.serve(); timers.idleNs() != pulseIdleNs {
		t.Error("a replica that begins to serve does not look for expiries at once")
	}
	// Requests and a due pulse take turns.
	if timers.pulseNow(true, true) || !timers.pulseNow(true, false) || timers.pulseNow(false, false) {
		t.Error("a due pulse goes before the requests, or none goes without requests, or one goes that is not due")
	}
	if timers.requestsGo(true); !timers.pulseNow(true, true) {
		t.Error("requests go twice before a due pulse")
	}
	if timers.requestsGo(false); timers.pulseNow(true, true) {
		t.Error("a pulse yields to requests although it was not due then")
	}
	// The time at which a pulse begins.
	timers.expiriesAt(last)
	if got := timers.pulseGoes(last); got != last {
		t.Errorf("a pulse that is due by the log begins at %d", got)
	}
	timers.pulseEnded()
	timers.expiriesAt(last + 1)
	if got := timers.pulseGoes(last); got != wall || timers.pulseGoes(wall+5) != wall+5 {
		t.Errorf("a pulse that is due by the wall clock begins at %d", got)
	}
	if timers.pulseEnded(); timers.isPulsing() {
		t.Error("a pulse that has ended is on its way")
	}
}

// Goal: a clock that is behind is reported at once, with the difference, and then once an hour.
func TestClockTimer(t *testing.T) {
	const wall = 10_000_000_000
	timers := newTimers()
	for _, c := range []struct{ nowNs, last, want uint64 }{
		{1, wall + clockBehindNsMax, 0},
		{1, wall + clockBehindNsMax + 1, clockBehindNsMax + 1},
		{2, wall + 9*clockBehindNsMax, 0},
		{clockReportEveryNs, wall + 9*clockBehindNsMax, 0},
		{clockReportEveryNs + 1, wall + 9*clockBehindNsMax, 9 * clockBehindNsMax},
		{2*clockReportEveryNs + 1, wall - 5, 0},
	} {
		timers.begin(c.nowNs, wall)
		if got := timers.clockBehind(c.last); got != c.want {
			t.Errorf("at %d, with a newest timestamp of %d: %d, want %d", c.nowNs, c.last, got, c.want)
		}
	}
	timers = newTimers()
	timers.begin(1, 0)
	if got := timers.clockBehind(wall); got != 0 {
		t.Errorf("replicas that know no time say that the clock is %d ns behind", got)
	}
}
