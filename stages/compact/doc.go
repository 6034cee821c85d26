// Package compact flushes sealed memtables, merges runs and writes checkpoints, beside the
// pipeline.
//
//	          jobs, checkpoint                reads, writes, growth, sync
//	apply ----------------------> [compact] <----------------------------> data file
//	      <----------------------
//	        the same, with results
//
// The work is straight-line code (package merge) on a coroutine. A step resumes the coroutine. It
// returns when it must wait for the disk or has worked for some 100 µs.
//
// A Stage is one worker. Workers share nothing. A job names the addresses of its blocks, so the
// file does not depend on which worker runs which job.
//
// In:     EventJob, up to a generation of them; EventCheckpoint, one at a time, when no worker has
// a job; EventReset, when apply drops its state and nothing is out; EventDisk for each operation.
// Out:    reads, writes, growth and syncs; CompactJobDone, in the order in which the jobs came,
// when all blocks of the job are written (apply may read them); CompactCheckpointDone when all
// blocks that were written before it, the trailers included, survive power loss. Owns:   jobs and a
// checkpoint from their events until they are done; its buffers. Limits: merge.ReadsMax reads,
// merge.WritesMax writes, 1 growth and 1 sync in flight. The file grows in steps of 128 blocks, or
// in smaller ones on a full disk. The first worker of a cluster of several also serves and repairs
// blocks; see peers.go. Faults: in a cluster of several, a block that cannot be read becomes
// CompactBlockWanted, and the job waits. Damage in a single replica, a failing disk and a full disk
// become the Fault of the job or of the checkpoint, and of all that follow until a reset. The fault
// of a sync is that of all that follow for ever. Source: design, section 4; docs/design/storage.md.
package compact
