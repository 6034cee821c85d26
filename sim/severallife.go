package sim

import (
	"fmt"
	"slices"

	"ledger/replica"
	"ledger/sim/workload"
)

// Bounds of the run of a cluster of several replicas.
const (
	strikesMax       = 10
	severalStepsMax  = 8_000_000
	strikeNsMax      = 8_000 * nsPerMs  // the next fault comes by then
	stallNsMax       = 60_000 * nsPerMs // without an op, after the last fault has come
	severalCalmNsMax = 400_000 * nsPerMs
)

// liveSeveral draws a cluster of several replicas and runs it.
func (w *World) liveSeveral() {
	count := [16]int{3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 4, 4, 5, 5, 5, 6}[w.random.IntN(16)]
	w.addSeveral(count, drawStandbys(w.options.Seed)).several.live()
}

// live is the life of a cluster of several replicas.
func (s *several) live() {
	c := s.cluster
	w, r := c.world, c.world.random
	cuts := w.options.Cuts
	drawn := drawMix(r, len(c.replicas()))
	isWithoutStrikes := false
	s.mix, isWithoutStrikes = cuts.mix(drawn)
	for _, m := range c.machines {
		m.network.faulty = s.mix.isLossy
		m.format(-1)
		m.witness.rescan()
		m.downNs = r.Uint64N(1_000 * nsPerMs)
	}
	s.connectPaths()
	profile := workload.DrawProfile(r)
	profile.Accounts = min(profile.Accounts, 200)
	profile.BatchEventsMax = min(profile.BatchEventsMax, 40)
	s.goal = uint64(opsMin + r.IntN(opsMax-opsMin))
	if r.IntN(5) != 0 && !w.options.ShortLives { // a long life
		profile.BatchEventsMax = min(profile.BatchEventsMax, 4)
		profile.FullBatchPercent = min(profile.FullBatchPercent, 1)
		s.goal = uint64(opsLongMin + r.IntN(opsLongMax-opsLongMin))
	}
	s.goal = uint64(cuts.ops(int(s.goal)))
	hasUpgrade := s.upgrade.draw()
	if hasUpgrade {
		profile.TrialPercent = 10
	}
	generator := workload.NewGenerator(r.Uint64(), profile, c.modelLimits)
	clients := cuts.clients(1 + r.IntN(int(c.limits.SessionsMax)+2))
	c.addClients(clients, generator, []uint64{0, 1, 20, 200}[r.IntN(4)]*nsPerMs)
	s.strikes = cuts.strikes(2 + r.IntN(strikesMax))
	if isWithoutStrikes {
		s.strikes = 0
	}
	s.planStrike()
	s.replacement.plan()
	s.attacker.plan()
	if hasUpgrade {
		s.upgrade.plan()
	}
	s.work()
	s.heal()
	s.audit()
	s.agree()
	if r.IntN(2) == 0 {
		s.cutAll(true)
		s.audit()
		s.agree()
	}
}

// work runs until the goal is reached, or nothing is committed for a long time.
func (s *several) work() {
	now := &s.cluster.world.events.nowNs
	highest, untilNs := uint64(0), uint64(0)
	for i := 0; i < severalStepsMax && s.oracle.Highest() < s.goal; i++ {
		if s.oracle.Highest() > highest || untilNs == 0 || s.strikes > 0 {
			highest, untilNs = s.oracle.Highest(), *now+stallNsMax
		}
		if *now > untilNs {
			s.marks.Stalled++
			s.cluster.world.say("nothing was committed for a long time")
			s.describe()
			return
		}
		s.step()
	}
}

// opensSeveral takes what a start of one of several replicas has found. The start has made some
// copies whole.
func (m *Machine) opensSeveral(o *replica.Opened) {
	d := m.witness
	d.rescan()
	d.executed = o.Consensus.Superblock.Checkpoint.Op
	m.cluster.several.blocks.Starts(m.index)
	superblock := &o.Consensus.Superblock
	if superblock.Sequence != d.sequence || superblock.View != d.view || superblock.LogView != d.logView {
		m.fail("machine %d: the start goes on with superblock %d, view %d, log view %d; %d with %d, %d is on disk", m.index, superblock.Sequence,
			superblock.View, superblock.LogView, d.sequence, d.view, d.logView)
	}
	marks := &m.cluster.several.marks
	if !o.Journal.Faulty.Empty() {
		marks.add(MarkFaultyStart)
	}
	if !o.Journal.Uncertain.Empty() {
		marks.add(MarkUncertainStart)
	}
	m.say("starts: view %d, log view %d, checkpoint %d, head %d, commit_max %d, faulty slots %d, uncertain ops %d", superblock.View,
		superblock.LogView, superblock.Checkpoint.Op, o.Consensus.OpHead, o.Consensus.CommitMax, o.Journal.Faulty.Len(),
		o.Journal.Uncertain.Len())
}

