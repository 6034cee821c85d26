package peer

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// reframed makes a frame anew with other fields and a right tag.
func reframed(change func(f *Frame)) func(self *Self, frame []byte) {
	return func(self *Self, frame []byte) {
		var f Frame
		f.decode(frame)
		change(&f)
		f.encode(frame, self.Keys, 0)
	}
}

// Goal: an authentic frame that breaks a rule of the handshake is refused, with the rule.
func TestHandshakeRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   FrameKind
		reason Reason
		change func(self *Self, frame []byte)
	}{
		{"version", FrameHello, ReasonProtocol, reframed(func(f *Frame) { f.Version = 2 })},
		{"version of the answer", FrameAnswer, ReasonProtocol, reframed(func(f *Frame) { f.Version = 2 })},
		{"magic", FrameHello, ReasonMagic, func(_ *Self, frame []byte) { frame[0]++ }},
		{"kind", FrameHello, ReasonFrame, reframed(func(f *Frame) { f.Kind = FrameConfirm })},
		{"unknown kind", FrameHello, ReasonFrame, reframed(func(f *Frame) { f.Kind = 77 })},
		{"hello again", FrameConfirm, ReasonFrame, reframed(func(f *Frame) { f.Kind = FrameHello })},
		{"reserved byte", FrameHello, ReasonFrame, func(self *Self, frame []byte) {
			frame[frameTagAt-1] = 1
			self.Keys.sealFrame(0, FrameHello, frame)
		}},
		{"index of a standby without an address", FrameHello, ReasonStandby, reframed(func(f *Frame) { f.Index = 3 })},
		{"index above", FrameHello, ReasonIndex, reframed(func(f *Frame) { f.Index = 9 })},
		{"index of the answer", FrameAnswer, ReasonTarget, reframed(func(f *Frame) { f.Index = 1 })},
		{"target of the answer", FrameAnswer, ReasonTarget, reframed(func(f *Frame) { f.Target = 1 })},
		{"reason in a hello", FrameHello, ReasonFrame, reframed(func(f *Frame) { f.Reason = ReasonProcess })},
		{"echo in a hello", FrameHello, ReasonNonce, reframed(func(f *Frame) { f.Echo[0] = 1 })},
		{"echo of the answer", FrameAnswer, ReasonNonce, reframed(func(f *Frame) { f.Echo[0]++ })},
		{"echo of the confirmation", FrameConfirm, ReasonNonce, reframed(func(f *Frame) { f.Echo[0]++ })},
		{"no nonce", FrameHello, ReasonNonce, reframed(func(f *Frame) { f.Nonce = Nonce{} })},
		{"our nonce", FrameAnswer, ReasonNonce, reframed(func(f *Frame) { f.Nonce = f.Echo })},
		{"attempt of the answer", FrameAnswer, ReasonAttempt, reframed(func(f *Frame) { f.Attempt++ })},
		{"incarnation", FrameHello, ReasonIncarnation, reframed(func(f *Frame) { f.Incarnation = 0 })},
		{"process", FrameHello, ReasonProcess, reframed(func(f *Frame) { f.Process = 0 })},
		{"digest alone", FrameHello, ReasonFixed, reframed(func(f *Frame) { f.Digest[0]++ })},
		{"another process confirms", FrameConfirm, ReasonChanged, reframed(func(f *Frame) { f.Process++ })},
		{"another incarnation confirms", FrameConfirm, ReasonChanged, reframed(func(f *Frame) { f.Incarnation++ })},
		{"another index confirms", FrameConfirm, ReasonChanged, reframed(func(f *Frame) { f.Index = 1 })},
	} {
		connector, acceptor := testSelf(2), testSelf(0)
		from, to := meet(connector, acceptor, 0, func(kind FrameKind, frame []byte) {
			if kind == c.kind {
				c.change(connector, frame)
			}
		})
		at := &to
		if c.kind == FrameAnswer {
			at = &from
		}
		if at.refusal.Reason != c.reason || at.refusal.ByPeer {
			t.Errorf("%s: got %q, want %s", c.name, at.refusal.Error(), c.reason)
		}
		if to.done() {
			t.Errorf("%s: the acceptor is done", c.name)
		}
	}
	// The lower index never connects; if it does, it is refused.
	lower := testSelf(0)
	frame := make([]byte, FrameBytes)
	f := lower.frame(FrameHello, 1)
	f.Nonce = pattern[Nonce](1)
	f.encode(frame, lower.Keys, 0)
	var to metSide
	to.accept(testSelf(1), pattern[Nonce](2), 0)
	if to.take(frame); to.refusal.Reason != ReasonDirection {
		t.Errorf("the lower index connects: %s", to.refusal.Error())
	}
}

