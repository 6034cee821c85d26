package sim

import (
	"slices"

	"ledger/sim/model"
	"ledger/sim/workload"
)

const (
	nsPerMs = 1_000_000
	// wallBaseNs is the time at which every run begins, on all clocks of the world.
	wallBaseNs = 1_750_000_000_000_000_000
)

// client is one simulated client and its connection.
type client struct {
	cluster     *Cluster
	protocol    *workload.Client
	link        *link
	stream      *workload.Stream
	reconnectNs uint64
	lastFrame   []byte // the newest message, for strangers that send it again
	// Messages of this client may arrive late on rivals: its older connections, and those of
	// thieves.
	rivals     []*link
	askedAgain bool // on this connection or the one before, so that a reply may come twice
}

var _ peer = (*client)(nil)

// twice is why the server may close the connection of a client that has asked again.
const twice = "a reply may come twice, and the second may be under way when the next one is due"

// nextNs is the time at which the client needs a tick.
func (c *client) nextNs() uint64 {
	next := c.protocol.NextNs() - wallBaseNs
	if c.link == nil {
		next = min(next, c.reconnectNs)
	}
	return next
}

func (c *client) tick() {
	w, machine := c.cluster.world, c.cluster.machines[0]
	now := w.events.nowNs
	if c.link == nil && now >= c.reconnectNs {
		c.stream = workload.NewStream(c.cluster.modelLimits.MessageBytesMax)
		if c.link = machine.network.connect(c); c.link == nil {
			c.reconnectNs = now + 1*nsPerMs + w.random.Uint64N(50*nsPerMs)
		} else {
			c.link.isClient = true
			c.rivals = slices.DeleteFunc(c.rivals, func(l *link) bool { return !l.isKnown() })
			if len(c.rivals) > 0 {
				c.link.pardon("a message of its client may arrive on another connection")
			}
			if c.askedAgain {
				c.link.pardon(twice)
			}
			c.askedAgain = false
		}
	}
	frames := c.protocol.Tick(wallBaseNs + now)
	if e := c.protocol.InFlight(); e != nil && e.Sends > 1 {
		c.askedAgain = true
		c.link.pardon(twice)
	}
	for _, frame := range frames {
		c.lastFrame = frame.Bytes
		w.note("client asks: operation, link", uint64(frame.Bytes[196]), c.link.number())
		if c.link != nil {
			c.link.write(frame.Bytes)
		}
	}
}

// received implements peer.
func (c *client) received(l *link, data []byte) {
	if l != c.link {
		return
	}
	w, machine := c.cluster.world, c.cluster.machines[0]
	frames, err := c.stream.Push(data)
	if err != nil {
		w.fail("the server sends bytes that are no messages: %v", err)
	}
	for _, frame := range frames {
		w.note("client gets: command, bytes", uint64(frame[114]), uint64(len(frame)))
		c.cluster.judge.frame(machine.medium.view, frame)
		l.heard = true
		id := c.protocol.ID()
		verdict, err := c.protocol.Receive(wallBaseNs+w.events.nowNs, 0, frame)
		if err != nil {
			w.fail("client %x: %v", c.protocol.ID(), err)
		}
		if verdict == workload.Damaged {
			w.fail("client %x gets a damaged message", c.protocol.ID())
		}
		if c.protocol.ID() != id {
			l.pardon("its client has a new id")
		}
		c.take()
	}
}

// take passes finished exchanges to the judge.
func (c *client) take() {
	for _, e := range c.protocol.Take() {
		c.cluster.exchangesCount++
		if e.Evicted == model.EvictNoSession {
			c.cluster.world.result.EvictionsCount++
		}
		c.cluster.judge.exchange(e)
	}
}

// ended implements peer.
func (c *client) ended(l *link) {
	if l == c.link {
		c.link = nil
		c.rivals = append(c.rivals, l)
		c.reconnectNs = c.cluster.world.events.nowNs + c.cluster.world.random.Uint64N(100*nsPerMs)
	}
}

// restart ends the client's process and starts it again.
func (c *client) restart() {
	if c.link != nil {
		c.link.breakOff()
	}
	c.protocol.Restart(wallBaseNs + c.cluster.world.events.nowNs)
	c.take()
}

func (c *client) release() uint32 { return 17<<8 | 9 }

func (c *Cluster) addClients(count int, source workload.Source, pauseNs uint64) {
	releases := []uint32{16<<8 | 4, 16<<8 | 30, 16<<8 | 60, 17<<8 | 2, 17<<8 | 9}
	for range count {
		one := &client{cluster: c}
		one.protocol = workload.NewClient(workload.ClientConfig{
			Cluster:  number(c.id),
			Seed:     c.world.random.Uint64(),
			Replicas: 1,
			Release:  releases[c.world.random.IntN(len(releases))],
			Limits:   c.modelLimits,
			PauseNs:  pauseNs,
		}, source, wallBaseNs+c.world.events.nowNs)
		c.clients = append(c.clients, one)
	}
}
