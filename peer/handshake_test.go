package peer

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"ledger/limits"
	"ledger/storage/datafile"
	"ledger/wire"
)

func testSelf(index uint8) *Self {
	l := limits.Production()
	return &Self{
		Cluster: testCluster, Index: index, ReplicasCount: 3, Fixed: FixedOf(&l, l.RequestBytesMax), Incarnation: 0x100 + uint64(index),
		Process: 0x200 + uint64(index), Releases: Range{1, 2}, Rules: Range{limits.RulesFirst, limits.RulesFirst},
		BlockFormats: Range{limits.BlockFormatVersion, limits.BlockFormatVersion}, StorageBytesMax: 16 << 40, FileBytes: 2 << 30, Keys: NewKeys(),
	}
}

// side of a meeting: a handshake, and what became of it.
type metSide struct {
	Handshake
	progress Progress
	refusal  Refusal
}

func (s *metSide) take(frame []byte) (reply []byte) {
	reply = make([]byte, FrameBytes)
	s.progress, s.refusal = s.receive(frame, reply)
	if s.progress == ProgressDone || s.progress == ProgressClose {
		return nil
	}
	return reply
}

func (s *metSide) done() bool { return s.step == stepDone }

// meet lets a connector of one self meet an acceptor of another. tamper may change each frame.
func meet(connector, acceptor *Self, called uint8, tamper func(kind FrameKind, frame []byte)) (from, to metSide) {
	frame := make([]byte, FrameBytes)
	from.connect(connector, called, 1, pattern[Nonce](0x11), 0, frame)
	to.accept(acceptor, pattern[Nonce](0x81), 0)
	at, other := &to, &from
	for frame != nil {
		if tamper != nil {
			tamper(FrameKind(frame[18]), frame)
		}
		frame = at.take(frame)
		at, other = other, at
		if at.step == stepDone || at.step == stepRefused {
			break
		}
	}
	return from, to
}

// Goal: two replicas that fit each other are identified, and their links understand each other.
func TestHandshake(t *testing.T) {
	key, other := testKey(1), testKey(50)
	for name, keys := range map[string][2]*Keys{
		"no key":                   {NewKeys(), NewKeys()},
		"one key":                  {NewKeys(key), NewKeys(key)},
		"rotation, connector last": {NewKeys(key), NewKeys(other, key)},
		"rotation, both old":       {NewKeys(key, other), NewKeys(key, other)},
		"rotation, mixed":          {NewKeys(key, other), NewKeys(other, key)},
		"rotation, acceptor last":  {NewKeys(key, other), NewKeys(key)},
		"rotation, ends":           {NewKeys(other), NewKeys(other, key)},
	} {
		connector, acceptor := testSelf(2), testSelf(0)
		connector.Keys, acceptor.Keys = keys[0], keys[1]
		from, to := meet(connector, acceptor, 0, nil)
		if !from.done() || !to.done() {
			t.Errorf("%s: %s, %s", name, from.refusal.Error(), to.refusal.Error())
			continue
		}
		a, b := from.link(), to.link()
		if a.Peer != 0 || b.Peer != 2 || a.Incarnation != 0x100 || b.Incarnation != 0x102 {
			t.Errorf("%s: links to %d, %x and %d, %x", name, a.Peer, a.Incarnation, b.Peer, b.Incarnation)
		}
		message := samples()[0].encode()
		e := samples()[0].envelope()
		e.Incarnation = 0x102
		e.Encode(message)
		a.Seal(message)
		if f := open(&b, message); f.Faulty() {
			t.Errorf("%s: a message: %s", name, f.Error())
		}
		e.Incarnation, e.Author = 0x100, 0
		e.Encode(message)
		b.Seal(message)
		if f := open(&a, message); f.Faulty() {
			t.Errorf("%s: a message back: %s", name, f.Error())
		}
	}
}

// difference is a way in which one replica may not fit the other.
type difference struct {
	name         string
	reason       Reason
	ours, theirs Value // as the replica that is as it should be sees them
	change       func(s *Self)
}

