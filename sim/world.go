package sim

import (
	"fmt"
	"math/rand/v2"

	"ledger/internal/arena"
	"ledger/limits"
	"ledger/replica"
	"ledger/sim/model"
	"ledger/sim/workload"
	"ledger/stages"
	"ledger/stages/consensus"
	"ledger/stages/net"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/wire"
)

// World is one run: a machine with a replica, its clients, and the clock.
type World struct {
	options Options
	random  *rand.Rand
	fail    func(format string, arguments ...any)

	limits        limits.Limits
	modelLimits   model.Limits
	cluster       wire.U128
	clusterNumber model.Number

	events  events
	disk    *Disk
	network *Network
	judge   *Judge // nil on a copy of the machine
	clients []*client
	deep    bool // a long run, for many levels
	calm    bool // no faults and no bias: every request must be answered

	replica *replica.Replica
	opened  *replica.Opened
	memory  *arena.Arena
	ready   bool
	fault   *storage.Fault

	wallOffsetNs int64
	nightsNs     int64    // how long the machine was off; only the wall clock goes on then
	weights      []uint32 // of the drivers
	weightsSum   uint32
	weightsLeft  int
	idle         uint32 // drivers without work since something last happened

	leak           string          // a wrong count of blocks that a stop has found
	damaged        map[uint64]bool // blocks that were damaged beyond repair
	trap           trap
	brinkCount     int
	inFlight       []*workload.Exchange // of clients that were removed
	steps          uint64
	exchangesCount int
	hash           uint64
	trace          []string
	result         Result
}

const hashPrime = 0x100000001b3

// note adds to the run's hash and, in a replay, to the trace.
func (w *World) note(what string, a, b uint64) {
	for _, v := range [3]uint64{w.events.nowNs, a, b} {
		w.hash = (w.hash ^ v) * hashPrime
	}
	if w.options.Trace {
		w.trace = append(w.trace, fmt.Sprintf("%12.3f ms  step %6d  %s %d %d", float64(w.events.nowNs)/1e6, w.steps, what, a, b))
	}
}

func newWorld(options Options, random *rand.Rand, fail func(string, ...any)) *World {
	w := &World{options: options, random: random, fail: fail, damaged: map[uint64]bool{}}
	w.deep = random.IntN(24) == 0
	w.limits = DrawLimits(random, w.deep)
	w.modelLimits = model.Limits{MessageBytesMax: wire.MessageBytesMax, RequestBytesMax: w.limits.RequestBytesMax}
	w.cluster = wire.U128{Lo: random.Uint64(), Hi: random.Uint64()}
	w.clusterNumber = number(w.cluster)
	w.judge = newJudge(&w.limits, w.cluster, w.modelLimits, fail)
	w.disk = newDisk(newImage(w.limits.SectorBytes), &w.events, random, fail)
	w.disk.note = w.note
	w.disk.onWrite = func(zone Zone, offsetBytes uint64, data []byte, durable bool) {
		w.judge.onWrite(zone, offsetBytes, data, durable)
		if offsetBytes >= w.judge.layout.GridAt {
			w.observeGrid(offsetBytes, data)
		}
		w.spring(offsetBytes)
	}
	w.disk.onSync = func(zone Zone, ended bool) {
		if zone == PortJournal {
			w.judge.onLogSync(ended)
			w.springLogSync()
			return
		}
		if w.trap.zone == trapSync && !ended || w.trap.zone == trapSynced && ended {
			w.trap.after--
			w.trap.sprung = w.trap.sprung || w.trap.after < 0
		}
	}
	w.disk.onEnd = func(zone Zone, offsetBytes uint64, data []byte, succeeded bool) {
		w.judge.onEnd(zone, offsetBytes, data, succeeded)
	}
	w.network = newNetwork(&w.events, random, w.limits.ConnectionsMax, net.PortConnectionsMax(&w.limits), fail)
	return w
}

