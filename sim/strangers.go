package sim

import (
	"ledger/sim/model"
	"ledger/sim/workload"
)

// stranger is a connection of no known client. Nothing that it sends may do harm.
type stranger struct {
	machine    *Machine
	stream     *workload.Stream
	isAttacker bool // it speaks the protocol of replicas
}

var _ peer = (*stranger)(nil)

func (s *stranger) received(_ *link, data []byte) {
	if s.isAttacker {
		return
	}
	frames, err := s.stream.Push(data)
	if err != nil {
		s.machine.fail("the server sends bytes that are no messages to a stranger: %v", err)
	}
	for _, frame := range frames {
		s.machine.cluster.judge.frame(s.machine.view(), frame)
	}
}

func (s *stranger) ended(*link) {}

// intrude opens a connection that sends something invalid or unusual.
func (m *Machine) intrude() {
	s := &stranger{machine: m, stream: workload.NewStream(m.cluster.modelLimits.MessageBytesMax)}
	l := m.network.connect(s)
	if l == nil {
		return
	}
	r := m.random
	someone := m.cluster.clients[r.IntN(len(m.cluster.clients))]
	header := model.Header{Cluster: number(m.cluster.id), Release: someone.release(), Command: model.CommandPing,
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
		someone.pardon("a thief sends what its client has sent")
		someone.rivals = append(someone.rivals, l)
		frame = append([]byte(nil), someone.lastFrame...)
		if r.IntN(2) == 0 {
			frame[r.IntN(len(frame))] ^= 1 << r.IntN(8)
		}
	case 9, 10, 11: // what somebody might send next, with one thing wrong
		var closes bool
		if frame, closes = m.forge(someone); frame == nil {
			break
		}
		if closes {
			someone.pardon("it has sent a message with a wrong checksum")
		}
		if l := someone.anyLink(); l != nil && r.IntN(2) == 0 { // from a client that is not quite right
			l.write(frame)
			frame = nil
			break
		}
		someone.pardon("a thief sends what its client might send")
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
func (m *Machine) forge(c *client) (frame []byte, closes bool) {
	frame, what, closes := c.protocol.Forge(m.random)
	if frame != nil {
		m.cluster.judge.forged[model.Checksum(frame[:16])] = what
		m.note("forged: "+what, 0, 0)
	}
	return frame, closes
}

func little(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}
