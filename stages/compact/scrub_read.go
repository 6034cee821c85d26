package compact

import (
	"ledger/internal/assert"
	"ledger/internal/ports"
	"ledger/storage"
	"ledger/storage/block"
)

// scrubRead begins to read the block.
func (s *Stage) scrubRead(repeated int) {
	s.scrub.repeated = repeated
	s.scrub.reads.begin(&s.geometry)
	s.scrubReadPages()
}

func (s *Stage) scrubReadPages() {
	c := &s.scrub
	c.state = scrubReading
	s.act(Action{Kind: ActionRead, Tag: tagScrub, OffsetBytes: c.gridAt + c.geometry.Offset(c.block.Address, 0), Buffer: c.wanted()})
}

// wanted is the memory of the pages to read: the used ones, if their number is known.
func (c *scrubber) wanted() []byte {
	if c.block.IsTrailer {
		return c.buffer[:c.reads.pages*c.geometry.PageBytes]
	}
	return c.buffer[:uint32(c.block.PagesUsed)*c.geometry.PageBytes]
}

// onScrubRead: the read has ended.
func (s *Stage) onScrubRead(completion ports.DiskCompletion, nowNs uint64) {
	c := &s.scrub
	assert.That(c.state == scrubReading, "a read of the scrubber that ended was under way")
	c.result, c.page, c.state = completion.Result, 0, scrubChecking
	c.sample.Bytes += uint64(max(c.result, 0))
	if c.block.IsTrailer && c.reads.next(&c.geometry, c.buffer, c.result, c.block.Ref, c.cluster) {
		s.scrubReadPages()
		return
	}
	s.scrubCheck(nowNs)
}

// scrubCheck verifies some pages.
func (s *Stage) scrubCheck(nowNs uint64) {
	c := &s.scrub
	if c.result < 0 {
		s.scrubBad(0, "the block cannot be read", -c.result)
		return
	}
	size := c.geometry.PageBytes
	read := uint32(c.result) / size // whole pages
	header := block.HeaderPage(c.buffer[:size])
	for range scrubPages {
		if c.page >= read {
			s.scrubBad(c.page, "the file ends before the page", 0)
			return
		}
		reason := ""
		if c.page == 0 {
			reason = block.VerifyHeader(&c.geometry, header, c.block.Ref, c.cluster)
		} else {
			reason = block.VerifyPage(header, c.page, c.buffer[c.page*size:][:size])
		}
		if reason != "" {
			s.scrubBad(c.page, reason, 0)
			return
		}
		if c.page++; c.page == header.PagesUsed() {
			s.scrubRight(nowNs)
			return
		}
	}
}

// scrubBad reads a block that is wrong again, or asks whether it is in use.
func (s *Stage) scrubBad(page uint32, reason string, errno int32) {
	c := &s.scrub
	if c.repeated < scrubRepeats {
		s.scrubRead(c.repeated + 1)
		return
	}
	c.finding = storage.Finding{Zone: storage.ZoneGrid, Block: c.block, Page: page, Reason: reason, Errno: errno}
	c.request.Block = c.block
	s.scrubAsk(storage.ScrubIsLive)
	c.state = scrubJudging
}
