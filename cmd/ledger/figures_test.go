package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"ledger/admin"
	"ledger/client"
	"ledger/config"
)

// looks are two looks at a server, two seconds apart.
func looks() (then, now *admin.Status) {
	then = &admin.Status{Version: "1.2.3", UpNs: 10e9, Role: "primary", Cluster: "340282366920938463463374607431768211455", Replicas: 3,
		Requests: 100, Transfers: 1_000_000,
		Threads: []admin.StatusThread{{Name: "net+consensus+journal+apply", SteppingNs: 1e9, ParkedNs: 9e9}, {Name: "compact"}},
		Stages:  []admin.StatusStage{{Name: "net", Thread: "net+consensus+journal+apply", BusyNs: 5e8}},
		Rings:   []admin.StatusRing{{Name: "net_to_consensus", Events: 3, Highest: 9, Capacity: 64}, {Name: "b", Events: 7}},
		Times: []admin.StatusTime{{Name: "request: service", SumNs: 1000, MaxNs: 1 << 30,
			Cells: [][2]uint64{{100, 10}, {200, 5}, {1 << 30, 1}}}},
		Clients: []admin.StatusClient{{Client: "4", Request: 7, Release: "0.17.9", Address: "[2001:db8::1]:65535"}, {Client: "9"}},
		Disk:    []admin.StatusDisk{{Kind: "log_write", Bytes: 1 << 20}},
		Peers: []admin.StatusPeer{{Replica: 1, Connection: "live", IsKnown: true, HeardNs: 5e6, AgeNs: 7e6, Op: 9, CommitOp: 8, LagOps: 1},
			{Replica: 2, Connection: "awaited"}},
	}
	text, err := json.Marshal(then)
	if err != nil {
		panic(err)
	}
	now = &admin.Status{}
	if err := json.Unmarshal(text, now); err != nil {
		panic(err)
	}
	now.UpNs, now.Requests, now.Transfers = 12e9, 150, 3_000_000
	now.Threads[0].SteppingNs, now.Threads[0].ParkedNs, now.Threads[0].Calls = 15e8, 105e8, 40
	now.Stages[0].BusyNs = 15e8
	now.Times[0].Cells = [][2]uint64{{100, 10}, {200, 103}, {400, 2}, {1 << 30, 1}}
	now.Times[0].SumNs = 1000 + 98*200 + 2*400
	now.Clients[0].Request = 11
	now.Disk[0].Bytes = 5 << 20
	now.File = admin.StatusFile{Bytes: 4 << 30, UsedBytes: 3 << 30, FreeBytes: 96 << 30, GrowthBytes: 1 << 30, GrowthOverNs: uint64(time.Hour)}
	return then, now
}

// rowOf is the row whose first cell begins with name.
func rowOf(t *testing.T, shown table, name string) []cell {
	t.Helper()
	for _, row := range shown.rows {
		if strings.HasPrefix(row[0].text, name) {
			return row
		}
	}
	t.Fatalf("table %s has no row %q", shown.name, name)
	return nil
}

// Goal: rates, shares and percentiles are those between two looks; without a first look there are
// none, and a restart between two looks is noticed.
func TestFigures(t *testing.T) {
	then, now := looks()
	f := newFigures(then, now)
	text := func(row []cell) string {
		var texts []string
		for _, c := range row {
			texts = append(texts, c.text)
		}
		return strings.Join(texts, " | ")
	}
	for _, test := range []struct {
		shown      table
		name, want string
	}{
		{f.times(), "request", "request: service | 50 | 204ns | 200ns | 400ns | 400ns"},
		{f.threads(), "net", "net+consensus+journal+apply | 25.0% | 0.0% | 75.0% | 20"},
		{f.stages(), "net", "net | 50.0% | 0 | net+consensus+journal+apply"},
		{f.rings(), "net", "net_to_consensus | 3 | 9 | 64"},
		{f.clients(), "4", "4 | [2001:db8::1]:65535 | 0.17.9 | 11 | 2 | 0"},
		{f.clients(), "9", "9 | - |  | 0 | 0 | 0"},
		{f.replicas(), "1", "1 | live | 5ms | 7ms | 9 | 8 | 1"},
		{f.replicas(), "2", "2 | awaited | never | - | 0 | 0 | 0"},
		{f.disk(), "log", "log_write | 2.0 MiB | 5.0 MiB"},
	} {
		if got := text(rowOf(t, test.shown, test.name)); got != test.want {
			t.Errorf("%s: %q, want %q", test.shown.name, got, test.want)
		}
	}
	head := strings.Join(f.head(), "\n")
	for _, want := range []string{"25 requests", "1.0M transfers", "+1.0 GiB an hour, full in 4.0 days", "primary"} {
		if !strings.Contains(head, want) {
			t.Errorf("the head does not say %q:\n%s", want, head)
		}
	}
	only := newFigures(nil, now)
	if got := text(rowOf(t, only.times(), "request")); only.seconds() != 0 || got != "request: service | 0 | 184ns | 200ns | 400ns | 1.07s" {
		t.Errorf("one look: %q", got)
	}
	if again := newFigures(now, then); again.then != nil {
		t.Error("a restart is not noticed")
	}
}

