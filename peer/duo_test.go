package peer

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// duo is two hubs and the bytes between them. Bytes arrive in chunks, sends end late, the kernel's
// buffers are full, connections break.
type duo struct {
	t      testing.TB
	random *rand.Rand
	nowNs  uint64
	hubs   [2]*hubSide
	faulty bool
}

// hubSide is one process: its hub, port, slots and leases.
type hubSide struct {
	*Hub
	duo      *duo
	index    int
	slots    [][]byte // nil: lent to the hub
	free     []uint32
	leases   map[Lease][]byte // bodies that are lent
	next     Lease
	pipes    map[uint32]*pipe // by place
	isLive   bool
	resolves []uint64
	sent     [][]byte // messages that were taken, and have not arrived
	got      int
	dropped  int
	faults   int
	numbers  uint64
	refusals []Refusal
}

// pipe is one end of a connection at the port.
type pipe struct {
	side      *hubSide
	other     *pipe
	place     uint32
	known     bool
	arriving  []byte
	into      []byte // of the receive that is under way
	sending   []byte // what the kernel has not taken yet
	isSending bool
	closed    bool // by this side
	broken    bool
	connected bool // the connector was told
}

const kernelBytes = 20_000

// Take implements Slots.
func (s *hubSide) Take(e *Envelope) (slot uint32, memory []byte, ok bool) {
	if len(s.free) == 0 {
		return 0, nil, false
	}
	slot = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return slot, s.slots[slot][:InnerBytes+e.BodyBytes], true
}

func (s *hubSide) slotBack(slot uint32) {
	if slices.Contains(s.free, slot) {
		s.duo.t.Fatalf("slot %d comes back twice", slot)
	}
	s.free = append(s.free, slot)
}

func newDuo(t testing.TB, random *rand.Rand, keys ...[KeyBytes]byte) *duo {
	d := &duo{t: t, random: random, nowNs: 1}
	b := testBounds()
	for i := range d.hubs {
		self := testSelf(uint8(2 * i))
		self.Keys = NewKeys(keys...)
		s := &hubSide{duo: d, index: i, leases: map[Lease][]byte{}, pipes: map[uint32]*pipe{}}
		for range 3 {
			s.free = append(s.free, uint32(len(s.slots)))
			s.slots = append(s.slots, make([]byte, 1<<20))
		}
		s.Hub = NewHub(self, &b, [SeedBytes]byte{byte(i), byte(random.Uint32())}, s, make([]byte, 512))
		d.hubs[i] = s
	}
	return d
}

// perform carries out what a hub wants.
func (s *hubSide) perform() {
	d := s.duo
	for _, a := range slices.Clone(s.Actions) {
		p := s.pipes[a.Place]
		switch a.Kind {
		case HubResolve:
			if a.Peer == 0 {
				s.resolves = append(s.resolves, a.Attempt)
			}
		case HubConnect:
			if a.Peer != 0 {
				d.t.Fatal("it connects to nobody")
			}
			from := &pipe{side: s, place: a.Place, known: true}
			from.other = &pipe{side: d.hubs[0], other: from}
			s.pipes[a.Place] = from
		case HubReceive:
			if p.into != nil {
				d.t.Fatal("two receives are under way")
			}
			p.into = a.Buffer
		case HubSend:
			if p.isSending {
				d.t.Fatal("two sends are under way")
			}
			p.isSending, p.sending = true, slices.Clone(a.Buffer)
			if a.Lease != NoLease {
				body, ok := s.leases[a.Lease]
				if !ok || len(body) != int(a.BodyBytes) {
					d.t.Fatalf("lease %d is not lent", a.Lease)
				}
				p.sending = append(p.sending, body...)
			}
		case HubClose:
			p.closed = true
		case HubMessage:
			s.take(&a)
		case HubSlotBack:
			s.slotBack(a.Slot)
		case HubReturned:
			if _, ok := s.leases[a.Lease]; !ok {
				d.t.Fatalf("lease %d comes back twice", a.Lease)
			}
			delete(s.leases, a.Lease)
		case HubLive:
			if s.isLive {
				d.t.Fatal("two connections live")
			}
			s.isLive = true
		case HubLost:
			if !s.isLive {
				d.t.Fatal("a connection is lost twice")
			}
			s.isLive = false
		case HubFault:
			s.faults++
		case HubRefused:
			s.refusals = append(s.refusals, a.Refusal)
		}
	}
	s.Reset()
}

