package frames

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"ledger/interop/server"
)

const recordings = "../testdata/wire"

// inOneDatabase are the scenarios that were recorded one after another on one database: later ones
// see the objects of earlier ones. go-02 to go-09 are one session on one connection.
var inOneDatabase = []string{
	"go-02-create-accounts", "go-03-create-transfers", "go-04-lookup", "go-05-account-queries", "go-06-queries",
	"go-07-change-events", "go-08-multi-batch", "go-09-max-batch",
	"raw-20-basic-session", "raw-21-duplicate-request", "raw-22-duplicate-connection", "raw-23-ping",
	"raw-24-two-clients-one-connection", "raw-25-framing-errors", "raw-26-invalid-headers", "raw-27-release",
	"raw-28-session-errors", "raw-29-operations-invalid", "raw-30-bodies-invalid", "raw-31-bodies-edge-valid",
	"raw-32-deprecated-sparse", "raw-33-deprecated-unbatched", "raw-34-eviction-by-table-overflow",
	"go-11-evicted", "raw-36-retry-across-restart", "go-12-server-restart",
	"old-client-0.16.20", "old-client-0.16.30", "old-client-0.16.45",
}

// oneSession are those whose connection stays open for the next scenario.
var oneSession = map[string]bool{
	"go-02-create-accounts": true, "go-03-create-transfers": true, "go-04-lookup": true, "go-05-account-queries": true,
	"go-06-queries": true, "go-07-change-events": true, "go-08-multi-batch": true,
}

// TestRecordings replays the scenarios of one database. Not a subtest each: they depend on one
// another.
func TestRecordings(t *testing.T) {
	// raw-27 was recorded with a development build of the reference, which serves clients of
	// releases up to its own.
	file := server.Format(t, server.Options{StartArgs: []string{"--cache-grid=256MiB", "--client-release-max=65535.0.0"}})
	process := file.StartOn(t, server.FreePort(t))
	p := newPlayer(process.Address)
	defer p.close()
	p.restart = func() error {
		process.Stop(t)
		process = file.StartOn(t, process.Port)
		return p.warmUp()
	}
	if err := p.warmUp(); err != nil {
		t.Fatal(err)
	}
	for _, scenario := range inOneDatabase {
		run(t, p, scenario)
		if !oneSession[scenario] {
			p.close()
		}
		if t.Failed() {
			t.Fatalf("the others build on this one; %s", process.LogTail())
		}
	}
	t.Logf("%d frames", p.framesCount)
}

// TestRecordingsOnServersOfTheirOwn replays the scenarios that want an empty server each.
func TestRecordingsOnServersOfTheirOwn(t *testing.T) {
	small := server.Options{StartArgs: []string{"--cache-grid=256MiB"}}
	for _, one := range []struct {
		scenarios []string
		options   server.Options
	}{
		{[]string{"worked-example"}, small},
		{[]string{"go-01-register", "go-01b-idle-ping"}, small},
		{[]string{"raw-35-batch-size-limit-32KiB"}, server.Options{Development: true}},
	} {
		t.Run(one.scenarios[0], func(t *testing.T) {
			process := server.Format(t, one.options).Start(t)
			p := newPlayer(process.Address)
			defer p.close()
			if err := p.warmUp(); err != nil {
				t.Fatal(err)
			}
			for _, scenario := range one.scenarios {
				run(t, p, scenario)
				p.close()
			}
		})
	}
}

// run replays a scenario and reports what differed.
func run(t *testing.T, p *player, scenario string) {
	t.Helper()
	steps, err := load(recordings, scenario)
	if err != nil {
		t.Fatal(err)
	}
	already := len(p.differences)
	if err := p.play(scenario, steps, p.hookOf(scenario, steps)); err != nil {
		t.Errorf("%v", err)
	}
	for i, difference := range p.differences[already:] {
		if i == 20 {
			t.Errorf("%s: and %d more", scenario, len(p.differences)-already-i)
			break
		}
		t.Error(difference)
	}
}

