package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"

	"ledger/internal/coro"
	"ledger/limits"
	"ledger/sim/model"
	"ledger/sim/workload"
	"ledger/wire"
)

// World is one run: machines, the clients of their clusters, and time.
type World struct {
	options  Options
	random   *rand.Rand
	fail     func(format string, arguments ...any)
	events   events
	machines []*Machine
	clusters []*Cluster

	stack       string // of a panic in the life of a machine
	hostsCount  int
	pathsByEnds map[[2]int]*path
	paths       []*path // in the order of first use

	steps  uint64 // of all machines
	hash   uint64
	trace  []string
	result Result
}

// Cluster is what belongs to no single machine: clients, what they know, and what was committed.
type Cluster struct {
	world       *World
	limits      limits.Limits // of the data file
	modelLimits model.Limits
	id          wire.U128
	deep        bool // a long run, for many levels

	machines       []*Machine
	several        *several // nil in a cluster of one
	keyring        keyring
	judge          *Judge // nil on a bench
	clients        []*client
	inFlight       []*workload.Exchange // of clients that were removed
	exchangesCount int
	mostClients    int // at a time
}

func newWorld(options Options, random *rand.Rand, fail func(string, ...any)) *World {
	return &World{options: options, random: random, fail: fail, pathsByEnds: map[[2]int]*path{}}
}

// drawMachines draws the number of machines. Each is a cluster of its own, and nothing of one may
// reach another.
func (w *World) drawMachines() int {
	if w.random.IntN(8) != 0 {
		return 1
	}
	return 2 + w.random.IntN(2)
}

// addCluster adds a cluster of one machine with an empty disk. alone: there is no other.
func (w *World) addCluster(alone bool) *Machine {
	c := &Cluster{world: w, deep: alone && w.random.IntN(24) == 0}
	c.limits = DrawLimits(w.random, c.deep)
	c.modelLimits = model.Limits{MessageBytesMax: wire.MessageBytesMax, RequestBytesMax: c.limits.RequestBytesMax}
	c.id = wire.U128{Lo: w.random.Uint64(), Hi: w.random.Uint64()}
	c.judge = newJudge(&c.limits, c.id, c.modelLimits, w.fail)
	w.clusters = append(w.clusters, c)
	m := newMachine(w, c, newImage(c.limits.SectorBytes))
	m.observe()
	return m
}

const hashPrime = 0x100000001b3

func (w *World) mix(v uint64) { w.hash = (w.hash ^ v) * hashPrime }

// note adds to the run's hash and, in a replay, to the trace.
func (w *World) note(what string, a, b uint64) {
	w.mix(w.events.nowNs)
	w.mix(a)
	w.mix(b)
	if w.options.Trace && (w.options.Detail || !w.options.Several) {
		w.trace = append(w.trace, fmt.Sprintf("%12.3f ms  step %6d  %s %d %d", float64(w.events.nowNs)/1e6, w.steps, what, a, b))
	}
}

// isCalm tells whether a machine is in calm: then time must not pass by much while there is work.
func (w *World) isCalm() bool {
	for _, m := range w.machines {
		if m.calm {
			return true
		}
	}
	return false
}

// advance moves the clock to the next event and runs it.
func (w *World) advance() {
	next := w.events.nextNs()
	for _, m := range w.machines {
		if m.replica != nil {
			next = min(next, m.nextTurnNs())
		}
	}
	for _, cluster := range w.clusters {
		for _, c := range cluster.clients {
			next = min(next, c.nextNs())
		}
	}
	if next == ^uint64(0) {
		next = w.events.nowNs + nsPerMs
	}
	w.events.nowNs = max(w.events.nowNs, next)
	w.events.runDue()
	for _, cluster := range w.clusters {
		for _, c := range cluster.clients {
			if c.nextNs() <= w.events.nowNs {
				c.tick()
			}
		}
	}
	for _, m := range w.machines {
		m.idle = 0
	}
	m := w.machines[0]
	if len(w.machines) > 1 {
		m = w.machines[w.random.IntN(len(w.machines))]
	}
	if !m.calm && m.replica != nil && w.options.Cuts.has(true, withoutStrangers) {
		m.disturb()
	}
}

// live runs the lives of all machines, in a seeded order. A machine that waits for something gets
// no step before time passes, and much time passes only when all machines wait. So a machine that
// has work does not look slow because another has none.
func (w *World) live() {
	if len(w.machines) == 1 { // its steps need no switch
		w.machines[0].live()
		return
	}
	for _, m := range w.machines {
		m.life = coro.New(func(*coro.Coroutine) { w.guard(m.live); m.shutDown(); m.ended = true })
	}
	for living := make([]*Machine, 0, len(w.machines)); ; {
		living = w.pick(living[:0], func(m *Machine) bool { return !m.ended && !m.isBlocked() })
		if len(living) == 0 {
			living = w.pick(living, func(m *Machine) bool { return !m.ended })
		}
		if len(living) == 0 {
			return
		}
		living[w.random.IntN(len(living))].life.Resume()
	}
}

func (w *World) pick(list []*Machine, is func(m *Machine) bool) []*Machine {
	for _, m := range w.machines {
		if is(m) {
			list = append(list, m)
		}
	}
	return list
}

// guard keeps the stack of a panic, which would be lost on the way out of a coroutine.
func (w *World) guard(do func()) {
	defer func() {
		if r := recover(); r != nil {
			if w.stack == "" {
				w.stack = string(debug.Stack())
			}
			panic(r)
		}
	}()
	do()
}
