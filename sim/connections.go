package sim

import (
	"slices"

	"ledger/sim/workload"

	"golang.org/x/sys/unix"
)

// address is one that a client knows. A machine listens there, or nobody.
type address struct {
	machine *Machine // nil: nobody
	silent  bool     // nobody even refuses: no answer comes
}

// lookUp tells which machine an address leads to now. A wrong route leads to another for a while.
func (w *World) lookUp(a address) (m *Machine, errno unix.Errno) {
	switch {
	case a.silent:
		return nil, unix.ETIMEDOUT
	case a.machine == nil:
		return nil, unix.ECONNREFUSED
	case a.machine.strayedNs > w.events.nowNs:
		m = w.machines[(a.machine.index+1)%len(w.machines)]
	default:
		m = a.machine
	}
	if m.replica == nil { // its life has ended
		return nil, unix.ECONNREFUSED
	}
	return m, 0
}

// path returns the directed link from one computer to another.
func (w *World) path(from, to int, faulty bool) *path {
	key := [2]int{from, to}
	p := w.pathsByEnds[key]
	if p == nil {
		p = newPath(w, faulty)
		p.from, p.to = from, to
		w.pathsByEnds[key] = p
		w.paths = append(w.paths, p)
	}
	return p
}

// newHost returns the number of a computer.
func (w *World) newHost() int {
	w.hostsCount++
	return w.hostsCount - 1
}

// dialMachine is the dial of a machine's sockets: it finds the machine at an address (connect.go).
func (m *Machine) dialMachine(to [18]byte) (other *Network, there, back *path, errno unix.Errno) {
	for _, one := range m.world.machines {
		if one.address != to {
			continue
		}
		there, back = m.world.path(m.host, one.host, m.network.faulty), m.world.path(one.host, m.host, m.network.faulty)
		switch {
		case there.isCut() || back.isCut():
			return nil, nil, nil, unix.ETIMEDOUT
		case one.replica == nil:
			return nil, nil, nil, unix.ECONNREFUSED
		}
		return one.network, there, back, 0
	}
	return nil, nil, nil, unix.EHOSTUNREACH
}

// connection is what a client has to one of its addresses: a link, or the time of the next try.
type connection struct {
	client  *client
	address address
	link    *link
	machine *Machine // at the other end of link
	stream  *workload.Stream
	retryNs uint64
	tries   int // that have failed, or ended without an answer, since the last answer
}

var _ peer = (*connection)(nil)

// connect tries to open the connection, if it is time.
func (o *connection) connect() {
	c := o.client
	w := c.cluster.world
	now := w.events.nowNs
	if o.link != nil || now < o.retryNs {
		return
	}
	m, errno := w.lookUp(o.address)
	var there, back *path
	if errno == 0 {
		there, back = w.path(c.host, m.host, m.network.faulty), w.path(m.host, c.host, m.network.faulty)
		if there.isCut() || back.isCut() {
			errno = unix.ETIMEDOUT
		}
	}
	switch errno {
	case 0:
	default:
		o.backOff()
		return
	}
	if there.lossOdds > 0 && w.random.IntN(duplicatesOdds) == 0 {
		m.network.duplicate()
		w.result.Coverage.Duplicates++
	}
	o.stream = workload.NewStream(c.cluster.modelLimits.MessageBytesMax)
	if o.link = m.network.connect(o); o.link == nil {
		o.retryNs = now + 1*nsPerMs + w.random.Uint64N(50*nsPerMs)
		return
	}
	o.machine = m
	o.link.in.path, o.link.out.path = there, back
	o.link.isClient = true
	c.excuse(o)
}

// excuse names the reasons that the server has for closing a new connection.
func (c *client) excuse(o *connection) {
	c.rivals = slices.DeleteFunc(c.rivals, func(l *link) bool { return !l.isKnown() })
	if len(c.rivals) > 0 {
		o.link.pardon("a message of its client may arrive on another connection")
	}
	if c.askedAgain {
		o.link.pardon(twice)
	}
	c.askedAgain = false
	if o.machine.cluster != c.cluster {
		o.link.pardon("its client is one of another cluster")
		c.cluster.world.result.Coverage.Strayed++
	}
	for _, other := range c.connections {
		if other != o && other.link != nil {
			o.link.pardon("its client has several connections")
			other.link.pardon("its client has several connections")
		}
	}
}

// received implements peer.
func (o *connection) received(l *link, data []byte) {
	if l != o.link {
		return
	}
	c := o.client
	w := c.cluster.world
	if o.machine.cluster != c.cluster {
		w.fail("machine %d sends %d bytes to a client of another cluster", o.machine.index, len(data))
	}
	frames, err := o.stream.Push(data)
	if err != nil {
		if l.spoiled {
			l.breakOff()
			return
		}
		w.fail("the server sends bytes that are no messages: %v", err)
	}
	for _, frame := range frames {
		if o.link != l || !c.take(o, frame) {
			return
		}
	}
}

// ended implements peer.
func (o *connection) ended(l *link) {
	if l == o.link {
		o.link = nil
		o.client.rivals = append(o.client.rivals, l)
		if !l.heard {
			o.backOff()
			return
		}
		o.tries = 0
		o.retryNs = o.client.cluster.world.events.nowNs + o.client.cluster.world.random.Uint64N(100*nsPerMs)
	}
}

// backOff waits longer after each try. Otherwise the connections of a client that knows a machine
// by several addresses would go on displacing each other from the last free place of its table.
func (o *connection) backOff() {
	w := o.client.cluster.world
	o.tries++
	o.retryNs = w.events.nowNs + 50*nsPerMs<<min(o.tries, 5) + w.random.Uint64N(50*nsPerMs)
}

// addressOf makes the address of a machine, as sockets have it.
func addressOf(index int) (a [18]byte) {
	a[0], a[15], a[16], a[17] = 0xfd, byte(index+1), 0x0b, 0xb9
	return a
}
