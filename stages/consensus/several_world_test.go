package consensus

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/peer"
	"ledger/prepare"
	"ledger/stages"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// several is a cluster of stages whose journals, applies and networks the test plays. Time is
// virtual. What is committed is judged by an oracle that knows only acknowledgements.
type several struct {
	t          testing.TB
	seed       uint64
	l          limits.Limits
	random     *rand.Rand
	quorums    vsr.Quorums
	bounds     peer.Bounds
	nowNs      uint64
	machines   []*machine
	isCut      [limits.MembersMax][limits.MembersMax]bool
	links      [limits.MembersMax][limits.MembersMax][]flight
	lossPer    int  // messages of 1000 that are lost
	isExact    bool // nothing happens by chance
	say        func(format string, values ...any)
	isSmallOps bool // clients ask for small ops, of the primary
	opBytes    int  // of the bodies of these; 0: 1280
	maySpread  bool // clients go on when a machine is nearly a log behind
	losesFiles bool // a checkpoint that a quorum has had may have fewer copies by now
	isSyncOff  bool // state sync would hide what a script is about
	oracle     oracle
	clients    []*severalClient
	count      map[string]int
	trailers   map[uint64][2][]byte                   // sessions and replies of the checkpoint of each op
	onSend     func(from, to int, f *flight) bool     // a script may drop a message
	onStep     func(m *machine, step func())          // a script may look at what a step does
	onFault    func(m *machine, fault *storage.Fault) // a script may expect that a machine stops
	onLost     func(m *machine, lost LostBlocks)      // what a machine says of blocks that nobody brings
	latePer    int                                    // replies of 1000 that come behind their op
	lateRandom *rand.Rand                             // of its own, so that worlds without late replies stay as they are
}

// flight is a message between two machines.
type flight struct {
	command peer.Command
	view    uint32
	bytes   []byte
	atNs    uint64
	file    uint64 // incarnation of the sender
}

func severalLimits(replicas int) limits.Limits {
	l := limits.Production()
	l.JournalSlotsCount, l.BarOps, l.SlackOps, l.PipelineOpsMax = 128, 8, 10, 8
	l.SessionsMax, l.ConnectionsMax, l.ReplicasCount = 4, 8, uint32(replicas)
	return l
}

// newSeveral makes a world. In the short form, which the race detector runs, it skips the test: no
// threads meet in a world, and each takes ten times as long there.
func newSeveral(t testing.TB, replicas int, seed uint64) *several {
	return newSeveralWith(t, replicas, 0, seed)
}

// newSeveralWith makes a world of replicas, and of standbys behind them.
func newSeveralWith(t testing.TB, replicas, standbys int, seed uint64) *several {
	return newSeveralOf(t, severalLimits(replicas), standbys, seed)
}

// newSeveralOf makes a world of other limits.
func newSeveralOf(t testing.TB, l limits.Limits, standbys int, seed uint64) *several {
	if testing.Short() {
		t.Skip("machines of one thread")
	}
	replicas := int(l.ReplicasCount)
	w := &several{t: t, seed: seed, l: l, random: rand.New(rand.NewPCG(seed, 7)), quorums: vsr.QuorumsOf(replicas),
		nowNs: 1_000_000_000, count: map[string]int{}, trailers: map[uint64][2][]byte{}, lateRandom: rand.New(rand.NewPCG(seed, 0x1a7e))}
	w.l.StandbysCount = uint32(standbys)
	if err := w.l.Check(); err != nil {
		t.Fatal(err)
	}
	w.bounds = peer.NewBounds(&w.l, testCluster)
	w.oracle = newOracle(w)
	for i := range replicas + standbys {
		m := &machine{w: w, index: i, disk: make([]diskSlot, w.l.JournalSlotsCount), skewNs: uint64(w.random.IntN(20_000_000)),
			tables: map[uint64]bool{}, trailers: map[uint64]bool{}}
		root := make([]byte, prepare.HeaderBytes)
		m.superblock = datafile.Superblock{Sequence: 1, Cluster: testCluster, ReplicasCount: uint8(replicas), Replica: uint8(i),
			SessionsMax: w.l.SessionsMax, Release: limits.Release}
		m.offered = vsr.Releases{Min: limits.Release, Max: limits.Release}
		m.superblock.Checkpoint.PrepareChecksum = prepare.PutRoot(root, testCluster).Checksum()
		w.machines = append(w.machines, m)
	}
	for _, m := range w.machines {
		m.start()
	}
	t.Cleanup(func() {
		for _, m := range w.machines {
			if m.memory != nil {
				m.memory.Close()
			}
		}
	})
	return w
}

