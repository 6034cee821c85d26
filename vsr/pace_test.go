package vsr

import (
	"math/rand/v2"
	"testing"

	"ledger/limits"
)

const paceSecond = 1_000_000_000

func paceOf() Pace {
	l := limits.Production()
	return NewPace(&l)
}

// mayPrepare tells whether the next prepare may start.
func mayPrepare(p *Pace, nowNs, executeNs uint64) bool { return p.UntilNs(nowNs, executeNs) <= nowNs }

// Goal: while a backup is behind, one op is prepared for each two that it executes, whatever the
// portions are in which it tells of them.
func TestPaceIsOneForTwo(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		p, now := paceOf(), uint64(paceSecond)
		p.Reported(now, 1, 49, false)
		now += PaceAfterNs
		portion := 1 + random.IntN(2*paceSavedMax-1)
		executed, prepared := uint64(random.IntN(1000)), uint64(0)
		told := func() {
			for p.Executed(now, 1, executed, 900); mayPrepare(&p, now, paceSecond); prepared++ {
				p.Prepared(now)
			}
		}
		told() // it takes what was saved up
		from := executed
		for prepared = 0; executed < from+1000; {
			now += uint64(random.IntN(10_000_000))
			executed += uint64(1 + random.IntN(portion))
			told()
		}
		if count := executed - from; prepared > count/2+1 || prepared+1 < count/2 {
			t.Fatalf("seed %d: %d prepares for %d ops", seed, prepared, count)
		}
	}
}

// Goal: the primary goes on even if a backup executes nothing, after four of its own executions,
// and after 100 ms.
func TestPaceGoesOn(t *testing.T) {
	for _, c := range []struct{ executeNs, pauseNs uint64 }{{0, 0}, {50_000, 200_000}, {10_000_000, 40_000_000}, {paceSecond, 100_000_000}} {
		p, now := paceOf(), uint64(paceSecond)
		p.Reported(now, 1, 1024, false)
		now += PaceAfterNs
		p.Executed(now, 1, 7, 1024)
		for range 5 {
			p.Prepared(now)
			for p.each[1].credit >= paceOps { // what was saved up
				p.Prepared(now)
			}
			if until := p.UntilNs(now, c.executeNs); until != now+c.pauseNs {
				t.Fatalf("executions of %d ns: the next prepare may start after %d ns, want %d", c.executeNs, int64(until-now), c.pauseNs)
			}
			now += c.pauseNs
			if !mayPrepare(&p, now, c.executeNs) {
				t.Fatalf("executions of %d ns: the pause goes on", c.executeNs)
			}
		}
	}
}

// Goal: only a backup counts that executes, has been behind for a second, and can come back by the
// log.
func TestPaceCounts(t *testing.T) {
	const at = 10 * uint64(paceSecond)
	for _, c := range []struct {
		what string
		told func(p *Pace)
		isOn bool
	}{
		{"nobody has told anything", func(*Pace) {}, false},
		{"six pipelines", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 48, false) }, false},
		{"more than six pipelines", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 49, false) }, true},
		{"for less than a second", func(p *Pace) { p.Reported(at-PaceAfterNs+1, 1, 49, false) }, false},
		{"not near yet", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 49, false); p.Reported(at, 1, 17, false) }, true},
		{"near", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 49, false); p.Reported(at, 1, 16, false) }, false},
		{"near, by an acknowledgement", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 49, false); p.Executed(at, 1, 500, 8) }, false},
		{"not near yet, by an acknowledgement", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 49, false); p.Executed(at, 1, 500, 9) }, true},
		{"far away, and nothing to execute", func(p *Pace) {
			p.Reported(at-PaceAfterNs, 1, 3, false)
			p.Executed(at, 1, 900, 300)
		}, false},
		{"it hangs", func(p *Pace) {
			*p = paceOf()
			p.Executed(at-LagForNs-1, 1, 400, 300)
			p.Reported(at-PaceAfterNs, 1, 49, false)
			p.Executed(at, 1, 400, 300)
			p.Reported(at, 1, 333, false)
		}, false},
		{"it goes on", func(p *Pace) {
			*p = paceOf()
			p.Executed(at-LagForNs-1, 1, 400, 300)
			p.Reported(at-PaceAfterNs, 1, 49, false)
			p.Executed(at, 1, 401, 300)
		}, true},
		{"a log", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 1024, false) }, true},
		{"more than the log", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 1025, false) }, false},
		{"not waited for", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 49, true) }, false},
		{"a view that is left", func(p *Pace) { p.Reported(at-PaceAfterNs, 1, 49, false); p.Leave(at) }, false},
	} {
		p := paceOf()
		p.Executed(at-LagForNs, 1, 400, 300)
		if c.told(&p); p.IsOn(at) != c.isOn {
			t.Errorf("%s: a pace is kept: %v", c.what, !c.isOn)
		}
		if until := p.UntilNs(at, paceSecond); !c.isOn && until != 0 {
			t.Errorf("%s: a pause until %d", c.what, until)
		}
	}
}

