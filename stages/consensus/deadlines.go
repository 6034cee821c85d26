package consensus

import "ledger/vsr"

// deadlines are the timers of a replica of a cluster. Jitter comes from numbers that are drawn from
// the seed of the start.
type deadlines struct {
	nowNs  uint64
	random uint64

	ping, heartbeat, resend, forget, wish, change, ballot, ask, head, repair vsr.Timeout

	primary vsr.Detector // signs of life of the primary; of a primary, what it sends
}

func newDeadlines(seed uint64) deadlines {
	t := vsr.TimersOf()
	return deadlines{
		random: seed, ping: vsr.NewTimeout(t.Ping), heartbeat: vsr.NewTimeout(t.Heartbeat), resend: vsr.NewTimeout(t.PrepareResend),
		forget: vsr.NewTimeout(t.SuspicionForget), wish: vsr.NewTimeout(t.SuspicionResend), change: vsr.NewTimeout(t.ViewChange),
		ballot: vsr.NewTimeout(t.BallotResend), ask: vsr.NewTimeout(t.StartViewRequest), head: vsr.NewTimeout(t.HeadRequest),
		repair: vsr.NewTimeout(t.LogRepair),
	}
}

// draw returns the next random number (SplitMix64).
func (d *deadlines) draw() uint64 {
	d.random += 0x9e37_79b9_7f4a_7c15
	z := d.random
	z = (z ^ z>>30) * 0xbf58_476d_1ce4_e5b9
	z = (z ^ z>>27) * 0x94d0_49bb_1331_11eb
	return z ^ z>>31
}

// begin a step.
func (d *deadlines) begin(nowNs uint64) {
	d.nowNs = nowNs
	d.ping.StartIfStopped(nowNs, d.draw())
	d.repair.StartIfStopped(nowNs, d.draw())
}

// fired tells whether a period of a timer is over, and begins the next one, without back-off.
func (d *deadlines) fired(t *vsr.Timeout) bool {
	if !t.Fired(d.nowNs) {
		return false
	}
	t.Start(d.nowNs, d.draw())
	return true
}

func (d *deadlines) pings() bool   { return d.fired(&d.ping) }
func (d *deadlines) repairs() bool { return d.fired(&d.repair) }

// normal: the replica is in status normal of a view from now on.
func (d *deadlines) normal(isPrimary bool) {
	for _, t := range [...]*vsr.Timeout{&d.heartbeat, &d.resend, &d.wish, &d.change, &d.ballot, &d.ask, &d.head} {
		t.Stop()
	}
	d.primary.Begin(d.nowNs)
	if isPrimary {
		d.heartbeat.Start(d.nowNs, d.draw())
	}
}

// changing: the replica is in the view change of a later view from now on.
func (d *deadlines) changing() {
	change := d.change
	d.normal(false)
	if d.change = change; change.NextNs() != ^uint64(0) {
		d.change.Again(d.nowNs, d.change.PeriodNs(), d.draw())
	} else {
		d.change.Start(d.nowNs, d.draw())
	}
	d.ballot.Start(d.nowNs, d.draw())
	d.ask.Start(d.nowNs, d.draw())
	d.heartbeat.Stop()
}

// changeLate: the view change has taken too long.
func (d *deadlines) changeLate() bool {
	if !d.change.Fired(d.nowNs) {
		return false
	}
	d.change.Again(d.nowNs, d.change.PeriodNs(), d.draw())
	return true
}

func (d *deadlines) ballots() bool { return d.fired(&d.ballot) }

// asks: a start_view is to be asked for again.
func (d *deadlines) asks() bool {
	if !d.ask.Fired(d.nowNs) {
		return false
	}
	d.ask.Again(d.nowNs, d.ask.PeriodNs(), d.draw())
	return true
}

// askSoon: a start_view was asked for, and is asked for again if none comes. It tells whether it is
// time to ask.
func (d *deadlines) askSoon() bool {
	if d.ask.NextNs() != ^uint64(0) {
		return false
	}
	d.ask.Start(d.nowNs, d.draw())
	return true
}

// answered: nothing is asked for any more.
func (d *deadlines) answered() { d.ask.Stop() }

// headLate: an uncertain head has got no start_view in time.
func (d *deadlines) headLate() bool {
	d.head.StartIfStopped(d.nowNs, d.draw())
	return d.head.Fired(d.nowNs)
}

// heartbeats tells whether a heartbeat is due: after its period, or when backups will soon miss
// one.
func (d *deadlines) heartbeats() bool {
	return d.heartbeat.Fired(d.nowNs) || d.primary.Alarm(d.nowNs) != vsr.AlarmGreen
}

// signed: a sign of life has left, or come.
func (d *deadlines) signed(isPrimary bool) {
	d.primary.Heard(d.nowNs)
	if isPrimary {
		d.heartbeat.Start(d.nowNs, d.draw())
	}
}

// heartbeatCame tells whether a heartbeat is newer than the last one.
func (d *deadlines) heartbeatCame(sentNs uint64) bool {
	return d.primary.HeardHeartbeat(d.nowNs, sentNs)
}

// suspects tells whether the primary is silent.
func (d *deadlines) suspects() bool { return d.primary.Alarm(d.nowNs) == vsr.AlarmRed }

// lastSignNs is when the primary gave its last sign of life.
func (d *deadlines) lastSignNs() uint64 { return d.primary.LastNs() }

// wishes tells whether the own wish to leave the view is to be sent again.
func (d *deadlines) wishes() bool { return d.fired(&d.wish) }

// wished: a wish was sent, or came.
func (d *deadlines) wished(isOwn bool) {
	if isOwn {
		d.wish.StartIfStopped(d.nowNs, d.draw())
	} else {
		d.forget.StartIfStopped(d.nowNs, d.draw())
	}
}

// unwished: the primary lives, so the own wish is not repeated.
func (d *deadlines) unwished() { d.wish.Stop() }

// forgets tells whether the wishes of others are too old.
func (d *deadlines) forgets() bool {
	if !d.forget.Fired(d.nowNs) {
		return false
	}
	d.forget.Stop()
	return true
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
func (d *deadlines) progressed() { d.resend.Stop() }

// nextNs is the next time at which anything is due.
func (d *deadlines) nextNs(isNormal bool) uint64 {
	next := ^uint64(0)
	for _, t := range [...]*vsr.Timeout{
		&d.ping, &d.heartbeat, &d.resend, &d.forget, &d.wish, &d.change, &d.ballot, &d.ask, &d.head, &d.repair,
	} {
		next = min(next, t.NextNs())
	}
	if at := d.primary.NextNs(d.nowNs); isNormal && at > d.nowNs {
		next = min(next, at)
	}
	return next
}
