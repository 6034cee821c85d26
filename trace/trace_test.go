package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"ledger/metrics"
	"ledger/wire"
)

// file in memory.
type file struct {
	bytes.Buffer
	isClosed bool
	refuses  bool
}

func (f *file) Write(b []byte) (int, error) {
	if f.refuses {
		return 0, errFull
	}
	return f.Buffer.Write(b)
}

func (f *file) Close() error {
	f.isClosed = true
	return nil
}

var errFull = errors.New("no space left")

// op with each mark a microsecond after the one before.
func op(number, fromNs uint64) *metrics.Op {
	o := &metrics.Op{Number: number, Requests: 1, Events: 3, Bytes: 512, Operation: uint8(wire.OperationCreateTransfers)}
	for mark := range metrics.MarkSent {
		o.Marks[mark] = fromNs + uint64(mark)*1000
	}
	return o
}

// event of a trace.
type event struct {
	Name     string
	Phase    string `json:"ph"`
	Thread   int    `json:"tid"`
	At       float64
	Ts, Dur  float64
	Args     map[string]any
	Category string `json:"cat"`
}

func read(t *testing.T, text string) (events []event) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &events); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return events
}

// Goal: the file is one JSON array, whose rows have names, and in which events of one row never
// overlap, although ops do. Each part of an op is there with its op, operation and size.
func TestTrace(t *testing.T) {
	f := &file{}
	trace := Start(f, 2)
	for i := range uint64(20) {
		trace.Put(op(i+1, 1e9+i*1500)) // eight ops or so are there at the same time
	}
	pulse := op(21, 2e9)
	pulse.Operation, pulse.Marks[metrics.MarkArriving], pulse.Marks[metrics.MarkReceived] = uint8(wire.OperationPulse), 0, 0
	trace.Put(pulse)
	if err := trace.Close(); err != nil || !f.isClosed || trace.Dropped() != 0 {
		t.Fatalf("%v, closed %v, %d dropped", err, f.isClosed, trace.Dropped())
	}
	if err := trace.Close(); err != nil {
		t.Error(err)
	}
	names, ends, seen := map[int]string{}, map[int]float64{}, map[string]int{}
	for _, e := range read(t, f.String()) {
		switch {
		case e.Phase == "M" && e.Name == "thread_name":
			names[e.Thread] = e.Args["name"].(string)
		case e.Phase == "X":
			if names[e.Thread] == "" {
				t.Errorf("row %d has no name", e.Thread)
			}
			if e.Ts < ends[e.Thread]-0.0005 || e.Dur <= 0 {
				t.Errorf("row %s: %s begins at %f, its neighbour ends at %f", names[e.Thread], e.Name, e.Ts, ends[e.Thread])
			}
			ends[e.Thread] = e.Ts + e.Dur
			seen[e.Name]++
			if e.Args["op"].(float64) == 7 && e.Name == "execute" &&
				(e.Args["operation"] != "create_transfers" || e.Args["bytes"].(float64) != 512) {
				t.Errorf("%+v", e)
			}
		}
	}
	for _, list := range parts {
		for _, p := range list {
			want := 21
			if p.begin == metrics.MarkArriving || p.begin == metrics.MarkReceived {
				want = 20 // the pulse came from no client
			}
			if seen[p.name] != want {
				t.Errorf("%s is there %d times, want %d", p.name, seen[p.name], want)
			}
		}
	}
}

// Goal: a trace that was not ended, as after a kill, is a JSON array but for its end.
func TestTraceIsReadableWithoutEnd(t *testing.T) {
	f := &file{}
	trace := Start(f, 0)
	trace.Put(op(1, 1e9))
	if err := trace.Close(); err != nil {
		t.Fatal(err)
	}
	text, isEnded := strings.CutSuffix(f.String(), "]\n")
	if !isEnded || len(read(t, text+"]")) < 5 {
		t.Errorf("%q", text)
	}
}

// Goal: Put never waits and never allocates; what finds no room is counted, and so is what a full
// disk refuses.
func TestTraceNeverWaits(t *testing.T) {
	f := &file{refuses: true}
	trace := Start(f, 0)
	o := op(1, 1e9)
	if allocations := testing.AllocsPerRun(1000, func() { trace.Put(o) }); allocations != 0 {
		t.Errorf("%f allocations", allocations)
	}
	for range 3 * waitingMax {
		trace.Put(o)
	}
	if err := trace.Close(); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	if trace.Dropped() == 0 {
		t.Error("nothing is counted")
	}
}

// Goal: a track has no more than its rows.
func TestRows(t *testing.T) {
	var r rows
	for i := range 2 * rowsMax {
		row, isNew := r.take(1, 10)
		if want := min(i, rowsMax-1); row != want || isNew != (i < rowsMax) {
			t.Fatalf("take %d: row %d, new %v", i, row, isNew)
		}
	}
	if row, isNew := r.take(10, 11); row != 0 || isNew {
		t.Errorf("row %d, new %v", row, isNew)
	}
}
