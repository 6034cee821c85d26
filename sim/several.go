package sim

import (
	"fmt"
	"math/rand/v2"

	"ledger/limits"
	"ledger/prepare"
	"ledger/sim/model"
	"ledger/sim/oracle"
	"ledger/stages"
	"ledger/storage/datafile"
	"ledger/wire"
)

// several is what a cluster of several replicas has more than a cluster of one: the oracle of what
// is committed, the faults of its run, and the turns of its machines. Its life (severallife.go) is
// that of the whole cluster.
type several struct {
	cluster *Cluster
	oracle  *oracle.Oracle
	blocks  *oracle.Blocks
	mix     mix
	marks   Marks

	replacement replacement
	upgrade     upgrade
	attacker    attacker

	isCalm bool

	strikes   int    // faults that are still to come
	strikeOps uint64 // the next one comes at this op,
	strikeNs  uint64 // or at this time
	goal      uint64 // ops of the run
}

// addSeveral adds a cluster of several machines with empty disks. Behind the replicas come the
// standbys.
func (w *World) addSeveral(count, standbys int) *Cluster {
	c := &Cluster{world: w}
	c.limits = drawSeveralLimits(w, count)
	c.limits.StandbysCount = uint32(standbys)
	c.modelLimits = model.Limits{MessageBytesMax: wire.MessageBytesMax, RequestBytesMax: c.limits.RequestBytesMax}
	c.id = wire.U128{Lo: w.random.Uint64(), Hi: w.random.Uint64()}
	c.judge = newJudge(&c.limits, c.id, c.modelLimits, w.fail)
	c.judge.several = true
	w.clusters = append(w.clusters, c)
	s := &several{cluster: c}
	s.replacement.several, s.upgrade.several, s.upgrade.atOp = s, s, noUpgrade
	s.attacker.several = s
	c.several = s
	var replicas []oracle.Replica
	var disks []oracle.BlockDisk
	for range count + standbys {
		m := newMachine(w, c, newImage(c.limits.SectorBytes))
		m.witness = newWitness(m, s)
		m.disk.note = m.note
		m.disk.onWrite = func(zone Zone, offsetBytes uint64, data []byte, durable bool) {
			m.witness.onWrite(zone, offsetBytes, data, durable)
			if offsetBytes >= m.layout.GridAt {
				m.observeBlock(offsetBytes, data)
			}
			m.spring(offsetBytes)
		}
		m.disk.onSync = m.springSync
		m.disk.onEnd = m.witness.onEnd
		m.network.sent = m.sends
		disks = append(disks, m.witness)
		if !m.isStandby() {
			replicas = append(replicas, m.witness)
		}
	}
	root := prepare.PutRoot(make([]byte, prepare.HeaderBytes), c.id).Checksum()
	s.oracle = oracle.New(replicas, oracle.Checksum(root), func(p *oracle.Prepare) {
		if w.options.Trace {
			w.line(fmt.Sprintf("    op %d of view %d is committed", p.Op, p.View))
		}
		c.judge.commit(p.Bytes)
		if p.UpgradeTo != 0 {
			s.marks.add(MarkUpgradeBegun)
		}
	})
	s.blocks = oracle.NewBlocks(c.limits.PageBytes, c.limits.BlockBytes, count, disks)
	return c
}

// replicas are the machines that are no standbys.
func (c *Cluster) replicas() []*Machine { return c.machines[:c.limits.ReplicasCount] }

// primaryOf is the index of the primary of a view.
func (c *Cluster) primaryOf(view uint32) int { return int(view % c.limits.ReplicasCount) }

// isStandby tells whether a machine of a cluster of several follows as a standby.
func (m *Machine) isStandby() bool {
	return m.cluster.several != nil && m.index >= int(m.cluster.limits.ReplicasCount)
}

// drawStandbys draws the number of standbys from the seed alone. So the seeds without standbys go
// on as if there were none.
func drawStandbys(seed uint64) int {
	return [8]int{0, 0, 0, 0, 0, 0, 1, 2}[rand.New(rand.NewPCG(seed, 0x57a)).IntN(8)]
}

