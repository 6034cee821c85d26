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
		if c.link != nil {
			c.link.breakOff()
		}
	case 2:
		if c.link != nil {
			c.link.hangUp()
		}
	case 3:
		if c.link != nil {
			c.link.stalledNs = m.events.nowNs + r.Uint64N(3_000*nsPerMs)
			c.link.pardon("its client does not read")
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
		m.network.slow = r.IntN(4) == 0
	}
}
