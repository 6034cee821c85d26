package admin

import (
	"bytes"
	"os"
	runtimemetrics "runtime/metrics"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ledger/metrics"
	"ledger/replica"
	"ledger/stages"
	"ledger/stages/apply"
	"ledger/stages/compact"
	"ledger/storage"
	"ledger/storage/forest/levels"
)

// WaitMax is the time for which a collection waits for the stage threads. It is longer than any
// turn and shorter than the time limit of any scraper.
const WaitMax = 250 * time.Millisecond

// Source is a running server.
type Source interface {
	// Sample fills out; see replica.Server.
	Sample(out *replica.Sample, timeout time.Duration)
	// Away is the reason why one of several replicas does not serve clients now, or "".
	Away() string
	Healing() string // what it gets from other replicas, or ""
}

// snapshot is all data of a page, of one moment.
type snapshot struct {
	replica.Sample
	waitNs    uint64
	ready     bool
	version   string
	pageBytes uint64
	process   process
}

// eachStage visits the stages, and each worker of compact, with their threads, in order of threads.
func (s *snapshot) eachStage(visit func(t *replica.ThreadSample, stage int, name string)) {
	for i := range s.Threads {
		for _, number := range s.Threads[i].Stages {
			visit(&s.Threads[i], min(number, stages.Compact), stages.NameOf(number))
		}
	}
}

// sumOfWorkers adds up a figure of compact's workers.
func (s *snapshot) sumOfWorkers(value func(w *compact.Sample) uint64) (sum uint64) {
	for i := range s.Compact {
		sum += value(&s.Compact[i])
	}
	return sum
}

// treeBytes adds up what compact's workers have written for a tree.
func (s *snapshot) treeBytes(id storage.TreeID) (sum compact.TreeBytes) {
	for i := range s.Compact {
		bytes := &s.Compact[i].TreeBytes[id]
		sum.Flushed, sum.Merged = sum.Flushed+bytes.Flushed, sum.Merged+bytes.Merged
	}
	return sum
}

// checkpoints is the sample of the worker that writes the checkpoints.
func (s *snapshot) checkpoints() *compact.Sample {
	if len(s.Compact) == 0 {
		return &compact.Sample{} // nothing is known yet
	}
	return &s.Compact[0]
}

// eachTime visits the histograms: of a request's way, of bars and of checkpoints.
func (s *snapshot) eachTime(visit func(name string, h *metrics.Histogram)) {
	visit("net: receive", &s.Net.ReceiveNs)
	visit("net: send", &s.Net.SendNs)
	visit("request: service", &s.Consensus.ServiceNs)
	visit("request: queue", &s.Consensus.QueueNs)
	visit("journal: write", &s.Journal.WriteNs)
	visit("journal: superblock", &s.Journal.SuperblockNs)
	visit("execute: queue", &s.Apply.QueueNs)
	for class := range s.Apply.ExecuteNs {
		visit("execute: "+apply.ClassNames[class], &s.Apply.ExecuteNs[class])
	}
	for barrier := range s.Apply.BarrierNs {
		visit("barrier: "+apply.BarrierNames[barrier], &s.Apply.BarrierNs[barrier])
	}
	visit("compact: generation", &s.Apply.GenerationNs)
	for worker := range s.Compact {
		visit(stages.NameOf(stages.Compact+worker)+": job", &s.Compact[worker].JobNs)
	}
	visit("checkpoint: whole", &s.Apply.CheckpointNs)
	visit("checkpoint: trailers", &s.checkpoints().TrailersNs)
	visit("checkpoint: sync", &s.checkpoints().SyncNs)
}

// eachTree visits the trees.
func (s *snapshot) eachTree(visit func(id storage.TreeID, t *levels.TreeCounters)) {
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ { // the log of transfers is no tree
		visit(id, &s.Apply.Forest.Trees[id])
	}
}

// eachDiskKind visits the kinds of use of the disk.
func (s *snapshot) eachDiskKind(visit func(kind string, bytes uint64)) {
	visit("log_write", s.Journal.BytesWritten)
	visit("log_read", s.Journal.BytesRead)
	visit("superblock_write", s.Journal.SuperblockBytes)
	visit("grid_write", s.sumOfWorkers(func(w *compact.Sample) uint64 { return w.BytesWritten }))
	visit("compact_read", s.sumOfWorkers(func(w *compact.Sample) uint64 { return w.BytesRead }))
	visit("apply_read", s.Apply.Grid.Reads*s.pageBytes)
}

// levelsCount is the largest number of levels of any tree, at least one.
func (s *snapshot) levelsCount() int {
	count := 1
	s.eachTree(func(_ storage.TreeID, t *levels.TreeCounters) {
		for level, runs := range t.Runs {
			if runs > 0 {
				count = max(count, level+1)
			}
		}
	})
	return count
}

// take renews the snapshot.
func (s *snapshot) take(source Source, startedAt time.Time) {
	began := time.Now()
	source.Sample(&s.Sample, WaitMax)
	s.waitNs = uint64(time.Since(began))
	s.process.take()
	s.process.upNs = uint64(time.Since(startedAt))
}

// process is figures of the kernel and of the Go runtime.
type process struct {
	residentBytes, cpuNs, upNs                           uint64
	goBytes, heapBytes, objects, collections, goroutines uint64
}

func (p *process) take() {
	samples := []runtimemetrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/allocs:objects"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/heap/released:bytes"},
	}
	runtimemetrics.Read(samples)
	releasedBytes := uint64(0)
	for i, to := range []*uint64{&p.goBytes, &p.heapBytes, &p.objects, &p.collections, &p.goroutines, &releasedBytes} {
		if samples[i].Value.Kind() == runtimemetrics.KindUint64 {
			*to = samples[i].Value.Uint64()
		}
	}
	p.goBytes -= min(releasedBytes, p.goBytes) // as the limit of the Go runtime counts
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) == nil {
		p.cpuNs = uint64(usage.Utime.Nano() + usage.Stime.Nano())
	}
	// "size resident ...", in pages.
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(text); len(fields) > 1 {
			if pages, err := strconv.ParseUint(string(fields[1]), 10, 64); err == nil {
				p.residentBytes = pages * uint64(os.Getpagesize())
			}
		}
	}
}