// Goal: no bit of any frame can be turned, with a key and without.
func TestHandshakeEachBit(t *testing.T) {
	for _, key := range [][][KeyBytes]byte{nil, {testKey(1)}} {
		for kind := FrameHello; kind <= FrameConfirm; kind++ {
			for bit := range FrameBytes * 8 {
				connector, acceptor := testSelf(2), testSelf(0)
				connector.Keys, acceptor.Keys = NewKeys(key...), NewKeys(key...)
				from, to := meet(connector, acceptor, 0, func(of FrameKind, frame []byte) {
					if of == kind {
						frame[bit/8] ^= 1 << (bit % 8)
					}
				})
				at := &to
				if kind == FrameAnswer {
					at = &from
				}
				if at.done() || !at.refusal.Refused() {
					t.Fatalf("bit %d of frame %d is turned, and it passes", bit, kind)
				}
			}
		}
	}
}

// Goal: frames of one handshake are worth nothing in another one.
func TestHandshakeReplay(t *testing.T) {
	key := testKey(1)
	frames := map[FrameKind][]byte{}
	connector, acceptor := testSelf(2), testSelf(0)
	connector.Keys, acceptor.Keys = NewKeys(key), NewKeys(key)
	meet(connector, acceptor, 0, func(kind FrameKind, frame []byte) { frames[kind] = bytes.Clone(frame) })

	// An old hello is answered, but the old confirmation has the nonce of the old answer.
	var to metSide
	to.accept(acceptor, pattern[Nonce](0x91), 0)
	to.take(frames[FrameHello])
	if to.progress != ProgressReply {
		t.Fatalf("an old hello: %s", to.refusal.Error())
	}
	if to.take(frames[FrameConfirm]); to.done() || to.refusal.Reason != ReasonNonce {
		t.Errorf("an old confirmation: done %v, %s", to.done(), to.refusal.Error())
	}
	// An old answer has the nonce of the old hello.
	var from metSide
	from.connect(connector, 0, 1, pattern[Nonce](0x21), 0, make([]byte, FrameBytes))
	if from.take(frames[FrameAnswer]); from.done() || from.refusal.Reason != ReasonNonce {
		t.Errorf("an old answer: done %v, %s", from.done(), from.refusal.Error())
	}
	// A hello that comes back is no answer, and its tag none of an answer.
	hello := make([]byte, FrameBytes)
	from.connect(connector, 0, 1, pattern[Nonce](0x31), 0, hello)
	if from.take(hello); from.done() || from.refusal.Reason != ReasonFrame {
		t.Errorf("its own hello: done %v, %s", from.done(), from.refusal.Error())
	}
	from.connect(connector, 0, 1, pattern[Nonce](0x31), 0, hello)
	hello[18] = byte(FrameAnswer)
	if from.take(hello); from.done() || from.refusal.Reason != ReasonTag {
		t.Errorf("its own hello as an answer: done %v, %s", from.done(), from.refusal.Error())
	}
}

