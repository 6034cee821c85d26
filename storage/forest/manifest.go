package forest

import (
	"encoding/binary"
	"errors"

	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
)

// The manifest is little-endian: head; blocks of the row log; the partial block, if any; the trees
// in order; addresses of the trailers; end mark. A tree is its levels that hold runs, a level its
// runs and the merge under way.
const (
	manifestVersion    = 2
	manifestHeadBytes  = 8 + 4*8 + 8 + 8 + 8 + 4 + uint64(storage.TreesCount) + 8
	manifestTableBytes = 8 + 16 + 1 + 1 + 2 + 4 + 8 + 2*storage.KeyBytesMax
	manifestLevelBytes = 1 + 1 + 1
	manifestRunBytes   = 8 + 4*8
	manifestMergeBytes = manifestRunBytes + 4*8 + 1 + storage.KeyBytesMax
	manifestMark       = 0x6d616e6966657374
)

// writer appends numbers of fixed size to memory that is large enough.
type writer struct {
	out []byte
	at  int
}

func (w *writer) u8(v uint8) { w.out[w.at] = v; w.at++ }
func (w *writer) u16(v uint16) {
	binary.LittleEndian.PutUint16(w.out[w.at:], v)
	w.at += 2
}
func (w *writer) u32(v uint32) {
	binary.LittleEndian.PutUint32(w.out[w.at:], v)
	w.at += 4
}
func (w *writer) u64(v uint64) {
	binary.LittleEndian.PutUint64(w.out[w.at:], v)
	w.at += 8
}
func (w *writer) bytes(b []byte) { w.at += copy(w.out[w.at:], b) }
func (w *writer) flag(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

func (w *writer) table(t *storage.Table) {
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

func (w *writer) run(r *run) {
	w.u64(uint64(r.count()))
	w.u64(r.entries)
	w.u64(r.rows)
	w.u64(r.ordinalFirst)
	w.u64(r.ordinalEnd)
	for i := range r.tables {
		w.table(&r.tables[i])
	}
}

// manifestEncode writes the manifest into out and returns the used part.
func (f *Forest) manifestEncode(out []byte) []byte {
	w := writer{out: out}
	w.u64(manifestVersion)
	m := f.filling // everything before the filling memtable is on disk
	w.u64(uint64(m.transfersFirst))
	w.u64(uint64(m.accountsFirst))
	w.u64(m.transferStampFirst)
	w.u64(m.accountStampFirst)
	w.u64(uint64(f.tail.first))
	w.u64(uint64(f.log.count))
	w.u64(f.checkpoint.trailersCount)
	if f.log.partial.IsZero() {
		w.u32(0)
	} else {
		w.u32(1)
	}
	for i := range f.trees {
		levels := uint8(0)
		for j := range f.trees[i].levels {
			if len(f.trees[i].levels[j].runs) > 0 {
				levels++
			}
		}
		w.u8(levels)
	}
	for i := range f.log.count {
		w.table(&f.log.tables[i])
	}
	if !f.log.partial.IsZero() {
		w.table(&f.log.partial)
	}
	for i := range f.trees {
		for j := range f.trees[i].levels {
			l := &f.trees[i].levels[j]
			if len(l.runs) == 0 {
				continue
			}
			w.u8(uint8(j))
			w.u8(uint8(len(l.runs)))
			w.u8(uint8(l.merge.inputs))
			for k := range l.runs {
				w.run(&l.runs[k])
			}
			if l.merge.inputs > 0 {
				w.run(&l.merge.output)
				w.u64(l.merge.entriesLeft)
				w.u64(l.merge.entriesAll)
				w.u64(l.merge.rowsAll)
				w.u64(l.merge.credit)
				w.flag(l.merge.from)
				w.bytes(l.merge.fromKey[:])
			}
		}
	}
	for _, address := range f.checkpoint.trailers[:f.checkpoint.trailersCount] {
		w.u64(address)
	}
	w.u64(manifestMark)
	assert.Equal(uint64(w.at), f.manifestBytes(f.checkpoint.trailersCount), "the size of the manifest")
	return out[:w.at]
}

var errManifest = errors.New("the manifest is damaged")

// reader takes numbers of fixed size from bytes. After a failure it returns zeros.
type reader struct {
	in     []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || len(r.in) < n {
		r.failed = true
		return make([]byte, n)
	}
	taken := r.in[:n]
	r.in = r.in[n:]
	return taken
}
func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) flag() bool {
	value := r.u8()
	r.expect(value <= 1)
	return value == 1
}

// expect notes a failure unless condition holds.
func (r *reader) expect(condition bool) bool {
	if !condition {
		r.failed = true
	}
	return !r.failed
}

func (f *Forest) readTable(r *reader, tree storage.TreeID) (t storage.Table) {
	t.Address = r.u64()
	copy(t.Checksum[:], r.take(16))
	t.Tree = storage.TreeID(r.u8())
	t.Partial = r.flag()
	t.PagesUsed = r.u16()
	t.Entries = r.u32()
	t.BornOp = r.u64()
	copy(t.KeyMin[:], r.take(storage.KeyBytesMax))
	copy(t.KeyMax[:], r.take(storage.KeyBytesMax))
	r.expect(t.Address > 0 && t.Tree == tree && t.Entries > 0 && t.PagesUsed >= 2 && uint32(t.PagesUsed) <= f.geometry.PagesMax &&
		t.KeyMin.Compare(&t.KeyMax) <= 0)
	return t
}

func (f *Forest) readRun(r *reader, tree storage.TreeID) (out run) {
	count := r.u64()
	out.entries, out.rows, out.ordinalFirst, out.ordinalEnd = r.u64(), r.u64(), r.u64(), r.u64()
	if !r.expect(count <= uint64(len(r.in))/manifestTableBytes) {
		return run{}
	}
	entries := uint64(0)
	for i := range count {
		t := f.readTable(r, tree)
		if i > 0 && !r.expect(out.tables[i-1].KeyMax.Compare(&t.KeyMin) < 0) || r.failed {
			break
		}
		f.tableAppend(&out.tableList, &t, 0)
		entries += uint64(t.Entries)
	}
	r.expect(entries == out.entries && out.ordinalFirst <= out.ordinalEnd)
	return out
}

// manifestDecode fills an empty forest. After an error, the forest must not be used.
func (f *Forest) manifestDecode(in []byte) error {
	r := &reader{in: in}
	// Lists double when they grow, so only a quarter of the pool is certain to be usable.
	fits := uint64(len(in))/manifestTableBytes <= uint64(len(f.pool.tables)/4)+uint64(len(f.log.tables))
	if !r.expect(fits && r.u64() == manifestVersion) {
		return errManifest
	}
	transfers, accounts := r.u64(), r.u64()
	transferStamp, accountStamp := r.u64(), r.u64()
	f.tail.first = accounting.TransferOrdinal(r.u64())
	logCount, trailers, partial := r.u64(), r.u64(), r.u32()
	r.expect(transfers < uint64(accounting.TransferOrdinalMax) && accounts < 1<<32 && uint64(f.tail.first) <= transfers)
	r.expect(logCount <= uint64(len(f.log.tables)) && logCount <= uint64(len(r.in))/manifestTableBytes && partial <= 1)
	r.expect(trailers <= uint64(len(f.checkpoint.trailers)) && trailers <= uint64(len(r.in))/8)
	if r.failed {
		return errManifest
	}
	var levels [storage.TreesCount]uint8
	copy(levels[:], r.take(int(storage.TreesCount)))
	next := uint64(0) // ordinal
	for range logCount {
		t := f.readTable(r, storage.TreeTransferLog)
		if r.failed {
			return errManifest
		}
		f.log.add(&t)
		if !r.expect(!t.Partial && f.log.firsts[f.log.count-1] == next) {
			return errManifest
		}
		next += uint64(t.Entries)
	}
	if partial == 1 {
		f.log.partial = f.readTable(r, storage.TreeTransferLog)
		r.expect(f.log.partial.Partial)
	}
	r.expect(next == uint64(f.tail.first) && uint64(f.tail.first)+uint64(f.log.partial.Entries) == transfers)
	for id := range storage.TreesCount {
		next := uint8(0) // level
		for range levels[id] {
			if r.failed || !r.expect(id != storage.TreeTransferLog) {
				return errManifest
			}
			next = f.readLevel(r, &f.trees[id], next)
		}
	}
	for i := range trailers {
		f.checkpoint.trailers[i] = r.u64()
		r.expect(f.checkpoint.trailers[i] > 0)
	}
	f.checkpoint.trailersCount = trailers
	if r.expect(r.u64() == manifestMark); r.failed || len(r.in) > 0 {
		return errManifest
	}
	f.restore(transfers, accounts, transferStamp, accountStamp)
	return nil
}

// readLevel reads a level whose number is at least least. It returns the smallest number that the
// next level may have.
func (f *Forest) readLevel(r *reader, t *tree, least uint8) uint8 {
	number, runs, inputs := r.u8(), r.u8(), r.u8()
	if !r.expect(number >= least && number < levelsMax && runs > 0 && runs <= runsMax &&
		(inputs == 0 || int(inputs) == t.runsMerged && inputs <= runs)) {
		return levelsMax
	}
	l := &t.levels[number]
	for range runs {
		out := f.readRun(r, t.id)
		if !r.expect(out.count() > 0 && out.rows > 0) {
			return levelsMax
		}
		f.levelAdd(l, out)
	}
	if inputs > 0 {
		m := &l.merge
		m.inputs = int(inputs)
		m.output = f.readRun(r, t.id)
		m.entriesLeft, m.entriesAll, m.rowsAll, m.credit = r.u64(), r.u64(), r.u64(), r.u64()
		m.from = r.flag()
		copy(m.fromKey[:], r.take(storage.KeyBytesMax))
		r.expect(m.rowsAll > 0 && m.entriesLeft <= m.entriesAll && m.entriesLeft > 0)
	}
	return number + 1
}
