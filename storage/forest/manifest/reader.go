package manifest

import (
	"encoding/binary"
	"errors"

	"ledger/accounting"
	"ledger/storage"
)

// ErrDamaged is the reason why a manifest is refused.
var ErrDamaged = errors.New("the manifest is damaged")

// Reader takes pieces from bytes. After a failure it returns zeros.
type Reader struct {
	in        []byte
	bornOpMax uint64
	pagesMax  uint32
	failed    bool
	table     storage.Table // that Run gives away
}

// NewReader returns a reader of a manifest.
//
// bornOpMax: the checkpoint's op. No table that it names is younger.
// pagesMax:  the most pages that a block has.
func NewReader(in []byte, bornOpMax uint64, pagesMax uint32) Reader {
	return Reader{in: in, bornOpMax: bornOpMax, pagesMax: pagesMax}
}

func (r *Reader) take(n int) []byte {
	if r.failed || len(r.in) < n {
		r.failed = true
		return make([]byte, n)
	}
	taken := r.in[:n]
	r.in = r.in[n:]
	return taken
}
func (r *Reader) u8() uint8   { return r.take(1)[0] }
func (r *Reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *Reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *Reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *Reader) flag() bool {
	value := r.u8()
	r.Expect(value <= 1)
	return value == 1
}

// Expect notes a failure unless condition holds. It tells whether there was no failure so far.
func (r *Reader) Expect(condition bool) bool {
	if !condition {
		r.failed = true
	}
	return !r.failed
}

// Failed tells whether the manifest is damaged.
func (r *Reader) Failed() bool { return r.failed }

// Table reads a table of a tree.
func (r *Reader) Table(tree storage.TreeID) (t storage.Table) {
	t.Address = r.u64()
	copy(t.Checksum[:], r.take(16))
	t.Tree = storage.TreeID(r.u8())
	t.Partial = r.flag()
	t.PagesUsed = r.u16()
	t.Entries = r.u32()
	if t.BornOp = r.u64(); t.BornOp == 0 || t.BornOp > r.bornOpMax {
		r.failed = true
	}
	copy(t.KeyMin[:], r.take(storage.KeyBytesMax))
	copy(t.KeyMax[:], r.take(storage.KeyBytesMax))
	r.Expect(t.Address > 0 && t.Tree == tree && t.Entries > 0 && t.PagesUsed >= 2 && uint32(t.PagesUsed) <= r.pagesMax &&
		t.KeyMin.Compare(&t.KeyMax) <= 0)
	return t
}

// Run reads a run, and gives each of its tables to add.
func (r *Reader) Run(tree storage.TreeID, add func(t *storage.Table)) (out Run) {
	out.Tables = r.u64()
	out.Entries, out.Rows, out.OrdinalFirst, out.OrdinalEnd = r.u64(), r.u64(), r.u64(), r.u64()
	if !r.Expect(out.Tables <= uint64(len(r.in))/TableBytes) {
		return Run{}
	}
	entries, keyMax := uint64(0), storage.Key{}
	for i := range out.Tables {
		r.table = r.Table(tree)
		t := &r.table
		if i > 0 && !r.Expect(keyMax.Compare(&t.KeyMin) < 0) || r.failed {
			break
		}
		add(t)
		entries += uint64(t.Entries)
		keyMax = t.KeyMax
	}
	r.Expect(entries == out.Entries && out.OrdinalFirst <= out.OrdinalEnd)
	return out
}

// Head reads the front of a manifest, with everything in it that bounds what follows.
func (r *Reader) Head() (h Head) {
	r.Expect(r.u64() == version)
	h.Transfers, h.Accounts = r.u64(), r.u64()
	h.TransferStamp, h.AccountStamp = r.u64(), r.u64()
	h.TailFirst, h.LogCount, h.Trailers = r.u64(), r.u64(), r.u64()
	partial := r.u32()
	h.Partial = partial == 1
	r.Expect(h.Transfers < uint64(accounting.TransferOrdinalMax) && h.Accounts < 1<<32 && h.TailFirst <= h.Transfers)
	r.Expect(h.LogCount <= uint64(len(r.in))/TableBytes && partial <= 1 && h.Trailers <= uint64(len(r.in))/8)
	copy(h.Levels[:], r.take(int(storage.TreesCount)))
	return h
}

// Level reads the front of a level whose number is at least least.
func (r *Reader) Level(least uint8, runsMerged int) (number, runs, inputs uint8) {
	number, runs, inputs = r.u8(), r.u8(), r.u8()
	r.Expect(number >= least && number < storage.LevelsMax && runs > 0 && runs <= RunsMax &&
		(inputs == 0 || int(inputs) == runsMerged && inputs <= runs))
	return number, runs, inputs
}

// Merge reads the state of a merge, behind its output.
func (r *Reader) Merge() (m Merge) {
	m.EntriesLeft, m.EntriesAll, m.RowsAll, m.Credit = r.u64(), r.u64(), r.u64(), r.u64()
	m.From = r.flag()
	copy(m.FromKey[:], r.take(storage.KeyBytesMax))
	r.Expect(m.RowsAll > 0 && m.EntriesLeft <= m.EntriesAll && m.EntriesLeft > 0)
	return m
}

// Trailer reads the address of a trailer's block.
func (r *Reader) Trailer() uint64 {
	address := r.u64()
	r.Expect(address > 0)
	return address
}

// End reads the end mark. It tells whether the manifest ends there and nothing in it was damaged.
func (r *Reader) End() bool {
	r.Expect(r.u64() == mark)
	return r.Expect(len(r.in) == 0)
}