// chance is a number below n, or in a story the given one.
func (w *several) chance(n, exact int) int {
	if w.isExact {
		return exact
	}
	return w.random.IntN(n)
}

// tell says something in a story.
func (w *several) tell(format string, values ...any) {
	if w.say != nil {
		w.say(format, values...)
	}
}

// run lets time pass.
func (w *several) run(ns uint64) {
	w.t.Helper()
	for until := w.nowNs + ns; w.nowNs < until; {
		w.nowNs += uint64(200_000 + w.chance(2_000_000, 800_000))
		for from := range w.machines {
			for to := range w.machines {
				w.deliver(from, to)
			}
		}
		for _, c := range w.clients {
			c.act()
		}
		for _, m := range w.machines {
			if m.isUp && !m.isStopped && m.pausedNs <= w.nowNs {
				m.finish()
				m.turn()
			}
		}
	}
}

func (w *several) send(from, to int, f flight) {
	if w.onSend != nil && !w.onSend(from, to, &f) {
		return
	}
	if w.isCut[from][to] || w.random.IntN(1000) < w.lossPer {
		return
	}
	f.file = w.machines[from].superblock.Incarnation
	f.atNs = w.nowNs + uint64(100_000+w.chance(3_000_000, 900_000)) + w.machines[from].farNs + w.machines[to].farNs
	w.links[from][to] = append(w.links[from][to], f)
}

func (w *several) deliver(from, to int) {
	link := &w.links[from][to]
	for len(*link) > 0 && (*link)[0].atNs <= w.nowNs && !w.machines[to].isStopped {
		f := (*link)[0]
		*link = (*link)[1:]
		if m := w.machines[to]; m.isUp && !w.isCut[from][to] {
			m.receive(from, &f)
		}
	}
}

// isolate cuts a machine off, or connects it again.
func (w *several) isolate(index int, isCut bool) {
	for i := range w.machines {
		w.isCut[i][index], w.isCut[index][i] = isCut, isCut
	}
}

// machine is one replica and what is on its disk.
type machine struct {
	w        *several
	index    int
	isUp     bool
	pausedNs uint64
	farNs    uint64 // how much longer each message to and from it takes
	skewNs   uint64

	disk          []diskSlot
	rotten        map[int]bool // slots that were damaged at the start, and not written since
	superblock    datafile.Superblock
	superblockSum wire.Checksum
	tables        map[uint64]bool // on disk: the blocks that were born at the op of a checkpoint
	trailers      map[uint64]bool // on disk: those of the checkpoint of an op

	offered vsr.Releases
	upgrade testUpgrade

	memory *arena.Arena
	slots  *stages.Slots
	stage  *Stage
	out    Actions

	grid testGrid

	appends        []stages.ConsensusToJournal
	reads          []stages.ConsensusToJournal
	superblockNext *datafile.Superblock
	superblockCopy datafile.Superblock
	commits        []stages.ConsensusToApply
	lates          []lateReplyOf
	executed       uint64
	sessions       *stages.Sessions
	fake           fakeTables
	sends          []sending
	peerSends      []sending

	journalEvents []stages.JournalToConsensus
	applyEvents   []stages.ApplyToConsensus
	netEvents     []stages.NetToConsensus
	isServing     bool
	service       Service // as last told
	away          map[Away]bool
	readyCount    int // since the start

	appendedNs         map[uint64]uint64 // when each op was given to the disk
	writeNs, executeNs uint64            // what an append and an execution take at least
	workNs, idleNs     uint64            // how long an execution keeps all others waiting, and when the last one ends

	isBroken                     bool   // its state is another one than that of the others
	superblockNs, superblockAtNs uint64 // how long a superblock takes at least, and when the one under way began

	holdsAppends, holdsSuperblock, holdsWork bool // a script keeps these from ending; work is reads and executions
	isCheckpointHeld                         bool // its checkpoint does not come to an end
	holdsBlocks                              bool // no block of a sync comes
	holdsLate                                bool // late replies do not come
	repliesAtOnce                            bool // no reply is late
	holdsUnwants                             bool // the wants of a state that is left have not ended when another is open
	isStopped                                bool // the whole process: nothing is read from the network either
}

// diskSlot has both copies of a slot: nil was never written, empty is torn.
type diskSlot struct{ p, t []byte }

// syncOff runs the machines without state sync, from here on.
func (w *several) syncOff() {
	w.isSyncOff = true
	for _, m := range w.machines {
		m.stage.syncing.isOff = true
	}
}

