package peer

import (
	"encoding/binary"

	"ledger/internal/assert"
	"ledger/wire"
)

// IdentifyNs is the time that a connection has for its handshake.
const IdentifyNs = 5_000_000_000

// step of a handshake: the kind of the frame that it waits for, or an end.
type step uint8

const (
	stepHello   = step(FrameHello)
	stepAnswer  = step(FrameAnswer)
	stepConfirm = step(FrameConfirm)
	stepDone    = step(100)
	stepRefused = step(101)
)

// Progress is what a frame has done to a handshake.
type Progress uint8

const (
	// ProgressReply: the reply must be sent, and another frame is awaited.
	ProgressReply Progress = iota + 1
	// ProgressDone: the other side is identified, and messages may follow. Nothing is to be sent.
	ProgressDone
	// ProgressDoneReply: the same, but the reply must be sent before any message.
	ProgressDoneReply
	// ProgressRefused: the reply, a refusal, must be sent, and the connection closed behind it.
	ProgressRefused
	// ProgressClose: the connection must be closed at once.
	ProgressClose
)

// Handshake is one side of a handshake, in three frames:
//
//	connector                        acceptor
//	    |--- hello: all fields, nonce --->|   compares; may refuse
//	    |<-- answer: all fields, both ----|   compares; may refuse; is identified
//	    |--- confirm: both nonces ------->|   is identified
//
// An acceptor trusts a hello only when it is confirmed, because a hello may be an old one that
// somebody repeats. A refusal tells the other side the same fields, so that both can log the line.
type Handshake struct {
	self    *Self
	side    Side
	step    step
	peer    uint8 // whom the connector calls; of an acceptor, from the hello on, the caller
	key     int
	attempt uint64
	nonce   Nonce
	echo    Nonce // the nonce of the last frame that came, authentic or not
	theirs  Frame // the hello or answer
	beganNs uint64
}

// connect begins a handshake with peer, and writes its hello.
func (h *Handshake) connect(self *Self, peer uint8, attempt uint64, nonce Nonce, nowNs uint64, hello []byte) {
	assert.Below(peer, self.Index, "index of a replica that this one connects to")
	*h = Handshake{self: self, side: SideConnector, step: stepAnswer, peer: peer, attempt: attempt, nonce: nonce, beganNs: nowNs}
	h.write(FrameHello, hello)
}

// accept begins a handshake that a hello will begin.
func (h *Handshake) accept(self *Self, nonce Nonce, nowNs uint64) {
	*h = Handshake{self: self, side: SideAcceptor, step: stepHello, peer: PeerUnknown, nonce: nonce, beganNs: nowNs}
}

// write makes one of our frames.
func (h *Handshake) write(kind FrameKind, out []byte) {
	f := h.self.frame(kind, h.peer)
	f.Nonce, f.Attempt = h.nonce, h.attempt
	if kind != FrameHello {
		f.Echo = h.theirs.Nonce
	}
	f.encode(out, h.self.Keys, h.key)
}

// refuse ends the handshake and writes a refusal. A stranger is told no more than the reason, its
// own nonce, and which key is asked for. The nonce is there so that no older refusal is taken for
// this one.
func (h *Handshake) refuse(r Refusal, reply []byte) (Progress, Refusal) {
	h.step = stepRefused
	f := h.self.frameOfStranger(FrameRefusal, r.Reason)
	if r.Reason.proven() {
		f = h.self.frame(FrameRefusal, r.Peer)
		f.Reason, f.Nonce, f.Attempt = r.Reason, h.nonce, r.Ours.Lo
	}
	f.Echo = h.echo
	f.encode(reply, h.self.Keys, h.key)
	return ProgressRefused, r
}

// receive takes a frame and writes the reply, if there is one.
func (h *Handshake) receive(frame, reply []byte) (Progress, Refusal) {
	assert.That(h.step != stepDone && h.step != stepRefused, "a handshake that gets a frame is under way")
	frame = frame[:FrameBytes]
	if !IsPeer(frame[:len(magic)]) {
		h.step = stepRefused
		return ProgressClose, Refusal{Reason: ReasonMagic, Peer: h.peer, Ours: wide(magic[:]), Theirs: wide(frame)}
	}
	// Version, kind and index have these places in every version.
	kind := FrameKind(frame[18])
	if h.step == stepHello {
		h.peer = frame[19] // as it says
	}
	var f Frame
	fault := f.decode(frame)
	h.echo = f.Nonce
	if version := binary.LittleEndian.Uint16(frame[16:]); version != ProtocolVersion {
		return h.refuseOrClose(kind, h.differs(ReasonProtocol, ProtocolVersion, uint64(version)), reply)
	}
	key, ok := h.self.Keys.openFrame(kind, frame)
	if ours := h.self.frameOfStranger(FrameHello, ReasonNone).Keyed; !ok && f.Keyed != ours {
		return h.refuseOrClose(kind, h.differs(ReasonKeyed, uint64(ours), uint64(f.Keyed)), reply)
	}
	if ours := h.self.Keys.prints[h.key]; !ok && !h.self.Keys.holds(f.KeyPrint) && h.self.Keys.Keyed() {
		return h.refuseOrClose(kind, h.differs(ReasonKey, ours, f.KeyPrint), reply)
	}
	if !ok {
		return h.refuseOrClose(kind, Refusal{Reason: ReasonTag, Peer: h.peer, Theirs: wide(frame[frameTagAt:])}, reply)
	}
	if h.step == stepHello {
		h.key, h.attempt = key, f.Attempt
	}
	switch {
	case kind == FrameRefusal && f.Echo != h.nonce:
		// It is of another connection, and somebody repeats it.
		return h.refuseOrClose(kind, Refusal{Reason: ReasonNonce, Peer: h.peer, Ours: wide(h.nonce[:]), Theirs: wide(f.Echo[:])}, reply)
	case kind == FrameRefusal:
		h.step = stepRefused
		return ProgressClose, h.refusedBy(&f)
	case step(kind) != h.step:
		return h.refuse(h.differs(ReasonFrame, uint64(h.step), uint64(kind)), reply)
	case fault.Faulty():
		return h.refuse(h.differs(ReasonFrame, 0, fault.Value), reply)
	case key != h.key:
		return h.refuse(h.differs(ReasonKey, h.self.Keys.prints[h.key], f.KeyPrint), reply)
	}
	if r := h.judge(&f); r.Refused() {
		return h.refuse(r, reply)
	}
	return h.advance(&f, reply)
}

