package sim

import "math/rand/v2"

// strike is a kind of fault of a cluster.
type strike uint8

const (
	strikeCrash  strike = iota // the process of one machine ends
	strikePower                // one machine loses power
	strikeTrap                 // one machine goes down when it writes something certain
	strikeAll                  // all machines lose power
	strikeSome                 // several machines go down
	strikePause                // one machine stands still
	strikeCut                  // one machine is cut off
	strikeOneWay               // one machine hears nobody, or nobody hears it
	strikeSplit                // two groups do not reach each other
	strikeSlow                 // a disk or the network is slow
	strikeClock                // wall clocks jump
	strikeDisk                 // a disk fails, is full, or loses a write
	strikeSpoil                // a disk spoils blocks of a replica that runs
	strikeAway                 // one machine stands still, or is down, for several checkpoints
	strikeTired                // one disk is slow for a stretch of time
	strikesCount
)

var strikeNames = [strikesCount]string{"crash", "power cut", "crash at a write", "power cut of all", "several crashes", "pause", "cut",
	"cut in one direction", "split", "slow", "clock", "disk", "blocks", "away", "slow disk"}

// mix is the faults of a run.
type mix struct {
	weights  [strikesCount]int
	isLossy  bool // paths lose, delay and change what they carry
	isDamage bool // logs are damaged while their machines are down
	isRough  bool // connections break, strangers come
	// Blocks are damaged, while their machine is down and while it runs.
	isSpoiled bool
}

// drawMix draws the faults of a run. In most runs, some kinds do not occur.
func drawMix(r *rand.Rand, count int) (m mix) {
	for i := range m.weights {
		m.weights[i] = [4]int{0, 1, 1, 3}[r.IntN(4)]
	}
	for _, kind := range [...]strike{strikeCrash, strikePower, strikeTrap} { // most runs have these
		m.weights[kind] += 1 + r.IntN(2)
	}
	m.weights[strikeAway] += 1 + r.IntN(3) // a fifth of the runs and more have a sync
	m.isLossy, m.isDamage, m.isRough, m.isSpoiled = r.IntN(4) != 0, r.IntN(2) == 0, r.IntN(3) != 0, r.IntN(4) != 0
	return m
}

func (m *mix) draw(r *rand.Rand) strike {
	sum := 0
	for _, weight := range m.weights {
		sum += weight
	}
	n := r.IntN(sum)
	for kind, weight := range m.weights {
		if n < weight {
			return strike(kind)
		}
		n -= weight
	}
	return strikeCrash
}

// connectPaths makes the paths between the machines, so that they can be cut from the beginning on.
func (s *several) connectPaths() {
	for _, a := range s.cluster.machines {
		for _, b := range s.cluster.machines {
			if a != b {
				s.cluster.world.path(a.host, b.host, s.mix.isLossy)
			}
		}
	}
}

// planStrike draws when the next fault comes.
func (s *several) planStrike() {
	w := s.cluster.world
	highest := s.oracle.Highest()
	left := s.goal - min(s.goal, highest)
	s.strikeOps = highest + 1 + w.random.Uint64N(2*left/uint64(s.strikes+1)+1)
	s.strikeNs = w.events.nowNs + 100*nsPerMs + w.random.Uint64N(strikeNsMax)
	if w.random.IntN(2) == 0 { // soon: while the fault before it still has its effect
		s.strikeNs = w.events.nowNs + w.random.Uint64N(strikeNsMax/8)
	}
	if s.strikes == 0 {
		s.strikeNs, s.strikeOps = ^uint64(0), ^uint64(0)
	}
}

// disturb causes the faults for which it is time.
func (s *several) disturb() {
	s.comeBack()
	s.replacement.step()
	s.upgrade.step()
	s.attacker.step()
	s.revive()
	c := s.cluster
	for _, m := range c.machines {
		if m.trap.sprung && m.replica != nil {
			s.goDown(m, m.random.IntN(3) != 0, s.away(m))
			s.harm(m)
		}
	}
	if s.isCalm {
		return
	}
	if s.mix.isRough && c.world.random.IntN(400) == 0 {
		s.roughen()
	}
	if s.mix.isSpoiled && c.world.random.IntN(spoilOdds) == 0 {
		s.spoil(c.machines[c.world.random.IntN(len(c.machines))])
	}
	if s.strikes > 0 && (s.oracle.Highest() >= s.strikeOps || c.world.events.nowNs >= s.strikeNs) {
		s.strikes--
		s.strike(s.mix.draw(c.world.random))
		s.planStrike()
	}
}

// away draws how long a machine is down.
func (s *several) away(m *Machine) uint64 {
	return m.random.Uint64N([4]uint64{20, 200, 2_000, 6_000}[m.random.IntN(4)] * nsPerMs)
}

// target draws the machine that a fault strikes: the primary, or any.
func (s *several) target() *Machine {
	c := s.cluster
	r := c.world.random
	if r.IntN(2) == 0 {
		var newest *Machine
		for _, m := range c.machines {
			if m.isPrimary() && (newest == nil || m.witness.view > newest.witness.view) {
				newest = m
			}
		}
		if newest != nil {
			return newest
		}
	}
	return c.machines[r.IntN(len(c.machines))]
}

