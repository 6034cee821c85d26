package sim

import (
	"bytes"
	"encoding/binary"

	"ledger/limits"
	"ledger/prepare"
	"ledger/replica"
	"ledger/sim/model"
	"ledger/sim/workload"
	"ledger/storage/datafile"
	"ledger/wire"
)

// Offsets of the checkpoint in a copy of the superblock (package datafile).
const (
	superblockSequenceAt   = 40
	superblockCheckpointAt = 256
	superblockParentAt     = 24 // in the checkpoint
)

// Judge observes all writes, so it knows the content of the medium. It checks that everything else
// agrees with it: the log after every restart, every reply on every connection, and every
// checkpoint that is written again.
type Judge struct {
	fail    func(format string, arguments ...any)
	limits  *limits.Limits
	layout  datafile.Layout
	cluster wire.U128

	clients *workload.Judge
	replies map[model.Checksum][][]byte // as the model made them, by request checksum
	forged  map[model.Checksum]string   // what is wrong with requests that must not be in the log

	durableOp uint64          // highest op whose prepare and twin are on the medium
	sums      []wire.Checksum // of headers, by op
	history   [][]byte        // prepares by op
	recent    [][]byte        // prepares modulo its length, which is more than the log holds
	candidate []byte          // the prepare that is being written, or that may be on the medium after a crash
	whole     bool            // the candidate's own write has completed
	twinWhole bool            // the write of its twin has completed
	direct    bool            // both writes are durable when they complete, without a sync
	covered   bool            // the log's sync that is under way began behind both
	torn      [][]byte        // candidates for the same op of which a restart has found no whole copy

	checkpoints  map[uint64]wire.Checksum // ids by op, as they were first written
	checkpointOp uint64                   // of the superblock in force
	copies       map[uint64]int           // copies on the medium, by sequence
	view         uint32
	written      uint64 // op of the checkpoint that this start has written last

	RequestsCount, CheckpointsCount, RewrittenCount, PulsesCount, GroupsCount, BrinkCount int
}

func newJudge(l *limits.Limits, cluster wire.U128, modelLimits model.Limits, fail func(string, ...any)) *Judge {
	root := prepare.PutRoot(make([]byte, prepare.HeaderBytes), cluster)
	return &Judge{
		fail:    fail,
		limits:  l,
		layout:  datafile.NewLayout(l),
		cluster: cluster,
		clients: workload.NewJudge(model.Config{
			Cluster:         model.Number{High: cluster.Hi, Low: cluster.Lo},
			SessionsMax:     int(l.SessionsMax),
			MessageBytesMax: modelLimits.MessageBytesMax,
			RequestBytesMax: modelLimits.RequestBytesMax,
		}),
		replies:     map[model.Checksum][][]byte{},
		forged:      map[model.Checksum]string{},
		sums:        []wire.Checksum{root.Checksum()},
		history:     make([][]byte, 1),
		recent:      make([][]byte, 2*l.JournalSlotsCount),
		checkpoints: map[uint64]wire.Checksum{},
		copies:      map[uint64]int{},
	}
}

// onWrite observes a write when it is queued.
func (j *Judge) onWrite(zone Zone, offsetBytes uint64, data []byte, durable bool) {
	switch {
	case offsetBytes < j.layout.TwinsAt && !durable:
		j.fail("the superblock is written at %d, and the write need not be durable when it completes", offsetBytes)
	case offsetBytes >= j.layout.GridAt:
		if zone != PortCompact {
			j.fail("port %d writes to the grid, at %d", zone, offsetBytes)
		}
	case zone != PortJournal:
		j.fail("port %d writes to the log or the superblock, at %d", zone, offsetBytes)
	case offsetBytes >= j.layout.PreparesAt:
		j.onPrepare(offsetBytes, data, durable)
	case offsetBytes >= j.layout.TwinsAt:
		j.onTwin(offsetBytes, data, durable)
	default:
		op, id := checkpointOf(data)
		parent := wire.Checksum(data[superblockCheckpointAt+superblockParentAt:][:16])
		if before, known := j.checkpoints[op-min(op, j.limits.CheckpointIntervalOps())]; known && before != parent {
			j.fail("the checkpoint of op %d names %x as its parent, it is %x", op, parent, before)
		}
		if _, known := j.checkpoints[op]; known && op > j.checkpointOp && op > j.written {
			j.RewrittenCount++
		}
		j.written = op
		j.checkpoint(op, id)
	}
}

func checkpointOf(superblock []byte) (op uint64, id wire.Checksum) {
	encoded := superblock[superblockCheckpointAt:][:datafile.CheckpointBytes]
	return binary.LittleEndian.Uint64(encoded), prepare.Sum(encoded)
}

