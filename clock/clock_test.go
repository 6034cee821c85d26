package clock

import (
	"testing"
)

const (
	ms   = 1_000_000
	s    = 1_000_000_000
	noon = uint64(1_800_000_000) * s // a wall clock
)

// pong lets a clock learn of a peer that is ahead by offsetMs; the ping took forthMs and the pong
// backMs. nowNs is when the pong comes. The own wall clock was right at its start: noon at 0.
func pong(c *Clock, peer int, nowNs uint64, offsetMs int64, forthMs, backMs uint64) bool {
	remote := int64(noon+nowNs-backMs*ms) + offsetMs*ms
	return c.Learn(peer, nowNs-(forthMs+backMs)*ms, uint64(remote), nowNs)
}

// Before two seconds there is no time; with a quorum there is; without one there is none.
func TestAgreement(t *testing.T) {
	c := New(0, 3, 2, 0, noon)
	pong(&c, 1, 1000*ms, 0, 1, 1)
	if c.Turn(1999*ms, noon+1999*ms) {
		t.Error("a window of less than two seconds became an epoch")
	}
	if _, isKnown := c.Read(1999*ms, noon+1999*ms); isKnown || c.State(1999*ms, noon).IsKnown {
		t.Error("there is a time before the first agreement")
	}
	if c.NextNs(1000*ms) != 2*s || !c.Turn(2*s, noon+2*s) {
		t.Error("two of three sources do not agree")
	}
	if got, isKnown := c.Read(3*s, noon+3*s); !isKnown || got != noon+3*s {
		t.Errorf("%d, %v", got, isKnown)
	}
	if state := c.State(3*s, noon+3*s); state.Sources != 2 || state.WidthNs > 3*ms || state.AgeNs != 1*s || state.OwnOffsetNs != 0 {
		t.Errorf("%+v", state)
	}

	c = New(0, 5, 3, 0, noon)
	pong(&c, 1, 1000*ms, 0, 1, 1)
	if c.Turn(2*s, noon+2*s) {
		t.Error("two of five sources are a quorum")
	}
	pong(&c, 2, 3*s, 40_000, 1, 1) // it is off by 40 s
	if c.Turn(3*s, noon+3*s) {
		t.Error("a clock that is off by 40 s agrees")
	}
	pong(&c, 4, 4*s, 1, 1, 1)
	if !c.Turn(4*s, noon+4*s) || c.State(4*s, noon).Sources != 3 {
		t.Errorf("three of five sources do not agree: %+v", c.State(4*s, noon))
	}
}

// Two clocks that differ agree with the tolerance that they need, and not with more than 10 s.
func TestTolerance(t *testing.T) {
	for _, offset := range []struct {
		ms      int64
		isKnown bool
		atMost  uint64 // ms of tolerance
	}{
		{0, true, 0}, {1, true, 0}, {100, true, 79}, {-100, true, 79}, {1000, true, 625}, {5000, true, 2500}, {19_000, true, 10_000},
		{20_000, true, 10_000}, {20_100, false, 0}, {-20_100, false, 0}, {1 << 50, false, 0}, {-(1 << 50), false, 0},
	} {
		c := New(0, 2, 2, 0, noon)
		pong(&c, 1, 1000*ms, offset.ms, 1, 1)
		isAgreed := c.Turn(2*s, noon+2*s)
		state := c.State(2*s, noon+2*s)
		if isAgreed != offset.isKnown || state.IsKnown != offset.isKnown || state.ToleranceNs > offset.atMost*ms {
			t.Errorf("offset %d ms: agreed %v, %+v", offset.ms, isAgreed, state)
		}
	}
}

