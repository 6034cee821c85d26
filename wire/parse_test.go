package wire

import (
	"bytes"
	"testing"
)

var (
	testCluster = U128{Lo: 7, Hi: 9}
	testClient  = U128{Lo: 0x0807060504030201, Hi: 0x100f0e0d0c0b0a09}
)

// message makes one valid message of each kind, for the tests to break.
func message(t testing.TB, command Command, operation Operation) []byte {
	frame := make([]byte, HeaderBytes, 1<<10)
	h := HeaderOf(frame)
	server := ServerFields{Cluster: testCluster, View: 3, Release: ReleaseAnnounced, Replica: 5}
	switch command {
	case CommandPingClient:
		BuildPing(h, &PingFields{Cluster: testCluster, Client: testClient, TimestampNs: 11, Session: 12, Release: ReleaseCurrent})
	case CommandPongClient:
		BuildPong(h, &server, 11)
	case CommandEviction:
		BuildEviction(h, &server, testClient, EvictionNoSession)
	case CommandRequest:
		fields := RequestFields{Cluster: testCluster, Client: testClient, Release: ReleaseCurrent, Operation: operation, View: 1}
		switch operation {
		case OperationRegister, OperationReconfigure:
			frame = append(frame, make([]byte, RegisterBodyBytes)...)
		case OperationLookupAccounts:
			encoder := NewBatchEncoder(frame[HeaderBytes:cap(frame)], U128Bytes, 1)
			encoder.EndBatch(1)
			frame = append(frame, encoder.Finish()...)
		}
		if operation != OperationRegister {
			fields.Parent, fields.Session, fields.Number = Checksum{1}, 12, 1
		}
		BuildRequest(HeaderOf(frame), &fields, frame[HeaderBytes:])
	case CommandReply:
		fields := ReplyFields{Cluster: testCluster, Client: testClient, Release: ReleaseCurrent, Operation: operation, Op: 2, Timestamp: 1,
			View: 3}
		if operation == OperationRegister {
			frame = frame[:HeaderBytes+RegisterReplyBytes]
			PutRegisterReplyBody(frame[HeaderBytes:], BodyBytesMax)
		} else {
			fields.RequestNumber = 1
		}
		BuildReply(HeaderOf(frame), &fields, frame[HeaderBytes:])
	default:
		t.Fatalf("no message of command %v", command)
	}
	return frame
}

func sideOf(command Command) Side {
	if command == CommandRequest || command == CommandPingClient {
		return SideServer
	}
	return SideClient
}