// Goal: a stranger learns nothing of the cluster but that its key or version is wrong, and the
// print of the key that it should have. Both lines have both prints.
func TestRefusalOfStranger(t *testing.T) {
	connector, acceptor := testSelf(2), testSelf(0)
	connector.Keys, acceptor.Keys = NewKeys(testKey(2)), NewKeys(testKey(1))
	var refusal []byte
	from, to := meet(connector, acceptor, 0, func(kind FrameKind, frame []byte) {
		if kind == FrameRefusal {
			refusal = bytes.Clone(frame)
		}
	})
	if from.refusal.Reason != ReasonKey || to.refusal.Reason != ReasonKey || !from.refusal.ByPeer {
		t.Errorf("%s, %s", from.refusal.Error(), to.refusal.Error())
	}
	for _, r := range []Refusal{from.refusal, to.refusal} {
		for _, key := range []byte{1, 2} {
			if print := fmt.Sprintf("%016x", KeyPrint(testKey(key))); !strings.Contains(r.Error(), print) {
				t.Errorf("the line %q lacks the print %s", r.Error(), print)
			}
		}
	}
	var f Frame
	f.decode(refusal)
	want := acceptor.frameOfStranger(FrameRefusal, ReasonKey)
	want.Echo, want.KeyPrint = from.nonce, KeyPrint(testKey(1))
	if f != want {
		t.Errorf("the refusal tells more than it has to: %+v", f)
	}
}

// Goal: an authentic refusal of another connection ends this one, and its reason is not believed.
func TestRefusalIsOfThisConnection(t *testing.T) {
	key := testKey(1)
	connector, acceptor := testSelf(2), testSelf(0)
	connector.Keys, acceptor.Keys = NewKeys(key), NewKeys(key)
	acceptor.Cluster.Lo++
	refused := func(nonce byte) Refusal {
		var from metSide
		from.connect(connector, 0, 1, pattern[Nonce](nonce), 0, make([]byte, FrameBytes))
		var refusal []byte
		meet(connector, acceptor, 0, func(kind FrameKind, frame []byte) {
			if kind == FrameRefusal {
				refusal = bytes.Clone(frame)
			}
		})
		if from.take(refusal); from.progress != ProgressClose {
			t.Errorf("a refusal is answered: %d", from.progress)
		}
		return from.refusal
	}
	if r := refused(0x11); r.Reason != ReasonCluster {
		t.Errorf("the refusal of this connection: %s", r.Error())
	}
	if r := refused(0x21); r.Reason != ReasonNonce {
		t.Errorf("an old refusal: %s", r.Error())
	}
	// The acceptor waits for a hello: no refusal can know its nonce.
	var to metSide
	to.accept(connector, pattern[Nonce](0x81), 0)
	frame := make([]byte, FrameBytes)
	f := acceptor.frame(FrameRefusal, 2)
	f.Reason = ReasonCluster
	f.encode(frame, acceptor.Keys, 0)
	if to.take(frame); to.refusal.Reason != ReasonNonce || to.progress != ProgressClose {
		t.Errorf("a refusal in the place of a hello: %s", to.refusal.Error())
	}
}

// Goal: the line about a wrong tag does not have the right one. With it, its reader could begin a
// handshake without the key.
func TestRefusalHasNoTag(t *testing.T) {
	key := testKey(1)
	connector, acceptor := testSelf(2), testSelf(0)
	connector.Keys, acceptor.Keys = NewKeys(key), NewKeys(key)
	var right string
	_, to := meet(connector, acceptor, 0, func(kind FrameKind, frame []byte) {
		if kind == FrameHello {
			v := wide(frame[frameTagAt:])
			right = fmt.Sprintf("%016x%016x", v.Hi, v.Lo)
			frame[frameTagAt] ^= 1
		}
	})
	ours, theirs := to.refusal.Values()
	if to.refusal.Reason != ReasonTag || strings.Contains(to.refusal.Error()+ours+theirs, right) {
		t.Errorf("the line has the right tag %s: %s", right, to.refusal.Error())
	}
}
