package workload

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/limits"
	"ledger/sim/model"
	"ledger/wire"
)

// TestAccountingAgrees: the server's rules and the model give the same replies to what drawn
// profiles ask, pulses at random moments included.
func TestAccountingAgrees(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 4))
		profile := DrawProfile(random)
		// The server's replies may always take a whole message; requests are limited as the configuration
		// says.
		sizes := model.Limits{MessageBytesMax: wire.MessageBytesMax, RequestBytesMax: []uint32{4 << 10, 32 << 10, 1 << 20}[random.IntN(3)]}
		if sizes.RequestBytesMax == 1<<20 {
			profile.FullBatchPercent = min(profile.FullBatchPercent, 1)
		}
		generator := NewGenerator(seed, profile, sizes)
		judge := model.NewMachine(sizes.MessageBytesMax)
		machine := accounting.New(limits.Production(), memory.New(1<<10, 1<<14))
		reply := make([]byte, wire.BodyBytesMax)
		last, nowNs := uint64(0), uint64(startNs)
		execute := func(o model.Operation, body []byte) []byte {
			last = max(last+1, nowNs) + model.TimestampDelta(o, body)
			want, err := judge.Execute(o, last, sizes.RequestBytesMax, body)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			aligned := append(make([]byte, 0, len(body)+64), body...)
			got := reply[:machine.Execute(&accounting.Request{Operation: wire.Operation(o), RequestBytesMax: sizes.RequestBytesMax, Timestamp: last,
				Body: aligned}, reply)]
			if !bytes.Equal(got, want) {
				t.Fatalf("seed %d: operation %d at %d with body %x: the reply is\n%x, want\n%x", seed, o, last, body, got, want)
			}
			return want
		}
		for range 400 {
			nowNs += 1000 + random.Uint64N(60_000_000)
			if random.IntN(10) == 0 {
				execute(model.Pulse, nil)
			}
			request := generator.Next(nowNs)
			if request.Refused {
				continue
			}
			replied := execute(request.Operation, request.Body)
			generator.Observe(request, last, replied)
		}
	}
}

// FuzzReceive: no frame makes a client fail otherwise than by an error.
func FuzzReceive(f *testing.F) {
	for _, command := range []uint8{model.CommandPong, model.CommandReply, model.CommandEviction} {
		header := model.Header{Release: testRelease, Command: command, Client: model.Num(5), Request: 1, Operation: model.LookupAccounts, Op: 4,
			Timestamp: 9, Reason: 1}
		f.Add(header.Frame(model.Join([][]byte{nil}, 128)), true)
	}
	f.Fuzz(func(t *testing.T, frame []byte, mine bool) {
		if len(frame) < 256 {
			return
		}
		request := Request{Operation: model.LookupAccounts, Body: model.Join([][]byte{make([]byte, 16)}, 16)}
		client, _, sent := registered(t, request)
		frame[96], frame[97], frame[98], frame[99] = byte(len(frame)), byte(len(frame)>>8), byte(len(frame)>>16), 0
		if mine { // past the checks of whose reply it is
			switch frame[114] {
			case model.CommandReply:
				copy(frame[128:144], sent[:16])
				copy(frame[192:208], sent[160:176])
			case model.CommandEviction:
				copy(frame[128:144], sent[160:176])
			}
		}
		model.Seal(frame)
		client.Receive(startNs+5000, 0, frame)
		client.Tick(client.NextNs())
	})
}
