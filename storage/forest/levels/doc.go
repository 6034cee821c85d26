// Package levels is the trees of the forest: runs of tables by levels, their filters, the plan of
// flushes and merges, and the look-up of a key.
//
//	sealed memtable --PlanRows, PlanFlush--> jobs --> compact --> Install: a run of level 0
//	runs of level n --PlanMerges-----------> jobs --> compact --> Install: a run of level n+1,
//	                                                              the inputs are released
//
// In:     at the end of a bar, in this order: Collect and Install with the results of the previous
// generation; then PlanBegin, PlanRows, PlanFlush, PlanMerges, PlanEnd. At a start, Decode.
// Out:    answers of Find, Try and of cursors over runs; generations of jobs. The jobs and their
// addresses depend only on the calls, never on the page cache or on timing.
// Owns:   the lists of tables, the memory of the tables' filters, and the memory of the jobs that
// compact has. It acquires and releases blocks in the free set.
// Limits: manifest.RunsMax runs per level; the pools of tables and of filters. New reserves all
// memory.
// Faults: a full pool or a full data file end in Fail of package pages. A failed job does so too.
//
// Invariants, which Check asserts:
//   - The tables of a run ascend and are disjoint, and the fence of a table is its last key.
//   - A table belongs to one run or to one output of a merge, and its block is acquired.
//   - Runs are ordered: a deeper level is older, and within a level runs are ordered by age. The
//     ordinals of the runs of a posting tree follow each other in this order.
//   - A table has a filter exactly if its tree has filters.
//   - What a merge under way has written is invisible, and its inputs stay visible until it ends.
//
// Source: design, section 4; docs/design/storage.md, "Levels" and "One bar".
package levels