func (m *machine) start() {
	if m.memory != nil {
		m.memory.Close()
	}
	w, l := m.w, m.limits()
	m.memory, m.slots = arena.New(), &stages.Slots{}
	count := l.SlotsCount()
	pool := func(class stages.SlotClass, n uint32, bytes uint64) {
		m.slots.Pools[class] = arena.NewPool(m.memory, n, bytes, "slots")
	}
	pool(stages.SlotClient, count.Client, wire.MessageBytesMax)
	pool(stages.SlotPrepare, count.Prepare, wire.MessageBytesMax)
	pool(stages.SlotReply, count.Reply, wire.MessageBytesMax)
	pool(stages.SlotPeer, count.Peer, wire.MessageBytesMax)
	pool(stages.SlotRepair, count.Repair, l.RepairSlotBytes())
	pool(stages.SlotSmall, count.Small, limits.SmallSlotBytes)
	pool(stages.SlotSend, count.Send, limits.SmallSlotBytes)
	m.out = NewActions(l)
	m.executed, m.appendedNs, m.away = m.superblock.Checkpoint.Op, map[uint64]uint64{}, map[Away]bool{}
	m.appends, m.reads, m.superblockNext, m.commits, m.sessions, m.sends, m.peerSends = nil, nil, nil, nil, nil, nil, nil
	m.fake, m.upgrade, m.lates = fakeTables{}, testUpgrade{}, nil
	m.journalEvents, m.applyEvents, m.netEvents, m.isServing, m.readyCount = nil, nil, nil, false, 0
	m.grid.start()
	m.stage = New(*l, DefaultOptions(), m.slots, m.recover(), m.memory)
	m.stage.syncing.isOff = w.isSyncOff
	m.open(m.superblock.Checkpoint.Op, m.superblock.SyncOpMin, m.superblock.SyncOpMax)
	m.isUp = true
	for i := range w.machines {
		if i != m.index && (i < w.quorums.Replicas || !m.isStandby()) {
			m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: stages.NetPeerLive, Peer: uint8(i),
				Incarnation: w.machines[i].superblock.Incarnation})
		}
	}
}

// isStandby tells whether the machine is a standby.
func (m *machine) isStandby() bool { return m.index >= m.w.quorums.Replicas }

// limits of one machine.
func (m *machine) limits() *limits.Limits {
	l := m.w.l
	if m.isStandby() {
		l.IsStandby, l.StandbysCount = true, 0
	}
	l.ReleaseMin, l.ReleaseMax = m.offered.Min, m.offered.Max
	l.Release = datafile.ReleaseOf(&m.superblock, &l)
	return &l
}

// recover reads the disk as journal does at a start.
func (m *machine) recover() *Recovered {
	l, s := &m.w.l, &m.superblock
	slots, headers := make([]vsr.Slot, len(m.disk)), make([]byte, len(m.disk)*prepare.HeaderBytes)
	copyOf := func(b []byte, isTwin bool) vsr.Copy {
		switch {
		case b == nil:
			return vsr.Copy{Kind: vsr.KindReserved}
		case len(b) == 0:
			return vsr.Copy{Kind: vsr.KindBad}
		}
		h := prepare.Header(b[:prepare.HeaderBytes])
		c := vsr.Copy{Kind: vsr.KindWhole, View: h.View(), Op: h.Op(), Commit: h.Commit(), Checksum: h.Checksum(), Parent: h.Parent()}
		if isTwin && h.SizeBytes() > l.TwinBytes {
			c.Kind = vsr.KindHeader
		}
		return c
	}
	for i := range m.disk {
		d := &m.disk[i]
		slots[i] = vsr.Slot{P: copyOf(d.p, false), T: copyOf(d.t, true)}
	}
	log := durableLogOf(s)
	list := log.list()
	in := vsr.Input{Replicas: int(s.ReplicasCount), CheckpointOp: s.Checkpoint.Op, CheckpointChecksum: s.Checkpoint.PrepareChecksum,
		PrepareMax: l.PrepareMax(s.Checkpoint.Op), CommitMax: max(s.CommitMax, s.Checkpoint.Op), View: s.View, LogView: s.LogView,
		Headers: list.Headers[:list.Count], Uncertain: list.Uncertain}
	if s.Checkpoint.Op > 0 {
		in.TriggerOp = l.CheckpointTrigger(s.Checkpoint.Op)
	}
	result, refusal := vsr.Recover(&in, slots, make([]vsr.Decision, len(slots)))
	if refusal != nil {
		m.w.t.Fatalf("machine %d: %s", m.index, refusal.Reason)
	}
	r := &Recovered{Superblock: *s, SuperblockChecksum: m.superblockSum, OpHead: result.OpHead,
		Headers: headers, Uncertain: result.Uncertain, CommitMax: result.CommitMax, Seed: m.w.random.Uint64(),
		NowNs: m.w.nowNs, WallNs: m.wallNs()}
	m.rotten = map[int]bool{}
	for i, d := range result.Decisions { // recovery mends the other copy before anything is acknowledged
		switch disk := &m.disk[i]; d.Verdict {
		case vsr.FixTwin:
			disk.t = disk.p
		case vsr.FixPrepare:
			disk.p = disk.t
		case vsr.Faulty, vsr.Cut:
			m.w.count["faulty"]++
			m.rotten[i] = true
			r.Faulty.Add(uint64(i))
		}
		isOlder := slots[i].P.Kind == vsr.KindWhole && slots[i].P.Op <= s.Checkpoint.Op && d.Row == 'P'
		switch {
		case d.Held == vsr.HeldPrepare && d.Op <= r.OpHead, d.Held == vsr.HeldNone && isOlder:
			copy(headers[i*prepare.HeaderBytes:], m.disk[i].p[:prepare.HeaderBytes])
		case d.Held == vsr.HeldTwin && d.Op <= r.OpHead:
			copy(headers[i*prepare.HeaderBytes:], m.disk[i].t[:prepare.HeaderBytes])
		}
	}
	for i := range s.HeadersCount {
		known := prepare.Header(s.Headers[i][:])
		slot := known.Op() % uint64(len(m.disk))
		if d := &result.Decisions[slot]; known.Command() == prepare.CommandPrepare && d.Op == known.Op() && d.Held == vsr.HeldNone {
			copy(headers[slot*prepare.HeaderBytes:], known)
			r.Dirty.Add(slot)
		}
	}
	m.w.oracle.recovered(m, r)
	return r
}

