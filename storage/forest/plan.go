package forest

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
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
	runs       [][]storage.Table
	used       uint64 // used part of addresses, tables, filters, slots
	runsUsed   int

	entriesMax   uint64                     // the most entries that a job merges
	tableEntries [storage.TreesCount]uint64 // entries that fit one table in any case
	barRows      uint64
	flushedRows  uint64
}

func newPlan(f *Forest, a *arena.Arena) plan {
	rows := uint64(f.limits.MemtableRowsMax())
	p := plan{entriesMax: 4 * rows}
	capacity := f.rowShape.BlocksMax(rows + uint64(f.rowShape.RowsPerBlockMax()))
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		shape := &f.trees[id].shape
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
	p.filters = make([][]byte, capacity)
	p.runs = make([][]storage.Table, jobsMax*runsMerged)
	p.generation.Jobs = make([]storage.Job, 0, jobsMax)
	return p
}

// BarPlan ends a bar. It seals the memtable if that is due, and plans a generation. nil: there is
// nothing to do. checkpoint tells that op is a checkpoint op. Then everything is flushed, including
// the partial block of rows.
func (f *Forest) BarPlan(op uint64, checkpoint bool) *storage.Generation {
	assert.That(f.limits.IsBarEnd(op), "planning is done at a bar's end")
	assert.That(!f.plan.under, "the generation before is installed")
	assert.That(!f.chainOpen, "a bar ends between requests")
	p := &f.plan
	p.generation.Op = op
	p.generation.Jobs = p.generation.Jobs[:0]
	p.used, p.runsUsed = 0, 0
	p.barRows = uint64(f.filling.rowsAll() - f.rowsBarStart)
	f.rowsBarStart = f.filling.rowsAll()
	p.flushedRows = 0
	if f.filling.rowsAll() >= f.limits.MemtableRowsSeal || checkpoint && f.wantsFlush() {
		p.flushedRows = max(1, uint64(f.filling.rowsAll()))
		f.seal()
		f.rowsBarStart = 0
		f.planFlush(checkpoint)
	}
	f.planMerges()
	if len(p.generation.Jobs) == 0 {
		assert.That(f.flushing == nil, "a sealed memtable has something to flush")
		return nil
	}
	p.under = true
	return &p.generation
}

// wantsFlush tells whether memory holds anything that a checkpoint would miss.
func (f *Forest) wantsFlush() bool {
	m := f.filling
	return m.rowsAll()+m.changesCount+m.removesCount > 0 || f.tail.count > 0 && f.log.partial.IsZero()
}

func (f *Forest) planFlush(checkpoint bool) {
	m := f.flushing
	if m.rowsCount > 0 || checkpoint && f.tail.count > 0 && f.log.partial.IsZero() {
		f.planJob(storage.Job{Kind: storage.JobFlushRows, Tree: storage.TreeTransferLog, Source: m, PartialWritten: checkpoint},
			f.rowShape.BlocksMax(uint64(m.RowsCount())), 0)
	}
	for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
		if entries := uint64(m.EntriesCount(id)); entries > 0 {
			f.planJob(storage.Job{Kind: storage.JobFlushTree, Tree: id, Source: m}, f.trees[id].shape.TablesMax(entries), 0)
		}
	}
}

// planJob adds a job and reserves the lowest free addresses for its worst case.
func (f *Forest) planJob(job storage.Job, tablesMax uint64, level int) {
	p := &f.plan
	first, end := p.used, p.used+tablesMax
	assert.AtMost(end, uint64(len(p.addresses)), "addresses of a generation")
	p.used = end
	job.Addresses = p.addresses[first:end:end]
	if !f.freeSet.Acquire(job.Addresses) {
		f.pages.FailFull()
	}
	job.Tables = p.tables[first:first:end]
	if storage.Trees[job.Tree].Filter {
		job.Filters = p.filters[first:end:end]
		for i := first; i < end; i++ {
			p.slots[i] = f.filters.get()
			if p.slots[i] == 0 {
				f.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit,
					Reason: "the memory of filters is full: the data file holds more ids than this release supports"})
			}
			p.filters[i] = f.filters.slot(p.slots[i])
		}
	}
	p.levels[len(p.generation.Jobs)] = level
	p.generation.Jobs = append(p.generation.Jobs, job)
}

