// Package manifest is the format of the list of tables that a checkpoint names.
//
// The manifest is little-endian: head; blocks of the row log; the partial block, if any; the trees
// in order; addresses of the trailers; end mark. A tree is its levels that hold runs, a level its
// runs and the merge under way.
//
// In:     from the parts of the forest, what they have, piece by piece in this order; or the bytes
// of a trailer.
// Out:    the bytes; or the pieces, each checked by itself and against the one before it.
// Owns:   nothing. Writer and Reader hold a position in memory of the caller.
// Limits: RunsMax runs of a level, storage.LevelsMax levels.
// Faults: damaged bytes never panic. A Reader that has failed returns zeros, and Failed tells so.
// Walk returns an error.
// Source: docs/design/storage.md.
package manifest