// Each rule of the header on its own: a message that is fine but for one field gets the verdict of
// that rule.
func TestHeaderRules(t *testing.T) {
	const noop, register, lookup, reconfigure = OperationNoop, OperationRegister, OperationLookupAccounts, OperationReconfigure
	ping, pong, request, reply, eviction := CommandPingClient, CommandPongClient, CommandRequest, CommandReply, CommandEviction
	cases := []struct {
		name      string
		command   Command
		operation Operation
		breakIt   func(h *Header)
		want      Verdict
	}{
		{"ping", ping, 0, func(h *Header) {}, VerdictOK},
		{"ping of an old client", ping, 0, func(h *Header) { h.SetPingTimestampNs(0); h.SetPingSession(0) }, VerdictOK},
		{"ping view", ping, 0, func(h *Header) { h.SetView(1) }, VerdictIgnore},
		{"ping release", ping, 0, func(h *Header) { h.SetRelease(0) }, VerdictIgnore},
		{"ping replica", ping, 0, func(h *Header) { h.SetReplica(1) }, VerdictIgnore},
		{"ping client", ping, 0, func(h *Header) { h.SetPingClient(U128{}) }, VerdictIgnore},
		{"ping reserved first", ping, 0, func(h *Header) { h[160] = 1 }, VerdictIgnore},
		{"ping reserved last", ping, 0, func(h *Header) { h[255] = 1 }, VerdictIgnore},
		{"ping size", ping, 0, func(h *Header) { h.SetSizeBytes(257) }, VerdictDrop}, // the body, if any, has another checksum
		{"request client", request, lookup, func(h *Header) { h.SetRequestClient(U128{}) }, VerdictDrop},
		{"request view is consensus' business", request, lookup, func(h *Header) { h.SetView(1 << 31) }, VerdictOK},
		{"request timestamp is consensus' business", request, lookup, func(h *Header) { h.SetRequestTimestamp(1) }, VerdictOK},
		{"request release", request, lookup, func(h *Header) { h.SetRelease(0) }, VerdictIgnore},
		{"request replica", request, lookup, func(h *Header) { h.SetReplica(1) }, VerdictIgnore},
		{"request parent padding", request, lookup, func(h *Header) { h[144] = 1 }, VerdictIgnore},
		{"request parent padding last", request, lookup, func(h *Header) { h[159] = 1 }, VerdictIgnore},
		{"request padding first", request, lookup, func(h *Header) { h[197] = 1 }, VerdictIgnore},
		{"request padding last", request, lookup, func(h *Header) { h[199] = 1 }, VerdictIgnore},
		{"request latency", request, lookup, func(h *Header) { h.SetRequestPreviousLatency(1) }, VerdictOK},
		{"request reserved first", request, lookup, func(h *Header) { h[204] = 1 }, VerdictIgnore},
		{"request reserved last", request, lookup, func(h *Header) { h[255] = 1 }, VerdictIgnore},
		{"request session", request, lookup, func(h *Header) { h.SetRequestSession(0) }, VerdictIgnore},
		{"request number", request, lookup, func(h *Header) { h.SetRequestNumber(0) }, VerdictIgnore},
		{"request parent may be anything", request, lookup, func(h *Header) { h.SetRequestParent(Checksum{}) }, VerdictOK},
		{"request operation 0", request, lookup, func(h *Header) { h.SetRequestOperation(0) }, VerdictIgnore},
		{"request operation 127", request, lookup, func(h *Header) { h.SetRequestOperation(127) }, VerdictIgnore},
		{"request operation 128", request, lookup, func(h *Header) { h.SetRequestOperation(128) }, VerdictOK},
		{"request operation 255", request, lookup, func(h *Header) { h.SetRequestOperation(255) }, VerdictOK},
		{"register", request, register, func(h *Header) {}, VerdictOK},
		{"register parent", request, register, func(h *Header) { h.SetRequestParent(Checksum{15: 1}) }, VerdictIgnore},
		{"register session", request, register, func(h *Header) { h.SetRequestSession(1) }, VerdictIgnore},
		{"register number", request, register, func(h *Header) { h.SetRequestNumber(1) }, VerdictIgnore},
		{"noop", request, noop, func(h *Header) {}, VerdictOK},
		{"noop session", request, noop, func(h *Header) { h.SetRequestSession(0) }, VerdictIgnore},
		{"noop with a body", request, lookup, func(h *Header) { h.SetRequestOperation(noop) }, VerdictIgnore},
		{"reconfigure", request, reconfigure, func(h *Header) {}, VerdictOK},
		{"reconfigure body", request, lookup, func(h *Header) { h.SetRequestOperation(reconfigure) }, VerdictIgnore},
		{"pong", pong, 0, func(h *Header) {}, VerdictOK},
		{"pong release", pong, 0, func(h *Header) { h.SetRelease(0) }, VerdictIgnore},
		{"pong replica", pong, 0, func(h *Header) { h.SetReplica(6) }, VerdictIgnore},
		{"pong reserved", pong, 0, func(h *Header) { h[136] = 1 }, VerdictIgnore},
		{"reply", reply, noop, func(h *Header) {}, VerdictOK},
		{"reply replica", reply, noop, func(h *Header) { h.SetReplica(200) }, VerdictOK},
		{"reply client", reply, noop, func(h *Header) { h.SetReplyClient(U128{}) }, VerdictIgnore},
		{"reply op", reply, noop, func(h *Header) { h.SetReplyOp(0); h.SetReplyCommit(0) }, VerdictIgnore},
		{"reply commit", reply, noop, func(h *Header) { h.SetReplyCommit(3) }, VerdictIgnore},
		{"reply timestamp", reply, noop, func(h *Header) { h.SetReplyTimestamp(0) }, VerdictIgnore},
		{"reply number", reply, noop, func(h *Header) { h.SetReplyRequestNumber(0) }, VerdictIgnore},
		{"reply padding of checksum", reply, noop, func(h *Header) { h[159] = 1 }, VerdictIgnore},
		{"reply padding of context", reply, noop, func(h *Header) { h[176] = 1 }, VerdictIgnore},
		{"reply reserved", reply, noop, func(h *Header) { h[237] = 1 }, VerdictIgnore},
		{"reply to register", reply, register, func(h *Header) {}, VerdictOK},
		{"reply to register number", reply, register, func(h *Header) { h.SetReplyRequestNumber(1) }, VerdictIgnore},
		{"eviction", eviction, 0, func(h *Header) {}, VerdictOK},
		{"eviction release", eviction, 0, func(h *Header) { h.SetRelease(0) }, VerdictIgnore},
		{"eviction client", eviction, 0, func(h *Header) { h.SetEvictionClient(U128{}) }, VerdictIgnore},
		{"eviction reason 0", eviction, 0, func(h *Header) { h.SetEvictionReason(0) }, VerdictIgnore},
		{"eviction reason 8", eviction, 0, func(h *Header) { h.SetEvictionReason(8) }, VerdictOK},
		{"eviction reason 9", eviction, 0, func(h *Header) { h.SetEvictionReason(9) }, VerdictIgnore},
		{"eviction reserved", eviction, 0, func(h *Header) { h[254] = 1 }, VerdictIgnore},
		{"checksum padding", ping, 0, func(h *Header) { h[31] = 1 }, VerdictIgnore},
		{"body checksum padding", ping, 0, func(h *Header) { h[48] = 1 }, VerdictIgnore},
		{"nonce", ping, 0, func(h *Header) { h[79] = 1 }, VerdictIgnore},
		{"epoch", ping, 0, func(h *Header) { h[103] = 1 }, VerdictIgnore},
		{"protocol", ping, 0, func(h *Header) { h[113] = 1 }, VerdictIgnore},
		{"reserved frame first", ping, 0, func(h *Header) { h[116] = 1 }, VerdictIgnore},
		{"reserved frame last", ping, 0, func(h *Header) { h[127] = 1 }, VerdictIgnore},
		{"cluster low", ping, 0, func(h *Header) { h[80] ^= 1 }, VerdictDrop},
		{"cluster high", request, lookup, func(h *Header) { h[95] ^= 1 }, VerdictDrop},
		{"cluster of a broken message", ping, 0, func(h *Header) { h[95] ^= 1; h[255] = 1 }, VerdictDrop},
		{"size 255", ping, 0, func(h *Header) { h.SetSizeBytes(255) }, VerdictDrop},
		{"size above the maximum", request, lookup, func(h *Header) { h.SetSizeBytes(MessageBytesMax + 1) }, VerdictDrop},
		{"size huge", request, lookup, func(h *Header) { h.SetSizeBytes(1<<32 - 1) }, VerdictDrop},
		{"body checksum", request, lookup, func(h *Header) { h.SetChecksumBody(Checksum{}) }, VerdictDrop},
		{"body checksum of nothing", ping, 0, func(h *Header) { h.SetChecksumBody(Checksum{}) }, VerdictDrop},
	}
	for _, c := range cases {
		frame := message(t, c.command, c.operation)
		h, body := HeaderOf(frame), frame[HeaderBytes:]
		c.breakIt(h)
		h.SetChecksum(h.ComputeChecksum())
		parser := NewParser(testCluster, sideOf(c.command))
		if got, fault := parseVerdict(&parser, h, body); got != c.want || (got == VerdictOK) != (fault == "") {
			t.Errorf("%s: verdict %v (%q), want %v", c.name, got, fault, c.want)
		}
	}
}