// replicaIndex is the number of the machine among the replicas of its cluster.
func (m *Machine) replicaIndex() uint8 {
	if m.cluster.several == nil {
		return 0
	}
	return uint8(m.index)
}

// view is that of the messages to clients: the view of the start of a single replica; of one of
// several the log view, or an earlier one.
func (m *Machine) view() uint32 {
	if m.witness != nil {
		return m.witness.logView
	}
	return m.medium.view
}

// goDown ends the replica of a machine for some time.
func (s *several) goDown(m *Machine, powerCut bool, downNs uint64) {
	if m.replica == nil {
		return
	}
	if powerCut {
		m.say("loses power")
	} else {
		m.say("crashes")
	}
	m.note("crash", uint64(m.index), m.witness.highest)
	m.observeCrash()
	m.result.CrashesCount++
	if m.isPrimary() {
		s.marks.add(MarkPrimaryCrash)
	}
	if s.upgrade.isUnderWay() && m.fault == nil {
		s.marks.add(MarkUpgradeCrash)
	}
	for _, o := range m.disk.flying {
		if o.kind == diskWrite && o.offsetBytes < m.layout.TwinsAt {
			s.marks.add(MarkTornSuperblock)
		} else if o.kind == diskWrite && o.offsetBytes < m.layout.GridAt {
			s.marks.add(MarkTornAppend)
		}
	}
	m.stop()
	m.replica, m.trap = nil, trap{}
	m.network.crash(powerCut)
	m.disk.crash(powerCut)
	m.memory.Close()
	if powerCut {
		m.clock.boot()
	}
	m.witness.rescan()
	m.pausedNs, m.fault = 0, nil
	m.downNs = m.events.nowNs + downNs
	s.replacement.wentDown(m)
}

// isPrimary tells whether the machine is up and the primary of its durable view.
func (m *Machine) isPrimary() bool {
	d := m.witness
	return m.replica != nil && d.view == d.logView && m.cluster.primaryOf(d.view) == m.index
}

// revive starts the machines that have been down for long enough. They may go down again meanwhile.
func (s *several) revive() {
	for _, m := range s.cluster.machines {
		if m.replica != nil || m.downNs > m.events.nowNs || m.isLost {
			continue
		}
		redrawMemory(&m.limits, m.random)
		if m.scrubs && m.limits.ScrubPeriodNs == 0 {
			m.limits.ScrubPeriodNs = scrubPeriodNs(&m.limits)
		}
		crashSectors := -1
		if !s.isCalm && m.random.IntN(6) == 0 {
			crashSectors = m.random.IntN(1 << m.random.IntN(7))
		}
		started, err := m.start(crashSectors)
		if err != nil {
			s.upgrade.refused(m, err)
			continue
		}
		if !started {
			m.result.CrashesCount++
			m.result.Coverage.Crashes[crashReplay]++
			m.network.crash(true)
			m.disk.crash(true)
			m.witness.rescan()
			m.downNs = m.events.nowNs + m.random.Uint64N(100*nsPerMs)
			continue
		}
		m.timerNs = 0
	}
}

// stopped: a replica has stopped with a fault.
func (s *several) stopped(m *Machine) {
	if endsRelease(m.fault) {
		s.upgrade.passes(m)
		return
	}
	if !m.disk.errorGiven {
		m.fail("replica %d stops: %v", m.index, m.fault)
	}
	m.say("stops: %v", m.fault)
	s.marks.add(MarkDiskFailed)
	m.disk.image.limitBytes = ^uint64(0)
	m.result.FaultsCount++
	s.goDown(m, m.random.IntN(2) == 0, m.random.Uint64N(2_000*nsPerMs))
}

// mend ends the faults that keep machines away.
func (s *several) mend() {
	for _, m := range s.cluster.machines {
		m.downNs, m.pausedNs = min(m.downNs, m.events.nowNs), min(m.pausedNs, m.events.nowNs)
		m.disk.slow, m.disk.slowTo, m.disk.tiredNs, m.awayOp = false, 0, 0, 0
	}
	for _, p := range s.cluster.world.paths {
		p.cutNs, p.slow = 0, false
	}
}