// Goal: a backup counts at once when an answer tells that it has more to execute than the others do
// in a second, and not for a burst of small ops or for a few that are large.
func TestPaceAnswers(t *testing.T) {
	const at, full, small = 10 * uint64(paceSecond), 10_000_000, 50_000
	for _, c := range []struct {
		what      string
		reported  uint64
		isLeft    bool
		ops       uint64
		executeNs uint64
		isOn      bool
	}{
		{"a second of full ops", 0, false, 100, full, true},
		{"less than a second", 0, false, 99, full, false},
		{"it reported half a second ago that it is behind", 49, false, 100, full, true},
		{"the same, and an answer tells less", 49, false, 99, full, false},
		{"a burst of small ops", 0, false, 1000, small, false},
		{"six pipelines of large ops", 0, false, 48, paceSecond, false},
		{"a log", 0, false, 1024, full, true},
		{"more than the log", 0, false, 1025, full, false},
		{"not waited for", 49, true, 100, full, false},
		{"nothing was executed here", 0, false, 1024, 0, false},
	} {
		p := paceOf()
		p.Reported(at-PaceAfterNs/2, 1, c.reported, c.isLeft)
		p.Answered(at, 1, c.ops, c.executeNs)
		p.Executed(at, 1, 500, 900)
		if p.IsOn(at) != c.isOn {
			t.Errorf("%s: a pace is kept: %v", c.what, !c.isOn)
		}
		p.Reported(at, 1, 16, false)
		if p.IsOn(at) {
			t.Errorf("%s: a pace is kept for one that is near", c.what)
		}
	}
}

// Goal: whatever a backup does, and whichever views come and go, a pace is kept for a minute, and
// for a tenth of the rest of the time.
func TestPaceEnds(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 2))
		p, began := paceOf(), uint64(paceSecond)
		isForEver := seed%4 == 0
		for now := began; now < began+1000*paceSecond; now += 1 + random.Uint64N(paceSecond/2) {
			lag := uint64(100)
			if !isForEver && random.IntN(40) == 0 {
				lag = 0
			}
			p.Reported(now, 1, lag, !isForEver && random.IntN(100) == 0)
			p.Answered(now, 1, lag, paceSecond/50)
			p.Executed(now, 1, now, lag)
			if !isForEver && random.IntN(100) == 0 {
				p.Leave(now)
			}
			kept, most := p.TotalNs(), PaceMaxNs+(now-began)/paceRefund+paceSecond
			if kept > most {
				t.Fatalf("seed %d: a pace is kept for %d of %d ns", seed, kept, now-began)
			}
			if p.Prepared(now); isForEver && now > began+PaceAfterNs && kept+2*paceSecond < min(now-began, PaceMaxNs) {
				t.Fatalf("seed %d: a pace is kept for %d of %d ns only", seed, kept, now-began)
			}
		}
	}
}

// Goal: a primary that was stopped while it kept a pace has not kept it meanwhile.
func TestPaceOfAStoppedPrimary(t *testing.T) {
	p, now := paceOf(), uint64(paceSecond)
	for step := range uint64(3) {
		p.Reported(now, 1, 100, false)
		p.Executed(now, 1, 500+step, 100)
		now += paceSecond
	}
	now += 1000 * paceSecond
	if p.Executed(now, 1, 600, 100); p.TotalNs() != 2*paceSecond || !p.IsOn(now) {
		t.Errorf("a pace was kept for %d ns, and is: %v", p.TotalNs(), p.IsOn(now))
	}
}
