package net

import (
	"bytes"
	"encoding/binary"
	"testing"

	"ledger/internal/ports"
	"ledger/internal/seeded"
	"ledger/peer"
)

// attacker holds the network between the replicas of a world, which share a key that it has not. It
// reads all that they send, and decides what arrives. peerWorld fails if a message arrives that was
// not sent, or twice.
type attacker struct {
	*peerWorld
	// history has for each pair of replicas all connections, and what the first sent on each.
	history map[[2]int][][][]byte
	// do decides what arrives instead of a message; nil: the message.
	do func(from, to int, message []byte) []byte
}

func newAttacker(t *testing.T) *attacker {
	a := &attacker{peerWorld: newPeerWorld(t, seeded.Rand(t), 3), history: map[[2]int][][][]byte{}}
	a.change = func(_ int, self *peer.Self) { self.Keys = peer.NewKeys([peer.KeyBytes]byte{1, 2, 3}) }
	a.tap = a.pass1
	a.start()
	a.pass("the replicas are connected", a.allLive)
	a.talk()
	return a
}

// pass1 notes a message and passes on what the attack makes of it.
func (a *attacker) pass1(from, to int, message []byte) []byte {
	message = bytes.Clone(message)
	if isFrame(message, peer.FrameHello) {
		a.history[[2]int{from, to}] = append(a.history[[2]int{from, to}], nil)
		a.history[[2]int{to, from}] = append(a.history[[2]int{to, from}], nil)
	}
	connections := a.history[[2]int{from, to}]
	last := &connections[len(connections)-1]
	*last = append(*last, message)
	if a.do != nil {
		return a.do(from, to, message)
	}
	return message
}

func isFrame(message []byte, kind peer.FrameKind) bool {
	return len(message) == peer.FrameBytes && peer.IsPeer(message) && peer.FrameKind(message[18]) == kind
}

// recorded is message number i of the connection before the last ones from one replica to another:
// the frames of the handshake first.
func (a *attacker) recorded(from, to, connectionsBack, i int) []byte {
	connections := a.history[[2]int{from, to}]
	return connections[len(connections)-1-connectionsBack][i]
}

// end is the end at a replica of its connection with another one.
func (a *attacker) end(at, other int) *peerEnd {
	n := a.nodes[at]
	for i := range n.ends {
		if e := &n.ends[i]; e.open && e.other != nil && e.other.node == a.nodes[other] {
			return e
		}
	}
	a.t.Fatalf("replica %d has no connection with %d", at, other)
	return nil
}

// inject lets bytes arrive at a replica as if another one had sent them now.
func (a *attacker) inject(at, from int, bytes []byte) {
	e := a.end(at, from)
	e.arriving = append(e.arriving, bytes...)
	a.settle()
}

// stranger connects to a replica and sends bytes.
func (a *attacker) stranger(at int, bytes []byte) *peerEnd {
	n := a.nodes[at]
	e := n.free(int(PortConnectsReserved(&a.limits)))
	e.open, e.arriving, e.other = true, append([]byte{}, bytes...), &peerEnd{}
	n.tell(e, ports.NetworkAccepted, 0)
	a.settle()
	return e
}

// say sends a message from one replica to another one.
func (a *attacker) speak(from, to int, command peer.Command) {
	a.t.Helper()
	if !a.nodes[from].send(command, 1<<to) {
		a.t.Fatalf("replica %d has no room for a message", from)
	}
	a.settle()
}

// talk lets each replica send to each other one, and asserts that all of it arrives.
func (a *attacker) talk() {
	a.t.Helper()
	for from := range a.nodes {
		for to := range a.nodes {
			if from == to {
				continue
			}
			for _, command := range []peer.Command{peer.CommandPrepareOK, peer.CommandBlock, peer.CommandPing} {
				before := a.arrived
				if a.speak(from, to, command); a.arrived != before+1 {
					a.t.Fatalf("%s from %d to %d does not arrive", command, from, to)
				}
			}
		}
	}
}