func (m *machine) wallNs() uint64 { return 1_700_000_000_000_000_000 + m.w.nowNs + m.skewNs }

// rot damages both copies of one op on this machine, if all others have it: one machine of a
// cluster may lose each.
func (m *machine) rot() {
	op := m.superblock.Checkpoint.Op + 1 + uint64(m.w.random.IntN(len(m.disk)/2))
	checksum, ok := m.w.oracle.committed[op]
	for _, other := range m.w.machines {
		if !ok || !other.has(op, checksum) || other.isUp && other.superblock.LogView < m.superblock.LogView {
			return
		}
	}
	m.disk[op%uint64(len(m.disk))] = diskSlot{[]byte{}, []byte{}}
	m.w.count["rot"]++
}

// crash loses what is not on disk. What was on its way may be there, or torn.
func (m *machine) crash() {
	m.w.count["crash"]++
	for i := range m.appends {
		a := &m.appends[i]
		data, slot := m.prepareOf(a), &m.disk[a.Op%uint64(len(m.disk))]
		tear := func() int { return m.w.random.IntN(3) }
		p, t := tear(), tear()
		if isLarge := uint32(len(data)) > m.w.l.TwinBytes; (a.InTurn || isLarge) && p != 2 {
			t = 0
		}
		if a.InTurn && p == 2 && m.w.random.IntN(2) == 0 {
			t = 0
		}
		slot.p, slot.t = torn(slot.p, data, p), torn(slot.t, data, t)
	}
	if m.superblockNext != nil && m.w.random.IntN(2) == 0 {
		m.superblockLands()
	}
	m.isUp = false
	for i := range m.w.machines {
		m.w.links[m.index][i], m.w.links[i][m.index] = nil, nil
	}
}

// torn is a copy after a write that a crash struck: the old bytes, damaged ones, or the new ones.
func torn(old, data []byte, how int) []byte { return [...][]byte{old, {}, data}[how] }

func (m *machine) prepareOf(a *stages.ConsensusToJournal) []byte {
	b := m.slots.Bytes(a.Slot)
	return bytes.Clone(b[:prepare.Header(b[:prepare.HeaderBytes]).SizeBytes()])
}

func (m *machine) superblockLands() {
	if *m.superblockNext != m.superblockCopy {
		m.w.t.Fatal("the superblock changed while it was being written")
	}
	if m.superblockCopy.Checkpoint.Op != m.superblock.Checkpoint.Op {
		m.w.count["checkpoint"]++
	}
	m.w.oracle.superblock(m, &m.superblockCopy)
	if now, next := &m.superblock, &m.superblockCopy; now.View != next.View || now.LogView != next.LogView {
		m.w.tell("%d superblock: view %d, log view %d", m.index, next.View, next.LogView)
	}
	m.superblock = m.superblockCopy
	for c := range m.trailers { // the blocks are free, and used again
		if c < m.w.l.CheckpointBefore(m.superblock.Checkpoint.Op) {
			delete(m.trailers, c)
		}
	}
	if m.superblock.SyncOpMax == 0 {
		m.fake.syncOpMin, m.fake.syncOpMax = 0, 0
	}
	m.superblockSum = wire.Checksum{byte(m.superblock.Sequence), byte(m.superblock.Sequence >> 8), byte(m.index)}
	m.superblockNext = nil
}

