package manifest

import (
	"encoding/binary"

	"ledger/storage"
)

// RunsMax is the largest number of runs of a level: 32 that merge, 32 that wait, and many small
// flushes for checkpoints during a long merge.
const RunsMax = 128

// Sizes of the pieces, and of the largest manifest apart from its tables and trailers.
const (
	HeadBytes  = 8 + 4*8 + 8 + 8 + 8 + 4 + uint64(storage.TreesCount) + 8 // the end mark included
	TableBytes = 8 + 16 + 1 + 1 + 2 + 4 + 8 + 2*storage.KeyBytesMax
	LevelBytes = 1 + 1 + 1
	RunBytes   = 8 + 4*8
	MergeBytes = RunBytes + 4*8 + 1 + storage.KeyBytesMax // its output's run included

	version = 2
	mark    = 0x6d616e6966657374
)

// BytesMax bounds the size of a manifest that names so many tables.
func BytesMax(tables uint64) uint64 {
	return HeadBytes + (tables+1)*TableBytes + uint64(storage.TreesCount)*storage.LevelsMax*(LevelBytes+RunsMax*RunBytes) + (1<<16)*8
}

// Head is the front of a manifest.
type Head struct {
	Transfers, Accounts         uint64
	TransferStamp, AccountStamp uint64
	TailFirst                   uint64 // the ordinal of the first carried row
	LogCount                    uint64 // full blocks of rows
	Trailers                    uint64 // blocks of trailers
	Partial                     bool   // the carried rows have a block
	Levels                      [storage.TreesCount]uint8
}

// Run describes a run. Its tables follow it.
type Run struct {
	Tables       uint64
	Entries      uint64
	Rows         uint64
	OrdinalFirst uint64
	OrdinalEnd   uint64
}

// Merge is the state of a merge under way. It follows the merge's output.
type Merge struct {
	EntriesLeft uint64
	EntriesAll  uint64
	RowsAll     uint64
	Credit      uint64
	From        bool
	FromKey     storage.Key
}

// Writer appends pieces to memory that is large enough.
type Writer struct {
	out []byte
	at  int
}

// NewWriter returns a writer that fills out.
func NewWriter(out []byte) *Writer { return &Writer{out: out} }

func (w *Writer) u8(v uint8) { w.out[w.at] = v; w.at++ }
func (w *Writer) u16(v uint16) {
	binary.LittleEndian.PutUint16(w.out[w.at:], v)
	w.at += 2
}
func (w *Writer) u32(v uint32) {
	binary.LittleEndian.PutUint32(w.out[w.at:], v)
	w.at += 4
}
func (w *Writer) u64(v uint64) {
	binary.LittleEndian.PutUint64(w.out[w.at:], v)
	w.at += 8
}
func (w *Writer) bytes(b []byte) { w.at += copy(w.out[w.at:], b) }
func (w *Writer) flag(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

// Head writes the front.
func (w *Writer) Head(h *Head) {
	w.u64(version)
	w.u64(h.Transfers)
	w.u64(h.Accounts)
	w.u64(h.TransferStamp)
	w.u64(h.AccountStamp)
	w.u64(h.TailFirst)
	w.u64(h.LogCount)
	w.u64(h.Trailers)
	if h.Partial {
		w.u32(1)
	} else {
		w.u32(0)
	}
	w.bytes(h.Levels[:])
}

// Table writes a table.
func (w *Writer) Table(t *storage.Table) {
	w.u64(t.Address)
	w.bytes(t.Checksum[:])
	w.u8(uint8(t.Tree))
	w.flag(t.Partial)
	w.u16(t.PagesUsed)
	w.u32(t.Entries)
	w.u64(t.BornOp)
	w.bytes(t.KeyMin[:])
	w.bytes(t.KeyMax[:])
}

// Level writes the front of a level.
func (w *Writer) Level(number, runs, inputs int) {
	w.u8(uint8(number))
	w.u8(uint8(runs))
	w.u8(uint8(inputs))
}

// Run writes the front of a run.
func (w *Writer) Run(r *Run) {
	w.u64(r.Tables)
	w.u64(r.Entries)
	w.u64(r.Rows)
	w.u64(r.OrdinalFirst)
	w.u64(r.OrdinalEnd)
}

// Merge writes the state of a merge.
func (w *Writer) Merge(m *Merge) {
	w.u64(m.EntriesLeft)
	w.u64(m.EntriesAll)
	w.u64(m.RowsAll)
	w.u64(m.Credit)
	w.flag(m.From)
	w.bytes(m.FromKey[:])
}

// End writes the addresses of the trailers' blocks and the end mark. It returns the manifest.
func (w *Writer) End(trailers []uint64) []byte {
	for _, address := range trailers {
		w.u64(address)
	}
	w.u64(mark)
	return w.out[:w.at]
}
