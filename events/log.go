package events

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Level of an event.
type Level uint8

// The levels, with their names in text and JSON.
const (
	Info    Level = iota
	Warning       // something works, but slower or less safely than it could
	Error         // the server ends, or a promise is at risk
)

var levelNames = [...]string{"info", "warning", "error"}

// Event is a value of one of the types in list.go.
type Event interface {
	Level() Level
	Name() string                // of the type, in JSON
	Text(line []byte) []byte     // appends a sentence for people
	Fields(object Fields) Fields // appends the typed fields
}

// Format of the lines.
type Format uint8

// The formats.
const (
	FormatText Format = iota // 2026-01-02T03:04:05.678Z warning: a sentence
	FormatJSON               // {"time":"...","level":"warning","event":"disk_stalled","text":"a sentence", fields}
)

// Log takes events from any thread. A goroutine of its own writes them.
type Log struct {
	queue    *queue
	out      io.Writer
	format   Format
	wake     chan struct{} // of one: a wake that is under way covers later events
	closing  chan struct{}
	ended    chan struct{}
	once     sync.Once
	dropped  atomic.Uint64 // lines lost since the start
	least    atomic.Uint32 // level below which no event is written
	reported uint64        // the part of dropped that lines have reported; only for the goroutine
	line     []byte
}

// New starts the goroutine that writes to out. It ends with Close.
func New(out io.Writer, format Format) *Log {
	l := &Log{queue: newQueue(), out: out, format: format, wake: make(chan struct{}, 1),
		closing: make(chan struct{}), ended: make(chan struct{}), line: make([]byte, 0, 4096)}
	go l.write()
	return l
}

// DroppedLines is the number of lines lost since the start. Any thread may call it.
func (l *Log) DroppedLines() uint64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// Level is the name of the level below which no event is written.
func (l *Log) Level() string { return levelNames[l.least.Load()] }

// SetLevel changes it: info writes all events. Any thread may call it.
func (l *Log) SetLevel(name string) error {
	for level, known := range levelNames {
		if known == name {
			l.least.Store(uint32(level))
			return nil
		}
	}
	return fmt.Errorf("%q is no level: must be %s", name, strings.Join(levelNames[:], ", "))
}

// Close writes the queued events, for at most patience, so that a stream without a reader cannot
// keep a server from ending. flushed tells whether all were written. Later events are lost.
func (l *Log) Close(patience time.Duration) (flushed bool) {
	if l == nil {
		return true
	}
	l.once.Do(func() { close(l.closing) })
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.ended:
		return true
	case <-timer.C:
		return false
	}
}

// emit copies event into the queue. E is the type whose number is kind.
func emit[E any](l *Log, kind Kind, event E) {
	if l == nil {
		return
	}
	c, number := l.queue.claim()
	if c == nil {
		l.dropped.Add(1)
		return
	}
	c.timeNs, c.kind = time.Now().UnixNano(), kind
	*any(c.events[kind]).(*E) = event
	c.publish(number)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write is the body of the goroutine.
func (l *Log) write() {
	defer close(l.ended)
	for {
		for c := l.queue.front(); c != nil; c = l.queue.front() {
			if event := c.events[c.kind]; uint32(event.Level()) >= l.least.Load() {
				l.put(c.timeNs, event)
			}
			l.queue.release()
		}
		if dropped := l.dropped.Load(); dropped != l.reported {
			lost := LinesDropped{Lines: dropped - l.reported}
			l.reported = dropped
			l.put(time.Now().UnixNano(), &lost)
		}
		select {
		case <-l.wake:
		case <-l.closing:
			if l.queue.front() == nil {
				return
			}
		}
	}
}

// put writes one event as one line with one call.
func (l *Log) put(timeNs int64, event Event) {
	l.line = appendLine(l.line[:0], l.format, timeNs, event)
	rest := l.line
	for len(rest) > 0 {
		count, err := l.out.Write(rest)
		rest = rest[min(max(count, 0), len(rest)):]
		switch {
		case err == nil && count > 0:
		case errors.Is(err, unix.EAGAIN):
			time.Sleep(eagainPause) // a process that shares the stream has made it non-blocking
		default:
			l.dropped.Add(1)
			l.reported++ // a stream that fails takes no report either; the metric has the count
			return
		}
	}
}

const eagainPause = 10 * time.Millisecond

// appendLine renders an event.
func appendLine(line []byte, format Format, timeNs int64, event Event) []byte {
	const layout = "2006-01-02T15:04:05.000Z"
	at := time.Unix(0, timeNs).UTC()
	if format == FormatJSON {
		object := Fields{append(line, '{')}
		object = object.String("time", at.Format(layout))
		object = object.String("level", levelNames[event.Level()])
		object = object.String("event", event.Name())
		object = object.String("text", string(event.Text(nil)))
		object = event.Fields(object)
		return append(object.bytes, "}\n"...)
	}
	line = at.AppendFormat(line, layout)
	line = append(line, ' ')
	line = append(line, levelNames[event.Level()]...)
	line = append(line, ": "...)
	start := len(line)
	line = event.Text(line)
	for i := start; i < len(line); i++ {
		if line[i] == '\n' {
			line[i] = ' ' // one event is one line, even if an error's text has several
		}
	}
	return append(line, '\n')
}

// Lines is a writer for the prints of a start. Each line becomes a Notice, or a Caution if it
// begins with "warning: ". It makes a string of each line, so stage threads must not use it.
func (l *Log) Lines() io.Writer { return lines{l} }

type lines struct{ log *Log }

func (w lines) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if caution, ok := strings.CutPrefix(line, "warning: "); ok {
			w.log.Caution(Caution{Line: caution})
		} else {
			w.log.Notice(Notice{Line: line})
		}
	}
	return len(text), nil
}
