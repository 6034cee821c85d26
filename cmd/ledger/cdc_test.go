package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/accounting"
	"ledger/client"
	"ledger/wire"
)

// moving makes accounts 1 and 2 on a server, and then transfers with the ids first to last.
func moving(t *testing.T, s *served, first, last uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), endsWithin)
	defer cancel()
	address := s.port
	if !strings.Contains(address, ":") {
		address = "127.0.0.1:" + address
	}
	c, err := client.New(ctx, client.Options{Addresses: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	one, two := wire.U128From(1), wire.U128From(2)
	if _, err := c.CreateAccounts(ctx, []client.Account{{ID: one, Ledger: 1, Code: 1}, {ID: two, Ledger: 1, Code: 1}}); err != nil {
		t.Fatal(err)
	}
	for first <= last {
		var batch []client.Transfer
		for ; first <= last && len(batch) < 200; first++ {
			batch = append(batch, client.Transfer{ID: wire.U128From(first), DebitAccountID: one, CreditAccountID: two, Amount: one, Ledger: 1,
				Code: 1})
		}
		results, err := c.CreateTransfers(ctx, batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			if result.Status != accounting.TransferStatusCreated {
				t.Fatalf("a transfer is %s", result.Status)
			}
		}
	}
}

// transferIDs are those of the events in a text.
func transferIDs(t *testing.T, text string) (ids []uint64) {
	t.Helper()
	for line := range strings.Lines(text) {
		var event struct{ Transfer struct{ ID uint64 } }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, event.Transfer.ID)
	}
	return ids
}

// isSequence tells whether ids are first to last, each once and in order.
func isSequence(ids []uint64, first, last uint64) bool {
	for i, id := range ids {
		if id != first+uint64(i) {
			return false
		}
	}
	return uint64(len(ids)) == last-first+1
}

// readAll reads the files of a sink, the rotated ones first.
func readAll(t *testing.T, path string) string {
	t.Helper()
	rotated, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range append(rotated, path) { // Glob sorts them
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// Goal: events reach a file and stdout. The next run goes on behind the last one; --timestamp-last
// begins anywhere.
func TestCdc(t *testing.T) {
	s := harness(t, formatted(t))
	path := filepath.Join(t.TempDir(), "events.jsonl")
	arguments := []string{"cdc", "--addresses=" + s.port, "--follow=false"}
	for last := uint64(300); last <= 900; last += 300 {
		moving(t, s, last-299, last)
		status, stdout, stderr := ended(t, nil, append(arguments, "--sink=jsonl:"+path, "--rotate=64KiB", "--event-count-max=100")...)
		if status != exitDone || stdout != "" || !strings.Contains(stderr, "300 events were written; the last timestamp is ") {
			t.Fatalf("status %d: %s%s", status, stdout, stderr)
		}
		if ids := transferIDs(t, readAll(t, path)); !isSequence(ids, 1, last) {
			t.Fatalf("%d events, want 1 to %d", len(ids), last)
		}
	}
	if rotated, _ := filepath.Glob(path + ".*"); len(rotated) < 3 {
		t.Errorf("only %d files were rotated", len(rotated))
	}
	for _, sink := range []string{"jsonl:-", "-"} {
		status, stdout, stderr := ended(t, nil, append(arguments, "--sink="+sink)...)
		if ids := transferIDs(t, stdout); status != exitDone || !isSequence(ids, 1, 900) {
			t.Errorf("%s: status %d, %d events: %s", sink, status, len(ids), stderr)
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(stdout, `{"timestamp":"`), `"`)
		_, stdout, _ = ended(t, nil, append(arguments, "--sink="+sink, "--timestamp-last="+first)...)
		if ids := transferIDs(t, stdout); !isSequence(ids, 2, 900) {
			t.Errorf("%s: %d events behind the first", sink, len(ids))
		}
	}
}

// following starts a job that follows events into a file.
func following(t *testing.T, address, path string, environment []string, flags ...string) (job *exec.Cmd, messages *bytes.Buffer) {
	t.Helper()
	job = command(environment, append([]string{"cdc", "--addresses=" + address, "--sink=jsonl:" + path, "--idle-interval-ms=1"}, flags...)...)
	messages = &bytes.Buffer{}
	job.Stderr = messages
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = job.Process.Kill() })
	return job, messages
}

// has waits until a file has so many lines.
func has(t *testing.T, path string, lines int) {
	t.Helper()
	for deadline := time.Now().Add(endsWithin); ; time.Sleep(time.Millisecond) {
		count := 0
		names, _ := filepath.Glob(path + "*")
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err == nil {
				count += bytes.Count(text, []byte{'\n'})
			}
		}
		if count >= lines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has %d lines, want %d", path, count, lines)
		}
	}
}

