package bench

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	progressPeriod = 250 * time.Millisecond
	clearLine      = "\r\x1b[K"
)

// Progress shows a stage's progress in one line of a terminal. A nil Progress shows nothing.
type Progress struct {
	out     io.Writer
	stop    chan struct{}
	running sync.WaitGroup
	mutex   sync.Mutex // a line of out at a time
}

// NewProgress shows progress on out, which should be a terminal, because the line is overwritten
// again and again.
func NewProgress(out io.Writer) *Progress { return &Progress{out: out} }

// interval returns a function that shows a finished interval in a line that stays.
func (p *Progress) interval(s *stage) func(*Interval) {
	if p == nil {
		return nil
	}
	return func(i *Interval) {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		fmt.Fprint(p.out, clearLine)
		_ = i.write(p.out, s.unit) // an error of the display is ignored
	}
}

func (p *Progress) begin(s *stage, total *counts) {
	if p == nil {
		return
	}
	p.stop = make(chan struct{})
	p.running.Go(func() { p.show(s, total) })
}

func (p *Progress) end() {
	if p == nil {
		return
	}
	close(p.stop)
	p.running.Wait()
	fmt.Fprint(p.out, clearLine) // only the report stays
}

func (p *Progress) show(s *stage, total *counts) {
	ticker := time.NewTicker(progressPeriod)
	defer ticker.Stop()
	const window = 4 // ticks: the shown rate is that of the last second
	var history [window]uint64
	for tick := 0; ; tick++ {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
		}
		events := total.events.Load()
		before := history[tick%window]
		history[tick%window] = events
		ticks := min(tick+1, window)
		rate := float64(events-before) / (float64(ticks) * progressPeriod.Seconds())
		remaining := ""
		if rate > 0 {
			remaining = ", " + time.Duration(float64(s.count-events)/rate*float64(time.Second)).Round(time.Second).String() + " left"
		}
		slowest := time.Duration(total.slowest.Swap(0)).Round(100 * time.Microsecond)
		p.mutex.Lock()
		fmt.Fprintf(p.out, clearLine+"%s: %s of %s (%d %%), %s/s, slowest %v%s", s.name, grouped(events), grouped(s.count),
			events*100/max(s.count, 1), grouped(uint64(rate)), slowest, remaining)
		p.mutex.Unlock()
	}
}

// grouped writes a number with separated thousands.
func grouped(number uint64) string {
	digits := fmt.Sprint(number)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
