// Package compact flushes sealed memtables, merges runs and writes checkpoints, beside the
// pipeline.
//
//	          jobs, checkpoint                reads, writes, growth, sync
//	apply ----------------------> [compact] <----------------------------> data file
//	      <----------------------
//	        the same, with results
//
// The work itself is straight-line code (package merge) on a coroutine: a step resumes it, and it
// comes back when it must wait for the disk or has worked for some 100 µs.
//
// A Stage is one worker. Several share nothing: jobs say where their blocks go, so who runs which
// makes no difference to the file.
//
// In:     EventJob, up to a generation of them; EventCheckpoint, one at a time, when no job is out,
// of any worker; EventDisk for each operation asked for.
// Out:    reads, writes, growth and syncs; ActionJobDone, in the order in which jobs came, when all
// blocks of the job are written (apply may read them); ActionCheckpointDone when all blocks written
// before it, the trailers included, survive power loss.
// Owns:   jobs and a checkpoint from their events until they are done; its buffers.
// Limits: 16 reads, 4 writes, 1 growth and 1 sync in flight; the file grows in steps of 128 blocks,
// or by less on a full disk.
// Faults: damage, a failing or a full disk become the Fault of the job or of the checkpoint, and of
// all that follow.
// Source: design, section 4; docs/design/storage.md.
package compact
