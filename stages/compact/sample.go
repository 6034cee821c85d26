package compact

import (
	"ledger/metrics"
	"ledger/storage"
	"ledger/storage/merge"
)

// Sample is what the stage tells about itself: what happened since the start, and where it stands.
type Sample struct {
	merge.Statistics
	JobNs       metrics.Histogram // from a job's begin until its blocks are written
	TrailersNs  metrics.Histogram // of a checkpoint: writing its trailers
	SyncNs      metrics.Histogram // of a checkpoint: the fdatasync behind them
	JobsWaiting uint64            // that the worker has, the one under way included
	GridBytes   uint64            // of the grid zone that this worker knows to have disk space
	// TreeBytes are those of the tables that jobs have written, by tree and kind of job; trailers are
	// in BytesWritten alone.
	TreeBytes [storage.TreesCount]TreeBytes
}

// TreeBytes are what was written for one tree.
type TreeBytes struct{ Flushed, Merged uint64 }

// measures are the part of Sample that is counted where it happens.
type measures struct {
	nowNs             uint64 // of this step
	checkpointBeganNs uint64
	jobNs             metrics.Histogram
	trailersNs        metrics.Histogram
	syncNs            metrics.Histogram
	treeBytes         [storage.TreesCount]TreeBytes
}

// note counts what a job has written.
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

// Sample fills out. On the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	m := &s.measures
	out.Statistics = s.Statistics()
	out.JobNs, out.TrailersNs, out.SyncNs = m.jobNs, m.trailersNs, m.syncNs
	out.TreeBytes = m.treeBytes
	out.JobsWaiting, out.GridBytes = uint64(s.tasksCount), s.grownBytes
}
