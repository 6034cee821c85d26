package events

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ledger/wire"
)

// patience is far above what a flush takes; it is waited for only by a test that fails.
const patience = time.Minute

// gate is a stream that takes nothing until it is opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	once    sync.Once
	text    strings.Builder
}

func newGate() *gate { return &gate{open: make(chan struct{}), entered: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	g.once.Do(func() { close(g.entered) })
	<-g.open
	return g.text.Write(p)
}

// Goal: a call never waits for the stream; lines that find no room are counted, and one line tells
// it afterwards.
func TestFullQueue(t *testing.T) {
	g := newGate()
	l := New(g, FormatText)
	l.Notice(Notice{Line: "first"})
	<-g.entered // its cell is given back only after the write
	for range QueueEvents + 9 {
		l.Notice(Notice{Line: "more"})
	}
	if dropped := l.DroppedLines(); dropped != 10 {
		t.Fatalf("%d lines were dropped, want 10", dropped)
	}
	close(g.open)
	if !l.Close(patience) {
		t.Fatal("the log did not end")
	}
	if text := g.text.String(); strings.Count(text, "more\n") != QueueEvents-1 ||
		!strings.Contains(text, "warning: 10 lines of the log are missing") {
		t.Fatalf("the log says: %s", text)
	}
}

// Goal: Close gives up a stream that nobody reads.
func TestCloseIsBounded(t *testing.T) {
	g := newGate()
	l := New(g, FormatText)
	l.Notice(Notice{Line: "first"})
	<-g.entered
	if l.Close(time.Millisecond) {
		t.Fatal("all is said to be written, though the stream took nothing")
	}
	close(g.open)
	if !l.Close(patience) || g.text.Len() == 0 {
		t.Fatal("the line was not written once the stream took it")
	}
}

// failing is a stream that fails some times in a row, then works.
type failing struct {
	errs []error
	text strings.Builder
}

func (f *failing) Write(p []byte) (int, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		if err != nil {
			return 0, err
		}
		return f.text.Write(p[:1]) // a short write
	}
	return f.text.Write(p)
}

// Goal: an error of the stream costs a line, counted; a short or a refused write is continued.
func TestFailingStream(t *testing.T) {
	f := &failing{errs: []error{unix.EPIPE, unix.EAGAIN, nil, unix.EAGAIN}}
	l := New(f, FormatText)
	l.Notice(Notice{Line: "lost"})
	l.Notice(Notice{Line: "kept"})
	if !l.Close(patience) || l.DroppedLines() != 1 {
		t.Fatalf("%d lines dropped, want 1", l.DroppedLines())
	}
	if text := f.text.String(); strings.Contains(text, "lost") || strings.Count(text, "\n") != 1 ||
		!strings.HasSuffix(text, "Z info: kept\n") {
		t.Fatalf("the log says: %s", text)
	}
}

// Goal: many threads lose nothing of what fits, and each thread's events keep their order.
func TestManyThreads(t *testing.T) {
	const threads, each = 8, 5000
	var out strings.Builder
	l := New(&out, FormatText)
	var all sync.WaitGroup
	for thread := range threads {
		all.Go(func() {
			for n := range each {
				l.CheckpointSlow(CheckpointSlow{Op: uint64(thread), DurationNs: uint64(n) * 1e6})
			}
		})
	}
	all.Wait()
	dropped := l.DroppedLines()
	if !l.Close(patience) {
		t.Fatal("the log did not end")
	}
	last, count := [threads]int{}, 0
	for i := range last {
		last[i] = -1
	}
	for _, match := range regexp.MustCompile(`op (\d+) took (\d+) ms`).FindAllStringSubmatch(out.String(), -1) {
		var thread, n int
		for _, digit := range match[1] {
			thread = 10*thread + int(digit-'0')
		}
		for _, digit := range match[2] {
			n = 10*n + int(digit-'0')
		}
		if n <= last[thread] {
			t.Fatalf("thread %d: event %d after %d", thread, n, last[thread])
		}
		last[thread], count = n, count+1
	}
	if uint64(count)+dropped != threads*each {
		t.Fatalf("%d lines and %d dropped, want %d together", count, dropped, threads*each)
	}
}

// Goal: an event costs its thread no allocation, whether there is room or not.
func TestEmitAllocates(t *testing.T) {
	l := New(io.Discard, FormatText)
	defer l.Close(patience)
	var none *Log
	for name, emit := range map[string]func(){
		"taken": func() { l.Notice(Notice{Line: "a"}) },
		"peer":  func() { l.ConnectionRefused(ConnectionRefused{Reason: "full", Connections: 96}) },
		"nil":   func() { none.Notice(Notice{Line: "a"}) },
	} {
		// The goroutine that renders may allocate meanwhile, so it is stopped by a stream that takes
		// nothing.
		g := newGate()
		if name != "nil" {
			l = New(g, FormatText)
			l.Notice(Notice{})
			<-g.entered
		}
		if allocs := testing.AllocsPerRun(2*QueueEvents, emit); allocs != 0 {
			t.Errorf("%s: %.1f allocations", name, allocs)
		}
		close(g.open)
		l.Close(patience)
	}
}

// Goal: every type of event renders as one line of text and as one JSON object with time, level,
// name and text.
func TestEveryEvent(t *testing.T) {
	names := map[string]bool{}
	for kind, event := range newCell() {
		if event == nil {
			t.Fatalf("kind %d has no type in newCell", kind)
		}
		text := string(appendLine(nil, FormatText, 1e18, event))
		if !regexp.MustCompile(`^2001-09-09T01:46:40\.000Z (info|warning|error): [^\n]*\n$`).MatchString(text) {
			t.Errorf("kind %d as text: %q", kind, text)
		}
		var object map[string]any
		line := appendLine(nil, FormatJSON, 1e18, event)
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("kind %d as JSON: %v: %s", kind, err, line)
		}
		name, _ := object["event"].(string)
		if object["time"] != "2001-09-09T01:46:40.000Z" || object["level"] == "" || object["text"] == nil || name == "" || names[name] {
			t.Errorf("kind %d as JSON: %s", kind, line)
		}
		names[name] = true
	}
	mismatch := appendLine(nil, FormatJSON, 0, &ClusterMismatch{Theirs: wire.U128Max(), Ours: wire.U128From(7)})
	if !strings.Contains(string(mismatch), `"cluster_theirs":"340282366920938463463374607431768211455","cluster_ours":"7"`) {
		t.Errorf("ids in JSON: %s", mismatch)
	}
	if line := appendLine(nil, FormatText, 0, &Failed{Reason: "two\nlines"}); strings.Count(string(line), "\n") != 1 {
		t.Errorf("an error of two lines: %q", line)
	}
}

// Goal: a pipe without a reader is an error like any other.
func TestBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if _, err := w.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Fatalf("a pipe without a reader gives %v", err)
	}
	l := New(w, FormatText)
	l.Notice(Notice{Line: "lost"})
	if !l.Close(patience) || l.DroppedLines() != 1 {
		t.Fatalf("%d lines dropped, want 1", l.DroppedLines())
	}
}
