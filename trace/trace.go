package trace

import (
	"bufio"
	"io"
	"strconv"
	"sync"
	"sync/atomic"

	"ledger/metrics"
	"ledger/wire"
)

const (
	waitingMax = 4096
	bytesMax   = 1 << 30 // about a million ops
	eventBytes = 512     // no event is longer
)

// Trace is a file that is being written.
type Trace struct {
	records chan metrics.Op
	ending  chan struct{}
	ended   chan struct{}
	once    sync.Once
	dropped atomic.Uint64

	out     *bufio.Writer
	file    io.WriteCloser
	bytes   uint64
	line    []byte
	baseNs  uint64 // the first moment
	rows    [tracksCount]rows
	process int
	failed  error
}

// rows of a track: an op takes the first row on which nothing is under way, so that events of a row
// never overlap.
type rows struct{ endNs []uint64 }

// track is a stage, with as many rows as ops are there at the same time.
type track int

const (
	trackNet track = iota
	trackConsensus
	trackJournal
	trackApply
	trackReply
	tracksCount
)

var trackNames = [tracksCount]string{"net: requests", "consensus", "journal", "apply", "replies"}

// rowsMax of a track. Numbers of rows are those of threads in the format.
const rowsMax = 1000

// parts of each track, in order of time. They begin and end at a mark.
var parts = [tracksCount][]part{
	trackNet:       {{"receive", metrics.MarkArriving, metrics.MarkReceived}, {"handover", metrics.MarkReceived, metrics.MarkQueued}},
	trackConsensus: {{"queue", metrics.MarkQueued, metrics.MarkPrepared}},
	trackJournal: {{"to_disk", metrics.MarkPrepared, metrics.MarkSubmitted}, {"write", metrics.MarkSubmitted, metrics.MarkWritten},
		{"sync", metrics.MarkWritten, metrics.MarkDurable}},
	trackApply: {{"to_apply", metrics.MarkPrepared, metrics.MarkAtApply}, {"apply_queue", metrics.MarkAtApply, metrics.MarkExecuting},
		{"execute", metrics.MarkExecuting, metrics.MarkExecuted}},
	trackReply: {{"answer", metrics.MarkExecuted, metrics.MarkAnswered}}, // from the later of executed and durable
}

type part struct {
	name       string
	begin, end metrics.Mark
}

// Head begins the file.
const Head = `[{"name":"process_name"`

// Start begins a trace of the replica with this index. The file is closed by Close.
func Start(file io.WriteCloser, replica int) *Trace {
	t := &Trace{records: make(chan metrics.Op, waitingMax), ending: make(chan struct{}), ended: make(chan struct{}),
		out: bufio.NewWriterSize(file, 64<<10), file: file, line: make([]byte, 0, eventBytes), process: replica}
	t.line = append(append(t.line, Head...), `,"ph":"M","pid":`...)
	t.line = strconv.AppendInt(t.line, int64(replica), 10)
	t.line = append(t.line, `,"args":{"name":"ledger"}}`...)
	t.flushLine()
	go t.run()
	return t
}

// Put copies the record of an op that has ended. It runs on the thread of consensus and does not
// wait.
func (t *Trace) Put(o *metrics.Op) {
	select {
	case t.records <- *o:
	default:
		t.dropped.Add(1)
	}
}

// Dropped is the number of ops that are not in the file.
func (t *Trace) Dropped() uint64 { return t.dropped.Load() }

// Close writes what waits and the end of the file.
func (t *Trace) Close() error {
	t.once.Do(func() { close(t.ending) })
	<-t.ended
	return t.failed
}

func (t *Trace) run() {
	defer close(t.ended)
	for {
		select {
		case o := <-t.records:
			t.write(&o)
		case <-t.ending:
			for len(t.records) > 0 {
				o := <-t.records
				t.write(&o)
			}
			t.line = append(t.line, "]\n"...)
			t.flushLine()
			t.fail(t.out.Flush())
			t.fail(t.file.Close())
			return
		}
		if len(t.records) == 0 {
			t.fail(t.out.Flush()) // a trace can be looked at while it grows
		}
	}
}

// fail keeps the first error.
func (t *Trace) fail(err error) {
	if t.failed == nil {
		t.failed = err
	}
}