// Commands: only two of them reach a server; a client skips what it does not know but for
// impossible numbers.
func TestCommands(t *testing.T) {
	server, client := NewParser(testCluster, SideServer), NewParser(testCluster, SideClient)
	for number := range 256 {
		command := Command(number)
		frame := message(t, CommandPingClient, 0)
		h := HeaderOf(frame)
		h.SetCommand(command)
		h[160] = 1 // a request has its client here
		h.SetChecksum(h.ComputeChecksum())
		verdict, _ := parseVerdict(&server, h, nil)
		if fromClient := command == CommandPingClient || command == CommandRequest; (verdict == VerdictDrop) != !fromClient {
			t.Errorf("command %d to a server: verdict %v", number, verdict)
		}
		verdict, _ = parseVerdict(&client, h, nil)
		if (verdict == VerdictDrop) != (number > 24) || verdict == VerdictOK {
			t.Errorf("command %d to a client: verdict %v", number, verdict)
		}
	}
}

// Each message but the pong knows its client, and a getter's client is the one of its builder.
func TestClientOfMessage(t *testing.T) {
	for command, want := range map[Command]U128{
		CommandPingClient: testClient, CommandRequest: testClient, CommandReply: testClient, CommandEviction: testClient, CommandPongClient: {},
	} {
		if got := HeaderOf(message(t, command, OperationNoop)).Client(); got != want {
			t.Errorf("%v: client %v, want %v", command, got, want)
		}
	}
}

