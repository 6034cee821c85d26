package sim

// disturb causes the faults of ordinary days: connections break, clients die, clocks jump, disks
// and networks are slow.
func (m *Machine) disturb() {
	r := m.random
	if len(m.cluster.clients) == 0 {
		return
	}
	c := m.cluster.clients[r.IntN(len(m.cluster.clients))]
	switch r.IntN(600) {
	case 10:
		m.slowDown()
	case 11:
		m.disk.slowTo = 0
	case 0, 1:
		if l := c.anyLink(); l != nil {
			l.breakOff()
		}
	case 2:
		if l := c.anyLink(); l != nil {
			l.hangUp()
		}
	case 3:
		if l := c.anyLink(); l != nil {
			l.stalledNs = m.events.nowNs + r.Uint64N(3_000*nsPerMs)
			l.pardon("its client does not read")
		}
	case 4:
		if r.IntN(4) == 0 {
			c.restart()
		}
	case 5, 6, 12, 13:
		m.intrude()
	case 7:
		m.clock.jump()
	case 8:
		m.disk.slow = r.IntN(3) == 0
		m.disk.flaky = r.IntN(3) == 0
	case 9:
		slow := r.IntN(4) == 0
		m.paths(func(p *path) { p.slow = slow && r.IntN(2) == 0 })
	case 14: // one direction, or both
		if m.network.faulty && r.IntN(2) == 0 {
			m.world.path(c.host, m.host, true).cut()
		}
		if m.network.faulty && r.IntN(2) == 0 {
			m.world.path(m.host, c.host, true).cut()
		}
	case 15: // everybody loses the machine
		if m.network.faulty && r.IntN(4) == 0 {
			m.paths((*path).cut)
		}
	case 16:
		if len(m.world.machines) > 1 {
			m.strayedNs = m.events.nowNs + r.Uint64N(2_000*nsPerMs)
			c.links((*link).breakOff)
		}
	}
}

// paths calls do for every path from or to the machine.
func (m *Machine) paths(do func(p *path)) {
	for _, p := range m.world.paths {
		if p.from == m.host || p.to == m.host {
			do(p)
		}
	}
}