// checkpoint demands that the checkpoint of an op is always the same. Its id covers the roots, and
// the roots cover every block.
func (j *Judge) checkpoint(op uint64, id wire.Checksum) {
	first, known := j.checkpoints[op]
	if !known {
		j.checkpoints[op] = id
		j.CheckpointsCount++
		return
	}
	if first != id {
		j.fail("the checkpoint of op %d is written again with other blocks: id %x, it was %x", op, id, first)
	}
}

func (j *Judge) onPrepare(offsetBytes uint64, data []byte, durable bool) {
	h := prepare.Header(data[:prepare.HeaderBytes])
	if h.SizeBytes() > j.limits.TwinBytes && !durable {
		j.fail("a large prepare is written at %d, and the write need not be durable when it completes", offsetBytes)
	}
	op := h.Op()
	slots := uint64(j.limits.JournalSlotsCount)
	switch {
	case op <= j.durableOp:
		j.fail("op %d is prepared, but the log holds %d durable ops", op, j.durableOp)
	case op != j.durableOp+1:
		j.fail("op %d is prepared while op %d is the last durable one: a single replica writes one at a time", op, j.durableOp)
	case h.Parent() != j.sums[op-1]:
		j.fail("op %d does not name op %d as its parent", op, op-1)
	case j.layout.PrepareAt(op%slots) != offsetBytes:
		j.fail("op %d is written at %d", op, offsetBytes)
	case op >= slots && op-slots > j.checkpointOp:
		j.fail("op %d overwrites op %d, and the newest durable checkpoint is that of op %d", op, op-slots, j.checkpointOp)
	}
	if most := j.limits.PrepareMax(j.checkpointOp); op > most {
		j.fail("op %d is prepared, and with the checkpoint of op %d the last is %d", op, j.checkpointOp, most)
	} else if op == most {
		j.BrinkCount++
	}
	j.candidate, j.whole, j.twinWhole, j.covered, j.direct = data, false, false, false, durable
}

func (j *Judge) onTwin(offsetBytes uint64, data []byte, durable bool) {
	if j.candidate == nil || offsetBytes != j.layout.TwinAt((j.durableOp+1)%uint64(j.limits.JournalSlotsCount)) {
		j.fail("a twin is written at %d, and its prepare is not being written", offsetBytes)
	}
	p := j.candidateBytes()
	if !bytes.Equal(data, twinOf(p, j.limits)) {
		j.fail("the twin of op %d is not what it has to be", j.durableOp+1)
	}
	if !durable && !isSmall(p, j.limits) {
		j.fail("the header of a large prepare is written at %d, and the write need not be durable when it completes", offsetBytes)
	}
	j.direct = j.direct && durable
}

// candidateBytes is the candidate without its padding.
func (j *Judge) candidateBytes() []byte {
	return j.candidate[:prepare.Header(j.candidate[:prepare.HeaderBytes]).SizeBytes()]
}

// onLogSync observes the beginning and the end of the log's sync. Writes that had ended when it
// began are durable when it has ended.
func (j *Judge) onLogSync(ended bool) {
	if !ended {
		j.covered = j.candidate != nil && j.whole && j.twinWhole
	} else if j.covered {
		j.commit()
	}
}

// onEnd observes the completion of a write.
func (j *Judge) onEnd(zone Zone, offsetBytes uint64, data []byte, succeeded bool) {
	if zone != PortJournal || !succeeded {
		return
	}
	switch {
	case offsetBytes >= j.layout.TwinsAt:
		if offsetBytes >= j.layout.PreparesAt {
			j.whole = true
		} else if j.twinWhole = true; !j.whole && !isSmall(j.candidateBytes(), j.limits) {
			j.fail("the header of op %d is on disk before its prepare", j.durableOp+1)
		}
		if j.direct && j.whole && j.twinWhole {
			j.commit()
		}
	default:
		sequence := binary.LittleEndian.Uint64(data[superblockSequenceAt:])
		j.copies[sequence]++
		if j.copies[sequence] == 3 {
			j.checkpointOp, _ = checkpointOf(data)
		}
	}
}

