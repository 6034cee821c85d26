package levels

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
)

const (
	// mergeRateOf16: a merge reads mergeRateOf16/16 times the entries per row that its level brings
	// in. The rate must be above 1, because a merge must end and be installed before the next one
	// of its level is due. A much higher rate makes bars uneven, because all trees begin their
	// merges at the same bars.
	mergeRateOf16 = 17
	// mergeTablesMin: a job of a merge is planned once it can fill this many tables. The last table
	// of a job is seldom full, so small jobs would waste blocks.
	mergeTablesMin = 4
	jobsMax        = storage.JobsMax
)

// plan is the generation, which lies in the forest's memory, and the memory of its jobs: addresses,
// results, filters.
type plan struct {
	generation storage.Generation
	under      bool // compact has it
	levels     [jobsMax]int
	addresses  []uint64
	tables     []storage.Table
	filters    [][]byte
	slots      []uint32 // slots of the filters
	frames     [][]byte // of the outputs that stay in memory
	lent       []uint32 // their numbers
	runs       [][]storage.Table
	used       uint64 // used part of addresses, tables, filters, slots, frames, lent
	runsUsed   int

	entriesMax   uint64                     // the most entries that a job merges
	tableEntries [storage.TreesCount]uint64 // entries that fit one table in any case
	barRows      uint64                     // rows that the bar brought
	shares       [storage.TreesCount]share  // of the last flushes
}

func newPlan(s *Levels, l *limits.Limits, a *arena.Arena, rowBlocks uint64) plan {
	rows := uint64(l.MemtableRowsMax())
	p := plan{entriesMax: 4 * rows}
	capacity := rowBlocks
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		shape := &s.trees[id].shape
		capacity += shape.TablesMax(2*rows) + levelsMax*shape.TablesMax(p.entriesMax+runsMerged)
		low, high := uint64(1), uint64(1)<<32
		for low < high {
			middle := (low + high + 1) / 2
			if shape.TablesMax(middle) <= 1 {
				low = middle
			} else {
				high = middle - 1
			}
		}
		p.tableEntries[id] = low
	}
	p.addresses = arena.Slice[uint64](a, capacity, "planning")
	p.tables = arena.Slice[storage.Table](a, capacity, "planning")
	p.slots = arena.Slice[uint32](a, capacity, "planning")
	p.lent = arena.Slice[uint32](a, capacity, "planning")
	p.filters = make([][]byte, capacity)
	p.frames = make([][]byte, capacity)
	p.runs = make([][]storage.Table, jobsMax*runsMerged)
	p.generation.Jobs = make([]storage.Job, 0, jobsMax)
	return p
}

// PlanBegin begins the generation of the bar that ends with op. barRows is the number of rows that
// the bar brought; they pace the merges.
func (s *Levels) PlanBegin(op, barRows uint64) {
	p := &s.plan
	assert.That(!p.under, "the generation before is installed")
	p.generation.Op = op
	p.generation.Jobs = p.generation.Jobs[:0]
	p.used, p.runsUsed = 0, 0
	p.barRows = barRows
}

// PlanRows adds the job that writes the rows of a sealed memtable, to so many blocks at most.
// partial tells that the bar ends at a checkpoint op.
func (s *Levels) PlanRows(source storage.FlushSource, blocksMax uint64, partial bool) {
	s.planJob(storage.Job{Kind: storage.JobFlushRows, Tree: storage.TreeTransferLog, Source: source, PartialWritten: partial}, blocksMax, 0)
}

// PlanFlush adds a job for each tree that has entries in a sealed memtable.
func (s *Levels) PlanFlush(source storage.FlushSource) {
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		if entries := uint64(source.EntriesCount(id)); entries > 0 {
			s.planJob(storage.Job{Kind: storage.JobFlushTree, Tree: id, Source: source}, s.trees[id].shape.TablesMax(entries), 0)
		}
	}
}

// PlanMerges plans this bar's share of every merge, lower levels first. It begins the merges that
// are due.
func (s *Levels) PlanMerges() {
	for i := range levelsMax - 1 {
		for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
			s.planMerge(&s.trees[id], i)
		}
	}
}

// MergesBegin tells whether PlanMerges would begin a merge, if nothing is installed before. Such a
// one may end at once, by reference, so that visible runs change although no generation was under
// way. That is rare: many runs waited behind a merge, and a bar takes up one merge's share of them.
func (s *Levels) MergesBegin() bool {
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		t := &s.trees[id]
		for i := range t.levels[:levelsMax-1] {
			if l := &t.levels[i]; l.merge.inputs == 0 && len(l.runs) >= t.runsMerged {
				return true
			}
		}
	}
	return false
}

// PlanEnd returns the generation, or nil if there is nothing to do.
func (s *Levels) PlanEnd() *storage.Generation {
	if len(s.plan.generation.Jobs) == 0 {
		return nil
	}
	s.plan.under = true
	return &s.plan.generation
}

// IsUnder tells whether compact has a generation.
func (s *Levels) IsUnder() bool { return s.plan.under }

// planJob adds a job and reserves the lowest free addresses for its worst case.
func (s *Levels) planJob(job storage.Job, tablesMax uint64, level int) {
	p := &s.plan
	first, end := p.used, p.used+tablesMax
	assert.AtMost(end, uint64(len(p.addresses)), "addresses of a generation")
	p.used = end
	job.Addresses = p.addresses[first:end:end]
	if !s.free.Acquire(job.Addresses) {
		s.pages.FailFull()
	}
	job.Tables = p.tables[first:first:end]
	if storage.Trees[job.Tree].Filter {
		job.Filters = p.filters[first:end:end]
		for i := first; i < end; i++ {
			p.slots[i] = s.filters.get()
			if p.slots[i] == 0 {
				s.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit,
					Reason: "the memory of filters is full: the data file holds more ids than this release supports"})
			}
			p.filters[i] = s.filters.slot(p.slots[i])
		}
	}
	if job.Kind != storage.JobMerge {
		job.Frames = s.lend(job.Tree, first, end)
	}
	p.levels[len(p.generation.Jobs)] = level
	p.generation.Jobs = append(p.generation.Jobs, job)
}
