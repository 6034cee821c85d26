// Package merge performs the jobs of compaction, as straight-line code.
//
//	Job (sealed memtable) --extract, sort, pack--> blocks of new runs
//	Job (runs of a tree)  --read, merge, pack----> blocks of one run of the next level
//	CheckpointJob         --link-----------------> chains of blocks
//
// It runs on the coroutine of stages/compact. It waits where it needs the disk, and it breathes
// after some 100 µs of work. Its output is a pure function of the job. Waits, breaths, buffers and
// the order of completions do not affect it.
//
// In:     jobs, one at a time; blocks from a BlockReader. They are verified here, page by page.
// Out:    blocks to a BlockWriter; the job's results; the job's Fault.
// Owns:   its buffers, reserved at construction: two blocks per input run, one per write in flight
// and one that is being filled, and the records and slots of a sort.
// Limits: MergeRunsMax input runs; 4 writes in flight; EntriesMax entries of a tree per flush.
// Faults: a damaged block is read once more. If it is still damaged, or if both reads fail, the job
// waits for its repair, where there are other replicas. Without them, or if a write fails, the job
// ends with a Fault, and so do all later jobs.
// Source: design, section 4, "Deterministic compaction on another core"; docs/design/storage.md.
package merge
