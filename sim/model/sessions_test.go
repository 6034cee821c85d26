package model

import (
	"strings"
	"testing"
)

// script commits requests of a few clients, the way a log does.
type script struct {
	t         *testing.T
	server    *Server
	timestamp uint64
}

func newScript(t *testing.T, sessionsMax int) *script {
	return &script{t: t, server: NewServer(Config{SessionsMax: sessionsMax, MessageBytesMax: testLimit, RequestBytesMax: testLimit}),
		timestamp: 1000}
}

func (s *script) commit(op, client uint64, request uint32, parent Checksum, session uint64) (Header, error) {
	s.t.Helper()
	s.timestamp += 10
	operation, body := Noop, []byte{}
	if request == 0 {
		operation, body = Register, make([]byte, 256)
	}
	reply, err := s.server.Commit(&Committed{Op: op, Timestamp: s.timestamp, View: 3, Replica: 1, Client: Num(client), Request: request,
		RequestChecksum: Checksum{1, byte(client), byte(request)}, Release: 0x1109, Operation: operation, Body: body, Session: session,
		Parent: parent})
	if err != nil {
		return Header{}, err
	}
	if err := CheckFrame(reply, testLimit); err != nil {
		s.t.Fatal(err)
	}
	h, _, err := ParseFrame(reply)
	if err != nil {
		s.t.Fatal(err)
	}
	return h, nil
}

// wasEvicted tells whether a client had a session and has none.
func (s *script) wasEvicted(client Number) bool {
	return s.server.LostSession(client) && s.server.sessions[client] == nil
}

func (s *script) must(op, client uint64, request uint32) Header {
	s.t.Helper()
	h, err := s.commit(op, client, request, Checksum{}, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

func (s *script) mustFail(why string, op, client uint64, request uint32, parent Checksum, session uint64) {
	s.t.Helper()
	_, err := s.commit(op, client, request, parent, session)
	if err == nil || !strings.Contains(err.Error(), why) {
		s.t.Fatalf("op %d: the error is %v, want one with %q", op, err, why)
	}
}

// TestSessionEviction: a register in a full table removes the session whose last reply is oldest;
// of one op, the earlier request.
func TestSessionEviction(t *testing.T) {
	s := newScript(t, 3)
	s.must(2, 1, 0)
	s.must(3, 2, 0)
	s.must(4, 3, 0)
	s.must(5, 1, 1)
	s.must(6, 4, 0) // removes 2
	if !s.wasEvicted(Num(2)) || len(s.server.sessions) != 3 {
		t.Fatal("client 2 was not evicted")
	}
	// A group: 3 before 1, then 4. The next register removes 3.
	s.must(7, 3, 1)
	s.must(7, 1, 2)
	s.must(7, 4, 1)
	s.must(8, 5, 0)
	if !s.wasEvicted(Num(3)) || s.wasEvicted(Num(1)) {
		t.Fatal("of one op, the earlier request's session goes first")
	}
	// A request that was in the pipeline when its session went executes; there can be only one.
	s.must(9, 3, 2)
	if len(s.server.sessions) != 3 || !s.wasEvicted(Num(3)) {
		t.Fatal("an evicted client came back")
	}
	s.mustFail("was evicted", 10, 3, 3, Checksum{}, 0)
}

// TestSessionViolations: what a log can never hold.
func TestSessionViolations(t *testing.T) {
	s := newScript(t, 3)
	first := s.must(2, 1, 0)
	s.mustFail("registered already", 3, 1, 0, Checksum{}, 0)
	s.mustFail("never registered", 3, 9, 1, Checksum{}, 0)
	s.mustFail("request before was 0", 3, 1, 2, Checksum{}, 0)
	s.mustFail("the session is 7", 3, 1, 1, first.Context, 7)
	s.mustFail("the parent is", 3, 1, 1, Checksum{9}, 2)
	second, err := s.commit(3, 1, 1, first.Context, first.Op)
	if err != nil {
		t.Fatal(err)
	}
	if second.Op != 3 || second.View != 3 || second.Replica != 1 || second.Release != 0x1109 || second.Context == first.Context {
		t.Fatalf("the reply is %+v", second)
	}
	s.mustFail("twice executed", 4, 1, 1, first.Context, first.Op)
	s.mustFail("op 2 after op 4", 2, 1, 2, second.Context, first.Op)
	s.timestamp = 0
	s.mustFail("timestamp", 5, 1, 2, second.Context, first.Op)
}

// TestSameReply: a reply sent again in a later view is the same one; nothing else may differ, and
// no earlier view.
func TestSameReply(t *testing.T) {
	header := Header{View: 4, Release: 9, Command: CommandReply, Client: Num(1), Op: 3, Timestamp: 7, Request: 1, Operation: Noop}
	made := header.Frame([]byte("body"))
	resent := append([]byte{}, made...)
	resent[104] = 6
	Seal(resent)
	if err := SameReply(resent, made); err != nil {
		t.Fatal(err)
	}
	if SameReply(made, resent) == nil {
		t.Fatal("a reply of an earlier view passes")
	}
	if err := CheckFrame(resent, testLimit); err != nil {
		t.Fatal(err)
	}
	for i := range made {
		damaged := append([]byte{}, made...)
		damaged[i] ^= 1
		if SameReply(damaged, made) == nil {
			t.Fatalf("a difference in byte %d passes", i)
		}
		if i < 104 || i >= 108 { // not the view
			Seal(damaged)
			if i >= 48 && SameReply(damaged, made) == nil {
				t.Fatalf("a sealed difference in byte %d passes", i)
			}
		}
	}
}

// FuzzParseFrame: no bytes make the parser fail otherwise than by an error, and what it accepts is
// made of the same bytes again.
func FuzzParseFrame(f *testing.F) {
	for _, command := range []uint8{CommandPing, CommandPong, CommandRequest, CommandReply, CommandEviction} {
		h := Header{Release: 1, Command: command, Client: Num(5), Session: 2, Request: 3, Operation: Noop, Op: 4, Timestamp: 0, Reason: 1}
		if command == CommandReply {
			h.Timestamp = 9
		}
		f.Add(h.Frame(nil))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < headerBytes {
			return
		}
		little.PutUint32(frame[96:], uint32(len(frame)))
		Seal(frame)
		h, body, err := ParseFrame(frame)
		if err != nil || h.Command == CommandReply { // a reply's context is what its maker says
			return
		}
		if again := h.Frame(body); string(again) != string(frame) {
			t.Fatalf("%x is parsed and made again as %x", frame, again)
		}
	})
}
