package consensus

import "ledger/vsr"

// The timers of a primary.

// heartbeats tells whether a heartbeat is due: after its period, or when backups will soon miss
// one.
func (d *deadlines) heartbeats() bool {
	return d.heartbeat.Fired(d.nowNs) || d.primary.Alarm(d.nowNs) != vsr.AlarmGreen
}

// probes tells whether a heartbeat is due because something waits: its echoes tell whether the
// primary is heard, before it counts as deaf.
func (d *deadlines) probes(isWaiting bool) bool {
	if !isWaiting {
		d.probe.Stop()
		return false
	}
	d.probe.StartIfStopped(d.nowNs, d.draw())
	return d.fired(&d.probe)
}

// advanced: a new primary has come closer to serving.
func (d *deadlines) advanced() {
	d.change.Halt()
	d.change.Resume(d.nowNs, d.draw())
}

// servesLate: a new primary makes no progress, or takes too long in all.
func (d *deadlines) servesLate() bool { return d.change.Fired(d.nowNs) || d.serve.Fired(d.nowNs) }

// quorumLate: the oldest prepare has had no quorum for too long.
func (d *deadlines) quorumLate(isWaiting bool) bool {
	if !isWaiting {
		d.quorum.Halt()
		return false
	}
	d.quorum.Resume(d.nowNs, d.draw())
	return d.quorum.Fired(d.nowNs)
}

// quorumHeld: what is waited for is not in the primary's hands, so the time begins anew.
func (d *deadlines) quorumHeld() { d.quorum.Halt() }

// gaveWay: the primary gives way, so its timers are not looked at any more.
func (d *deadlines) gaveWay() {
	if d.quorum.Fired(d.nowNs) {
		d.quorum.Failed()
	}
	d.quorum.Halt()
	d.change.Halt()
	for _, t := range [...]*vsr.Timeout{&d.heartbeat, &d.resend, &d.serve, &d.probe} {
		t.Stop()
	}
}

// resends tells whether the oldest prepare without a quorum is to be sent again.
func (d *deadlines) resends(isWaiting bool, roundTripNs uint64) bool {
	if !isWaiting {
		d.resend.Stop()
		return false
	}
	d.resend.StartIfStopped(d.nowNs, d.draw())
	if !d.resend.Fired(d.nowNs) {
		return false
	}
	d.resend.Again(d.nowNs, max(d.resend.PeriodNs(), 2*roundTripNs), d.draw())
	return true
}

// progressed: a prepare got its quorum.
func (d *deadlines) progressed() {
	d.resend.Stop()
	d.quorum.Stop()
	d.probe.Stop()
}
