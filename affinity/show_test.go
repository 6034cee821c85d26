package affinity

import (
	"strings"
	"testing"
)

// Goal: what an operator sees of a machine, whole for a small one, the telling lines of a large
// one.
func TestTopologyString(t *testing.T) {
	const want = `cores: 0-1 online, 1 allowed
node 0: cores 0-1, memory 7898 MiB
physical core: socket 0, node 0, hardware threads 0
physical core: socket 0, node 0, hardware threads 1
cache L1 data: 32 KiB, lines of 64 bytes, cores 0
cache L1 instruction: 32 KiB, lines of 64 bytes, cores 0
cache L1 data: 32 KiB, lines of 64 bytes, cores 1
cache L1 instruction: 32 KiB, lines of 64 bytes, cores 1
cache L2 unified: 1024 KiB, lines of 64 bytes, cores 0
cache L2 unified: 1024 KiB, lines of 64 bytes, cores 1
cache L3 unified: 32768 KiB, lines of 64 bytes, cores 0-1
`
	if got := read(t, "two-cores", "1").String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	topology := read(t, "two-sockets", "0-31")
	topology.QuotaCores, topology.Isolated = 4, Cores(9)
	got := topology.String()
	for _, line := range []string{
		"cores: 0-31 online, 0-31 allowed, 9 isolated, time for 4\n",
		"node 1: cores 8-15,24-31, memory 128000 MiB, distance to node 0 is 21\n",
		"physical core: socket 1, node 1, hardware threads 10,26\n",
		"cache L3 unified: 30720 KiB, lines of 64 bytes, cores 8-15,24-31\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
}
