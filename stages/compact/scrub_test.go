package compact

import (
	"math/rand/v2"
	"testing"

	"ledger/stages"
	"ledger/storage"
)

const scrubTestPeriodNs = 1_000_000_000_000

// scrubBench is a bench whose apply answers the scrubber: it knows a list of tables.
type scrubBench struct {
	*bench
	tables   []storage.Table
	trailer  storage.ScrubBlock // the root of the only one; zero: none
	isGone   bool               // the answer to whether a block is in use
	isWanted bool               // the same, if a state sync may not have fetched it
	asked    int                // questions whether a block is in use
	ends     int                // of passes
	findings []storage.Finding
	reads    []uint64 // offsets of the scrubber's reads
	nowNs    uint64
}

func newScrubBench(t *testing.T) *scrubBench {
	s := &scrubBench{bench: newBench(4)}
	t.Cleanup(s.close)
	g := generation(rand.New(rand.NewPCG(4, 1)))
	s.run(t, g)
	for i := range g.Jobs {
		s.tables = append(s.tables, g.Jobs[i].Tables...)
	}
	l := testLimits()
	s.stage.Scrub(&l, cluster, scrubTestPeriodNs, 0, s.memory)
	s.driver.OnFinding(func(f *storage.Finding) { s.findings = append(s.findings, *f) })
	return s
}

// turn gives the driver a turn at nowNs and answers what the scrubber asks.
func (s *scrubBench) turn() {
	s.driver.Turn(s.nowNs, 0)
	for i := range s.disk.queue {
		if o := &s.disk.queue[i]; o.tag == tagScrub && o.length == 0 {
			o.length = 1 // seen
			s.reads = append(s.reads, o.offset)
		}
	}
	for {
		result, ok := s.results.PopOne()
		if !ok {
			return
		}
		if result.Kind == stages.CompactScrubAsked {
			s.answer(result.Scrub)
			s.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactScrub, Scrub: result.Scrub})
		}
	}
}

func (s *scrubBench) answer(r *storage.Scrub) {
	if r.Asks == storage.ScrubIsLive {
		s.asked++
		if r.Answer = storage.ScrubLive; s.isGone {
			r.Answer = storage.ScrubGone
		} else if s.isWanted {
			r.Answer = storage.ScrubWanted
		}
		return
	}
	if s.trailer.IsTrailer && r.Trailer <= s.trailer.Trailer {
		r.Block, r.Answer = s.trailer, storage.ScrubFound
		return
	}
	r.BlocksCount, r.AddressMax, r.Answer = uint64(len(s.tables)), 1000, storage.ScrubEnd
	for i := range s.tables {
		if t := &s.tables[i]; t.Address > r.After || r.Trailer < storage.TrailersCount {
			r.Block, r.Answer = storage.ScrubBlock{Ref: t.Ref, Tree: t.Tree, PagesUsed: t.PagesUsed}, storage.ScrubFound
			return
		}
	}
	s.ends++
}

// until turns until done, from one timer to the next.
func (s *scrubBench) until(t *testing.T, done func() bool) {
	t.Helper()
	for range 1_000_000 {
		if done() {
			return
		}
		if next := s.driver.NextTurnNs(); next != stages.NoTurn {
			s.nowNs = max(s.nowNs, next)
		} else {
			s.nowNs += 1000
		}
		s.turn()
	}
	t.Fatal("it does not come to the end")
}

// Goal: a pass reads every block once, in order, in the period. No two reads come closer than the
// bound of bytes per second allows.
func TestScrubKeepsItsPace(t *testing.T) {
	s := newScrubBench(t)
	s.until(t, func() bool { return s.ends == 1 })
	first := s.nowNs
	s.reads = nil
	s.until(t, func() bool { return s.ends == 2 })
	if len(s.reads) != len(s.tables) {
		t.Fatalf("a pass reads %d blocks, want %d", len(s.reads), len(s.tables))
	}
	for i, offset := range s.reads {
		if want := gridAt + s.stage.geometry.Offset(s.tables[i].Address, 0); offset != want {
			t.Fatalf("read %d is at %d, want %d", i, offset, want)
		}
	}
	// The end of a pass takes an interval, too.
	want := uint64(len(s.tables)+1) * scrubTestPeriodNs / max(uint64(len(s.tables)), scrubBlocksMin)
	if took := s.nowNs - first; took > want*101/100 || took < want*99/100 {
		t.Errorf("a pass takes %d ms, want %d", took/1e6, want/1e6)
	}
	if len(s.findings)+s.asked > 0 {
		t.Errorf("findings %v in a file without damage", s.findings)
	}

	s.stage.scrub.periodNs = 1 // as fast as may be
	first, s.stage.scrub.sample.Bytes = s.nowNs, 0
	s.until(t, func() bool { return s.ends == 4 })
	if rate := s.stage.scrub.sample.Bytes * 1_000_000_000 / (s.nowNs - first); rate > ScrubBytesPerSecond {
		t.Errorf("%d bytes a second, at most %d", rate, ScrubBytesPerSecond)
	}
}

