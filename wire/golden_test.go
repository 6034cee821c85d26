package wire

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// recorded is one frame or event of the recordings. See testdata/README.md.
type recorded struct {
	Scenario, Dir, Command, Operation, Note, Event, Header, Body, Raw string
	Seq, Conn, Size                                                   int

	header *Header
	body   []byte
}

func (r *recorded) String() string {
	return fmt.Sprintf("%s seq %d (%s %s %q)", r.Scenario, r.Seq, r.Command, r.Operation, r.Note)
}

func (r *recorded) fromClient() bool { return r.Dir == "c2s" }

// recordings returns everything that was recorded, in order.
func recordings(t testing.TB) []*recorded {
	t.Helper()
	file, err := os.Open("testdata/frames.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 4<<20)
	var all []*recorded
	for lines.Scan() {
		r := &recorded{}
		if err := json.Unmarshal(lines.Bytes(), r); err != nil {
			t.Fatal(err)
		}
		if r.Header != "" {
			header, err := hex.DecodeString(r.Header)
			if err != nil {
				t.Fatal(err)
			}
			if r.body, err = hex.DecodeString(r.Body); err != nil {
				t.Fatal(err)
			}
			r.header = HeaderOf(header)
		}
		all = append(all, r)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// frames returns the recorded frames alone.
func frames(t testing.TB) []*recorded {
	t.Helper()
	var all []*recorded
	for _, r := range recordings(t) {
		if r.header != nil {
			all = append(all, r)
		}
	}
	if len(all) != 574 {
		t.Fatalf("%d recorded frames, want 574", len(all))
	}
	return all
}

// brokenRules names the recorded requests that break a rule of the header, by what their sender
// noted, and the verdict. raw-26 shows silence where we close for a command of servers: the
// specification advises it, and allows the difference.
var brokenRules = map[string]Verdict{
	"header checksum broken":              VerdictDrop,
	"body checksum broken":                VerdictDrop,
	"wrong cluster id 5":                  VerdictDrop,
	"size=255":                            VerdictDrop,
	"size=1MiB+1":                         VerdictDrop,
	"command=pong_client sent to server":  VerdictDrop,
	"protocol=1":                          VerdictIgnore,
	"epoch=1":                             VerdictIgnore,
	"checksum_padding!=0":                 VerdictIgnore,
	"nonce!=0":                            VerdictIgnore,
	"reserved_frame!=0":                   VerdictIgnore,
	"reserved!=0":                         VerdictIgnore,
	"latency padding!=0":                  VerdictIgnore,
	"register with session=1":             VerdictIgnore,
	"register with request=1":             VerdictIgnore,
	"register with parent":                VerdictIgnore,
	"register with 128-byte body":         VerdictIgnore,
	"release=0":                           VerdictIgnore,
	"operation 3, no body":                VerdictIgnore,
	"operation 4 (pulse) from a client":   VerdictIgnore,
	"operation 5 (upgrade) from a client": VerdictIgnore,
	"operation 1 (root)":                  VerdictIgnore,
	"operation 7, no body":                VerdictIgnore,
	"operation 127, no body":              VerdictIgnore,
}

// parseVerdict runs all steps of a parser over one frame.
func parseVerdict(p *Parser, h *Header, body []byte) (Verdict, Fault) {
	if verdict, fault := p.ParseHeader(h); verdict != VerdictOK {
		return verdict, fault
	}
	if verdict, fault := p.VerifyBody(h, body); verdict != VerdictOK {
		return verdict, fault
	}
	return p.CheckMessage(h)
}

// Every recorded frame gets the verdict that the recording shows: what the server answered is OK,
// what it closed on is a drop, what it kept silent about for a rule of the header is ignored. All
// frames of the server are fine to a client.
func TestRecordedVerdicts(t *testing.T) {
	server, client := NewParser(U128{}, SideServer), NewParser(U128{}, SideClient)
	seen := map[string]bool{}
	for _, r := range frames(t) {
		parser, want := &client, VerdictOK
		if r.fromClient() {
			parser = &server
			if broken, ok := brokenRules[r.Note]; ok {
				want, seen[r.Note] = broken, true
			}
		}
		verdict, fault := parseVerdict(parser, r.header, r.body)
		if verdict != want || (verdict == VerdictOK) != (fault == "") {
			t.Errorf("%v: verdict %v (%q), want %v", r, verdict, fault, want)
		}
	}
	for note := range brokenRules {
		if !seen[note] {
			t.Errorf("no recorded frame is noted %q", note)
		}
	}
}

// A frame that the server closed on or kept silent about is not judged OK here and fine to the
// session: the only silent ones that pass all header rules are those that the view, the timestamp,
// the session or the route decides.
func TestRecordedSilence(t *testing.T) {
	decidedLater := []string{"view=100", "timestamp=1"}
	parser := NewParser(U128{}, SideServer)
	all := recordings(t)
	for i, r := range all {
		if r.header == nil || !r.fromClient() || i+1 == len(all) || !strings.HasPrefix(all[i+1].Event, "no data") {
			continue
		}
		if r.Scenario != "raw-26-invalid-headers" && r.Scenario != "raw-29-operations-invalid" {
			continue
		}
		later := false
		for _, prefix := range decidedLater {
			later = later || strings.HasPrefix(r.Note, prefix)
		}
		if verdict, _ := parseVerdict(&parser, r.header, r.body); (verdict == VerdictOK) != later {
			t.Errorf("%v: verdict %v, but the server kept silent", r, verdict)
		}
	}
}

// All checksums of the recordings agree with ours, at any alignment, except where they were broken
// on purpose.
func TestRecordedChecksums(t *testing.T) {
	buffer := make([]byte, MessageBytesMax+64)
	for i, r := range frames(t) {
		offset := i % 33
		frame := buffer[offset : offset+HeaderBytes+len(r.body)]
		copy(frame, r.header.Bytes())
		copy(frame[HeaderBytes:], r.body)
		h := HeaderOf(frame)
		if got := h.ComputeChecksum(); (got == h.Checksum()) == (r.Note == "header checksum broken") {
			t.Errorf("%v: checksum %v, recorded %v", r, got, h.Checksum())
		}
		if got := ChecksumOf(frame[HeaderBytes:]); (got == h.ChecksumBody()) == (r.Note == "body checksum broken") {
			t.Errorf("%v: body checksum %v, recorded %v", r, got, h.ChecksumBody())
		}
	}
}

// Every frame, taken apart into fields and built again from them, has the recorded bytes:
// checksums, contexts and all. Only what was broken on purpose has no builder.
func TestRecordedFramesRebuild(t *testing.T) {
	resealed := 0
	for _, r := range frames(t) {
		if _, broken := brokenRules[r.Note]; broken && !strings.HasPrefix(r.Note, "operation ") && !strings.HasPrefix(r.Note, "register with") {
			continue
		}
		h := r.header
		var built Header
		switch h.Command() {
		case CommandPingClient:
			BuildPing(&built, &PingFields{h.Cluster(), h.PingClient(), h.PingTimestampNs(), h.PingSession(), h.Release()})
		case CommandPongClient:
			BuildPong(&built, &ServerFields{h.Cluster(), h.View(), h.Release(), h.Replica()}, h.PongTimestampNs())
		case CommandEviction:
			BuildEviction(&built, &ServerFields{h.Cluster(), h.View(), h.Release(), h.Replica()}, h.EvictionClient(), h.EvictionReason())
		case CommandRequest:
			BuildRequest(&built, &RequestFields{
				Cluster: h.Cluster(), Client: h.RequestClient(), Parent: h.RequestParent(), Session: h.RequestSession(),
				Number: h.RequestNumber(), View: h.View(), PreviousLatency: binary.LittleEndian.Uint32(h[200:]), Release: h.Release(),
				Operation: h.RequestOperation(),
			}, r.body)
			if h.RequestTimestamp() != 0 {
				built.SetRequestTimestamp(h.RequestTimestamp())
				built.Seal(r.body)
			}
		case CommandReply:
			fields := replyFieldsOf(h)
			BuildReply(&built, &fields, r.body)
			if built != *h && r.Scenario == "raw-36-retry-across-restart" {
				// Sent again in a later view: the context is the one of the first view.
				fields.View--
				BuildReply(&built, &fields, r.body)
				ResealReply(&built, h.View())
				resealed++
			}
		default:
			t.Fatalf("%v: unexpected command", r)
		}
		if built != *h {
			t.Errorf("%v: built\n%x, recorded\n%x", r, built, *h)
		}
	}
	if resealed != 1 {
		t.Errorf("%d replies were sent again in another view, want 1", resealed)
	}
}

func replyFieldsOf(h *Header) ReplyFields {
	return ReplyFields{
		Cluster: h.Cluster(), Client: h.ReplyClient(), RequestChecksum: h.ReplyRequestChecksum(),
		RequestNumber: h.ReplyRequestNumber(), Release: h.Release(), Operation: h.ReplyOperation(),
		Op: h.ReplyOp(), Timestamp: h.ReplyTimestamp(), View: h.View(), Replica: h.Replica(),
	}
}

// productionBatchBytesMax and developmentBatchBytesMax are the limits that the reference server
// tells its clients.
const (
	productionBatchBytesMax  = BodyBytesMax
	developmentBatchBytesMax = 32<<10 - HeaderBytes
)

// releaseRecorded is the release of the reference server that was recorded, a development build,
// and its limit for clients.
const releaseRecorded = Release(65535 << 16)

func limitsOf(r *recorded) RequestLimits {
	limits := RequestLimits{ReleaseClientMin, releaseRecorded, productionBatchBytesMax, false}
	if strings.Contains(r.Scenario, "32KiB") || strings.Contains(r.Scenario, "three-replicas") {
		limits.BatchBytesMax = developmentBatchBytesMax
	}
	return limits
}

// Every recorded request is refused exactly where the server evicted for a reason that needs no
// session table.
func TestRecordedEvictions(t *testing.T) {
	parser := NewParser(U128{}, SideServer)
	all := recordings(t)
	counts := map[EvictionReason]int{}
	for i, r := range all {
		if r.header == nil || !r.fromClient() || r.header.Command() != CommandRequest {
			continue
		}
		if verdict, _ := parseVerdict(&parser, r.header, r.body); verdict != VerdictOK {
			continue
		}
		want := EvictionNone
		if i+1 < len(all) && all[i+1].header != nil && all[i+1].header.Command() == CommandEviction {
			want = all[i+1].header.EvictionReason()
		}
		if strings.HasSuffix(r.Note, "to a backup") {
			continue // backups evict nobody
		}
		if want == EvictionNoSession || want >= EvictionSessionTooLow {
			want = EvictionNone // the session table's
		}
		limits := limitsOf(r)
		measure, got, fault := limits.CheckRequest(r.header, r.body)
		operation := r.header.RequestOperation()
		if got == EvictionNone && measure.EventsCount != EventsCount(operation, r.body) {
			t.Errorf("%v: measured %+v", r, measure)
		}
		if got != want || (got == EvictionNone) != (fault == "") {
			t.Errorf("%v: eviction %v (%q), want %v", r, got, fault, want)
		}
		counts[got]++
	}
	for reason := EvictionNone; reason <= EvictionInvalidBodySize; reason++ {
		if counts[reason] == 0 && reason != EvictionNoSession {
			t.Errorf("no recorded request meets %v", reason)
		}
	}
	t.Logf("requests by reason: %v", counts)
}

// Every recorded reply belongs to its request: as many batches, never more results than promised;
// and both bodies, taken apart into batches, encode to the recorded bytes again.
func TestRecordedBodies(t *testing.T) {
	requests := map[Checksum]*recorded{}
	repliesCount := 0
	for _, r := range frames(t) {
		if r.header.Command() == CommandRequest {
			requests[r.header.Checksum()] = r
		}
	}
	for _, r := range frames(t) {
		if r.header.Command() != CommandReply {
			continue
		}
		request := requests[r.header.ReplyRequestChecksum()]
		if request == nil {
			continue // sent on a connection that was not recorded
		}
		repliesCount++
		operation, limits := r.header.ReplyOperation(), limitsOf(r)
		var fields ReplyFields
		fields.SetRequest(request.header)
		if got := replyFieldsOf(r.header); fields.Client != got.Client || fields.RequestNumber != got.RequestNumber ||
			fields.Release != got.Release || fields.Operation != got.Operation || fields.Cluster != got.Cluster {
			t.Errorf("%v: fields %+v, from the request %+v", r, got, fields)
		}
		measure, fault := MeasureBody(operation, request.body, limits.BatchBytesMax)
		if fault != "" || uint32(len(r.body)) > measure.ReplyBytesMax {
			t.Errorf("%v: reply of %d bytes, promised at most %d %s", r, len(r.body), measure.ReplyBytesMax, fault)
		}
		if operation == OperationRegister {
			if got := RegisterReplyBatchBytesMax(r.body); got != limits.BatchBytesMax {
				t.Errorf("%v: batch_size_limit %d, want %d", r, got, limits.BatchBytesMax)
			}
			body := make([]byte, RegisterReplyBytes)
			if PutRegisterReplyBody(body, limits.BatchBytesMax); string(body) != string(r.body) {
				t.Errorf("%v: body %x, want %x", r, body, r.body)
			}
			continue
		}
		if !operation.IsMultiBatch() {
			continue
		}
		events, fault := DecodeBatches(request.body, operation.EventBytes())
		if fault != "" {
			t.Errorf("%v: request's trailer: %v", r, fault)
			continue
		}
		results, fault := DecodeBatches(r.body, operation.ResultBytes())
		if fault != "" || results.Left() != events.Left() {
			t.Errorf("%v: reply's trailer: %q, %d batches for %d", r, fault, results.Left(), events.Left())
			continue
		}
		if got := EventsCount(operation, request.body); got != uint32(events.ElementsLeft()) {
			t.Errorf("%v: %d events, want %d", r, got, events.ElementsLeft())
		}
		if operation == OperationCreateAccounts && results.ElementsLeft() != events.ElementsLeft() {
			t.Errorf("%v: %d results for %d events", r, results.ElementsLeft(), events.ElementsLeft())
		}
		if got := reencode(request.body, events, operation.EventBytes()); string(got) != string(request.body) {
			t.Errorf("%v: request's body encodes to other bytes", r)
		}
		if got := reencode(r.body, results, operation.ResultBytes()); string(got) != string(r.body) {
			t.Errorf("%v: reply's body encodes to other bytes", r)
		}
	}
	if repliesCount < 100 {
		t.Errorf("only %d replies found their request", repliesCount)
	}
}

// reencode writes batches into a buffer with some bytes to spare.
func reencode(body []byte, batches Batches, elementBytes uint32) []byte {
	encoder := NewBatchEncoder(make([]byte, min(len(body)+101, MessageBytesMax)), elementBytes, batches.Left())
	for {
		elements, ok := batches.Next()
		if !ok {
			return encoder.Finish()
		}
		encoder.EndBatch(copy(encoder.Free(), elements) / int(elementBytes))
	}
}
