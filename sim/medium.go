package sim

import (
	"bytes"
	"encoding/binary"

	"ledger/limits"
	"ledger/prepare"
	"ledger/replica"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Offsets of the checkpoint in a copy of the superblock (package datafile).
const (
	superblockSequenceAt   = 40
	superblockCheckpointAt = 256
	superblockParentAt     = 24 // in the checkpoint
)

// Medium observes all writes of one machine, so it knows the content of the machine's disk: which
// ops are durable there, which one may be, and which checkpoint is in force. It checks that every
// write is in order, and that a start finds what was durable.
type Medium struct {
	fail   func(format string, arguments ...any)
	limits *limits.Limits
	layout datafile.Layout
	judge  *Judge // is told of every op that is durable

	durableOp uint64          // highest op whose prepare and twin are on the medium
	sums      []wire.Checksum // of headers, by op
	recent    [][]byte        // prepares modulo its length, which is more than the log holds
	candidate []byte          // the prepare that is being written, or that may be on the medium after a crash
	whole     bool            // the candidate's own write has completed
	twinWhole bool            // the write of its twin has completed
	direct    bool            // both writes are durable when they complete, without a sync
	covered   bool            // the log's sync that is under way began behind both
	torn      [][]byte        // candidates for the same op of which a restart has found no whole copy

	checkpointOp uint64         // of the superblock in force
	copies       map[uint64]int // copies on the medium, by sequence
	view         uint32         // of the last start
	written      uint64         // op of the checkpoint that this start has written last

	rewrittenCount, brinkCount int
}

func newMedium(l *limits.Limits, judge *Judge, fail func(string, ...any)) *Medium {
	root := prepare.PutRoot(make([]byte, prepare.HeaderBytes), judge.cluster)
	return &Medium{
		fail:   fail,
		limits: l,
		layout: datafile.NewLayout(l),
		judge:  judge,
		sums:   []wire.Checksum{root.Checksum()},
		recent: make([][]byte, 2*l.JournalSlotsCount),
		copies: map[uint64]int{},
	}
}

// onWrite observes a write when it is queued.
func (d *Medium) onWrite(zone Zone, offsetBytes uint64, data []byte, durable bool) {
	switch {
	case offsetBytes < d.layout.TwinsAt && !durable:
		d.fail("the superblock is written at %d, and the write need not be durable when it completes", offsetBytes)
	case offsetBytes >= d.layout.GridAt:
		if zone != PortCompact {
			d.fail("port %d writes to the grid, at %d", zone, offsetBytes)
		}
	case zone != PortJournal:
		d.fail("port %d writes to the log or the superblock, at %d", zone, offsetBytes)
	case offsetBytes >= d.layout.PreparesAt:
		d.onPrepare(offsetBytes, data, durable)
	case offsetBytes >= d.layout.TwinsAt:
		d.onTwin(offsetBytes, data, durable)
	default:
		op, id := checkpointOf(data)
		parent := wire.Checksum(data[superblockCheckpointAt+superblockParentAt:][:16])
		if before, known := d.judge.checkpoints[op-min(op, d.limits.CheckpointIntervalOps())]; known && before != parent {
			d.fail("the checkpoint of op %d names %x as its parent, it is %x", op, parent, before)
		}
		if _, known := d.judge.checkpoints[op]; known && op > d.checkpointOp && op > d.written {
			d.rewrittenCount++
		}
		d.written = op
		d.judge.checkpoint(op, id)
	}
}

func checkpointOf(superblock []byte) (op uint64, id wire.Checksum) {
	c := datafile.DecodeCheckpoint(superblock[superblockCheckpointAt:][:datafile.CheckpointBytes])
	return c.Op, datafile.CheckpointID(&c)
}

// checkpointReleaseOf is the release that goes on from a superblock's checkpoint. 0: it has none.
func checkpointReleaseOf(superblock []byte) uint32 {
	c := datafile.DecodeCheckpoint(superblock[superblockCheckpointAt:][:datafile.CheckpointBytes])
	return c.Release
}

func (d *Medium) onPrepare(offsetBytes uint64, data []byte, durable bool) {
	h := prepare.Header(data[:prepare.HeaderBytes])
	if h.SizeBytes() > d.limits.TwinBytes && !durable {
		d.fail("a large prepare is written at %d, and the write need not be durable when it completes", offsetBytes)
	}
	op := h.Op()
	slots := uint64(d.limits.JournalSlotsCount)
	switch {
	case op <= d.durableOp:
		d.fail("op %d is prepared, but the log holds %d durable ops", op, d.durableOp)
	case op != d.durableOp+1:
		d.fail("op %d is prepared while op %d is the last durable one: a single replica writes one at a time", op, d.durableOp)
	case h.Parent() != d.sums[op-1]:
		d.fail("op %d does not name op %d as its parent", op, op-1)
	case d.layout.PrepareAt(op%slots) != offsetBytes:
		d.fail("op %d is written at %d", op, offsetBytes)
	case op >= slots && op-slots > d.checkpointOp:
		d.fail("op %d overwrites op %d, and the newest durable checkpoint is that of op %d", op, op-slots, d.checkpointOp)
	}
	if most := d.limits.PrepareMax(d.checkpointOp); op > most {
		d.fail("op %d is prepared, and with the checkpoint of op %d the last is %d", op, d.checkpointOp, most)
	} else if op == most {
		d.brinkCount++
	}
	d.candidate, d.whole, d.twinWhole, d.covered, d.direct = data, false, false, false, durable
}

func (d *Medium) onTwin(offsetBytes uint64, data []byte, durable bool) {
	if d.candidate == nil || offsetBytes != d.layout.TwinAt((d.durableOp+1)%uint64(d.limits.JournalSlotsCount)) {
		d.fail("a twin is written at %d, and its prepare is not being written", offsetBytes)
	}
	p := d.candidateBytes()
	if !bytes.Equal(data, twinOf(p, d.limits)) {
		d.fail("the twin of op %d is not what it has to be", d.durableOp+1)
	}
	if !durable && !isSmall(p, d.limits) {
		d.fail("the header of a large prepare is written at %d, and the write need not be durable when it completes", offsetBytes)
	}
	d.direct = d.direct && durable
}

// candidateBytes is the candidate without its padding.
func (d *Medium) candidateBytes() []byte {
	return d.candidate[:prepare.Header(d.candidate[:prepare.HeaderBytes]).SizeBytes()]
}

// onLogSync observes the beginning and the end of the log's sync. Writes that had ended when it
// began are durable when it has ended.
func (d *Medium) onLogSync(ended bool) {
	if !ended {
		d.covered = d.candidate != nil && d.whole && d.twinWhole
	} else if d.covered {
		d.commit()
	}
}

// onEnd observes the completion of a write.
func (d *Medium) onEnd(zone Zone, offsetBytes uint64, data []byte, succeeded bool) {
	if zone != PortJournal || !succeeded {
		return
	}
	switch {
	case offsetBytes >= d.layout.TwinsAt:
		if offsetBytes >= d.layout.PreparesAt {
			d.whole = true
		} else if d.twinWhole = true; !d.whole && !isSmall(d.candidateBytes(), d.limits) {
			d.fail("the header of op %d is on disk before its prepare", d.durableOp+1)
		}
		if d.direct && d.whole && d.twinWhole {
			d.commit()
		}
	default:
		sequence := binary.LittleEndian.Uint64(data[superblockSequenceAt:])
		d.copies[sequence]++
		if d.copies[sequence] == 3 {
			d.checkpointOp, _ = checkpointOf(data)
		}
	}
}

// commit: the candidate survives any crash from now on. A cluster of one has committed it then.
func (d *Medium) commit() {
	p := d.candidateBytes()
	d.candidate, d.whole, d.twinWhole, d.covered, d.torn = nil, false, false, false, nil
	d.durableOp++
	d.sums = append(d.sums, prepare.Header(p[:prepare.HeaderBytes]).Checksum())
	d.recent[d.durableOp%uint64(len(d.recent))] = p
	d.judge.commit(p)
}

// opened compares the log after recovery with the writes to the medium.
func (d *Medium) opened(o *replica.Opened, image *Image) {
	head := o.Consensus.OpHead
	slots := uint64(d.limits.JournalSlotsCount)
	// The write of a candidate, or that of its twin, had landed when the crash came, so the
	// candidate stays. It may also be one that an earlier start gave up, if a later write over it
	// has made it whole.
	if d.candidate != nil {
		d.torn = append(d.torn, d.candidate)
	}
	for _, p := range d.torn {
		if head == d.durableOp+1 && image.holds(d.layout.PrepareAt(head%slots), p) {
			d.candidate = p
			d.commit()
			break
		}
	}
	d.candidate, d.whole, d.twinWhole, d.covered, d.written = nil, false, false, false, 0
	if head != d.durableOp {
		d.fail("recovery finds the log's end at op %d, but op %d is the last durable one", head, d.durableOp)
	}
	superblock := &o.Consensus.Superblock
	checkpoint := &superblock.Checkpoint
	if checkpoint.Op < d.checkpointOp {
		d.fail("recovery goes back to the checkpoint of op %d, that of op %d was durable", checkpoint.Op, d.checkpointOp)
	}
	d.checkpointOp = checkpoint.Op
	if checkpoint.Op > 0 {
		d.judge.checkpoint(checkpoint.Op, datafile.CheckpointID(checkpoint))
	}
	if superblock.View <= d.view {
		d.fail("this start has view %d, the one before had %d", superblock.View, d.view)
	}
	for op := checkpoint.Op + 1; op <= head; op++ {
		p := d.recent[op%uint64(len(d.recent))]
		if !image.holds(d.layout.PrepareAt(op%slots), p) {
			d.fail("the log holds other bytes for op %d than were made durable", op)
		}
	}
}