// Goal: while the worker has something to do, a read waits; when the next read is due, it waits no
// more.
func TestScrubYieldsToWork(t *testing.T) {
	s := newScrubBench(t)
	s.until(t, func() bool { return len(s.reads) == 3 && s.stage.scrub.state == scrubWaiting })
	dueNs, interval := s.stage.scrub.dueNs, s.stage.scrub.interval()
	s.stage.syncing = &storage.CheckpointJob{} // whose sync does not end
	s.nowNs = dueNs
	for range 20 {
		s.turn()
		if s.nowNs += interval / 21; len(s.reads) != 3 {
			t.Fatalf("a read begins %d ns after it is due, beside a sync", s.nowNs-dueNs)
		}
	}
	if next := s.driver.NextTurnNs(); next != dueNs+interval {
		t.Errorf("the timer is %d, want %d", next, dueNs+interval)
	}
	s.nowNs = dueNs + interval
	for range 100 {
		s.turn()
	}
	if len(s.reads) != 4 {
		t.Errorf("%d reads when the next one is due, want 4", len(s.reads))
	}
}

// Goal: damage of a block is a finding if the block is in use, in every page of it, after three
// reads. It counts as damaged until the block reads right.
func TestScrubFindings(t *testing.T) {
	s := newScrubBench(t)
	table := &s.tables[len(s.tables)/2]
	for page := range uint32(table.PagesUsed) {
		at := gridAt + s.stage.geometry.Offset(table.Address, page) + 77
		s.disk.data[at] ^= 4
		for _, isGone := range []bool{true, false} {
			s.isGone, s.asked, s.findings, s.reads = isGone, 0, nil, nil
			end := s.ends + 1
			s.until(t, func() bool { return s.ends == end })
			if s.asked != 1 || len(s.reads) != len(s.tables)+scrubRepeats {
				t.Fatalf("page %d: asked %d times, %d reads of %d blocks", page, s.asked, len(s.reads), len(s.tables))
			}
			if isGone != (len(s.findings) == 0) {
				t.Fatalf("page %d: gone %v, findings %v", page, isGone, s.findings)
			}
		}
		if f := &s.findings[0]; f.Block.Ref != table.Ref || f.Page != page || f.Block.Tree != table.Tree {
			t.Errorf("page %d: finding %+v", page, f)
		}
		var sample Sample
		if s.stage.Sample(&sample); sample.Scrub.Damaged != 1 || sample.Scrub.Repaired != uint64(page) {
			t.Errorf("page %d: damaged %d, repaired %d", page, sample.Scrub.Damaged, sample.Scrub.Repaired)
		}
		s.disk.data[at] ^= 4
		end := s.ends + 1
		s.until(t, func() bool { return s.ends == end })
		if s.stage.Sample(&sample); sample.Scrub.Damaged != 0 || sample.Scrub.Repaired != uint64(page)+1 {
			t.Errorf("page %d, right again: damaged %d, repaired %d", page, sample.Scrub.Damaged, sample.Scrub.Repaired)
		}
	}
}

// Goal: a pass finds each damaged block of a trailer, also while a state sync may not have fetched
// it. Then it is no finding. If another checkpoint has taken the place of the trailer, the rest of
// it is not read.
func TestScrubReadsWholeTrailers(t *testing.T) {
	for _, c := range []struct {
		name             string
		isGone, isWanted bool
		asked, findings  int
	}{{"in use", false, false, 2, 2}, {"not fetched", false, true, 2, 0}, {"another checkpoint", true, false, 1, 0}} {
		s := newScrubBench(t)
		job, content := checkpoint(rand.New(rand.NewPCG(4, 2)))
		s.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactCheckpoint, Checkpoint: job})
		written := s.result(t)
		for written.Kind == stages.CompactScrubAsked { // the scrubber begins beside it
			s.answer(written.Scrub)
			s.requests.PushOne(stages.ApplyToCompact{Kind: stages.CompactScrub, Scrub: written.Scrub})
			written = s.result(t)
		}
		if written.Checkpoint != job {
			t.Fatal("the checkpoint is not written")
		}
		kind := storage.TrailerSessions
		s.trailer = storage.ScrubBlock{Ref: job.Roots[kind], IsTrailer: true, Trailer: kind, ContentBytes: uint64(len(content[kind]))}
		for _, address := range job.Addresses[kind][1:] {
			s.disk.data[gridAt+s.stage.geometry.Offset(address, 0)+50] ^= 4
		}
		end := s.ends + 2
		s.until(t, func() bool { return s.ends == end-1 })
		s.isGone, s.isWanted, s.asked, s.findings = c.isGone, c.isWanted, 0, nil
		s.until(t, func() bool { return s.ends == end })
		if s.asked != c.asked || len(s.findings) != c.findings {
			t.Errorf("%s: asked %d times, %d findings, want %d and %d", c.name, s.asked, len(s.findings), c.asked, c.findings)
		}
	}
}

// Goal: the scrubber reads a file without allocating.
func TestScrubAllocatesNothing(t *testing.T) {
	s := newScrubBench(t)
	s.disk.queue = make([]fakeOperation, 0, 64)
	s.reads = make([]uint64, 0, 1<<16)
	end := 0
	done := func() bool { return s.ends >= end }
	if allocs := testing.AllocsPerRun(5, func() {
		end = s.ends + 1
		s.reads = s.reads[:0]
		s.until(t, done)
	}); allocs != 0 {
		t.Errorf("a pass allocates %.1f times, want 0", allocs)
	}
}
