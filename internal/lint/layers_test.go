package lint

import (
	"go/ast"
	"slices"
	"testing"
)

// layers has every package, from the ground up. A package imports packages of lower lines only, so
// two of one line do not know each other. Tests may import what they like, for example an oracle.
var layers = [][]string{
	// Ground: it knows nothing of transactions.
	{"internal/assert", "internal/coro", "internal/ports", "limits", "metrics", "affinity"},
	{"internal/arena", "internal/hashing", "internal/ports/fifo", "ring"},
	{"internal/ports/connections"},
	{"internal/posix"},
	{"internal/uring"},
	// Formats.
	{"wire"},
	{"prepare", "events", "config"},
	// Rules, and the state behind them.
	{"accounting", "vsr", "clock", "peer"},
	{"storage"},
	{"storage/block", "storage/datafile"},
	{"storage/table", "storage/rowlog", "storage/freeset", "storage/grid"},
	{"storage/merge", "storage/forest/pages", "storage/forest/keys", "storage/forest/manifest", "storage/forest/ids"},
	{"storage/forest/levels"},
	{"storage/forest/expiry"},
	{"storage/forest/rows"},
	{"storage/forest/query"},
	{"storage/forest"},
	// The pipeline. No stage knows another one: they talk through the descriptors of stages.
	{"stages"},
	{"stages/net", "stages/consensus", "stages/journal", "stages/apply", "stages/compact"},
	// Assembly and edges.
	{"replica", "inspect", "trace"},
	{"client", "probe"},
	{"patient", "records"},
	{"feed"},
	{"admin", "bench", "cdc", "move", "repl"},
	{"amqp"},
	{"doctor"},
	{"cmd/ledger"},
}

// helpers are packages that only tests, and other helpers, may import.
var helpers = []string{
	"accounting/memory", "accounting/storetest", "client/clienttest", "internal/lint", "internal/mutate", "internal/portstest",
	"internal/seeded", "sim", "sim/cmd/clusters", "sim/model", "sim/oracle", "sim/planted", "sim/workload", "storage/forest/foresttest",
}

// upward finds imports that do not run downward, and packages that the table does not have. Modules
// below this one (interop) are users from outside.
func upward(l *tree, layers [][]string, helpers []string) (findings []string) {
	height := map[string]int{}
	for i, line := range layers {
		for _, folder := range line {
			height[folder] = i
		}
	}
	isMissing := map[string]bool{}
	for _, f := range l.files {
		from, isKnown := height[f.folder()]
		switch {
		case f.isTest || f.isOutside || slices.Contains(helpers, f.folder()):
			continue
		case !isKnown && !isMissing[f.folder()]:
			isMissing[f.folder()] = true
			findings = append(findings, l.at(f.syntax.Package, "package %s has no place in the table of layers (layers_test.go): "+
				"add it where its importers are above it, or to the helpers of tests", f.folder()))
		}
		f.imports(func(spec *ast.ImportSpec, importPath string) {
			folder, ok := l.local(importPath)
			to, hasPlace := height[folder]
			switch {
			case !ok || !isKnown:
			case slices.Contains(helpers, folder):
				findings = append(findings, l.at(spec.Pos(), "%s imports %s, which is for tests only", f.folder(), folder))
			case hasPlace && to >= from:
				findings = append(findings, l.at(spec.Pos(), "%s imports %s, which is not below it: move what both need down", f.folder(), folder))
			}
		})
	}
	return findings
}

// Goal: no import runs upward.
func TestLayers(t *testing.T) {
	holds(t, upward(repository(t), layers, helpers))
}

// Goal: TestLayers can fail.
func TestLayersFinds(t *testing.T) {
	table := [][]string{{"ground"}, {"middle", "beside"}, {"top"}}
	findings := upward(load(t, "testdata/layers", "example"), table, []string{"helper"})
	finds(t, findings,
		"beside/beside.go:3: beside imports middle, which is not below it: move what both need down",
		"middle/middle.go:7: middle imports top, which is not below it: move what both need down",
		"middle/middle.go:6: middle imports helper, which is for tests only",
		"new/new.go:1: package new has no place in the table of layers (layers_test.go): "+
			"add it where its importers are above it, or to the helpers of tests",
	)
}
