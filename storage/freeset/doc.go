// Package freeset tracks which block addresses are in use, and when a released one may be used
// again.
//
//	            Acquire                        Release, never named       BarEnd
//	free ---------------------> acquired ------------------------> waits ------> free
//	  ^        GiveBack            |  Capture: now named by a checkpoint
//	  +----------------------------+  Release, named --> waits for the next checkpoint captured
//	                                                     --> its Durable --> free
//
// A block that a checkpoint names may be read by a restart, or by a peer that syncs to that
// checkpoint. It is needed until a later checkpoint without it is durable. A block that no
// checkpoint ever named is needed only by the reads that are under way.
//
// In:     calls of apply at fixed ops, in a fixed order. At a bar's end: GiveBack, BarEnd, Release.
// Then at a trigger: Acquire for the trailers, and Capture. At the fixed op behind it: Durable.
// Then Acquire for the next generation.
// Out:    addresses from 1, always the lowest free ones; the encoding for the checkpoint's trailer.
// Both are a pure function of the calls.
// Owns:   its bitmaps, reserved for the largest file and touched as far as the file grows.
// Limits: addressesMax from StorageBytesMax. Acquire returns false beyond it, which counts as a
// full disk.
// Faults: a damaged encoding is an error of Decode. A double release is our own mistake and stops
// the process.
// Source: design, section 4, "When a block may be used again"; docs/design/storage.md, "One bar".
package freeset
