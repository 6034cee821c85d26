package vsr

import (
	"math/rand/v2"
	"testing"

	"ledger/limits"
)

func pressureOf(slots uint32) Pressure {
	l := limits.Production()
	l.JournalSlotsCount = slots
	return NewPressure(&l)
}

// Goal: up to a lag of 128 ops, and for a backup that only state sync can help, there is no pause.
// Between them, the share of the time is in proportion to the lag.
func TestPressureShare(t *testing.T) {
	p := pressureOf(1024)
	for _, c := range []struct{ lag, share uint64 }{
		{0, 0}, {128, 0}, {129, 0}, {132, 1}, {320, 50}, {511, 99}, {512, 100}, {513, 100}, {1024, 100}, {1025, 0}, {^uint64(0), 0},
	} {
		if share := p.share(c.lag); share != c.share {
			t.Errorf("lag %d: share %d of 1000, want %d", c.lag, share, c.share)
		}
	}
}

// Goal: only a backup that has told its lag within the last second counts.
func TestPressureSlowest(t *testing.T) {
	const s = 1_000_000_000
	p := pressureOf(1024)
	for _, c := range []struct {
		name string
		lags []Lag
		want uint64
	}{
		{"nobody has told anything", []Lag{{}, {}}, 0},
		{"the slowest counts", []Lag{{Ops: 3, ToldNs: 10 * s}, {Ops: 300, ToldNs: 10 * s}}, 300},
		{"exactly a second ago", []Lag{{Ops: 3, ToldNs: 10 * s}, {Ops: 300, ToldNs: 9 * s}}, 300},
		{"silent for more than a second", []Lag{{Ops: 3, ToldNs: 10 * s}, {Ops: 300, ToldNs: 9*s - 1}}, 3},
		{"one that needs state sync", []Lag{{Ops: 200, ToldNs: 10 * s}, {Ops: 1025, ToldNs: 10 * s}}, 200},
	} {
		if lag := p.Slowest(10*s, c.lags); lag != c.want {
			t.Errorf("%s: lag %d, want %d", c.name, lag, c.want)
		}
	}
}

// Goal: whatever the lag, the work between two prepares and the lateness of timers are, the pauses
// take at most a tenth of the time since the first prepare, but for one that is being late. Without
// a lag of more than 128 ops there is none. A lag that lasts makes pauses of about its share.
func TestPressureTakesATenth(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		p, now := pressureOf(1024), uint64(1+random.IntN(1_000_000))
		began, late := now, uint64(0)
		workMax := 1 + random.IntN([]int{20_000, 500_000, 5_000_000, 300_000_000}[seed%4])
		lateMax := []int{0, 0, 60_000, 3_000_000}[random.IntN(4)]
		lagMax := []uint64{128, 256, 512, 4096}[seed/4%4]
		isSteady := seed%3 == 0
		for range 3000 {
			lag := lagMax
			if !isSteady {
				lag = random.Uint64N(lagMax + 1)
			}
			for p.Hold(now, lag) {
				if lag <= 128 {
					t.Fatalf("seed %d: a pause with a lag of %d ops", seed, lag)
				}
				if p.NextNs() <= now || p.NextNs() > now+pressureNsMax {
					t.Fatalf("seed %d: at %d, a pause until %d", seed, now, p.NextNs())
				}
				late = uint64(random.IntN(lateMax + 1))
				now = p.NextNs() + late
			}
			if p.NextNs() != ^uint64(0) {
				t.Fatalf("seed %d: a timer without a pause", seed)
			}
			if took := p.PausedNs(); (took-min(took, late))*10 > now-began {
				t.Fatalf("seed %d: pauses of %d ns in %d ns", seed, took, now-began)
			}
			now += uint64(random.IntN(workMax))
		}
		if isSteady && lagMax == 512 && lateMax == 0 && workMax < pressureWorkNs && now-began > 100_000_000 {
			if took := p.PausedNs() * 1000 / (now - began); took < 90 {
				t.Errorf("seed %d: pauses take %d of 1000 parts of the time, want 90 to 100", seed, took)
			}
		}
	}
}

// Goal: a pause ends at once when the backup is near again, or the view ends; then nothing is saved
// for later.
func TestPressureEnds(t *testing.T) {
	p := pressureOf(1024)
	p.Hold(1000, 512)
	if !p.Hold(50_001_000, 512) || p.Hold(50_002_000, 100) || p.PausedNs() != 1000 {
		t.Fatalf("a pause ends when the backup is near: %+v", p)
	}
	if p.Hold(50_003_000, 512) {
		t.Fatalf("what was earned before is gone: %+v", p)
	}
	p.Hold(90_003_000, 512)
	p.Leave(90_005_000)
	if p.NextNs() != ^uint64(0) || p.PausedNs() != 3000 || p.Hold(200_000_000, 512) {
		t.Fatalf("a pause ends with the view: %+v", p)
	}
}
