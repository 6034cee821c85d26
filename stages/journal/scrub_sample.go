package journal

import "ledger/storage"

// ScrubSample is the scrubber's figures of the superblock and the log.
type ScrubSample struct {
	PeriodNs uint64 // 0: the scrubber is off
	Place    uint64 // of Places: the copies of the superblock and the slots of the log
	Places   uint64
	Passes   uint64 // that ended since the start
	Bytes    uint64 // read since the start
	Findings [storage.ZonesCount]uint64
	Repaired uint64                     // of these, places that were written again, or read right later
	Damaged  [storage.ZonesCount]uint64 // places that are damaged now, as far as is known
}

// sampleScrub returns the figures.
func (s *Stage) sampleScrub() ScrubSample {
	c := &s.scrub
	sample := c.sample
	sample.Place = c.place
	for place, isDamaged := range c.found {
		if isDamaged {
			zone := storage.ZoneLog
			if s.isCopy(uint64(place)) {
				zone = storage.ZoneSuperblock
			}
			sample.Damaged[zone]++
		}
	}
	return sample
}
