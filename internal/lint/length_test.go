package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"
	"unicode/utf8"
)

// A tab counts as one column.
const (
	codeColumnsMax    = 140
	commentColumnsMax = 100
)

// tooLong finds lines of code of more than codeColumnsMax, and lines that hold nothing but a
// comment of more than commentColumnsMax. A struct tag is one literal, which cannot be broken, and
// neither can a directive; their lines may be longer.
func tooLong(l *tree) (findings []string) {
	for _, f := range l.files {
		lines := strings.Split(f.text, "\n")
		comments, unbreakable := map[int]bool{}, map[int]bool{}
		line := func(position token.Pos) int { return l.positions.PositionFor(position, false).Line - 1 }
		for _, group := range f.syntax.Comments {
			for _, comment := range group.List {
				first, last := line(comment.Pos()), line(comment.End()-1)
				before := lines[first][:l.positions.PositionFor(comment.Pos(), false).Column-1]
				unbreakable[first] = strings.HasPrefix(comment.Text, "//go:") && strings.TrimSpace(before) == ""
				for i := first; i <= last; i++ {
					comments[i] = i > first || strings.TrimSpace(before) == ""
				}
			}
		}
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			if field, ok := node.(*ast.Field); ok && field.Tag != nil {
				unbreakable[line(field.Tag.End())] = true
			}
			return true
		})
		for i, text := range lines {
			columns, limit, what := utf8.RuneCountInString(text), codeColumnsMax, "a line of code"
			if comments[i] {
				limit, what = commentColumnsMax, "a comment"
			}
			if columns > limit && !unbreakable[i] {
				findings = append(findings, fmt.Sprintf("%s:%d: %s of %d columns: break it, at most %d fit", f.path, i+1, what, columns, limit))
			}
		}
	}
	return findings
}

// Goal: lines can be read side by side with others.
func TestLength(t *testing.T) { holds(t, tooLong(repository(t))) }

// Goal: TestLength can fail.
func TestLengthFinds(t *testing.T) {
	finds(t, tooLong(load(t, "testdata/length", "example")),
		"long.go:4: a comment of 101 columns: break it, at most 100 fit",
		"long.go:10: a line of code of 141 columns: break it, at most 140 fit",
		"long.go:13: a comment of 101 columns: break it, at most 100 fit",
		"long.go:17: a comment of 106 columns: break it, at most 100 fit",
	)
}
