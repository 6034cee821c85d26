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

// runMishap executes the prepares with apply and compact, on disks that share one plan, until the end or a fault.
func runMishap(t *testing.T, seed uint64, mishap portstest.Mishap, messages [][]byte) *mishapRun {
	r := &mishapRun{plan: portstest.Plan{Mishap: mishap}, file: &file{}}
	b, err := newBenchOver(t, tiny(), rand.New(rand.NewPCG(seed, 0)), r.file, storage.Checkpoint{}, func(d ports.Disk) ports.Disk {
		return portstest.NewMishapDisk(d, &r.plan)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.stop()
	for _, message := range messages {
		replies := b.commit(message, true)
		if b.fault != nil {
			break
		}
		r.replies = append(r.replies, replies)
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
		t.Errorf("%v: after the fault %v: fault %v, op %d, checkpoint %d instead of %d", mishap, r.fault, b.fault, b.committed.Op, b.newest.Op, r.newest.Op)
	}
	return r
}

// Goal: each operation of apply's disk and of compact's may fail, before or after it is done, once or for good, be short, or be late.
// No reply differs from that of a run in which nothing goes wrong. A failure is one fault of the right kind, and nothing is said after
// it; or it is mended by a second try, and then the run goes on to its end. A delay changes no byte of the file.
func TestEveryMishap(t *testing.T) {
	random := seeded.Rand(t)
	seed := random.Uint64()
	source := &log{traffic: storetest.New(random, 1_700_000_000_000_000_000), random: random}
	var messages [][]byte
	for range 150 {
		message, _ := source.next()
		messages = append(messages, message)
	}
	calm := runMishap(t, seed, portstest.Mishap{}, messages)
	if calm.fault != nil || calm.newest.Op == 0 {
		t.Fatalf("without a mishap: fault %v, checkpoint %d", calm.fault, calm.newest.Op)
	}
	faults, mended := 0, 0
	check := func(m portstest.Mishap) {
		r := runMishap(t, seed, m, messages)
		if !r.plan.Happened {
			t.Errorf("%v: it did not happen", m)
			return
		}
		for i := range r.replies {
			if !bytes.Equal(r.replies[i], calm.replies[i]) {
				t.Fatalf("%v: the replies of op %d differ", m, i+1)
			}
		}
		want := storage.FaultDisk
		if m.Errno == unix.ENOSPC {
			want = storage.FaultNoSpace
		}
		mayMend := m.How == portstest.Delay || !m.Lasting && (m.Kind == portstest.KindRead || m.Kind == portstest.KindAllocate && m.Errno == unix.ENOSPC)
		switch {
		case r.fault == nil && len(r.replies) != len(calm.replies):
			t.Errorf("%v: it ends after op %d", m, len(r.replies))
		case r.fault != nil && (r.fault.What != want || mayMend):
			t.Errorf("%v: fault %v", m, r.fault)
		case r.fault != nil:
			faults++
		case !mayMend && r.newest.Op == calm.newest.Op:
			t.Errorf("%v: no fault, and the last checkpoint is written", m)
		default:
			if mended++; mayMend && !bytes.Equal(r.file.data, calm.file.data) {
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
