package levels

import "ledger/storage"

// Listing is a place in the tables of all trees, outputs of merges under way included. The trees
// may change between two calls of Next. A table that moves meanwhile may then be missed, or come
// twice.
type Listing struct {
	tree, level, run, table int
}

// Next returns the tables at a place, at most tablesMax and all of one run, and moves behind them.
// No tables: there are no more. The slice is valid until the trees change.
func (s *Levels) Next(at *Listing, tablesMax int) []storage.Table {
	for ; at.tree < len(s.trees); *at = (Listing{tree: at.tree + 1}) {
		for ; at.level < levelsMax; *at = (Listing{tree: at.tree, level: at.level + 1}) {
			l := &s.trees[at.tree].levels[at.level]
			for ; at.run <= len(l.runs); *at = (Listing{at.tree, at.level, at.run + 1, 0}) {
				list := &l.merge.output.tableList // behind the runs
				if at.run < len(l.runs) {
					list = &l.runs[at.run].tableList
				}
				if rest := list.tables[min(at.table, len(list.tables)):]; len(rest) > 0 {
					rest = rest[:min(len(rest), tablesMax)]
					at.table += len(rest)
					return rest
				}
			}
		}
	}
	return nil
}