// settle ends all faults.
func (s *several) settle() {
	s.isCalm = true
	s.mend()
	for _, m := range s.cluster.machines {
		m.trap = trap{}
		m.clock.offsetNs = 0
		if m.replica != nil {
			m.settleDown()
		}
		m.calm = true
		m.disk.writeErrorIn, m.disk.syncErrorIn, m.disk.loses, m.disk.image.limitBytes = 0, 0, nil, ^uint64(0)
	}
}

// runUntil steps in calm until done. If nothing ends for a long time, that is a finding.
func (s *several) runUntil(done func() bool, what string) {
	s.runWithin(severalCalmNsMax, done, what)
}

// runWithin is runUntil, with the time within which an exchange ends.
func (s *several) runWithin(mostNs uint64, done func() bool, what string) {
	s.settle()
	c, w := s.cluster, s.cluster.world
	ended, untilNs := -1, uint64(0)
	for steps := 0; !done(); steps++ { // their bound is that of one machine, for each machine
		if ended != c.exchangesCount {
			ended, untilNs = c.exchangesCount, w.events.nowNs+mostNs
		}
		if w.events.nowNs > untilNs || steps == wholeStepsMax*len(c.machines) {
			s.describe()
			w.fail("in calm it never comes to this: %s (nothing for %d s, %d steps)", what, (w.events.nowNs+mostNs-untilNs)/1_000_000_000, steps)
		}
		s.step()
	}
}

// heal demands that every client gets its reply when there are no further faults.
func (s *several) heal() {
	s.replacement.finish()
	s.upgrade.finish()
	for _, c := range s.cluster.clients {
		c.protocol.Stop()
	}
	s.cluster.world.say("all faults end")
	s.runUntil(func() bool {
		return !slices.ContainsFunc(s.cluster.clients, func(c *client) bool { return c.protocol.InFlight() != nil })
	}, "every client has its answer")
}

// audit compares the whole state with the model, as far as queries can read it.
func (s *several) audit() {
	c := s.cluster
	for _, one := range c.clients {
		one.links((*link).hangUp)
	}
	a := newAuditor(c.judge.clients.Server.Machine, c.modelLimits, c.world.random)
	c.clients = c.clients[:0]
	c.addClients(1, a, 0)
	s.runUntil(func() bool {
		if a.next == len(a.requests) {
			c.clients[0].protocol.Stop()
		}
		return a.next == len(a.requests) && c.clients[0].protocol.InFlight() == nil
	}, "every request of the audit is answered")
	c.clients[0].links((*link).hangUp)
	c.clients = c.clients[:0]
}

// cutAll cuts the power of all machines.
func (s *several) cutAll(isShort bool) {
	s.cluster.world.say("all machines lose power")
	if !s.isCalm {
		s.marks.add(MarkAllCut)
	}
	for _, m := range s.cluster.machines {
		most := uint64(3_000 * nsPerMs)
		if isShort {
			most = 100 * nsPerMs
		}
		s.goDown(m, true, m.random.Uint64N(most))
	}
}

// describe adds the state of all machines to the trace.
func (s *several) describe() {
	for _, m := range s.cluster.machines {
		d := m.witness
		text := fmt.Sprintf("durable: view %d, log view %d, checkpoint %d", d.view, d.logView, d.checkpointOp)
		if m.replica == nil {
			text += ", down"
		} else {
			text += fmt.Sprintf(", sync max %d, commit %d, apply at %d, disk operations %d, serves %v", d.syncMax,
				m.replica.Consensus.Commit(), m.replica.Apply.Op(), len(m.disk.flying), m.ready)
			for class, pool := range m.replica.Slots.Pools {
				text += fmt.Sprintf(", %d/%d", pool.FreeCount(), pool.SlotsCount())
				_ = class
			}
		}
		if missing := s.blocks.Missing(m.index, d.checkpointOp); missing != nil {
			text += fmt.Sprintf(", block %d of the checkpoint is missing", missing.Address)
		}
		m.say("%s", text)
	}
}

// say adds a line about the whole cluster to the protocol's trace.
func (w *World) say(format string, arguments ...any) {
	if w.options.Trace && w.options.Several {
		w.line("--  " + fmt.Sprintf(format, arguments...))
	}
}
