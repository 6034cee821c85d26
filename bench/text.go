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
	if r.Payments != nil {
		w.payments(r)
	} else {
		w.transfers(r)
	}
	if readers := r.Readers; readers != nil {
		w.line("\n%d readers: %d queries, %d rows/s", r.Options.ReadersCount, readers.RequestsCount, uint64(readers.RatePerSecond))
		w.latencies("reader", &readers.Latency)
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

// transfers writes the load of transfers in the reference's lines.
func (w *textWriter) transfers(r *Result) {
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
}

// payments writes a table with a line for each kind of calls, in µs.
func (w *textWriter) payments(r *Result) {
	all := r.Payments.Calls
	w.line("%d calls in %.2f s", all.RequestsCount, seconds(all.DurationNs))
	w.line("sessions = %d with %d callers each", r.Options.ClientsCount, r.Options.CallersCount)
	if r.Options.CallRate > 0 {
		w.line("load offered = %d calls/s", uint64(r.Options.CallRate))
	}
	w.line("load accepted = %d calls/s", uint64(all.RatePerSecond))
	w.line("transfers accepted = %d tx/s", uint64(r.Transfers.RatePerSecond))
	if cpu := r.Payments.ServerCPUNs; cpu > 0 {
		w.line("server cpu per call = %.1f us", float64(cpu)/1e3/float64(max(all.RequestsCount, 1)))
	}
	w.line("\n%-20s %9s %9s %9s %9s %9s %9s %9s", "latency in us", "calls", "events/s", "p50", "p90", "p99", "p99.9", "p100")
	for _, kind := range append([]Kind{{"all calls", all}}, r.Payments.Kinds...) {
		w.kind(kind.Name, kind.Stage, &kind.Latency)
	}
	if all.Service != nil {
		w.line("\nfrom sending, not from the intended time:")
		for _, kind := range append([]Kind{{"all calls", all}}, r.Payments.Kinds...) {
			w.kind(kind.Name, kind.Stage, kind.Service)
		}
	}
	for i := 0; len(all.Intervals) > 1 && i < len(all.Intervals) && w.err == nil; i++ {
		w.err = all.Intervals[i].write(w.out, "calls")
	}
}

// kind writes the line of one kind of calls.
func (w *textWriter) kind(name string, s *Stage, latency *Summary) {
	us := func(percent float64) int64 { return latency.At(percent) / 1000 }
	w.line("%-20s %9d %9d %9d %9d %9d %9d %9d", name, s.RequestsCount, uint64(s.RatePerSecond), us(50), us(90), us(99), us(99.9), us(100))
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