// An own clock that is wrong is clamped, and the operator can be told.
func TestWrongOwnClock(t *testing.T) {
	c := New(0, 3, 2, 0, noon)
	for peer := 1; peer <= 2; peer++ {
		pong(&c, peer, 1000*ms, 300_000, 1, 1) // the others are five minutes ahead, so the own clock is behind
	}
	if !c.Turn(2*s, noon+2*s) {
		t.Fatal("no agreement")
	}
	got, _ := c.Read(3*s, noon+3*s)
	if want := noon + 303*s; got < want-5*ms || got > want+5*ms {
		t.Errorf("%d, want about %d", got, want)
	}
	if off := c.State(3*s, noon+3*s).OwnOffsetNs; off > -299*s || off < -301*s || off > -WarnOffsetNs {
		t.Errorf("the own clock is off by %d", off)
	}
	if off := c.State(3*s, noon+900*s).OwnOffsetNs; off < 596*s || off > 598*s {
		t.Errorf("the own clock is off by %d", off)
	}
	// A jump of the wall clock changes nothing: the monotonic clock counts.
	for _, wallNs := range []uint64{0, noon, noon + 1000*s, 1<<64 - 1} {
		if got, _ := c.Read(10*s, wallNs); got < noon+310*s-5*ms || got > noon+310*s+5*ms {
			t.Errorf("wall clock %d: %d", wallNs, got)
		}
	}
}

// An epoch ends after 60 s without an agreement; a window that nobody agreed in after 20 s.
func TestAgeing(t *testing.T) {
	c := New(0, 3, 2, 0, noon)
	pong(&c, 1, 1000*ms, 0, 1, 1)
	c.Turn(2*s, noon+2*s)
	if _, isKnown := c.Read(62*s, noon+62*s); !isKnown {
		t.Error("an epoch ends too early")
	}
	if _, isKnown := c.Read(62*s+1, noon+62*s); isKnown {
		t.Error("an epoch does not end")
	}
	// The window began at 2 s, with the wall clock of then. A sample of it does not count after 22 s.
	if got := c.NextNs(5 * s); got != 22*s+1 {
		t.Errorf("the next turn is at %d", got)
	}
	pong(&c, 1, 3*s, 50_000, 1, 1) // no agreement with this one
	if c.Turn(5*s, noon) || c.Turn(22*s+1, noon+22*s) {
		t.Error("agreement")
	}
	if pong(&c, 1, 22*s+1, 0, 1, 1) {
		t.Error("a pong counts whose ping was sent in the window before")
	}
	if !pong(&c, 1, 23*s, 0, 1, 1) || !c.Turn(25*s, noon+25*s) {
		t.Error("no agreement in the new window")
	}
	if got, isKnown := c.Read(80*s, noon+80*s); !isKnown || got != noon+80*s {
		t.Errorf("%d, %v", got, isKnown)
	}
}

// Of the samples of a window, the one that can be wrong by the least counts. However the delays are
// shared out between ping and pong, the true offset is in the interval.
func TestAsymmetricDelays(t *testing.T) {
	for forth := uint64(0); forth <= 40; forth += 4 {
		for back := uint64(0); back <= 40; back += 4 {
			for _, offsetMs := range []int64{-7000, -30, 0, 1, 200} {
				c := New(0, 2, 2, 0, noon)
				pong(&c, 1, 1000*ms, offsetMs, forth*3+50, 0) // worse samples, before and after
				pong(&c, 1, 1100*ms, offsetMs, forth, back)
				pong(&c, 1, 1200*ms, offsetMs, 0, back*3+50)
				best := &c.window.samples[1]
				if best.errorNs != (forth+back)*ms/2+1 {
					t.Fatalf("the sample kept can be wrong by %d ns", best.errorNs)
				}
				if wrong := best.offset - offsetMs*ms; max(wrong, -wrong) > int64(best.errorNs) {
					t.Fatalf("delays %d and %d: offset %d is wrong by %d", forth, back, best.offset, wrong)
				}
			}
		}
	}
}

// Of a good sample that gets old and a new one that is a little worse, the new one counts when
// drift has made the old one worse.
func TestOldSamplesGetWorse(t *testing.T) {
	c := New(0, 2, 2, 0, noon)
	pong(&c, 1, 100*ms, 0, 10, 10)
	pong(&c, 1, 5*s, 0, 10, 11) // may be off by half a millisecond more, and the old one by a millisecond
	if taken := c.window.samples[1].takenNs; taken != 5*s {
		t.Errorf("the sample of %d ns is kept", taken)
	}
	pong(&c, 1, 5200*ms, 0, 10, 12)
	if taken := c.window.samples[1].takenNs; taken != 5*s {
		t.Errorf("the sample of %d ns is kept", taken)
	}
}