// write all events of an op.
func (t *Trace) write(o *metrics.Op) {
	if t.failed != nil || t.bytes > bytesMax {
		t.dropped.Add(1)
		return
	}
	if t.baseNs == 0 {
		t.baseNs = o.Marks[metrics.MarkArriving]
	}
	for track := range tracksCount {
		first, last := parts[track][0], parts[track][len(parts[track])-1]
		beginNs, endNs := o.Marks[first.begin], o.Marks[last.end]
		if track == trackReply {
			beginNs = max(beginNs, o.Marks[metrics.MarkDurable])
		}
		if beginNs == 0 || endNs < beginNs {
			continue // the op never was there, as a pulse at net
		}
		row, isNew := t.rows[track].take(beginNs, endNs)
		thread := int(track)*rowsMax + row
		if isNew {
			t.name(thread, trackNames[track], row)
		}
		for _, p := range parts[track] {
			from, to := max(o.Marks[p.begin], beginNs), o.Marks[p.end]
			if to > from {
				t.event(o, p.name, thread, from, to)
			}
		}
	}
}

// take the first row that is free from beginNs on. If there is none up to rowsMax, the last one is
// shared.
func (r *rows) take(beginNs, endNs uint64) (row int, isNew bool) {
	for row, busyNs := range r.endNs {
		if busyNs <= beginNs {
			r.endNs[row] = endNs
			return row, false
		}
	}
	if len(r.endNs) == rowsMax {
		return rowsMax - 1, false
	}
	r.endNs = append(r.endNs, endNs)
	return len(r.endNs) - 1, true
}

// name a row when it is used first.
func (t *Trace) name(thread int, track string, row int) {
	t.line = append(t.line, ",\n"...)
	t.line = append(t.line, `{"name":"thread_name","ph":"M","pid":`...)
	t.line = strconv.AppendInt(t.line, int64(t.process), 10)
	t.line = append(t.line, `,"tid":`...)
	t.line = strconv.AppendInt(t.line, int64(thread), 10)
	t.line = append(t.line, `,"args":{"name":"`...)
	t.line = append(t.line, track...)
	t.line = append(t.line, ' ')
	t.line = strconv.AppendInt(t.line, int64(row), 10)
	t.line = append(t.line, `"}}`...)
	t.flushLine()
}

// event is a complete event: its beginning and its duration, in microseconds.
func (t *Trace) event(o *metrics.Op, name string, thread int, fromNs, toNs uint64) {
	t.line = append(t.line, ",\n"...)
	t.line = append(t.line, `{"name":"`...)
	t.line = append(t.line, name...)
	t.line = append(t.line, `","cat":"op","ph":"X","pid":`...)
	t.line = strconv.AppendInt(t.line, int64(t.process), 10)
	t.line = append(t.line, `,"tid":`...)
	t.line = strconv.AppendInt(t.line, int64(thread), 10)
	t.line = append(t.line, `,"ts":`...)
	// An op may have begun before the first one that ended.
	t.line = strconv.AppendFloat(t.line, float64(int64(fromNs-t.baseNs))/1e3, 'f', 3, 64)
	t.line = append(t.line, `,"dur":`...)
	t.line = strconv.AppendFloat(t.line, float64(toNs-fromNs)/1e3, 'f', 3, 64)
	t.line = append(t.line, `,"args":{"op":`...)
	t.line = strconv.AppendUint(t.line, o.Number, 10)
	t.line = append(t.line, `,"operation":"`...)
	t.line = append(t.line, wire.Operation(o.Operation).String()...)
	t.line = append(t.line, `","requests":`...)
	t.line = strconv.AppendUint(t.line, uint64(o.Requests), 10)
	t.line = append(t.line, `,"events":`...)
	t.line = strconv.AppendUint(t.line, uint64(o.Events), 10)
	t.line = append(t.line, `,"bytes":`...)
	t.line = strconv.AppendUint(t.line, uint64(o.Bytes), 10)
	t.line = append(t.line, "}}"...)
	t.flushLine()
}

func (t *Trace) flushLine() {
	count, err := t.out.Write(t.line)
	t.fail(err)
	t.bytes += uint64(count)
	t.line = t.line[:0]
}
