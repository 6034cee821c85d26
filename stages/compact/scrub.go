package compact

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/wire"
)

// The pace of the scrubber. A pass reads every block in use once, evenly spread over the period.
// ScrubBytesPerSecond bounds it all the same. With many bytes, a pass then takes longer than the
// period.
const (
	// ScrubBytesPerSecond leaves 1 MB/s of 10 for the log (package journal).
	ScrubBytesPerSecond = 9_000_000
	// scrubBlocksMin: a grid with fewer blocks is paced as if it had as many, because it may grow.
	scrubBlocksMin = 16
	// scrubLaterNs is the longest time after which a stage that could not answer is asked again.
	scrubLaterNs = 1_000_000_000
	// scrubRepeats is how often a read that has brought wrong bytes, or an error, is repeated before
	// it counts. A read may fail once although the medium is right.
	scrubRepeats = 2
	// scrubPages are verified in a step: 50 to 100 µs.
	scrubPages = 8
	// scrubNamesBytes is room for the names of a trailer's blocks with any sessions. A trailer with
	// more is read as far as its names are known.
	scrubNamesBytes = 64 << 10
)

type scrubState uint8

const (
	scrubWaiting  scrubState = iota // until dueNs, and for an idle worker
	scrubAsking                     // request is with apply: for the next block
	scrubReading                    // the disk fills the buffer
	scrubChecking                   // pages are verified
	scrubJudging                    // request is with apply: is the block that is wrong in use?
)

// scrubber reads every block of the grid at a pace, and verifies what nobody has needed for long.
// It belongs to the first worker.
//
//	apply                          scrubber                  disk
//	  |<-- which block is next? -----| (when it is time)
//	  |--- its Ref ----------------->|--- read ---------------->|
//	  |                              |<-------------------------|
//	  |                              | verify every used page
//	  |<-- is it still in use? ------| only if the block is wrong, again and again
//	  |--- yes --------------------->| a finding
//
// A block may be freed while it is read, and its address may get another one. So a block that is
// wrong is a finding only if apply still knows it by the same Ref, without a gap since it was
// asked.
//
// It yields to the worker's other work: a read that is due waits while the worker has any, at most
// until the next one is due. Under steady load a pass therefore takes the
// period all the same. A pass takes longer if the file is so large that the bound of bytes per
// second counts, and then up to twice as long under steady load.
type scrubber struct {
	periodNs uint64 // of a pass; 0: off
	geometry block.Geometry
	cluster  wire.U128
	gridAt   uint64
	buffer   []byte
	names    []byte

	state   scrubState
	dueNs   uint64 // when the next read begins, if the worker is idle; 0: not yet set
	freeNs  uint64 // not before: the bound of bytes per second
	request storage.Scrub
	isFirst bool // pass: it begins in the middle, where the wall clock says that a pass would be

	// The block that is being read.
	block    storage.ScrubBlock
	repeated int
	reads    narrowing // of a trailer's block
	result   int32
	page     uint32 // to be verified next
	finding  storage.Finding

	// The trailer whose blocks are being read; index at Blocks: none.
	trailer block.TrailerReader
	root    storage.ScrubBlock
	index   uint64

	found  findings
	sample ScrubSample
}

// Scrub switches the scrubber on. It is called once, right after New, for the first worker.
//
// periodNs:    of a pass.
// fromOf65536: where the first pass begins, so that a server that is often restarted also reads the
// end of its file.
func (s *Stage) Scrub(l *limits.Limits, cluster wire.U128, periodNs uint64, fromOf65536 uint32, memory *arena.Arena) {
	assert.That(periodNs > 0, "a scrubber that is on has a period")
	c := &s.scrub
	*c = scrubber{periodNs: periodNs, geometry: s.geometry, cluster: cluster, gridAt: s.gridAt, isFirst: true}
	c.buffer = memory.Bytes(uint64(l.BlockBytes), 4096, "scrubber")
	c.names = memory.Bytes(max(scrubNamesBytes, uint64(l.PageBytes)), 8, "scrubber")
	c.request.FromOf65536 = fromOf65536
	if fromOf65536 > 0 {
		c.request.Trailer = storage.TrailersCount
	}
	c.sample.PeriodNs = periodNs
}

// interval is the time between the beginnings of two reads.
func (c *scrubber) interval() uint64 {
	return max(c.periodNs/max(c.request.BlocksCount, scrubBlocksMin), 1)
}

// startNs is when the next read begins. isBusy: the worker has other work.
func (c *scrubber) startNs(isBusy bool) uint64 {
	if isBusy {
		return max(c.dueNs+c.interval(), c.freeNs)
	}
	return max(c.dueNs, c.freeNs)
}

// scrubNextNs is when the scrubber wants a turn although nothing happens.
func (s *Stage) scrubNextNs() uint64 {
	if c := &s.scrub; c.periodNs > 0 && c.state == scrubWaiting {
		return c.startNs(s.isBusy())
	}
	return stages.NoTurn
}

// isBusy tells whether the worker has anything else to do: a job, a checkpoint, or a block of
// another replica.
func (s *Stage) isBusy() bool {
	return s.tasksCount > 0 || s.checkpoint != nil || s.syncing != nil || s.peers.isBusy()
}