// Goal: a table sorts by each column, numbers from the largest and texts from the first, and back.
func TestTableSorts(t *testing.T) {
	then, now := looks()
	for _, test := range []struct {
		column  int
		reverse bool
		want    string
	}{{-1, false, "net_to_consensus b"}, {0, false, "b net_to_consensus"}, {0, true, "net_to_consensus b"}, {1, false, "b net_to_consensus"},
		{1, true, "net_to_consensus b"}, {3, false, "net_to_consensus b"}} {
		shown := newFigures(then, now).rings()
		shown.sortBy(test.column, test.reverse)
		var names []string
		for _, row := range shown.rows {
			names = append(names, row[0].text)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("by column %d, reverse %v: %s, want %s", test.column, test.reverse, got, test.want)
		}
	}
}

// Goal: every screen fits 80 columns and 24 lines, and every key does what the foot says.
func TestTopKeys(t *testing.T) {
	then, now := looks()
	shown := &top{addresses: config.Addresses{{Host: "127.0.0.1", Port: 1}, {Host: "127.0.0.1", Port: 2}}, sorted: -1}
	screen := func() string {
		t.Helper()
		text := shown.screen(80, 24)
		lines := strings.Split(strings.TrimPrefix(text, screenHome), lineEnd)
		if len(lines) != 24 {
			t.Errorf("%d lines:\n%s", len(lines), text)
		}
		for _, line := range lines {
			if line = strings.TrimSuffix(line, screenRest); utf8.RuneCountInString(line) > 80 {
				t.Errorf("%d columns: %q", len(line), line)
			}
		}
		return text
	}
	wants := func(key string, want string) {
		t.Helper()
		for i := range len(key) {
			if !shown.press(key[i]) {
				t.Errorf("key %q ends", key[i])
			}
		}
		if text := screen(); !strings.Contains(text, want) {
			t.Errorf("after %q the screen does not say %q:\n%s", key, want, text)
		}
	}
	wants("", "waiting for 127.0.0.1:1")
	shown.take(look{0, answer{err: errLog{}}})
	wants("", "310 of 895 ops")
	shown.take(look{0, answer{status: then}})
	shown.take(look{0, answer{status: now}})
	wants("", "request: service")
	wants("2", "net+consensus+journal+apply")
	wants("3", "stage ")
	wants("4s", "ring*")
	wants("s", "events*")
	wants("r", "events*")
	wants("5", "[2001:db8::1]:65535")
	wants("6", "awaited")
	wants("7", "log_write")
	wants("h", "pause, and go on")
	wants("h", "log_write")
	wants("p", "PAUSED")
	shown.take(look{0, answer{err: errLog{}}})
	wants("", "log_write")
	if strings.Contains(screen(), "310 of 895 ops") {
		t.Error("a pause shows new figures")
	}
	wants(" ", "log_write")
	shown.take(look{0, answer{err: errLog{}}})
	wants("", "older figures: 127.0.0.1:9")
	wants("n", "waiting for 127.0.0.1:2")
	for _, key := range []byte{'q', 3, 4} {
		if shown.press(key) {
			t.Errorf("key %d does not end", key)
		}
	}
	if lines := len(strings.Split(shown.screen(10, 3), lineEnd)); lines != 3 {
		t.Errorf("a screen of 3 lines has %d", lines)
	}
}

