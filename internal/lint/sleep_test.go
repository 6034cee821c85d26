package lint

import (
	"go/ast"
	"strings"
	"testing"
)

// guesses finds calls of time.Sleep in tests, and in the helpers of tests, that are in no loop. A
// pause between two looks at what is awaited is right; a single pause is a guess of how long
// something takes, and a busy machine takes longer. What has no event to look at is waited for in
// a loop of its own, which gives it more time when it was too little.
func guesses(l *tree, helpers []string) (findings []string) {
	for _, f := range l.files {
		isHelper := false
		for _, helper := range helpers {
			isHelper = isHelper || f.folder() == helper
		}
		if !f.isTest && !isHelper {
			continue
		}
		ast.Walk(guessVisitor{func(call *ast.CallExpr) {
			findings = append(findings, l.at(call.Pos(), "a test sleeps once: wait for the event, or look again in a loop"))
		}}, f.syntax)
	}
	return findings
}

// guessVisitor reports calls of time.Sleep, and does not enter loops. A function literal in a loop
// runs in the loop.
type guessVisitor struct{ report func(*ast.CallExpr) }

func (v guessVisitor) Visit(node ast.Node) ast.Visitor {
	switch node := node.(type) {
	case *ast.ForStmt, *ast.RangeStmt:
		return nil
	case *ast.CallExpr:
		if selector, ok := node.Fun.(*ast.SelectorExpr); ok && selector.Sel.Name == "Sleep" {
			if name, ok := selector.X.(*ast.Ident); ok && name.Name == "time" {
				v.report(node)
			}
		}
	}
	return v
}

// Goal: tests wait for events.
func TestSleep(t *testing.T) {
	var owned []string // clienttest plays a slow server: its pauses are what the test asked for
	for _, helper := range helpers {
		if !strings.HasPrefix(helper, "client/") {
			owned = append(owned, helper)
		}
	}
	holds(t, guesses(repository(t), owned))
}

// Goal: TestSleep can fail.
func TestSleepFinds(t *testing.T) {
	const message = ": a test sleeps once: wait for the event, or look again in a loop"
	finds(t, guesses(load(t, "testdata/sleep", "example"), []string{"helper"}),
		"helper/helper.go:5"+message,
		"library/library_test.go:6"+message,
		"library/library_test.go:11"+message,
	)
}