// format makes the data file. The machine may go down during it.
func (w *World) format(crashSectors int) (done bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
		}
	}()
	file := &File{image: w.disk.image, random: w.random, crashSectors: crashSectors}
	w.disk.image.allocate(w.judge.layout.GridAt) // the space comes first
	scratch := make([]byte, w.limits.MessageBytesMax)
	options := datafile.FormatOptions{Cluster: w.cluster, ReplicasCount: 1, Incarnation: max(1, w.random.Uint64())}
	if err := datafile.Format(file, &w.limits, &options, scratch); err != nil {
		w.fail("format: %v", err)
	}
	return true
}

// start opens the data file and joins the stages. The machine may go down during it. err: the
// replica refuses.
func (w *World) start(crashSectors int) (started bool, err error) {
	w.memory = arena.New()
	defer func() {
		r := recover()
		if !started {
			w.memory.Close()
			w.replica = nil
		}
		if r != nil {
			if _, ok := r.(crashed); !ok {
				panic(r)
			}
			w.note("crash during recovery", 0, 0)
		}
	}()
	file := &File{image: w.disk.image, random: w.random, crashSectors: crashSectors, isStart: true}
	opened, err := replica.Open(file, w.limits, w.memory)
	if err != nil {
		return false, err
	}
	w.opened = opened
	w.result.Coverage.PreparesFixed += opened.Journal.PreparesFixed
	w.result.Coverage.TwinsFixed += opened.Journal.TwinsFixed
	w.result.Coverage.TornGivenUp += min(1, int(opened.Journal.TornOp))
	if w.judge != nil {
		w.judge.opened(opened, w.disk.image)
	}
	slots := replica.NewSlots(&opened.Limits, w.memory)
	p := replica.Ports{
		Network:     w.network,
		JournalDisk: w.disk.port(PortJournal, replica.JournalOperationsMax),
		ApplyDisk:   w.disk.port(PortApply, replica.ApplyOperationsMax),
	}
	for range w.limits.CompactWorkers {
		p.CompactDisk = append(p.CompactDisk, w.disk.port(PortCompact, replica.CompactOperationsMax))
	}
	w.ready, w.fault, w.idle = false, nil, 0
	w.weights, w.weightsLeft = make([]uint32, stages.Compact+int(w.limits.CompactWorkers)), 0
	w.replica, err = replica.New(opened, p, slots, w.memory, replica.Options{
		Consensus: consensus.DefaultOptions(),
		Log:       func(e net.LogEntry) { w.note("log: "+string(e.Reason), 0, 0) },
		Ready:     func() { w.ready = true; w.note("ready", opened.Consensus.OpHead, 0) },
		Fault:     func(f *storage.Fault) { w.fault = f; w.note("fault: "+f.Error(), 0, 0) },
	})
	if err != nil {
		return false, err
	}
	if w.judge != nil {
		w.judge.view = opened.Consensus.Superblock.View // durable from here on
	}
	w.result.StartsCount++
	w.note("started: checkpoint, head", opened.Consensus.Superblock.Checkpoint.Op, opened.Consensus.OpHead)
	return true, nil
}

// stop unwinds the suspended work of the stages.
func (w *World) stop() {
	w.observeStages()
	for _, worker := range w.replica.Compact {
		w.result.MergedCount += int(worker.Statistics().EntriesMerged)
	}
	w.result.PagesReadCount += int(w.replica.Apply.Statistics().Grid.Reads)
	w.replica.Stop()
}

// crash ends the replica. A power cut also loses the bytes that were not on the medium.
func (w *World) crash(powerCut bool) {
	w.note("crash", w.judge.durableOp, 0)
	w.observeCrash()
	w.result.CrashesCount++
	if w.replica != nil {
		w.stop()
		w.replica = nil
	}
	w.network.crash()
	w.disk.crash(powerCut)
	w.memory.Close()
}

// redraw changes the shares of turns. Sometimes a stage gets none for a while.
func (w *World) redraw() {
	w.weightsSum = 0
	for i := range w.weights {
		w.weights[i] = 4
		if !w.calm {
			w.weights[i] = [8]uint32{0, 1, 1, 4, 4, 4, 16, 64}[w.random.IntN(8)]
		}
		w.weightsSum += w.weights[i]
	}
	if w.weightsSum == 0 {
		w.weights[w.random.IntN(len(w.weights))] = 1
		w.weightsSum = 1
	}
	w.weightsLeft = 20 + w.random.IntN(2000)
	if !w.calm && w.random.IntN(32) == 0 { // for a long time
		w.weightsLeft *= 8
	}
}

