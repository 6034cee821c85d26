package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"strings"
	"time"
)

//go:embed report.html
var reportText string

// WriteHTML writes the result as a single page with plots, without scripts and without access to
// the network.
func (r *Result) WriteHTML(out io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{
		"grouped":      grouped,
		"groupedCount": func(count uint32) string { return grouped(uint64(count)) },
		"latency":      func(ns int64) string { return formatNs(float64(ns)) },
		"meanLatency":  formatNs,
		"mebibyte":     func(bytes int64) string { return grouped(uint64(bytes) >> 20) },
		"seconds":      seconds,
		"number":       func(f float64) string { return grouped(uint64(max(f, 0))) },
	}).Parse(reportText)
	if err != nil {
		return err
	}
	return page.Execute(out, r.report())
}

// report is the data of the page.
type report struct {
	*Result
	Percents         []float64
	IntervalPercents []float64
	Rows             []reportRow
	Settings         []setting
	Plots            []plot
}

// reportRow is one line of the table of latencies.
type reportRow struct {
	Name  string
	Stage *Stage
	*Summary
}

type setting struct {
	Name  string
	Value any
}

func (r *Result) report() report {
	page := report{Result: r, Percents: percents[:]}
	add := func(name string, s *Stage) {
		if s == nil {
			return
		}
		page.Rows = append(page.Rows, reportRow{name, s, &s.Latency})
		if s.Service != nil {
			page.Rows = append(page.Rows, reportRow{name + ", from sending", s, s.Service})
		}
	}
	add("create accounts", r.Accounts)
	add("create transfers", r.Transfers)
	add("queries", r.Queries)
	if r.Payments != nil {
		add("all calls", r.Payments.Calls)
		for _, kind := range r.Payments.Kinds {
			add(kind.Name, kind.Stage)
		}
	}
	add("readers", r.Readers)
	page.IntervalPercents = intervalPercents[:]
	fields := reflect.ValueOf(r.Options)
	for i := range fields.NumField() {
		if name := fields.Type().Field(i).Tag.Get("json"); name != "-" {
			page.Settings = append(page.Settings, setting{strings.TrimSuffix(name, "_ns"), fields.Field(i).Interface()})
		}
	}
	if t := r.Transfers; t != nil {
		page.Plots = append(page.Plots, ratePlot(t), timePlot(t))
		if len(t.Intervals) > 1 {
			page.Plots = append(page.Plots, intervalsPlot(t))
		}
	}
	page.Plots = append(page.Plots, curvePlot(page.Rows))
	return page
}

// ratePlot shows transfers per second over time.
func ratePlot(s *Stage) plot {
	rate := series{label: "accepted"}
	for _, p := range steps(s.Timeline) {
		rate.points = append(rate.points, [2]float64{seconds(p.AtNs), p.RatePerSecond})
	}
	return newPlot("Transfers accepted per second", "seconds", axisLinear, axisLinear, formatCount, []series{rate})
}

// timePlot shows the latencies over time.
func timePlot(s *Stage) plot {
	mean, slowest := series{label: "mean"}, series{label: "slowest"}
	for _, p := range steps(s.Timeline) {
		if p.RequestsCount > 0 {
			mean.points = append(mean.points, [2]float64{seconds(p.AtNs), float64(p.LatencyMeanNs)})
			slowest.points = append(slowest.points, [2]float64{seconds(p.AtNs), float64(p.LatencyMaxNs)})
		}
	}
	return newPlot("Batch latency over time", "seconds", axisLinear, axisLog, formatNs, []series{mean, slowest})
}

// intervalsPlot shows the percentiles of each interval, at its middle.
func intervalsPlot(s *Stage) plot {
	var lines []series
	for i, percent := range intervalPercents {
		line := series{label: fmt.Sprintf("p%v", percent)}
		for j := range s.Intervals {
			one := &s.Intervals[j]
			line.points = append(line.points, [2]float64{seconds(one.AtNs + one.PeriodNs/2), float64(one.Percentiles[i].Ns)})
		}
		lines = append(lines, line)
	}
	return newPlot("Batch latency of each interval", "seconds", axisLinear, axisLog, formatNs, lines)
}

// curvePlot shows how latency grows towards the last percentiles.
func curvePlot(rows []reportRow) plot {
	var lines []series
	for _, row := range rows {
		line := series{label: row.Name}
		for _, p := range row.Curve {
			line.points = append(line.points, [2]float64{p.Percent, float64(p.Ns)})
		}
		lines = append(lines, line)
	}
	return newPlot("Latency by percentile", "percent of requests", axisNines, axisLog, formatNs, lines)
}

// pointsMax is the largest number of points in the plot of a timeline.
const pointsMax = 400

// steps joins neighbours of a timeline until they fit.
func steps(timeline []Point) []Point {
	group := (len(timeline) + pointsMax - 1) / pointsMax
	if group <= 1 {
		return timeline
	}
	var joined []Point
	for at := 0; at < len(timeline); at += group {
		one := Point{AtNs: timeline[at].AtNs}
		latencySumNs := int64(0)
		for _, p := range timeline[at:min(at+group, len(timeline))] {
			one.PeriodNs += p.PeriodNs
			one.RequestsCount += p.RequestsCount
			one.EventsCount += p.EventsCount
			one.LatencyMaxNs = max(one.LatencyMaxNs, p.LatencyMaxNs)
			latencySumNs += p.LatencyMeanNs * int64(p.RequestsCount)
		}
		one.RatePerSecond = float64(one.EventsCount) / seconds(one.PeriodNs)
		one.LatencyMeanNs = latencySumNs / int64(max(one.RequestsCount, 1))
		joined = append(joined, one)
	}
	return joined
}

// formatNs writes a latency with three digits or so.
func formatNs(ns float64) string {
	d := time.Duration(ns)
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}
