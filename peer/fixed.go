package peer

import (
	"encoding/binary"

	"ledger/limits"
	"ledger/prepare"
	"ledger/wire"
)

// fixedCount is the number of values that format has fixed. A value is added at the end, together
// with a new protocol version.
const fixedCount = 16

// Fixed are the values that format has fixed, in the order of fixedNames. Replicas whose values
// differ would write different checkpoints from the same log.
type Fixed [fixedCount]uint32

// fixedNames names the values, in their order.
var fixedNames = [fixedCount]string{
	"format version", "sector bytes", "page bytes", "block bytes", "message bytes", "log slots", "twin bytes", "bar ops", "slack ops",
	"pipeline ops", "memtable seal rows", "merged runs of postings", "superblock bytes", "superblock copies", "sessions", "request bytes",
}

// FixedOf collects the values. requestBytesMax is the largest request that the data file was
// formatted for; a server may have been started with a smaller one.
func FixedOf(l *limits.Limits, requestBytesMax uint32) Fixed {
	return Fixed{
		limits.FormatVersion, l.SectorBytes, l.PageBytes, l.BlockBytes, l.MessageBytesMax, l.JournalSlotsCount, l.TwinBytes, l.BarOps,
		l.SlackOps, l.PipelineOpsMax, l.MemtableRowsSeal, l.PostingRunsMerged, l.SuperblockBytes, l.SuperblockCopies, l.SessionsMax,
		requestBytesMax,
	}
}

// Digest is BLAKE3 over the number of values and the values, little-endian, in their order.
func (f *Fixed) Digest() wire.Checksum {
	var b [4 + 4*fixedCount]byte
	binary.LittleEndian.PutUint32(b[:], fixedCount)
	for i, value := range f {
		binary.LittleEndian.PutUint32(b[4+4*i:], value)
	}
	return prepare.Sum(b[:])
}

// differs returns the first value that is not the other's. ok is false if all are equal.
func (f *Fixed) differs(other *Fixed) (index int, ok bool) {
	for i := range f {
		if f[i] != other[i] {
			return i, true
		}
	}
	return 0, false
}
