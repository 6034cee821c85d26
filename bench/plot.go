package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// axis tells how values are placed.
type axis int

const (
	axisLinear axis = iota // from 0
	axisLog                // powers of ten
	axisNines              // percentiles: 90, 99 and 99.9 are equally far apart
)

// series is one line of a plot.
type series struct {
	label  string
	points [][2]float64
}

// plot is a finished plot. The page's template only places the parts.
type plot struct {
	Title, XLabel                  string
	Width, Height                  int
	Left, Right, Top, Bottom       int // of the area between the axes
	XTicks, YTicks                 []tick
	Lines                          []line
	LabelBelow, TextLeft, TickLeft int
}

type tick struct {
	At    string
	Label string
}

type line struct {
	Label   string
	Class   string
	Path    string
	LegendX int
}

const (
	plotWidth, plotHeight = 900, 300
	plotLeft, plotRight   = 80, 880
	plotTop, plotBottom   = 40, 250
	legendWidth           = 190
)

func newPlot(title, xLabel string, x, y axis, formatY func(float64) string, all []series) plot {
	p := plot{
		Title: title, XLabel: xLabel, Width: plotWidth, Height: plotHeight,
		Left: plotLeft, Right: plotRight, Top: plotTop, Bottom: plotBottom,
		LabelBelow: plotBottom + 18, TextLeft: plotLeft - 8, TickLeft: plotLeft - 4,
	}
	xScale, yScale := newScale(x, all, 0), newScale(y, all, 1)
	for _, value := range xScale.ticks() {
		p.XTicks = append(p.XTicks, tick{coordinate(xScale.place(value, plotLeft, plotRight)), strconv.FormatFloat(value, 'g', 7, 64)})
	}
	for _, value := range yScale.ticks() {
		p.YTicks = append(p.YTicks, tick{coordinate(yScale.place(value, plotBottom, plotTop)), formatY(value)})
	}
	for i, one := range all {
		var path strings.Builder
		for j, point := range one.points {
			command := byte('L')
			if j == 0 {
				command = 'M'
			}
			fmt.Fprintf(&path, "%c%s %s", command, coordinate(xScale.place(point[0], plotLeft, plotRight)),
				coordinate(yScale.place(point[1], plotBottom, plotTop)))
		}
		if len(one.points) == 1 {
			path.WriteString("h6") // a single point would be invisible
		}
		p.Lines = append(p.Lines, line{one.label, fmt.Sprintf("line%d", i%5), path.String(), plotLeft + i*legendWidth})
	}
	return p
}

func coordinate(value float64) string { return strconv.FormatFloat(value, 'f', 1, 64) }

// scale maps values of one axis to 0..1.
type scale struct {
	axis     axis
	min, max float64 // transformed
}

func newScale(a axis, all []series, dimension int) scale {
	s := scale{axis: a, min: math.Inf(1), max: math.Inf(-1)}
	for _, one := range all {
		for _, point := range one.points {
			value := s.transform(point[dimension])
			s.min, s.max = min(s.min, value), max(s.max, value)
		}
	}
	switch {
	case s.min > s.max: // no point at all
		s.min, s.max = 0, 1
	case a == axisLog:
		s.min, s.max = math.Floor(s.min), math.Ceil(s.max)
	default:
		s.min = min(s.min, 0)
	}
	if s.max <= s.min {
		s.max = s.min + 1
	}
	return s
}

func (s *scale) transform(value float64) float64 {
	switch s.axis {
	case axisLog:
		return math.Log10(max(value, 1))
	case axisNines:
		return min(-math.Log10(1-value/100), ninesMax)
	}
	return value
}

// ninesMax is the place of 100 %, which would be at infinity.
const ninesMax = 5.3

func (s *scale) place(value float64, from, to float64) float64 {
	return from + (to-from)*(s.transform(value)-s.min)/(s.max-s.min)
}

// ticks are round values on the axis.
func (s *scale) ticks() (values []float64) {
	switch s.axis {
	case axisLog:
		for power := s.min; power <= s.max; power++ {
			values = append(values, math.Pow(10, power))
		}
	case axisNines:
		for _, percent := range []float64{0, 50, 90, 99, 99.9, 99.99, 100} {
			if s.transform(percent) <= s.max {
				values = append(values, percent)
			}
		}
	default:
		step := math.Pow(10, math.Floor(math.Log10(s.max-s.min)))
		for (s.max-s.min)/step < 4 {
			step /= 2
		}
		for i := 0; float64(i)*step <= s.max; i++ {
			values = append(values, float64(i)*step)
		}
	}
	return values
}

// formatCount writes a rate in thousands or millions.
func formatCount(value float64) string {
	switch {
	case value >= 1e6:
		return strconv.FormatFloat(value/1e6, 'g', 4, 64) + " M"
	case value >= 1e3:
		return strconv.FormatFloat(value/1e3, 'g', 4, 64) + " k"
	}
	return strconv.FormatFloat(value, 'g', 4, 64)
}