// take compares a message with those that the other side has sent.
func (s *hubSide) take(a *HubAction) {
	other := s.duo.hubs[1-s.index]
	message := s.slots[a.Slot][:InnerBytes+a.Envelope.BodyBytes]
	at := slices.IndexFunc(other.sent, func(m []byte) bool { return bytes.Equal(m, message) })
	if at < 0 {
		s.duo.t.Fatalf("a message that was not sent: %s %x", a.Envelope.Command, message[:8])
	}
	other.sent = slices.Delete(other.sent, at, at+1)
	s.got++
	s.slotBack(a.Slot)
}

// offer sends a random message, with a number in it.
func (s *hubSide) offer() {
	d := s.duo
	all := samples()
	one := &all[d.random.IntN(len(all))]
	if d.random.IntN(2) == 0 {
		one = &all[0]
	}
	s.numbers++
	if ping, ok := one.inner.(*Ping); ok {
		ping.ClockNs = s.numbers
	}
	head := one.encode()[:HeadBytes]
	e := one.envelope()
	lease := NoLease
	if len(one.body) > 0 {
		lease = s.next
		s.next++
		s.leases[lease] = one.body
	}
	if s.Send(uint8(2-2*s.index), &e, head, lease, d.nowNs) {
		s.sent = append(s.sent, append(slices.Clone(head[EnvelopeBytes:]), one.body...))
	} else {
		s.dropped++
	}
	s.perform()
}

// step lets one random thing happen.
func (d *duo) step() {
	d.nowNs += d.random.Uint64N(4 * millisecond)
	s := d.hubs[d.random.IntN(2)]
	if s.NextNs() <= d.nowNs {
		s.Tick(d.nowNs)
		s.perform()
	}
	if len(s.resolves) > 0 {
		s.Resolved(0, s.resolves[0], [18]byte{}, true, d.nowNs)
		s.resolves = s.resolves[1:]
		s.perform()
	}
	for _, at := range sortedKeys(s.pipes) {
		if p := s.pipes[at]; p != nil {
			d.move(p)
		}
	}
	if d.random.IntN(3) == 0 {
		s.offer()
	}
}

func sortedKeys(m map[uint32]*pipe) (keys []uint32) {
	for at := range m {
		keys = append(keys, at)
	}
	slices.Sort(keys)
	return keys
}

// move lets something happen at one end of a connection.
func (d *duo) move(p *pipe) {
	s := p.side
	switch {
	case p.closed:
		if d.random.IntN(2) == 0 {
			delete(s.pipes, p.place)
			p.other.broken, p.into = true, nil
			s.Closed(p.place, d.nowNs)
			s.perform()
		}
		return
	case !p.connected && s.index == 1:
		p.connected = true
		s.Connected(p.place, d.nowNs)
		s.perform()
		return
	case d.faulty && d.random.IntN(400) == 0:
		p.broken, p.other.broken = true, true
	}
	switch d.random.IntN(3) {
	case 0: // the kernel takes bytes
		if room := kernelBytes - len(p.other.arriving); p.isSending && room > 0 && !p.other.closed {
			n := min(len(p.sending), room, 1+d.random.IntN(kernelBytes))
			if d.faulty && d.random.IntN(300) == 0 {
				p.sending[d.random.IntN(n)] ^= 1
			}
			p.other.arriving = append(p.other.arriving, p.sending[:n]...)
			if p.sending = p.sending[n:]; len(p.sending) == 0 {
				p.isSending = false
				s.Sent(p.place, true, d.nowNs)
				s.perform()
			}
		}
	case 1: // a receive ends
		d.arrive(p)
	case 2:
		if !p.other.known && s.index == 1 {
			d.arrive(p.other)
		}
	}
}

// arrive ends a receive, or tells of a new connection.
func (d *duo) arrive(p *pipe) {
	s := p.side
	if !p.known {
		if len(p.arriving) < len(magic) || p.broken || !IsPeer(p.arriving[:len(magic)]) {
			return
		}
		first := min(len(p.arriving), len(magic)+d.random.IntN(FrameBytes-len(magic)+1))
		place, ok := s.Accepted(p.arriving[:first], d.nowNs)
		if !ok {
			d.t.Fatal("no place for a connection")
		}
		p.known, p.connected, p.place, p.arriving = true, true, place, p.arriving[first:]
		s.pipes[place] = p
		s.perform()
		return
	}
	if p.into == nil {
		return
	}
	n := 0
	if len(p.arriving) > 0 {
		n = copy(p.into[:min(len(p.into), 1+d.random.IntN(3000))], p.arriving)
		p.arriving = p.arriving[n:]
	} else if !p.broken {
		return
	}
	p.into = nil
	s.Received(p.place, int32(n), d.nowNs)
	s.perform()
}
