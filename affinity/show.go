package affinity

import (
	"fmt"
	"strings"
)

// String describes the machine and the part of it that this process may use, for the command
// topology.
func (t *Topology) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "cores: %s online, %s allowed", t.Online, t.usable())
	if !t.Isolated.IsEmpty() {
		fmt.Fprintf(&out, ", %s isolated", t.Isolated)
	}
	if t.QuotaCores > 0 {
		fmt.Fprintf(&out, ", time for %d", t.QuotaCores)
	}
	out.WriteByte('\n')
	for i := range t.Nodes {
		node := &t.Nodes[i]
		fmt.Fprintf(&out, "node %d: cores %s", node.Number, node.Cores)
		if node.MemoryBytes > 0 {
			fmt.Fprintf(&out, ", memory %d MiB", node.MemoryBytes>>20)
		}
		for j, distance := range node.Distances {
			if j < len(t.Nodes) && j != i {
				fmt.Fprintf(&out, ", distance to node %d is %d", t.Nodes[j].Number, distance)
			}
		}
		out.WriteByte('\n')
	}
	for i := range t.Cores {
		core := &t.Cores[i]
		if core.Siblings.First() == core.Number {
			fmt.Fprintf(&out, "physical core: socket %d, node %d, hardware threads %s\n", core.Socket, core.Node, core.Siblings)
		}
	}
	for i := range t.Caches {
		cache := &t.Caches[i]
		fmt.Fprintf(&out, "cache L%d %s: %d KiB, lines of %d bytes, cores %s\n",
			cache.Level, strings.ToLower(cache.Kind), cache.SizeBytes>>10, cache.LineBytes, cache.Cores)
	}
	return out.String()
}
