package consensus

import "ledger/vsr"

// deadlines are the timers of a replica of a cluster. Jitter comes from numbers that are drawn from
// the seed of the start.
//
// A timer that runs is looked at in each step of the state in which it runs. Otherwise it would be
// due for ever, and the replica would turn without a pause.
type deadlines struct {
	nowNs  uint64
	random uint64

	ping, heartbeat, resend, forget, wish, change, ballot, ask, head, repair vsr.Timeout

	// Of a primary: until it serves; until, and while, its oldest prepare has no quorum; until it
	// knows the cluster's time again.
	serve, quorum, probe, clock vsr.Timeout
	upgrade                     vsr.Timeout // of a primary that serves

	primary    vsr.Detector // signs of life of the primary; of a primary, what it sends
	beganNs    uint64       // when the view began here
	isProven   bool         // the view was good: its primary has served, or it has lasted
	isHeadLate bool         // an uncertain head has got no start_view in time
	asked      uint32       // the view whose log was asked for last
}

// stepLateNsMin: a step that comes so much later than its time was held up. What the others sent
// meanwhile may not have been read yet.
const stepLateNsMin = 50_000_000

func newDeadlines(seed uint64) deadlines {
	t := vsr.TimersOf()
	return deadlines{
		random: seed, ping: vsr.NewTimeout(t.Ping), heartbeat: vsr.NewTimeout(t.Heartbeat), resend: vsr.NewTimeout(t.PrepareResend),
		forget: vsr.NewTimeout(t.SuspicionForget), wish: vsr.NewTimeout(t.SuspicionResend), change: vsr.NewTimeout(t.ViewChange),
		ballot: vsr.NewTimeout(t.BallotResend), ask: vsr.NewTimeout(t.StartViewRequest), head: vsr.NewTimeout(t.HeadRequest),
		repair: vsr.NewTimeout(t.LogRepair), serve: vsr.NewTimeout(t.Serve), quorum: vsr.NewTimeout(t.Quorum),
		probe: vsr.NewTimeout(t.Probe), clock: vsr.NewTimeout(t.Clock), upgrade: vsr.NewTimeout(t.UpgradeCheck), isProven: true,
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

// begin a step, which was due at dueNs. The messages of the step are heard at its time, so this
// comes before them. It returns for how long the replica was held up.
func (d *deadlines) begin(nowNs, dueNs uint64) (lateNs uint64) {
	// What was due in the step before and is due still says nothing of this one.
	if dueNs = max(dueNs, d.nowNs); d.nowNs > 0 && nowNs > dueNs && nowNs-dueNs >= stepLateNsMin {
		lateNs = nowNs - dueNs
		d.primary.Late(lateNs)
		for _, t := range [...]*vsr.Timeout{&d.change, &d.serve, &d.quorum, &d.head} {
			t.Late(lateNs)
		}
	}
	d.nowNs = nowNs
	d.ping.StartIfStopped(nowNs, d.draw())
	d.repair.StartIfStopped(nowNs, d.draw())
	return lateNs
}

// fired tells whether a period of a timer is over, and begins the next one, without back-off.
func (d *deadlines) fired(t *vsr.Timeout) bool {
	if !t.Fired(d.nowNs) {
		return false
	}
	t.Start(d.nowNs, d.draw())
	return true
}

func (d *deadlines) pings() bool    { return d.fired(&d.ping) }
func (d *deadlines) pingNs() uint64 { return d.ping.NextNs() }
func (d *deadlines) repairs() bool  { return d.fired(&d.repair) }

// normal: the replica is in status normal of a view from now on.
func (d *deadlines) normal(isPrimary bool) {
	for _, t := range [...]*vsr.Timeout{&d.heartbeat, &d.resend, &d.wish, &d.ballot, &d.ask, &d.head, &d.serve, &d.probe} {
		t.Stop()
	}
	d.change.Halt()
	d.quorum.Halt()
	d.clock.Halt()
	d.primary.Begin(d.nowNs)
	d.beganNs, d.isProven, d.isHeadLate = d.nowNs, false, false
	if isPrimary {
		d.heartbeat.Start(d.nowNs, d.draw())
		d.change.Resume(d.nowNs, d.draw())
		d.serve.Start(d.nowNs, d.draw())
	}
}

// changing: the replica is in the view change of a later view from now on. If the view before was
// no good one, more time is given to the next.
func (d *deadlines) changing() {
	isProven := d.isProven || d.change.NextNs() == ^uint64(0) && d.nowNs >= d.beganNs+provenNs
	d.normal(false)
	if isProven {
		d.change.Start(d.nowNs, d.draw())
	} else {
		d.change.Again(d.nowNs, d.change.PeriodNs(), d.draw())
	}
	d.ballot.Start(d.nowNs, d.draw())
	d.ask.Start(d.nowNs, d.draw())
}

// provenNs: a view that lasts so long is a good one, even if nothing was prepared in it.
const provenNs = 10_000_000_000

// proven: the view is a good one.
func (d *deadlines) proven() {
	d.isProven = true
	d.change.Stop()
	d.serve.Stop()
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

// askSoon tells whether the log of a view is to be asked for now: it is the first time that this
// view is asked for, or nothing was asked for a while.
func (d *deadlines) askSoon(view uint32) bool {
	if d.ask.NextNs() != ^uint64(0) && view <= d.asked {
		return false
	}
	d.asked = view
	d.ask.Start(d.nowNs, d.draw())
	return true
}

// answered: nothing is asked for any more.
func (d *deadlines) answered() { d.ask.Stop() }

// unanswered: a replica in status normal has asked, and nothing came. If it still needs the answer,
// the next heartbeat makes it ask again.
func (d *deadlines) unanswered() {
	if d.ask.Fired(d.nowNs) {
		d.ask.Stop()
	}
}

// headLate: an uncertain head has got no start_view in time.
func (d *deadlines) headLate() bool {
	if !d.isHeadLate {
		d.head.StartIfStopped(d.nowNs, d.draw())
		if d.isHeadLate = d.head.Fired(d.nowNs); d.isHeadLate {
			d.head.Stop()
		}
	}
	return d.isHeadLate
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

// nextNs is the next time at which anything is due. isLeading: the replica is the primary, and does
// not give way.
func (d *deadlines) nextNs(isNormal, isLeading bool) uint64 {
	next := ^uint64(0)
	for _, t := range [...]*vsr.Timeout{&d.ping, &d.forget, &d.wish, &d.change, &d.ballot, &d.ask, &d.head, &d.repair, &d.serve} {
		next = min(next, t.NextNs())
	}
	if isLeading {
		next = min(next, d.heartbeat.NextNs(), d.resend.NextNs(), d.quorum.NextNs(), d.probe.NextNs(), d.clock.NextNs(),
			d.upgrade.NextNs())
	}
	if at := d.primary.NextNs(d.nowNs); isNormal && at > d.nowNs {
		next = min(next, at)
	}
	return next
}

// What follows are the timers of a primary.

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

// clockLate: the cluster's time has been lost for too long.
func (d *deadlines) clockLate(isLost bool) bool {
	if !isLost {
		d.clock.Stop()
		return false
	}
	d.clock.Resume(d.nowNs, d.draw())
	return d.clock.Fired(d.nowNs)
}

// upgrades tells whether it is to be looked at what the others offer. One replica looks, so that
// this needs no jitter.
func (d *deadlines) upgrades(isServing bool) bool {
	if !isServing {
		d.upgrade.Stop()
		return false
	}
	d.upgrade.StartIfStopped(d.nowNs, 0)
	if !d.upgrade.Fired(d.nowNs) {
		return false
	}
	d.upgrade.Start(d.nowNs, 0)
	return true
}

// quorumHeld: what is waited for is not in the primary's hands, so the time begins anew.
func (d *deadlines) quorumHeld() { d.quorum.Halt() }

// gaveWay: the primary gives way, so its timers are not looked at any more.
func (d *deadlines) gaveWay() {
	for _, t := range [...]*vsr.Timeout{&d.quorum, &d.clock} {
		if t.Fired(d.nowNs) {
			t.Failed()
		}
		t.Halt()
	}
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