// once makes what the attack does to the next message of a pair.
func (a *attacker) once(from, to int, do func(message []byte) []byte) {
	a.do = func(f, t int, message []byte) []byte {
		if f != from || t != to {
			return message
		}
		a.do = nil
		return do(message)
	}
}

// nothing drops a message, or the last one of several.
func nothing([]byte) []byte { return nil }

// between holds the next message of a pair, and makes of it and of the one after it what arrives.
func (a *attacker) between(from, to int, do func(first, second []byte) []byte) {
	var first []byte
	a.do = func(f, t int, message []byte) []byte {
		if f != from || t != to {
			return message
		}
		if first == nil {
			first = message
			return nil
		}
		a.do = nil
		return do(first, message)
	}
}

// reconnect breaks the connection of replicas 0 and 1, so that 1 will connect again.
func (a *attacker) reconnect() {
	e := a.end(1, 0)
	e.isOver = true
	e.part()
	a.settle()
}

// tampered turns a bit of a message.
func (a *attacker) tampered(message []byte, first, end int) []byte {
	at := first + a.random.IntN(end-first)
	message[at] ^= 1 << a.random.IntN(8)
	return message
}

func sum(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Goal: an attacker between the replicas who has not the key can neither inject, change, repeat,
// leave out, reorder or send back a message, nor move one from another connection. The replica at
// which it arrives closes the connection before anything of the message is used, counts it, and
// says so in one line with the address. Then the replicas connect again and go on.
func TestAttackerOnMessages(t *testing.T) {
	ok, block := peer.CommandPrepareOK, peer.CommandBlock
	const head = peer.HeadBytes
	for _, c := range []struct {
		name         string
		victim, from int
		attack       func(a *attacker)
	}{
		{"inject", 0, 1, func(a *attacker) {
			forged := bytes.Clone(a.recorded(1, 0, 0, 4))
			binary.LittleEndian.PutUint64(forged[16:], binary.LittleEndian.Uint64(forged[16:])+1)
			a.inject(0, 1, forged)
		}},
		{"inject at the connector", 1, 0, func(a *attacker) { a.inject(1, 0, make([]byte, head)) }},
		{"inject garbage", 0, 1, func(a *attacker) { a.inject(0, 1, bytes.Repeat([]byte{0x5a}, head)) }},
		{"inject a handshake", 0, 1, func(a *attacker) { a.inject(0, 1, sum(a.recorded(1, 0, 0, 0), a.recorded(1, 0, 0, 1))) }},
		{"repeat", 0, 1, func(a *attacker) {
			a.once(1, 0, func(m []byte) []byte { return sum(m, m) })
			a.speak(1, 0, ok)
		}},
		{"repeat an old one", 0, 1, func(a *attacker) { a.inject(0, 1, a.recorded(1, 0, 0, 2)) }},
		{"leave out", 0, 1, func(a *attacker) {
			a.once(1, 0, nothing)
			a.speak(1, 0, ok)
			a.speak(1, 0, ok)
		}},
		{"reorder", 0, 1, func(a *attacker) {
			a.between(1, 0, func(first, second []byte) []byte { return sum(second, first) })
			a.speak(1, 0, ok)
			a.speak(1, 0, ok)
		}},
		{"send back", 1, 0, func(a *attacker) {
			var taken []byte
			a.once(1, 0, func(m []byte) []byte { taken = m; return nil })
			a.speak(1, 0, ok)
			a.inject(1, 0, taken)
		}},
		{"send back to the acceptor", 0, 1, func(a *attacker) {
			var taken []byte
			a.once(0, 1, func(m []byte) []byte { taken = m; return nil })
			a.speak(0, 1, ok)
			a.inject(0, 1, taken)
		}},
		{"move from another replica's connection", 0, 1, func(a *attacker) {
			var taken []byte
			a.once(2, 0, func(m []byte) []byte { taken = bytes.Clone(m); return m })
			a.speak(2, 0, ok)
			a.inject(0, 1, taken) // the same place in the order
		}},
		{"move from an earlier connection", 0, 1, func(a *attacker) {
			a.reconnect()
			a.pass("the replicas are connected", a.allLive)
			a.once(1, 0, func([]byte) []byte { return a.recorded(1, 0, 1, 2) }) // the same place in the order
			a.speak(1, 0, ok)
		}},
		{"turn a bit of a head", 0, 1, func(a *attacker) {
			a.once(1, 0, func(m []byte) []byte { return a.tampered(m, 0, head) })
			a.speak(1, 0, block)
		}},
		{"turn a bit of a body", 0, 1, func(a *attacker) {
			a.once(1, 0, func(m []byte) []byte { return a.tampered(m, head, len(m)) })
			a.speak(1, 0, block)
		}},
		{"exchange bodies", 0, 1, func(a *attacker) {
			a.between(1, 0, func(first, second []byte) []byte {
				return sum(first[:head], second[head:], second[:head], first[head:])
			})
			a.speak(1, 0, block)
			a.speak(1, 0, block)
		}},
		{"cut a head", 0, 1, func(a *attacker) {
			a.between(1, 0, func(first, second []byte) []byte { return sum(first[:head-8], second) })
			a.speak(1, 0, ok)
			a.speak(1, 0, ok)
		}},
		{"cut a body", 0, 1, func(a *attacker) {
			a.between(1, 0, func(first, second []byte) []byte { return sum(first[:len(first)-8], second) })
			a.speak(1, 0, block)
			a.speak(1, 0, ok)
		}},
		{"put bytes between messages", 0, 1, func(a *attacker) {
			a.between(1, 0, func(first, second []byte) []byte { return sum(first, []byte{0}, second) })
			a.speak(1, 0, ok)
			a.speak(1, 0, ok)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttacker(t)
			n := a.nodes[c.victim]
			c.attack(a)
			a.do = nil
			if n.live[c.from] {
				t.Error("the connection goes on")
			}
			if got := n.stage.peers.hub.CountersOf(uint8(c.from)).Received; got.Forged != 1 || got.Malformed != 0 {
				t.Errorf("%d forged and %d malformed messages are counted, want one and none", got.Forged, got.Malformed)
			}
			if len(n.logs) != 1 || n.logs[0].Kind != LogPeerFault || n.logs[0].PeerFault.Authentic() || int(n.logs[0].Replica) != c.from ||
				n.logs[0].Peer == [18]byte{} {
				t.Errorf("it says %+v", n.logs)
			}
			for _, other := range a.nodes {
				if other != n && len(other.logs) > 0 {
					t.Errorf("replica %d says %+v", other.index, other.logs)
				}
			}
			a.pass("the replicas are connected again", a.allLive)
			a.talk()
			a.checkFree()
		})
	}
}

// Goal: an attacker between the replicas who has not the key cannot become a replica's connection,
// by whatever it repeats or changes of the handshakes that it sees. The replica refuses, counts it,
// and says so in one line. Then the replicas connect and go on.
func TestAttackerOnHandshakes(t *testing.T) {
	type attack struct {
		name   string
		victim int
		reason peer.Reason
		attack func(a *attacker)
	}
	// frame replaces or changes the next frame of a kind, between 0 and 1, when 1 connects again.
	frame := func(kind peer.FrameKind, do func(a *attacker, frame []byte) []byte) func(a *attacker) {
		return func(a *attacker) {
			a.reconnect()
			isDone := false
			a.do = func(from, to int, message []byte) []byte {
				if isDone || from+to != 1 || !isFrame(message, kind) {
					return message
				}
				isDone = true
				return do(a, message)
			}
			a.pass("it is done", func() bool { return isDone })
			a.settle()
		}
	}
	flip := func(at int, bit uint8) func(a *attacker, frame []byte) []byte {
		return func(_ *attacker, frame []byte) []byte { frame[at] ^= bit; return frame }
	}
	old := func(from, to, i int) func(a *attacker, frame []byte) []byte {
		return func(a *attacker, _ []byte) []byte { return a.recorded(from, to, 1, i) }
	}
	// down lets replica 1 be away, while somebody poses as it.
	down := func(do func(a *attacker)) func(a *attacker) {
		return func(a *attacker) {
			a.reconnect()
			a.nodes[1].isDown = true
			do(a)
			a.nodes[1].isDown = false
		}
	}
	for _, c := range []attack{
		{"change the hello", 0, peer.ReasonTag, frame(peer.FrameHello, flip(100, 1))},
		{"change the answer", 1, peer.ReasonTag, frame(peer.FrameAnswer, flip(100, 1))},
		{"change the confirmation", 0, peer.ReasonTag, frame(peer.FrameConfirm, flip(100, 1))},
		{"take the key out of the hello", 0, peer.ReasonKeyed, frame(peer.FrameHello, flip(23, 1))},
		{"take the key out of the answer", 1, peer.ReasonKeyed, frame(peer.FrameAnswer, flip(23, 1))},
		{"name another key", 0, peer.ReasonKey, frame(peer.FrameHello, flip(216, 1))},
		{"name another version", 0, peer.ReasonProtocol, frame(peer.FrameHello, flip(16, 1))},
		{"an answer that is a hello", 1, peer.ReasonTag, frame(peer.FrameHello, func(a *attacker, hello []byte) []byte {
			back := bytes.Clone(hello)
			back[18] = byte(peer.FrameAnswer)
			e := a.end(1, 0)
			e.arriving = append(e.arriving, back...)
			return nil
		})},
		{"an old answer", 1, peer.ReasonNonce, frame(peer.FrameAnswer, old(0, 1, 0))},
		{"an old confirmation", 0, peer.ReasonNonce, frame(peer.FrameConfirm, old(1, 0, 1))},
		{"the confirmation of another replica", 0, peer.ReasonNonce, frame(peer.FrameConfirm, func(a *attacker, _ []byte) []byte {
			return a.recorded(2, 0, 0, 1)
		})},
		{"a whole connection again, beside the true one", 0, peer.ReasonAttempt, func(a *attacker) {
			a.stranger(0, a.recorded(1, 0, 0, 0))
			if !a.nodes[0].live[1] {
				a.t.Error("the true connection is gone")
			}
		}},
		{"a whole connection again, in the place of the true one", 0, peer.ReasonNonce, down(func(a *attacker) {
			e := a.stranger(0, a.recorded(1, 0, 0, 0))
			if !isFrame(e.sendCopy, peer.FrameAnswer) {
				a.t.Error("the old hello is not answered")
			}
			e.arriving = append(e.arriving, sum(a.recorded(1, 0, 0, 1), a.recorded(1, 0, 0, 2))...)
			a.settle()
		})},
		{"a replica's own hello", 1, peer.ReasonIndex, func(a *attacker) { a.stranger(1, a.recorded(1, 0, 0, 0)) }},
		{"a hello for another replica", 1, peer.ReasonTarget, func(a *attacker) { a.stranger(1, a.recorded(2, 0, 0, 0)) }},
		{"an answer as a hello", 0, peer.ReasonFrame, func(a *attacker) { a.stranger(0, a.recorded(0, 1, 0, 0)) }},
		{"messages without a handshake", 0, peer.ReasonProtocol, func(a *attacker) {
			a.stranger(0, sum(a.recorded(1, 0, 0, 0)[:16], a.recorded(1, 0, 0, 2)[:peer.FrameBytes-16]))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAttacker(t)
			n := a.nodes[c.victim]
			before := n.stage.peers.hub.TableCounters()
			c.attack(a)
			a.do = nil
			after := n.stage.peers.hub.TableCounters()
			if after.Refused != before.Refused+1 || after.Identified != before.Identified {
				t.Errorf("%d connections are refused and %d identified, want one and none", after.Refused-before.Refused,
					after.Identified-before.Identified)
			}
			lines := n.refusals()
			if len(n.logs) != 1 || len(lines) != 1 || n.logs[0].Refusal.Reason != c.reason || n.logs[0].Peer == [18]byte{} {
				t.Errorf("it says %q", lines)
			}
			a.pass("the replicas are connected again", a.allLive)
			a.talk()
			a.checkFree()
		})
	}
}