// A flipped bit anywhere in a message closes the connection.
func TestFlippedBits(t *testing.T) {
	parser := NewParser(testCluster, SideServer)
	frame := message(t, CommandRequest, OperationLookupAccounts)
	for bit := range 8 * len(frame) {
		frame[bit/8] ^= 1 << (bit % 8)
		if verdict, _ := parseVerdict(&parser, HeaderOf(frame), frame[HeaderBytes:]); verdict != VerdictDrop {
			t.Errorf("bit %d flipped: verdict %v", bit, verdict)
		}
		frame[bit/8] ^= 1 << (bit % 8)
	}
	if verdict, fault := parseVerdict(&parser, HeaderOf(frame), frame[HeaderBytes:]); verdict != VerdictOK {
		t.Errorf("nothing flipped: verdict %v (%v)", verdict, fault)
	}
	if verdict, _ := parser.VerifyBody(HeaderOf(frame), frame[HeaderBytes:len(frame)-1]); verdict != VerdictDrop {
		t.Error("a body of another length passes")
	}
}

// Release, size and operation are refused in this order, before the body is looked at.
func TestCheckRequestOrder(t *testing.T) {
	const developmentBytes = developmentBatchBytesMax
	limits := RequestLimits{ReleaseClientMin, ReleaseOf(1, 0, 0), developmentBytes, false}
	large := make([]byte, developmentBytes+1)
	register := make([]byte, RegisterBodyBytes)
	cases := []struct {
		name      string
		release   Release
		operation Operation
		body      []byte
		want      EvictionReason
	}{
		{"too low beats all", ReleaseClientMin - 1, 200, large, EvictionReleaseTooLow},
		{"too high beats all", ReleaseOf(1, 0, 1), 200, large, EvictionReleaseTooHigh},
		{"size beats operation", ReleaseClientMin, 200, large, EvictionInvalidBodySize},
		{"operation", ReleaseClientMin, 200, nil, EvictionInvalidOperation},
		{"pulse", ReleaseClientMin, OperationPulse, nil, EvictionInvalidOperation},
		{"reconfigure", ReleaseClientMin, OperationReconfigure, register, EvictionInvalidOperation},
		{"largest body that is invalid", ReleaseOf(1, 0, 0), OperationCreateAccounts, large[:developmentBytes], EvictionInvalidBody},
		{"register", ReleaseClientMin, OperationRegister, register, EvictionNone},
		{"register without body", ReleaseClientMin, OperationRegister, nil, EvictionInvalidBodySize},
		{"register with a body of ones", ReleaseClientMin, OperationRegister, bytes.Repeat([]byte{1}, RegisterBodyBytes), EvictionInvalidBody},
		{"noop", ReleaseClientMin, OperationNoop, nil, EvictionNone},
	}
	for _, c := range cases {
		var h Header
		BuildRequest(&h, &RequestFields{Client: testClient, Release: c.release, Operation: c.operation}, c.body)
		if _, got, fault := limits.CheckRequest(&h, c.body); got != c.want {
			t.Errorf("%s: %v (%q), want %v", c.name, got, fault, c.want)
		}
	}
}

// The way of a message through parsing, checking and answering allocates nothing.
func TestMessagesAllocateNothing(t *testing.T) {
	frame := message(t, CommandRequest, OperationLookupAccounts)
	reply := make([]byte, 1<<10)
	server, client := NewParser(testCluster, SideServer), NewParser(testCluster, SideClient)
	limits := RequestLimits{ReleaseClientMin, ReleaseClientMax, BodyBytesMax, false}
	var fault Fault
	allocs := testing.AllocsPerRun(1000, func() {
		h, body := HeaderOf(frame), frame[HeaderBytes:]
		if _, fault = parseVerdict(&server, h, body); fault != "" {
			return
		}
		if _, _, fault = limits.CheckRequest(h, body); fault != "" {
			return
		}
		operation := h.RequestOperation()
		batches := RequestBatches(operation, body)
		encoder := NewReplyEncoder(operation, reply[HeaderBytes:], batches.Left())
		for {
			if _, ok := batches.Next(); !ok {
				break
			}
			encoder.EndBatch(1)
		}
		fields := ReplyFields{Op: 2, Timestamp: 1}
		fields.SetRequest(h)
		answer := HeaderOf(reply)
		replyBody := encoder.Finish()
		BuildReply(answer, &fields, replyBody)
		ResealReply(answer, 4)
		if _, fault = parseVerdict(&client, answer, replyBody); fault != "" {
			return
		}
		breakReserved(h)
		if _, fault = parseVerdict(&server, h, body); fault == "" {
			panic("a broken message passes")
		}
		BuildRequest(h, &RequestFields{Cluster: testCluster, Client: testClient, Session: 12, Number: 1, Release: ReleaseCurrent,
			Operation: operation}, body)
		var small Header
		BuildPong(&small, &ServerFields{Release: 1}, 1)
		BuildEviction(&small, &ServerFields{Release: 1}, testClient, EvictionNoSession)
		BuildPing(&small, &PingFields{})
		fault = ""
	})
	if allocs != 0 || fault != "" {
		t.Fatalf("a message's way allocates %.1f times, want 0; fault %q", allocs, fault)
	}
}