// Goal: status of a real server has its clients, and as text it fits 80 columns; of a server that
// is not there, the error says what to do.
func TestStatusCommand(t *testing.T) {
	metrics := freeAddress(t)
	s := harness(t, formatted(t), "--metrics-address="+metrics)
	c, err := client.New(t.Context(), client.Options{Addresses: []string{"127.0.0.1:" + s.port}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	status, stdout, stderr := ran(t, "status", "--metrics="+metrics, "--interval=100ms")
	for _, want := range []string{"primary", "sessions 1 of 64", "serves clients", "127.0.0.1:", "net_to_consensus", "request: service",
		"log_write"} {
		if status != exitDone || !strings.Contains(stdout, want) {
			t.Errorf("status %d, does not say %q:\n%s%s", status, want, stdout, stderr)
		}
	}
	for line := range strings.Lines(stdout) {
		if utf8.RuneCountInString(line) > screenColumns+1 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
	status, stdout, stderr = ran(t, "status", "--metrics="+metrics, "--interval=100ms", "--json")
	var decoded admin.Status
	if err := json.Unmarshal([]byte(stdout), &decoded); status != exitDone || err != nil || len(decoded.Clients) != 1 {
		t.Errorf("status %d, %v: %s%s", status, err, stdout, stderr)
	}
	status, stdout, stderr = ran(t, "status", "--metrics="+freeAddress(t)+","+metrics, "--interval=100ms")
	if status != exitRefused || !strings.Contains(stdout, "primary") || !strings.Contains(stderr, "start the server with --metrics-address=") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	status, _, stderr = ran(t, "status", "--metrics=127.0.0.1:"+s.port, "--interval=100ms")
	if status != exitRefused || !strings.Contains(stderr, "is this the metrics address of a server?") {
		t.Errorf("status %d: %s", status, stderr)
	}
	if status, _, stderr = ran(t, "top", "--metrics="+metrics); status != exitRefused || !strings.Contains(stderr, "ledger status writes") {
		t.Errorf("top without a terminal: status %d: %s", status, stderr)
	}
}

// terminal opens a pseudo terminal of 80 columns and 24 lines.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		without(t, "opening a pseudo terminal", err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: screenColumns})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		without(t, "opening a pseudo terminal", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// Goal: on a terminal, top draws, follows keys, ends with q, and gives the terminal back as it was.
func TestTopOnTerminal(t *testing.T) {
	metrics := freeAddress(t)
	harness(t, formatted(t), "--metrics-address="+metrics)
	master, slave := terminal(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	process := command(nil, "top", "--metrics="+metrics, "--interval=100ms")
	process.Stdin, process.Stdout, process.Stderr = slave, slave, slave
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	seen := ""
	until := func(want string) {
		t.Helper()
		chunk := make([]byte, 4096)
		for !strings.Contains(seen, want) {
			count, err := master.Read(chunk)
			if err != nil {
				t.Fatalf("the screen does not say %q: %v\n%s", want, err, seen)
			}
			seen += string(chunk[:count])
		}
		seen = seen[strings.Index(seen, want)+len(want):]
	}
	types := func(keys string) {
		t.Helper()
		if _, err := master.WriteString(keys); err != nil {
			t.Fatal(err)
		}
	}
	until("request: service")
	types("4s")
	until("ring*")
	types("p")
	until("PAUSED")
	types("q")
	until(screenLeave)
	if status := wait(t, process); status != exitDone {
		t.Errorf("status %d", status)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal has another mode afterwards: %v", err)
	}
}

// Goal: a terminal that does not tell its size, as a serial console, shows as much as a usual one.
func TestTopWithoutSize(t *testing.T) {
	master, slave := terminal(t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{}); err != nil {
		t.Fatal(err)
	}
	process := command(nil, "top", "--metrics="+freeAddress(t), "--interval=100ms")
	process.Stdin, process.Stdout, process.Stderr = slave, slave, slave
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	seen, chunk := "", make([]byte, 4096)
	for deadline := time.Now().Add(endsWithin); !strings.Contains(seen, "nobody listens"); {
		if err := master.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		count, err := master.Read(chunk)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the screen shows nothing: %v\n%q", err, seen)
		}
		seen = seen[max(0, len(seen)-4096):] + string(chunk[:count])
	}
}
