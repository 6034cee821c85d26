package merge

import (
	"math/bits"

	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/table"
)

// heads are the next keys of the inputs, and the order of the inputs by these keys. Of equal keys,
// that of the newest run comes first. The position of a new key is the number of smaller keys,
// counted without branches. A search would mispredict half of its branches on random keys.
type heads struct {
	a, b, c [headsMax]uint64 // words of each run's next key; of an exhausted run: above all keys
	order   uint64           // the runs in order, a byte each, the first run lowest
	count   int              // number of runs that are not exhausted
}

const headsMax = 8 // a word holds the runs of a merge

// aboveAll is above all keys: the last word of a plain key is 0, and an ordinal has 5 bytes.
var aboveAll = table.Words{A: ^uint64(0), B: ^uint64(0), C: ^uint64(0)}

// reset makes all runs exhausted.
func (h *heads) reset() {
	*h = heads{}
	for run := range h.a {
		h.set(run, aboveAll)
	}
}

// set gives a run its key. It does not change the order.
func (h *heads) set(run int, key table.Words) { h.a[run], h.b[run], h.c[run] = key.A, key.B, key.C }

func (h *heads) key(run int) table.Words { return table.Words{A: h.a[run], B: h.b[run], C: h.c[run]} }

// first is the run with the next key.
func (h *heads) first() int { return int(h.order & 0xff) }

// limit is the next key of all runs but the first.
func (h *heads) limit() table.Words { return h.key(int(h.order >> 8 & 0xff)) }

// rank is the number of runs whose keys come before the key of run.
func (h *heads) rank(run int) (rank uint) {
	key := h.key(run)
	for other := range headsMax {
		newer := uint64(other-run) >> 63 // its key comes first even if it is the same
		_, before := bits.Sub64(h.c[other], key.C, newer)
		_, before = bits.Sub64(h.b[other], key.B, before)
		_, before = bits.Sub64(h.a[other], key.A, before)
		rank += uint(before)
	}
	return rank
}

// sort puts all runs in order.
func (h *heads) sort() {
	h.order = 0
	for run := range headsMax {
		h.order |= uint64(run) << (8 * h.rank(run))
	}
}

// follow gives the first run its next key and moves the run to its place in the order.
func (h *heads) follow(key table.Words) {
	run := h.first()
	h.set(run, key)
	place := 8 * h.rank(run)
	others := h.order >> 8
	below := others & (1<<place - 1)
	h.order = below | uint64(run)<<place | (others^below)<<8
}

// merge merges runs of a tree into one, up to the end of the job.
func (m *Merger) merge(job *storage.Job) {
	assert.AtMost(len(job.Runs), m.runs[job.Tree], "runs of a merge")
	assert.That(job.EntriesMax > 0, "a merge consumes entries")
	shape := &m.shapes[job.Tree]
	merged := m.openInputs(job, shape)
	if merged {
		width := 1
		for run := range job.Runs {
			if in := &m.inputs[run]; shape.Encoding == storage.EncodingPrefix && !in.ended {
				width = max(width, shape.PageWidth(in.page))
			}
		}
		m.packer.Reset(shape, width)
		if shape.Numbers() {
			merged = m.mergeWindows(job, shape)
		} else {
			merged = m.mergeHeads(job, shape)
		}
	}
	if !merged {
		m.packer.Abandon()
	}
	for run := range job.Runs {
		m.abandon(&m.inputs[run])
	}
}

// openInputs starts the reads of all runs and then sets the position of each. It returns false on a
// fault.
func (m *Merger) openInputs(job *storage.Job, shape *table.Shape) bool {
	m.inputsCount = m.runs[job.Tree]
	for run, tables := range job.Runs {
		at := windowStart(run, m.inputsCount)
		m.inputs[run].keys = m.windows.keys[at : at+batchEntries(m.inputsCount)]
		m.open(&m.inputs[run], run, tables, job.From, &job.FromKey)
	}
	for run := range job.Runs {
		if in := &m.inputs[run]; !in.ended && !m.position(in, shape, job.From, &job.FromKey) {
			return false
		}
	}
	return true
}

// mergeHeads merges positioned runs key by key. It is for entries that have long values or remove
// keys. It returns false after a fault.
func (m *Merger) mergeHeads(job *storage.Job, shape *table.Shape) bool {
	var h heads
	h.reset()
	for run := range job.Runs {
		in := &m.inputs[run]
		if in.ended {
			continue
		}
		if !m.refill(in, shape) {
			return false
		}
		h.set(run, in.keys[0])
		h.count++
	}
	h.sort()
	consumed := uint64(0)
	var last table.Words
	for h.count > 0 && consumed < job.EntriesMax {
		in := &m.inputs[h.first()]
		// Entries are taken up to the next entry of another input. If that has the same key, the
		// entry of the first input is newer.
		stretch := in.stretch(&h, job.EntriesMax-consumed)
		taken := max(1, stretch)
		m.pass(job, shape, in, taken)
		last = in.keys[in.at+taken-1]
		in.at += taken
		consumed += uint64(taken)
		m.advance(shape, in, &h)
		// The entry is consumed. It hides older entries with the same key, which are consumed with
		// it. So a job never ends between entries of one key.
		for stretch == 0 && h.count > 0 && h.key(h.first()) == last && m.fault == nil {
			in := &m.inputs[h.first()]
			in.at++
			consumed++
			m.advance(shape, in, &h)
		}
		if m.fault != nil {
			return false
		}
		m.spend(taken)
	}
	m.finishTable(job)
	job.Finished = h.count == 0
	if consumed > 0 {
		shape.Put(last, &job.UpTo)
	}
	m.statistics.EntriesMerged += consumed
	return true
}

// stretch counts the next entries of the first input that come before the next entries of all other
// inputs, up to most.
func (in *input) stretch(h *heads, most uint64) (count int) {
	keys := in.keys[in.at:in.count]
	if uint64(len(keys)) > most {
		keys = keys[:most]
	}
	limit := h.limit()
	for count < len(keys) && keys[count].Less(limit) {
		count++
	}
	return count
}

// pass packs the next entries of an input.
func (m *Merger) pass(job *storage.Job, shape *table.Shape, in *input, count int) {
	keys := in.keys[in.at : in.at+count]
	for i := range keys {
		index := in.index + in.at + i
		tombstone := shape.Tombstone(in.page, index)
		if tombstone && job.DropTombstones {
			continue
		}
		m.add(job, keys[i], tombstone, shape.Value(in.page, index))
	}
}

// advance moves the first input, some of whose entries were consumed, to the place of its next
// entry.
func (m *Merger) advance(shape *table.Shape, in *input, h *heads) {
	if in.at == in.count && (!m.refill(in, shape) || in.ended) {
		h.follow(aboveAll)
		h.count--
		return
	}
	h.follow(in.keys[in.at])
}
