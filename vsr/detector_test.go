package vsr

import (
	"testing"

	"ledger/internal/seeded"
)

const ms = 1_000_000

// suspectedAfter is how long after the last sign of life the alarm is red.
func suspectedAfter(d *Detector) uint64 {
	nowNs := d.lastNs
	for d.Alarm(nowNs) != AlarmRed {
		nowNs = d.NextNs(nowNs)
	}
	return nowNs - d.lastNs
}

// The alarms of an idle primary: green up to 1.5 times the mean, yellow up to 3 times.
func TestDetectorAlarms(t *testing.T) {
	var d Detector
	d.Begin(1000 * ms)
	for _, c := range []struct {
		nowNs uint64
		want  Alarm
	}{
		{0, AlarmGreen}, {1000 * ms, AlarmGreen}, {1750 * ms, AlarmGreen}, {1750*ms + 1, AlarmYellow},
		{2500 * ms, AlarmYellow}, {2500*ms + 1, AlarmRed}, {1 << 62, AlarmRed},
	} {
		if got := d.Alarm(c.nowNs); got != c.want {
			t.Errorf("at %d: %v, want %v", c.nowNs, got, c.want)
		}
	}
	if d.NextNs(0) != 1750*ms+1 || d.NextNs(1750*ms) != 1750*ms+1 || d.NextNs(1750*ms+1) != 2500*ms+1 {
		t.Errorf("next turns: %d, %d", d.NextNs(0), d.NextNs(1750*ms+1))
	}
}

// Goal: within a second of a view change the detector is as fast as it will be, whatever the rate
// of the signs.
func TestDetectorSettlesWithinASecond(t *testing.T) {
	for _, intervalNs := range []uint64{ms / 10, ms, 50 * ms, 100 * ms, 200 * ms, 333 * ms, 500 * ms} {
		after := func(forNs uint64) uint64 {
			var d Detector
			d.Begin(0)
			for nowNs := intervalNs; nowNs <= forNs; nowNs += intervalNs {
				d.Heard(nowNs)
			}
			return suspectedAfter(&d)
		}
		early, late := after(1000*ms), after(100_000*ms)
		if early > late*3/2 {
			t.Errorf("signs every %d ns: suspected after %d ns in the first second, %d ns later", intervalNs, early, late)
		}
		if want := max(intervalNs, 100*ms) * 3; late > want+want/100 {
			t.Errorf("signs every %d ns: suspected after %d ns, want %d", intervalNs, late, want)
		}
	}
	var d Detector
	d.Begin(0)
	if got := suspectedAfter(&d); got > 1501*ms {
		t.Errorf("a primary that dies at once is suspected after %d ns", got)
	}
}

// A primary that goes idle after a burst is not suspected, if it sends a heartbeat at each yellow
// alarm of its own.
func TestDetectorAtTheEndOfABurst(t *testing.T) {
	for _, delayNs := range []uint64{0, 1 * ms, 20 * ms, 49 * ms} { // of the network, in turns with none
		var primary, backup Detector
		primary.Begin(0)
		backup.Begin(0)
		nowNs, sent := uint64(0), 0
		send := func() {
			primary.Heard(nowNs)
			heardNs := nowNs + uint64(sent%2)*delayNs
			if backup.Alarm(heardNs) == AlarmRed {
				t.Fatalf("delay %d: suspected at %d ns", delayNs, heardNs)
			}
			backup.HeardHeartbeat(heardNs, nowNs+1)
			sent++
		}
		for nowNs < 3000*ms {
			nowNs += ms
			send()
		}
		for nowNs < 60_000*ms { // idle
			nowNs = min(primary.NextNs(nowNs), nowNs+HeartbeatNs)
			send()
		}
		if sent > 3000+58*2+20 {
			t.Errorf("delay %d: %d signs of an idle primary", delayNs, sent-3000)
		}
	}
}

// A heartbeat that was delayed or doubled is no sign of life.
func TestStaleHeartbeats(t *testing.T) {
	var d Detector
	d.Begin(0)
	if !d.HeardHeartbeat(100*ms, 7) || d.HeardHeartbeat(200*ms, 7) || d.HeardHeartbeat(300*ms, 6) || d.lastNs != 100*ms {
		t.Errorf("%+v", d)
	}
	if !d.HeardHeartbeat(400*ms, 8) || d.lastNs != 400*ms {
		t.Errorf("%+v", d)
	}
}

