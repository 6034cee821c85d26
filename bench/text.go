package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteText writes the result for people, and for scripts that read the reference's lines, which
// have the same form here.
func (r *Result) WriteText(out io.Writer) error {
	w := &textWriter{out: out}
	t := r.Transfers
	w.line("%d batches in %.2f s", t.RequestsCount, seconds(t.DurationNs))
	w.line("transfer batch size = %d txs", r.Options.TransferBatchCount)
	w.line("transfer batch delay = %v", r.Options.TransferBatchDelay)
	if r.Options.TransferRate > 0 {
		w.line("load offered = %d tx/s", uint64(r.Options.TransferRate))
	}
	w.line("load accepted = %d tx/s", uint64(t.RatePerSecond))
	w.latencies("batch", &t.Latency)
	w.intervals(t.Intervals)
	if t.Service != nil {
		w.latencies("service", t.Service)
	}
	if q := r.Queries; q != nil {
		w.line("\n%d queries in %.1f s", q.RequestsCount, seconds(q.DurationNs))
		w.latencies("query", &q.Latency)
	}
	if v := r.Validated; v != nil {
		w.line("validated %d accounts", v.AccountsCount)
		w.line("validated %d transfers", v.TransfersCount)
	}
	if c := r.Checksum; c != nil {
		w.line("message size max = %d bytes", c.MessageBytes)
		w.line("checksum message size max = %d us", c.Ns/1000)
	}
	if s := r.Server; s != nil {
		w.line("\nrss = %d bytes", s.MemoryBytesMax)
		w.line("server cpu = %.2f s", seconds(s.CPUNs))
		w.line("\ndatafile empty = %d bytes", s.FileBytesEmpty)
		w.line("datafile = %d bytes", s.FileBytes)
		w.line("datafile allocated = %d bytes", s.FileBytesOccupied)
	}
	return w.err
}

type textWriter struct {
	out io.Writer
	err error
}

func (w *textWriter) line(format string, values ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.out, format+"\n", values...)
	}
}

// latencies writes a line per percentile, in whole milliseconds like the reference. One more line
// has the finer values.
func (w *textWriter) latencies(label string, s *Summary) {
	var fine strings.Builder
	for _, p := range s.Percentiles {
		name := "p" + strconv.FormatFloat(p.Percent, 'f', -1, 64)
		w.line("%s latency %-4s = %d ms", label, name, time.Duration(p.Ns).Milliseconds())
		fmt.Fprintf(&fine, " %s=%d", name, time.Duration(p.Ns).Microseconds())
	}
	w.line("%s latency in us: min=%d mean=%d%s", label, s.MinNs/1000, int64(s.MeanNs)/1000, fine.String())
}

// intervals writes a line for each if there are several.
func (w *textWriter) intervals(all []Interval) {
	for i := 0; len(all) > 1 && i < len(all) && w.err == nil; i++ {
		w.err = all[i].write(w.out, "tx")
	}
}

func seconds(ns int64) float64 { return time.Duration(ns).Seconds() }