// drawSeveralLimits draws the limits of a cluster. Its logs are longer than those of single
// replicas, and its checkpoints come earlier. So a machine that was away for some ops finds what it
// misses in the logs of others.
func drawSeveralLimits(w *World, count int) limits.Limits {
	r := w.random
	l := DrawLimits(r, false)
	pick := func(values ...uint32) uint32 { return values[r.IntN(len(values))] }
	l.ReplicasCount, l.MessageBytesMax = uint32(count), min(l.MessageBytesMax, 32<<10)
	l.BarOps = pick(2, 4, 4, 8)
	l.PipelineOpsMax = 8
	switch l.JournalSlotsCount = pick(64, 128, 128, 256); l.JournalSlotsCount {
	case 64: // as in production, so that the lists of headers fit
		l.SlackOps = 16
	case 128:
		l.SlackOps = 40
	case 256:
		l.SlackOps = 64
	}
	l.TwinBytes = min(l.TwinBytes, l.MessageBytesMax)
	l.RequestBytesMax = min(l.RequestBytesMax, l.MessageBytesMax)
	l.GroupBytesMax = min(max(l.GroupBytesMax, l.RequestBytesMax-limits.HeaderBytes), l.BodyBytesMax())
	l.StorageBytesMax = datafile.NewLayout(&l).GridAt + storageBytesMax(l.BlockBytes)
	if err := l.Check(); err != nil {
		panic(err)
	}
	return l
}

// judged takes the oracle's verdict.
func (s *several) judged(err error) {
	if err != nil {
		s.cluster.world.fail("%v", err)
	}
}

// step gives a driver of a machine a turn, or lets time pass.
func (s *several) step() {
	c := s.cluster
	w := c.world
	w.steps++
	var able [limits.MembersMax]*Machine
	count := 0
	for _, m := range c.machines {
		if m.replica == nil || m.pausedNs > w.events.nowNs {
			continue
		}
		if m.takeShare(); !m.isBlocked() {
			able[count] = m
			count++
		}
	}
	if count == 0 {
		s.advance()
		return
	}
	m := able[0]
	if count > 1 {
		m = able[w.random.IntN(count)]
	}
	m.act()
	if m.fault != nil {
		s.stopped(m)
	}
}

// advance moves the clock to the next event of the cluster and runs it. A machine gets turns again
// if something has happened to it, or one of its timers has fired.
func (s *several) advance() {
	c := s.cluster
	w := c.world
	now, next := w.events.nowNs, w.events.nextNs()
	for _, m := range c.machines {
		switch {
		case m.isLost:
		case m.replica == nil:
			next = min(next, max(m.downNs, now))
		case m.pausedNs > now:
			next = min(next, m.pausedNs)
		default:
			m.timerNs = m.nextTurnNs()
			if m.timerNs == stages.NoTurn && m.isOverdue() {
				m.timerNs = now + nsPerMs
			}
			next = min(next, m.timerNs)
		}
	}
	for _, one := range c.clients {
		next = min(next, one.nextNs())
	}
	if !s.isCalm {
		next = min(next, max(s.strikeNs, now))
	}
	next = min(next, max(s.replacement.nextNs(), now), max(s.upgrade.nextTimeNs(), now))
	if next == ^uint64(0) {
		next = now + nsPerMs
	}
	w.events.nowNs = max(now, next)
	now = w.events.nowNs
	w.events.runDue()
	for _, one := range c.clients {
		if one.nextNs() <= now {
			one.tick()
		}
	}
	for _, m := range c.machines {
		if m.pausedNs > now || m.replica == nil {
			continue
		}
		if m.network.woken || m.disk.woken || m.timerNs <= now || m.pausedNs > 0 {
			m.network.woken, m.disk.woken, m.pausedNs, m.idle = false, false, 0, 0
		}
	}
	s.disturb()
}
