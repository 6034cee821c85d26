package compact

import (
	"ledger/metrics"
	"ledger/storage"
	"ledger/storage/merge"
)

// Sample is the stage's figures: counts since the start, and its current state.
type Sample struct {
	merge.Statistics
	JobNs       metrics.Histogram // from the beginning of a job until its blocks are written
	TrailersNs  metrics.Histogram // of a checkpoint: writing its trailers
	SyncNs      metrics.Histogram // of a checkpoint: the fdatasync behind them
	JobsWaiting uint64            // jobs that the worker has, including the current one
	GridBytes   uint64            // bytes of the grid zone for which this worker knows that there is disk space
	// TreeBytes are the bytes of the tables that jobs have written, by tree and kind of job.
	// Trailers are only in BytesWritten.
	TreeBytes [storage.TreesCount]TreeBytes
	Scrub     ScrubSample // of the first worker
}

// TreeBytes are the bytes written for one tree.
type TreeBytes struct{ Flushed, Merged uint64 }

// measures is the part of Sample that is counted where it happens.
type measures struct {
	nowNs             uint64 // of this step
	checkpointBeganNs uint64
	jobNs             metrics.Histogram
	trailersNs        metrics.Histogram
	syncNs            metrics.Histogram
	treeBytes         [storage.TreesCount]TreeBytes
}

// note counts the bytes that a job has written.
func (m *measures) note(job *storage.Job, pageBytes uint32) {
	for i := range job.Tables {
		table := &job.Tables[i]
		to := &m.treeBytes[table.Tree].Flushed
		if job.Kind == storage.JobMerge {
			to = &m.treeBytes[table.Tree].Merged
		}
		*to += uint64(table.PagesUsed) * uint64(pageBytes)
	}
}

// Sample fills out. To be called on the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	m := &s.measures
	out.Statistics = s.Statistics()
	out.JobNs, out.TrailersNs, out.SyncNs = m.jobNs, m.trailersNs, m.syncNs
	out.TreeBytes = m.treeBytes
	out.JobsWaiting, out.GridBytes = uint64(s.tasksCount), s.grownBytes
	out.Scrub = s.sampleScrub()
}
