package peer

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ledger/prepare"
	"ledger/wire"
)

var updateFlag = flag.Bool("update", false, "write the golden files anew: read the difference")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateFlag {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s differs from what is made now (go test ./peer -update renews it):\n%s", path, text)
	}
}

// dump is a text of a message: a long body is cut, since its checksum stands for it.
func dump(message []byte) string {
	const bodyShown = 512
	rest := ""
	if most := HeadBytes + bodyShown; len(message) > most {
		rest = fmt.Sprintf("... %d bytes more\n", len(message)-most)
		message = message[:most]
	}
	return hex.Dump(message) + rest
}

// Goal: each message has the bytes that it had in the last release, and can be read back.
func TestGolden(t *testing.T) {
	b := testBounds()
	seen := map[Command]bool{}
	for _, s := range samples() {
		seen[s.command] = true
		from, to := linksOf(NewKeys(), NewKeys(), 0)
		message := s.encode()
		from.Seal(message[:HeadBytes])
		var e Envelope
		if f := to.Open(message, &e, &b); f.Faulty() {
			t.Fatalf("%s: %s", s.command, f.Error())
		}
		if _, f := checkAll(message, &b); f.Faulty() {
			t.Errorf("%s: %s", s.command, f.Error())
		}
		golden(t, s.command.String()+".golden", dump(message))
	}
	for command := Command(1); command < commandsCount; command++ {
		if !seen[command] {
			t.Errorf("%s has no sample", command)
		}
	}
}

// Goal: what was encoded is decoded as the same value, and encodes to the same bytes.
func TestRoundTrip(t *testing.T) {
	b := testBounds()
	for _, s := range samples() {
		if _, ok := s.inner.(verbatim); ok {
			continue
		}
		message := s.encode()
		decoded := reflect.New(reflect.TypeOf(s.inner).Elem()).Interface().(interface {
			Decode([]byte, *Envelope, *Bounds) Fault
			Encode([]byte)
		})
		e := s.envelope()
		if f := decoded.Decode(message[EnvelopeBytes:], &e, &b); f.Faulty() {
			t.Fatalf("%s: %s", s.command, f.Error())
		}
		if !reflect.DeepEqual(decoded, s.inner) {
			t.Errorf("%s: decoded %+v, want %+v", s.command, decoded, s.inner)
		}
		again := bytes.Repeat([]byte{0xff}, InnerBytes)
		decoded.Encode(again)
		if !bytes.Equal(again, message[EnvelopeBytes:HeadBytes]) {
			t.Errorf("%s: encoded again it differs", s.command)
		}
	}
}

