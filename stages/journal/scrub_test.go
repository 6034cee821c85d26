package journal

import (
	"testing"

	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

const scrubTestPeriodNs = 1_000_000_000_000

// scrubBench is a bench with a scrubber, whose operations end at once.
type scrubBench struct {
	*bench
	nowNs uint64
}

func newScrubBench(t *testing.T, lacking func(slot uint64) bool) *scrubBench {
	s := &scrubBench{bench: newBench(t, 50)}
	s.stage.Scrub(&ScrubStart{PeriodNs: scrubTestPeriodNs, OpHead: 50, CheckpointOp: 19, Lacking: lacking}, s.memory)
	s.superblock(1)
	return s
}

// superblock makes a superblock durable.
func (s *scrubBench) superblock(sequence uint64) {
	content := &datafile.Superblock{Cluster: cluster, ReplicasCount: uint8(s.log.l.ReplicasCount), Sequence: sequence}
	content.Checkpoint.Op = 19
	s.request(stages.ConsensusToJournal{Kind: stages.JournalSuperblock, Superblock: content})
	s.endAll()
}

// pass lets a pass of the scrubber end.
func (s *scrubBench) pass(t *testing.T) {
	t.Helper()
	s.findings = nil
	end := s.stage.scrub.sample.Passes + 1
	for range 100_000 {
		if s.stage.scrub.sample.Passes == end {
			return
		}
		s.nowNs = max(s.nowNs+1, min(s.stage.scrubNextNs(), s.nowNs+scrubTestPeriodNs))
		s.stage.Step(s.nowNs, Events{}, &s.out)
		s.take()
		s.endAll()
	}
	t.Fatal("the pass does not end")
}

// Goal: a pass over a log without damage takes its period and finds nothing. It reads the slots of
// ops above the checkpoint that are not lacking, and all copies of the superblock.
func TestScrubOfARightLog(t *testing.T) {
	s := newScrubBench(t, func(slot uint64) bool { return slot == 40%32 })
	s.pass(t)
	first := s.nowNs
	if s.pass(t); len(s.findings) > 0 {
		t.Fatalf("findings %+v", s.findings)
	}
	if took := s.nowNs - first; took > scrubTestPeriodNs*101/100 || took < scrubTestPeriodNs*99/100 {
		t.Errorf("a pass takes %d ms", took/1e6)
	}
	s.appendOp(51)
	s.endAll()
	if s.pass(t); len(s.findings) > 0 {
		t.Fatalf("findings behind an append: %+v", s.findings)
	}
	s.superblock(2)
	if s.pass(t); len(s.findings) > 0 {
		t.Fatalf("findings behind another superblock: %+v", s.findings)
	}
}

// Goal: damage of either copy of a prepare and of a copy of the superblock is a finding, which says
// whether another copy is right. Of several replicas, a prepare without a right copy is reported to
// consensus. Damage that is written over is closed.
func TestScrubFindsDamage(t *testing.T) {
	s := newScrubBench(t, func(uint64) bool { return false })
	s.stage.limits.ReplicasCount = 3
	const op = 45
	prepareAt, twinAt := s.stage.layout.PrepareAt(op%32), s.stage.layout.TwinAt(op%32)
	superblockAt := s.stage.layout.SuperblockCopyAt(2)
	for _, c := range []struct {
		name   string
		at     []uint64
		want   []storage.Finding
		isTold bool
	}{
		{"a copy of the superblock", []uint64{superblockAt}, []storage.Finding{{Zone: storage.ZoneSuperblock, Copy: 2}}, false},
		{"a prepare", []uint64{prepareAt},
			[]storage.Finding{{Zone: storage.ZoneLog, Slot: op % 32, Op: op, HasOther: true, IsNeeded: true}}, false},
		{"a twin", []uint64{twinAt},
			[]storage.Finding{{Zone: storage.ZoneLog, Slot: op % 32, Op: op, IsTwin: true, HasOther: true, IsNeeded: true}}, false},
		{"both", []uint64{prepareAt, twinAt}, []storage.Finding{{Zone: storage.ZoneLog, Slot: op % 32, Op: op, IsNeeded: true},
			{Zone: storage.ZoneLog, Slot: op % 32, Op: op, IsTwin: true, IsNeeded: true}}, true},
	} {
		for _, at := range c.at {
			s.log.bytes[at+100] ^= 1
		}
		s.got = nil
		s.pass(t)
		for i := range s.findings {
			s.findings[i].Reason = ""
		}
		if len(s.findings) != len(c.want) {
			t.Fatalf("%s: findings %+v", c.name, s.findings)
		}
		for i := range c.want {
			if s.findings[i] != c.want[i] {
				t.Errorf("%s: finding %+v, want %+v", c.name, s.findings[i], c.want[i])
			}
		}
		if isTold := len(s.got) > 0 && s.got[0].Kind == stages.JournalSlotDamaged && s.got[0].Op == op &&
			s.got[0].Checksum != (wire.Checksum{}); isTold != c.isTold {
			t.Errorf("%s: consensus gets %+v", c.name, s.got)
		}
		var sample Sample
		if s.stage.Sample(&sample); sample.Scrub.Damaged[c.want[0].Zone] != 1 {
			t.Errorf("%s: damaged now %v", c.name, sample.Scrub.Damaged)
		}
		for _, at := range c.at {
			s.log.bytes[at+100] ^= 1
		}
		repaired := sample.Scrub.Repaired
		s.pass(t)
		if s.stage.Sample(&sample); sample.Scrub.Damaged[c.want[0].Zone] != 0 || sample.Scrub.Repaired != repaired+1 {
			t.Errorf("%s, right again: damaged %v, repaired %d", c.name, sample.Scrub.Damaged, sample.Scrub.Repaired)
		}
	}
}

// Goal: the scrubber reads the log without allocating.
func TestScrubAllocatesNothing(t *testing.T) {
	s := newScrubBench(t, func(uint64) bool { return false })
	events := Events{}
	if allocs := testing.AllocsPerRun(1000, func() {
		s.out.Reset()
		s.nowNs += scrubTestPeriodNs
		s.stage.Step(s.nowNs, events, &s.out)
		for range 8 { // the read, with nothing right, and its repetitions
			if s.stage.scrub.reading != scrubNothing {
				s.stage.onScrubRead(int32(s.stage.scrub.bytes), &s.out)
			}
		}
	}); allocs != 0 {
		t.Errorf("a step allocates %.1f times, want 0", allocs)
	}
}
