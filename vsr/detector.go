package vsr

// Times of the failure detector.
const (
	// HeartbeatNs is the pause between two heartbeats of a primary, with load or without.
	HeartbeatNs = 500_000_000
	// The mean interval between signs of life is kept within these bounds.
	signIntervalNsMin = 100_000_000
	signIntervalNsMax = 2_000_000_000
	// signsOfMean: the mean is that of all intervals of a view, until there are as many. From then on
	// a new interval weighs one fifth.
	signsOfMean = 5
	// A surprise is an interval of more than surprisingMeans means. It counts for surpriseForNs.
	surprisingMeans = 2
	surpriseNsMax   = 1_000_000_000
	surpriseForNs   = 60_000_000_000
)

// Alarm is what a replica makes of the time since the last sign of life of the primary.
type Alarm uint8

const (
	AlarmGreen  Alarm = iota
	AlarmYellow       // a primary sends a heartbeat at once: it smooths the end of a burst of prepares
	AlarmRed          // a backup suspects the primary; a primary was late itself
)

func (a Alarm) String() string { return [...]string{"green", "yellow", "red"}[a] }

// Detector suspects a primary of which nothing is heard. Signs of life are prepares that are new,
// and heartbeats that were sent later than the last one. The primary itself has a detector as well,
// for what it sends.
//
// The mean interval m between signs decides: up to 1.5 m is green, up to 3 m yellow, more is red.
// A view begins with the mean of an idle primary. Its first intervals weigh as much as those
// before, so that one second after a view change the detector is as fast as it will be. (With an
// average that begins at 2 s and moves by a fifth each time, a primary that dies early would be
// suspected only after 6 s.)
//
// A primary that lives may be held up, as on a machine with more to do than cores to do it. If an
// interval was a surprise, the alarm is red only after 1.5 times as long, for a minute. So the
// first such pause that is a little too long ends a view at most, and the others do not. What was
// learned outlasts the view: the machines are the same.
type Detector struct {
	lastNs uint64 // of the last sign
	meanNs uint64
	sentNs uint64 // when the last heartbeat was sent, by the primary's clock
	signs  uint64 // whose intervals are in the mean, at most signsOfMean

	surpriseNs  uint64 // the longest surprise that counts
	surprisedNs uint64 // when it ended
}

// Begin a view at nowNs: with the start_view, which is its first sign of life.
func (d *Detector) Begin(nowNs uint64) {
	*d = Detector{lastNs: nowNs, meanNs: HeartbeatNs, signs: 1, surpriseNs: d.surpriseNs, surprisedNs: d.surprisedNs}
}

// Heard a sign of life. Several that come in one turn are one: a replica that was held up gets them
// together, which says nothing of the primary.
func (d *Detector) Heard(nowNs uint64) {
	if nowNs <= d.lastNs {
		return
	}
	interval := min(max(nowNs-d.lastNs, signIntervalNsMin), signIntervalNsMax)
	if interval > surprisingMeans*d.meanNs && (interval >= d.surpriseNs || nowNs > d.surprisedNs+surpriseForNs) {
		d.surpriseNs, d.surprisedNs = min(interval, surpriseNsMax), nowNs
	}
	d.signs = min(d.signs+1, signsOfMean)
	d.meanNs = (d.meanNs*(d.signs-1) + interval) / d.signs
	d.lastNs = nowNs
}

// Late: this replica did not run for so long. What the primary sent meanwhile may not have been
// read, so the time does not count.
func (d *Detector) Late(lateNs uint64) { d.lastNs += lateNs }

// HeardHeartbeat that the primary sent at sentNs by its clock, and tells whether it is newer than
// the last one. One that was delayed or doubled is no sign of life.
func (d *Detector) HeardHeartbeat(nowNs, sentNs uint64) bool {
	if sentNs <= d.sentNs {
		return false
	}
	d.sentNs = sentNs
	d.Heard(nowNs)
	return true
}

// LastNs is when the last sign of life came.
func (d *Detector) LastNs() uint64 { return d.lastNs }

// Alarm at nowNs.
func (d *Detector) Alarm(nowNs uint64) Alarm {
	switch {
	case nowNs > d.redNs():
		return AlarmRed
	case nowNs > d.yellowNs():
		return AlarmYellow
	}
	return AlarmGreen
}

// NextNs returns when the alarm will change if nothing is heard: the time of the next turn.
func (d *Detector) NextNs(nowNs uint64) uint64 {
	if yellow := d.yellowNs() + 1; nowNs < yellow {
		return yellow
	}
	return d.redNs() + 1
}

func (d *Detector) yellowNs() uint64 { return d.lastNs + d.meanNs*3/2 }

func (d *Detector) redNs() uint64 {
	red := d.meanNs * 3
	if d.lastNs <= d.surprisedNs+surpriseForNs {
		red = max(red, d.surpriseNs*3/2)
	}
	return d.lastNs + red
}