// breakReserved breaks a rule, with a right checksum.
func breakReserved(h *Header) {
	h[255] = 1
	h.SetChecksum(h.ComputeChecksum())
}

// FuzzParse: no header makes a parser or a field's getter panic, on either side, its checksum being
// right or not; and what is judged OK is judged the same again.
func FuzzParse(f *testing.F) {
	for _, r := range frames(f) {
		if len(r.body) < 512 {
			f.Add(append(r.header.Bytes(), r.body...))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < HeaderBytes {
			return
		}
		frame := bytes.Clone(data)
		h, body := HeaderOf(frame), frame[HeaderBytes:]
		parsers := [2]Parser{NewParser(h.Cluster(), SideServer), NewParser(h.Cluster(), SideClient)}
		limits := RequestLimits{ReleaseClientMin, ReleaseClientMax, BodyBytesMax, false}
		for round := range 2 {
			for i := range parsers {
				verdict, fault := parseVerdict(&parsers[i], h, body)
				if (verdict == VerdictOK) != (fault == "") {
					t.Fatalf("verdict %v with fault %q", verdict, fault)
				}
				if verdict == VerdictOK && h.Command() == CommandRequest {
					_, reason, fault := limits.CheckRequest(h, body)
					if (reason == EvictionNone) != (fault == "") || reason.String() == "unknown" {
						t.Fatalf("reason %v with fault %q", reason, fault)
					}
				}
			}
			if round == 0 {
				h.Seal(body)
			}
		}
		if !bytes.Equal(body, data[HeaderBytes:]) {
			t.Fatal("the body was changed")
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	frame := message(b, CommandRequest, OperationLookupAccounts)
	parser := NewParser(testCluster, SideServer)
	limits := RequestLimits{ReleaseClientMin, ReleaseClientMax, BodyBytesMax, false}
	b.ReportAllocs()
	for b.Loop() {
		if verdict, _ := parseVerdict(&parser, HeaderOf(frame), frame[HeaderBytes:]); verdict != VerdictOK {
			b.Fatal(verdict)
		}
		if _, reason, _ := limits.CheckRequest(HeaderOf(frame), frame[HeaderBytes:]); reason != EvictionNone {
			b.Fatal(reason)
		}
	}
}

func BenchmarkBuildReply(b *testing.B) {
	frame := make([]byte, HeaderBytes+32)
	fields := ReplyFields{Client: testClient, Op: 2, Timestamp: 1, RequestNumber: 1, Operation: OperationCreateTransfers}
	b.ReportAllocs()
	for b.Loop() {
		BuildReply(HeaderOf(frame), &fields, frame[HeaderBytes:])
	}
}

// A member request has to name a data file, and a replica of a cluster that can replace one. A
// server of one replica knows no such request.
func TestMember(t *testing.T) {
	body := make([]byte, MemberBodyBytes)
	PutMember(body, &Member{Incarnation: 7, Replica: 2, ReplicasCount: 3})
	if got := MemberOf(body); got != (Member{Incarnation: 7, Replica: 2, ReplicasCount: 3}) {
		t.Fatalf("read back: %+v", got)
	}
	for what, change := range map[string]func(b []byte) []byte{
		"no file":           func(b []byte) []byte { b[0] = 0; return b },
		"two replicas":      func(b []byte) []byte { b[8], b[9] = 1, 2; return b },
		"seven replicas":    func(b []byte) []byte { b[9] = 7; return b },
		"no such replica":   func(b []byte) []byte { b[8] = 3; return b },
		"padding is not 0":  func(b []byte) []byte { b[15] = 1; return b },
		"a byte is missing": func(b []byte) []byte { return b[:15] },
		"empty":             func([]byte) []byte { return nil },
	} {
		if ValidateBody(OperationMember, change(append([]byte{}, body...)), productionBatchBytesMax) == "" {
			t.Errorf("%s: the body is valid", what)
		}
	}
	if fault := ValidateBody(OperationMember, body, productionBatchBytesMax); fault != "" {
		t.Errorf("a valid body: %s", fault)
	}
}
