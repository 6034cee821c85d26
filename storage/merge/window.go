package merge

import (
	"math/bits"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/table"
)

// A merge of trees whose entries are numbers works by windows. A window is the keys up to the
// smallest of the runs' last decoded keys. All keys in a window come before all keys outside of it,
// in whatever run they are. So a window can be sorted by itself, like a flush: as slots of 8 bytes,
// moved twice. Taking the runs' keys one by one, the smallest first, would mispredict a comparison
// for each. It would also need more comparisons with more runs.
//
// Slots are made from the oldest run to the newest, and the sort is stable. Ordinals of postings
// are higher in newer runs, so postings come out in order of ordinals. Of equal keys, the last one
// is the newest.

// windowEntriesMax is the number of keys of all runs that are decoded at a time. Their keys and
// slots stay in the second-level cache.
const windowEntriesMax = 8192

// batchEntries is the share of one of runs runs. It is a multiple of a page's groups.
func batchEntries(runs int) int { return windowEntriesMax / runs &^ (table.BatchEntries - 1) }

const _ = uint(windowEntriesMax/storage.MergeRunsMax - 4*table.BatchEntries)

// windowIndexBits number the keys of a window. The other bits of a slot are the front of its value,
// without the part that all values share.
const windowIndexBits = 13

const windowIndexMask = 1<<windowIndexBits - 1

const _ = uint(1<<windowIndexBits - windowEntriesMax)

// windowStart is the index of a run's first key. The keys of the oldest run, which is the last run
// of a full job, come first.
func windowStart(run, runs int) int { return (runs - 1 - run) * batchEntries(runs) }

// windowSort is the memory of a merge by windows.
type windowSort struct {
	keys  []table.Words // of all inputs, those of the oldest run first
	slots [2][]uint64
	out   [emitEntries]table.Words
}

// windowBytes is the memory that newWindowSort reserves.
const windowBytes = windowEntriesMax * (24 + 2*8)

func newWindowSort(l limits.Limits, a *arena.Arena) (w windowSort) {
	const name = "compaction merge window"
	w.keys = arena.SliceWith[table.Words](a, windowEntriesMax, name, arena.Bulk(arena.Buffer, l.TouchesMemoryAtStart()))
	for i := range w.slots {
		w.slots[i] = arena.SliceWith[uint64](a, windowEntriesMax, name, arena.Bulk(arena.Buffer, l.TouchesMemoryAtStart()))
	}
	return w
}

// window is the keys that are packed next. taken is the number of keys of each input, from its at
// on.
type window struct {
	taken       [storage.MergeRunsMax]int
	count       int
	runs, last  int         // number of runs that have keys, and one of these runs
	least, most table.Words // of all keys
}

// mergeWindows merges positioned runs. It returns false after a fault.
func (m *Merger) mergeWindows(job *storage.Job, shape *table.Shape) bool {
	consumed := uint64(0)
	var last table.Words
	for consumed < job.EntriesMax && !job.Finished {
		var w window
		if !m.cut(job, shape, &w) {
			return false
		}
		job.Finished = w.count == 0
		if job.Finished {
			break
		}
		keys, slots := m.windows.keys, []uint64(nil)
		if w.runs == 1 {
			in := &m.inputs[w.last]
			keys = in.keys[in.at : in.at+w.count]
		} else {
			slots = m.sortWindow(job, shape, &w)
		}
		packed := m.pack(job, shape, keys, slots, int(min(uint64(w.count), job.EntriesMax-consumed)))
		if slots == nil {
			last = keys[packed-1]
		} else {
			last = keys[slots[packed-1]&windowIndexMask]
		}
		consumed += uint64(packed)
		job.Finished = packed == w.count
		for run := range job.Runs {
			in := &m.inputs[run]
			in.at += w.taken[run]
			job.Finished = job.Finished && in.ended && in.at == in.count
		}
	}
	m.finishTable(job)
	if consumed > 0 {
		if shape.Encoding == storage.EncodingPlain {
			last.C = 0
		}
		shape.Put(last, &job.UpTo)
	}
	m.statistics.EntriesMerged += consumed
	return true
}