// What cannot be a pong of this window is refused.
func TestLearnRefuses(t *testing.T) {
	c := New(1, 3, 2, 100*s, noon)
	for _, x := range []struct {
		what          string
		peer          int
		sentNs, nowNs uint64
	}{
		{"its own", 1, 101 * s, 102 * s},
		{"a standby's", 3, 101 * s, 102 * s},
		{"nobody's", -1, 101 * s, 102 * s},
		{"from the future", 0, 103 * s, 102 * s},
		{"of the window before", 0, 99 * s, 102 * s},
		{"after the window", 0, 101 * s, 121 * s},
	} {
		if c.Learn(x.peer, x.sentNs, noon, x.nowNs) {
			t.Errorf("a pong is taken that is %s", x.what)
		}
	}
	if !c.Learn(0, 101*s, noon, 102*s) {
		t.Error("a pong is refused")
	}
}

// A standby counts the replicas' clocks and not its own. A single replica needs nobody.
func TestStandbyAndAlone(t *testing.T) {
	c := New(3, 3, 2, 0, noon)
	pong(&c, 0, 1000*ms, 0, 1, 1)
	if c.Turn(2*s, noon+2*s) {
		t.Error("a standby's own clock counts")
	}
	pong(&c, 1, 2*s, 0, 1, 1)
	if !c.Turn(2*s, noon+2*s) {
		t.Error("two replicas do not agree")
	}
	c = New(0, 1, 1, 0, noon)
	if got, isKnown := c.Read(5*s, noon+7*s); !isKnown || got != noon+7*s || c.Turn(5*s, noon) || c.NextNs(5*s) != 1<<64-1 {
		t.Errorf("alone: %d, %v", got, isKnown)
	}
}

// The round trip is the median of the peers.
func TestRoundTrip(t *testing.T) {
	c := New(0, 4, 2, 0, noon)
	if got := c.RoundTripNs(); got != 300*ms {
		t.Errorf("%d before the first pong", got)
	}
	for peer, trip := range []uint64{0, 10, 30, 20} {
		if trip > 0 {
			c.Learn(peer, 1000*ms, noon, (1000+trip)*ms)
		}
	}
	if got := c.RoundTripNs(); got != 20*ms {
		t.Errorf("median %d", got)
	}
	c.Learn(3, 1*s, noon, 70*s) // nothing is measured by a pong that took more than a minute
	if got := c.RoundTripNs(); got != 20*ms {
		t.Errorf("median %d", got)
	}
	c.Learn(3, 1*s, noon, 1070*ms) // a fifth of the difference
	if got := c.RoundTripNs(); got != 30*ms {
		t.Errorf("median %d", got)
	}
}

// Timestamps follow the cluster's time, never go back, and stand still by one where it is not
// known.
func TestTimestamp(t *testing.T) {
	for _, c := range []struct {
		lastNs, clusterNs uint64
		isKnown           bool
		want              uint64
	}{
		{100, 200, true, 200}, {100, 101, true, 101}, {100, 100, true, 101}, {100, 50, true, 101}, {100, 0, true, 101},
		{100, 200, false, 101}, {0, 1 << 62, false, 1},
	} {
		if got := Timestamp(c.lastNs, c.clusterNs, c.isKnown); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// Nothing allocates.
func TestClockDoesNotAllocate(t *testing.T) {
	c := New(0, 3, 2, 0, noon)
	nowNs := uint64(0)
	if count := testing.AllocsPerRun(100, func() {
		nowNs += s
		pong(&c, 1, nowNs, 3, 1, 1)
		c.Turn(nowNs, noon+nowNs)
		c.Read(nowNs, noon+nowNs)
		c.State(nowNs, noon+nowNs)
	}); count != 0 {
		t.Errorf("%v allocations", count)
	}
}
