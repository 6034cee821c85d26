package compact

import (
	"ledger/metrics"
	"ledger/storage/merge"
)

// Sample is what the stage tells about itself: what happened since the start, and where it stands.
type Sample struct {
	merge.Statistics
	GenerationNs metrics.Histogram // from the arrival of a generation until all its blocks are written
	TrailersNs   metrics.Histogram // of a checkpoint: writing its trailers
	SyncNs       metrics.Histogram // of a checkpoint: the fdatasync behind them
	JobsWaiting  uint64            // of the generation under way, those not begun included
	GridBytes    uint64            // of the grid zone that have disk space reserved since the start
}

// measures are the part of Sample that is counted where it happens.
type measures struct {
	nowNs             uint64 // of this step
	generationBeganNs uint64
	checkpointBeganNs uint64
	generationNs      metrics.Histogram
	trailersNs        metrics.Histogram
	syncNs            metrics.Histogram
}

// Sample fills out. On the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	m := &s.measures
	out.Statistics = s.Statistics()
	out.GenerationNs, out.TrailersNs, out.SyncNs = m.generationNs, m.trailersNs, m.syncNs
	out.JobsWaiting, out.GridBytes = 0, s.grownBytes
	if s.generation != nil {
		out.JobsWaiting = uint64(len(s.generation.Jobs))
	}
}
