package cluster

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"ledger/client"
	"ledger/wire"
)

const (
	probeEvery = 5 * time.Millisecond
	// probeRest is the pause between an answer and the next request, unless the probe is in a hurry.
	// A request each 5 ms would fill the log in a few seconds, and a replica that was down for longer
	// could not catch up.
	probeRest = 50 * time.Millisecond
)

// probe asks every replica every 5 ms, straight and not through the proxies, and notes the times of
// the answers. It is a client of its own whose request goes to all replicas at once until one of
// them has answered. So the longest time between two answers is that for which nobody served.
type probe struct {
	times
	parser  wire.Parser
	client  wire.U128
	lookup  []byte // the body of a request
	stop    chan struct{}
	running sync.WaitGroup

	mu       sync.Mutex
	frame    []byte // the request that waits for its answer
	number   uint32
	parent   wire.Checksum
	session  uint64
	view     uint32
	replica  int // the one that answered last
	answered bool
	last     time.Time // of the last answer
	rest     time.Duration
	governor *governor
	evicted  wire.EvictionReason
}

func newProbe(t testing.TB, g *group) *probe {
	t.Helper()
	p := &probe{parser: wire.NewParser(wire.U128{}, wire.SideClient), stop: make(chan struct{}), replica: -1, rest: probeRest,
		governor: &g.governor}
	var id [16]byte
	rand.Read(id[:])
	p.client = wire.U128FromBytes(id[:])
	message := client.NewMessage()
	client.View[wire.U128](message.Events(wire.OperationLookupAccounts, 1024))[0] = wire.U128From(1 << 60)
	p.lookup = message.Body()[:message.EndBatch(wire.OperationLookupAccounts, 1)]
	p.build(wire.OperationRegister, make([]byte, wire.RegisterBodyBytes))
	for _, port := range g.ports {
		p.running.Go(func() { p.ask(fmt.Sprintf("127.0.0.1:%d", port)) })
	}
	t.Cleanup(func() {
		close(p.stop)
		p.running.Wait()
		if p.evicted != 0 {
			t.Errorf("the probe was evicted: %v", p.evicted)
		}
	})
	return p
}

// build makes the next request. The caller holds mu, or nobody else knows the probe yet.
func (p *probe) build(operation wire.Operation, body []byte) {
	frame := make([]byte, wire.HeaderBytes+len(body))
	copy(frame[wire.HeaderBytes:], body)
	fields := wire.RequestFields{Client: p.client, Parent: p.parent, Session: p.session, Number: p.number, View: p.view,
		Release: wire.ReleaseCurrent, Operation: operation}
	wire.BuildRequest(wire.HeaderOf(frame), &fields, frame[wire.HeaderBytes:])
	p.frame, p.answered = frame, false
}

// ask sends the request to one replica again and again, over one connection after the other.
func (p *probe) ask(address string) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			continue
		}
		heard := make(chan struct{})
		p.running.Go(func() {
			defer close(heard)
			p.hear(connection)
		})
		for err == nil {
			select {
			case <-tick.C:
				if frame := p.request(); frame != nil {
					connection.SetWriteDeadline(time.Now().Add(patience))
					_, err = connection.Write(frame)
				}
			case <-heard:
				err = io.EOF
			case <-p.stop:
				err = io.EOF
			}
		}
		connection.Close()
		<-heard
	}
}

// hurry makes the probe ask anew as soon as it has an answer, or ends that.
func (p *probe) hurry(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = probeRest
	if on {
		p.rest = 0
	}
}

// request is what is to be sent now: nothing, the request that has no answer yet, or a new one, the
// lookup of an account that does not exist.
func (p *probe) request() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answered {
		if time.Since(p.last) < p.rest || p.rest > 0 && p.governor.isResting() {
			return nil
		}
		p.number++
		p.build(wire.OperationLookupAccounts, p.lookup)
	}
	return p.frame
}

// hear takes the answers that come over one connection, until it ends.
func (p *probe) hear(connection net.Conn) {
	header := new(wire.Header)
	for {
		if _, err := io.ReadFull(connection, header[:]); err != nil {
			return
		}
		if verdict, _ := p.parser.ParseHeader(header); verdict != wire.VerdictOK {
			return
		}
		if _, err := io.CopyN(io.Discard, connection, int64(header.BodyBytes())); err != nil {
			return
		}
		p.take(header)
	}
}

func (p *probe) take(header *wire.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch header.Command() {
	case wire.CommandEviction:
		p.evicted = header.EvictionReason()
	case wire.CommandReply:
		if p.answered || header.ReplyRequestChecksum() != wire.HeaderOf(p.frame).Checksum() {
			return // the same answer again
		}
		if p.session == 0 {
			p.session = header.ReplyOp()
		}
		p.parent, p.view = header.ReplyContext(), max(p.view, header.View())
		p.replica, p.answered = int(header.Replica()), true
		p.last = time.Now()
		p.note(p.last)
	}
}

// primary waits for an answer to a request that begins now, and returns who gave it.
func (p *probe) primary(g *group) (replica int) {
	g.t.Helper()
	p.mu.Lock()
	first := p.number + 1
	if p.session == 0 {
		first = 0
	}
	p.mu.Unlock()
	g.await("the probe is answered", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		replica = p.replica
		return p.answered && p.number >= first
	})
	return replica
}

// times are moments of answers.
type times struct {
	noteMu sync.Mutex
	all    []time.Time
}

func (n *times) note(at time.Time) {
	n.noteMu.Lock()
	defer n.noteMu.Unlock()
	n.all = append(n.all, at)
}

// since tells whether an answer came after a moment.
func (n *times) since(moment time.Time) bool {
	n.noteMu.Lock()
	defer n.noteMu.Unlock()
	return len(n.all) > 0 && n.all[len(n.all)-1].After(moment)
}

// longest is the longest time without an answer that ended in (from, to]. If no answer came until
// then, the time since the last one counts.
func (n *times) longest(from, to time.Time) (longest time.Duration) {
	n.noteMu.Lock()
	defer n.noteMu.Unlock()
	last := from
	for _, at := range n.all {
		switch {
		case !at.After(from):
			last = at
		case at.After(to):
			return max(longest, to.Sub(last))
		default:
			longest = max(longest, at.Sub(last))
			last = at
		}
	}
	return max(longest, to.Sub(last))
}
