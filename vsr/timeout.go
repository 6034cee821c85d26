package vsr

import "ledger/internal/assert"

// Timer is what is known of a timer before it runs. Its first period is PeriodNs, varied by
// JitterPercent in both directions. When it has fired without success, a random pause is added, at
// most a period at first and twice as much each time, up to BackoffNsMax in all: replicas that wait
// for the same do not ask in step, and a cluster that is slow is not asked more and more.
type Timer struct {
	Name          string
	PeriodNs      uint64
	BackoffNsMax  uint64 // largest pause; 0: it does not back off
	JitterPercent uint8
}

// Timers of a replica. Those that the specification, 16, has with another value say so.
type Timers struct {
	Ping              Timer
	PrepareResend     Timer
	Heartbeat         Timer
	Probe             Timer // while something waits for a quorum: a heartbeat, whose echoes tell that the primary is heard
	Clock             Timer // of a primary that does not know the cluster's time, while others do
	SuspicionForget   Timer // start_view_changes of others
	SuspicionResend   Timer
	ViewChange        Timer // without success: the next view
	Serve             Timer // of a new primary, from the start_view until it serves
	Quorum            Timer // of the oldest prepare, until the primary gives way
	BallotResend      Timer
	StartViewRequest  Timer
	HeadRequest       Timer // of recovering_head, until it enters the view change with its uncertain ops
	LogRepair         Timer
	SyncCheck         Timer
	GridRepair        Timer
	Pulse             Timer
	UpgradeCheck      Timer
	SlowSample        Timer
	Connect           Timer
	IdentificationEnd Timer
}

// TimersOf returns the table of all timers.
func TimersOf() Timers {
	const ms, s = 1_000_000, 1_000_000_000
	return Timers{
		Ping:          Timer{"ping", 1 * s, 0, 10},
		PrepareResend: Timer{"prepare resend", 250 * ms, 10 * s, 10},
		Heartbeat:     Timer{"heartbeat", HeartbeatNs, 0, 0},
		// 10 s in the specification, whether others know the time or not. Nobody is served meanwhile.
		Clock: Timer{"clock", 2 * s, 60 * s, 10},
		// Several in the time after which a primary counts as deaf: an acknowledgement may take longer,
		// because it waits for a disk, and an echo may be lost.
		Probe:           Timer{"heartbeat while something waits", 150 * ms, 0, 0},
		SuspicionForget: Timer{"suspicion forget", 5 * s, 0, 0},
		SuspicionResend: Timer{"suspicion resend", 500 * ms, 0, 20},
		// 5 s in the specification. The next primary may be dead as well, and nobody is served while
		// replicas wait for it. A view change that needs longer gets it by the back-off.
		ViewChange: Timer{"view change", 1 * s, 10 * s, 10},
		// A primary that makes progress is waited for, but not for ever: another one may serve at once.
		Serve: Timer{"serve", 10 * s, 0, 10},
		// 10 s in the specification, of a primary that hears nobody (Deaf). This one is heard, and its
		// prepares do not get through, or its backups cannot write them. What they have written they
		// acknowledge to the next primary at once, so a view is never too short for all progress.
		Quorum:           Timer{"quorum", 2 * s, 20 * s, 10},
		BallotResend:     Timer{"do_view_change resend", 500 * ms, 0, 20},
		StartViewRequest: Timer{"start_view request", 1 * s, 5 * s, 20},
		// The failure detector's time: without a primary, the replica votes as soon as the others do.
		HeadRequest: Timer{"start_view request of an uncertain head", 3 * HeartbeatNs, 0, 10},
		LogRepair:   Timer{"log repair", 100 * ms, 0, 50},
		SyncCheck:   Timer{"sync check", 5 * s, 0, 10},
		GridRepair:  Timer{"grid repair", 100 * ms, 0, 50},
		Pulse:       Timer{"pulse", 100 * ms, 0, 0},
		// All replicas have to offer the release, and nothing waits for it.
		UpgradeCheck: Timer{"upgrade check", 5 * s, 0, 10},
		SlowSample:   Timer{"slow primary sample", 100 * ms, 0, 0},
		Connect:      Timer{"connect", 50 * ms, 1 * s, 20},
		// 45 s in the specification. A connection that is not identified costs an entry of few.
		IdentificationEnd: Timer{"identification end", 5 * s, 0, 0},
	}
}

// Timeout is a timer that runs or does not.
type Timeout struct {
	timer    Timer
	dueNs    uint64
	attempts uint8 // that it fired without success
	runs     bool
}

// NewTimeout returns a timeout that does not run.
func NewTimeout(timer Timer) Timeout {
	assert.That(timer.PeriodNs > 0 && timer.JitterPercent < 100, "a timer has a period")
	assert.That(timer.BackoffNsMax == 0 || timer.BackoffNsMax > timer.PeriodNs, "a timer backs off from its period")
	return Timeout{timer: timer}
}

// Start begins a first period. random is a number that the caller draws, here and below.
func (t *Timeout) Start(nowNs, random uint64) {
	t.attempts = 0
	t.begin(nowNs, t.timer.PeriodNs, random)
}

// StartIfStopped begins a first period unless the timeout runs.
func (t *Timeout) StartIfStopped(nowNs, random uint64) {
	if !t.runs {
		t.Start(nowNs, random)
	}
}

// Again begins a further period after one without success, of at least periodNs: that of the timer,
// or what was measured, as twice the round trip for a prepare.
func (t *Timeout) Again(nowNs, periodNs, random uint64) {
	t.Failed()
	t.begin(nowNs, periodNs, random)
}

// Stop it.
func (t *Timeout) Stop() { t.runs, t.attempts = false, 0 }

// Halt stops it, and Resume goes on with a new period, that has the back-off of the last one.
func (t *Timeout) Halt() { t.runs = false }

// Resume begins a period after a halt. A timeout that runs is left alone.
func (t *Timeout) Resume(nowNs, random uint64) {
	if !t.runs {
		t.begin(nowNs, t.timer.PeriodNs, random)
	}
}

// Failed stops it after a period without success: the next period backs off.
func (t *Timeout) Failed() {
	t.attempts += min(1, 63-t.attempts)
	t.runs = false
}

// Late: the replica did not run for so long, and this time does not count.
func (t *Timeout) Late(lateNs uint64) {
	if t.runs {
		t.dueNs += lateNs
	}
}

// Fired tells whether the period is over. The caller starts the next one, or stops the timeout.
func (t *Timeout) Fired(nowNs uint64) bool { return t.runs && nowNs >= t.dueNs }

// NextNs returns when it will fire, or the greatest number if it does not run.
func (t *Timeout) NextNs() uint64 {
	if !t.runs {
		return ^uint64(0)
	}
	return t.dueNs
}

// PeriodNs of the timer.
func (t *Timeout) PeriodNs() uint64 { return t.timer.PeriodNs }

// begin a period of periodNs, with jitter and back-off.
func (t *Timeout) begin(nowNs, periodNs, random uint64) {
	jitter := periodNs * uint64(t.timer.JitterPercent) / 100
	pause := periodNs - jitter + uniform(random, 2*jitter+1)
	if limit := t.timer.BackoffNsMax; t.attempts > 0 && limit > periodNs {
		span := limit - periodNs
		if doubled := t.timer.PeriodNs << (t.attempts - 1); doubled>>(t.attempts-1) == t.timer.PeriodNs {
			span = min(span, doubled)
		}
		pause = min(pause+uniform(random*0x9e37_79b9_7f4a_7c15, span), max(limit, pause))
	}
	t.runs, t.dueNs = true, nowNs+pause
}