// commit: the candidate survives any crash from now on, so the model executes it.
func (j *Judge) commit() {
	p := j.candidate
	j.candidate, j.whole, j.twinWhole, j.covered, j.torn = nil, false, false, false, nil
	h := prepare.Header(p[:prepare.HeaderBytes])
	p = p[:h.SizeBytes()]
	j.durableOp++
	j.sums = append(j.sums, h.Checksum())
	j.recent[j.durableOp%uint64(len(j.recent))] = p
	j.history = append(j.history, p)
	if h.Operation() == wire.OperationPulse {
		j.PulsesCount++
	}
	if h.IsGroup() {
		j.GroupsCount++
	}
	for i := range int(h.RequestsCount()) {
		r := prepare.RequestAt(p, i)
		if h.IsGroup() && r.Operation.Class() == wire.ClassControl {
			j.fail("op %d has operation %d in a group: it has to be alone", h.Op(), r.Operation)
		}
		c := model.Committed{
			Op:              h.Op(),
			Timestamp:       r.Timestamp,
			View:            h.View(),
			Replica:         h.Replica(),
			Client:          number(r.Client),
			Request:         r.Request,
			RequestChecksum: model.Checksum(r.RequestChecksum),
			Release:         uint32(r.Release),
			Operation:       model.Operation(r.Operation),
			Body:            r.Body,
			RequestBytesMax: h.RequestLimit(),
			Session:         r.Session,
		}
		if what, ok := j.forged[c.RequestChecksum]; ok {
			j.fail("op %d has a request that had to be ignored: %s", h.Op(), what)
		}
		if err := j.clients.Commit(&c); err != nil {
			j.fail("the log is impossible: %v", err)
		}
		j.RequestsCount++
		if _, request, reply, ok := j.clients.Server.Session(c.Client); ok && request == c.Request {
			j.replies[c.RequestChecksum] = append(j.replies[c.RequestChecksum], reply)
		}
	}
}

func number(v wire.U128) model.Number { return model.Number{High: v.Hi, Low: v.Lo} }

// opened compares the log after recovery with the writes to the medium.
func (j *Judge) opened(o *replica.Opened, image *Image) {
	head := o.Consensus.OpHead
	slots := uint64(j.limits.JournalSlotsCount)
	// The write of a candidate, or that of its twin, had landed when the crash came, so the
	// candidate stays. It may also be one that an earlier start gave up, if a later write over it
	// has made it whole.
	if j.candidate != nil {
		j.torn = append(j.torn, j.candidate)
	}
	for _, p := range j.torn {
		if head == j.durableOp+1 && bytes.Equal(p, image.now[j.layout.PrepareAt(head%slots):][:len(p)]) {
			j.candidate = p
			j.commit()
			break
		}
	}
	j.candidate, j.whole, j.twinWhole, j.covered, j.written = nil, false, false, false, 0
	if head != j.durableOp {
		j.fail("recovery finds the log's end at op %d, but op %d is the last durable one", head, j.durableOp)
	}
	superblock := &o.Consensus.Superblock
	checkpoint := &superblock.Checkpoint
	if checkpoint.Op < j.checkpointOp {
		j.fail("recovery goes back to the checkpoint of op %d, that of op %d was durable", checkpoint.Op, j.checkpointOp)
	}
	j.checkpointOp = checkpoint.Op
	if checkpoint.Op > 0 {
		j.checkpoint(checkpoint.Op, datafile.CheckpointID(checkpoint))
	}
	if superblock.View <= j.view {
		j.fail("this start has view %d, the one before had %d", superblock.View, j.view)
	}
	for op := checkpoint.Op + 1; op <= head; op++ {
		p := j.recent[op%uint64(len(j.recent))]
		if !bytes.Equal(p, image.now[j.layout.PrepareAt(op%slots):][:len(p)]) {
			j.fail("the log holds other bytes for op %d than were made durable", op)
		}
	}
}

// frame checks one whole message that the server has sent to any connection.
func (j *Judge) frame(frame []byte) {
	h, _, err := model.ParseFrame(frame)
	if err != nil {
		j.fail("the server sends a message that breaks the protocol: %v", err)
	}
	if h.View != j.view {
		j.fail("a message of command %d has view %d, this start has %d", h.Command, h.View, j.view)
	}
	switch h.Command {
	case model.CommandReply:
		if h.Op > j.durableOp {
			j.fail("a reply of op %d arrives while op %d is the last durable one", h.Op, j.durableOp)
		}
		made := j.replies[h.RequestChecksum]
		if len(made) == 0 {
			return // of an evicted client: workload.Judge compares it
		}
		for _, reply := range made {
			if err = model.SameReply(frame, reply); err == nil {
				return
			}
		}
		j.fail("the reply to client %x, request %d, operation %d, op %d: %v", h.Client, h.Request, h.Operation, h.Op, err)
	case model.CommandEviction:
		// A client may have lost a session and registered again. It may still be told that the old
		// session has ended, if it asked before the new one was known to be durable.
		server := j.clients.Server
		if _, _, _, ok := server.Session(h.Client); ok && !server.LostSession(h.Client) && h.Reason == model.EvictNoSession {
			j.fail("client %x is told that it has no session, and it has one", h.Client)
		}
	}
}

// exchange checks one finished request of a client.
func (j *Judge) exchange(e *workload.Exchange) {
	if err := j.clients.Add(e); err != nil {
		j.fail("%v", err)
	}
}
