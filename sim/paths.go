package sim

import (
	"ledger/internal/ports"

	"golang.org/x/sys/unix"
)

// path is a directed link: it carries what the connections between two computers send in one
// direction. The path back is another one, and may be whole while this one is cut.
//
// Connections are TCP, so a path acts on them as networks act on TCP. A lost segment comes late,
// and so does everything behind it. Segments that overtake each other, or come twice, are put right
// within their connection, so they are only a delay. Messages overtake each other, or come twice,
// if they use several connections. A byte can change in a way that TCP's checksum does not see. A
// cut path holds what is on it. If it stays cut for too long, the sender gives up, and the other
// end hears of that late.
type path struct {
	world    *World
	from, to int // computers
	leastNs  uint64
	spreadNs uint64
	slow     bool
	lossOdds int    // one segment of so many is lost and sent again; 0: none
	bitOdds  int    // in one segment of so many a bit changes; 0: in none
	cutNs    uint64 // nothing arrives until then
}

// Times of a path.
const (
	resendNsMax    = 300 * nsPerMs    // until a lost segment is sent again
	patienceNs     = 1_000 * nsPerMs  // for this long, or twice as long, a sender waits for a cut path
	lateNsMax      = 10_000 * nsPerMs // until the other end hears that a connection is gone
	cutNsMax       = 4_000 * nsPerMs
	pathLeastNs    = 5_000
	pathSpreadNs   = 100_000
	pathFarNsMax   = 30 * nsPerMs // of a path between far computers
	bitOddsMin     = 100
	duplicatesOdds = 30 // one handshake of so many comes twice
)

// newPath draws a path. faulty: it may lose and change bytes.
func newPath(w *World, faulty bool) *path {
	p := &path{world: w, leastNs: pathLeastNs, spreadNs: pathSpreadNs}
	if w.random.IntN(16) == 0 {
		p.leastNs += w.random.Uint64N(pathFarNsMax)
	}
	if faulty {
		p.lossOdds = [4]int{40, 40, 10, 200}[w.random.IntN(4)]
		if w.random.IntN(6) == 0 {
			p.bitOdds = bitOddsMin << w.random.IntN(4)
		}
	}
	return p
}

func (p *path) isCut() bool { return p != nil && p.cutNs > p.world.events.nowNs }

func (p *path) delay() uint64 {
	r := p.world.random
	delay := p.leastNs + r.Uint64N(p.spreadNs)
	if p.slow || p.lossOdds > 0 && r.IntN(p.lossOdds) == 0 {
		delay += r.Uint64N(resendNsMax)
	}
	return delay
}

// cut makes the path carry nothing for a while.
func (p *path) cut() {
	p.cutNs = p.world.events.nowNs + p.world.random.Uint64N(cutNsMax)
	p.world.result.Coverage.PathsCut++
}

// heal ends all faults of the path.
func (p *path) heal() { p.slow, p.lossOdds, p.bitOdds, p.cutNs = false, 0, 0, 0 }

// lane is one direction of a connection: the segments that are on the path, in order.
type lane struct {
	path     *path // nil: on a bench
	lastNs   uint64
	segments []segment
	stuck    bool // the path is cut, and the sender waits
}

// segment is what happens when some bytes arrive.
type segment struct {
	dueNs uint64
	do    func()
}

// spoil changes a bit of data in some segments. The copy that it returns is the one on the way.
func (l *link) spoil(d *lane, data []byte) []byte {
	if d.path == nil || d.path.bitOdds == 0 || l.network.random.IntN(d.path.bitOdds) != 0 {
		return data
	}
	l.spoiled = true
	l.pardon("a byte has changed on the way")
	l.network.spoiledCount++
	if s := l.network.several(); s != nil {
		if _, ok := l.peer.(*far); ok {
			s.marks.add(MarkSpoiled)
		}
	}
	data = append([]byte(nil), data...)
	data[l.network.random.IntN(len(data))] ^= 1 << l.network.random.IntN(8)
	return data
}

// inOrder runs do after the delay of the path, and after everything that was sent on the lane
// before.
func (l *link) inOrder(d *lane, do func()) {
	n := l.network
	delay := uint64(0)
	if d.path != nil {
		delay = d.path.delay()
	} else {
		delay = n.delay()
	}
	d.lastNs = max(n.events.nowNs+delay, d.lastNs)
	d.segments = append(d.segments, segment{d.lastNs, do})
	n.events.after(d.lastNs-n.events.nowNs, func() { l.flow(d) })
}

// flow lets the segments arrive that are due, unless the path is cut.
func (l *link) flow(d *lane) {
	n := l.network
	for len(d.segments) > 0 && d.segments[0].dueNs <= n.events.nowNs {
		if d.path.isCut() {
			if !d.stuck {
				d.stuck = true
				n.events.after(patienceNs+n.random.Uint64N(patienceNs), func() { l.giveUp(d) })
			}
			n.events.after(min(d.path.cutNs-n.events.nowNs, 50*nsPerMs)+n.random.Uint64N(nsPerMs), func() { l.flow(d) })
			return
		}
		d.stuck = false
		do := d.segments[0].do
		d.segments = d.segments[1:]
		do()
	}
}

// giveUp ends a connection on whose lane nothing has arrived for too long. Its sender knows it at
// once, the other end later: no message about it gets through.
func (l *link) giveUp(d *lane) {
	n := l.network
	if !d.stuck || !d.path.isCut() || l.epoch != n.epoch || l.reset {
		return
	}
	n.gaveUpCount++
	d.segments, d.stuck = nil, false
	late := n.random.Uint64N(lateNsMax)
	if d == &l.in {
		l.endPeer()
		l.later(late, l.breakOff)
		return
	}
	l.resetHere()
	n.events.after(late, l.endPeer)
}

// resetHere is a reset that only this side knows of.
func (l *link) resetHere() {
	if l.serverClosed || l.reset {
		return
	}
	l.reset = true
	l.arrived = nil
	l.feed()
	if l.sending != nil {
		l.sending = nil
		l.network.push(ports.NetworkEvent{Kind: ports.NetworkSent, Connection: l.id, Bytes: -int32(unix.ECONNRESET)})
	}
}

// duplicate opens a connection that nobody uses: the handshake of another one has come twice. It
// breaks soon.
func (n *Network) duplicate() {
	if l := n.connect(nobody{}); l != nil {
		l.later(n.random.Uint64N(2*resendNsMax), l.breakOff)
	}
}

// nobody is the peer of a connection of which no program knows.
type nobody struct{}

func (nobody) received(*link, []byte) {}
func (nobody) ended(*link)            {}
