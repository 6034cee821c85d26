package peer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ledger/limits"
)

// world is processes with a Table each, and a network between them whose events come in random
// order.
type world struct {
	t           testing.TB
	random      *rand.Rand
	nowNs       uint64
	processes   []*process
	connections []*wireline
	events      []event
	sequence    int
	delayNsMax  uint64
	closeNsMax  uint64 // that the port takes to close a connection
	faulty      bool   // connections break, names do not resolve, connections fail
	listening   map[uint8]*process
	refusals    []string
}

// process is one start of a replica.
type process struct {
	table   *Table
	actions TableActions
	name    string
	dead    bool
	ends    map[uint32]*end // by place
	live    map[uint8]uint32
	changes uint64 // number of connections that began or ended
}

// wireline is a connection.
type wireline struct {
	ends [2]*end
}

// end of a connection at a process.
type end struct {
	of      *process
	line    *wireline
	side    int
	place   uint32
	known   bool   // the table knows it
	closing bool   // the table has closed it
	closed  bool   // and knows that it is gone
	lastNs  uint64 // when the last bytes arrive: their order is kept
}

func (e *end) other() *end { return e.line.ends[1-e.side] }

// event happens at a time.
type event struct {
	atNs     uint64
	sequence int
	do       func()
}

func newWorld(t testing.TB, random *rand.Rand) *world {
	return &world{t: t, random: random, nowNs: 1, listening: map[uint8]*process{}, delayNsMax: 50 * millisecond, closeNsMax: 100 * millisecond}
}

// start starts a process. It listens if no other one with its index does.
func (w *world) start(index uint8, processNumber uint64) *process {
	self := testSelf(index)
	self.Process = processNumber
	var seed [SeedBytes]byte
	putLittle64(seed[:], processNumber)
	name := fmt.Sprintf("%d/%x", index, processNumber)
	p := &process{table: NewTable(self, seed), ends: map[uint32]*end{}, live: map[uint8]uint32{}, name: name}
	p.actions = p.table.NewActions()
	w.processes = append(w.processes, p)
	if l := w.listening[index]; l == nil || l.dead {
		w.listening[index] = p
	}
	return p
}

// kill ends a process. With tell, its connections end for the others as well; else they hear
// nothing, as after a power cut.
func (w *world) kill(p *process, tell bool) {
	p.dead = true
	for _, at := range sortedPlaces(p.ends) {
		if e := p.ends[at]; tell {
			w.breakLine(e.line)
		}
	}
}

func sortedPlaces(ends map[uint32]*end) (places []uint32) {
	for at := range ends {
		places = append(places, at)
	}
	slices.Sort(places)
	return places
}

func (w *world) later(do func()) uint64 {
	atNs := w.nowNs + 1 + w.random.Uint64N(w.delayNsMax)
	w.at(atNs, do)
	return atNs
}

func (w *world) at(atNs uint64, do func()) {
	w.sequence++
	w.events = append(w.events, event{atNs, w.sequence, do})
}

// run runs until a time.
func (w *world) run(untilNs uint64) {
	for {
		next := -1
		for i := range w.events {
			e := &w.events[i]
			if next < 0 || e.atNs < w.events[next].atNs || e.atNs == w.events[next].atNs && e.sequence < w.events[next].sequence {
				next = i
			}
		}
		atNs, do := untilNs, func() {}
		if next >= 0 {
			atNs, do = w.events[next].atNs, w.events[next].do
		}
		var due *process
		for _, p := range w.processes {
			if n := p.table.NextNs(); !p.dead && n < atNs {
				due, atNs = p, n
			}
		}
		if atNs >= untilNs {
			w.nowNs = untilNs
			return
		}
		w.nowNs = max(w.nowNs, atNs)
		if due != nil {
			due.table.Tick(w.nowNs, &due.actions)
			w.perform(due)
			continue
		}
		w.events = slices.Delete(w.events, next, next+1)
		do()
	}
}

