package peer

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// traced is a duo in which everything happens at once and in order, and is written down.
type traced struct {
	*duo
	text string
}

func (d *traced) say(format string, arguments ...any) {
	d.text += fmt.Sprintf(format+"\n", arguments...)
}

// name of what a send carries.
func sentName(buffer []byte) string {
	if IsPeer(buffer[:len(magic)]) {
		return [...]string{"", "hello", "answer", "confirm", "refusal"}[buffer[18]]
	}
	return Command(buffer[envelopeCommandAt]).String()
}

// write notes the actions of a side, and carries them out.
func (d *traced) write(s *hubSide) {
	who := 2 * s.index
	for i := range s.Actions {
		a := &s.Actions[i]
		switch a.Kind {
		case HubResolve:
			if a.Peer == 0 {
				d.say("%d resolve the address of %d, try %d", who, a.Peer, a.Attempt)
			}
		case HubConnect:
			d.say("%d connect to %d", who, a.Peer)
		case HubSend:
			what := fmt.Sprintf("%d bytes", len(a.Buffer))
			if !IsPeer(a.Buffer[:len(magic)]) {
				what = fmt.Sprintf("sequence %d, %s", little64(a.Buffer[TagBytes:]), what)
			}
			if a.BodyBytes > 0 {
				what += fmt.Sprintf(" and a body of %d", a.BodyBytes)
			}
			d.say("%d -> %s: %s", who, sentName(a.Buffer), what)
		case HubClose:
			d.say("%d close", who)
		case HubMessage:
			d.say("%d <- %s of %d, in a slot", who, a.Envelope.Command, a.Peer)
		case HubReturned:
			d.say("%d lease %d is back", who, a.Lease)
		case HubSlotBack:
			d.say("%d slot %d is back", who, a.Slot)
		case HubLive:
			d.say("%d connected with %d", who, a.Peer)
		case HubLost:
			d.say("%d no longer connected with %d", who, a.Peer)
		case HubRefused:
			d.say("%d log: %s", who, a.Refusal.Error())
		case HubFault:
			d.say("%d log: %s", who, a.Fault.Error())
		}
	}
	s.perform()
}

// settle lets happen what can happen without more time.
func (d *traced) settle() {
	for isBusy := true; isBusy; {
		isBusy = false
		for _, s := range d.hubs {
			for ; len(s.resolves) > 0; isBusy = true {
				s.Resolved(0, s.resolves[0], [18]byte{}, true, d.nowNs)
				s.resolves = s.resolves[1:]
				d.write(s)
			}
			for _, at := range sortedKeys(s.pipes) {
				if p := s.pipes[at]; p != nil && d.once(p) {
					isBusy = true
				}
			}
		}
	}
}

// once lets one thing happen at an end of a connection.
func (d *traced) once(p *pipe) bool {
	s := p.side
	switch {
	case p.closed:
		delete(s.pipes, p.place)
		p.other.broken, p.into = true, nil
		s.Closed(p.place, d.nowNs)
	case !p.connected && s.index == 1:
		p.connected = true
		s.Connected(p.place, d.nowNs)
	case p.isSending:
		p.other.arriving = append(p.other.arriving, p.sending...)
		p.isSending, p.sending = false, nil
		s.Sent(p.place, true, d.nowNs)
	case p.into != nil && len(p.arriving) > 0:
		n := copy(p.into, p.arriving)
		p.into, p.arriving = nil, p.arriving[n:]
		s.Received(p.place, int32(n), d.nowNs)
	case p.into != nil && p.broken:
		p.into = nil
		s.Received(p.place, 0, d.nowNs)
	case !p.other.known && len(p.other.arriving) >= FrameBytes && s.index == 1:
		to := p.other
		place, _ := to.side.Accepted(to.arriving[:FrameBytes], d.nowNs)
		to.known, to.connected, to.place, to.arriving = true, true, place, to.arriving[FrameBytes:]
		to.side.pipes[place] = to
		d.write(to.side)
		return true
	default:
		return false
	}
	d.write(s)
	return true
}

// wait passes time.
func (d *traced) wait(ns uint64) {
	for end := d.nowNs + ns; ; {
		next := min(d.hubs[0].NextNs(), d.hubs[1].NextNs())
		if next > end {
			d.nowNs = end
			return
		}
		d.nowNs = max(d.nowNs, next)
		before := len(d.text)
		for _, s := range d.hubs {
			s.Tick(d.nowNs)
			d.write(s)
		}
		if d.settle(); len(d.text) > before {
			d.text = d.text[:before] + fmt.Sprintf("-- at %d ms\n", d.nowNs/millisecond) + d.text[before:]
		}
	}
}

// send sends the sample of a command from a side.
func (d *traced) send(side int, command Command) {
	for _, one := range samples() {
		if one.command != command {
			continue
		}
		s := d.hubs[side]
		head, e, lease := one.encode()[:HeadBytes], one.envelope(), NoLease
		if len(one.body) > 0 {
			lease = s.next
			s.next++
			s.leases[lease] = one.body
		}
		s.Send(uint8(2-2*side), &e, head, lease, d.nowNs)
		s.sent = append(s.sent, append(head[EnvelopeBytes:len(head):len(head)], one.body...))
		d.write(s)
	}
}

// Goal: the protocol, step by step, to read. Replica 2 connects to replica 0.
func TestTrace(t *testing.T) {
	d := &traced{duo: newDuo(t, rand.New(rand.NewPCG(1, 0)))}
	for _, s := range d.hubs {
		s.Hub.table.random = newRandom([SeedBytes]byte{byte(s.index)})
	}
	d.say("# Two replicas get to know each other.")
	d.wait(millisecond)
	d.say("\n# Acknowledgements go before prepares, and each body's lease comes back.")
	d.send(0, CommandPrepare)
	d.send(0, CommandPrepare)
	d.send(0, CommandCommit)
	d.settle()
	d.send(1, CommandPrepareOK)
	d.settle()
	d.say("\n# The connection breaks while a message is sent and another one waits. Replica 2 connects again.")
	d.send(0, CommandPrepare)
	d.send(0, CommandBlock)
	for _, s := range d.hubs {
		for _, at := range sortedKeys(s.pipes) {
			s.pipes[at].broken, s.pipes[at].isSending, s.pipes[at].sending = true, false, nil
		}
	}
	d.settle()
	d.wait(150 * millisecond)
	d.say("\n# A bit is turned on the way.")
	d.send(1, CommandPing)
	for _, at := range sortedKeys(d.hubs[1].pipes) {
		d.hubs[1].pipes[at].sending[100] ^= 4
	}
	d.settle()
	d.say("\n# Replica 0 is formatted anew with other options. Both log why they do not speak to each other.")
	d.hubs[0].table.self.Fixed[14] = 128
	d.wait(150 * millisecond)
	golden(t, "trace.golden", d.text)
}
