package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/accounting"
	"ledger/internal/arena"
	"ledger/limits"
	"ledger/ring"
	"ledger/stages"
	"ledger/stages/compact"
	"ledger/storage"
	"ledger/wire"
)

// seededForBenchmark is a source of randomness that is the same in every run: what is measured
// should not change by itself.
func seededForBenchmark() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }

const memtableRows = 65_536

// memtable is what so many transfers of the load generator leave in one tree: columns, keys, rows
// or changes, as the tree is flushed.
type memtable struct {
	columns storage.Columns
	keys    []storage.Key
	rows    []accounting.TransferRow
	changes storage.Changes
	first   uint64
}

const accountsBusy = 10_000 // the load generator's

func newMemtable(random *rand.Rand, tree storage.TreeID, first uint64) *memtable {
	m := &memtable{first: first}
	spec := storage.Trees[tree]
	account := func() uint32 { return random.Uint32N(accountsBusy) }
	switch {
	case tree == storage.TreeTransferLog:
		for i := range uint64(memtableRows) {
			row := accounting.TransferRow{DebitOrdinal: accounting.AccountOrdinal(account()), CreditOrdinal: accounting.AccountOrdinal(account())}
			row.Transfer = accounting.Transfer{
				ID: wire.U128From(first + i + 1), Amount: wire.U128From(random.Uint64N(20_000)),
				UserData128: wire.U128{Lo: random.Uint64(), Hi: random.Uint64()},
				UserData64:  random.Uint64(), UserData32: random.Uint32(), Ledger: ledgerNumber, Code: uint16(random.Uint32()),
				Timestamp: 1<<60 + first + i,
			}
			row.DebitAfter.DebitsPosted, row.CreditAfter.CreditsPosted = wire.U128From(random.Uint64N(1<<24)), wire.U128From(random.Uint64N(1<<24))
			m.rows = append(m.rows, row)
		}
	case tree == storage.TreeBalances:
		for range memtableRows {
			m.changes.Debits, m.changes.Credits = append(m.changes.Debits, account()), append(m.changes.Credits, account())
			m.changes.Rows = append(m.changes.Rows, accounting.TransferRow{})
		}
	case spec.Encoding == storage.EncodingPrefix || tree == storage.TreeTransferID || tree == storage.TreeAccountID:
		c := &m.columns
		c.OrdinalFirst = first
		valueBytes := int(spec.KeyBytes)
		if spec.Encoding == storage.EncodingPrefix { // a value, then the ordinal
			valueBytes -= tree.OrdinalBytes()
		}
		for range memtableRows {
			switch {
			case valueBytes == 16:
				c.Wide = append(c.Wide, wire.U128{Lo: random.Uint64(), Hi: random.Uint64()})
			case valueBytes == 8:
				c.Numbers = append(c.Numbers, random.Uint64())
			case tree == storage.TreeTransferLedger || tree == storage.TreeAccountLedger:
				c.Narrow = append(c.Narrow, ledgerNumber)
			case tree == storage.TreeTransferDebit || tree == storage.TreeTransferCredit:
				c.Narrow = append(c.Narrow, account())
			default:
				c.Narrow = append(c.Narrow, random.Uint32()>>(8*(4-valueBytes)))
			}
		}
	default:
		for i := range uint64(memtableRows) {
			var key storage.Key
			switch ordinal := first + i; spec.KeyBytes {
			case 4:
				binary.BigEndian.PutUint32(key[:], uint32(ordinal))
			case 16: // a time, then an ordinal
				binary.BigEndian.PutUint64(key[:], 1<<60+random.Uint64N(5_000_000_000))
				binary.BigEndian.PutUint64(key[8:], ordinal)
			default:
				binary.BigEndian.PutUint64(key[:], ordinal)
			}
			m.keys = append(m.keys, key)
		}
	}
	return m
}

func (m *memtable) Columns(_ storage.TreeID, out *storage.Columns) bool {
	*out = m.columns
	return m.columns.Count() > 0
}
func (m *memtable) Changes(out *storage.Changes)                         { *out = m.changes }
func (m *memtable) EntriesCount(storage.TreeID) uint32                   { return uint32(len(m.keys)) }
func (m *memtable) Entry(_ storage.TreeID, i uint32) (storage.Key, bool) { return m.keys[i], false }
func (m *memtable) Value(_ storage.TreeID, i uint32, value []byte) {
	for at := range value {
		value[at] = byte(i >> (at % 4 * 8))
	}
}
func (m *memtable) RowsFirst() accounting.TransferOrdinal    { return accounting.TransferOrdinal(m.first) }
func (m *memtable) RowsCount() uint32                        { return uint32(len(m.rows)) }
func (m *memtable) Row(index uint32) *accounting.TransferRow { return &m.rows[index] }