// advance goes on after a frame that is right.
func (h *Handshake) advance(f *Frame, reply []byte) (Progress, Refusal) {
	h.theirs = *f
	switch h.step {
	case stepHello:
		h.step = stepConfirm
		h.write(FrameAnswer, reply)
		return ProgressReply, Refusal{}
	case stepAnswer:
		h.step = stepDone
		h.write(FrameConfirm, reply)
		return ProgressDoneReply, Refusal{}
	}
	h.step = stepDone
	return ProgressDone, Refusal{}
}

// judge compares a frame of the right kind, which is authentic, with ourselves and with the frame
// before it.
func (h *Handshake) judge(f *Frame) Refusal {
	if r := h.self.compare(f); r.Refused() {
		return r
	}
	echo := h.nonce
	if h.step == stepHello {
		echo = Nonce{}
	}
	switch {
	case f.Echo != echo:
		return Refusal{Reason: ReasonNonce, Peer: f.Index, Ours: wide(echo[:]), Theirs: wide(f.Echo[:])}
	case f.Nonce.IsZero() || f.Nonce == h.nonce:
		return Refusal{Reason: ReasonNonce, Peer: f.Index, Ours: wide(h.nonce[:]), Theirs: wide(f.Nonce[:])}
	case f.Attempt != h.attempt:
		return h.differs(ReasonAttempt, h.attempt, f.Attempt)
	case f.Reason != ReasonNone:
		return h.differs(ReasonFrame, 0, uint64(f.Reason))
	case h.side == SideConnector && f.Index != h.peer:
		return h.differs(ReasonTarget, uint64(h.peer), uint64(f.Index))
	case h.side == SideAcceptor && f.Index < h.self.Index:
		return h.differs(ReasonDirection, uint64(h.self.Index), uint64(f.Index))
	}
	if h.step == stepConfirm {
		before := h.theirs
		before.Kind, before.Echo, before.FileBytes = f.Kind, f.Echo, f.FileBytes
		if before != *f {
			return Refusal{Reason: ReasonChanged, Peer: f.Index, Ours: wide(h.theirs.Nonce[:]), Theirs: wide(f.Nonce[:])}
		}
	}
	return Refusal{}
}

// refuseOrClose refuses, but never a refusal: two sides that refuse each other's refusals would
// never end.
func (h *Handshake) refuseOrClose(kind FrameKind, r Refusal, reply []byte) (Progress, Refusal) {
	if kind == FrameRefusal {
		h.step = stepRefused
		r.ByPeer = true
		return ProgressClose, r
	}
	return h.refuse(r, reply)
}

// refusedBy makes the line of a refusal by the other side: what differs, or else its reason.
func (h *Handshake) refusedBy(f *Frame) Refusal {
	var r Refusal
	if f.Reason.proven() {
		r = h.self.compare(f)
	}
	if r.Reason != f.Reason {
		r = Refusal{Reason: f.Reason, Theirs: Value{Lo: f.Attempt}}
		switch f.Reason {
		case ReasonKey:
			r.Ours.Lo, r.Theirs.Lo = h.self.Keys.prints[h.key], f.KeyPrint
		case ReasonProcess:
			r.Ours.Lo = h.self.Process
		case ReasonAttempt:
			r.Ours.Lo = h.attempt
		}
	}
	if r.Reason == ReasonNone || r.Reason >= reasonsCount {
		r = h.differs(ReasonFrame, uint64(reasonsCount-1), uint64(f.Reason))
	}
	r.Peer, r.ByPeer = h.peer, true
	return r
}

// goesBefore tells whether h makes room for a newcomer rather than the other one.
func (h *Handshake) goesBefore(other *Handshake) bool {
	if isStranger := h.step == stepHello; isStranger != (other.step == stepHello) {
		return isStranger
	}
	return h.beganNs < other.beganNs
}

// expired returns the refusal of a connection whose time is over.
func (h *Handshake) expired(nowNs uint64) Refusal {
	if nowNs-h.beganNs < IdentifyNs {
		return Refusal{}
	}
	return h.differs(ReasonDeadline, IdentifyNs/1_000_000, (nowNs-h.beganNs)/1_000_000)
}

// link is the connection's messages, after the handshake is done.
func (h *Handshake) link() Link {
	assert.That(h.step == stepDone, "the handshake of a link is done")
	l := Link{keys: h.self.Keys, key: h.key, side: h.side, Peer: h.peer, Incarnation: h.theirs.Incarnation}
	l.nonces[h.side], l.nonces[h.side.other()] = h.nonce, h.theirs.Nonce
	return l
}

func (h *Handshake) differs(reason Reason, ours, theirs uint64) Refusal {
	return Refusal{Reason: reason, Peer: h.peer, Ours: Value{Lo: ours}, Theirs: Value{Lo: theirs}}
}

func wide(b []byte) Value { return Value(wire.U128FromBytes(b)) }
