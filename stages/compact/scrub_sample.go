package compact

import "ledger/storage"

// ScrubSample is the scrubber's figures of the grid.
type ScrubSample struct {
	PeriodNs   uint64 // 0: the scrubber is off
	Address    uint64 // of the table that was read last, in the order of the pass
	AddressMax uint64
	Passes     uint64 // that ended since the start
	Blocks     uint64 // read since the start
	Bytes      uint64
	Findings   uint64 // since the start; damage that a later pass finds again counts again
	Repaired   uint64 // of these, blocks that were written again, or read right later
	Damaged    uint64 // blocks that are damaged now, as far as is known
}

// sampleScrub returns the figures.
func (s *Stage) sampleScrub() ScrubSample {
	sample := s.scrub.sample
	sample.Damaged = s.scrub.found.count()
	return sample
}

// scrubRepaired notes that a block was written again.
func (s *Stage) scrubRepaired(ref storage.Ref) {
	if c := &s.scrub; c.found.close(ref) {
		c.sample.Repaired++
	}
}