// compaction is the compact stage over a disk without delay.
type compaction struct {
	b      *testing.B
	driver *compact.Driver
	to     *ring.SPSC[stages.ApplyToCompact]
	from   *ring.SPSC[stages.CompactToApply]
	limits limits.Limits
	job    storage.Generation // the one that is run again and again
	tables []storage.Table
}

func newCompaction(b *testing.B) *compaction {
	lockThread()
	memory := arena.New()
	c := &compaction{
		b: b, limits: limits.Production(),
		to: ring.NewSPSC[stages.ApplyToCompact](8), from: ring.NewSPSC[stages.CompactToApply](8),
	}
	disk := newMemoryDisk(memory.Bytes(4<<30, 4096, "disk"))
	stage := compact.New(c.limits, wire.U128{}, 0, nil, memory)
	c.driver = compact.NewDriver(stage, disk, c.to, stages.Sender[stages.CompactToApply]{Ring: c.from})
	b.Cleanup(func() {
		stage.Stop()
		memory.Close()
	})
	return c
}

const blocksMax = 512 // of a job

// run does one job and returns its tables, valid until the next one. The addresses from the given
// one on are its own.
func (c *compaction) run(job storage.Job, address uint64) []storage.Table {
	if c.job.Jobs == nil {
		c.job.Jobs, c.tables = make([]storage.Job, 1), make([]storage.Table, 0, blocksMax)
	}
	addresses := append(c.job.Jobs[0].Addresses[:0], make([]uint64, blocksMax)...)
	for i := range addresses {
		addresses[i] = address + uint64(i)
	}
	job.Tables, job.Addresses = c.tables[:0], addresses
	c.job.Jobs[0] = job
	c.to.PushOne(stages.ApplyToCompact{Kind: stages.CompactJob, Job: &c.job.Jobs[0]})
	for {
		c.driver.Turn(0, 0)
		if _, ok := c.from.PopOne(); ok {
			break
		}
	}
	if fault := c.job.Jobs[0].Fault; fault != nil {
		c.b.Fatal(fault)
	}
	return c.job.Jobs[0].Tables
}

// pagesBytes is what the tables take on the disk.
func (c *compaction) pagesBytes(tables []storage.Table) (bytes float64) {
	for _, t := range tables {
		bytes += float64(t.PagesUsed) * float64(c.limits.PageBytes)
	}
	return bytes
}

// entries of the tables.
func entries(tables []storage.Table) (count float64) {
	for _, t := range tables {
		count += float64(t.Entries)
	}
	return count
}

// BenchmarkCompact flushes a memtable of each tree, and merges eight runs of it: sorting, packing,
// hashing, writing to a disk without delay. The limit is hashing what is written; of a merge,
// hashing what is read as well.
func BenchmarkCompact(b *testing.B) {
	for tree := range storage.TreesCount {
		name := storage.Trees[tree].Name
		flush := storage.Job{Kind: storage.JobFlushTree, Tree: tree}
		if tree == storage.TreeTransferLog {
			flush.Kind = storage.JobFlushRows
		}
		b.Run(name+"/flush", func(b *testing.B) {
			c := newCompaction(b)
			flush.Source = newMemtable(seededForBenchmark(), tree, 0)
			var tables []storage.Table
			ns := computes(b, func() { tables = c.run(flush, 1) })
			bytes := c.pagesBytes(tables)
			b.ReportMetric(ns/memtableRows, "cpu-ns/row") // of the memtable
			b.ReportMetric(bytes/memtableRows, "bytes/row")
			share(b, "blake3", limitBLAKE3()*bytes, ns)
		})
		if tree == storage.TreeTransferLog {
			continue // its blocks are never merged
		}
		b.Run(name+"/merge", func(b *testing.B) {
			c := newCompaction(b)
			random := seededForBenchmark()
			runs := uint64(storage.MergeRuns(&c.limits, tree))
			merge := storage.Job{Kind: storage.JobMerge, Tree: tree, EntriesMax: 1 << 40, Runs: make([][]storage.Table, runs)}
			bytesIn, entriesIn := 0.0, 0.0
			for i := range runs {
				flush.Source = newMemtable(random, tree, i*memtableRows)
				tables := c.run(flush, 1+blocksMax*i)
				bytesIn, entriesIn = bytesIn+c.pagesBytes(tables), entriesIn+entries(tables)
				merge.Runs[runs-1-i] = slices.Clone(tables) // the newest first
			}
			var tables []storage.Table
			ns := computes(b, func() { tables = c.run(merge, 1+blocksMax*runs) })
			b.ReportMetric(ns/entriesIn, "cpu-ns/entry")
			b.ReportMetric(c.pagesBytes(tables)/entriesIn, "bytes/entry")
			share(b, "blake3", limitBLAKE3()*(bytesIn+c.pagesBytes(tables)), ns)
		})
	}
}
