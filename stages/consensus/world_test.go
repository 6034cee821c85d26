package consensus

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

const never = uint64(1<<63 - 1)

var testCluster = wire.U128{Lo: 7}

// testLimits make checkpoints and wraps of the log happen all the time.
func testLimits() limits.Limits {
	l := limits.Production()
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 32, 4, 4, 4
	l.SessionsMax, l.ConnectionsMax = 4, 8
	return l
}

// world is a stage with journal, apply and net played by the test. What the parts rely on is
// checked at each action.
type world struct {
	t      testing.TB
	l      limits.Limits
	memory *arena.Arena
	slots  *stages.Slots
	stage  *Stage
	out    Actions
	nowNs  uint64
	wallNs uint64

	// On disk.
	superblock    datafile.Superblock
	superblockSum wire.Checksum
	trailer       []byte
	replies       []byte
	log           map[uint64][]byte // every prepare that ever was durable, also those that the ring has overwritten
	head          uint64

	// On its way.
	appending      *stages.ConsensusToJournal
	reads          []stages.ConsensusToJournal
	superblockNext *datafile.Superblock
	superblockCopy datafile.Superblock
	commits        []stages.ConsensusToApply
	executed       uint64
	sessions       *stages.Sessions
	sessionsBytes  []byte // as they were when they were lent
	repliesBytes   []byte // the same
	trailerNext    []byte
	repliesNext    []byte
	sends          []sending
	frees          []sending
	registered     map[wire.U128]bool // what net was last told of each client since the start

	clockReports []uint64 // of a clock that is behind, in ns

	// For the stage's next turn.
	journalEvents []stages.JournalToConsensus
	applyEvents   []stages.ApplyToConsensus
	netEvents     []stages.NetToConsensus

	nextPulse func(timestamp uint64) uint64
	onMessage func(message []byte) // what reached a client
	pulses    int
	fault     *storage.Fault
	ready     bool
	leaves    bool // the process is about to end
	left      bool // and may do so
	netMax    int  // most descriptors that were at net at once
	trace     uint64
}

// sending is one message at net, and its bytes when it was handed over.
type sending struct {
	action stages.ConsensusToNet
	bytes  []byte
}

func newWorld(t testing.TB, l limits.Limits) *world {
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, l: l, log: map[uint64][]byte{}, wallNs: 1_000_000_000_000, nextPulse: func(uint64) uint64 { return never }}
	w.onMessage = func([]byte) {}
	root := make([]byte, prepare.HeaderBytes)
	w.superblock = datafile.Superblock{Sequence: 1, Cluster: testCluster, ReplicasCount: 1, SessionsMax: l.SessionsMax}
	w.superblock.Checkpoint.PrepareChecksum = prepare.PutRoot(root, testCluster).Checksum()
	t.Cleanup(func() {
		if w.memory != nil {
			w.memory.Close()
		}
	})
	w.start()
	return w
}

