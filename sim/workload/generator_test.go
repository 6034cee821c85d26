package workload

import (
	"crypto/sha256"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/sim/model"
)

const startNs = 1_700_000_000_000_000_000

// tally counts what became of the events of a run.
type tally struct {
	statuses map[model.Operation]map[model.Status]int // by base operation
	replies  map[model.Operation]int                  // requests answered
	rows     map[model.Operation]int                  // bytes of results
	batches  map[model.Operation]int                  // of requests
	found    map[model.Operation]int                  // batches of replies with any result
	refused  int
	bytes    [32]byte // of all requests and replies, hashed
}

func newTally() *tally {
	return &tally{
		statuses: map[model.Operation]map[model.Status]int{model.CreateAccounts: {}, model.CreateTransfers: {}},
		replies:  map[model.Operation]int{},
		rows:     map[model.Operation]int{},
		batches:  map[model.Operation]int{},
		found:    map[model.Operation]int{},
	}
}

// run plays requests of one generator against the model, with a clock that steps, and pulses when
// due.
func run(t *testing.T, tally *tally, seed uint64, profile Profile, limits model.Limits, clockNs uint64, requests int) *model.Machine {
	t.Helper()
	g := NewGenerator(seed, profile, limits)
	clock := rand.New(rand.NewPCG(seed, 1))
	machine := model.NewMachine(limits.MessageBytesMax)
	hash := sha256.New()
	last := clockNs
	execute := func(o model.Operation, body []byte) (uint64, []byte) {
		base := max(last+1, clockNs)
		if o == model.Pulse {
			base = last + 1
		}
		last = base + model.TimestampDelta(o, body)
		reply, err := machine.Execute(o, last, limits.RequestBytesMax, body)
		if err != nil {
			t.Fatal(err)
		}
		hash.Write([]byte{byte(o)})
		hash.Write(body)
		hash.Write(reply)
		return last, reply
	}
	for range requests {
		clockNs += 1000 + clock.Uint64N(40_000_000)
		request := g.Next(clockNs)
		if expiresAtNs, ok := machine.ExpiresNext(); ok && expiresAtNs <= clockNs && clock.IntN(3) == 0 {
			last = max(last, clockNs)
			execute(model.Pulse, nil)
		}
		if request.Refused {
			tally.refused++
			hash.Write(request.Body)
			continue
		}
		timestamp, reply := execute(request.Operation, request.Body)
		g.Observe(request, timestamp, reply)
		tally.count(t, request, reply)
	}
	tally.bytes = [32]byte(hash.Sum(nil))
	return machine
}

