package storetest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/accounting/memory"
	"ledger/limits"
	"ledger/wire"
)

// Pair runs requests over a candidate and over the memory store.
type Pair struct {
	t         testing.TB
	limits    limits.Limits
	traffic   *Traffic
	candidate side
	reference side
	stepIndex int
}

type side struct {
	store   accounting.Store
	machine *accounting.Machine
	reply   []byte
}

// NewPair returns a pair whose candidate must be empty.
func NewPair(t testing.TB, limits limits.Limits, candidate accounting.Store, random *rand.Rand) *Pair {
	p := &Pair{t: t, limits: limits, traffic: New(random, 1_700_000_000_000_000_000)}
	p.candidate = side{candidate, accounting.New(limits, candidate), bytesOf(make([]uint64, wire.BodyBytesMax/8))}
	reference := memory.New(64, 4096)
	p.reference = side{reference, accounting.New(limits, reference), bytesOf(make([]uint64, wire.BodyBytesMax/8))}
	return p
}

// Reopened continues with a candidate that was closed and opened again. It must have the state of
// the last step.
func (p *Pair) Reopened(candidate accounting.Store) {
	p.candidate.store = candidate
	p.candidate.machine = accounting.New(p.limits, candidate)
}

// step runs one request on both sides, and sometimes a pulse.
func (p *Pair) step() {
	p.t.Helper()
	if p.traffic.one(3) {
		timestamp := p.traffic.Advance(8191)
		if p.reference.machine.NextPulse() <= timestamp {
			p.Execute(&accounting.Request{Operation: wire.OperationPulse, Timestamp: timestamp,
				RequestBytesMax: pick[uint32](p.traffic, 1<<20, 4<<10)})
		}
	}
	request := p.traffic.Next()
	p.Execute(&request)
}

// Execute runs a request of the test itself on both sides. Its timestamp must be above that of the
// last step.
func (p *Pair) Execute(request *accounting.Request) {
	p.t.Helper()
	p.stepIndex++
	got := p.candidate.reply[:p.candidate.machine.Execute(request, p.candidate.reply)]
	want := p.reference.reply[:p.reference.machine.Execute(request, p.reference.reply)]
	if !bytes.Equal(got, want) {
		p.t.Fatalf("step %d, %v at %d: replies differ\nbody %x\ngot  %x\nwant %x", p.stepIndex, request.Operation, request.Timestamp,
			request.Body, got, want)
	}
	candidate, reference := p.candidate.store, p.reference.store
	if candidate.AccountStampMax() != reference.AccountStampMax() || candidate.TransferStampMax() != reference.TransferStampMax() {
		p.t.Fatalf("step %d, %v at %d: newest timestamps are %d and %d, want %d and %d", p.stepIndex, request.Operation, request.Timestamp,
			candidate.AccountStampMax(), candidate.TransferStampMax(), reference.AccountStampMax(), reference.TransferStampMax())
	}
	gotAtNs, gotOrdinal, gotOk := candidate.ExpiryFirst()
	wantAtNs, wantOrdinal, wantOk := reference.ExpiryFirst()
	if gotAtNs != wantAtNs && wantOk || gotOrdinal != wantOrdinal && wantOk || gotOk != wantOk {
		p.t.Fatalf("step %d, %v at %d: first expiry is %d of %d (%v), want %d of %d (%v)", p.stepIndex, request.Operation, request.Timestamp,
			gotAtNs, gotOrdinal, gotOk, wantAtNs, wantOrdinal, wantOk)
	}
}
