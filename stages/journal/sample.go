package journal

import "ledger/metrics"

// Sample is the stage's figures since the start.
type Sample struct {
	AppendsCount     uint64
	BytesWritten     uint64 // of the log: prepares and their twins, whole sectors
	ReadsCount       uint64
	TwinReadsCount   uint64 // of these, reads that the twin answered, because the copy in the log was not right
	BytesRead        uint64
	SuperblocksCount uint64
	SuperblockBytes  uint64
	WriteNs          metrics.Histogram // of an append: from the request until the prepare and its twin are durable
	SuperblockNs     metrics.Histogram // until the copies were written and read back
	Scrub            ScrubSample
}

// measures is the part of Sample that only the metrics need.
type measures struct {
	nowNs             uint64 // of this turn
	superblockBeganNs uint64
	sample            Sample
}

// Sample fills out. To be called on the stage's thread, between two turns.
func (s *Stage) Sample(out *Sample) {
	*out = s.measures.sample
	out.AppendsCount, out.BytesWritten = s.AppendsCount, s.BytesWritten
	out.Scrub = s.sampleScrub()
}
