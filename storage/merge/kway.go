package merge

import (
	"ledger/assert"
	"ledger/storage"
	"ledger/storage/table"
)

// head is the key of an input's current entry. Of equal keys the newest run's comes first.
type head struct {
	table.Words
	run int
}

func (h *head) before(other *head) bool {
	if h.A != other.A {
		return h.A < other.A
	}
	if h.B != other.B {
		return h.B < other.B
	}
	if h.C != other.C {
		return h.C < other.C
	}
	return h.run < other.run
}

// heads are the inputs that are not exhausted, the next entry first. Eight are few enough to keep in order by moving: entries
// of one value mostly come from the same input, and then nothing moves.
type heads struct {
	order [storage.MergeRunsMax]head
	count int
}

// sink puts the first head, whose key has grown, where it belongs.
func (h *heads) sink() {
	if h.count > 1 && h.order[1].before(&h.order[0]) {
		h.sinkDeep()
	}
}

func (h *heads) sinkDeep() {
	first := h.order[0]
	h.order[0] = h.order[1]
	i := 2
	for ; i < h.count && h.order[i].before(&first); i++ {
		h.order[i-1] = h.order[i]
	}
	h.order[i-1] = first
}

// removeFirst drops the first head.
func (h *heads) removeFirst() {
	copy(h.order[:], h.order[1:h.count])
	h.count--
}

func (h *heads) insert(first head) {
	copy(h.order[1:], h.order[:h.count])
	h.order[0] = first
	h.count++
	h.sink()
}

// merge merges runs of a tree into one, as far as the job goes.
func (m *Merger) merge(job *storage.Job) {
	assert.AtMost(len(job.Runs), storage.MergeRunsMax, "runs of a merge")
	assert.That(job.EntriesMax > 0, "a merge consumes entries")
	shape := &m.shapes[job.Tree]
	var h heads
	if !m.openInputs(job, shape, &h) {
		m.abandonInputs(job)
		return
	}
	width := 1
	for i := range h.order[:h.count] {
		if shape.Encoding == storage.EncodingPrefix {
			width = max(width, shape.PageWidth(m.inputs[h.order[i].run].page))
		}
	}
	m.packer.Reset(shape, width)
	consumed := uint64(0)
	var key head
	for h.count > 0 && consumed < job.EntriesMax {
		key = h.order[0]
		in := &m.inputs[key.run]
		index := in.index + in.at
		tombstone := shape.Tombstone(in.page, index)
		if !tombstone || !job.DropTombstones {
			var value []byte
			if shape.ValueBytes > 0 {
				value = shape.Value(in.page, index)
			}
			m.add(job, key.Words, tombstone, value)
		}
		// The entry is consumed, and older ones with its key are hidden by it: keys are never cut apart.
		for h.count > 0 && h.order[0].Words == key.Words {
			consumed++
			in := &m.inputs[h.order[0].run]
			if in.at++; in.at < in.count {
				h.order[0].Words = in.keys[in.at]
				h.sink()
				continue
			}
			m.next(shape, in, &h)
			if m.fault != nil {
				m.abandonInputs(job)
				m.packer.Abandon()
				return
			}
		}
		m.spend(1)
	}
	m.finishTable(job)
	job.Finished = h.count == 0
	if consumed > 0 {
		shape.Put(key.Words, &job.UpTo)
	}
	m.statistics.EntriesMerged += consumed
	m.abandonInputs(job)
}

// next moves the first input, whose batch is consumed, to its next entry.
func (m *Merger) next(shape *table.Shape, in *input, h *heads) {
	if !m.refill(in, shape) {
		h.removeFirst()
		return
	}
	h.order[0] = in.head()
	h.sink()
}

// openInputs starts the reads of all runs, then positions each.
func (m *Merger) openInputs(job *storage.Job, shape *table.Shape, h *heads) bool {
	var open [storage.MergeRunsMax]bool
	for run, tables := range job.Runs {
		open[run] = m.open(&m.inputs[run], run, tables, job.From, &job.FromKey)
	}
	for run := range job.Runs {
		if !open[run] {
			continue
		}
		if !m.position(&m.inputs[run], shape, job.From, &job.FromKey) {
			return false
		}
		h.insert(m.inputs[run].head())
	}
	return true
}

func (m *Merger) abandonInputs(job *storage.Job) {
	for run := range job.Runs {
		m.abandon(&m.inputs[run])
	}
}
