package apply

import (
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/storage"
)

// A worker that has two jobs gets another if they are less than this part of the generation together: the next one lies ready when
// one ends, and still the last to end is not the one that was given too much.
const dealAheadOf = 8

// A generation should be done when behindOf8 eighths of the next bar have been executed; then the end of the bar need not wait.
const behindOf8 = 6

// A generation may begin freeOf8 eighths of a bar late before ops wait for it.
const freeOf8 = 2

// dealer gives the jobs of a generation to the workers of compact: the longest first, each to the worker that has least to do. The
// first worker has them all, unless it falls behind the ops of the bar: cores may be shared, and a bar that has time leaves them to
// others. Who runs a job, and when, shows nowhere: results are installed in the order of the plan, at addresses that were reserved in
// that order.
type dealer struct {
	generation *storage.Generation // out; nil: none
	order      [storage.JobsMax]uint16
	bytes      [storage.JobsMax]uint64 // of each job, in the order of the plan
	dealtCount int
	backCount  int
	beganOp    uint64
	beganNs    uint64
	bytesAll   uint64
	bytesDealt uint64
	bytesBack  uint64
	loads      []load // of the workers
}

// load is what a worker has been given and has not given back.
type load struct {
	jobsCount int
	bytes     uint64
}

// begin takes a generation and puts its jobs in order.
func (d *dealer) begin(generation *storage.Generation, op, nowNs uint64) {
	assert.That(d.generation == nil, "one generation is out at a time")
	d.generation, d.dealtCount, d.backCount, d.beganOp, d.beganNs = generation, 0, 0, op, nowNs
	d.bytesAll, d.bytesDealt, d.bytesBack = 0, 0, 0
	for i := range generation.Jobs {
		bytes := workOf(&generation.Jobs[i])
		d.bytes[i] = bytes
		d.bytesAll += bytes
		at := i
		for ; at > 0 && d.bytes[d.order[at-1]] < bytes; at-- {
			d.order[at] = d.order[at-1]
		}
		d.order[at] = uint16(i)
	}
}

// isBack tells whether no job is out.
func (d *dealer) isBack() bool { return d.generation == nil || d.backCount == len(d.generation.Jobs) }

// workOf is about how many bytes of keys, values and rows a job handles; one takes some 2 ns.
func workOf(job *storage.Job) uint64 {
	const rowBytes = 48 // packed
	switch job.Kind {
	case storage.JobFlushRows:
		return uint64(job.Source.RowsCount()) * rowBytes
	case storage.JobFlushTree:
		return uint64(job.Source.EntriesCount(job.Tree)) * entryBytes(job.Tree)
	default:
		return job.EntriesMax * entryBytes(job.Tree)
	}
}

func entryBytes(tree storage.TreeID) uint64 {
	spec := &storage.Trees[tree]
	return uint64(spec.KeyBytes) + uint64(spec.ValueBytes)
}

// isBehind tells whether the generation may not be done at the end of the bar. What is out counts as half done.
func (d *dealer) isBehind(op, barOps uint64) bool {
	return (d.bytesBack+d.bytesDealt)/2*barOps*behindOf8 < d.bytesAll*(op-d.beganOp)*8
}

// holdsUp tells whether the ops of the bar should wait for the generation: it may be behind them by freeOf8 eighths of a bar at the
// beginning, and by nothing at the end.
func (d *dealer) holdsUp(op, barOps uint64) bool {
	ops, free := op-d.beganOp, barOps*freeOf8/8
	return !d.isBack() && ops > free && d.bytesBack*(barOps-free) < d.bytesAll*(ops-free)
}

// deal gives out what can be given out: at the beginning, when a job comes back, and after every op.
func (s *Stage) deal() {
	d := &s.dealer
	for d.generation != nil && d.dealtCount < len(d.generation.Jobs) {
		worker, workersCount := 0, 1
		if d.isBehind(s.op, uint64(s.limits.BarOps)) {
			workersCount = len(d.loads)
		}
		for i := range d.loads[:workersCount] {
			if d.loads[i].bytes < d.loads[worker].bytes {
				worker = i
			}
		}
		l := &d.loads[worker]
		if l.jobsCount >= 2 && l.bytes >= d.bytesAll/dealAheadOf {
			return
		}
		job := d.order[d.dealtCount]
		d.dealtCount++
		l.jobsCount++
		l.bytes += d.bytes[job]
		d.bytesDealt += d.bytes[job]
		s.out.Compact[worker] = append(s.out.Compact[worker], stages.ApplyToCompact{Job: &d.generation.Jobs[job]})
	}
}

// onJob: a worker has run a job, and its blocks are written.
func (s *Stage) onJob(job *storage.Job, worker int) {
	d := &s.dealer
	assert.That(!d.isBack(), "a job that comes back was out")
	l := &d.loads[worker]
	l.jobsCount--
	bytes := workOf(job)
	l.bytes -= bytes
	d.bytesBack += bytes
	if d.backCount++; d.isBack() {
		s.measures.generationNs.Record(s.nowNs - d.beganNs)
	}
	s.deal()
}

// dealCheckpoint gives a checkpoint to the first worker: all blocks that it names are written, and its sync covers the file.
func (s *Stage) dealCheckpoint(job *storage.CheckpointJob) {
	assert.That(s.dealer.isBack(), "the blocks of a checkpoint are written before its trailers")
	s.dealer.loads[0].bytes += s.checkpointBytes(job)
	s.out.Compact[0] = append(s.out.Compact[0], stages.ApplyToCompact{Checkpoint: job})
}

func (s *Stage) checkpointBytes(job *storage.CheckpointJob) (bytes uint64) {
	for kind := range job.Addresses {
		bytes += uint64(len(job.Addresses[kind])) * uint64(s.limits.BlockBytes)
	}
	return bytes
}
