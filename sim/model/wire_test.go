package model

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// recordedFrame is one line of the recordings of the client protocol.
type recordedFrame struct {
	Scenario, Dir, Header, Body, Note string
	BodyGzipBase64                    []byte `json:"body_gzip_base64"`

	frame []byte
}

// readRecordings returns the frames of all scenarios, in the order of each scenario.
func readRecordings(t *testing.T) []recordedFrame {
	t.Helper()
	file, err := os.Open("../../wire/testdata/frames.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []recordedFrame
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var f recordedFrame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		if f.Header == "" {
			continue
		}
		header, err := hex.DecodeString(f.Header)
		if err != nil {
			t.Fatal(err)
		}
		body, err := hex.DecodeString(f.Body)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.BodyGzipBase64) > 0 {
			zipped, err := gzip.NewReader(bytes.NewReader(f.BodyGzipBase64))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if _, err := out.ReadFrom(zipped); err != nil {
				t.Fatal(err)
			}
			body = out.Bytes()
		}
		f.frame = append(header, body...)
		if f.Dir == "c2s" && CheckFrame(f.frame, 1<<20) != nil {
			continue // broken on purpose
		}
		frames = append(frames, f)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return frames
}

// TestRecordedReplies: given the recorded requests, and from the recorded replies only op,
// timestamp, view and replica, the model makes every reply of the reference server, bit for bit.
func TestRecordedReplies(t *testing.T) {
	frames := readRecordings(t)
	databases := []struct {
		name            string
		scenarios       []string
		requestBytesMax uint32
		repliesMin      int
	}{
		{"main", []string{"go-02", "go-03", "go-04", "go-05", "go-06", "go-07", "go-08", "go-09", "go-11", "go-12", "raw-2", "raw-30", "raw-31",
			"raw-32", "raw-33", "raw-34", "raw-36", "old-client"}, 1 << 20, 100},
		{"go-01", []string{"go-01-", "go-01b"}, 1 << 20, 2},
		{"worked example", []string{"worked-example"}, 1 << 20, 5},
		{"32 KiB requests", []string{"raw-35"}, 32 << 10, 5},
		{"three replicas", []string{"go-40", "raw-42", "raw-43"}, 32 << 10, 15},
	}
	for _, database := range databases {
		t.Run(database.name, func(t *testing.T) {
			requests := map[Checksum][]byte{}
			var replies [][]byte
			for _, f := range frames {
				if !slices.ContainsFunc(database.scenarios, func(prefix string) bool { return strings.HasPrefix(f.Scenario, prefix) }) {
					continue
				}
				switch f.frame[114] {
				case CommandRequest:
					requests[Checksum(f.frame[:16])] = f.frame
				case CommandReply:
					replies = append(replies, f.frame)
				}
			}
			op := func(reply []byte) uint64 { return little.Uint64(reply[208:]) }
			slices.SortStableFunc(replies, func(a, b []byte) int { return int(op(a)) - int(op(b)) })
			server := NewServer(Config{SessionsMax: 1000, MessageBytesMax: 1 << 20, RequestBytesMax: database.requestBytesMax})
			var made []byte
			for i, reply := range replies {
				if err := CheckFrame(reply, 1<<20); err != nil {
					t.Fatal(err)
				}
				h, _, err := ParseFrame(reply)
				if err != nil {
					t.Fatalf("op %d: %v", h.Op, err)
				}
				if i > 0 && h.Op == op(replies[i-1]) {
					if err := SameReply(reply, made); err != nil {
						t.Fatalf("op %d, sent again: %v", h.Op, err)
					}
					continue
				}
				request := requests[h.RequestChecksum]
				if request == nil {
					t.Fatalf("op %d replies to a request that was not recorded", h.Op)
				}
				if reason := (Limits{1 << 20, database.requestBytesMax}).Refusal(request, 0x1004, 0xffff0000); reason != 0 {
					t.Fatalf("op %d: the model would refuse the request, reason %d", h.Op, reason)
				}
				committed := FromRequest(request)
				committed.Op, committed.Timestamp, committed.View, committed.Replica = h.Op, h.Timestamp, h.View, h.Replica
				if made, err = server.Commit(&committed); err != nil {
					t.Fatal(err)
				}
				if err := SameReply(reply, made); err != nil {
					t.Fatalf("op %d, operation %d: %v", h.Op, h.Operation, err)
				}
			}
			if len(replies) < database.repliesMin {
				t.Fatalf("only %d replies were compared", len(replies))
			}
			t.Logf("%d replies are equal", len(replies))
		})
	}
}

// TestRecordedRefusals: the reasons of the recorded evictions that depend on the request alone are
// the model's.
func TestRecordedRefusals(t *testing.T) {
	compared := 0
	last := map[Number][]byte{} // a client's latest request
	scenario := ""
	for _, f := range readRecordings(t) {
		if f.Scenario != scenario {
			scenario = f.Scenario
			clear(last)
		}
		h, _, _ := ParseFrame(f.frame)
		switch h.Command {
		case CommandRequest:
			last[h.Client] = f.frame
		case CommandEviction:
			request := last[h.Client]
			if request == nil || h.Reason < EvictReleaseTooLow || h.Reason > EvictInvalidBodySize {
				continue
			}
			limit := uint32(1 << 20)
			if strings.HasPrefix(scenario, "raw-35") {
				limit = 32 << 10
			}
			if got := (Limits{1 << 20, limit}).Refusal(request, 0x1004, 0xffff0000); got != h.Reason {
				t.Errorf("%s (%s): the model's reason is %d, want %d", scenario, f.Note, got, h.Reason)
			}
			compared++
		}
	}
	if compared < 20 {
		t.Fatalf("only %d evictions were compared", compared)
	}
	t.Logf("%d evictions are equal", compared)
}