func (f *Forest) failFull() {
	f.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit, Reason: "the data file has reached --limit-storage: no free block is left"})
}

// planMerges plans this bar's share of every merge, lower levels first. It begins the merges that
// are due.
func (f *Forest) planMerges() {
	for i := range levelsMax - 1 {
		for id := storage.TreeTransferLog + 1; id < storage.TreesCount; id++ {
			f.planMerge(&f.trees[id], i)
		}
	}
}

func (f *Forest) planMerge(t *tree, i int) {
	l := &t.levels[i]
	m := &l.merge
	begins := m.inputs == 0
	if begins {
		if len(l.runs) < t.runsMerged {
			return
		}
		if f.mergeByReference(t, i) {
			return
		}
		f.mergeBegin(t, l)
	}
	p := &f.plan
	worth := p.tableEntries[t.id] // entries per table, estimated from the inputs
	tablesIn := uint64(0)
	for j := range l.runs[:m.inputs] {
		tablesIn += uint64(l.runs[j].count())
	}
	worth = max(worth, m.entriesAll/tablesIn)
	if begins {
		// All trees begin at the same bar. Different initial credits let their jobs fall on
		// different bars later.
		m.credit = mergeTablesMin * worth * (uint64(t.id) % 4) / 4
	}
	// With few rows per bar, a merge goes on slowly, so that small ops need not wait for it. The
	// pace rises with the number of runs that wait behind the merge. Such runs come from small
	// flushes before checkpoints.
	slowly := max(worth/mergeTablesMin, 1)
	if waiting := len(l.runs) - m.inputs; waiting > m.inputs/2 {
		slowly <<= min((waiting-m.inputs/2)*8/m.inputs, 20) // at full rows, the few runs that wait at the end do not matter
	}
	m.credit = min(m.entriesLeft, m.credit+max(slowly, mergeRateOf16*m.entriesAll*p.barRows/(16*m.rowsAll)))
	entries := min(m.credit, p.entriesMax)
	if entries >= m.entriesLeft {
		entries = m.entriesLeft
	} else {
		if entries < mergeTablesMin*worth {
			return
		}
		if t.spec.Encoding == storage.EncodingPlain {
			// Slightly less than whole tables, because a job goes on to a whole key and may read a
			// few entries more.
			entries -= entries % p.tableEntries[t.id]
			entries -= min(entries/2, runsMerged)
		}
	}
	m.credit -= entries
	job := storage.Job{
		Kind: storage.JobMerge, Tree: t.id, From: m.from, FromKey: m.fromKey, EntriesMax: entries,
		DropTombstones: t.spec.Tombstones && t.deepest() <= i,
	}
	if entries == m.entriesLeft {
		job.EntriesMax++ // one more than all, so that the job does not stop at the last entry
	}
	first := p.runsUsed
	k := fenceOf(&m.fromKey)
	for j := m.inputs - 1; j >= 0; j-- { // the newest first
		r := &l.runs[j]
		at := 0
		if m.from {
			if at = r.search(&m.fromKey, k); at < r.count() && r.tables[at].KeyMax == m.fromKey {
				at++
			}
		}
		if at < r.count() {
			p.runs[p.runsUsed] = r.tables[at:]
			p.runsUsed++
		}
	}
	job.Runs = p.runs[first:p.runsUsed:p.runsUsed]
	assert.That(len(job.Runs) > 0, "a merge under way has entries left")
	m.entriesLeft -= entries
	f.planJob(job, t.shape.TablesMax(entries+runsMerged), i)
}