func differences() []difference {
	l := limits.Production()
	right := FixedOf(&l, l.RequestBytesMax)
	all := []difference{
		{"cluster", ReasonCluster, Value(testCluster), Value{8, 9}, func(s *Self) { s.Cluster.Lo = 8 }},
		{"replicas", ReasonReplicas, Value{Lo: 3}, Value{Lo: 4}, func(s *Self) { s.ReplicasCount = 4 }},
		{"releases too new", ReasonReleases, Value{1, 2}, Value{3, 4}, func(s *Self) { s.Releases = Range{3, 4} }},
		{"releases too old", ReasonReleases, Value{1, 2}, Value{0, 0}, func(s *Self) { s.Releases = Range{0, 0} }},
		{"rules", ReasonRules, Value{1, 1}, Value{2, 2}, func(s *Self) { s.Rules = Range{2, 2} }},
		{"block formats", ReasonBlockFormats, Value{1, 1}, Value{2, 9}, func(s *Self) { s.BlockFormats = Range{2, 9} }},
		{"key", ReasonKeyed, Value{}, Value{Lo: 1}, func(s *Self) { s.Keys = NewKeys(testKey(1)) }},
	}
	for i := range right {
		all = append(all, difference{fixedNames[i], ReasonFixed, Value{Lo: uint64(right[i])}, Value{Lo: uint64(right[i]) + 1},
			func(s *Self) { s.Fixed[i]++ }})
	}
	return all
}

// Goal: for every single field that differs, on either side, both sides refuse, and both lines have
// the field and both values.
func TestHandshakeEachFieldDiffers(t *testing.T) {
	for _, d := range differences() {
		for _, changed := range []Side{SideConnector, SideAcceptor} {
			selves := [2]*Self{testSelf(2), testSelf(0)}
			d.change(selves[changed])
			from, to := meet(selves[SideConnector], selves[SideAcceptor], 0, nil)
			sides := [2]*metSide{&from, &to}
			for side, s := range sides {
				ours, theirs := d.ours, d.theirs
				if Side(side) == changed {
					ours, theirs = theirs, ours
				}
				r := s.refusal
				if r.Reason != d.reason || r.Ours != ours || r.Theirs != theirs || r.Peer != selves[1-side].Index && side == 0 {
					t.Errorf("%s, changed at %d, at %d: got %q (%+v), want %s, ours %d, theirs %d", d.name, changed, side, r.Error(), r, d.reason,
						ours, theirs)
				}
				if r.ByPeer != (side == int(SideConnector)) {
					t.Errorf("%s: at %d, refused by the peer: %v", d.name, side, r.ByPeer)
				}
				if s.done() {
					t.Errorf("%s: side %d is done", d.name, side)
				}
				if text := r.Error(); !strings.Contains(text, r.Field()) || r.Reason != ReasonKeyed && !strings.Contains(text, fmt.Sprint(theirs.Lo)) &&
					d.reason != ReasonCluster {
					t.Errorf("%s: the line %q lacks field or value", d.name, text)
				}
			}
		}
	}
}

// Goal: ranges that overlap by one version are enough, so that a cluster can be upgraded replica by
// replica.
func TestHandshakeRangesOverlap(t *testing.T) {
	older, newer := testSelf(2), testSelf(0)
	older.Releases, newer.Releases = Range{1, 2}, Range{2, 3}
	older.Rules, newer.Rules = Range{1, 1}, Range{1, 2}
	older.BlockFormats, newer.BlockFormats = Range{1, 1}, Range{0, 1}
	if from, to := meet(older, newer, 0, nil); !from.done() || !to.done() {
		t.Errorf("%s, %s", from.refusal.Error(), to.refusal.Error())
	}
}

// Goal: addresses in a wrong order, and indexes that are there twice, are found.
func TestHandshakeWrongReplica(t *testing.T) {
	// Replica 2 calls replica 0, and replica 1 answers.
	from, to := meet(testSelf(2), testSelf(1), 0, nil)
	for _, r := range []Refusal{from.refusal, to.refusal} {
		if r.Reason != ReasonTarget {
			t.Errorf("the wrong address: %s", r.Error())
		}
	}
	// Replica 2 calls replica 0, and reaches itself, or another replica with index 2.
	from, to = meet(testSelf(2), testSelf(2), 0, nil)
	for _, r := range []Refusal{from.refusal, to.refusal} {
		if r.Reason != ReasonIndex || r.Ours.Lo != 2 || r.Theirs.Lo != 2 {
			t.Errorf("itself: %s", r.Error())
		}
	}
}

// Goal: the time for a handshake ends after 5 seconds.
func TestHandshakeDeadline(t *testing.T) {
	var h Handshake
	h.accept(testSelf(0), pattern[Nonce](1), 1000)
	if r := h.expired(1000 + IdentifyNs - 1); r.Refused() {
		t.Error("too early")
	}
	if r := h.expired(1000 + IdentifyNs); r.Reason != ReasonDeadline || r.Ours.Lo != 5000 || r.Theirs.Lo != 5000 {
		t.Error(r.Error())
	}
}

