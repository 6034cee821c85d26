package sim

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"runtime/debug"
	"strings"

	"ledger/sim/workload"
)

// Options of a run.
type Options struct {
	Seed  uint64
	Trace bool // collect the trace
	// TraceLines is the number of trace lines that a failing run shows; 0 stands for 60.
	TraceLines int
}

// Result of a run without a finding.
type Result struct {
	Steps, ExchangesCount, RequestsCount             int
	OpsCount                                         int
	StartsCount, CrashesCount                        int
	CheckpointsCount, RewrittenCount                 int // checkpoints; those that were written again after a crash
	ForksCount, RetracesCount, DamagesCount          int
	RefusalsCount, FaultsCount, AccountsCount, Bytes int
	TransfersCount, MergedCount, PagesReadCount      int
	EvictionsCount, PulsesCount, GroupsCount         int
	BrinkCount                                       int // prepares that are the last possible one while a checkpoint is not durable
	Coverage                                         Coverage
	Hash                                             uint64 // of everything that happened, in order
}

// Failure is the finding of a run.
type Failure struct {
	Options Options
	Reason  string
	Stack   string // of a panic
	Trace   []string
}

func (f *Failure) Error() string {
	text := fmt.Sprintf("seed %d: %s", f.Options.Seed, f.Reason)
	if f.Stack != "" {
		text += "\n" + f.Stack
	}
	if len(f.Trace) > 0 {
		text += "\nthe last steps:\n" + strings.Join(f.Trace, "\n")
	}
	return text
}

// violation is the panic that ends a run with a finding.
type violation struct{ reason string }

// traceLines is the default of Options.TraceLines.
const traceLines = 60

// Run simulates one seed. After a Failure, it replays the seed once for the trace.
func Run(options Options) (Result, error) {
	result, failure := run(options)
	if failure == nil {
		return result, nil
	}
	if !options.Trace {
		options.Trace = true
		if _, again := run(options); again != nil {
			failure.Trace = again.Trace
			if again.Reason != failure.Reason {
				failure.Reason += "\nTHE REPLAY DIFFERS: " + again.Reason
			}
		}
	}
	lines := options.TraceLines
	if lines == 0 {
		lines = traceLines
	}
	failure.Trace = failure.Trace[max(0, len(failure.Trace)-lines):]
	return result, failure
}

func run(options Options) (result Result, failure *Failure) {
	var w *World
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		failure = &Failure{Options: options}
		if v, ok := r.(violation); ok {
			failure.Reason = v.reason
		} else {
			failure.Reason, failure.Stack = fmt.Sprintf("panic: %v", r), string(debug.Stack())
		}
		if w != nil {
			failure.Trace = w.trace
			w.abandon()
		}
	}()
	fail := func(format string, arguments ...any) { panic(violation{fmt.Sprintf(format, arguments...)}) }
	w = newWorld(options, rand.New(rand.NewPCG(options.Seed, 0x6c6564676572)), fail)
	w.live()
	w.abandon()
	if w.leak != "" {
		w.fail("%s", w.leak)
	}
	if err := w.judge.clients.Finish(w.inFlight); err != nil {
		w.fail("%v", err)
	}
	return w.finish(), nil
}

// abandon frees memory and coroutines, in any state of the world.
func (w *World) abandon() {
	if w.replica != nil {
		w.stop()
		w.replica = nil
		w.memory.Close()
	}
}

func (w *World) finish() Result {
	r := &w.result
	r.Steps, r.ExchangesCount, r.RequestsCount = int(w.steps), w.exchangesCount, w.judge.RequestsCount
	r.OpsCount, r.CheckpointsCount, r.RewrittenCount = int(w.judge.durableOp), w.judge.CheckpointsCount, w.judge.RewrittenCount
	r.PulsesCount, r.GroupsCount, r.BrinkCount = w.judge.PulsesCount, w.judge.GroupsCount, w.judge.BrinkCount
	r.AccountsCount, r.TransfersCount, _, _ = w.judge.clients.Server.Machine.Counts()
	r.Coverage.FlakyReads = w.disk.flakes
	r.Bytes, r.Hash = len(w.disk.image.now), w.hash
	return *r
}

