package sim

import (
	"flag"
	"strings"
	"testing"
	"time"
)

var tryFlag = flag.Uint64("try", 1, "first seed")

func TestSeveralTry(t *testing.T) {
	for i := range uint64(*seedsFlag) {
		start := time.Now()
		result, err := Run(Options{Seed: *tryFlag + i, Several: true, TraceLines: *linesFlag})
		if err == nil && *linesFlag < 0 {
			_, f := run(Options{Seed: *tryFlag + i, Several: true, Trace: true})
			_ = f
			t.Log(strings.Join(lastTrace, "\n"))
		}
		if err != nil && *seedsFlag > 1 {
			f := err.(*Failure)
			t.Logf("seed %d FAILS after %v: %s", *tryFlag+i, time.Since(start).Round(time.Millisecond), firstLine(f.Reason))
		} else if err != nil {
			t.Errorf("%v", err)
		} else if *verboseFlag {
			t.Logf("seed %d: %v, %d machines, %d ops, %d crashes, %d steps, %d s, held %d, stalled %d", *tryFlag+i, time.Since(start).Round(time.Millisecond), result.MachinesCount, result.OpsCount, result.CrashesCount, result.Steps, result.Seconds, result.Marks.held, result.Marks.stalled)
		}
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

var verboseFlag = flag.Bool("all", false, "a line for each seed")