// hookOf is what the recording does not show, and where a server may differ from the reference.
func (p *player) hookOf(scenario string, steps []*step) hook {
	var skipFrom, skipTo int // sequence numbers to leave out
	return func(s *step) (skip bool, err error) {
		if skipTo != 0 && s.Seq >= skipFrom && s.Seq <= skipTo {
			return true, nil
		}
		switch fmt.Sprint(scenario, " ", s.Seq) {
		case "raw-34-eviction-by-table-overflow 6":
			return false, p.registerOthers(62)
		case "go-11-evicted 4":
			return false, p.registerOthers(64)
		case "raw-36-retry-across-restart 4", "go-12-server-restart 6":
			return false, p.restart()

		// The latest request was resent on a second connection. The reference answers on the first one;
		// a server whose route follows the latest request answers on the second.
		case "raw-21-duplicate-request 13":
			live, err := p.receive(2, silenceFor)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return true, nil
			} else if err != nil {
				return true, err
			}
			p.note(scenario, s, p.compare(steps[14].frame, live))
			skipFrom, skipTo = 14, 14
			return true, nil

		// A second client on one connection, or a replica's message: the reference keeps quiet,
		// a server that takes it for an error closes the connection.
		case "raw-24-two-clients-one-connection 3", "raw-26-invalid-headers 61":
			live, err := p.receive(s.Conn, silenceFor)
			if err == nil {
				p.note(scenario, s, []string{fmt.Sprintf("the server sent a %v, want silence", live.command())})
			} else if !errors.Is(err, os.ErrDeadlineExceeded) {
				skipFrom, skipTo = s.Seq, steps[len(steps)-1].Seq
			}
			return true, nil
		}
		return false, nil
	}
}

func (p *player) note(scenario string, s *step, differences []string) {
	for _, difference := range differences {
		p.differences = append(p.differences, fmt.Sprintf("%s, seq %d: %s", scenario, s.Seq, difference))
	}
}

// registerOthers registers clients that do nothing else. Each leaves its connection: a session does
// not need one.
func (p *player) registerOthers(count int) error {
	for range count {
		if err := p.registerOne(1); err != nil {
			return err
		}
	}
	return nil
}

// warmUp waits until the server takes requests. It may accept connections and drop requests before
// that, and a client that is connected while it executes its log again may get replies anew.
func (p *player) warmUp() error { return p.registerOne(40) }

// registerOne registers a client of its own on a connection of its own. It sends the request again
// when no reply comes, as every client does, up to so many times.
func (p *player) registerOne(tries int) error {
	const scratch = -1
	c, err := p.connect(scratch)
	if err != nil {
		return err
	}
	defer func() {
		c.Close()
		delete(p.connections, scratch)
	}()
	one := make(frame, headerBytes+256)
	one.setNumber(sizeField, uint64(len(one)))
	one.setNumber(releaseField, 0x1109)
	one.setNumber(commandField, uint64(request))
	rand.Read(one.get(requestClient))
	one.setNumber(requestOperation, 2)
	sum := one.bodyChecksum()
	copy(one.get(checksumBodyField), sum[:])
	one.seal()
	within := replyWithin
	if tries > 1 {
		within = 500 * time.Millisecond
	}
	for range tries {
		if _, err := c.Write(one); err != nil {
			return err
		}
		var answer frame
		answer, err = p.receive(scratch, within)
		if err == nil && (answer.command() != reply || answer.client() != one.client()) {
			return fmt.Errorf("registering another client: got a %v", answer.command())
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("registering another client: %w", err)
	}
	return nil
}

// TestChecksum holds our checksum to the vectors: a wrong one here would blame the server.
func TestChecksum(t *testing.T) {
	text, err := os.ReadFile(recordings + "/checksum-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Input  string `json:"input"`
		Length int    `json:"length"`
		Hex    string `json:"hex"`
		Tag    string `json:"tag"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, vector := range vectors {
		data := make([]byte, vector.Length)
		switch vector.Input {
		case "zeros":
		case "pattern":
			for i := range data {
				data[i] = byte(7*i + i/256)
			}
		case "hex":
			if data, err = hex.DecodeString(vector.Hex); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("unknown input %q", vector.Input)
		}
		if got := checksum(data); hex.EncodeToString(got[:]) != vector.Tag {
			t.Errorf("%s of %d bytes: %x, want %s", vector.Input, len(data), got, vector.Tag)
		}
	}
}
