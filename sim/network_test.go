package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"ledger/internal/ports"
)

// listener is a peer that remembers.
type listener struct {
	got  []byte
	gone bool
}

func (p *listener) received(_ *link, data []byte) { p.got = append(p.got, data...) }
func (p *listener) ended(*link)                   { p.gone = true }

func newNetworkBench(seed uint64) (*events, *Network) {
	q := &events{}
	n := newNetwork(q.agenda(), rand.New(rand.NewPCG(seed, 0)), 3, 3, func(format string, arguments ...any) {
		panic(violation{fmt.Sprintf(format, arguments...)})
	})
	n.faulty = true
	return q, n
}

// Goal: bytes arrive in order in both directions, cut into any pieces, and the end comes after
// them.
func TestNetworkStreams(t *testing.T) {
	for seed := range uint64(50) {
		q, n := newNetworkBench(seed)
		p := &listener{}
		l := n.connect(p)
		var sent, echoed []byte
		for i := range 20 {
			data := bytes.Repeat([]byte{byte(i + 1)}, 1+int(seed)*i)
			sent = append(sent, data...)
			l.write(data)
		}
		buffer, out, answer := make([]byte, 100), make([]byte, 0, 100), []byte(nil)
		closed := false
		var some [4]ports.NetworkEvent
		for i := 0; !closed; i++ {
			if i == 100_000 {
				t.Fatalf("seed %d: it never ends", seed)
			}
			q.nowNs = min(q.nextNs(), q.nowNs+nsPerMs)
			q.runDue()
			for _, e := range some[:n.Poll(some[:])] {
				switch e.Kind {
				case ports.NetworkAccepted:
					n.Receive(e.Connection, buffer)
				case ports.NetworkReceived:
					echoed = append(echoed, buffer[:e.Bytes]...)
					answer = append(out, buffer[:e.Bytes]...)
					n.Send(e.Connection, answer)
				case ports.NetworkSent:
					if len(echoed) == len(sent) {
						n.Close(e.Connection)
					} else {
						n.Receive(e.Connection, buffer)
					}
				case ports.NetworkClosed:
					closed = true
				}
			}
		}
		for q.nextNs() != ^uint64(0) {
			q.nowNs = q.nextNs()
			q.runDue()
		}
		if !bytes.Equal(echoed, sent) || !bytes.Equal(p.got, sent) || !p.gone {
			t.Fatalf("seed %d: %d bytes sent, %d arrived, %d came back, the peer knows the end: %v", seed, len(sent), len(echoed), len(p.got),
				p.gone)
		}
	}
}

// Goal: a connection that breaks gives its outstanding operations an error each; Close takes back
// what was not polled.
func TestNetworkBreaks(t *testing.T) {
	q, n := newNetworkBench(1)
	l := n.connect(&listener{})
	var some [8]ports.NetworkEvent
	n.Poll(some[:])
	n.Receive(l.id, make([]byte, 10))
	n.Send(l.id, make([]byte, 1000))
	l.breakOff()
	kinds := map[ports.NetworkEventKind]int32{}
	for len(n.ready) > 0 {
		for _, e := range some[:n.Poll(some[:])] {
			kinds[e.Kind] = e.Bytes
		}
	}
	if kinds[ports.NetworkReceived] >= 0 || kinds[ports.NetworkSent] >= 0 {
		t.Errorf("after a reset: %v", kinds)
	}
	n.Receive(l.id, make([]byte, 10)) // an error as well, but nobody looks
	n.Close(l.id)
	for q.nextNs() != ^uint64(0) {
		q.nowNs = q.nextNs()
		q.runDue()
	}
	if count := n.Poll(some[:]); count != 1 || some[0].Kind != ports.NetworkClosed {
		t.Errorf("after Close: %d events, %+v", count, some[0])
	}
	for range len(n.links) {
		if n.connect(&listener{}) == nil {
			t.Error("a closed connection still takes a place")
		}
	}
	if n.connect(&listener{}) != nil {
		t.Error("there is room for one more than the limit")
	}
}

// Goal: what breaks the contract of the port is found.
func TestNetworkContract(t *testing.T) {
	cases := []struct {
		name string
		do   func(q *events, n *Network, l *link)
	}{
		{"two receives", func(_ *events, n *Network, l *link) {
			n.Receive(l.id, make([]byte, 1))
			n.Receive(l.id, make([]byte, 1))
		}},
		{"two sends", func(_ *events, n *Network, l *link) { n.Send(l.id, make([]byte, 1)); n.Send(l.id, make([]byte, 1)) }},
		{"a send after close", func(_ *events, n *Network, l *link) { n.Close(l.id); n.Send(l.id, make([]byte, 1)) }},
		{"a message that changes while it is sent", func(q *events, n *Network, l *link) {
			buffer := make([]byte, 1000)
			n.Send(l.id, buffer)
			buffer[999]++
			for q.nextNs() != ^uint64(0) {
				q.nowNs = q.nextNs()
				q.runDue()
			}
		}},
	}
	for _, c := range cases {
		found := func() (found bool) {
			defer func() { _, found = recover().(violation) }()
			q, n := newNetworkBench(1)
			c.do(q, n, n.connect(&listener{}))
			return false
		}()
		if !found {
			t.Errorf("%s is not found", c.name)
		}
	}
}

// Goal: a server that closes the connection of a client is called wrong, unless the client or the
// world gave it a reason.
func TestNetworkCloses(t *testing.T) {
	for _, c := range []struct {
		name  string
		allow func(q *events, n *Network, l *link)
		right bool
	}{
		{"nothing was wrong", func(*events, *Network, *link) {}, false},
		{"a stranger's", func(_ *events, _ *Network, l *link) { l.isClient = false }, true},
		{"pardoned", func(_ *events, _ *Network, l *link) { l.pardon("a test") }, true},
		{"broken", func(_ *events, _ *Network, l *link) { l.breakOff() }, true},
		{"hung up", func(_ *events, _ *Network, l *link) { l.hangUp() }, true},
		{"silent for 30 s", func(q *events, _ *Network, _ *link) { q.nowNs += silentNs }, true},
		{"old, and not silent", func(q *events, _ *Network, l *link) { q.nowNs += silentNs; l.heard = true }, false},
		{"as many as the server keeps", func(_ *events, n *Network, _ *link) { n.openMax = 2; n.connect(&listener{}) }, false},
		{"one more than the server keeps", func(_ *events, n *Network, _ *link) { n.openMax = 1; n.connect(&listener{}) }, true},
	} {
		q, n := newNetworkBench(1)
		l := n.connect(&listener{})
		l.isClient = true
		c.allow(q, n, l)
		failed := func() (failed bool) {
			defer func() { failed = recover() != nil }()
			n.Close(l.id)
			return false
		}()
		if failed == c.right {
			t.Errorf("%s: it is called wrong: %v, want %v", c.name, failed, !c.right)
		}
	}
}
