package apply

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/accounting/storetest"
	"ledger/internal/ports"
	"ledger/internal/portstest"
	"ledger/internal/seeded"
	"ledger/stages"
	"ledger/storage"
)

// mishapRun is what one run has left.
type mishapRun struct {
	plan    portstest.Plan
	replies [][]byte
	fault   *storage.Fault
	newest  storage.Checkpoint
	file    *file
}

// runMishap executes the first opsCount prepares with apply and compact, on disks that share one
// plan, until the end or a fault. After a mishap that must lead to a fault it goes on with the
// others.
func runMishap(t *testing.T, seed uint64, mishap portstest.Mishap, messages [][]byte, opsCount int) *mishapRun {
	r := &mishapRun{plan: portstest.Plan{Mishap: mishap}, file: &file{}}
	b, err := newBenchOver(t, tiny(), rand.New(rand.NewPCG(seed, 0)), r.file, storage.Checkpoint{}, func(d ports.Disk) ports.Disk {
		return portstest.NewMishapDisk(d, &r.plan)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.stop()
	for i, message := range messages {
		if i >= opsCount && !(r.plan.Happened && !mayMend(mishap)) {
			break
		}
		replies := b.commit(message, true)
		if b.fault != nil {
			break
		}
		r.replies = append(r.replies, replies)
	}
	// What was planned is written, or has met the fault.
	for turns := 0; b.fault == nil && !b.apply.Settled(); turns++ {
		if turns > 100_000 {
			t.Fatalf("%v: it never settles", mishap)
		}
		b.turn()
	}
	r.newest = b.newest
	if r.fault = b.fault; r.fault == nil {
		return r
	}
	// A stage that has reported a fault says nothing more.
	b.fault, b.committed = nil, stages.ApplyToConsensus{}
	for range 1000 {
		b.turn()
	}
	if b.fault != nil || b.committed.Op != 0 || b.newest != r.newest {
		t.Errorf("%v: after the fault %v: fault %v, op %d, checkpoint %d instead of %d",
			mishap, r.fault, b.fault, b.committed.Op, b.newest.Op, r.newest.Op)
	}
	return r
}

// mayMend tells whether a second try, or time, makes up for a mishap.
func mayMend(m portstest.Mishap) bool {
	isFullStep := m.Kind == portstest.KindAllocate && m.Errno == unix.ENOSPC
	return m.How == portstest.Delay || !m.Lasting && (m.Kind == portstest.KindRead || isFullStep)
}

// Goal: each operation of apply's disk and of compact's may fail, before or after it is done, once
// or for good, be short, or be late. No reply differs from that of a run in which nothing goes
// wrong. A failure is one fault of the right kind, and nothing is said after it; or it is mended
// by a second try, and then the run goes on to its end. A delay changes no byte of the file.
func TestEveryMishap(t *testing.T) {
	random := seeded.Rand(t)
	seed := random.Uint64()
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	var messages [][]byte
	const opsCount = 150
	for range opsCount + 50 {
		message, _ := source.next()
		messages = append(messages, message)
	}
	calm := runMishap(t, seed, portstest.Mishap{}, messages, opsCount)
	if calm.fault != nil || calm.newest.Op == 0 {
		t.Fatalf("without a mishap: fault %v, checkpoint %d", calm.fault, calm.newest.Op)
	}
	faults, mended := 0, 0
	check := func(m portstest.Mishap) {
		r := runMishap(t, seed, m, messages, opsCount)
		if !r.plan.Happened {
			t.Errorf("%v: it did not happen", m)
			return
		}
		for i := range min(len(r.replies), opsCount) {
			if !bytes.Equal(r.replies[i], calm.replies[i]) {
				t.Fatalf("%v: the replies of op %d differ", m, i+1)
			}
		}
		want := storage.FaultDisk
		if m.Errno == unix.ENOSPC {
			want = storage.FaultNoSpace
		}
		switch {
		case (r.fault == nil) != mayMend(m) || r.fault != nil && r.fault.What != want:
			t.Errorf("%v: fault %v after op %d", m, r.fault, len(r.replies))
		case r.fault != nil:
			faults++
		default:
			if mended++; !bytes.Equal(r.file.data, calm.file.data) {
				t.Errorf("%v: the file has other bytes", m)
			}
		}
	}
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
		portstest.Mishaps(calm.plan.Counts, 6, func(portstest.Kind) unix.Errno { return errno }, func(m portstest.Mishap) {
			if errno == unix.ENOSPC && (m.How == portstest.Delay || m.How == portstest.Shorten || m.Kind == portstest.KindRead) {
				return
			}
			check(m)
			if m.How == portstest.Fail {
				m.Lasting = true
				check(m)
			}
		})
	}
	t.Logf("%v operations; %d faults, %d runs went on", calm.plan.Counts, faults, mended)
	if faults == 0 || mended == 0 {
		t.Errorf("%d faults, %d runs went on", faults, mended)
	}
}
