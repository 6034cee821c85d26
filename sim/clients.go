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
	world       *World
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
	w := c.world
	now := w.events.nowNs
	if c.link == nil && now >= c.reconnectNs {
		c.stream = workload.NewStream(w.modelLimits.MessageBytesMax)
		if c.link = w.network.connect(c); c.link == nil {
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
	w := c.world
	frames, err := c.stream.Push(data)
	if err != nil {
		w.fail("the server sends bytes that are no messages: %v", err)
	}
	for _, frame := range frames {
		w.note("client gets: command, bytes", uint64(frame[114]), uint64(len(frame)))
		w.judge.frame(frame)
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
		c.world.exchangesCount++
		if e.Evicted == model.EvictNoSession {
			c.world.result.EvictionsCount++
		}
		c.world.judge.exchange(e)
	}
}

// ended implements peer.
func (c *client) ended(l *link) {
	if l == c.link {
		c.link = nil
		c.rivals = append(c.rivals, l)
		c.reconnectNs = c.world.events.nowNs + c.world.random.Uint64N(100*nsPerMs)
	}
}

// restart ends the client's process and starts it again.
func (c *client) restart() {
	if c.link != nil {
		c.link.breakOff()
	}
	c.protocol.Restart(wallBaseNs + c.world.events.nowNs)
	c.take()
}

// stranger is a connection of no known client. Nothing that it sends may do harm.
type stranger struct {
	world  *World
	stream *workload.Stream
}

var _ peer = (*stranger)(nil)

func (s *stranger) received(_ *link, data []byte) {
	frames, err := s.stream.Push(data)
	if err != nil {
		s.world.fail("the server sends bytes that are no messages to a stranger: %v", err)
	}
	for _, frame := range frames {
		s.world.judge.frame(frame)
	}
}

func (s *stranger) ended(*link) {}

// intrude opens a connection that sends something invalid or unusual.
func (w *World) intrude() {
	s := &stranger{world: w, stream: workload.NewStream(w.modelLimits.MessageBytesMax)}
	l := w.network.connect(s)
	if l == nil {
		return
	}
	r := w.random
	someone := w.clients[r.IntN(len(w.clients))]
	header := model.Header{Cluster: w.clusterNumber, Release: someone.release(), Command: model.CommandPing,
		Client: model.Number{High: r.Uint64(), Low: 1}}
	frame := header.Frame(nil)
	switch r.IntN(14) {
	case 0: // noise
		frame = make([]byte, 1+r.IntN(2000))
		for i := range frame {
			frame[i] = byte(r.Uint32())
		}
	case 1: // a damaged header
		frame[r.IntN(len(frame))] ^= 1 << r.IntN(8)
	case 2: // a part of a header
		frame = frame[:1+r.IntN(255)]
	case 3: // another cluster
		header.Cluster = model.Num(77)
		frame = header.Frame(nil)
	case 4: // a message that is too large, or that never ends
		little(frame[96:], []uint32{1<<20 + 1, 1 << 31, 255, 70_000, 1 << 20}[r.IntN(5)])
		model.Seal(frame[:256])
	case 5: // a replica's command
		frame[114] = byte(r.IntN(26))
		model.Seal(frame)
	case 6: // silence
		frame = nil
	case 7, 8: // the message of another client again, as a proxy or a thief would send it; perhaps with a wrong body
		if someone.lastFrame == nil {
			break
		}
		someone.link.pardon("a thief sends what its client has sent")
		someone.rivals = append(someone.rivals, l)
		frame = append([]byte(nil), someone.lastFrame...)
		if r.IntN(2) == 0 {
			frame[r.IntN(len(frame))] ^= 1 << r.IntN(8)
		}
	case 9, 10, 11: // what somebody might send next, with one thing wrong
		var closes bool
		if frame, closes = w.forge(someone); frame == nil {
			break
		}
		if closes {
			someone.link.pardon("it has sent a message with a wrong checksum")
		}
		if someone.link != nil && r.IntN(2) == 0 { // from a client that is not quite right
			someone.link.write(frame)
			frame = nil
			break
		}
		someone.link.pardon("a thief sends what its client might send")
		someone.rivals = append(someone.rivals, l)
	case 12, 13: // somebody who only looks whether the server is there
		header.PingTimestamp = r.Uint64()
		frame = header.Frame(nil)
	}
	if len(frame) > 0 {
		l.write(frame)
	}
	l.later(r.Uint64N(2_000*nsPerMs), func() {
		if r.IntN(2) == 0 {
			l.hangUp()
		} else {
			l.breakOff()
		}
	})
}

// forge makes a request that no client sends, and that must never be in the log. closes: it ends
// its connection.
func (w *World) forge(c *client) (frame []byte, closes bool) {
	frame, what, closes := c.protocol.Forge(w.random)
	if frame != nil {
		w.judge.forged[model.Checksum(frame[:16])] = what
		w.note("forged: "+what, c.link.number(), 0)
	}
	return frame, closes
}

func little(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func (c *client) release() uint32 { return 17<<8 | 9 }