// deepest is the deepest level that holds runs.
func (t *tree) deepest() (deepest int) {
	for i := range t.levels {
		if len(t.levels[i].runs) > 0 {
			deepest = i
		}
	}
	return deepest
}

// mergeBegin makes the oldest runs of a level the inputs of a merge.
func (f *Forest) mergeBegin(t *tree, l *level) {
	m := &l.merge
	*m = merge{inputs: t.runsMerged}
	for i := range l.runs[:m.inputs] {
		r := &l.runs[i]
		m.entriesAll += r.entries
		m.rowsAll += r.rows
	}
	m.output.covered = allCovered(l.runs[:m.inputs])
	m.entriesLeft = m.entriesAll
	m.output.rows = m.rowsAll
	m.output.ordinalFirst = l.runs[0].ordinalFirst
	m.output.ordinalEnd = l.runs[m.inputs-1].ordinalEnd
}

// allCovered tells whether a merge of these runs is covered.
func allCovered(runs []run) bool {
	for i := range runs {
		if !runs[i].covered {
			return false
		}
	}
	return true
}

// mergeByReference makes one run of the oldest runs of a level without reading them. It lists their
// tables one after the other. That works if the tables ascend without overlap and are filled well.
// So increasing ids, and trees with a time as key, are never written twice.
func (f *Forest) mergeByReference(t *tree, i int) bool {
	if t.spec.Tombstones || keys.IsPosting(t.id) {
		return false
	}
	inputs := t.runsMerged
	runs := t.levels[i].runs[:inputs]
	tables, entries := uint64(0), uint64(0)
	for j := range runs {
		if j > 0 && runs[j-1].tables[runs[j-1].count()-1].KeyMax.Compare(&runs[j].tables[0].KeyMin) >= 0 {
			return false
		}
		tables += uint64(runs[j].count())
		entries += runs[j].entries
	}
	if 2*entries < tables*f.plan.tableEntries[t.id] {
		return false
	}
	out := run{entries: entries, ordinalFirst: runs[0].ordinalFirst, ordinalEnd: runs[inputs-1].ordinalEnd, covered: allCovered(runs)}
	for j := range runs {
		out.rows += runs[j].rows
		for k := range runs[j].tables {
			f.tableAppend(&out.tableList, &runs[j].tables[k], runs[j].filters[k])
		}
		f.pool.release(&runs[j].tableList)
	}
	f.movedCount += tables
	f.levelPromote(t, i, inputs, out)
	return true
}

// levelPromote replaces the oldest runs of level i by one run. This becomes the newest run of the
// next level.
func (f *Forest) levelPromote(t *tree, i, inputs int, out run) {
	l := &t.levels[i]
	l.runs = append(l.runs[:0], l.runs[inputs:]...)
	if out.count() > 0 {
		f.levelAdd(&t.levels[i+1], out)
	}
	t.order()
}

func (f *Forest) levelAdd(l *level, r run) {
	assert.Below(len(l.runs), runsMax, "runs of a level")
	l.runs = append(l.runs, r)
}

// BarInstall makes the results of the previous generation visible. It is called at the end of each
// bar, with nil if there was no generation. All jobs of the generation must have run. Unused
// addresses are given back, and inputs are released.
func (f *Forest) BarInstall(generation *storage.Generation) {
	p := &f.plan
	assert.That((generation != nil) == p.under, "the generation that was planned comes back")
	if generation == nil {
		f.freeSet.BarEnd()
		return
	}
	jobs := generation.Jobs
	for i := range jobs {
		if jobs[i].Fault != nil {
			f.pages.Fail(jobs[i].Fault)
		}
	}
	used := uint64(0)
	for i := range jobs {
		job := &jobs[i]
		for j, address := range job.Addresses {
			if j < len(job.Tables) {
				assert.Equal(job.Tables[j].Address, address, "output n lies at the n-th address")
				continue
			}
			f.freeSet.GiveBack(address)
			if job.Filters != nil {
				f.filters.put(p.slots[used+uint64(j)])
			}
		}
		for j := range job.Tables {
			job.Tables[j].BornOp = generation.Op
		}
		used += uint64(len(job.Addresses))
	}
	f.freeSet.BarEnd()
	if f.flushing != nil {
		f.identityFeedEnd(f.flushing)
	}
	used = 0
	for i := range jobs {
		f.install(&jobs[i], p.levels[i], p.slots[used:])
		used += uint64(len(jobs[i].Addresses))
	}
	if m := f.flushing; m != nil {
		f.expiryFlushed(m)
		f.flushing, f.flushingFed = nil, false
	}
	p.under = false
	f.selfCheck()
}

