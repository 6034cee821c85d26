package apply

import (
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/storage"
)

// queueShareDivisor bounds the queue of a worker. A worker with two jobs or more gets another one
// only while its jobs are together less than 1/queueShareDivisor of the generation's bytes. A
// queued job lets the worker go on without a gap. The bound keeps the load balanced: a worker with
// a long queue would finish last.
const queueShareDivisor = 8

// behindOf8 is the target time of a generation: it should be done when behindOf8 eighths of the
// next bar's ops have been executed. Then the end of the bar does not wait for it.
const behindOf8 = 6

// freeOf8 is the grace at the beginning of a bar: no op waits for the generation in the first
// freeOf8 eighths of the bar's ops.
const freeOf8 = 2

// dealer schedules the jobs of a generation on the workers of compact. It uses longest processing
// time first: the longest job goes to the worker with the fewest bytes to do.
//
// The first worker gets all jobs as long as it keeps up with the ops of the bar. Cores may be
// shared, and the other threads need them more than a bar that has time. When the first worker
// falls behind, jobs go to all workers.
//
// The schedule does not affect the data file. Results are installed in the order of the plan, at
// addresses that were reserved in that order.
type dealer struct {
	generation *storage.Generation     // the generation whose jobs are dealt; nil: none
	order      [storage.JobsMax]uint16 // indexes of jobs, the longest first
	bytes      [storage.JobsMax]uint64 // bytes of each job, in the order of the plan
	dealtCount int                     // jobs given to workers: the first of order
	backCount  int                     // jobs of these that workers have finished
	beganOp    uint64
	beganNs    uint64
	bytesAll   uint64 // bytes of all jobs
	bytesDealt uint64 // bytes of the jobs in dealtCount
	bytesBack  uint64 // bytes of the jobs in backCount
	loads      []load // one per worker
}

// load is the work that a worker has been given and has not finished.
type load struct {
	jobsCount int
	bytes     uint64
}

// begin takes a generation and sorts its jobs, the longest first.
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

// isIdle tells whether no worker has a job.
func (d *dealer) isIdle() bool { return d.generation == nil || d.backCount == d.dealtCount }

// isBack tells whether all jobs of the generation are finished.
func (d *dealer) isBack() bool { return d.generation == nil || d.backCount == len(d.generation.Jobs) }

// workOf estimates the bytes of keys, values and rows that a job handles. A byte takes about 2 ns.
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

// isBehind tells whether the generation is late for its target (behindOf8). A job that a worker has
// and has not finished counts as half done.
func (d *dealer) isBehind(op, barOps uint64) bool {
	return (d.bytesBack+d.bytesDealt)/2*barOps*behindOf8 < d.bytesAll*(op-d.beganOp)*8
}

// holdsUp tells whether the ops of the bar should wait for the generation. The generation may lag
// by freeOf8 eighths of a bar at the beginning. The allowed lag shrinks evenly to zero at the bar's
// end.
func (d *dealer) holdsUp(op, barOps uint64) bool {
	ops, free := op-d.beganOp, barOps*freeOf8/8
	return !d.isBack() && ops > free && d.bytesBack*(barOps-free) < d.bytesAll*(ops-free)
}

// deal gives jobs to workers as long as the dealer's rules allow. It is called when a generation
// begins, when a worker finishes a job, and after every op.
func (s *Stage) deal() {
	d := &s.dealer
	for d.generation != nil && !s.closing && d.dealtCount < len(d.generation.Jobs) {
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
		if l.jobsCount >= 2 && l.bytes >= d.bytesAll/queueShareDivisor {
			return
		}
		job := d.order[d.dealtCount]
		d.dealtCount++
		l.jobsCount++
		l.bytes += d.bytes[job]
		d.bytesDealt += d.bytes[job]
		s.out.Compact[worker] = append(s.out.Compact[worker], stages.ApplyToCompact{Kind: stages.CompactJob, Job: &d.generation.Jobs[job]})
	}
}

// onJob takes back a job that a worker has run. The job's blocks are written.
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

// dealCheckpoint gives a checkpoint to the first worker. All blocks that the checkpoint names are
// written by then, by any worker. The first worker's sync covers the whole file.
func (s *Stage) dealCheckpoint(job *storage.CheckpointJob) {
	assert.That(s.dealer.isBack(), "the blocks of a checkpoint are written before its trailers")
	s.dealer.loads[0].bytes += s.checkpointBytes(job)
	s.out.Compact[0] = append(s.out.Compact[0], stages.ApplyToCompact{Kind: stages.CompactCheckpoint, Checkpoint: job})
}

func (s *Stage) checkpointBytes(job *storage.CheckpointJob) (bytes uint64) {
	for kind := range job.Addresses {
		bytes += uint64(len(job.Addresses[kind])) * uint64(s.limits.BlockBytes)
	}
	return bytes
}
