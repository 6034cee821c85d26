package merge

import (
	"fmt"
	"math/bits"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/rowlog"
	"ledger/storage/table"
	"ledger/wire"
)

const (
	// WritesMax is the largest number of block writes in flight, and the number of slots of a
	// BlockWriter.
	WritesMax = 4
	// ReadsMax is the number of slots of a BlockReader: two blocks for each input run.
	ReadsMax = 2 * storage.MergeRunsMax

	outputsCount = WritesMax + 1

	// breathCost is some 100 µs of work. The unit is one entry that is compared, moved and packed,
	// about 40 ns.
	breathCost = 2500

	valueBytesMax = 256 // the longest value of any tree, rounded up
)

// BlockReader reads pages of blocks. The caller chooses a free slot for each operation.
type BlockReader interface {
	// ReadStart queues a read of len(buffer) bytes of the block, beginning with a page.
	ReadStart(slot int, address uint64, page uint32, buffer []byte)
	// ReadDone tells whether the read has ended, and its errno: 0 if buffer is full.
	ReadDone(slot int) (done bool, errno int32)
	// Missing tells that the disk does not give a block as ref names it. It waits until the block was
	// repaired. repaired is false if that will not be: the job fails.
	Missing(ref storage.Ref, waiter storage.Waiter) (repaired bool)
}

// BlockWriter writes the front parts of blocks, like BlockReader.
type BlockWriter interface {
	WriteStart(slot int, address uint64, data []byte)
	WriteDone(slot int) (done bool, errno int32)
}

// Merger runs one job after the other.
type Merger struct {
	cluster    wire.U128
	geometry   block.Geometry
	shapes     [storage.TreesCount]table.Shape
	rows       rowlog.Shape
	runs       [storage.TreesCount]int // inputs of a merge, by tree
	entriesMax uint64
	reader     BlockReader
	writer     BlockWriter
	waiter     storage.Waiter
	job        *storage.Job // that runs; nil: a checkpoint
	fault      *storage.Fault

	inputs      [storage.MergeRunsMax]input
	inputsCount int // inputs that share the memory of keys
	outputs     [outputsCount]output
	writing     int // outputs whose write is in flight
	packer      table.Builder
	rowPack     rowlog.Builder
	filling     int // index of the output that is being filled

	records [2][]record
	columns columnSort
	windows windowSort
	value   []byte // of the entry that is being flushed

	cost, breath int
	statistics   Statistics
}

// Statistics counts since the start.
type Statistics struct {
	EntriesFlushed uint64
	RowsFlushed    uint64
	EntriesMerged  uint64 // consumed by merges
	BytesRead      uint64
	BytesWritten   uint64
}

// output is a block being filled or written.
type output struct {
	own     []byte // its memory
	buffer  []byte // the memory that it uses now: its own, or a frame of the job
	writing bool
	address uint64
	slot    int
}

// EntriesMax is the largest number of entries of one tree in a sealed memtable: two for each row
// before the seal, and two for each event of the bar in which the seal was reached.
func EntriesMax(l limits.Limits) uint64 {
	const eventBytes = 128
	return 2 * (uint64(l.MemtableRowsSeal) + uint64(l.BarOps)*uint64(l.MessageBytesMax/eventBytes))
}

// New reserves the buffers.
func New(l limits.Limits, a *arena.Arena, cluster wire.U128, reader BlockReader, writer BlockWriter) *Merger {
	m := &Merger{
		cluster: cluster, geometry: block.GeometryOf(l), rows: rowlog.ShapeOf(l), entriesMax: EntriesMax(l),
		reader: reader, writer: writer, breath: breathCost,
	}
	for tree := storage.TreeTransferLog + 1; tree < storage.TreesCount; tree++ {
		m.shapes[tree] = table.ShapeOf(l, tree)
		m.runs[tree] = storage.MergeRuns(&l, tree)
	}
	m.windows = newWindowSort(l, a)
	for i := range m.inputs {
		for j := range m.inputs[i].buffers {
			m.inputs[i].buffers[j].data = a.Bytes(uint64(l.BlockBytes), arena.PageBytes, "compaction inputs")
		}
	}
	for i := range m.outputs {
		m.outputs[i].own = a.Bytes(uint64(l.BlockBytes), arena.PageBytes, "compaction outputs")
	}
	m.value = a.Bytes(valueBytesMax, arena.PageBytes, "compaction sort")
	for i := range m.records {
		m.records[i] = arena.SliceWith[record](a, m.entriesMax, "compaction sort arrays", arena.Options{Class: arena.Table})
		m.columns.slots[i] = arena.SliceWith[uint64](a, m.entriesMax, "compaction sort arrays", arena.Bulk(arena.Table, l.TouchesMemoryAtStart()))
	}
	m.columns.indexBits = uint(bits.Len64(m.entriesMax))
	m.columns.indexMask = 1<<m.columns.indexBits - 1
	assert.AtMost(int(m.columns.indexBits), 32, "a slot holds a value of 4 bytes whole")
	return m
}

// MemoryBytes is the part of New's memory that every load uses: blocks, and in production the slots
// for sorting columns. Records, which only trees without columns need, are touched as far as they
// are used.
func MemoryBytes(l *limits.Limits) uint64 {
	bytes := (ReadsMax+outputsCount)*uint64(l.BlockBytes) + windowBytes
	if l.TouchesMemoryAtStart() {
		bytes += 2 * 8 * EntriesMax(*l)
	}
	return bytes
}