func (f *Forest) install(job *storage.Job, levelIndex int, slots []uint32) {
	switch job.Kind {
	case storage.JobFlushRows:
		f.installRows(job)
	case storage.JobFlushTree:
		m := f.flushing
		t := &f.trees[job.Tree]
		r := run{rows: f.plan.flushedRows}
		if keys.IsTransferPosting(job.Tree) {
			r.ordinalFirst, r.ordinalEnd = uint64(m.transfersFirst), uint64(m.transfersNext())
		} else {
			r.ordinalFirst, r.ordinalEnd = uint64(m.accountsFirst), uint64(m.accountsNext())
		}
		r.covered = job.Tree == storage.TreeTransferID && f.flushingFed
		f.installTables(job, &r, slots)
		assert.Equal(r.entries, uint64(m.EntriesCount(job.Tree)), "entries of a flush")
		f.levelAdd(&t.levels[0], r)
		t.order()
	case storage.JobMerge:
		t := &f.trees[job.Tree]
		m := &t.levels[levelIndex].merge
		f.installTables(job, &m.output, slots)
		m.from, m.fromKey = true, job.UpTo
		if job.Finished || t.levels[levelIndex].readUpTo(&job.UpTo) {
			f.mergeFinish(t, levelIndex)
		}
	default:
		assert.That(false, "the kind of a job is known")
	}
}

func (f *Forest) installTables(job *storage.Job, r *run, slots []uint32) {
	for i := range job.Tables {
		slot := uint32(0)
		if job.Filters != nil {
			slot = slots[i]
		}
		f.tableAppend(&r.tableList, &job.Tables[i], slot)
		r.entries += uint64(job.Tables[i].Entries)
	}
}

// readUpTo tells whether a merge that has read up to key has read all of its inputs. A job may stop
// at the very last entry without noticing that it was the last.
func (l *level) readUpTo(key *storage.Key) bool {
	for i := range l.runs[:l.merge.inputs] {
		r := &l.runs[i]
		if r.tables[r.count()-1].KeyMax.Compare(key) > 0 {
			return false
		}
	}
	return true
}

func (f *Forest) mergeFinish(t *tree, i int) {
	l := &t.levels[i]
	m := &l.merge
	for j := range l.runs[:m.inputs] {
		r := &l.runs[j]
		for k := range r.tables {
			f.freeSet.Release(r.tables[k].Address)
			f.filters.put(r.filters[k])
		}
		f.pool.release(&r.tableList)
	}
	f.mergesCount[i]++
	out, inputs := m.output, m.inputs
	*m = merge{}
	f.levelPromote(t, i, inputs, out)
}

func (f *Forest) installRows(job *storage.Job) {
	m := f.flushing
	if !f.log.partial.IsZero() {
		f.freeSet.Release(f.log.partial.Address) // its rows were carried into this flush
		f.log.partial = storage.Table{}
	}
	for i := range job.Tables {
		t := &job.Tables[i]
		if t.Partial {
			assert.That(i == len(job.Tables)-1 && job.PartialWritten, "a partial block is the last of a checkpoint's flush")
			f.log.partial = *t
			continue
		}
		if !f.log.add(t) {
			f.pages.Fail(&storage.Fault{What: storage.FaultStorageLimit,
				Reason: "the manifest is full: the data file holds more rows than this release supports"})
		}
	}
	f.tail.carry(m, job.RowsWritten)
}
