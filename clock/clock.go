package clock

import (
	"ledger/internal/assert"
	"ledger/limits"
)

// Times of the clock.
const (
	windowNsMin    = 2_000_000_000
	windowNsMax    = 20_000_000_000
	epochNsMax     = 60_000_000_000
	toleranceNsMax = 10_000_000_000
	// driftPerMillion is by how much two clocks may drift apart in a second: 100 µs each.
	driftPerMillion = 200
	// WarnOffsetNs: an operator is told of an own clock that is off by as much.
	WarnOffsetNs = 50_000_000

	roundTripNsInit = 300_000_000
	roundTripNsMax  = 60_000_000_000
	offsetMax       = 1 << 61 // about 73 years: a clock that is off by more is cut, and wrong all the same
)

// Clock of one replica or standby.
type Clock struct {
	self, replicas, quorum int
	window                 window
	epoch                  epoch
	roundTripsNs           [limits.ReplicasMax]uint64 // smoothed; 0: none was measured
}

// window collects samples.
type window struct {
	beginNs     uint64
	beginWallNs uint64
	samples     [limits.ReplicasMax]sample
	isNew       bool // a sample came since agreement was last looked for
}

// sample of a peer: how far its clock is ahead, and by how much that can be wrong.
type sample struct {
	isThere bool
	offset  int64
	errorNs uint64
	takenNs uint64
}

// epoch is what was agreed on.
type epoch struct {
	isThere     bool
	beginNs     uint64 // of its window
	beginWallNs uint64
	agreedNs    uint64
	interval    Interval
	toleranceNs uint64
	sources     int
}

// New returns the clock of a replica (self < replicas) or a standby. quorum is the number of clocks
// that have to agree: that of a replication.
func New(self, replicas, quorum int, nowNs, wallNs uint64) Clock {
	assert.That(replicas >= 1 && replicas <= limits.ReplicasMax && quorum >= 1 && quorum <= replicas, "a quorum is of the cluster")
	c := Clock{self: self, replicas: replicas, quorum: quorum}
	c.begin(nowNs, wallNs)
	return c
}

func (c *Clock) begin(nowNs, wallNs uint64) {
	c.window = window{beginNs: nowNs, beginWallNs: wallNs}
}

// Learn takes a pong: the ping was sent at sentNs, and the peer's wall clock was at remoteWallNs.
// It tells whether the pong is of this window, and not from a ping that was never sent.
func (c *Clock) Learn(peer int, sentNs, remoteWallNs, nowNs uint64) bool {
	if peer == c.self || peer < 0 || peer >= c.replicas || sentNs > nowNs {
		return false
	}
	tripNs := nowNs - sentNs
	if tripNs <= roundTripNsMax {
		before := c.roundTripsNs[peer]
		if before == 0 {
			before = tripNs
		}
		c.roundTripsNs[peer] = max((before*4+tripNs)/5, 1)
	}
	w := &c.window
	if sentNs < w.beginNs || nowNs-w.beginNs > windowNsMax {
		return false
	}
	s := sample{isThere: true, errorNs: tripNs/2 + 1, takenNs: nowNs}
	s.offset = cut(int64(remoteWallNs + tripNs/2 - (w.beginWallNs + nowNs - w.beginNs)))
	if best := &w.samples[peer]; !best.isThere || s.worstNs(nowNs) <= best.worstNs(nowNs) {
		*best, w.isNew = s, true
	}
	return true
}

// worstNs is by how much a sample can be wrong at nowNs if both clocks drift.
func (s *sample) worstNs(nowNs uint64) uint64 {
	return s.errorNs + drift(max(nowNs, s.takenNs)-s.takenNs)
}

// drift returns by how much clocks may drift apart in a time.
func drift(ns uint64) uint64 {
	return ns/1_000_000*driftPerMillion + ns%1_000_000*driftPerMillion/1_000_000
}

func cut(offset int64) int64 { return min(max(offset, -offsetMax), offsetMax) }

// Turn looks for an agreement if the window is old enough, and begins a new window after one, or
// when the window is too old. It tells whether there was an agreement.
func (c *Clock) Turn(nowNs, wallNs uint64) bool {
	w := &c.window
	age := max(nowNs, w.beginNs) - w.beginNs
	if c.replicas == 1 || age < windowNsMin {
		return false
	}
	isAgreed := w.isNew && c.findEpoch(nowNs)
	w.isNew = false
	if isAgreed || age > windowNsMax {
		c.begin(nowNs, wallNs)
	}
	return isAgreed
}

