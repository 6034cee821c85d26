package sim

import (
	"fmt"
	"math/rand/v2"

	"ledger/internal/arena"
	"ledger/internal/coro"
	"ledger/limits"
	"ledger/replica"
	"ledger/stages"
	"ledger/stages/consensus"
	"ledger/stages/net"
	"ledger/storage"
	"ledger/storage/datafile"
)

// Machine is one computer: a disk, clocks, sockets, and the replica that starts and crashes on it.
// It observes its own disk, and has its own shares of turns, faults and damage. Its life (life.go)
// is straight-line code that takes steps.
type Machine struct {
	world   *World
	cluster *Cluster
	index   int // in the world
	host    int
	address [18]byte
	random  *rand.Rand
	fail    func(format string, arguments ...any)
	events  *agenda
	result  *Result

	// What lasts. The limits are those of the cluster; each start draws those of memory.
	limits  limits.Limits
	layout  datafile.Layout
	disk    *Disk
	network *Network
	medium  *Medium // nil on a machine of a bench (second.go), and on one of several
	clock   clock

	// Of one of several replicas.
	witness  *witness
	dropped  uint64 // states that apply had dropped for another checkpoint when it was last looked at
	downNs   uint64 // while it is down: when it starts again
	awayOp   uint64 // it is down or stands still until this op is committed; 0: it is not away for long
	pausedNs uint64 // it gets no turns until then
	timerNs  uint64 // when a driver wants its next turn
	scrubs   bool   // its starts have a scrubber
	keyStep  uint64 // of the keys that it read at its last start
	isLost   bool   // it has no data file, see severalreplace.go

	// A start, from start to stop.
	replica *replica.Replica // nil: the machine is down
	opened  *replica.Opened
	memory  *arena.Arena
	ready   bool
	leaves  bool // it was told that its process is about to end
	left    bool // its process may end
	isHeld  bool // it may be so only with little in the log
	fault   *storage.Fault

	// Shares of turns.
	weights     []uint32 // of the drivers
	weightEnds  []uint32 // sums of the weights up to each of them
	weightsSum  uint32
	weightsLeft int
	starved     uint32 // drivers without turns
	idle        uint32 // drivers without work since something last happened
	steps       uint64
	timersNs    []uint64 // of the drivers, by its clock; see nextTurnNs
	timersKnown uint32   // those that have had no turn since they were asked

	// Its life, and the faults in it.
	life       *coro.Coroutine // nil: it is alone in its world, and its steps are those of the world
	ended      bool
	calm       bool   // no faults and no bias: every request must be answered
	strayedNs  uint64 // until then, its address leads to another machine
	trap       trap
	brinkCount int
	leak       string            // a wrong count of blocks that a stop has found
	damaged    map[uint64]bool   // blocks that were damaged beyond repair
	found      map[uint64]bool   // places that the scrubber has reported
	repairedAt map[uint64]uint64 // time of the last repair, by the place in the file
}

// newMachine makes a machine with an empty disk. It observes the disk, unless it is on a bench.
func newMachine(w *World, c *Cluster, image *Image) *Machine {
	m := &Machine{
		world: w, cluster: c, index: len(w.machines), host: w.newHost(), address: addressOf(len(w.machines)),
		random: w.random, fail: w.fail, events: w.events.agenda(), result: &w.result,
		limits: c.limits, layout: datafile.NewLayout(&c.limits),
		damaged: map[uint64]bool{}, found: map[uint64]bool{}, repairedAt: map[uint64]uint64{},
	}
	if m.isStandby() {
		m.limits.IsStandby, m.limits.StandbysCount = true, 0
	}
	m.clock.machine = m
	m.clock.boot()
	m.disk = newDisk(image, m.events, m.random, m.fail)
	m.disk.placesAt, m.disk.placeBytes = m.layout.GridAt, uint64(c.limits.BlockBytes)
	m.network = newNetwork(m.events, m.random, m.limits.ConnectionsMax, net.PortConnectionsMax(&m.limits), m.fail)
	m.network.owner = m
	m.network.dial, m.network.connectsReserved = m.dialMachine, int(net.PortConnectsReserved(&m.limits))
	w.machines = append(w.machines, m)
	c.machines = append(c.machines, m)
	return m
}

// observe makes the machine's own judges look at its disk.
func (m *Machine) observe() {
	m.medium = newMedium(&m.limits, m.cluster.judge, m.fail)
	m.disk.note = m.note
	m.disk.onWrite = func(zone Zone, offsetBytes uint64, data []byte, durable bool) {
		m.medium.onWrite(zone, offsetBytes, data, durable)
		if offsetBytes >= m.layout.GridAt {
			m.observeGrid(offsetBytes, data)
		}
		m.spring(offsetBytes)
	}
	m.disk.onSync = func(zone Zone, ended bool) {
		if zone == PortJournal {
			m.medium.onLogSync(ended)
		}
		m.springSync(zone, ended)
	}
	m.disk.onEnd = m.medium.onEnd
}

