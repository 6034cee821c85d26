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
	bornOpMax uint64 // the checkpoint's op: no table that it names is younger
	in        []byte
	failed    bool
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

// table reads a table of a tree. A block has at most pagesMax pages.
func (r *reader) table(tree storage.TreeID, pagesMax uint32) (t storage.Table) {
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
	r.expect(t.Address > 0 && t.Tree == tree && t.Entries > 0 && t.PagesUsed >= 2 && uint32(t.PagesUsed) <= pagesMax &&
		t.KeyMin.Compare(&t.KeyMax) <= 0)
	return t
}

// run reads a run, and gives each of its tables to add. The result has no tables.
func (r *reader) run(tree storage.TreeID, pagesMax uint32, add func(t *storage.Table)) (out run) {
	count := r.u64()
	out.entries, out.rows, out.ordinalFirst, out.ordinalEnd = r.u64(), r.u64(), r.u64(), r.u64()
	if !r.expect(count <= uint64(len(r.in))/manifestTableBytes) {
		return run{}
	}
	entries, keyMax := uint64(0), storage.Key{}
	for i := range count {
		t := r.table(tree, pagesMax)
		if i > 0 && !r.expect(keyMax.Compare(&t.KeyMin) < 0) || r.failed {
			break
		}
		add(&t)
		entries += uint64(t.Entries)
		keyMax = t.KeyMax
	}
	r.expect(entries == out.entries && out.ordinalFirst <= out.ordinalEnd)
	return out
}

func (f *Forest) readRun(r *reader, tree storage.TreeID) run {
	var list tableList
	out := r.run(tree, f.geometry.PagesMax, func(t *storage.Table) { f.tableAppend(&list, t, 0) })
	out.tableList = list
	return out
}

// manifestHead is the front of a manifest.
type manifestHead struct {
	transfers, accounts         uint64
	transferStamp, accountStamp uint64
	tailFirst                   uint64 // the ordinal of the first carried row
	logCount                    uint64 // full blocks of rows
	trailers                    uint64 // blocks of trailers
	partial                     uint32 // 1 if the carried rows have a block
	levels                      [storage.TreesCount]uint8
}

// head reads the front of a manifest, with everything in it that bounds what follows.
func (r *reader) head() (h manifestHead) {
	r.expect(r.u64() == manifestVersion)
	h.transfers, h.accounts = r.u64(), r.u64()
	h.transferStamp, h.accountStamp = r.u64(), r.u64()
	h.tailFirst, h.logCount, h.trailers, h.partial = r.u64(), r.u64(), r.u64(), r.u32()
	r.expect(h.transfers < uint64(accounting.TransferOrdinalMax) && h.accounts < 1<<32 && h.tailFirst <= h.transfers)
	r.expect(h.logCount <= uint64(len(r.in))/manifestTableBytes && h.partial <= 1 && h.trailers <= uint64(len(r.in))/8)
	copy(h.levels[:], r.take(int(storage.TreesCount)))
	return h
}

// level reads the front of a level whose number is at least least.
func (r *reader) level(least uint8, runsMerged int) (number, runs, inputs uint8) {
	number, runs, inputs = r.u8(), r.u8(), r.u8()
	r.expect(number >= least && number < levelsMax && runs > 0 && runs <= runsMax &&
		(inputs == 0 || int(inputs) == runsMerged && inputs <= runs))
	return number, runs, inputs
}

// merge reads the state of a merge, behind its output.
func (r *reader) merge(m *merge) {
	m.entriesLeft, m.entriesAll, m.rowsAll, m.credit = r.u64(), r.u64(), r.u64(), r.u64()
	m.from = r.flag()
	copy(m.fromKey[:], r.take(storage.KeyBytesMax))
	r.expect(m.rowsAll > 0 && m.entriesLeft <= m.entriesAll && m.entriesLeft > 0)
}

// manifestDecode fills an empty forest. After an error, the forest must not be used.
func (f *Forest) manifestDecode(in []byte, checkpointOp uint64) error {
	r := &reader{in: in, bornOpMax: checkpointOp}
	// Lists double when they grow, so only a quarter of the pool is certain to be usable.
	fits := uint64(len(in))/manifestTableBytes <= uint64(len(f.pool.tables)/4)+uint64(len(f.log.tables))
	if !r.expect(fits) {
		return errManifest
	}
	head := r.head()
	r.expect(head.logCount <= uint64(len(f.log.tables)) && head.trailers <= uint64(len(f.checkpoint.trailers)))
	if r.failed {
		return errManifest
	}
	f.tail.first = accounting.TransferOrdinal(head.tailFirst)
	next := uint64(0) // ordinal
	for range head.logCount {
		t := r.table(storage.TreeTransferLog, f.geometry.PagesMax)
		if r.failed {
			return errManifest
		}
		f.log.add(&t)
		if !r.expect(!t.Partial && f.log.firsts[f.log.count-1] == next) {
			return errManifest
		}
		next += uint64(t.Entries)
	}
	if head.partial == 1 {
		f.log.partial = r.table(storage.TreeTransferLog, f.geometry.PagesMax)
		r.expect(f.log.partial.Partial)
	}
	r.expect(next == uint64(f.tail.first) && uint64(f.tail.first)+uint64(f.log.partial.Entries) == head.transfers)
	for id := range storage.TreesCount {
		next := uint8(0) // level
		for range head.levels[id] {
			if r.failed || !r.expect(id != storage.TreeTransferLog) {
				return errManifest
			}
			next = f.readLevel(r, &f.trees[id], next)
		}
	}
	for i := range head.trailers {
		f.checkpoint.trailers[i] = r.u64()
		r.expect(f.checkpoint.trailers[i] > 0)
	}
	f.checkpoint.trailersCount = head.trailers
	if r.expect(r.u64() == manifestMark); r.failed || len(r.in) > 0 {
		return errManifest
	}
	f.restore(head.transfers, head.accounts, head.transferStamp, head.accountStamp)
	return nil
}

// readLevel reads a level whose number is at least least. It returns the smallest number that the
// next level may have.
func (f *Forest) readLevel(r *reader, t *tree, least uint8) uint8 {
	number, runs, inputs := r.level(least, t.runsMerged)
	if r.failed {
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
		r.merge(m)
	}
	return number + 1
}