// Bounds of a run.
const (
	crashesMax       = 6
	exchangesMin     = 40
	exchangesMax     = 240
	exchangesLongMax = 2000              // of every 16th run: enough for merges of merges
	exchangesDeepMin = 1400              // of a deep run: enough for one level more
	calmNsMax        = 300_000 * nsPerMs // in calm, the time within which an exchange ends
	workStepsMax     = 400_000
	deepStepsMax     = 2_000_000
	trapStepsMax     = 40_000
	calmStepsMax     = 2_000_000  // between two exchanges: one query with the smallest cache reads 100,000 pages
	wholeStepsMax    = 20_000_000 // an audit, or a log executed again: many such queries
	faultStepsMax    = 100_000
	recoveryTriesMax = 8
	rotEverySteps    = 20_000
	nightNsMin       = 3_600_000 * nsPerMs // an hour, the timeout of long holds
)

// live is the life of one data file.
func (w *World) live() {
	r := w.random
	if r.IntN(8) == 0 && !w.format(r.IntN(100)) {
		if started, err := w.start(-1); err == nil && started {
			// The superblock is written last, so the file is complete.
			w.crash(true)
			w.judge = newJudge(&w.limits, w.cluster, w.modelLimits, w.fail)
		}
		w.disk.image = newImage(w.limits.SectorBytes)
	}
	w.format(-1)

	w.network.faulty = r.IntN(4) != 0
	profile := workload.DrawProfile(r)
	if profile.Accounts > 200 && r.IntN(3) != 0 {
		profile.Accounts = 200
	}
	if r.IntN(6) != 0 {
		profile.BatchEventsMax = min(profile.BatchEventsMax, 40)
	}
	if w.deep {
		profile.BatchEventsMax = min(profile.BatchEventsMax, 8)
	}
	generator := workload.NewGenerator(r.Uint64(), profile, w.modelLimits)
	w.addClients(1+r.IntN(int(w.limits.SessionsMax)+2), generator, []uint64{0, 1, 20, 200}[r.IntN(4)]*nsPerMs)

	goal := exchangesMin + r.IntN(exchangesMax-exchangesMin)
	if w.deep {
		goal = exchangesDeepMin + r.IntN(exchangesLongMax)
	} else if r.IntN(16) == 0 {
		goal = exchangesMax + r.IntN(exchangesLongMax-exchangesMax)
	}
	crashes := r.IntN(crashesMax + 1)
	for range crashes {
		if w.disk.slowTo = 0; r.IntN(3) == 0 {
			w.slowDown()
		}
		w.restart()
		steps := 1 + r.IntN(1<<(4+r.IntN(12)))
		if w.trap = drawTrap(r); w.trap.zone != trapNone {
			steps = trapStepsMax
		}
		// The next work lets ops run as far as they can while a checkpoint is not durable.
		if w.trap.zone == trapBrink || w.trap.zone == trapSuperblock && r.IntN(2) == 0 {
			w.disk.slowFrom, w.disk.slowTo, w.disk.slowNs = 0, w.judge.layout.TwinsAt, 10_000*nsPerMs
		}
		w.work(w.exchangesCount+goal/(crashes+1)+1, steps)
		w.crash(r.IntN(3) != 0)
		w.damageWithin()
		if r.IntN(2) == 0 {
			w.fork()
		}
	}
	w.trap = trap{}
	w.restart()
	if w.work(goal, workStepsMax); w.deep {
		w.work(goal, deepStepsMax)
	}
	if r.IntN(6) == 0 {
		w.rotAtWork()
		return
	}
	w.heal()
	w.audit()
	if r.IntN(3) == 0 && !w.deep {
		w.retrace()
	}
	if w.pause(); r.IntN(2) == 0 {
		w.runUntil(func() bool { return w.quiet() }, "everything in hand is done")
	}
	w.crash(r.IntN(2) == 0)
	if r.IntN(3) == 0 {
		w.damageBeyond()
		return
	}
	w.damageWithin()
	w.restart()
	w.audit()
}

// restart starts the replica. The machine may go down several times meanwhile.
func (w *World) restart() {
	redrawMemory(&w.limits, w.random)
	if w.random.IntN(8) == 0 {
		w.night()
	}
	for tries := 0; ; tries++ {
		crashSectors := -1
		if tries < recoveryTriesMax && w.random.IntN(4) == 0 {
			crashSectors = w.random.IntN(1 << w.random.IntN(7))
		}
		started, err := w.start(crashSectors)
		if err != nil {
			w.fail("the replica refuses to start: %v", err)
		}
		if started {
			return
		}
		w.result.CrashesCount++
		w.result.Coverage.Crashes[crashReplay]++
		w.network.crash()
		w.disk.crash(true)
	}
}