// note adds to the run's hash and, in a replay, to the trace.
func (m *Machine) note(what string, a, b uint64) {
	if m.world.options.Trace && len(m.world.machines) > 1 {
		what = fmt.Sprintf("machine %d: %s", m.index, what)
	}
	m.world.note(what, a, b)
}

// format makes the data file. The machine may go down during it.
func (m *Machine) format(crashSectors int) (done bool) { return m.formatAs(crashSectors, 0, 0) }

// formatAs makes the data file with a number, and as one in the place of a lost one that begins in
// view. 0: the number is drawn, and the file is the first one.
func (m *Machine) formatAs(crashSectors int, incarnation uint64, view uint32) (done bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
		}
	}()
	file := &File{image: m.disk.image, random: m.random, crashSectors: crashSectors}
	m.disk.image.allocate(m.layout.GridAt) // the space comes first
	scratch := make([]byte, m.limits.MessageBytesMax)
	if incarnation == 0 {
		incarnation = max(1, m.random.Uint64())
	}
	options := datafile.FormatOptions{Cluster: m.cluster.id, Replica: m.replicaIndex(), ReplicasCount: uint8(m.limits.ReplicasCount),
		Incarnation: incarnation, View: view}
	if err := datafile.Format(file, &m.limits, &options, scratch); err != nil {
		m.fail("format: %v", err)
	}
	return true
}

// regionBytes is more than most starts reserve. Few of its pages are ever touched.
const regionBytes = 512 << 20

// start opens the data file and joins the stages. The machine may go down during it. err: the
// replica refuses.
func (m *Machine) start(crashSectors int) (started bool, err error) {
	m.memory, err = arena.NewRegion(regionBytes)
	if err != nil {
		return false, err
	}
	defer func() {
		r := recover()
		if !started {
			m.memory.Close()
			m.replica = nil
		}
		if r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
			m.note("crash during recovery", 0, 0)
		}
	}()
	file := &File{image: m.disk.image, random: m.random, crashSectors: crashSectors, isStart: true}
	opened, err := replica.Open(file, m.limits, m.memory)
	if err != nil {
		return false, err
	}
	m.opened = opened
	m.result.Coverage.PreparesFixed += opened.Journal.PreparesFixed
	m.result.Coverage.TwinsFixed += opened.Journal.TwinsFixed
	m.result.Coverage.TornGivenUp += min(1, int(opened.Journal.TornOp))
	if m.medium != nil {
		m.medium.opened(opened, m.disk.image)
	}
	if m.witness != nil {
		m.opensSeveral(opened)
	}
	slots := replica.NewSlots(&opened.Limits, m.memory)
	p := replica.Ports{
		Network:     m.network,
		JournalDisk: m.disk.port(PortJournal, replica.JournalOperationsMax),
		ApplyDisk:   m.disk.port(PortApply, replica.ApplyOperationsMax),
	}
	for range m.limits.CompactWorkers {
		p.CompactDisk = append(p.CompactDisk, m.disk.port(PortCompact, replica.CompactOperationsMax))
	}
	others := m.joinPeers(opened, &p)
	m.ready, m.leaves, m.left, m.fault, m.idle, m.dropped = false, false, false, nil, 0, 0
	m.weights, m.weightsLeft = make([]uint32, stages.Compact+int(m.limits.CompactWorkers)), 0
	m.weightEnds = make([]uint32, len(m.weights))
	m.timersNs, m.timersKnown = make([]uint64, len(m.weights)), 0
	seed, nowNs, wallNs := uint64(0), uint64(0), uint64(0)
	if m.witness != nil {
		seed, nowNs, wallNs = m.random.Uint64(), m.clock.monotonicNs(), m.clock.wallNs()
	}
	m.replica, err = replica.New(opened, p, slots, m.memory, replica.Options{
		Seed: seed, NowNs: nowNs, WallNs: wallNs,
		Consensus: consensus.DefaultOptions(),
		Peers:     others,
		Log:       func(e net.LogEntry) { m.note("log: "+string(e.Reason), 0, 0) },
		Ready:     func() { m.ready = true; m.say("serves clients"); m.note("ready", opened.Consensus.OpHead, 0) },
		Left:      m.onLeft,
		Fault:     func(f *storage.Fault) { m.fault = f; m.note("fault: "+f.Error(), 0, 0) },
		Finding:   m.onFinding, ScrubFromOf65536: uint32(m.limits.HashSeed>>16) & (1<<16 - 1),
	})
	if err != nil {
		return false, err
	}
	if m.medium != nil {
		m.medium.view = opened.Consensus.Superblock.View // durable from here on
	}
	m.result.StartsCount++
	m.note("started: checkpoint, head", opened.Consensus.Superblock.Checkpoint.Op, opened.Consensus.OpHead)
	return true, nil
}

// stop unwinds the suspended work of the stages.
func (m *Machine) stop() {
	m.observeStages()
	for _, worker := range m.replica.Compact {
		m.result.MergedCount += int(worker.Statistics().EntriesMerged)
	}
	m.result.PagesReadCount += int(m.replica.Apply.Statistics().Grid.Reads)
	m.replica.Stop()
}

