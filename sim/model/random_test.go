package model_test

import (
	"math/rand/v2"
	"testing"

	"ledger/sim/model"
	"ledger/sim/workload"
)

// play runs requests of a generator against a machine.
func play(t testing.TB, machine *model.Machine, seed uint64, profile workload.Profile, limits model.Limits, requests int,
	each func(o model.Operation, body, reply []byte)) (events int) {
	g := workload.NewGenerator(seed, profile, limits)
	nowNs, last := uint64(1_700_000_000_000_000_000), uint64(0)
	for range requests {
		nowNs += 10_000_000
		request := g.Next(nowNs)
		if request.Refused {
			continue
		}
		if expiresAtNs, ok := machine.ExpiresNext(); ok && expiresAtNs <= nowNs {
			last = max(last, nowNs) + 1 + model.PulseDelta
			if _, err := machine.Execute(model.Pulse, last, limits.RequestBytesMax, nil); err != nil {
				t.Fatal(err)
			}
		}
		delta := model.TimestampDelta(request.Operation, request.Body)
		last = max(last+1, nowNs) + delta
		reply, err := machine.Execute(request.Operation, last, limits.RequestBytesMax, request.Body)
		if err != nil {
			t.Fatal(err)
		}
		events += int(delta)
		g.Observe(request, last, reply)
		if each != nil {
			each(request.Operation, request.Body, reply)
		}
	}
	return events
}

// TestRollbacks: after every broken chain of a random run the state equals a full copy taken before
// the chain; and in the end the balances of all accounts are what the transfers add up to.
func TestRollbacks(t *testing.T) {
	limits := model.Limits{MessageBytesMax: 16 << 10, RequestBytesMax: 8 << 10}
	for seed := range uint64(6) {
		profile := workload.DrawProfile(rand.New(rand.NewPCG(seed, 3)))
		profile.ChainPercent, profile.ChainBreakPercent = 20, 70
		profile.BatchEventsMax = min(profile.BatchEventsMax, 24)
		machine := model.NewMachine(limits.MessageBytesMax)
		machine.CheckRollbacks()
		play(t, machine, seed, profile, limits, 150, nil)
		if err := machine.CheckBalances(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// BenchmarkMachine: events per second of create requests, with the queries of the typical profile
// among them.
func BenchmarkMachine(b *testing.B) {
	limits := model.Limits{MessageBytesMax: 1 << 20, RequestBytesMax: 1 << 20}
	profile := workload.TypicalProfile()
	profile.BatchEventsMax, profile.ImportedPercent, profile.FullBatchPercent = 200, 0, 0
	type step struct {
		o         model.Operation
		body      []byte
		timestamp uint64
	}
	var steps []step
	events := 0
	last := uint64(1_700_000_000_000_000_000)
	play(b, model.NewMachine(limits.MessageBytesMax), 1, profile, limits, 1000, func(o model.Operation, body, _ []byte) {
		delta := model.TimestampDelta(o, body)
		last += 10_000_000 + delta
		events += int(delta)
		steps = append(steps, step{o, body, last})
	})
	for b.Loop() {
		machine := model.NewMachine(limits.MessageBytesMax)
		for _, s := range steps {
			if _, err := machine.Execute(s.o, s.timestamp, limits.RequestBytesMax, s.body); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(events), "ns/event")
}
