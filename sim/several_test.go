package sim

import (
	"flag"
	"testing"
)

func TestSeveralTry(t *testing.T) {
	for i := range uint64(*seedsFlag) {
		result, err := Run(Options{Seed: *tryFlag + i, Several: true, TraceLines: *linesFlag})
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		t.Logf("seed %d: %d machines, %d ops, %d crashes, %d steps %+v", *tryFlag+i, result.MachinesCount, result.OpsCount, result.CrashesCount, result.Steps, result.Marks)
	}
}

var tryFlag = flag.Uint64("try", 1, "first seed")