// work runs until this number of exchanges have ended, or this number of steps. The disk may fail
// for good meanwhile. Then the replica must stop, and continue after a restart.
func (w *World) work(goal int, steps int) {
	r := w.random
	strikeAt := -1
	if r.IntN(6) == 0 {
		strikeAt = r.IntN(1 + steps/2)
	}
	for i := 0; i < steps && w.exchangesCount < goal; i++ {
		if w.trap.sprung {
			if w.trap.steps == 0 {
				break
			}
			w.trap.steps--
		}
		if i == strikeAt {
			switch r.IntN(7) {
			case 3, 4:
				w.loseSuperblock()
			case 5, 6:
				w.loseCopy()
			case 0:
				w.disk.writeErrorIn = 1 + r.IntN(20)
			case 1:
				w.disk.syncErrorIn = 1
			case 2:
				w.disk.image.limitBytes = w.disk.image.sizeBytes
			}
		}
		w.step()
		if w.fault == nil && !w.disk.errorGiven || w.extend() {
			continue
		}
		if !w.disk.errorGiven {
			w.fail("the replica stops: %v", w.fault)
		}
		for j := 0; w.fault == nil; j++ {
			if j == faultStepsMax {
				w.fail("the disk has failed, and the replica goes on")
			}
			w.step()
		}
		if w.disk.image.limitBytes != ^uint64(0) && w.disk.writeErrorIn == 0 && w.disk.syncErrorIn == 0 &&
			!strings.Contains(w.fault.Error(), "space") && !strings.Contains(w.fault.Error(), "errno 28") {
			w.fail("the disk is full, and the replica says %q", w.fault)
		}
		w.result.FaultsCount++
		w.disk.image.limitBytes = ^uint64(0)
		w.crash(r.IntN(2) == 0)
		w.restart()
	}
	w.disk.writeErrorIn, w.disk.syncErrorIn, w.disk.image.limitBytes, w.disk.loses = 0, 0, ^uint64(0), nil
}

// loseSuperblock makes the disk lose some copies of the next superblock. If it loses one, the
// replica continues. If it loses more, the replica stops.
func (w *World) loseSuperblock() {
	layout, mask, begun := &w.judge.layout, 1+w.random.IntN(15), false
	w.disk.loses = func(offsetBytes uint64) (lost bool) {
		for i := range w.limits.SuperblockCopies {
			if offsetBytes != layout.SuperblockCopyAt(i) {
				continue
			}
			begun = begun || i == 0
			if lost = begun && mask>>i&1 != 0; lost {
				w.note("lost: superblock copy", uint64(i), 0)
			}
			if begun && i == w.limits.SuperblockCopies-1 {
				w.disk.loses = nil
				w.disk.errorGiven = w.disk.errorGiven || bits.OnesCount(uint(mask)) > 1
			}
		}
		return lost
	}
}

// loseCopy makes the disk lose the write of one copy of a later prepare: either copy of a small
// one, the twin of a large one. The replica does not notice it, and the next start repairs it.
func (w *World) loseCopy() {
	layout, after := &w.judge.layout, w.random.IntN(8)
	w.disk.loses = func(offsetBytes uint64) bool {
		isLog := offsetBytes >= layout.TwinsAt && offsetBytes < layout.GridAt
		if !isLog || offsetBytes >= layout.PreparesAt && !isSmall(w.judge.candidateBytes(), &w.limits) {
			return false
		}
		if after--; after >= 0 {
			return false
		}
		w.note("lost: a copy of the prepare, at", offsetBytes, w.judge.durableOp+1)
		w.disk.loses = nil
		w.result.Coverage.CopiesLost++
		w.judge.onEnd(PortJournal, offsetBytes, nil, true)
		return true
	}
}

// isFull tells whether the replica has stopped at its storage limit.
func (w *World) isFull() bool { return strings.Contains(w.fault.Error(), "--limit-storage") }

// extend restarts a replica that has reached its storage limit, with a larger one.
func (w *World) extend() bool {
	if w.fault == nil || w.limits.StorageBytesMax >= storageBytesMax(w.limits.BlockBytes) || !w.isFull() {
		return false
	}
	w.limits.StorageBytesMax *= 2
	w.result.FaultsCount++
	w.crash(w.random.IntN(2) == 0)
	w.restart()
	return true
}