// step gives one driver a turn, or lets time pass.
func (w *World) step() {
	w.steps++
	if w.weightsLeft == 0 || w.weightsSum == 0 {
		w.redraw()
	}
	w.weightsLeft--
	starved := uint32(0)
	for i, weight := range w.weights {
		if weight == 0 {
			starved |= 1 << i
		}
	}
	if w.idle|starved == 1<<len(w.weights)-1 {
		w.advance()
		return
	}
	// Time also passes while there is work: often by a little, seldom by much.
	if early := w.random.IntN(512); early < 64 && w.events.nextNs() < w.events.nowNs+nsPerMs || early == 0 && !w.calm {
		w.advance()
		return
	}
	n := w.random.Uint32N(w.weightsSum)
	driver := 0
	for n >= w.weights[driver] {
		n -= w.weights[driver]
		driver++
	}
	w.events.nowNs += w.random.Uint64N(2_000)
	w.turn(driver)
}

func (w *World) turn(driver int) {
	busy := w.replica.Drivers[driver].Turn(w.events.nowNs, w.wallNs())
	w.hash = (w.hash ^ w.events.nowNs) * hashPrime
	if busy {
		w.note("turn of "+stages.Names[min(driver, stages.Compact)], uint64(driver), 0)
		w.idle = 0
	} else {
		w.idle |= 1 << driver
	}
}

func (w *World) wallNs() uint64 { return uint64(int64(wallBaseNs+w.events.nowNs) + w.wallOffsetNs) }

// advance moves the clock to the next event and runs it.
func (w *World) advance() {
	next := w.events.nextNs()
	if timer := w.replica.TimerNs(); timer > w.events.nowNs {
		next = min(next, timer)
	}
	for _, c := range w.clients {
		next = min(next, c.nextNs())
	}
	if next == ^uint64(0) {
		next = w.events.nowNs + nsPerMs
	}
	w.events.nowNs = max(w.events.nowNs, next)
	w.events.runDue()
	for _, c := range w.clients {
		if c.nextNs() <= w.events.nowNs {
			c.tick()
		}
	}
	w.idle = 0
	if !w.calm {
		w.disturb()
	}
}

// disturb causes the faults of ordinary days: connections break, clients die, clocks jump, disks
// and networks are slow.
func (w *World) disturb() {
	r := w.random
	if len(w.clients) == 0 {
		return
	}
	c := w.clients[r.IntN(len(w.clients))]
	switch r.IntN(600) {
	case 10:
		w.slowDown()
	case 11:
		w.disk.slowTo = 0
	case 0, 1:
		if c.link != nil {
			c.link.breakOff()
		}
	case 2:
		if c.link != nil {
			c.link.hangUp()
		}
	case 3:
		if c.link != nil {
			c.link.stalledNs = w.events.nowNs + r.Uint64N(3_000*nsPerMs)
			c.link.pardon("its client does not read")
		}
	case 4:
		if r.IntN(4) == 0 {
			c.restart()
		}
	case 5, 6, 12, 13:
		w.intrude()
	case 7:
		w.wallOffsetNs = w.nightsNs + int64(r.IntN(4_000*nsPerMs)) - 2_000*nsPerMs
		w.note("the wall clock jumps", uint64(w.wallOffsetNs), 0)
	case 8:
		w.disk.slow = r.IntN(3) == 0
		w.disk.flaky = r.IntN(3) == 0
	case 9:
		w.network.slow = r.IntN(4) == 0
	}
}

// night lets hours pass on the wall clock alone, as if the machine had been off or asleep: much is
// due at once then.
func (w *World) night() {
	w.nightsNs += nightNsMin + int64(w.random.IntN(nightNsMin))
	w.wallOffsetNs = w.nightsNs
	w.note("a night, and the wall clock is ahead by", uint64(w.wallOffsetNs), 0)
}

// trap ends the work of a start a few steps after a certain write was queued. So crashes come at
// critical moments.
type trap struct {
	zone   trapZone
	after  int // writes of the zone
	steps  int // then this many steps
	sprung bool
}

