// Package forest is the state of the accounting rules: memtables in front, trees on disk behind.
//
//	                 accounting.Store                          BarPlan: Generation
//	accounting rules ----------------> filling memtable --seal--> flushing --------> compact
//	                 <---------------- caches, tail, trees <----- BarInstall --------
//	                    pages |  ^                             CheckpointCapture: CheckpointJob
//	                          v  |
//	                          grid
//
// In:     the calls of accounting.Store and accounting.Warmer, on one thread; at each bar's end
// BarInstall, at a trigger CheckpointCapture, at the fixed op behind it CheckpointDurable, then
// BarPlan: always in this order.
// Out:    answers; generations of jobs and checkpoints for compact. What is planned, and for which
// addresses, depends on the ops alone: not on caches, timing, or the limits of this start.
// Owns:   memtables, account cache, manifest (which tables exist), free set, filters. A generation
// and a checkpoint job belong to compact until they come back; a flushing memtable does not change
// meanwhile.
// Limits: memtables hold one row less than the seal and a bar of full ops; 64 runs per level;
// everything is reserved by New.
// Faults: a damaged page, a failing disk and a full data file end in Fault: the caller is never
// resumed, the replica stops.
// Source: design, section 4; docs/design/storage.md.
package forest
