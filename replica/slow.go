package replica

import (
	"strconv"
	"sync"
	"sync/atomic"

	"ledger/events"
	"ledger/metrics"
	"ledger/stages/apply"
	"ledger/wire"
)

// slowLogMax is the number of slow ops that can wait for their line in the log. Further ones are
// counted.
const slowLogMax = 16

// slowLog takes records of slow ops from a stage thread and writes their lines on a goroutine of
// its own. So the stage thread neither formats text nor waits for the log.
type slowLog struct {
	records  chan metrics.SlowOp
	ending   chan struct{}
	once     sync.Once
	unlogged atomic.Uint64
}

func newSlowLog() *slowLog {
	return &slowLog{records: make(chan metrics.SlowOp, slowLogMax), ending: make(chan struct{})}
}

// put copies the record. It runs on the thread of consensus and does not wait.
func (l *slowLog) put(o *metrics.SlowOp) {
	select {
	case l.records <- *o:
	default:
		l.unlogged.Add(1)
	}
}

// run writes lines until end.
func (l *slowLog) run(threads []string, log *events.Log) {
	line := make([]byte, 0, 4<<10)
	for {
		select {
		case o := <-l.records:
			line = appendSlow(line[:0], &o, threads)
			e := events.OpSlow{Op: o.Number, DurationNs: o.TotalNs()}
			e.WhereBytes = copy(e.Where[:], line)
			log.OpSlow(e)
		case <-l.ending:
			return
		}
	}
}

func (l *slowLog) end() { l.once.Do(func() { close(l.ending) }) }

// threadNames returns the names of the threads in the order of the board.
func (s *Server) threadNames() (names []string) {
	for _, thread := range s.threads {
		names = append(names, thread.place.Name())
	}
	return names
}

// slowPartNs is the shortest part of an op that its description names.
const slowPartNs = 1_000_000

// DescribeSlow describes in one line how an op spent its time and what happened at the same time.
// Parts of less than a millisecond are left out.
func DescribeSlow(o *metrics.SlowOp, threads []string) string {
	return string(appendSlow(nil, o, threads))
}

// appendSlow is DescribeSlow without allocation, if line has room.
func appendSlow(line []byte, o *metrics.SlowOp, threads []string) []byte {
	line = appendNumber(line, "op ", o.Number)
	if o.Requests == 1 {
		line = append(append(line, " ("...), wire.Operation(o.Operation).String()...)
	} else {
		line = append(appendNumber(line, " (", uint64(o.Requests)), " requests"...)
	}
	line = append(appendNumber(line, ", ", uint64(o.Events)), " events"...)
	line = append(appendNumber(line, ", ", uint64(o.Bytes)), " bytes)"...)
	line = append(appendMs(line, " took ", "", o.TotalNs()), ':')
	for part := range metrics.PartsCount {
		if ns := o.PartNs(part); ns >= slowPartNs {
			line = appendMs(line, " ", metrics.PartNames[part], ns)
		}
	}
	for barrier, ns := range o.Apply.BarriersNs {
		if ns >= slowPartNs {
			line = appendMs(line, ", barrier ", apply.BarrierNames[barrier], ns)
		}
	}
	if o.Apply.PagesNs >= slowPartNs {
		line = appendMs(line, ", of execute: ", "pages", o.Apply.PagesNs)
	}
	if o.Apply.BreathsNs >= slowPartNs {
		line = appendMs(line, ", of execute: ", "other stages", o.Apply.BreathsNs)
	}
	c := &o.Conditions
	line = append(appendMs(line, "; meanwhile, in ", "", c.WindowNs), ':')
	for activity, ns := range c.ActiveNs {
		if ns > 0 {
			line = appendMs(line, " ", metrics.ActivityNames[activity], ns)
		}
	}
	line = append(appendNumber(line, ", ", c.WrittenBytes>>10), " KiB written to the grid"...)
	for i := range min(c.ThreadsCount, len(threads)) {
		t := &c.Threads[i]
		line = append(append(line, "; thread "...), threads[i]...)
		line = appendMs(line, " ", "ran", t.RunNs)
		line = appendMs(line, ", ", "waited for a core", t.WaitNs)
		line = appendMs(line, ", ", "longest turn", t.TurnNsMax)
		line = appendMs(line, ", ", "calls", t.KernelNs)
	}
	return line
}

func appendNumber(line []byte, before string, number uint64) []byte {
	return strconv.AppendUint(append(line, before...), number, 10)
}

// appendMs appends before, the name if there is one, and the time in milliseconds.
func appendMs(line []byte, before, name string, ns uint64) []byte {
	line = append(append(line, before...), name...)
	if name != "" {
		line = append(line, ' ')
	}
	return append(strconv.AppendFloat(line, float64(ns)/1e6, 'f', 1, 64), " ms"...)
}
