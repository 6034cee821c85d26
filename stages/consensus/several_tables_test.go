package consensus

import (
	"ledger/stages"
	"ledger/storage/datafile"
)

// fakeTables plays what apply and compact do with the blocks of a machine. A checkpoint names a
// table for each checkpoint up to it, which was born there, and its own trailers. Tables that are
// missing come from a machine that has them, and count only when they are synced.
type fakeTables struct {
	isOpening            bool
	op                   uint64 // that is opened, or was
	syncOpMin, syncOpMax uint64
	arrived              map[uint64]bool // tables that are written and not synced
	isSynced             bool            // as told
	isQueued, isWhole    bool            // the sync of the checkpoint under way was queued, and nothing was missing then
}

// open is what apply does at a start, and when it has read ApplyOpen.
func (m *machine) open(op, syncOpMin, syncOpMax uint64) {
	m.fake = fakeTables{isOpening: true, op: op, syncOpMin: syncOpMin, syncOpMax: syncOpMax, arrived: map[uint64]bool{}}
}

func (m *machine) reopen(a *stages.ConsensusToApply) {
	if a.Op != m.superblock.Checkpoint.Op || a.Checkpoint.Op != a.Op || a.SyncOpMax != m.superblock.SyncOpMax {
		m.w.t.Fatalf("machine %d opens checkpoint %d, durable is %d", m.index, a.Op, m.superblock.Checkpoint.Op)
	}
	m.w.count["reopen"]++
	if m.fake.isOpening {
		m.w.count["new target"]++
	}
	m.open(a.Op, a.SyncOpMin, a.SyncOpMax)
	m.commits, m.sessions = nil, nil
	m.dropLate()
}

// missing is a table in the sync range that is not on disk, or 0.
func (m *machine) missing(op uint64) uint64 {
	l := &m.w.l
	for c := l.CheckpointAfter(0); c <= op; c = l.CheckpointAfter(c) {
		if c >= m.fake.syncOpMin && c <= m.fake.syncOpMax && !m.tables[c] {
			return c
		}
	}
	return 0
}

// canAsk tells whether another machine answers that has what is asked for.
func (m *machine) canAsk(has func(other *machine) bool) bool {
	for i, other := range m.w.machines {
		if other != m && other.isUp && !other.isStopped && other.pausedNs <= m.w.nowNs && !m.w.isCut[i][m.index] && !m.w.isCut[m.index][i] &&
			has(other) {
			return true
		}
	}
	return false
}

// endWants ends those of the state before.
func (m *machine) endWants() {
	for _, address := range m.wantsOf() {
		if m.unwant(address); address >= rebuiltFrom {
			delete(m.grid.damaged, address)
		}
	}
}

// finishTables goes on with the opening, and with what the sync fetches.
func (m *machine) finishTables() {
	f, random := &m.fake, m.w.random
	if f.isOpening && !m.holdsWork {
		if f.op > 0 && !m.trailers[f.op] {
			if m.w.isExact || random.IntN(8) > 0 || !m.canAsk(func(o *machine) bool { return o.trailers[f.op] }) {
				return
			}
			m.trailers[f.op] = true
		}
		if !m.holdsUnwants {
			m.endWants()
		}
		f.isOpening, m.executed = false, f.op
		m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyOpened, Op: f.op, Records: m.w.trailers[f.op][0]})
	}
	if f.syncOpMax == 0 || f.isOpening || m.holdsBlocks {
		return
	}
	c := m.missing(m.superblock.Checkpoint.Op)
	switch {
	case c > 0 && f.arrived[c] && random.IntN(20) == 0:
		m.tables[c] = true
		delete(f.arrived, c)
	case c > 0 && !f.arrived[c] && random.IntN(20) == 0 && m.canAsk(func(o *machine) bool { return o.tables[c] }):
		f.arrived[c] = true
		m.w.count["table"]++
	case c == 0 && !f.isSynced:
		f.isSynced = true
		m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplySynced, Op: m.superblock.Checkpoint.Op})
	}
	m.w.oracle.whole(m)
}

