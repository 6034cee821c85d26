//go:build race

package arena

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// Goal: the race detector sees the arena's memory. The test runs itself once more in a process of
// its own, where two goroutines write to one byte of a slot; that process must report it.
func TestRaceInSlotIsReported(t *testing.T) {
	const asked = "LEDGER_ARENA_RACE"
	if os.Getenv(asked) != "" {
		a := New()
		defer a.Close()
		p := NewPoolHuge(a, 4, 1<<20, "slots", 2<<20)
		slot, _ := p.Get()
		write := func(value byte) {
			for range 2000 { // so long that both live: of a goroutine that has ended, the detector loses the history
				p.Bytes(slot)[7] = value
				runtime.Gosched()
			}
		}
		done := make(chan struct{})
		go func() {
			write(1)
			close(done)
		}()
		write(2)
		<-done
		return
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), asked+"=1")
	output, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "WARNING: DATA RACE") {
		t.Errorf("error %v, and no race is reported in:\n%s", err, output)
	}
}