// Goal: any bytes that a decoder takes for an inner header are those that its encoder makes, for
// fields of any value.
func TestRoundTripOfAnyBytes(t *testing.T) {
	b := testBounds()
	rapid.Check(t, func(t *rapid.T) {
		for _, s := range samples() {
			if _, ok := s.inner.(verbatim); ok {
				continue
			}
			used := 0
			c := cursor{b: make([]byte, InnerBytes), writing: true, reserved: -1, note: func(_ string, at, n int) { used = at + n }}
			s.inner.fields(&c)
			inner := make([]byte, InnerBytes)
			s.inner.Encode(inner)
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				inner[rapid.IntRange(0, used-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			}
			decoded := reflect.New(reflect.TypeOf(s.inner).Elem()).Interface().(interface {
				Decode([]byte, *Envelope, *Bounds) Fault
				Encode([]byte)
			})
			e := s.envelope()
			if f := decoded.Decode(inner, &e, &b); f.Faulty() {
				if f.Rule == "" || !strings.Contains(f.Error(), f.Field) {
					t.Fatalf("%s: a fault without a rule: %+v", s.command, f)
				}
				continue
			}
			again := make([]byte, InnerBytes)
			decoded.Encode(again)
			if !bytes.Equal(again, inner) {
				t.Fatalf("%s: decoded and encoded again, %x becomes %x", s.command, inner, again)
			}
		}
	})
}

// Goal: every reserved byte of every message must be 0.
func TestReservedBytes(t *testing.T) {
	b := testBounds()
	for _, s := range samples() {
		whole := s.encode()
		check := func(at int) {
			whole[at] = 1
			_, f := checkAll(whole, &b)
			if f.Field != "reserved" && !f.long {
				t.Errorf("%s: byte %d of the head is 1: %q, want the fault of a reserved byte", s.command, at, f.Error())
			}
			whole[at] = 0
		}
		for at := 58; at < EnvelopeBytes; at++ {
			check(at)
		}
		if _, ok := s.inner.(verbatim); ok {
			continue
		}
		covered := make([]bool, InnerBytes)
		c := cursor{b: make([]byte, InnerBytes), writing: true, reserved: -1, note: func(name string, at, n int) {
			for i := at; i < at+n; i++ {
				covered[i] = name != "reserved"
			}
		}}
		s.inner.fields(&c)
		for at, isField := range covered {
			if !isField {
				check(EnvelopeBytes + at)
			}
		}
	}
}

// broken is a change of a sample that makes one field wrong.
type broken struct {
	command Command
	field   string // that the fault names
	value   uint64 // that the fault repeats
	change  func(e *Envelope, s *sample)
}

// with changes the inner header, which is of type M.
func with[M any](change func(m *M)) func(*Envelope, *sample) {
	return func(_ *Envelope, s *sample) { change(any(s.inner).(*M)) }
}

// resealed makes a prepare's header anew with other fields.
func resealed(change func(f *prepare.Fields)) func(*Envelope, *sample) {
	return func(e *Envelope, s *sample) {
		f := prepare.Fields{Cluster: testCluster, Op: 5, SizeBytes: prepare.HeaderBytes + e.BodyBytes, View: 4, RequestsCount: 1,
			Command: prepare.CommandPrepare, Replica: 1}
		change(&f)
		s.inner = verbatim(prepare.Put(make([]byte, prepare.HeaderBytes), &f, prepare.Sum(s.body)))
	}
}

// header changes one header of the body, which begins at an offset.
func header(at int, header []byte) func(*Envelope, *sample) {
	return func(e *Envelope, s *sample) {
		s.body = bytes.Clone(s.body)
		copy(s.body[at:], header)
		e.BodyChecksum = prepare.Sum(s.body)
	}
}

// Goal: each rule of each message is checked, and its fault names field and value.
func TestFaults(t *testing.T) {
	b := testBounds()
	zero := wire.Checksum{}
	other := chain(1010, 1010, 3)[0]
	sumOfOther := prepare.Sum(other)
	cases := []broken{
		{CommandPing, "command", 0, func(e *Envelope, _ *sample) { e.Command = 0 }},
		{CommandPing, "command", 20, func(e *Envelope, _ *sample) { e.Command = commandsCount }},
		{CommandPing, "author", 3, func(e *Envelope, _ *sample) { e.Author = 3 }},
		{CommandPing, "incarnation", 0, func(e *Envelope, _ *sample) { e.Incarnation = 0 }},
		{CommandPing, "body bytes", 1, func(e *Envelope, _ *sample) { e.BodyBytes = 1 }},
		{CommandPing, "body checksum", 1, func(e *Envelope, _ *sample) { e.BodyChecksum[0] = 1 }},
		{CommandPrepare, "body bytes", 1<<20 - 255, func(e *Envelope, _ *sample) { e.BodyBytes = 1<<20 - 255 }},
		{CommandRequest, "body bytes", 1<<20 - 255, func(e *Envelope, _ *sample) { e.BodyBytes = 1<<20 - 255 }},
		{CommandBlock, "body bytes", 512<<10 + 1, func(e *Envelope, _ *sample) { e.BodyBytes = 512<<10 + 1 }},
		{CommandBlock, "body bytes", 100, func(e *Envelope, _ *sample) { e.BodyBytes = 100 }},
		{CommandBlock, "body bytes", 16<<10 + 1, func(e *Envelope, _ *sample) { e.BodyBytes = 16<<10 + 1 }},
		{CommandHeaders, "body bytes", 65 * 256, func(e *Envelope, _ *sample) { e.BodyBytes = 65 * 256 }},
		{CommandHeaders, faultBody, 0, func(e *Envelope, _ *sample) { e.BodyChecksum = zero }},

		{CommandPing, "log view", 6, with(func(m *Ping) { m.State.LogView = 6 })},
		{CommandPing, "checkpoint op", 1002, with(func(m *Ping) { m.State.CheckpointOp = 1002 })},
		{CommandPing, "commit min", 1005, with(func(m *Ping) { m.State.CommitMin = 1005 })},
		{CommandPing, "release min", 0, with(func(m *Ping) { m.State.ReleaseMin = 0 })},
		{CommandPing, "release min", 3, with(func(m *Ping) { m.State.ReleaseMin = 3 })},
		{CommandPong, "status", 0, with(func(m *Pong) { m.State.Status = 0 })},
		{CommandPong, "status", 5, with(func(m *Pong) { m.State.Status = 5 })},
		{CommandPong, "clock agreed", 2, with(func(m *Pong) { m.State.ClockAgreed = 2 })},
		{CommandPong, "wall ns", 0, with(func(m *Pong) { m.WallNs = 0 })},
		{CommandCommit, "checksum", 0, with(func(m *Commit) { m.Checksum = zero })},
		{CommandCommit, "checkpoint op", 1005, with(func(m *Commit) { m.CheckpointOp = 1005 })},
		{CommandPrepareOK, "checksum", 0, with(func(m *PrepareOK) { m.Checksum = zero })},
		{CommandPrepareOK, "parent", 0, with(func(m *PrepareOK) { m.Parent = zero })},
		{CommandPrepareOK, "op", 0, with(func(m *PrepareOK) { m.Op = 0 })},
		{CommandStartViewChange, "cause", 0, with(func(m *StartViewChange) { m.Cause = 0 })},
		{CommandStartViewChange, "cause", 13, with(func(m *StartViewChange) { m.Cause = causeLast + 1 })},
		{CommandDoViewChange, "log view", 5, with(func(m *DoViewChange) { m.LogView = 5 })},
		{CommandDoViewChange, "headers count", 0, with(func(m *DoViewChange) { m.HeadersCount = 0 })},
		{CommandDoViewChange, "headers count", 10, with(func(m *DoViewChange) { m.HeadersCount = 10 })},
		{CommandDoViewChange, "headers count", 8, with(func(m *DoViewChange) { m.HeadersCount, m.Present = 8, 0 })},
		{CommandDoViewChange, "headers count", 9, with(func(m *DoViewChange) { m.Op = 7 })},
		{CommandDoViewChange, "present", 0x3fd, with(func(m *DoViewChange) { m.Present |= 0x200 })},
		{CommandDoViewChange, "nack", 0x200, with(func(m *DoViewChange) { m.Nack |= 0x200 })},
		{CommandDoViewChange, "checkpoint op", 1004, with(func(m *DoViewChange) { m.CheckpointOp = 1004 })},
		{CommandDoViewChange, "present", 0x1ff, with(func(m *DoViewChange) { m.Present |= 2 })},
		{CommandDoViewChange, "header op", 1011, with(func(m *DoViewChange) { m.Op = 1012 })},
		{CommandDoViewChange, "header op", 900, header(256, blank(900))},
		{CommandDoViewChange, "header command", 2, header(0, blank(1011))},
		{CommandDoViewChange, "header view", 5, header(0, chain(1011, 1011, 5)[0])},
		{CommandDoViewChange, "header checksum", 0, header(0, make([]byte, 8))},
		{CommandDoViewChange, "header parent", 0x3736353433323130, header(2*256, chain(1009, 1009, 4)[0])},
		{CommandStartView, "headers count", 0, with(func(m *StartView) { m.HeadersCount = 0 })},
		{CommandStartView, "headers count", 12, with(func(m *StartView) { m.HeadersCount = 12 })},
		{CommandStartView, "headers count", 9, with(func(m *StartView) { m.HeadersCount = 9 })},
		{CommandStartView, "commit max", 1012, with(func(m *StartView) { m.CommitMax = 1012 })},
		{CommandStartView, "op", 1011, with(func(m *StartView) { m.CommitMax = 1002 })},
		{CommandStartView, "checkpoint op", 1004, with(func(m *StartView) { m.CheckpointOp = 1004 })},
		{CommandStartView, "header op", 1011, with(func(m *StartView) { m.Op, m.CommitMax = 1012, 1010 })},
		{CommandStartView, "header command", 2, header(256, blank(1011))},
		{CommandStartView, "header view", 6, header(256, chain(1011, 1011, 6)[0])},
		{CommandStartView, "header op", 1012, header(512, chain(1012, 1012, 4)[0])},
		{CommandStartView, "header parent", little64(chain(1003, 1011, 4)[8][32:]), header(512, other)},
		{CommandRequestStartView, "nonce", 0, with(func(m *RequestStartView) { m.Nonce = 0 })},
		{CommandRequestHeaders, "op min", 1012, with(func(m *RequestHeaders) { m.OpMin = 1012 })},
		{CommandRequestHeaders, "op max", 1067, with(func(m *RequestHeaders) { m.OpMax = 1003 + 64 })},
		{CommandHeaders, "headers count", 0, with(func(m *Headers) { m.HeadersCount = 0 })},
		{CommandHeaders, "headers count", 65, with(func(m *Headers) { m.HeadersCount = 65 })},
		{CommandHeaders, "headers count", 8, with(func(m *Headers) { m.HeadersCount = 8 })},
		{CommandHeaders, "header op", 1011, header(256, chain(1011, 1011, 4)[0])},
		{CommandHeaders, "header parent", little64(chain(1003, 1011, 4)[8][32:]), header(256, chain(1010, 1010, 4)[0])},
		{CommandRequestPrepare, "op", 0, with(func(m *RequestPrepare) { m.Op = 0 })},
		{CommandRequestPrepare, "view of", 1, with(func(m *RequestPrepare) { m.ViewOf = 1 })},
		{CommandPrepareMissing, "op", 0, with(func(m *PrepareMissing) { m.Op = 0 })},
		{CommandPrepareMissing, "missing", 0, with(func(m *PrepareMissing) { m.Missing = 0 })},
		{CommandPrepareMissing, "missing", 3, with(func(m *PrepareMissing) { m.Missing = 3 })},
		{CommandRequestBlocks, "blocks count", 0, with(func(m *RequestBlocks) { m.BlocksCount = 0 })},
		{CommandRequestBlocks, "blocks count", 5, with(func(m *RequestBlocks) { m.BlocksCount = 5 })},
		{CommandRequestBlocks, "block address", 0, with(func(m *RequestBlocks) { m.Blocks[1].Address = 0 })},
		{CommandRequestBlocks, "block address", 4711, with(func(m *RequestBlocks) { m.Blocks[1].Address = 4711 })},
		{CommandRequestBlocks, "block address", 4712, with(func(m *RequestBlocks) { m.BlocksCount = 1 })},
		{CommandRequestBlocks, "block checksum", 0, with(func(m *RequestBlocks) { m.Blocks[0].Checksum = zero })},
		{CommandBlock, "block address", 0, with(func(m *Block) { m.Name.Address = 0 })},
		{CommandBlock, "block checksum", 9, with(func(m *Block) { m.Name.Checksum = wire.Checksum{9} })},
		{CommandBlockMissing, "block checksum", 0, with(func(m *BlockMissing) { m.Name.Checksum = zero })},
		{CommandBlockMissing, "missing", 3, with(func(m *BlockMissing) { m.Missing = 3 })},

		{CommandPrepare, "prepare checksum", 1, func(_ *Envelope, s *sample) { s.inner = verbatim{1, 0, 0, 0, 0, 0, 0, 0} }},
		{CommandPrepare, "prepare command", 2, resealed(func(f *prepare.Fields) { f.Command = prepare.CommandReserved })},
		{CommandPrepare, "op", 0, resealed(func(f *prepare.Fields) { f.Op = 0 })},
		{CommandPrepare, "prepare size", 557, resealed(func(f *prepare.Fields) { f.SizeBytes++ })},
		{CommandPrepare, "prepare view", 6, resealed(func(f *prepare.Fields) { f.View = 6 })},
		{CommandPrepare, "prepare replica", 3, resealed(func(f *prepare.Fields) { f.Replica = 3 })},
		{CommandPrepare, "requests count", 0, resealed(func(f *prepare.Fields) { f.RequestsCount = 0 })},
		{CommandPrepare, "prepare body checksum", little64(sumOfOther[:]), func(e *Envelope, s *sample) {
			f := prepare.Fields{Cluster: testCluster, Op: 5, SizeBytes: prepare.HeaderBytes + e.BodyBytes, RequestsCount: 1,
				Command: prepare.CommandPrepare}
			s.inner = verbatim(prepare.Put(make([]byte, prepare.HeaderBytes), &f, sumOfOther))
		}},
		{CommandPrepare, "requests", 4, resealed(func(f *prepare.Fields) { f.RequestsCount = 4 })},
		{CommandRequest, "request size", 256 + 32, func(e *Envelope, s *sample) { e.BodyBytes-- }},
		{CommandRequest, "request", 1, func(_ *Envelope, s *sample) { s.inner = verbatim{1} }},
	}
	for _, c := range cases {
		for _, s := range samples() {
			if s.command != c.command {
				continue
			}
			e := s.envelope()
			c.change(&e, &s)
			message := s.encode()
			if c.field == "request" {
				clear(message[EnvelopeBytes+1 : EnvelopeBytes+8])
			}
			e.Encode(message)
			_, f := checkAll(message, &b)
			if f.Field != c.field || f.Value != c.value || f.Authentic() == (c.field == faultBody) {
				t.Errorf("%s, %s: got %q (%+v), want a fault of this field with value %d", c.command, c.field, f.Error(), f, c.value)
			}
			if !strings.Contains(f.Error(), c.field+" is ") {
				t.Errorf("the text %q does not name %s", f.Error(), c.field)
			}
		}
	}
}

// Goal: nothing of it allocates.
func TestCodecsDoNotAllocate(t *testing.T) {
	b := testBounds()
	for _, s := range samples() {
		message := s.encode()
		if allocs := testing.AllocsPerRun(100, func() {
			if _, f := checkAll(message, &b); f.Faulty() {
				t.Fatal(f.Error())
			}
		}); allocs != 0 {
			t.Errorf("%s: decoding allocates %.1f times, want 0", s.command, allocs)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() {
		e := Envelope{Command: CommandPing, Incarnation: 1}
		m := Ping{ClockNs: 1}
		var head [HeadBytes]byte
		e.Encode(head[:])
		m.Encode(head[EnvelopeBytes:])
	}); allocs != 0 {
		t.Errorf("encoding allocates %.1f times, want 0", allocs)
	}
}

// Goal: each cause has words of its own for the line that every replica logs.
func TestCausesHaveWords(t *testing.T) {
	seen := map[string]bool{}
	for c := CauseSilent; c <= causeLast; c++ {
		if words := c.String(); words == "" || words == "unknown" || seen[words] {
			t.Errorf("cause %d: %q", c, words)
		}
		seen[c.String()] = true
	}
	if Cause(0).String() != "unknown" || (causeLast+1).String() != "unknown" {
		t.Error("a number that is no cause has words")
	}
}