// Goal: a job that is killed at any moment, again and again, leaves no gap and no duplicate, and so
// does a server that is killed. A job that is asked to end does so with status 0.
func TestCdcKilled(t *testing.T) {
	address, path := freePort(t), filepath.Join(t.TempDir(), "events.jsonl")
	data := formatted(t)
	s := on(t, address, data)
	const rounds, perRound = 10, 300
	for round := range uint64(rounds) {
		job, _ := following(t, address, path, nil, "--rotate=64KiB", "--event-count-max="+strconv.Itoa(7+int(round)))
		moving(t, s, 1+round*perRound, (round+1)*perRound)
		has(t, path, int(round*perRound+10*(round+1))) // somewhere in this round
		if round == rounds/2 {
			_ = s.Process.Kill()
			_ = s.Wait()
			s = on(t, address, data)
			has(t, path, int((round+1)*perRound))
		}
		_ = job.Process.Kill()
		_ = job.Wait()
	}
	job, messages := following(t, address, path, nil)
	moving(t, s, 1+rounds*perRound, (rounds+1)*perRound) // so that lines of this job are there, which then takes signals
	has(t, path, (rounds+1)*perRound)
	if err := job.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := wait(t, job); status != exitDone || !strings.Contains(messages.String(), "events were written") {
		t.Errorf("status %d: %s", status, messages)
	}
	if ids := transferIDs(t, readAll(t, path)); !isSequence(ids, 1, (rounds+1)*perRound) {
		t.Errorf("%d events, want 1 to %d, each once and in order", len(ids), (rounds+1)*perRound)
	}
}

// Goal: a sink that takes nothing any more stops the job only until it does again, and no line is
// lost or written twice. Here a limit on file sizes plays the full disk.
func TestCdcFullDisk(t *testing.T) {
	s := harness(t, formatted(t))
	path := filepath.Join(t.TempDir(), "events.jsonl")
	moving(t, s, 1, 1000)
	job := command([]string{fileSize + "=100000"}, "cdc", "--addresses="+s.port, "--sink=jsonl:"+path, "--event-count-max=50",
		"--follow=false")
	messages, err := job.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = job.Process.Kill() })
	said := ""
	for buffer := make([]byte, 4096); !strings.Contains(said, "the sink fails"); {
		count, err := messages.Read(buffer)
		said += string(buffer[:count])
		if err != nil {
			t.Fatalf("the job ends: %s", said)
		}
	}
	boundless := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(job.Process.Pid, unix.RLIMIT_FSIZE, &boundless, nil); err != nil {
		t.Skipf("a limit cannot be raised here: %v", err)
	}
	rest, _ := io.ReadAll(messages)
	if status := wait(t, job); status != exitDone {
		t.Errorf("status %d: %s%s", status, said, rest)
	}
	if ids := transferIDs(t, readAll(t, path)); !isSequence(ids, 1, 1000) {
		t.Errorf("%d events, want 1 to 1000, each once and in order", len(ids))
	}
}

// Goal: a reader of stdout that goes away ends the job with status 1.
func TestCdcBrokenPipe(t *testing.T) {
	s := harness(t, formatted(t))
	moving(t, s, 1, 1000)
	job := command(nil, "cdc", "--addresses="+s.port, "--sink=jsonl:-", "--event-count-max=1")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var messages bytes.Buffer
	job.Stdout, job.Stderr = writer, &messages
	if err := job.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	_, _ = reader.Read(make([]byte, 1))
	_ = reader.Close()
	if status := wait(t, job); status != exitRefused && status != -1 {
		t.Errorf("status %d: %s", status, messages.String())
	}
}

// Goal: every event of the manual's list of fields is there.
func TestCdcManual(t *testing.T) {
	manual, err := os.ReadFile("../../docs/cdc.md")
	if err != nil {
		t.Fatal(err)
	}
	s := harness(t, formatted(t))
	moving(t, s, 1, 1)
	_, stdout, _ := ended(t, nil, "cdc", "--addresses="+s.port, "--sink=-", "--follow=false")
	var event map[string]any
	if err := json.Unmarshal([]byte(stdout), &event); err != nil {
		t.Fatal(err)
	}
	check := func(name string) {
		if !strings.Contains(string(manual), fmt.Sprintf("%q:", name)) {
			t.Errorf("the manual lacks %s", name)
		}
	}
	for name, value := range event {
		check(name)
		if inner, ok := value.(map[string]any); ok {
			for name := range inner {
				check(name)
			}
		}
	}
}