// Goal: a primary under load that is held up now and then is not suspected again and again. A first
// pause that is short enough makes room for a longer one; a minute later it is forgotten.
func TestDetectorLearnsFromSurprises(t *testing.T) {
	var d Detector
	d.Begin(0)
	nowNs := uint64(0)
	load := func(forNs uint64) {
		for until := nowNs + forNs; nowNs < until; nowNs += ms {
			d.Heard(nowNs)
		}
	}
	load(2000 * ms)
	if got := suspectedAfter(&d); got > 301*ms {
		t.Fatalf("under load: suspected after %d ns", got)
	}
	nowNs += 290 * ms
	load(2000 * ms)
	if got := suspectedAfter(&d); got < 430*ms || got > 440*ms {
		t.Fatalf("after a pause of 290 ms: suspected after %d ns", got)
	}
	d.Begin(nowNs)
	load(2000 * ms)
	if got := suspectedAfter(&d); got < 430*ms {
		t.Fatalf("in the next view: suspected after %d ns", got)
	}
	load(60_000 * ms)
	if got := suspectedAfter(&d); got > 301*ms {
		t.Fatalf("a minute later: suspected after %d ns", got)
	}
	nowNs += 5000 * ms
	load(2000 * ms)
	if got := suspectedAfter(&d); got > 1501*ms {
		t.Fatalf("after a pause of 5 s: suspected after %d ns", got)
	}
}

// Whatever is heard, the mean stays within its bounds, time runs forwards, and the alarm follows.
func TestDetectorRandom(t *testing.T) {
	random := seeded.Rand(t)
	var d Detector
	d.Begin(0)
	nowNs := uint64(0)
	for range 100_000 {
		nowNs += random.Uint64N(1 << random.Uint64N(34))
		last := d.lastNs
		d.Heard(nowNs - min(nowNs, random.Uint64N(1<<random.Uint64N(34)))) // clocks of threads may differ
		if d.meanNs < 100*ms || d.meanNs > 2000*ms || d.lastNs < last || d.Alarm(d.lastNs) != AlarmGreen {
			t.Fatalf("%+v", d)
		}
		if after := suspectedAfter(&d); after < 300*ms || after > 6001*ms {
			t.Fatalf("suspected after %d ns", after)
		}
	}
}

