package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"ledger/sim/oracle"
)

// attacker is somebody between the machines of a cluster with a key, who has not got the key. He
// hears all that is sent, and sends it again: on the same connection, on others, in the other
// direction, with other bits, with the number that comes next, or as a replica that connects. He
// also makes acknowledgements of what nobody has acknowledged.
//
// Whoever gets it has to end the connection. That nothing else comes of it is what all other judges
// say: the oracle counts what leaves a machine, and not what arrives.
//
// Everything is drawn from a seed of its own, like the losses of data files.
type attacker struct {
	several *several
	random  *rand.Rand // nil: there is no attacker
	heard   []heard    // the newest at the end
	talks   []*talk    // the newest at the end
}

// heard is a message between replicas.
type heard struct {
	link    *link
	bytes   []byte
	command byte
	view    uint32
}

// talk is the beginning of what a replica sends on a connection that it has opened.
type talk struct {
	link  *link
	to    *Machine
	sends [][]byte
}

// attackStream draws the attackers. The seeds of the lists of regressions have none with it.
const attackStream = 0x1255

const (
	heardMax     = 128
	talksMax     = 16
	talkSendsMax = 8
	attackOdds   = 200 // of so many steps of time, one has an attack
	// attackedNs is the time in which a replica that has read what an attacker has sent has to end the
	// connection.
	attackedNs = 20_000 * nsPerMs
)

// plan draws whether there is an attacker. A third of the clusters with keys have one.
func (a *attacker) plan() {
	w := a.several.cluster.world
	random := rand.New(rand.NewPCG(w.options.Seed, attackStream))
	if w.options.Cuts.has(random.IntN(3) == 0, withoutAttacks) && a.several.cluster.hasKey() {
		a.random = random
	}
}

// hears: a machine sends something to another one.
func (a *attacker) hears(l *link, to *Machine, head, body []byte) {
	if a.random == nil {
		return
	}
	bytes := slices.Concat(head, body)
	if l.isOutgoing {
		a.talk(l, to, bytes)
	}
	if len(head) != oracle.HeadBytes {
		return
	}
	l.sealed++
	e := oracle.ParseMessage(head, body)
	if len(a.heard) == heardMax {
		a.heard = slices.Delete(a.heard, 0, 1)
	}
	a.heard = append(a.heard, heard{l, bytes, e.Command, e.View})
}

func (a *attacker) talk(l *link, to *Machine, bytes []byte) {
	i := slices.IndexFunc(a.talks, func(t *talk) bool { return t.link == l })
	if i < 0 {
		if len(a.talks) == talksMax {
			a.talks = slices.Delete(a.talks, 0, 1)
		}
		i, a.talks = len(a.talks), append(a.talks, &talk{link: l, to: to})
	}
	if t := a.talks[i]; len(t.sends) < talkSendsMax {
		t.sends = append(t.sends, bytes)
	}
}

// step attacks now and then.
func (a *attacker) step() {
	if a.random == nil || a.several.isCalm || a.random.IntN(attackOdds) != 0 || len(a.heard) == 0 {
		return
	}
	if a.random.IntN(4) == 0 {
		a.connects()
		return
	}
	one := a.heard[a.random.IntN(len(a.heard))]
	to := a.heard[len(a.heard)-1-a.random.IntN(min(8, len(a.heard)))].link // a connection that lives
	if a.random.IntN(2) == 0 {
		to = one.link
	}
	bytes, what := slices.Clone(one.bytes), "a message again"
	next := func() { binary.LittleEndian.PutUint64(bytes[oracle.SequenceAt:], to.sealed+1) }
	switch a.random.IntN(6) {
	case 0:
	case 1:
		next()
		what = "a message again, as the next one"
	case 2:
		next()
		bytes[a.random.IntN(len(bytes))] ^= 1 << a.random.IntN(8)
		what = "a message with another bit"
	case 3, 4:
		if forged := a.acknowledges(&to); forged != nil {
			bytes, what = forged, "an acknowledgement"
			next()
		}
	case 5:
		for i := range bytes {
			bytes[i] = byte(a.random.Uint32())
		}
		what = "noise"
	}
	a.sends(to, bytes, what)
}

// acknowledges makes an acknowledgement of a prepare that is under way, from one that was heard.
func (a *attacker) acknowledges(to **link) []byte {
	last := func(command byte) *heard {
		for i := len(a.heard) - 1; i >= 0; i-- {
			if a.heard[i].command == command {
				return &a.heard[i]
			}
		}
		return nil
	}
	ok, p := last(oracle.PrepareOK), last(oracle.PrepareMessage)
	if ok == nil || p == nil {
		return nil
	}
	bytes := slices.Clone(ok.bytes)
	inner, prepare := bytes[oracle.EnvelopeBytes:], oracle.ParsePrepare(p.bytes[oracle.EnvelopeBytes:])
	copy(inner[oracle.PrepareOKChecksumAt:], prepare.Checksum[:])
	binary.LittleEndian.PutUint64(inner[oracle.PrepareOKOpAt:], prepare.Op)
	binary.LittleEndian.PutUint32(bytes[oracle.ViewAt:], p.view)
	*to = ok.link
	return bytes
}

// sends puts bytes between two messages of a connection.
func (a *attacker) sends(l *link, bytes []byte, what string) {
	f, ok := l.peer.(*far)
	isOpen := ok && l.isKnown() && f.other.isKnown() && !l.peerGone && !l.reset && !l.serverClosed && !f.other.serverClosed && !f.other.reset
	if !isOpen || l.sending != nil || l.onWayBytes > 0 || l.sealed == 0 {
		return
	}
	m := f.other.network.owner
	m.say("an attacker sends %s, as R%d", what, l.network.owner.index)
	a.several.marks.add(MarkAttacked)
	f.other.attacked = true
	f.received(l, bytes)
	f.other.later(attackedNs, func() {
		read := len(f.other.arrived) == 0 && m.pausedNs == 0 && m.starved == 0
		if read && f.other.isKnown() && !f.other.serverClosed && !f.other.peerGone {
			m.fail("machine %d goes on with a connection on which an attacker has sent %s", m.index, what)
		}
	})
}

// connects opens a connection with what a replica has sent on another one.
func (a *attacker) connects() {
	if len(a.talks) == 0 {
		return
	}
	t := a.talks[a.random.IntN(len(a.talks))]
	if t.to.replica == nil {
		return
	}
	l := t.to.network.connect(&stranger{machine: t.to, isAttacker: true})
	if l == nil {
		return
	}
	l.attacked = true
	t.to.say("an attacker connects as R%d", t.link.network.owner.index)
	a.several.marks.add(MarkAttacked)
	for _, bytes := range t.sends[:1+a.random.IntN(len(t.sends))] {
		l.write(bytes)
	}
}
