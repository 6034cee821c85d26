package levels

import (
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/keys"
)

// planMerge plans the share of the merge of one level.
func (s *Levels) planMerge(t *Tree, i int) {
	l := &t.levels[i]
	m := &l.merge
	begins := m.inputs == 0
	if begins {
		if len(l.runs) < t.runsMerged {
			return
		}
		if s.mergeByReference(t, i) {
			return
		}
		mergeBegin(t, l)
	}
	p := &s.plan
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
		// Four tables of dense postings may hold more than a job can merge.
		if entries < min(mergeTablesMin*worth, p.entriesMax) {
			return
		}
		if t.spec.Encoding == storage.EncodingPlain {
			// Slightly less than whole tables, because a job goes on to a whole key and may read a
			// few entries more.
			if rest := entries % p.tableEntries[t.id]; rest < entries {
				entries -= rest
			}
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
	s.planJob(job, t.shape.TablesMax(entries+runsMerged), i)
}

// mergeBegin makes the oldest runs of a level the inputs of a merge.
func mergeBegin(t *Tree, l *level) {
	m := &l.merge
	*m = merge{inputs: t.runsMerged}
	for i := range l.runs[:m.inputs] {
		r := &l.runs[i]
		m.entriesAll += r.entries
		m.rowsAll += r.rows
	}
	m.entriesLeft = m.entriesAll
	m.output.rows = m.rowsAll
	m.output.ordinalFirst = l.runs[0].ordinalFirst
	m.output.ordinalEnd = l.runs[m.inputs-1].ordinalEnd
}

// inherit tells of the output of a merge whether its ids are in the filter of all ids: those of all
// inputs are, when the merge ends. The output is wanted if each input is covered or wanted. The
// ids of the covered ones are then added a second time, for which the filter must have room. An
// output that is neither covered nor wanted is asked by itself until the next start.
func (r *Run) inherit(inputs []Run, room *uint64) {
	twice, isCovered, isKnown := uint64(0), true, true
	for i := range inputs {
		in := &inputs[i]
		isCovered = isCovered && in.covered
		isKnown = isKnown && (in.covered || in.wanted)
		if in.covered {
			twice += in.entries
		}
	}
	r.covered = isCovered
	if r.wanted = isKnown && !isCovered && twice <= *room; r.wanted {
		*room -= twice
	}
}

// mergeByReference makes one run of the oldest runs of a level without reading them. It lists their
// tables one after the other. That works if the tables ascend without overlap and are filled well.
// So increasing ids, and trees with a time as key, are never written twice.
func (s *Levels) mergeByReference(t *Tree, i int) bool {
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
	if 2*entries < tables*s.plan.tableEntries[t.id] {
		return false
	}
	out := Run{entries: entries, ordinalFirst: runs[0].ordinalFirst, ordinalEnd: runs[inputs-1].ordinalEnd}
	out.inherit(runs, &s.cover.room)
	for j := range runs {
		out.rows += runs[j].rows
		for k := range runs[j].tables {
			s.tableAppend(&out.tableList, &runs[j].tables[k], runs[j].filters[k].slot)
		}
		s.pool.release(&runs[j].tableList)
	}
	s.movedCount += tables
	s.promote(t, i, inputs, out)
	return true
}