// findEpoch makes the window the epoch, if a quorum agrees.
func (c *Clock) findEpoch(nowNs uint64) bool {
	e := epoch{isThere: true, beginNs: c.window.beginNs, beginWallNs: c.window.beginWallNs, agreedNs: nowNs}
	for toleranceNs := uint64(toleranceNsMax); ; toleranceNs /= 2 {
		interval, count := c.agree(nowNs, toleranceNs)
		if count < c.quorum {
			break
		}
		e.interval, e.sources, e.toleranceNs = interval, count, toleranceNs
		if toleranceNs == 0 {
			break
		}
	}
	if e.sources > 0 {
		c.epoch = e
	}
	return e.sources > 0
}

// agree returns what the most sources agree on if each may be wrong by a tolerance.
func (c *Clock) agree(nowNs, toleranceNs uint64) (Interval, int) {
	var sources [limits.ReplicasMax]Interval
	count := 0
	for i := range c.replicas {
		s := c.window.samples[i]
		switch {
		case i == c.self:
			s = sample{isThere: true, takenNs: c.window.beginNs}
		case !s.isThere:
			continue
		}
		wrong := int64(toleranceNs + s.worstNs(nowNs))
		sources[count] = Interval{s.offset - wrong, s.offset + wrong}
		count++
	}
	return Marzullo(sources[:count])
}

// NextNs returns when Turn is to be called, if no pong comes before.
func (c *Clock) NextNs(nowNs uint64) uint64 {
	if c.replicas == 1 {
		return ^uint64(0)
	}
	if at := c.window.beginNs + windowNsMin; nowNs < at {
		return at
	}
	return c.window.beginNs + windowNsMax + 1
}

// Read returns the cluster's time, which is the wall clock clamped into the interval that was
// agreed on. It is not known before the first agreement, and 60 s after the last one.
func (c *Clock) Read(nowNs, wallNs uint64) (clusterNs uint64, isKnown bool) {
	if c.replicas == 1 {
		return wallNs, true
	}
	lower, upper, isKnown := c.bounds(nowNs)
	if !isKnown {
		return 0, false
	}
	return min(max(wallNs, lower), upper), true
}

// bounds of the true time.
func (c *Clock) bounds(nowNs uint64) (lower, upper uint64, isKnown bool) {
	e := &c.epoch
	if !e.isThere || nowNs < e.agreedNs || nowNs-e.agreedNs > epochNsMax {
		return 0, 0, false
	}
	wider := drift(nowNs - e.agreedNs)
	own := e.beginWallNs + nowNs - e.beginNs
	return shift(own, e.interval.Lower, wider, false), shift(own, e.interval.Upper, wider, true), true
}

// shift moves a time by an offset, and further away by wider.
func shift(own uint64, offset int64, wider uint64, isUpper bool) uint64 {
	at := int64(min(own, 1<<62)) + offset
	if isUpper {
		return uint64(max(at+int64(wider), 0))
	}
	return uint64(max(at-int64(wider), 0))
}

// RoundTripNs is the median of the peers' smoothed round trips, of an even number the longer one of
// the two in the middle: 300 ms as long as none was measured.
func (c *Clock) RoundTripNs() uint64 {
	var sorted [limits.ReplicasMax]int64
	count := 0
	for i := range c.replicas {
		if ns := c.roundTripsNs[i]; ns > 0 {
			insert(sorted[:count+1], int64(ns))
			count++
		}
	}
	if count == 0 {
		return roundTripNsInit
	}
	return uint64(sorted[count/2])
}

// State of a clock, for metrics and for the line that warns.
type State struct {
	IsKnown     bool
	Sources     int    // that agreed
	ToleranceNs uint64 // with which they did
	WidthNs     uint64 // of the interval
	AgeNs       uint64 // of the agreement
	// OwnOffsetNs is by how much the own wall clock is outside of the interval, ahead of it or (below
	// 0) behind.
	OwnOffsetNs int64
}

// State at a time.
func (c *Clock) State(nowNs, wallNs uint64) (s State) {
	lower, upper, isKnown := c.bounds(nowNs)
	if !isKnown {
		return s
	}
	e := &c.epoch
	s = State{IsKnown: true, Sources: e.sources, ToleranceNs: e.toleranceNs, WidthNs: upper - lower, AgeNs: nowNs - e.agreedNs}
	switch {
	case wallNs > upper:
		s.OwnOffsetNs = int64(min(wallNs-upper, offsetMax))
	case wallNs < lower:
		s.OwnOffsetNs = -int64(min(lower-wallNs, offsetMax))
	}
	return s
}

// Timestamp returns the first timestamp of a prepare: behind the last one that was given, and not
// before the cluster's time. Without a known time only what needs none is prepared, as pulses: it
// gets the next number. So timestamps never go back, and no unknown clock is in them.
func Timestamp(lastNs, clusterNs uint64, isKnown bool) uint64 {
	if !isKnown {
		return lastNs + 1
	}
	return max(lastNs+1, clusterNs)
}
