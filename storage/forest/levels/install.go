package levels

import (
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// Flushed describes the memtable of a generation that comes back.
type Flushed struct {
	Source         storage.FlushSource
	Rows           uint64 // that counted for the seal, at least 1
	TransfersFirst uint64 // ordinals
	TransfersEnd   uint64
	AccountsFirst  uint64
	AccountsEnd    uint64
	Covered        bool // all of its transfer ids are in the filter of all ids
}

// Collect takes the generation back. All of its jobs must have run. Addresses that were not used
// are given back. nil stands for a bar without a generation.
func (s *Levels) Collect(generation *storage.Generation) {
	p := &s.plan
	assert.That((generation != nil) == p.under, "the generation that was planned comes back")
	if generation == nil {
		s.free.BarEnd()
		return
	}
	jobs := generation.Jobs
	for i := range jobs {
		if jobs[i].Fault != nil {
			s.pages.Fail(jobs[i].Fault)
		}
	}
	used := uint64(0)
	for i := range jobs {
		job := &jobs[i]
		s.keep(job, used)
		for j, address := range job.Addresses {
			if j < len(job.Tables) {
				assert.Equal(job.Tables[j].Address, address, "output n lies at the n-th address")
				continue
			}
			s.free.GiveBack(address)
			if job.Filters != nil {
				s.filters.put(p.slots[used+uint64(j)])
			}
		}
		for j := range job.Tables {
			job.Tables[j].BornOp = generation.Op
		}
		used += uint64(len(job.Addresses))
	}
	s.free.BarEnd()
}

// Install makes the results of the collected generation visible, in the order of its jobs. The job
// of rows, which comes first, is the caller's.
func (s *Levels) Install(generation *storage.Generation, flushed *Flushed) {
	used := uint64(0)
	s.changes++
	for i := range generation.Jobs {
		job := &generation.Jobs[i]
		s.install(job, s.plan.levels[i], s.plan.slots[used:], flushed)
		used += uint64(len(job.Addresses))
	}
	s.plan.under = false
}

func (s *Levels) install(job *storage.Job, levelIndex int, slots []uint32, flushed *Flushed) {
	t := &s.trees[job.Tree]
	switch job.Kind {
	case storage.JobFlushRows:
	case storage.JobFlushTree:
		r := Run{rows: flushed.Rows}
		if keys.IsTransferPosting(job.Tree) {
			r.ordinalFirst, r.ordinalEnd = flushed.TransfersFirst, flushed.TransfersEnd
		} else {
			r.ordinalFirst, r.ordinalEnd = flushed.AccountsFirst, flushed.AccountsEnd
		}
		r.covered = job.Tree == storage.TreeTransferID && flushed.Covered
		s.installTables(job, &r, slots)
		assert.Equal(r.entries, uint64(flushed.Source.EntriesCount(job.Tree)), "entries of a flush")
		t.levels[0].add(r)
		t.order()
	case storage.JobMerge:
		m := &t.levels[levelIndex].merge
		s.installTables(job, &m.output, slots)
		m.from, m.fromKey = true, job.UpTo
		if job.Finished || t.levels[levelIndex].readUpTo(&job.UpTo) {
			s.mergeFinish(t, levelIndex)
		}
	default:
		assert.That(false, "the kind of a job is known")
	}
}

func (s *Levels) installTables(job *storage.Job, r *Run, slots []uint32) {
	for i := range job.Tables {
		slot := uint32(0)
		if job.Filters != nil {
			slot = slots[i]
		}
		s.tableAppend(&r.tableList, &job.Tables[i], slot)
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

// mergeFinish makes the output of a merge visible and releases its inputs.
func (s *Levels) mergeFinish(t *Tree, i int) {
	l := &t.levels[i]
	m := &l.merge
	m.output.inherit(l.runs[:m.inputs], &s.cover.room)
	for j := range l.runs[:m.inputs] {
		r := &l.runs[j]
		for k := range r.tables {
			s.free.Release(r.tables[k].Address)
			s.pages.Forget(r.tables[k].Address)
			s.filters.put(r.filters[k].slot)
		}
		s.pool.release(&r.tableList)
	}
	s.merges[i]++
	out, inputs := m.output, m.inputs
	*m = merge{}
	s.promote(t, i, inputs, out)
}

// promote replaces the oldest runs of level i by one run. This becomes the newest run of the
// next level.
func (s *Levels) promote(t *Tree, i, inputs int, out Run) {
	l := &t.levels[i]
	s.changes++
	l.runs = append(l.runs[:0], l.runs[inputs:]...)
	if out.count() > 0 {
		t.levels[i+1].add(out)
	}
	t.order()
}
