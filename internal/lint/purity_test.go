package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// pureImports are the packages of the standard library that code in stages may use. None of them
// reads a clock, opens anything, starts anything or draws random numbers; fmt is here for texts of
// errors and assertions (see the calls below).
var pureImports = []string{"cmp", "encoding/binary", "errors", "fmt", "math", "math/bits", "slices", "unsafe"}

// tagImports are what peer needs beside them, for the tags of messages.
var tagImports = []string{"crypto/subtle", "encoding/hex", "github.com/zeebo/blake3"}

// impure finds what a stage must not do. A stage is a function of its state, the time that it is
// given and its events; its driver calls ports and rings. So below folder, in files that are no
// tests:
//
//   - of the standard library only pureImports, and nothing of other modules, but for the imports
//     in also. Drivers are no exception: clocks, files and sockets reach them as arguments and
//     ports;
//   - rings only in files named driver.go;
//   - no go statement, no channel, no select;
//   - no loop over a map, whose order is random;
//   - no output of fmt and of the built-in print functions.
func impure(c *checked, folder string, also ...string) (findings []string) {
	l := c.tree
	for _, f := range l.files {
		if f.isTest || !strings.HasPrefix(f.path, folder+"/") {
			continue
		}
		report := func(position token.Pos, format string, arguments ...any) {
			findings = append(findings, l.at(position, format, arguments...))
		}
		f.imports(func(spec *ast.ImportSpec, importPath string) {
			local, isLocal := l.local(importPath)
			switch {
			case isLocal && local == "ring" && f.name() != "driver.go":
				report(spec.Pos(), "a stage imports ring: only its driver.go pops and pushes")
			case !isLocal && !slices.Contains(pureImports, importPath) && !slices.Contains(also, importPath):
				report(spec.Pos(), "a stage imports %s: it may import %s; what it needs of the world comes as a port or an event",
					importPath, strings.Join(pureImports, ", "))
			}
		})
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.GoStmt:
				report(node.Pos(), "a stage starts a goroutine: threads are replica's")
			case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
				report(node.Pos(), "a stage uses a channel: stages talk through rings")
			case *ast.UnaryExpr:
				if node.Op == token.ARROW {
					report(node.Pos(), "a stage uses a channel: stages talk through rings")
				}
			case *ast.RangeStmt:
				if of := c.info.TypeOf(node.X); of != nil {
					if _, isMap := of.Underlying().(*types.Map); isMap {
						report(node.Pos(), "a stage loops over a map: the order is random")
					}
				}
			case *ast.Ident:
				object := c.info.Uses[node]
				_, isBuiltin := object.(*types.Builtin)
				isFmt := object != nil && object.Pkg() != nil && object.Pkg().Path() == "fmt"
				if (isBuiltin || isFmt) && strings.HasPrefix(strings.ToLower(strings.TrimPrefix(node.Name, "F")), "print") {
					report(node.Pos(), "a stage prints: what is to be logged is an action")
				}
			}
			return true
		})
	}
	return findings
}

// Goal: stages have no clock, file, socket, thread or unseeded randomness, and neither have vsr and
// clock and peer.
func TestPurity(t *testing.T) {
	c := checkedRepository(t)
	holds(t, slices.Concat(impure(c, "stages"), impure(c, "vsr"), impure(c, "clock"), impure(c, "peer", tagImports...)))
}

// Goal: TestPurity can fail.
func TestPurityFinds(t *testing.T) {
	const may = ": it may import cmp, encoding/binary, errors, fmt, math, math/bits, slices, unsafe; " +
		"what it needs of the world comes as a port or an event"
	finds(t, impure(check(t, load(t, "testdata/purity", "example")), "stages"),
		"stages/net/driver.go:4: a stage imports net"+may,
		"stages/net/stage.go:5: a stage imports math/rand/v2"+may,
		"stages/net/stage.go:6: a stage imports os"+may,
		"stages/net/stage.go:7: a stage imports time"+may,
		"stages/net/stage.go:9: a stage imports ring: only its driver.go pops and pushes",
		"stages/net/stage.go:13: a stage uses a channel: stages talk through rings",
		"stages/net/stage.go:18: a stage starts a goroutine: threads are replica's",
		"stages/net/stage.go:18: a stage uses a channel: stages talk through rings",
		"stages/net/stage.go:19: a stage uses a channel: stages talk through rings",
		"stages/net/stage.go:20: a stage uses a channel: stages talk through rings",
		"stages/net/stage.go:22: a stage uses a channel: stages talk through rings",
		"stages/net/stage.go:24: a stage loops over a map: the order is random",
		"stages/net/stage.go:25: a stage prints: what is to be logged is an action",
		"stages/net/stage.go:27: a stage prints: what is to be logged is an action",
	)
}