// Goal: each side is warned whose limit is below the other's file.
func TestStorageWarning(t *testing.T) {
	ours := testSelf(0)
	theirs := testSelf(2).frame(FrameHello, 0)
	if w := ours.storageWarning(&theirs); w != (Warning{}) {
		t.Errorf("%+v", w)
	}
	theirs.StorageBytesMax = 1 << 30
	if w := ours.storageWarning(&theirs); w != (Warning{2, 1 << 30, 2 << 30}) {
		t.Errorf("%+v", w)
	}
	theirs.StorageBytesMax, theirs.FileBytes = 16<<40, 17<<40
	if w := ours.storageWarning(&theirs); w != (Warning{0, 16 << 40, 17 << 40}) {
		t.Errorf("%+v", w)
	}
}

// Goal: the digest covers each value, and has not changed since the last release.
func TestFixedDigest(t *testing.T) {
	l := limits.Production()
	f := FixedOf(&l, l.RequestBytesMax)
	seen := map[wire.Checksum]bool{f.Digest(): true}
	for i := range f {
		changed := f
		changed[i]++
		if seen[changed.Digest()] {
			t.Errorf("%s is not in the digest", fixedNames[i])
		}
		seen[changed.Digest()] = true
	}
	text := fmt.Sprintf("digest %s\n", f.Digest())
	for i, name := range fixedNames {
		text += fmt.Sprintf("%2d %s %d\n", i, name, f[i])
	}
	golden(t, "fixed.golden", text)
}

// Goal: every limit that the superblock has is in the digest.
func TestFixedHasAllOfSuperblock(t *testing.T) {
	encode := func(l *limits.Limits) string {
		b := make([]byte, datafile.SuperblockContentBytes)
		datafile.EncodeSuperblock(b, &datafile.Superblock{SessionsMax: l.SessionsMax}, l, 0)
		return string(b)
	}
	l := limits.Production()
	right, superblock := FixedOf(&l, l.RequestBytesMax), encode(&l)
	fields := reflect.TypeOf(l)
	for i := range fields.NumField() {
		changed := limits.Production()
		field := reflect.ValueOf(&changed).Elem().Field(i)
		if !field.CanUint() {
			continue
		}
		field.SetUint(field.Uint() + 1)
		f := FixedOf(&changed, l.RequestBytesMax)
		if isFixed := encode(&changed) != superblock; isFixed != (f.Digest() != right.Digest()) {
			t.Errorf("%s: format has fixed it: %v, the digest has it: %v", fields.Field(i).Name, isFixed, !isFixed)
		}
	}
}

// Goal: a hello, answer, confirmation and refusal have the bytes of the last release.
func TestGoldenFrames(t *testing.T) {
	text := ""
	note := func(_ FrameKind, frame []byte) { text += dump(frame) + "\n" }
	meet(testSelf(2), testSelf(0), 0, note)
	other := testSelf(2)
	other.Cluster.Lo = 8
	meet(other, testSelf(0), 0, note)
	golden(t, "handshake.golden", text)
}

// FuzzFrame: no bytes make a handshake panic, and none but the peer's end it well.
func FuzzFrame(f *testing.F) {
	selfWith := func(index uint8, isKeyed bool) *Self {
		self := testSelf(index)
		if isKeyed {
			self.Keys = NewKeys(testKey(1), testKey(2))
		}
		return self
	}
	for _, isKeyed := range []bool{false, true} {
		meet(selfWith(2, isKeyed), selfWith(0, isKeyed), 0, func(_ FrameKind, frame []byte) { f.Add(bytes.Clone(frame), false, isKeyed) })
	}
	f.Fuzz(func(t *testing.T, data []byte, isRight, isKeyed bool) {
		if len(data) < FrameBytes {
			return
		}
		frame := bytes.Clone(data[:FrameBytes])
		if isRight {
			copy(frame, magic[:])
			selfWith(0, isKeyed).Keys.sealFrame(0, FrameKind(frame[18]), frame)
		}
		for _, answer := range []bool{false, true} {
			var s metSide
			s.accept(selfWith(0, isKeyed), pattern[Nonce](0x81), 0)
			if answer {
				s.connect(selfWith(2, isKeyed), 0, 1, pattern[Nonce](0x11), 0, make([]byte, FrameBytes))
			}
			s.take(frame)
			if s.progress == 0 || (s.refusal.Reason == ReasonNone) == (s.progress >= ProgressRefused) || s.refusal.Error() == "" {
				t.Fatalf("progress %d with refusal %q", s.progress, s.refusal.Error())
			}
		}
	})
}
