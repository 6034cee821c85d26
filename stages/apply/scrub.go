package apply

import (
	"ledger/internal/assert"
	"ledger/stages"
	"ledger/storage"
)

// scrubEvery: while ops wait, one step in scrubEvery looks for blocks for the scrubber.
const scrubEvery = 8

// scrubs is what the scrubber, which is in the first worker of compact, has asked.
type scrubs struct {
	request *storage.Scrub // nil: nothing
	steps   uint64
}

func (s *Stage) onScrub(request *storage.Scrub) {
	assert.That(s.scrubs.request == nil, "the scrubber asks one thing at a time")
	s.scrubs.request = request
}

// scrub answers the scrubber as soon as it can. more: it could go on at once.
func (s *Stage) scrub() (more bool) {
	r := s.scrubs.request
	if r == nil {
		return false
	}
	switch {
	case !s.isOpen || s.faulted || s.closing:
		r.Answer = storage.ScrubLater
		if r.Asks == storage.ScrubIsLive {
			r.Answer = storage.ScrubGone
		}
	case r.Asks == storage.ScrubIsLive:
		r.Answer = storage.ScrubGone
		if s.forest.ScrubIsLive(&r.Block) {
			// A block that a state sync has not fetched yet is missing, and nobody has damaged it.
			if r.Answer = storage.ScrubLive; s.walk.opMax > 0 {
				r.Answer = storage.ScrubWanted
			}
			s.wantScrubbed(r.Block.Ref)
		}
	default:
		if s.scrubs.steps++; (s.more || s.commitsCount > 0) && s.scrubs.steps%scrubEvery != 0 {
			return false // the ops make that there is a next step
		}
		if !s.scrubNext(r) {
			return true
		}
	}
	s.scrubs.request = nil
	s.out.Compact[0] = append(s.out.Compact[0], stages.ApplyToCompact{Kind: stages.CompactScrub, Scrub: r})
	return false
}

// scrubNext finds the next block, or goes on to look for it. It tells whether there is an answer.
func (s *Stage) scrubNext(r *storage.Scrub) (done bool) {
	f := s.forest
	r.BlocksCount, r.AddressMax = f.BlocksInUse(), f.BlocksHigh()
	if r.Trailer < storage.TrailersCount && !s.checkpointOut { // a checkpoint that is being written has no roots yet
		if block, ok := f.ScrubTrailer(r.Trailer); ok {
			r.Block, r.Answer = block, storage.ScrubFound
			return true
		}
	}
	after := r.After
	if r.FromOf65536 > 0 {
		after = r.AddressMax * uint64(r.FromOf65536) >> 16
	}
	block, answer := f.ScrubTable(after)
	if answer == storage.ScrubLater {
		f.ScrubStep()
		return false
	}
	r.Block, r.Answer = block, answer
	return true
}
