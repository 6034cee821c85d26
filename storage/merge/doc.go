// Package merge does what a job of compaction says, as straight-line code.
//
//	Job (sealed memtable) --extract, sort, pack--> blocks of new runs
//	Job (runs of a tree)  --read, merge, pack----> blocks of one run of the next level
//	CheckpointJob         --link-----------------> chains of blocks
//
// It runs on the coroutine of stages/compact: where it must wait for the disk it waits, and after
// some 100 µs of work it breathes. What it writes is a pure function of the job: neither waits,
// breaths, buffers nor the order of completions show.
//
// In:     jobs, one at a time; blocks from a BlockReader, verified here, page by page.
// Out:    blocks to a BlockWriter; the job's results; the job's Fault.
// Owns:   its buffers, reserved at construction: two blocks per input run, one per write in flight
// and one being filled, and the records and slots of a sort.
// Limits: MergeRunsMax input runs; 4 writes in flight; EntriesMax entries of a tree per flush.
// Faults: a damaged block is read once more; then, as after a failed read or write, the job ends
// with a Fault and so do all that follow.
// Source: design, section 4, "Deterministic compaction on another core"; docs/design/storage.md.
package merge
