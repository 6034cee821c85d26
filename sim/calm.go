package sim

import "fmt"

// runUntil steps in calm until done. A lack of progress is a finding. The whole time depends on the
// requests, so the bound applies to each exchange.
func (m *Machine) runUntil(done func() bool, what string) {
	m.settleDown()
	ended, end := -1, m.steps+wholeStepsMax
	untilNs, untilSteps := uint64(0), uint64(0)
	for !done() {
		if ended != m.cluster.exchangesCount {
			ended, untilNs, untilSteps = m.cluster.exchangesCount, m.events.nowNs+calmNsMax, m.steps+m.calmSteps()
		}
		if m.steps >= untilSteps || m.events.nowNs > untilNs || m.steps >= end {
			m.describe()
			m.fail("in calm it never comes to this: %s (nothing for %d steps, %d s)", what, m.steps+m.calmSteps()-untilSteps,
				(m.events.nowNs+calmNsMax-untilNs)/1_000_000_000)
		}
		m.step()
		if m.fault != nil && !m.extend() {
			if m.disk.errorGiven {
				m.result.FaultsCount++
				m.crash(true)
				m.restart()
				continue
			}
			m.fail("the replica stops: %v", m.fault)
		}
	}
}

// calmSteps bounds how long nothing may happen. A scrubber takes steps all the time, so that it
// takes more of them until the timers of connections are over.
func (m *Machine) calmSteps() uint64 {
	if m.limits.ScrubPeriodNs > 0 {
		return 6 * calmStepsMax
	}
	return calmStepsMax
}

// describe adds the state of all connections and stages to the trace.
func (m *Machine) describe() {
	for _, l := range m.network.links {
		if l != nil {
			m.note(fmt.Sprintf("link %d: %d bytes arrived, receives %v, sends %v, server closed %v, peer gone %v, reset %v", l.number(),
				len(l.arrived),
				l.receiveInto != nil, l.sending != nil, l.serverClosed, l.peerGone, l.reset), 0, 0)
		}
	}
	for i, c := range m.cluster.clients {
		if c.protocol.InFlight() == nil {
			continue
		}
		for _, o := range c.connections {
			number := uint64(0)
			if o.link != nil {
				number = o.link.number()
			}
			m.note(fmt.Sprintf("client %d waits for an answer: link, next try in ns", i), number, o.retryNs-min(o.retryNs, m.events.nowNs))
		}
	}
	for class, pool := range m.replica.Slots.Pools {
		m.note(fmt.Sprintf("slots of class %d: %d of %d free", class, pool.FreeCount(), pool.SlotsCount()), 0, 0)
	}
	m.note(fmt.Sprintf("ready %v, commit %d, apply at op %d, durable %d, disk operations %d", m.ready, m.replica.Consensus.Commit(),
		m.replica.Apply.Op(),
		m.medium.durableOp, len(m.disk.flying)), 0, 0)
}

// heal demands that every client gets its reply when there are no further faults.
func (m *Machine) heal() {
	for _, c := range m.cluster.clients {
		c.protocol.Stop()
	}
	m.runUntil(func() bool {
		for _, c := range m.cluster.clients {
			if c.protocol.InFlight() != nil {
				return false
			}
		}
		return m.ready
	}, "every client has its answer")
	// Due transfers expire even if there are no requests. After a night they are more than one
	// pulse can expire.
	if m.random.IntN(2) == 0 {
		m.clock.night()
	}
	dueNs := m.clock.wallNs()
	m.runUntil(func() bool {
		next, some := m.cluster.judge.clients.Server.Machine.ExpiresNext()
		return !some || next > dueNs
	}, "what is due has expired")
}

// audit compares the whole state with the model, as far as queries can read it.
func (m *Machine) audit() {
	for _, c := range m.cluster.clients {
		c.links((*link).hangUp)
	}
	m.cluster.clients = m.cluster.clients[:0]
	m.ask(newAuditor(m.cluster.judge.clients.Server.Machine, m.cluster.modelLimits, m.random))
}

// ask makes a client send the requests of an auditor.
func (m *Machine) ask(a *auditor) {
	m.cluster.addClients(1, a, 0)
	m.note("audit", uint64(len(a.requests)), 0)
	c := m.cluster.clients[0]
	m.runUntil(func() bool {
		if a.next == len(a.requests) {
			c.protocol.Stop()
		}
		return m.ready && a.next == len(a.requests) && c.protocol.InFlight() == nil
	}, "every request of the audit is answered")
	c.links((*link).hangUp)
	m.cluster.clients = m.cluster.clients[:0]
}

// auditUntilFault audits a replica with damage. It ends when the replica stops. rot may do more
// damage at step rotAt.
func (m *Machine) auditUntilFault(rotAt int, rot func()) {
	a := newAuditor(m.cluster.judge.clients.Server.Machine, m.cluster.modelLimits, m.random)
	m.cluster.addClients(1, a, 0)
	m.settleDown()
	ended, untilSteps, end := -1, uint64(0), m.steps+wholeStepsMax
	for i := 0; m.fault == nil && (a.next < len(a.requests) || m.cluster.clients[0].protocol.InFlight() != nil); i++ {
		if a.next == len(a.requests) {
			m.cluster.clients[0].protocol.Stop()
		}
		if i == rotAt {
			rot()
		}
		if ended != m.cluster.exchangesCount { // as in runUntil, the bound is one of each exchange
			ended, untilSteps = m.cluster.exchangesCount, m.steps+m.calmSteps()
		}
		if m.steps >= min(untilSteps, end) {
			m.fail("with damage the replica neither answers nor stops")
		}
		if m.step(); m.fault != nil {
			m.extend()
		}
	}
	if e := m.cluster.clients[0].protocol.InFlight(); e != nil {
		m.cluster.inFlight = append(m.cluster.inFlight, e)
	}
	m.cluster.clients = m.cluster.clients[:0]
}

// pause lets background work go on for a while.
func (m *Machine) pause() {
	for range m.random.IntN(2000) {
		if m.step(); m.fault != nil && !m.extend() {
			m.fail("the replica stops: %v", m.fault)
		}
	}
}

// quiet tells whether the disk and the connections are idle. What is yet to happen on other
// machines does not count. They may never rest: one that scrubs has always something to do.
func (m *Machine) quiet() bool { return len(m.disk.flying) == 0 && m.events.count == 0 }