// start makes a new stage from what is on disk.
func (w *world) start() {
	if w.memory != nil {
		w.memory.Close()
	}
	w.memory = arena.New()
	l := &w.l
	w.slots = &stages.Slots{}
	w.slots.Pools[stages.SlotClient] = arena.NewPool(w.memory, 2*l.ConnectionsMax+l.PipelineOpsMax, wire.MessageBytesMax, "client slots")
	w.slots.Pools[stages.SlotPrepare] = arena.NewPool(w.memory, l.PipelineOpsMax+2, wire.MessageBytesMax, "prepare slots")
	w.slots.Pools[stages.SlotReply] = arena.NewPool(w.memory, l.SessionsMax+2*l.PipelineOpsMax, wire.MessageBytesMax, "reply slots")
	w.superblock.View++
	w.superblock.LogView = w.superblock.View
	w.superblock.Sequence++
	w.superblock.CommitMax = max(w.superblock.CommitMax, w.head)
	w.out = NewActions(l)
	w.executed = w.superblock.Checkpoint.Op
	w.appending, w.reads, w.superblockNext, w.commits, w.sessions, w.trailerNext, w.repliesNext = nil, nil, nil, nil, nil, nil, nil
	w.sends, w.frees, w.journalEvents, w.applyEvents, w.netEvents = nil, nil, nil, nil, nil
	w.ready, w.leaves, w.left, w.fault, w.registered = false, false, false, nil, map[wire.U128]bool{}
	headers := make([]byte, l.JournalSlotsCount*prepare.HeaderBytes)
	for op := w.superblock.Checkpoint.Op + 1; op <= w.head; op++ {
		copy(headers[op%uint64(l.JournalSlotsCount)*prepare.HeaderBytes:], w.log[op][:prepare.HeaderBytes])
	}
	w.stage = New(*l, DefaultOptions(), w.slots, &Recovered{
		Superblock: w.superblock, SuperblockChecksum: w.superblockSum, OpHead: w.head, Headers: headers,
	}, w.memory)
	w.applyEvents = append(w.applyEvents, stages.ApplyToConsensus{Kind: stages.ApplyOpened, Op: w.superblock.Checkpoint.Op,
		Records: w.trailer})
}

// crash loses what is not on disk. What was on its way may have arrived.
func (w *world) crash(appendLands, superblockLands bool) {
	if w.appending != nil && appendLands {
		w.appendLands()
	}
	if w.superblockNext != nil && superblockLands {
		w.superblockLands()
	}
	w.start()
}

func (w *world) appendLands() {
	a := w.appending
	bytes_ := w.slots.Bytes(a.Slot)
	size := prepare.Header(bytes_[:prepare.HeaderBytes]).SizeBytes()
	w.log[a.Op] = bytes.Clone(bytes_[:size])
	w.head = a.Op
	w.appending = nil
}

func (w *world) superblockLands() {
	if *w.superblockNext != w.superblockCopy {
		w.t.Fatal("the superblock changed while it was being written")
	}
	w.superblock = w.superblockCopy
	w.superblockSum = wire.Checksum{byte(w.superblock.Sequence)}
	w.trailer, w.replies = w.trailerNext, w.repliesNext
	w.superblockNext = nil
}

// turn gives the stage what waits for it.
func (w *world) turn() {
	w.out.Reset()
	out := &w.out
	netCap := cap(out.Net)
	w.stage.Step(w.nowNs, Events{Leaves: w.leaves, WallNs: w.wallNs, Journal: w.journalEvents, Apply: w.applyEvents, Net: w.netEvents}, out)
	w.journalEvents, w.applyEvents, w.netEvents = w.journalEvents[:0], w.applyEvents[:0], w.netEvents[:0]
	if cap(out.Net) != netCap || cap(out.Journal) != 64 || cap(out.Apply) != 64 {
		w.t.Fatal("the actions grew")
	}
	if w.fault != nil {
		w.checkStopped(out)
	}
	if out.Fault != nil { // what this step wanted before is performed still, as the driver does
		w.fault = out.Fault
	}
	w.ready = w.ready || out.Ready
	if out.Left && w.left {
		w.t.Fatal("the replica says twice that the process may end")
	}
	w.left = w.left || out.Left
	if out.ClockBehindNs > 0 {
		w.clockReports = append(w.clockReports, out.ClockBehindNs)
	}
	for i := range out.Journal {
		w.performJournal(&out.Journal[i])
	}
	for i := range out.Apply {
		w.performApply(&out.Apply[i])
	}
	for i := range out.Net {
		w.performNet(&out.Net[i])
	}
}

func (w *world) note(kind byte, values ...uint64) {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], w.trace)
	h.Write(append(b[:], kind))
	for _, v := range values {
		binary.LittleEndian.PutUint64(b[:], v)
		h.Write(b[:])
	}
	w.trace = h.Sum64()
}
