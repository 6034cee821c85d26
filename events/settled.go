package events

import (
	"fmt"
	"time"
)

// Settled: a server that is stopped has taken a checkpoint first, so that the next start is short.
// IsDone: it is durable. Otherwise it took too long, and the next start executes the log instead.
type Settled struct {
	DurationNs uint64
	IsDone     bool
}

// Settled emits the event.
func (l *Log) Settled(e Settled) { emit(l, kindSettled, e) }

func (e *Settled) Level() Level { return Info }
func (e *Settled) Name() string { return "settled" }
func (e *Settled) Text(line []byte) []byte {
	duration := time.Duration(e.DurationNs).Round(time.Millisecond)
	if e.IsDone {
		return fmt.Appendf(line, "a checkpoint was taken in %v before the end: the next start has little to execute", duration)
	}
	return fmt.Appendf(line, "the checkpoint before the end is not durable after %v and is given up: the next start executes the log instead",
		duration)
}
func (e *Settled) Fields(o Fields) Fields {
	return o.Number("duration_ns", e.DurationNs).Bool("done", e.IsDone)
}
