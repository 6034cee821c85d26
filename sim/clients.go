package sim

import (
	"fmt"

	"ledger/sim/model"
	"ledger/sim/workload"
)

const (
	nsPerMs = 1_000_000
	// wallBaseNs is the time at which every run begins, on all clocks of the world.
	wallBaseNs = 1_750_000_000_000_000_000
)

// client is one simulated client. As the official ones, it has a connection to each of its
// addresses.
type client struct {
	cluster     *Cluster
	host        int // its computer
	protocol    *workload.Client
	connections []*connection // by address
	lastFrame   []byte        // the newest message, for strangers that send it again
	// Messages of this client may arrive late on rivals: its older connections, and those of
	// thieves.
	rivals     []*link
	bornView   uint32 // of several replicas: the view in which its session began
	askedAgain bool   // on this connection or the one before, so that a reply may come twice
}

// twice is why the server may close the connection of a client that has asked again.
const twice = "a reply may come twice, and the second may be under way when the next one is due"

// nextNs is the time at which the client needs a tick.
func (c *client) nextNs() uint64 {
	next := c.protocol.NextNs() - wallBaseNs
	for _, o := range c.connections {
		if o.link == nil {
			next = min(next, o.retryNs)
		}
	}
	return next
}

// links calls do for every open connection.
func (c *client) links(do func(l *link)) {
	for _, o := range c.connections {
		if o.link != nil {
			do(o.link)
		}
	}
}

// anyLink is one of the open connections, nil if there is none.
func (c *client) anyLink() *link {
	return c.connections[c.cluster.world.random.IntN(len(c.connections))].link
}

// pardon lets the servers close all connections of the client.
func (c *client) pardon(excuse string) {
	c.links(func(l *link) { l.pardon(excuse) })
}

func (c *client) tick() {
	w := c.cluster.world
	for _, o := range c.connections {
		o.connect()
	}
	frames := c.protocol.Tick(wallBaseNs + w.events.nowNs)
	if e := c.protocol.InFlight(); e != nil && e.Sends > 1 {
		c.askedAgain = true
		c.pardon(twice)
	}
	for _, frame := range frames {
		c.lastFrame = frame.Bytes
		l := c.connections[frame.Replica].link
		w.note("client asks: operation, link", uint64(frame.Bytes[196]), l.number())
		if l != nil {
			c.say(c.connections[frame.Replica].machine, "->", frame.Bytes)
		}
		if l != nil {
			l.write(frame.Bytes)
		}
	}
}

// say adds a line about a message from or to the client to the trace of a cluster of several.
func (c *client) say(m *Machine, way string, frame []byte) {
	w := c.cluster.world
	if !w.options.Trace || c.cluster.several == nil {
		return
	}
	h, _, err := model.ParseFrame(frame)
	if err != nil {
		return
	}
	text := map[uint8]string{model.CommandPing: "ping", model.CommandPong: "pong", model.CommandEviction: "eviction"}[h.Command]
	switch h.Command {
	case model.CommandRequest:
		text = fmt.Sprintf("request %d, operation %d", h.Request, h.Operation)
	case model.CommandReply:
		text = fmt.Sprintf("reply to request %d, op %d, view %d", h.Request, h.Op, h.View)
	}
	w.line(fmt.Sprintf("C%04x %s R%d  %s", h.Client.High>>48, way, m.index, text))
}

// take receives a frame from a connection. It tells whether the connection goes on.
func (c *client) take(o *connection, frame []byte) bool {
	w, l := c.cluster.world, o.link
	if l.spoiled && model.CheckFrame(frame, c.cluster.modelLimits.MessageBytesMax) != nil {
		l.breakOff()
		return false
	}
	w.note("client gets: command, bytes", uint64(frame[114]), uint64(len(frame)))
	c.say(o.machine, "<-", frame)
	c.cluster.judge.frame(o.machine.view(), frame)
	l.heard = true
	if s := c.cluster.several; s != nil {
		s.markFrame(c, o.machine, frame)
	}
	id := c.protocol.ID()
	verdict, err := c.protocol.Receive(wallBaseNs+w.events.nowNs, int(o.machine.replicaIndex()), frame)
	if err != nil {
		w.fail("client %x: %v", c.protocol.ID(), err)
	}
	if verdict == workload.Damaged {
		w.fail("client %x gets a damaged message", c.protocol.ID())
	}
	if c.protocol.ID() != id {
		c.pardon("its client has a new id")
	}
	c.finished()
	return true
}

// finished passes finished exchanges to the judge.
func (c *client) finished() {
	for _, e := range c.protocol.Take() {
		c.cluster.exchangesCount++
		if e.Evicted == model.EvictNoSession {
			c.cluster.world.result.EvictionsCount++
		}
		c.cluster.judge.exchange(e)
	}
}

// restart ends the client's process and starts it again.
func (c *client) restart() {
	c.links((*link).breakOff)
	c.protocol.Restart(wallBaseNs + c.cluster.world.events.nowNs)
	c.finished()
}

func (c *client) release() uint32 { return 17<<8 | 9 }

// addClients adds clients that know the addresses of the cluster.
func (c *Cluster) addClients(count int, source workload.Source, pauseNs uint64) {
	releases := []uint32{16<<8 | 4, 16<<8 | 30, 16<<8 | 60, 17<<8 | 2, 17<<8 | 9}
	for range count {
		one := &client{cluster: c, host: c.world.newHost()}
		for _, a := range c.drawAddresses() {
			one.connections = append(one.connections, &connection{client: one, address: a})
		}
		one.protocol = workload.NewClient(workload.ClientConfig{
			Cluster:  number(c.id),
			Seed:     c.world.random.Uint64(),
			Replicas: len(one.connections),
			Release:  releases[c.world.random.IntN(len(releases))],
			Limits:   c.modelLimits,
			PauseNs:  pauseNs,
		}, source, wallBaseNs+c.world.events.nowNs)
		c.clients = append(c.clients, one)
	}
	c.mostClients = max(c.mostClients, len(c.clients))
}

// drawAddresses draws what a client is told of the cluster. Most know the one address that it has.
// Others know it twice, as if it had two names, or know addresses at which nobody answers.
func (c *Cluster) drawAddresses() (list []address) {
	r := c.world.random
	for _, m := range c.machines {
		if m.isStandby() {
			break // its clients would get no answer
		}
		list = append(list, address{machine: m})
	}
	if c.several != nil || r.IntN(3) != 0 {
		return list
	}
	for range 1 + r.IntN(2) {
		list = append(list, [...]address{{machine: c.machines[0]}, {}, {silent: true}}[r.IntN(3)])
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