// finishCheckpoint goes on with the checkpoint under way: its sync is queued, and ends.
func (m *machine) finishCheckpoint() {
	f := &m.fake
	if m.sessions == nil || m.isCheckpointHeld || m.w.random.IntN(10) > 0 {
		return
	}
	c := m.sessions.Op - uint64(m.w.l.BarOps)
	if !f.isQueued {
		f.isQueued, f.isWhole = true, f.syncOpMax > 0 && m.missing(c) == 0
		if m.w.random.IntN(2) == 0 {
			return
		}
	}
	m.tables[c], m.trailers[c] = true, true
	m.applyEvents = append(m.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyCheckpointReady, Op: c,
		Checkpoint: m.checkpointOf(m.sessions.Op), IsWhole: f.isWhole})
	m.sessions, f.isQueued, f.isSynced = nil, false, false
}

// isCopy tells whether all that the durable checkpoint names is on the disk.
func (m *machine) isCopy() bool {
	l := &m.w.l
	for c := l.CheckpointAfter(0); c <= m.superblock.Checkpoint.Op; c = l.CheckpointAfter(c) {
		if !m.tables[c] {
			return false
		}
	}
	return m.superblock.Checkpoint.Op == 0 || m.trailers[m.superblock.Checkpoint.Op]
}

// whole notes a checkpoint of which this machine has a copy.
func (o *oracle) whole(m *machine) {
	if m.isCopy() {
		o.copies[m.index] = max(o.copies[m.index], m.superblock.Checkpoint.Op)
	}
}

// superblock looks at one that lands.
func (o *oracle) superblock(m *machine, next *datafile.Superblock) {
	before := &m.superblock
	if next.SyncOpMax > 0 && next.Checkpoint.Op != before.Checkpoint.Op && next.SyncOpMax == next.Checkpoint.Op {
		o.w.count["sync"]++
		if next.Checkpoint.Op < before.Checkpoint.Op {
			o.w.t.Fatalf("seed %d: machine %d takes checkpoint %d, it has %d", o.w.seed, m.index, next.Checkpoint.Op, before.Checkpoint.Op)
		}
		log := durableLogOf(next)
		if head := log.list(); head.Head() <= next.Checkpoint.Op {
			o.w.t.Fatalf("seed %d: machine %d takes checkpoint %d with a log that ends at op %d", o.w.seed, m.index, next.Checkpoint.Op,
				head.Head())
		}
	}
	if next.SyncOpMax == 0 && before.SyncOpMax > 0 {
		o.w.count["range ends"]++
		for c := o.w.l.CheckpointAfter(0); c <= next.Checkpoint.Op; c = o.w.l.CheckpointAfter(c) {
			if !m.tables[c] {
				o.w.t.Fatalf("seed %d: machine %d ends its sync range with checkpoint %d, and misses a block of checkpoint %d", o.w.seed, m.index,
					next.Checkpoint.Op, c)
			}
		}
	}
	old := m.superblock
	m.superblock = *next
	o.whole(m)
	m.superblock = old
}

// halfSynced: an acknowledgement of op tells that this machine has a copy of its checkpoint, unless
// enough others have one.
func (o *oracle) halfSynced(m *machine, op uint64) {
	c := m.superblock.Checkpoint.Op
	if op <= o.w.l.CheckpointTrigger(c)+uint64(o.w.l.SlackOps) || m.isCopy() {
		return
	}
	copies := 0
	for i := range o.w.machines {
		if o.copies[i] >= c {
			copies++
		}
	}
	if copies < o.w.quorums.Replication && !o.w.losesFiles {
		o.w.t.Fatalf("seed %d: machine %d acknowledges op %d, and has not all of checkpoint %d, of which there are %d copies", o.w.seed, m.index,
			op, c, copies)
	}
}