// A primary that hears nobody gives way: after 8 round trips and at least half a second from when
// something began to wait, and not if enough others answer for a commit.
func TestDeaf(t *testing.T) {
	const now = 100_000 * ms
	for _, c := range []struct {
		what     string
		replicas int
		waiting  uint64 // ms ago; 0: nothing waits
		trip     uint64 // ms
		heard    []uint64
		want     bool
	}{
		{"nothing waits", 3, 0, 1, []uint64{0, 9000, 9000}, false},
		{"idle for long, and something waits now", 3, 1, 1, []uint64{0, 9000, 9000}, false},
		{"it waits for less than half a second", 3, 499, 1, []uint64{0, 9000, 9000}, false},
		{"it waits for half a second", 3, 500, 1, []uint64{0, 9000, 9000}, true},
		{"one of two answers", 3, 9000, 1, []uint64{0, 499, 9000}, false},
		{"the last answer was half a second ago", 3, 9000, 1, []uint64{0, 500, 9000}, true},
		{"slow links", 3, 9000, 200, []uint64{0, 1599, 9000}, false},
		{"slow links, 8 round trips", 3, 9000, 200, []uint64{0, 1600, 9000}, true},
		{"five: one answers, two are needed", 5, 9000, 1, []uint64{0, 10, 9000, 9000, 9000}, true},
		{"five: two answer", 5, 9000, 1, []uint64{0, 10, 9000, 10, 9000}, false},
		{"four: one is enough", 4, 9000, 1, []uint64{0, 9000, 9000, 10}, false},
		{"two: none", 2, 9000, 1, []uint64{0, 9000}, true},
		{"alone", 1, 9000, 1, []uint64{0}, false},
	} {
		q := QuorumsOf(c.replicas)
		d := Deaf{RoundTripNs: c.trip * ms, HeardNs: make([]uint64, c.replicas)}
		if c.waiting > 0 {
			d.WaitingSinceNs = now - c.waiting*ms
		}
		for i, ago := range c.heard {
			d.HeardNs[i] = now - ago*ms
		}
		if got := d.Is(&q, now); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// A primary without work is deaf if four heartbeats had no echo, and enough others to go on without
// it have got them.
func TestDeafWithoutWork(t *testing.T) {
	const now = 100_000 * ms
	for _, c := range []struct {
		what  string
		leads uint64   // ms ago; 0: not
		trip  uint64   // ms
		heard []uint64 // ms ago
		live  []uint64 // ms ago; 0: not
		want  bool
	}{
		{"nobody answers", 9000, 1, []uint64{0, 2000, 9000}, []uint64{0, 9000, 9000}, true},
		{"one answers", 9000, 1, []uint64{0, 1999, 9000}, []uint64{0, 9000, 9000}, false},
		{"it has begun", 1999, 1, []uint64{0, 9000, 9000}, []uint64{0, 9000, 9000}, false},
		{"it sends no heartbeats", 0, 1, []uint64{0, 9000, 9000}, []uint64{0, 9000, 9000}, false},
		{"one is connected", 9000, 1, []uint64{0, 9000, 9000}, []uint64{0, 9000, 0}, false},
		{"one was connected just now", 9000, 1, []uint64{0, 9000, 9000}, []uint64{0, 9000, 1}, false},
		{"who is not connected does not answer", 9000, 1, []uint64{0, 1, 9000, 1, 9000}, []uint64{0, 0, 9000, 9000, 9000}, true},
		{"two of four are connected", 9000, 1, []uint64{0, 9000, 9000, 9000, 9000}, []uint64{0, 9000, 9000, 0, 0}, false},
		{"slow links", 9000, 500, []uint64{0, 3999, 9000}, []uint64{0, 9000, 9000}, false},
		{"slow links, 8 round trips", 9000, 500, []uint64{0, 4000, 9000}, []uint64{0, 9000, 9000}, true},
	} {
		q := QuorumsOf(len(c.heard))
		d := Deaf{RoundTripNs: c.trip * ms, HeardNs: make([]uint64, len(c.heard)), LiveNs: make([]uint64, len(c.heard))}
		if c.leads > 0 {
			d.LeadsSinceNs = now - c.leads*ms
		}
		for i, ago := range c.heard {
			if d.HeardNs[i] = now - ago*ms; c.live[i] > 0 {
				d.LiveNs[i] = now - c.live[i]*ms
			}
		}
		if got := d.Is(&q, now); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// A primary that is slower than its peers for three seconds gives way, once a minute.
func TestSlow(t *testing.T) {
	fast := []Cost{{WriteNs: ms / 4, ExecuteNs: 4 * ms}, {WriteNs: ms / 2, ExecuteNs: 4 * ms}}
	for _, c := range []struct {
		what  string
		own   Cost
		peers []Cost
		want  bool
	}{
		{"as fast as the others", Cost{ms / 2, 2 * ms}, fast, false},
		{"writes take 30 ms", Cost{30 * ms, 2 * ms}, fast, true},
		{"executes slowly", Cost{ms / 2, 17 * ms}, fast, true},
		{"executes 4 times as slowly", Cost{ms / 2, 16 * ms}, fast, false},
		{"20 times as slow, and still fast", Cost{10 * ms, 4 * ms}, fast, false},
		{"one peer is as slow", Cost{30 * ms, 2 * ms}, []Cost{{30 * ms, 0}, {ms / 2, 0}}, false},
		{"one of four peers is as slow", Cost{30 * ms, 0}, []Cost{{30 * ms, 0}, {ms / 2, 0}, {ms, 0}, {ms, 0}}, true},
		{"peers report nothing", Cost{30 * ms, 30 * ms}, []Cost{{}, {}}, false},
		{"one peer reports", Cost{30 * ms, 0}, []Cost{{}, {ms, 0}}, true},
		{"no peers", Cost{30 * ms, 0}, nil, false},
		{"it has done nothing", Cost{}, fast, false},
	} {
		var s Slow
		gave := uint64(0)
		for nowNs := uint64(100 * ms); nowNs < 10_000*ms && gave == 0; nowNs += 100 * ms {
			if s.Sample(nowNs, c.own, c.peers) {
				gave = nowNs
			}
		}
		if (gave != 0) != c.want || gave != 0 && gave != 3100*ms {
			t.Errorf("%s: gave way at %d ns", c.what, gave)
		}
	}
	// One good sample, or a view change, and it begins anew.
	slow, good := Cost{30 * ms, 0}, Cost{ms, 0}
	var s Slow
	for i, interrupt := range []func(nowNs uint64){
		func(nowNs uint64) { s.Sample(nowNs, good, fast) },
		func(uint64) { s.Left() },
	} {
		s = Slow{}
		s.Sample(1, slow, fast)
		interrupt(2000 * ms)
		if s.Sample(2500*ms, slow, fast) || s.Sample(3500*ms, slow, fast) || !s.Sample(5500*ms, slow, fast) {
			t.Errorf("interrupt %d", i)
		}
		// Not again within a minute.
		for nowNs := uint64(5600 * ms); nowNs < 65_500*ms; nowNs += 100 * ms {
			if s.Sample(nowNs, slow, fast) {
				t.Fatalf("gave way again at %d ns", nowNs)
			}
		}
		if !s.Sample(65_500*ms, slow, fast) {
			t.Error("it does not give way again after a minute")
		}
	}
}
