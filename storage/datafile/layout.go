package datafile

import (
	"ledger/internal/assert"
	"ledger/limits"
)

// Layout is the offsets in bytes of the zones of a data file.
type Layout struct {
	SuperblockAt uint64
	TwinsAt      uint64
	PreparesAt   uint64
	GridAt       uint64 // also the size of a freshly formatted file

	superblockBytes uint64 // from copy to copy
	messageBytes    uint64
	twinBytes       uint64
}

// NewLayout computes the zones of a file with these limits.
func NewLayout(l *limits.Limits) Layout {
	layout := Layout{superblockBytes: uint64(l.SuperblockBytes), messageBytes: uint64(l.MessageBytesMax), twinBytes: uint64(l.TwinBytes)}
	layout.TwinsAt = roundUp(uint64(l.SuperblockCopies)*layout.superblockBytes, uint64(l.SectorBytes))
	layout.PreparesAt = layout.TwinsAt + uint64(l.JournalSlotsCount)*layout.twinBytes
	layout.GridAt = l.GridAt()
	assert.AtMost(layout.PreparesAt+uint64(l.JournalSlotsCount)*layout.messageBytes, layout.GridAt, "end of the log")
	return layout
}

// SuperblockCopyAt is the offset of a copy.
func (l *Layout) SuperblockCopyAt(copyIndex uint32) uint64 {
	return l.SuperblockAt + uint64(copyIndex)*l.superblockBytes
}

// PrepareAt is the offset of a log slot.
func (l *Layout) PrepareAt(slotIndex uint64) uint64 { return l.PreparesAt + slotIndex*l.messageBytes }

// TwinAt is the offset of the second copy of a log slot.
func (l *Layout) TwinAt(slotIndex uint64) uint64 { return l.TwinsAt + slotIndex*l.twinBytes }

func roundUp(value, unit uint64) uint64 { return (value + unit - 1) / unit * unit }