// scrubStep goes on. more: it could go on at once.
func (s *Stage) scrubStep(nowNs uint64) (more bool) {
	c := &s.scrub
	if c.periodNs == 0 {
		return false
	}
	switch c.state {
	case scrubWaiting:
		if c.dueNs == 0 {
			c.dueNs = nowNs + 1
		}
		if nowNs >= c.startNs(s.isBusy()) {
			s.scrubBegin(nowNs)
		}
	case scrubChecking:
		s.scrubCheck(nowNs)
	}
	return c.state == scrubChecking
}

// scrubBegin reads the next block of the trailer, or asks for the next block.
func (s *Stage) scrubBegin(nowNs uint64) {
	c := &s.scrub
	if c.index < c.trailer.Blocks() {
		if ref, ok := c.trailer.Name(c.index); ok && ref.Address > 0 {
			c.block = c.root
			c.block.Ref = ref
			s.scrubRead(0)
			return
		}
		c.index = c.trailer.Blocks() // a block with names is damaged, which is a finding
	}
	s.scrubAsk(storage.ScrubNext)
	c.state = scrubAsking
}

func (s *Stage) scrubAsk(ask storage.ScrubAsk) {
	s.scrub.request.Asks = ask
	s.act(Action{Kind: ActionAnswer, Answer: stages.CompactToApply{Kind: stages.CompactScrubAsked, Scrub: &s.scrub.request}})
}

// onScrub takes an answer of apply.
func (s *Stage) onScrub(nowNs uint64) {
	c := &s.scrub
	switch c.state {
	case scrubAsking:
		s.onScrubNext(nowNs)
	case scrubJudging:
		switch {
		case c.request.Answer == storage.ScrubLive:
			s.scrubFinding()
		case !c.block.IsTrailer:
		case c.request.Answer == storage.ScrubWanted:
			c.index++
		default:
			c.index = c.trailer.Blocks() // another checkpoint has taken its place
		}
		s.scrubDone(nowNs, uint64(max(c.result, 0)))
	default:
		assert.That(false, "apply answers what it was asked")
	}
}

func (s *Stage) onScrubNext(nowNs uint64) {
	c := &s.scrub
	r := &c.request
	switch r.Answer {
	case storage.ScrubFound:
		c.block = r.Block
		if c.block.IsTrailer {
			r.Trailer = c.block.Trailer + 1
			if !c.beginTrailer() {
				s.scrubDone(nowNs, 0)
				return
			}
		} else {
			r.Trailer, r.After, r.FromOf65536 = storage.TrailersCount, c.block.Address, 0
			c.sample.Address = c.block.Address
		}
		s.scrubRead(0)
	case storage.ScrubEnd:
		if !c.isFirst || r.FromOf65536 == 0 {
			c.found.passEnds()
		}
		c.sample.Passes++
		c.sample.Address, c.isFirst = 0, false
		r.Trailer, r.After, r.FromOf65536 = 0, 0, 0
		s.scrubDone(nowNs, 0)
	default:
		c.state = scrubWaiting
		c.dueNs = nowNs + min(c.interval(), scrubLaterNs)
	}
	c.sample.AddressMax = r.AddressMax
}

// beginTrailer prepares for the blocks of the trailer whose root apply has named. It returns false
// if the root cannot belong to a trailer of that length.
func (c *scrubber) beginTrailer() bool {
	content := c.block.ContentBytes
	if c.geometry.TrailerNamesBytes(content) > uint64(len(c.names)) {
		content = 1 // the root alone is read
	}
	reader, reason := block.NewTrailerReader(&c.geometry, c.block.Trailer, c.block.Ref, content, c.names)
	c.trailer, c.root, c.index = reader, c.block, 0
	return reason == ""
}

// scrubRight: the block is what it should be.
func (s *Stage) scrubRight(nowNs uint64) {
	c := &s.scrub
	if c.block.IsTrailer {
		if _, _, reason := c.trailer.Take(c.index, c.buffer); reason != "" && c.trailer.Blocks() > 1 {
			s.scrubBad(0, reason, 0)
			return
		}
		c.index++
	}
	if c.found.close(c.block.Ref) {
		c.sample.Repaired++
	}
	s.scrubDone(nowNs, uint64(c.result))
}

// scrubFinding reports the block that is wrong and in use.
func (s *Stage) scrubFinding() {
	c := &s.scrub
	c.found.open(c.block.Ref)
	c.sample.Findings++
	if c.block.IsTrailer {
		c.index++
	}
	s.act(Action{Kind: ActionFinding, Finding: &c.finding})
}

// scrubDone waits for the time of the next block.
func (s *Stage) scrubDone(nowNs, bytes uint64) {
	c := &s.scrub
	c.state = scrubWaiting
	c.dueNs = max(c.dueNs+c.interval(), nowNs)
	c.freeNs = nowNs + bytes*1_000_000_000/ScrubBytesPerSecond
	if bytes > 0 {
		c.sample.Blocks++
	}
}