func (s *several) strike(kind strike) {
	c, m := s.cluster, s.target()
	w, r := c.world, c.world.random
	s.marks.Strikes[kind]++
	switch kind {
	case strikePause:
		s.marks.add(MarkPaused)
	case strikeSplit, strikeCut:
		s.marks.add(MarkSplit)
	case strikeOneWay:
		s.marks.add(MarkOneWay)
	case strikeClock:
		s.marks.add(MarkClock)
	}
	switch kind {
	case strikeCrash, strikePower:
		s.goDown(m, kind == strikePower, s.away(m))
		s.harm(m)
	case strikeTrap:
		if m.trap = drawTrap(r); m.trap.zone == trapBrink {
			m.trap.zone = trapSuperblock
		}
	case strikeAll:
		s.cutAll(r.IntN(2) == 0)
		s.harmAll()
	case strikeSome:
		for _, i := range r.Perm(len(c.machines))[:1+r.IntN(len(c.machines))] {
			s.goDown(c.machines[i], r.IntN(2) == 0, s.away(m))
			s.harm(c.machines[i])
		}
	case strikePause:
		if m.replica != nil {
			m.pausedNs = w.events.nowNs + r.Uint64N(4_000*nsPerMs)
			m.say("stands still")
		}
	case strikeCut, strikeOneWay:
		way := 3
		if kind == strikeOneWay {
			way = 1 + r.IntN(2)
		}
		m.say("is cut off: %s", [4]string{"", "it hears nobody", "nobody hears it", "in both directions"}[way])
		untilNs := w.events.nowNs + r.Uint64N(cutNsMax)
		for _, other := range c.machines {
			if other == m {
				continue
			}
			if way&1 != 0 {
				w.path(other.host, m.host, true).cutNs = untilNs
			}
			if way&2 != 0 {
				w.path(m.host, other.host, true).cutNs = untilNs
			}
		}
	case strikeSplit:
		group, untilNs := r.Uint32(), w.events.nowNs+r.Uint64N(cutNsMax)
		w.say("the machines are split: %0*b", len(c.machines), group&(1<<len(c.machines)-1))
		for _, a := range c.machines {
			for _, b := range c.machines {
				if group>>a.index&1 != group>>b.index&1 {
					w.path(a.host, b.host, true).cutNs = untilNs
				}
			}
		}
	case strikeSlow:
		switch r.IntN(3) {
		case 0:
			m.slowDown()
		case 1:
			m.disk.slow = true
		case 2:
			m.paths(func(p *path) { p.slow = r.IntN(2) == 0 })
		}
		m.say("is slow")
	case strikeClock:
		for _, i := range r.Perm(len(c.machines))[:1+r.IntN(len(c.machines))] {
			other := c.machines[i]
			if r.IntN(4) == 0 {
				other.clock.night()
			} else {
				other.clock.jump()
			}
			other.say("its wall clock jumps")
		}
	case strikeDisk:
		s.failDisk(m)
	case strikeSpoil:
		s.spoil(m)
	case strikeAway:
		s.sendAway(m)
	case strikeTired:
		m.disk.tiredNs = w.events.nowNs + r.Uint64N(tiredNsMax)
		m.say("its disk is slow")
		s.marks.add(MarkSlowDisk)
	}
}

// roughen causes the faults of ordinary days: connections break, clients die, strangers come.
func (s *several) roughen() {
	c := s.cluster
	r := c.world.random
	if len(c.clients) == 0 {
		return
	}
	one, m := c.clients[r.IntN(len(c.clients))], c.machines[r.IntN(len(c.machines))]
	switch r.IntN(12) {
	case 0, 1:
		if l := one.anyLink(); l != nil {
			l.breakOff()
		}
	case 2:
		if l := one.anyLink(); l != nil {
			l.hangUp()
		}
	case 3:
		if l := one.anyLink(); l != nil {
			l.stalledNs = c.world.events.nowNs + r.Uint64N(3_000*nsPerMs)
			l.pardon("its client does not read")
		}
	case 4:
		if r.IntN(4) == 0 {
			one.restart()
		}
	case 5, 6:
		if m.replica != nil {
			m.intrude()
		}
	case 7: // a connection between replicas breaks
		for _, i := range r.Perm(len(m.network.links)) {
			if l := m.network.links[i]; l != nil && !l.connecting {
				if _, ok := l.peer.(*far); ok {
					l.breakOff()
					break
				}
			}
		}
	case 8:
		c.world.path(one.host, m.host, s.mix.isLossy).cut()
	case 9:
		c.world.path(m.host, one.host, s.mix.isLossy).cut()
	case 10:
		m.disk.flaky = r.IntN(2) == 0
	case 11:
		m.disk.slow = r.IntN(4) == 0
	}
}

// failDisk makes the disk of a machine fail soon. The replica stops then, and the others go on.
func (s *several) failDisk(m *Machine) {
	if m.replica == nil || !m.disk.isSound() {
		return
	}
	switch m.random.IntN(4) {
	case 0:
		m.disk.writeErrorIn = 1 + m.random.IntN(20)
	case 1:
		m.disk.syncErrorIn = 1
	case 2:
		m.disk.image.limitBytes = m.disk.image.sizeBytes
	case 3: // it loses the write of a twin, which the prepare mends at the next start
		m.disk.loses = func(offsetBytes uint64) bool {
			isTwin := offsetBytes >= m.layout.TwinsAt && offsetBytes < m.layout.PreparesAt
			if isTwin {
				m.disk.loses = nil
				m.say("its disk loses a twin")
				m.witness.lostTwin(offsetBytes)
			}
			return isTwin
		}
	}
	m.say("its disk is about to fail")
}
