package compact

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/internal/portstest"
	"ledger/internal/seeded"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/block"
)

// mishapRun is what one run of the scenario below has left: what came back in order of its being
// given, and the file.
type mishapRun struct {
	plan   portstest.Plan
	first  *storage.Generation // flushes
	next   *storage.Generation // a merge of what the first flush wrote
	jobs   [2]*storage.CheckpointJob
	data   []byte
	isIdle bool
}

// runMishap flushes a generation, writes a checkpoint of it beside a merge, and then a second
// checkpoint. What is acknowledged as durable is looked at in that moment.
func runMishap(t *testing.T, seed uint64, mishap portstest.Mishap) *mishapRun {
	b := newBench(seed)
	defer b.close()
	r := &mishapRun{plan: portstest.Plan{Mishap: mishap}}
	if mishap.Errno == unix.EOPNOTSUPP {
		b.disk.reserved = uint64(len(b.disk.data)) // writes make the file grow
	}
	b.driver = NewDriver(b.stage, portstest.NewMishapDisk(b.disk, &r.plan), b.requests, stages.Sender[stages.CompactToApply]{Ring: b.results})
	rng := rand.New(rand.NewPCG(seed, 1))
	r.first = generation(rng)
	b.run(t, r.first)
	var content [2][storage.TrailersCount][]byte
	for i := range r.jobs {
		r.jobs[i], content[i] = checkpoint(rng)
		for kind := range r.jobs[i].Addresses {
			for j := range r.jobs[i].Addresses[kind] {
				r.jobs[i].Addresses[kind][j] += uint64(300 * i)
			}
		}
	}
	merge := jobOf(storage.JobMerge, storage.TreeTransferID, 1100, 100)
	merge.Runs, merge.EntriesMax = [][]storage.Table{r.first.Jobs[0].Tables}, 1<<30
	r.next = &storage.Generation{Op: 31, Jobs: []storage.Job{merge}}
	if r.first.Jobs[0].Fault != nil {
		r.next.Jobs = nil // apply has stopped
	}
	b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactCheckpoint, Checkpoint: r.jobs[0]})
	b.give(r.next)
	for range 1 + len(r.next.Jobs) {
		if result := b.result(t); result.Checkpoint != nil {
			r.checkDurable(t, b, 0, &content[0], r.first.Jobs)
		}
	}
	b.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactCheckpoint, Checkpoint: r.jobs[1]})
	b.result(t)
	r.checkDurable(t, b, 1, &content[1], append(r.first.Jobs[:len(r.first.Jobs):len(r.first.Jobs)], r.next.Jobs...))
	r.data, r.isIdle = b.disk.data, b.stage.tasksCount == 0 && b.stage.checkpoint == nil && b.stage.syncing == nil
	return r
}

// checkDurable: if a checkpoint came back without a fault, a loss of power at this moment leaves
// its trailers and all blocks before it.
func (r *mishapRun) checkDurable(t *testing.T, b *bench, index int, content *[storage.TrailersCount][]byte, jobs []storage.Job) {
	t.Helper()
	job := r.jobs[index]
	if job.Fault != nil {
		return
	}
	geometry, l := block.GeometryOf(testLimits()), testLimits()
	buffer := make([]byte, l.BlockBytes)
	for i := range jobs {
		if jobs[i].Fault != nil {
			t.Errorf("%v: checkpoint %d is written, though a job before it has the fault %v", r.plan.Mishap, index, jobs[i].Fault)
			continue
		}
		for _, table := range jobs[i].Tables {
			if fault := block.ReadBlock(file{b.disk.durable}, gridAt, &geometry, cluster, table.Ref, buffer); fault != nil {
				t.Errorf("%v: checkpoint %d is acknowledged: %v", r.plan.Mishap, index, fault)
			}
		}
	}
	for kind := range storage.TrailersCount {
		got := make([]byte, len(content[kind]))
		fault := block.ReadTrailer(file{b.disk.durable}, gridAt, &geometry, cluster, kind, job.Roots[kind], got, buffer, nil)
		if fault != nil || !bytes.Equal(got, content[kind]) {
			t.Errorf("%v: checkpoint %d is acknowledged, its trailer %d is not durable: %v", r.plan.Mishap, index, kind, fault)
		}
	}
}

// faults of the run, in the order in which their work was given.
func (r *mishapRun) faults() (faults []*storage.Fault) {
	for i := range r.first.Jobs {
		faults = append(faults, r.first.Jobs[i].Fault)
	}
	faults = append(faults, r.jobs[0].Fault)
	for i := range r.next.Jobs {
		faults = append(faults, r.next.Jobs[i].Fault)
	}
	return append(faults, r.jobs[1].Fault)
}

// Goal: each read, write, growth and sync may fail, before or after it is done, be short, or be
// late. Everything that is given comes back. A failure is the fault, of the right kind, of what it
// struck and of all that is given later; a checkpoint without a fault is durable with every block
// before it. A read is tried once more, and a growth for which there is no space is tried without
// a reserve: if that succeeds, nothing has happened. A delay changes no byte.
func TestEveryMishap(t *testing.T) {
	seed := seeded.Rand(t).Uint64()
	calm := runMishap(t, seed, portstest.Mishap{})
	for i, fault := range calm.faults() {
		if fault != nil {
			t.Fatalf("without a mishap, item %d has the fault %v", i, fault)
		}
	}
	check := func(m portstest.Mishap) {
		isLate, isGrowth, isRead := m.How == portstest.Delay, m.Kind == portstest.KindAllocate, m.Kind == portstest.KindRead
		r := runMishap(t, seed, m)
		if !r.plan.Happened || !r.isIdle {
			t.Fatalf("%v: happened %v, idle %v", m, r.plan.Happened, r.isIdle)
		}
		if isLate || !m.Lasting && (isRead || isGrowth && m.Errno != unix.EIO) {
			for i, fault := range r.faults() {
				if fault != nil {
					t.Errorf("%v: item %d has the fault %v", m, i, fault)
				}
			}
			if !bytes.Equal(r.data, calm.data) {
				t.Errorf("%v: the file has other bytes", m)
			}
			return
		}
		want := storage.FaultDisk
		if m.Errno == unix.ENOSPC {
			want = storage.FaultNoSpace
		}
		faults := r.faults()
		for i, fault := range faults {
			if fault != nil && fault.What != want {
				t.Errorf("%v: item %d has the fault %v, want one of %q", m, i, fault, want)
			}
		}
		if faults[len(faults)-1] == nil {
			t.Errorf("%v: the last checkpoint has no fault: %v", m, faults)
		}
	}
	runs := 0
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EOPNOTSUPP} {
		portstest.Mishaps(calm.plan.Counts, 20, func(portstest.Kind) unix.Errno { return errno }, func(m portstest.Mishap) {
			isLate, isGrowth, isRead := m.How == portstest.Delay, m.Kind == portstest.KindAllocate, m.Kind == portstest.KindRead
			if errno != unix.EIO && (isLate || m.How == portstest.Shorten || isRead) ||
				errno == unix.EOPNOTSUPP && !isGrowth {
				return
			}
			runs++
			if m.How == portstest.Fail && errno != unix.EOPNOTSUPP {
				lasting := m
				lasting.Lasting = true
				check(lasting)
			}
			check(m)
		})
	}
	if runs < 100 && !testing.Short() {
		t.Errorf("only %d runs", runs)
	}
}