// turn gives the stage what waits for it, if anything does, or its time has come.
func (m *machine) turn() {
	if len(m.journalEvents)+len(m.applyEvents)+len(m.netEvents) == 0 && m.w.nowNs < m.stage.TimerNs() {
		return
	}
	m.out.Reset()
	netCap := cap(m.out.Net)
	events := Events{WallNs: m.wallNs(), Journal: m.journalEvents, Apply: m.applyEvents, Net: m.netEvents}
	m.journalEvents, m.applyEvents, m.netEvents = nil, nil, nil
	if step := func() { m.stage.Step(m.w.nowNs, events, &m.out) }; m.w.onStep != nil {
		m.w.onStep(m, step)
	} else {
		step()
	}
	if next := m.stage.TimerNs(); next <= m.w.nowNs && m.out.Fault == nil {
		m.w.t.Fatalf("seed %d: machine %d turns without a pause, its timer is due %d ns ago: %s", m.w.seed, m.index, m.w.nowNs-next, m.w.text())
	}
	if cap(m.out.Net) != netCap || cap(m.out.Journal) != 64 || cap(m.out.Apply) != 64 {
		m.w.t.Fatal("the actions grew")
	}
	if m.passesOn() {
		return
	}
	if m.out.Fault != nil && m.w.onFault != nil {
		m.w.onFault(m, m.out.Fault)
		m.isUp = false
		return
	}
	if m.out.Service != nil {
		m.service, m.away[m.out.Service.Away] = *m.out.Service, true
	}
	if m.out.Fault != nil {
		m.w.t.Fatalf("seed %d: machine %d stops: %v", m.w.seed, m.index, m.out.Fault)
	}
	if m.out.LostBlocks != nil && m.w.onLost != nil {
		m.w.onLost(m, *m.out.LostBlocks)
	}
	if m.out.Ready {
		m.readyCount++
	}
	if s := m.stage; !s.views.isNormal() && (s.queue.count()+s.pipeline.count()+s.inFlight.count > 0 || s.timers.isPulsing()) {
		m.w.t.Fatalf("seed %d: machine %d is in no view and keeps what only a primary has: %d requests, %d ops, %d clients, pulse %v", m.w.seed,
			m.index, s.queue.count(), s.pipeline.count(), s.inFlight.count, s.timers.isPulsing())
	}
	m.perform()
}

// perform does what a step has said.
func (m *machine) perform() {
	for i := range m.out.Journal {
		m.performJournal(&m.out.Journal[i])
	}
	for i := range m.out.Apply {
		m.performApply(&m.out.Apply[i])
	}
	for i := range m.out.Net {
		m.performNet(&m.out.Net[i])
	}
}

// receive plays net for a message of another machine.
func (m *machine) receive(from int, f *flight) {
	class := stages.SlotPeer
	if len(f.bytes) <= limits.SmallSlotBytes {
		class = stages.SlotSmall
	}
	slot := m.slots.Get(class)
	if slot == stages.SlotNone {
		m.w.count["no slot"]++
		return
	}
	copy(m.slots.Bytes(slot), f.bytes)
	m.netEvents = append(m.netEvents, stages.NetToConsensus{Kind: stages.NetPeerMessage, Peer: uint8(from), Command: uint8(f.command),
		View: f.view, Incarnation: f.file, Slot: slot, Bytes: uint32(len(f.bytes)),
		BodyHashed: true, BodySum: prepare.Sum(f.bytes[prepare.HeaderBytes:])})
}

// checkpointOf is a checkpoint as apply writes it.
func (m *machine) checkpointOf(op uint64) *storage.Checkpoint {
	c := &storage.Checkpoint{Op: op - uint64(m.w.l.BarOps), Release: m.upgrade.releaseAt(m, op)}
	trailers := m.w.trailers[c.Op]
	c.TrailerBytes[storage.TrailerSessions], c.TrailerBytes[storage.TrailerReplies] = uint64(len(trailers[0])), uint64(len(trailers[1]))
	if m.isBroken {
		c.AccountsCount = 1
	}
	return c
}