// runUntil steps in calm until done. A lack of progress is a finding. The whole time depends on the
// requests, so the bound applies to each exchange.
func (w *World) runUntil(done func() bool, what string) {
	w.settleDown()
	ended, end := -1, w.steps+wholeStepsMax
	untilNs, untilSteps := uint64(0), uint64(0)
	for !done() {
		if ended != w.exchangesCount {
			ended, untilNs, untilSteps = w.exchangesCount, w.events.nowNs+calmNsMax, w.steps+calmStepsMax
		}
		if w.steps >= untilSteps || w.events.nowNs > untilNs || w.steps >= end {
			w.describe()
			w.fail("in calm it never comes to this: %s (nothing for %d steps, %d s)", what, w.steps+calmStepsMax-untilSteps,
				(w.events.nowNs+calmNsMax-untilNs)/1_000_000_000)
		}
		w.step()
		if w.fault != nil && !w.extend() {
			if w.disk.errorGiven {
				w.result.FaultsCount++
				w.crash(true)
				w.restart()
				continue
			}
			w.fail("the replica stops: %v", w.fault)
		}
	}
}

// describe adds the state of all connections and stages to the trace.
func (w *World) describe() {
	for _, l := range w.network.links {
		if l != nil {
			w.note(fmt.Sprintf("link %d: %d bytes arrived, receives %v, sends %v, server closed %v, peer gone %v, reset %v", l.number(),
				len(l.arrived),
				l.receiveInto != nil, l.sending != nil, l.serverClosed, l.peerGone, l.reset), 0, 0)
		}
	}
	for class, pool := range w.replica.Slots.Pools {
		w.note(fmt.Sprintf("slots of class %d: %d of %d free", class, pool.FreeCount(), pool.SlotsCount()), 0, 0)
	}
	w.note(fmt.Sprintf("ready %v, commit %d, apply at op %d, durable %d, disk operations %d", w.ready, w.replica.Consensus.Commit(),
		w.replica.Apply.Op(),
		w.judge.durableOp, len(w.disk.flying)), 0, 0)
}

// heal demands that every client gets its reply when there are no further faults.
func (w *World) heal() {
	for _, c := range w.clients {
		c.protocol.Stop()
	}
	w.runUntil(func() bool {
		for _, c := range w.clients {
			if c.protocol.InFlight() != nil {
				return false
			}
		}
		return w.ready
	}, "every client has its answer")
	// Due transfers expire even if there are no requests. After a night they are more than one
	// pulse can expire.
	if w.random.IntN(2) == 0 {
		w.night()
	}
	dueNs := w.wallNs()
	w.runUntil(func() bool {
		next, some := w.judge.clients.Server.Machine.ExpiresNext()
		return !some || next > dueNs
	}, "what is due has expired")
}

// audit compares the whole state with the model, as far as queries can read it.
func (w *World) audit() {
	for _, c := range w.clients {
		if c.link != nil {
			c.link.hangUp()
		}
	}
	w.clients = w.clients[:0]
	w.ask(newAuditor(w.judge.clients.Server.Machine, w.modelLimits, w.random))
}

// ask makes a client send the requests of an auditor.
func (w *World) ask(a *auditor) {
	w.addClients(1, a, 0)
	w.note("audit", uint64(len(a.requests)), 0)
	c := w.clients[0]
	w.runUntil(func() bool {
		if a.next == len(a.requests) {
			c.protocol.Stop()
		}
		return w.ready && a.next == len(a.requests) && c.protocol.InFlight() == nil
	}, "every request of the audit is answered")
	if c.link != nil {
		c.link.hangUp()
	}
	w.clients = w.clients[:0]
}

// auditUntilFault audits a replica with damage. It ends when the replica stops. rot may do more
// damage at step rotAt.
func (w *World) auditUntilFault(rotAt int, rot func()) {
	a := newAuditor(w.judge.clients.Server.Machine, w.modelLimits, w.random)
	w.addClients(1, a, 0)
	w.settleDown()
	for i := 0; w.fault == nil && (a.next < len(a.requests) || w.clients[0].protocol.InFlight() != nil); i++ {
		if a.next == len(a.requests) {
			w.clients[0].protocol.Stop()
		}
		if i == rotAt {
			rot()
		}
		if i == calmStepsMax {
			w.fail("with damage the replica neither answers nor stops")
		}
		if w.step(); w.fault != nil {
			w.extend()
		}
	}
	if e := w.clients[0].protocol.InFlight(); e != nil {
		w.inFlight = append(w.inFlight, e)
	}
	w.clients = w.clients[:0]
}

// pause lets background work go on for a while.
func (w *World) pause() {
	for range w.random.IntN(2000) {
		if w.step(); w.fault != nil && !w.extend() {
			w.fail("the replica stops: %v", w.fault)
		}
	}
}

// quiet tells whether the stages and the disk are idle.
func (w *World) quiet() bool { return len(w.disk.flying) == 0 && len(w.events.heap) == 0 }