// crash ends the replica. A power cut also loses the bytes that were not on the medium.
func (m *Machine) crash(powerCut bool) {
	m.note("crash", m.medium.durableOp, 0)
	m.observeCrash()
	m.result.CrashesCount++
	if m.replica != nil {
		m.stop()
		m.replica = nil
	}
	m.network.crash(powerCut)
	m.disk.crash(powerCut)
	m.memory.Close()
	if powerCut {
		m.clock.boot()
	}
}

// redraw changes the shares of turns. Sometimes a stage gets none for a while.
func (m *Machine) redraw() {
	m.weightsSum = 0
	for i := range m.weights {
		m.weights[i] = 4
		if !m.calm {
			m.weights[i] = [8]uint32{0, 1, 1, 4, 4, 4, 16, 64}[m.random.IntN(8)]
		}
		m.weightsSum += m.weights[i]
	}
	if m.weightsSum == 0 {
		m.weights[m.random.IntN(len(m.weights))] = 1
		m.weightsSum = 1
	}
	m.starved = 0
	end := uint32(0)
	for i, weight := range m.weights {
		if weight == 0 {
			m.starved |= 1 << i
		}
		end += weight
		m.weightEnds[i] = end
	}
	m.weightsLeft = 20 + m.random.IntN(2000)
	if !m.calm && m.random.IntN(32) == 0 { // for a long time
		m.weightsLeft *= 8
	}
}

// step gives one driver a turn, or lets time pass. If there are other machines, they take steps
// meanwhile.
func (m *Machine) step() {
	if m.life != nil {
		m.life.Wait()
	}
	m.steps++
	m.world.steps++
	m.takeShare()
	if m.isBlocked() {
		m.advance()
		return
	}
	m.act()
}

// takeShare counts a step, and sometimes changes the shares of turns.
func (m *Machine) takeShare() {
	if m.weightsLeft == 0 || m.weightsSum == 0 {
		m.redraw()
	}
	m.weightsLeft--
}

// advance moves the clock to the next event and runs it.
func (m *Machine) advance() {
	if m.cluster.several != nil {
		m.cluster.several.advance()
		return
	}
	m.world.advance()
}

// act gives one driver a turn, or lets time pass although there is work.
func (m *Machine) act() {
	// One draw has the bits of three: whether time passes, which driver is next, and how long it
	// takes.
	draw := m.random.Uint64()
	// Time also passes while there is work: often by a little, seldom by much.
	if early := draw & 511; early < 64 && m.events.nextNs() < m.events.nowNs+nsPerMs || early == 0 && !m.world.isCalm() {
		m.advance()
		return
	}
	n := uint32(draw >> 32 * uint64(m.weightsSum) >> 32)
	// The driver's index is the number of shares that end at or before n. They are counted without
	// branches: the processor would mispredict half of them.
	driver := 0
	for _, end := range m.weightEnds {
		driver += int(uint64(int64(end)-int64(n)-1) >> 63)
	}
	m.events.nowNs += (draw >> 9 & (1<<20 - 1)) * 2_000 >> 20
	if m.idle>>driver&1 == 0 { // otherwise it would find nothing, since nothing has happened
		m.turn(driver)
	}
}

// isBlocked tells whether no driver that gets turns had work since something last happened.
func (m *Machine) isBlocked() bool {
	return m.replica != nil && m.idle|m.starved == 1<<len(m.weights)-1
}

// turnNotes are put together once: most runs have no trace.
var turnNotes = func() (notes [stages.Compact + 1]string) {
	for i := range notes {
		notes[i] = "turn of " + stages.Names[i]
	}
	return notes
}()

func (m *Machine) turn(driver int) {
	busy := m.replica.Drivers[driver].Turn(m.clock.monotonicNs(), m.clock.wallNs())
	m.timersKnown &^= 1 << driver
	m.world.mix(m.events.nowNs)
	if busy && driver == stages.Apply && m.witness != nil {
		m.witness.onExecuted(m.replica.Apply.Op())
		m.observeOpening()
	}
	if busy {
		m.note(turnNotes[min(driver, stages.Compact)], uint64(driver), 0)
		// As in production, a message wakes the stage that it is for. Events and timers wake them all.
		m.idle &^= 1<<driver | m.replica.Sent(driver)
	} else {
		m.idle |= 1 << driver
	}
}

// settleDown ends all faults of the machine.
func (m *Machine) settleDown() {
	m.calm = true
	m.disk.slow, m.disk.flaky, m.network.faulty = false, false, false
	m.disk.slowTo, m.strayedNs = 0, 0
	for _, l := range m.network.links {
		if l != nil {
			l.stalledNs = 0
		}
	}
	m.paths((*path).heal)
	m.redraw()
}

// abandon frees memory and coroutines, in any state of the machine.
func (m *Machine) abandon() {
	if m.life != nil {
		m.life.Stop()
	}
	m.shutDown()
}

// shutDown ends the replica, if there is one, and what it has under way.
func (m *Machine) shutDown() {
	if m.replica != nil {
		m.stop()
		m.replica = nil
		m.disk.drop()
		m.network.crash(false)
		m.memory.Close()
	}
}
