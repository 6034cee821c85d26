// Package compact flushes sealed memtables, merges runs and writes checkpoints, beside the pipeline.
//
//	      generation, checkpoint              reads, writes, growth, sync
//	apply ----------------------> [compact] <----------------------------> data file
//	      <----------------------
//	        the same, with results
//
// The work itself is straight-line code (package merge) on a coroutine: a step resumes it, and it comes back when it must wait
// for the disk or has worked for some 100 µs.
//
// In:     EventGeneration and EventCheckpoint, one of each at a time; EventDisk for each operation asked for.
// Out:    reads, writes, growth and syncs; ActionGenerationDone when all blocks of a generation are written (apply may read them);
// ActionCheckpointDone when all blocks written before it, the trailers included, survive power loss.
// Owns:   a generation and a checkpoint from their events until they are done; its buffers; the end of the file.
// Limits: 16 reads, 4 writes, 1 growth and 1 sync in flight; the file grows in steps of 128 blocks, or by less on a full disk.
// Faults: damage, a failing or a full disk become the Fault of the job or of the checkpoint, and of all that follow.
// Source: design, section 4; docs/design/storage.md.
package compact