type trapZone uint8

const (
	trapNone trapZone = iota
	trapSuperblock
	trapTwins
	trapPrepares
	trapGrid
	trapSync    // a checkpoint's sync begins
	trapSynced  // a checkpoint's sync ends
	trapLogSync // a sync of the log begins or ends
	trapBrink   // no more ops may be prepared, because a checkpoint is not durable
)

// slowDown makes a part of the file slow. Then checkpoints take long, because of their blocks or of
// the superblock, or the log does.
func (w *World) slowDown() {
	layout := &w.judge.layout
	w.disk.slowNs = 1 + w.random.Uint64N(2_000*nsPerMs)
	switch w.random.IntN(5) {
	case 0, 1:
		w.disk.slowFrom, w.disk.slowTo = 0, layout.TwinsAt
	case 2, 3:
		w.disk.slowFrom, w.disk.slowTo = layout.GridAt, ^uint64(0)
	case 4:
		w.disk.slowFrom, w.disk.slowTo = layout.TwinsAt, layout.GridAt
	}
}

func drawTrap(random *rand.Rand) trap {
	t := trap{steps: random.IntN(1 << random.IntN(12))}
	switch random.IntN(12) {
	case 0, 1:
		t.zone, t.after = trapSuperblock, random.IntN(12)
	case 2:
		t.zone, t.after = trapTwins, random.IntN(40)
	case 3:
		t.zone, t.after = trapPrepares, random.IntN(40)
	case 4:
		t.zone, t.after = trapGrid, random.IntN(80)
	case 6:
		t.zone, t.after, t.steps = trapSync, random.IntN(3), random.IntN(200)
	case 7:
		t.zone, t.after, t.steps = trapSynced, random.IntN(3), random.IntN(20)
	case 10:
		t.zone, t.after, t.steps = trapLogSync, random.IntN(40), random.IntN(100)
	case 8, 9: // while a prepare and its twin are being written
		t.zone, t.after, t.steps = trapTwins, random.IntN(40), random.IntN(60)
	case 5, 11:
		t.zone, t.after, t.steps = trapBrink, random.IntN(3), random.IntN(400)
	}
	return t
}

// spring checks whether a write is the one for which the trap waits.
func (w *World) spring(offsetBytes uint64) {
	layout, zone := &w.judge.layout, trapSuperblock
	switch {
	case offsetBytes >= layout.GridAt:
		zone = trapGrid
	case offsetBytes >= layout.PreparesAt:
		zone = trapPrepares
	case offsetBytes >= layout.TwinsAt:
		zone = trapTwins
	}
	if w.trap.zone == trapBrink && w.judge.BrinkCount > w.brinkCount {
		zone, w.brinkCount = trapBrink, w.judge.BrinkCount
	}
	if w.trap.zone != zone {
		return
	}
	w.trap.after--
	w.trap.sprung = w.trap.sprung || w.trap.after < 0
}

// springLogSync does the same for syncs of the log.
func (w *World) springLogSync() {
	if w.trap.zone == trapLogSync {
		w.trap.after--
		w.trap.sprung = w.trap.sprung || w.trap.after < 0
	}
}

// settleDown ends all faults.
func (w *World) settleDown() {
	w.calm = true
	w.disk.slow, w.disk.flaky, w.network.slow, w.network.faulty = false, false, false, false
	w.disk.slowTo = 0
	for _, l := range w.network.links {
		if l != nil {
			l.stalledNs = 0
		}
	}
	w.redraw()
}

func (w *World) addClients(count int, source workload.Source, pauseNs uint64) {
	releases := []uint32{16<<8 | 4, 16<<8 | 30, 16<<8 | 60, 17<<8 | 2, 17<<8 | 9}
	for range count {
		c := &client{world: w}
		c.protocol = workload.NewClient(workload.ClientConfig{
			Cluster:  w.clusterNumber,
			Seed:     w.random.Uint64(),
			Replicas: 1,
			Release:  releases[w.random.IntN(len(releases))],
			Limits:   w.modelLimits,
			PauseNs:  pauseNs,
		}, source, wallBaseNs+w.events.nowNs)
		w.clients = append(w.clients, c)
	}
}
