package grid

import (
	"ledger/storage"
	"ledger/storage/block"
)

// ReadTrailer reads and verifies a trailer from the root on, many blocks at the same time. It waits
// for ever at a block that cannot be read; then the stage sees Fault.
//
// content: pieces that together have the trailer's length.
// names:   memory of TrailerNamesBytes.
// reason:  why this length and this root do not fit together, or "".
func (g *Grid) ReadTrailer(kind storage.TrailerKind, root storage.Ref, content [][]byte, names []byte,
	waiter storage.Waiter) (reason string) {
	length := uint64(0)
	for _, piece := range content {
		length += uint64(len(piece))
	}
	t, reason := block.NewTrailerReader(&g.geometry, kind, root, length, names)
	if reason != "" {
		return reason
	}
	begun, taken := uint64(0), uint64(0)
	for taken < t.Blocks() {
		for ; begun < min(taken+BlocksMax, t.Blocks()) && g.BlockIsFree(int(begun%BlocksMax)); begun++ {
			ref, ok := t.Name(begun)
			if !ok {
				break
			}
			if ref.Address == 0 {
				return "a reference names no block"
			}
			g.BlockStart(int(begun%BlocksMax), ref, 0, 0)
		}
		read := int(taken % BlocksMax)
		if begun == taken || !g.takeTrailer(&t, taken, read, content) {
			waiter.Wait()
			continue
		}
		g.BlockEnd(read)
		taken++
		waiter.Breathe()
	}
	return ""
}

// takeTrailer copies the content of a block once it has been read.
func (g *Grid) takeTrailer(t *block.TrailerReader, i uint64, read int, content [][]byte) bool {
	if _, ok := g.BlockHeader(read); !ok {
		return false
	}
	data := g.BlockBytes(read)
	if data == nil {
		return false
	}
	part, at, reason := t.Take(i, data)
	if reason != "" {
		g.BlockRefuse(read, reason)
		return false
	}
	for _, piece := range content {
		if at < uint64(len(piece)) {
			part = part[copy(piece[at:], part):]
			at = 0
			continue
		}
		at -= uint64(len(piece))
	}
	return true
}