func (y *tally) count(t *testing.T, request Request, reply []byte) {
	o := request.Operation
	y.replies[o]++
	if o == model.Noop {
		return
	}
	batches, err := o.Batches(request.Body)
	if err != nil {
		t.Fatal(err)
	}
	replies := [][]byte{reply}
	if o.IsMultiBatch() {
		if replies, err = model.Split(reply, o.ResultBytes()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range batches {
		y.rows[o] += len(replies[i])
		y.batches[o.Base()]++
		if len(replies[i]) > 0 {
			y.found[o.Base()]++
		}
		if o.IsCreate() {
			for _, status := range Results(o, replies[i], len(batches[i])/128) {
				y.statuses[o.Base()][status]++
			}
		}
	}
}

// created returns the percentage of events that were created.
func (y *tally) created(o model.Operation) int {
	sum := 0
	for _, count := range y.statuses[o] {
		sum += count
	}
	return 100 * y.statuses[o][model.Created] / max(1, sum)
}

// smallLimits are those of a simulated server: messages of 16 KiB.
var smallLimits = model.Limits{MessageBytesMax: 16 << 10, RequestBytesMax: 8 << 10}

// TestCoverage: typical and drawn profiles reach every status, every operation has results, and
// most events succeed.
func TestCoverage(t *testing.T) {
	typical, all := newTally(), newTally()
	for seed := range uint64(4) {
		run(t, typical, seed, TypicalProfile(), smallLimits, startNs, 1500)
	}
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 2))
		clockNs := uint64(startNs)
		if seed%8 == 0 {
			clockNs = 6_000_000_000_000_000_000 // the year 2160: timeouts reach beyond the last timestamp
		}
		run(t, all, seed, DrawProfile(random), smallLimits, clockNs, 800)
	}
	for _, o := range []model.Operation{model.CreateAccounts, model.CreateTransfers} {
		if got := typical.created(o); got <= 50 {
			t.Errorf("operation %d: only %d %% of the typical events are created", o, got)
		}
		most := model.AccountStatusMax
		if o == model.CreateTransfers {
			most = model.TransferStatusMax
		}
		for status := model.Status(1); status <= most; status++ {
			count := typical.statuses[o][status] + all.statuses[o][status]
			never := o == model.CreateTransfers && status == model.TransferStatusNever
			if (count == 0) != never {
				t.Errorf("operation %d: %d events with %s", o, count, model.StatusName(o, status))
			}
		}
		t.Logf("operation %d: %d %% created, typical; %d %% of all profiles", o, typical.created(o), all.created(o))
	}
	for o := model.CreateAccountsUnbatched; o <= model.CreateTransfers; o++ {
		if all.replies[o] == 0 || typical.rows[o]+all.rows[o] == 0 {
			t.Errorf("operation %d: %d requests, %d bytes of results", o, all.replies[o], all.rows[o])
		}
	}
	for o := model.GetChangeEvents; o < model.CreateAccounts; o++ {
		if o.Base() != o || o.IsCreate() {
			continue
		}
		percent := 100 * typical.found[o] / max(1, typical.batches[o])
		t.Logf("operation %d: %d %% of %d batches find something", o, percent, typical.batches[o])
		if percent < 35 {
			t.Errorf("operation %d: only %d %% of the batches find something", o, percent)
		}
	}
	if all.replies[model.Noop] == 0 || all.refused == 0 {
		t.Errorf("%d noops, %d requests to refuse", all.replies[model.Noop], all.refused)
	}
	if t.Failed() || testing.Verbose() {
		for _, o := range []model.Operation{model.CreateAccounts, model.CreateTransfers} {
			var statuses []model.Status
			for status := range typical.statuses[o] {
				statuses = append(statuses, status)
			}
			slices.Sort(statuses)
			for _, status := range statuses {
				t.Logf("%-60s %6d typical %6d all", model.StatusName(o, status), typical.statuses[o][status], all.statuses[o][status])
			}
		}
	}
}

// TestDeterminism: the same seed gives the same bytes, another one does not.
func TestDeterminism(t *testing.T) {
	sum := func(seed uint64) [32]byte {
		tally := newTally()
		run(t, tally, seed, DrawProfile(rand.New(rand.NewPCG(seed, 2))), smallLimits, startNs, 300)
		return tally.bytes
	}
	for seed := range uint64(5) {
		if first, second := sum(seed), sum(seed); first != second {
			t.Fatalf("seed %d gives different bytes", seed)
		}
	}
	if sum(1) == sum(2) {
		t.Fatal("two seeds give the same bytes")
	}
}

// TestLimits: bodies fit every request limit, production's included, and full batches occur.
func TestLimits(t *testing.T) {
	for _, limits := range []model.Limits{
		{MessageBytesMax: 4096, RequestBytesMax: 4096},
		{MessageBytesMax: 1 << 20, RequestBytesMax: 32 << 10},
		{MessageBytesMax: 1 << 20, RequestBytesMax: 1 << 20},
	} {
		profile := TypicalProfile()
		profile.FullBatchPercent, profile.InvalidPercent = 10, 10
		g := NewGenerator(7, profile, limits)
		longest := 0
		for range 300 {
			request := g.Next(startNs)
			longest = max(longest, len(request.Body)+256)
			if len(request.Body)+256 > int(limits.MessageBytesMax) {
				t.Fatalf("a body of %d bytes in messages of %d", len(request.Body), limits.MessageBytesMax)
			}
			accepted := limits.CheckBody(request.Operation, request.Body) == nil && len(request.Body)+256 <= int(limits.RequestBytesMax)
			if request.Operation == model.Pulse {
				accepted = false // no client's
			}
			if accepted == request.Refused {
				t.Fatalf("operation %d, %d bytes: refused is %v", request.Operation, len(request.Body), request.Refused)
			}
		}
		if longest < int(limits.RequestBytesMax)*9/10 {
			t.Errorf("limits %+v: the longest request has %d bytes", limits, longest)
		}
	}
}