// cut takes the keys of the next window. The window is empty when all runs have ended. It returns
// false after a fault.
func (m *Merger) cut(job *storage.Job, shape *table.Shape, w *window) bool {
	limit := aboveAll
	for run := range job.Runs {
		in := &m.inputs[run]
		if !in.ended && in.count-in.at < len(in.keys)/2 && !m.topUp(in, shape) {
			return false
		}
		if !in.ended && in.keys[in.count-1].Less(limit) {
			limit = in.keys[in.count-1]
		}
	}
	if shape.Encoding == storage.EncodingPlain {
		limit.C = aboveAll.C // equal keys share a window, whatever their values
	}
	w.least = aboveAll
	for run := range job.Runs {
		in := &m.inputs[run]
		low, high := in.at, in.count // the first key above the limit
		for low < high {
			middle := int(uint(low+high) / 2)
			if limit.Less(in.keys[middle]) {
				high = middle
			} else {
				low = middle + 1
			}
		}
		if low == in.at {
			continue
		}
		if in.keys[in.at].Less(w.least) {
			w.least = in.keys[in.at]
		}
		if w.most.Less(in.keys[low-1]) {
			w.most = in.keys[low-1]
		}
		w.taken[run] = low - in.at
		w.count += low - in.at
		w.last = run
		w.runs++
	}
	return true
}

// sortWindow returns slots of a window's keys, in order.
func (m *Merger) sortWindow(job *storage.Job, shape *table.Shape, w *window) []uint64 {
	slots := m.windows.slots[0][:w.count]
	filled := 0
	for run := len(job.Runs) - 1; run >= 0; run-- {
		first := uint64(windowStart(run, m.inputsCount) + m.inputs[run].at)
		part := slots[filled : filled+w.taken[run]]
		for i := range part {
			part[i] = first + uint64(i)
		}
		filled += len(part)
	}
	m.orderWindow(shape, slots, w.least.A^w.most.A, w.least.B^w.most.B)
	return slots
}

// orderWindow sorts slots whose values are equal above the highest bit that is set in a or, if a is
// zero, in b.
func (m *Merger) orderWindow(shape *table.Shape, slots []uint64, a, b uint64) {
	keys := m.windows.keys
	skip := uint(bits.LeadingZeros64(a))
	switch {
	case a != 0:
		for i, slot := range slots {
			index := slot & windowIndexMask
			key := &keys[index]
			slots[i] = (key.A<<(skip&63)|key.B>>(64-skip))&^windowIndexMask | index
		}
	case b != 0:
		skip = uint(bits.LeadingZeros64(b))
		for i, slot := range slots {
			index := slot & windowIndexMask
			slots[i] = keys[index].B<<(skip&63)&^windowIndexMask | index
		}
		skip += 64
	default:
		return
	}
	m.spend(len(slots) / 16)
	left, room := shape.ValueBits()-skip, uint(64-windowIndexBits)
	keyBits := min(left, room)
	m.sortSlots(slots, m.windows.slots[1], 64-keyBits, keyBits)
	if left <= room {
		return
	}
	// Keys that are equal in the slots may differ behind.
	for i := 1; i < len(slots); i++ {
		if slots[i]^slots[i-1] > windowIndexMask {
			continue
		}
		start := i - 1
		var a, b uint64
		for ; i < len(slots) && slots[i]^slots[start] <= windowIndexMask; i++ {
			key, first := &keys[slots[i]&windowIndexMask], &keys[slots[start]&windowIndexMask]
			a |= key.A ^ first.A
			b |= key.B ^ first.B
		}
		m.orderWindow(shape, slots[start:i], a, b)
	}
}

// pack packs the first of the window's entries, in order of slots if there are some. It returns the
// number of consumed entries: most, and the entries that the last one hides.
func (m *Merger) pack(job *storage.Job, shape *table.Shape, keys []table.Words, slots []uint64, most int) (consumed int) {
	if slots == nil {
		for consumed < most {
			part := keys[consumed:min(consumed+emitEntries, most)]
			m.addAll(job, part)
			consumed += len(part)
			m.spend(len(part))
		}
		return consumed
	}
	out := &m.windows.out
	for consumed < most {
		count := 0
		if shape.Encoding == storage.EncodingPrefix { // no two are equal
			for _, slot := range slots[consumed:min(consumed+emitEntries, most)] {
				out[count] = keys[slot&windowIndexMask]
				count++
			}
			consumed += count
		} else {
			for ; count < emitEntries && consumed < most; count++ {
				key := keys[slots[consumed]&windowIndexMask]
				for consumed++; consumed < len(slots); consumed++ {
					newer := keys[slots[consumed]&windowIndexMask]
					if newer.A != key.A || newer.B != key.B {
						break
					}
					key = newer
				}
				out[count] = key
			}
		}
		m.addAll(job, out[:count])
		m.spend(count)
	}
	return consumed
}
