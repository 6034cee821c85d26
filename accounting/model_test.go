package accounting_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/storetest"
	"ledger/internal/seeded"
	"ledger/sim/model"
	"ledger/wire"
)

// pair runs every request on the machine and on the naive model, which shares no code with it, and
// compares the replies.
type pair struct {
	*bench
	model *model.Machine
}

func newPair(t testing.TB) *pair {
	return &pair{bench: newBench(t), model: model.NewMachine(wire.MessageBytesMax)}
}

// execute runs a valid body at the current clock and returns the reply.
func (p *pair) execute(operation wire.Operation, body []byte) []byte {
	p.t.Helper()
	request := accounting.Request{Operation: operation, Timestamp: p.clock, RequestBytesMax: p.limit, Body: body}
	got := p.reply[:p.machine.Execute(&request, p.reply)]
	want, err := p.model.Execute(model.Operation(operation), p.clock, p.limit, body)
	if err != nil {
		p.t.Fatalf("%v: model: %v", operation, err)
	}
	if !bytes.Equal(got, want) {
		p.t.Fatalf("%v at %d: reply differs\nbody %x\ngot  %x\nwant %x", operation, p.clock, body, got, want)
	}
	accounts, transfers, dead, _ := p.model.Counts()
	if accounts != p.store.AccountsCount() || transfers != p.store.TransfersCount() || dead != p.store.DeadCount() {
		p.t.Fatalf("%v at %d: the states differ", operation, p.clock)
	}
	if at, ok := p.model.ExpiresNext(); ok && p.machine.NextPulse() > at {
		p.t.Fatalf("next pulse %d is too late for an expiry at %d", p.machine.NextPulse(), at)
	}
	if operation.IsMultiBatch() {
		batches, fault := wire.DecodeBatches(got, operation.ResultBytes())
		requested := wire.RequestBatches(operation, body)
		if fault != "" || batches.Left() != requested.Left() {
			p.t.Fatalf("%v: reply has %d batches, want %d (%s)", operation, batches.Left(), requested.Left(), fault)
		}
	} else if operation.ResultBytes() != 0 && len(got)%int(operation.ResultBytes()) != 0 {
		p.t.Fatalf("%v: reply of %d bytes is not whole results", operation, len(got))
	}
	return got
}

// Goal: the same reply bytes as the naive model, over traffic of all operations that fails in every
// way.
func TestAgainstModel(t *testing.T) {
	random, fixed := seeded.Rand(t), rand.New(rand.NewPCG(1, 0))
	roundsCount := 40
	if testing.Short() {
		roundsCount = 4
	}
	seen := map[string]int{}
	for round := range roundsCount {
		p := newPair(t)
		source := random
		if round%2 == 0 {
			source = fixed // every other round is always the same: what is seen at all cannot depend on luck
		}
		traffic := storetest.New(source, startTime)
		for range 1500 {
			p.clock = traffic.ClockNs()
			if source.IntN(3) == 0 && p.machine.NextPulse() <= p.clock {
				p.clock = traffic.Advance(8191)
				p.execute(wire.OperationPulse, nil)
			}
			p.next(traffic, seen)
		}
	}
	t.Logf("created %d accounts and %d transfers", seen["account created"], seen["transfer created"])
	if testing.Short() {
		return
	}
	// Each status that can occur must occur, or the traffic is too tame to mean much.
	for status := accounting.TransferStatus(1); status <= 68; status++ {
		switch status {
		case 18, accounting.TransferStatusOverflowsTimeout:
			continue // retired; and not before the year 2126
		case accounting.TransferStatusImportedEventTimestampMustPostdateDebitAccount,
			accounting.TransferStatusImportedEventTimestampMustPostdateCreditAccount:
			continue // too rare here; in the observed cases
		}
		if seen["transfer "+status.String()] == 0 {
			t.Errorf("no transfer had status %v", status)
		}
	}
	for status := accounting.AccountStatus(1); status <= 26; status++ {
		if seen["account "+status.String()] == 0 {
			t.Errorf("no account had status %v", status)
		}
	}
}

// next runs the next request of traffic.
func (p *pair) next(traffic *storetest.Traffic, seen map[string]int) {
	p.t.Helper()
	request := traffic.Next()
	p.clock, p.limit = request.Timestamp, request.RequestBytesMax
	reply := p.execute(request.Operation, request.Body)
	if seen != nil {
		countStatuses(seen, request.Operation, reply)
	}
}

func countStatuses(seen map[string]int, operation wire.Operation, reply []byte) {
	if operation != wire.OperationCreateAccounts && operation != wire.OperationCreateTransfers {
		return
	}
	batches, _ := wire.DecodeBatches(reply, operation.ResultBytes())
	for batch, ok := batches.Next(); ok; batch, ok = batches.Next() {
		for _, result := range recordsOf[Result](batch) {
			if operation == wire.OperationCreateAccounts {
				seen["account "+accounting.AccountStatus(result.Status).String()]++
			} else {
				seen["transfer "+accounting.TransferStatus(result.Status).String()]++
			}
		}
	}
}

// Goal: whatever bytes a valid request holds, there is no panic, and the reply is the model's.
func FuzzExecute(f *testing.F) {
	f.Add(uint8(147), uint8(3), uint64(1), []byte("any bytes will do: the batches are built around them"))
	f.Add(uint8(146), uint8(1), uint64(2), bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 64))
	f.Add(uint8(142), uint8(2), uint64(3), bytes.Repeat([]byte{0}, 256))
	f.Add(uint8(137), uint8(1), uint64(4), bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, number, batchesCount uint8, seed uint64, data []byte) {
		operation := wire.Operation(129 + number%19)
		p := newPair(t)
		traffic := storetest.New(rand.New(rand.NewPCG(seed, 0)), startTime)
		for range 30 { // so that the bytes meet some state
			p.next(traffic, nil)
		}
		count := 1
		if operation.IsMultiBatch() {
			count = 1 + int(batchesCount)%8
		}
		batches := make([][]byte, count)
		eventBytes := int(operation.EventBytes())
		for i := range batches {
			size := len(data) / eventBytes * eventBytes / (i + 1) / eventBytes * eventBytes
			if operation.Class() == wire.ClassQuery {
				size = eventBytes
			}
			batches[i] = make([]byte, size)
			copy(batches[i], data[len(data)*i/count:])
		}
		body := encode(t, p.body, operation, batches...)
		if wire.ValidateBody(operation, body, p.limit-wire.HeaderBytes) != "" {
			t.Skip("no such request enters the log")
		}
		p.clock += 100 + wire.TimestampDelta(operation, body)
		p.execute(operation, body)
		p.clock += 8191
		p.execute(wire.OperationPulse, nil)
	})
}
