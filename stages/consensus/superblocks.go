package consensus

import (
	"ledger/internal/assert"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// durableLog is the part of the superblock that a view change relies on. It changes as a whole: the
// list of headers and the uncertain ops are those of the log view.
type durableLog struct {
	logView      uint32
	headersCount uint8
	headers      [datafile.HeadersMax][prepare.HeaderBytes]byte
	uncertain    [datafile.UncertainBytes]byte
}

func durableLogOf(s *datafile.Superblock) durableLog {
	return durableLog{logView: s.LogView, headersCount: s.HeadersCount, headers: s.Headers, uncertain: s.Uncertain}
}

// list is what the rules know of the headers.
func (d *durableLog) list() vsr.List {
	var buffer [datafile.HeadersMax]prepare.Header
	return vsr.ReadList(d.all(&buffer), &d.uncertain)
}

// find returns the whole header of an op, or nil.
func (d *durableLog) find(op uint64, checksum wire.Checksum) prepare.Header {
	for i := range d.headersCount {
		if h := prepare.Header(d.headers[i][:]); h.Op() == op && h.Checksum() == checksum {
			return h
		}
	}
	return nil
}

// put writes the headers as a message has them, and returns their bytes.
func (d *durableLog) put(body []byte) (bytes int) {
	for i := range d.headersCount {
		copy(body[bytes:], d.headers[i][:])
		bytes += prepare.HeaderBytes
	}
	return bytes
}

// read reads the headers of a message.
func (d *durableLog) read(body []byte, logView uint32, uncertain *[datafile.UncertainBytes]byte) {
	*d = durableLog{logView: logView, headersCount: uint8(min(len(body)/prepare.HeaderBytes, datafile.HeadersMax))}
	for i := range d.headersCount {
		copy(d.headers[i][:], body[int(i)*prepare.HeaderBytes:])
	}
	if uncertain != nil {
		d.uncertain = *uncertain
	}
}

// all returns the headers of the list, in buffer.
func (d *durableLog) all(buffer *[datafile.HeadersMax]prepare.Header) []prepare.Header {
	for i := range d.headersCount {
		buffer[i] = d.headers[i][:]
	}
	return buffer[:d.headersCount]
}

// fill makes the list of whole headers that stands for list. Of the op from which the log was
// opened only the checksum may be known. All below its trigger is executed, so the list can end
// above it.
func (d *durableLog) fill(list *vsr.List, logView uint32, cluster wire.U128, g *log, before *views) {
	at, base := list.Count-1, g.base()
	if at > 0 && list.Lowest() == base && !g.has(base) && before.rawOf(base, list.Headers[at].Checksum) == nil {
		list.Headers[at] = vsr.Header{}
		list.Count = at
	}
	*d = durableLog{logView: logView, headersCount: uint8(list.Count)}
	for i := range list.Count {
		switch h := &list.Headers[i]; {
		case h.Blank:
			prepare.PutReserved(d.headers[i][:], cluster, h.Op)
		case g.is(h.Op, h.Checksum):
			copy(d.headers[i][:], g.header(h.Op))
		default:
			raw := before.rawOf(h.Op, h.Checksum)
			assert.That(raw != nil, "the header of a list is in the log, or in the list before")
			copy(d.headers[i][:], raw)
		}
	}
	list.Uncertain.Put(&d.uncertain)
}

// superblockChange is a set of changes to the superblock. Each has a flag that tells whether it is
// in the set.
type superblockChange struct {
	hasView, hasLog, hasCheckpoint, hasSync bool

	view                 uint32
	log                  durableLog
	checkpoint           storage.Checkpoint
	syncOpMin, syncOpMax uint64
}

// superblocks writes the superblock. One write is under way at a time. What changes meanwhile waits
// in one pending set, which is merged with the then current state when the next write begins. So a
// view change and a checkpoint do not wait in a row, and neither undoes the other.
//
//	setView, setLog, ...        begin                     done
//	---------------------> pending ----> being written ----------> durable
type superblocks struct {
	durable  datafile.Superblock
	checksum wire.Checksum // of durable
	id       wire.Checksum // of the checkpoint of durable
	pending  superblockChange

	next    datafile.Superblock // what is being written, if isBusy
	writing superblockChange    // the set that next has and durable has not
	isBusy  bool
}

func newSuperblocks(durable *datafile.Superblock, checksum wire.Checksum) superblocks {
	return superblocks{durable: *durable, checksum: checksum, id: datafile.CheckpointID(&durable.Checkpoint)}
}

// now is the durable content.
func (w *superblocks) now() *datafile.Superblock { return &w.durable }

// checkpointID is the id of the durable checkpoint.
func (w *superblocks) checkpointID() wire.Checksum { return w.id }

// setView: the replica has moved to a later view.
func (w *superblocks) setView(view uint32) {
	assert.AtMost(max(w.durable.View, w.next.View, w.pending.view), view, "view before the next one")
	w.pending.hasView, w.pending.view = true, view
}

// setLog: the log is that of a later view.
func (w *superblocks) setLog(log *durableLog) {
	assert.AtMost(max(w.durable.LogView, w.next.LogView, w.pending.log.logView), log.logView, "log view before the next one")
	w.pending.hasLog, w.pending.log = true, *log
}

// setCheckpoint: all blocks that the checkpoint names are on disk. prepareChecksum is that of its
// op, and members the table of its header.
func (w *superblocks) setCheckpoint(checkpoint *storage.Checkpoint, prepareChecksum wire.Checksum, members prepare.Members) {
	assert.That(!w.pending.hasCheckpoint && !w.writing.hasCheckpoint, "a checkpoint is durable before the next one is on disk")
	w.pending.hasCheckpoint, w.pending.checkpoint = true, *checkpoint
	w.pending.checkpoint.PrepareChecksum = prepareChecksum
	w.pending.checkpoint.Members = members
	w.pending.checkpoint.ParentID = w.id
}

// isCheckpointing tells whether a checkpoint waits to be written, or is being written.
func (w *superblocks) isCheckpointing() bool {
	return w.pending.hasCheckpoint || w.writing.hasCheckpoint
}

// replace takes over a checkpoint of another replica, with the log of the view that came with it,
// all in one write. So no crash leaves a checkpoint without a log that goes on from it.
func (w *superblocks) replace(checkpoint *storage.Checkpoint, view uint32, log *durableLog, syncOpMin, syncOpMax uint64) {
	assert.That(!w.isCheckpointing(), "the own checkpoint is durable before another one takes its place")
	w.setView(view)
	w.setLog(log)
	w.setSync(syncOpMin, syncOpMax)
	w.pending.hasCheckpoint, w.pending.checkpoint = true, *checkpoint
}

// setSync: the blocks that were born in these ops may be missing. Both 0: none is missing.
func (w *superblocks) setSync(opMin, opMax uint64) {
	w.pending.hasSync, w.pending.syncOpMin, w.pending.syncOpMax = true, opMin, opMax
}

// begin returns the superblock to write. nil: there is nothing to write, or a write is under way.
// commitMax is a hint that goes along.
func (w *superblocks) begin(commitMax uint64) *datafile.Superblock {
	p := &w.pending
	if w.isBusy || !(p.hasView || p.hasLog || p.hasCheckpoint || p.hasSync) {
		return nil
	}
	w.isBusy = true
	next := &w.next
	*next = w.durable
	next.Sequence++
	next.Parent = w.checksum
	next.CommitMax = max(next.CommitMax, commitMax)
	if p.hasView {
		next.View = p.view
	}
	if p.hasLog {
		next.LogView, next.HeadersCount, next.Headers, next.Uncertain = p.log.logView, p.log.headersCount, p.log.headers, p.log.uncertain
	}
	if p.hasCheckpoint {
		next.Checkpoint = p.checkpoint
		next.Release = max(next.Release, p.checkpoint.Release)
	}
	if p.hasSync {
		next.SyncOpMin, next.SyncOpMax = p.syncOpMin, p.syncOpMax
	}
	assert.AtMost(next.LogView, next.View, "log view of the superblock")
	w.writing, w.pending = *p, superblockChange{}
	return next
}

// done: the superblock with this sequence is durable. It returns whether a checkpoint became
// durable with it.
func (w *superblocks) done(sequence uint64, checksum wire.Checksum) (hasCheckpoint bool) {
	assert.That(w.isBusy, "a superblock was being written")
	assert.Equal(sequence, w.next.Sequence, "sequence of the superblock")
	w.isBusy = false
	w.durable, w.checksum = w.next, checksum
	hasCheckpoint = w.writing.hasCheckpoint
	if hasCheckpoint {
		w.id = datafile.CheckpointID(&w.durable.Checkpoint)
	}
	w.writing = superblockChange{}
	return hasCheckpoint
}
