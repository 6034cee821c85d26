package replica

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ledger/events"
	"ledger/metrics"
	"ledger/stages/apply"
	"ledger/wire"
)

// slowLogMax slow ops wait for their line in the log; what comes while they do is counted.
const slowLogMax = 16

// slowLog takes records of slow ops from a stage thread and writes their lines on a goroutine of its own: the thread neither formats nor
// waits for whoever reads the log.
type slowLog struct {
	records  chan metrics.SlowOp
	ending   chan struct{}
	once     sync.Once
	unlogged atomic.Uint64
}

func newSlowLog() *slowLog {
	return &slowLog{records: make(chan metrics.SlowOp, slowLogMax), ending: make(chan struct{})}
}

// put copies the record. On the thread of consensus; it does not wait.
func (l *slowLog) put(o *metrics.SlowOp) {
	select {
	case l.records <- *o:
	default:
		l.unlogged.Add(1)
	}
}

// run writes lines until end.
func (l *slowLog) run(threads []string, log *events.Log) {
	for {
		select {
		case o := <-l.records:
			log.OpSlow(events.OpSlow{Op: o.Number, DurationNs: o.TotalNs(), Where: DescribeSlow(&o, threads)})
		case <-l.ending:
			return
		}
	}
}

func (l *slowLog) end() { l.once.Do(func() { close(l.ending) }) }

// threadNames in order of the board.
func (s *Server) threadNames() (names []string) {
	for _, thread := range s.threads {
		names = append(names, thread.place.Name())
	}
	return names
}

// slowPartNs is the shortest part of an op that its description names.
const slowPartNs = 1_000_000

// DescribeSlow says in one line how an op spent its time and what went on meanwhile. Parts below a millisecond are left out.
func DescribeSlow(o *metrics.SlowOp, threads []string) string {
	var b strings.Builder
	name := wire.Operation(o.Operation).String()
	if o.Requests != 1 {
		name = fmt.Sprintf("%d requests", o.Requests)
	}
	fmt.Fprintf(&b, "op %d (%s, %d events, %d bytes) took %s:", o.Number, name, o.Events, o.Bytes, ms(o.TotalNs()))
	for part := range metrics.PartsCount {
		if ns := o.PartNs(part); ns >= slowPartNs {
			fmt.Fprintf(&b, " %s %s", metrics.PartNames[part], ms(ns))
		}
	}
	for barrier, ns := range o.Apply.BarriersNs {
		if ns >= slowPartNs {
			fmt.Fprintf(&b, ", barrier %s %s", apply.BarrierNames[barrier], ms(ns))
		}
	}
	if o.Apply.PagesNs >= slowPartNs {
		fmt.Fprintf(&b, ", of execute: pages %s", ms(o.Apply.PagesNs))
	}
	if o.Apply.BreathsNs >= slowPartNs {
		fmt.Fprintf(&b, ", of execute: other stages %s", ms(o.Apply.BreathsNs))
	}
	c := &o.Conditions
	fmt.Fprintf(&b, "; meanwhile, in %s:", ms(c.WindowNs))
	for activity, ns := range c.ActiveNs {
		if ns > 0 {
			fmt.Fprintf(&b, " %s %s", metrics.ActivityNames[activity], ms(ns))
		}
	}
	fmt.Fprintf(&b, ", %d KiB written to the grid", c.WrittenBytes>>10)
	for i := range min(c.ThreadsCount, len(threads)) {
		t := &c.Threads[i]
		fmt.Fprintf(&b, "; thread %s ran %s, waited for a core %s, longest turn %s, calls %s", threads[i], ms(t.RunNs), ms(t.WaitNs), ms(t.TurnNsMax), ms(t.KernelNs))
	}
	return b.String()
}

func ms(ns uint64) string {
	return fmt.Sprintf("%.1f ms", float64(ns)/float64(time.Millisecond))
}