// perform carries out what a table wants, and checks it.
func (w *world) perform(p *process) {
	actions := slices.Clone(p.actions.All)
	p.actions.Reset()
	for i := range actions {
		a := actions[i]
		switch a.Kind {
		case ActionResolve:
			w.later(func() {
				if !p.dead {
					p.table.Resolved(a.Peer, a.Attempt, [18]byte{a.Peer}, !w.faulty || w.random.IntN(4) > 0, w.nowNs, &p.actions)
					w.perform(p)
				}
			})
		case ActionConnect:
			w.connect(p, a.Place, a.Address[0])
		case ActionSend:
			w.send(p.ends[a.Place], slices.Clone(a.Frame))
		case ActionClose:
			e := p.ends[a.Place]
			e.closing = true
			w.at(w.nowNs+1+w.random.Uint64N(w.closeNsMax), func() { w.end(e) })
		case ActionLive:
			if _, ok := p.live[a.Peer]; ok {
				w.t.Fatalf("%s has two connections to %d", p.name, a.Peer)
			}
			p.live[a.Peer] = a.Place
			p.changes++
			w.talk(p, a.Peer, a.Place)
		case ActionLost:
			if at, ok := p.live[a.Peer]; !ok || at != a.Place {
				w.t.Fatalf("%s loses a connection to %d that it does not have", p.name, a.Peer)
			}
			delete(p.live, a.Peer)
			p.changes++
		case ActionRefused:
			w.refusals = append(w.refusals, p.name+": "+a.Refusal.Error())
		}
	}
	count := 0
	for at := range p.table.places {
		if c := &p.table.places[at]; c.state == placeLive {
			count++
			if p.live[c.peer] != uint32(at) {
				w.t.Fatalf("%s: place %d is live, the connection to %d is another", p.name, at, c.peer)
			}
		}
	}
	if count != len(p.live) {
		w.t.Fatalf("%s has %d live places and %d connections", p.name, count, len(p.live))
	}
}

func (w *world) connect(p *process, at uint32, index uint8) {
	line := &wireline{}
	from := &end{of: p, line: line, place: at, known: true}
	p.ends[at] = from
	listener := w.listening[index]
	if listener == nil || listener.dead || w.faulty && w.random.IntN(4) == 0 {
		from.closing = true
		line.ends = [2]*end{from, {closed: true, side: 1, line: line}}
		w.later(func() { w.end(from) })
		return
	}
	line.ends = [2]*end{from, {of: listener, line: line, side: 1}}
	w.connections = append(w.connections, line)
	w.later(func() {
		if !p.dead && !from.closing {
			p.table.Connected(at, w.nowNs, &p.actions)
			w.perform(p)
		}
	})
}

// send brings bytes to the other end, in order.
func (w *world) send(e *end, data []byte) {
	to := e.other()
	atNs := max(to.lastNs, w.nowNs) + 1 + w.random.Uint64N(w.delayNsMax)
	to.lastNs = atNs
	w.at(atNs, func() { w.arrive(to, data) })
}

func (w *world) arrive(e *end, data []byte) {
	p := e.of
	if e.closed || e.closing || p == nil || p.dead {
		return
	}
	if !e.known {
		at, ok := p.table.Accepted(w.nowNs, &p.actions)
		if !ok {
			w.t.Fatalf("%s has no place for a connection", p.name)
		}
		e.known, e.place = true, at
		p.ends[at] = e
		w.perform(p)
	}
	if len(data) == FrameBytes {
		p.table.Frame(e.place, data, w.nowNs, &p.actions)
		w.perform(p)
		return
	}
	for peer := range limits.ReplicasMax {
		link, at := p.table.LinkOf(uint8(peer))
		if link == nil || at != e.place {
			continue
		}
		if f := open(link, data); f.Faulty() {
			w.t.Fatalf("%s: a message of %d: %s", p.name, peer, f.Error())
		}
		p.table.Heard(at, w.nowNs)
		return
	}
	w.t.Fatalf("%s: a message on a connection that is not identified", p.name)
}

// end tells the table of an end that it is gone, and then the other one.
func (w *world) end(e *end) {
	if e.closed {
		return
	}
	e.closed = true
	if e.known && !e.of.dead {
		e.of.table.Close(e.place, &e.of.actions)
		e.of.actions.All = slices.DeleteFunc(e.of.actions.All, func(a Action) bool { return a.Kind == ActionClose })
		e.of.table.Closed(e.place, w.nowNs, &e.of.actions)
		delete(e.of.ends, e.place)
		w.perform(e.of)
	}
	if other := e.other(); !other.closed && !e.of.dead {
		w.at(max(other.lastNs, w.nowNs)+1+w.random.Uint64N(w.delayNsMax), func() { w.end(other) })
	}
}

// breakLine ends a connection at both ends, each at a time of its own.
func (w *world) breakLine(line *wireline) {
	for _, e := range line.ends {
		w.later(func() { w.end(e) })
	}
}

// talk sends a ping every second while the connection is there.
func (w *world) talk(p *process, peer uint8, place uint32) {
	link, at := p.table.LinkOf(peer)
	e := p.ends[place]
	if p.dead || link == nil || at != place || e == nil || e.closing {
		return
	}
	s := samples()[0]
	message := s.encode()
	envelope := s.envelope()
	envelope.Author, envelope.Incarnation = p.table.self.Index, p.table.self.Incarnation
	envelope.Encode(message)
	link.Seal(message)
	w.send(e, message)
	w.at(w.nowNs+1000*millisecond, func() { w.talk(p, peer, place) })
}