// Run performs one job and fills in its results. Its last writes may still be in flight, see Drain.
func (m *Merger) Run(job *storage.Job, waiter storage.Waiter) {
	m.waiter, m.job = waiter, job
	job.Tables = job.Tables[:0]
	job.Finished, job.RowsWritten, job.Fault = false, 0, nil
	if m.fault == nil {
		switch job.Kind {
		case storage.JobFlushTree:
			m.flushTree(job)
		case storage.JobFlushRows:
			m.flushRows(job)
		case storage.JobMerge:
			m.merge(job)
		default:
			assert.That(false, "the kind of a job is known")
		}
	}
	job.Fault = m.fault
}

// Drain waits until no write is in flight. It returns the first fault of any job or write so far,
// or nil.
func (m *Merger) Drain(waiter storage.Waiter) *storage.Fault {
	m.waiter = waiter
	for m.collect(); m.writing > 0; m.collect() {
		waiter.Wait()
	}
	return m.fault
}

// Collect takes back the outputs that have been written, between two steps of a job. It returns the
// first fault of any job or write so far, or nil.
func (m *Merger) Collect() *storage.Fault {
	m.collect()
	return m.fault
}

// Fault is the first fault of any job or write so far, or nil.
func (m *Merger) Fault() *storage.Fault { return m.fault }

// Reset forgets the fault of jobs whose results nobody wants any more: the state to which they
// belong was dropped. It waits until no write is in flight. No job may be running, and a job leaves
// no read behind.
func (m *Merger) Reset(waiter storage.Waiter) {
	m.Drain(waiter)
	m.fault = nil
}

// Statistics returns the counters.
func (m *Merger) Statistics() Statistics { return m.statistics }

// fail notes the first fault. A fault is the end of this replica, so this path may allocate.
func (m *Merger) fail(what string, address uint64, page uint32, reason string) {
	if m.fault == nil {
		m.fault = &storage.Fault{What: what, Address: address, Page: page, Reason: reason}
	}
}

// spend counts work, and ends the step when it has lasted long enough.
func (m *Merger) spend(cost int) {
	if m.cost += cost; m.cost >= m.breath {
		m.cost = 0
		m.waiter.Breathe()
	}
}

// collect takes back the outputs whose writes have ended.
func (m *Merger) collect() {
	for i := range m.outputs {
		o := &m.outputs[i]
		if !o.writing {
			continue
		}
		done, errno := m.writer.WriteDone(o.slot)
		if !done {
			continue
		}
		o.writing = false
		m.writing--
		if errno != 0 {
			if why := storage.NoSpace(errno); why != "" {
				m.fail(storage.FaultNoSpace, 0, 0, fmt.Sprintf("block %d could not be written: %s", o.address, why))
			} else {
				m.fail(storage.FaultDisk, o.address, 0, fmt.Sprintf("the write of a block failed (errno %d)", errno))
			}
		}
	}
}

// take returns the buffer of the job's next output: its frame, if it has one. It waits for a free
// output if necessary.
func (m *Merger) take() []byte {
	for {
		m.collect()
		if m.writing < WritesMax {
			for i := range m.outputs {
				o := &m.outputs[i]
				if o.writing {
					continue
				}
				m.filling, o.buffer = i, o.own
				if m.job != nil && len(m.job.Tables) < len(m.job.Frames) {
					o.buffer = m.job.Frames[len(m.job.Tables)]
				}
				return o.buffer
			}
		}
		m.waiter.Wait()
	}
}

// write gives the filled output to the disk.
func (m *Merger) write(address uint64, usedBytes uint32) {
	var taken [WritesMax]bool
	for i := range m.outputs {
		if m.outputs[i].writing {
			taken[m.outputs[i].slot] = true
		}
	}
	slot := 0
	for taken[slot] {
		slot++
	}
	o := &m.outputs[m.filling]
	assert.That(!o.writing, "a buffer is filled when no write uses it")
	o.writing, o.address, o.slot = true, address, slot
	m.writing++
	m.statistics.BytesWritten += uint64(usedBytes)
	m.writer.WriteStart(slot, address, o.buffer[:usedBytes])
}

// nextAddress is the address of the next output of job.
func nextAddress(job *storage.Job) uint64 {
	n := len(job.Tables)
	assert.Below(n, len(job.Addresses), "a job needs no more addresses than were reserved")
	return job.Addresses[n]
}

// addResult appends a written table to the job's results.
func (m *Merger) addResult(job *storage.Job, t storage.Table) {
	assert.Below(len(job.Tables), cap(job.Tables), "the planner gave room for the results")
	job.Tables = append(job.Tables, t)
	m.write(t.Address, uint32(t.PagesUsed)*m.geometry.PageBytes)
}

// add packs an entry into the job's run. It begins the next table when one is full.
func (m *Merger) add(job *storage.Job, key table.Words, tombstone bool, value []byte) {
	for !m.packer.AddWords(key, tombstone, value) {
		m.finishTable(job)
		m.packer.Begin(m.take())
	}
}

// addAll is add for a tree whose entries are numbers.
func (m *Merger) addAll(job *storage.Job, keys []table.Words) {
	for added := m.packer.AddAll(keys); added < len(keys); added += m.packer.AddAll(keys[added:]) {
		m.finishTable(job)
		m.packer.Begin(m.take())
	}
}

// finishTable seals the open table, if there is one, and writes it.
func (m *Merger) finishTable(job *storage.Job) {
	if !m.packer.Open() {
		return
	}
	t := m.packer.Finish(m.cluster, nextAddress(job), m.waiter)
	if job.Filters != nil {
		copy(job.Filters[len(job.Tables)], m.packer.Filter())
	}
	m.addResult(job, t)
}
