package levels

import (
	"ledger/storage"
	"ledger/storage/forest/manifest"
)

// LevelsCount fills out with the number of levels that hold runs, for each tree.
func (s *Levels) LevelsCount(out *[storage.TreesCount]uint8) {
	for i := range s.trees {
		out[i] = 0
		for j := range s.trees[i].levels {
			if len(s.trees[i].levels[j].runs) > 0 {
				out[i]++
			}
		}
	}
}

// EncodedBytes is the size of what Encode writes.
func (s *Levels) EncodedBytes() (size uint64) {
	for i := range s.trees {
		for j := range s.trees[i].levels {
			l := &s.trees[i].levels[j]
			if len(l.runs) == 0 {
				continue
			}
			size += manifest.LevelBytes
			for k := range l.runs {
				size += manifest.RunBytes + uint64(l.runs[k].count())*manifest.TableBytes
			}
			if l.merge.inputs > 0 {
				size += manifest.MergeBytes + uint64(l.merge.output.count())*manifest.TableBytes
			}
		}
	}
	return size
}

// Encode writes the trees' part of the manifest.
func (s *Levels) Encode(w *manifest.Writer) {
	for i := range s.trees {
		for j := range s.trees[i].levels {
			l := &s.trees[i].levels[j]
			if len(l.runs) == 0 {
				continue
			}
			w.Level(j, len(l.runs), l.merge.inputs)
			for k := range l.runs {
				encodeRun(w, &l.runs[k])
			}
			if m := &l.merge; m.inputs > 0 {
				encodeRun(w, &m.output)
				w.Merge(&manifest.Merge{EntriesLeft: m.entriesLeft, EntriesAll: m.entriesAll, RowsAll: m.rowsAll, Credit: m.credit,
					From: m.from, FromKey: m.fromKey})
			}
		}
	}
}

func encodeRun(w *manifest.Writer, r *Run) {
	w.Run(&manifest.Run{Tables: uint64(r.count()), Entries: r.entries, Rows: r.rows, OrdinalFirst: r.ordinalFirst, OrdinalEnd: r.ordinalEnd})
	for i := range r.tables {
		w.Table(&r.tables[i])
	}
}

// Decode fills empty trees with the trees' part of a manifest. After a failure of the reader, the
// trees must not be used. The tables have no filters yet: OpenFilters assigns them.
func (s *Levels) Decode(r *manifest.Reader, levels *[storage.TreesCount]uint8) {
	for id := range storage.TreesCount {
		next := uint8(0) // level
		for range levels[id] {
			if r.Failed() || !r.Expect(id != storage.TreeTransferLog) {
				return
			}
			next = s.decodeLevel(r, &s.trees[id], next)
		}
		s.trees[id].order()
	}
}

// decodeLevel reads a level whose number is at least least. It returns the smallest number that the
// next level may have.
func (s *Levels) decodeLevel(r *manifest.Reader, t *Tree, least uint8) uint8 {
	number, runs, inputs := r.Level(least, t.runsMerged)
	if r.Failed() {
		return levelsMax
	}
	l := &t.levels[number]
	for range runs {
		out := s.decodeRun(r, t.id)
		if !r.Expect(out.count() > 0 && out.rows > 0) {
			return levelsMax
		}
		l.add(out)
	}
	if inputs > 0 {
		m := &l.merge
		m.inputs = int(inputs)
		m.output = s.decodeRun(r, t.id)
		state := r.Merge()
		m.entriesLeft, m.entriesAll, m.rowsAll, m.credit = state.EntriesLeft, state.EntriesAll, state.RowsAll, state.Credit
		m.from, m.fromKey = state.From, state.FromKey
	}
	return number + 1
}

func (s *Levels) decodeRun(r *manifest.Reader, tree storage.TreeID) Run {
	var list tableList
	run := r.Run(tree, func(t *storage.Table) { s.tableAppend(&list, t, 0) })
	return Run{tableList: list, entries: run.Entries, rows: run.Rows, ordinalFirst: run.OrdinalFirst, ordinalEnd: run.OrdinalEnd}
}
