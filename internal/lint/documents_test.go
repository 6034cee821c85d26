package lint

import (
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testName is a test as documents name it: in backquotes, alone.
var testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9_]*)`")

// testsOf returns the names of the tests, fuzz tests and benchmarks of a tree.
func testsOf(l *tree) map[string]bool {
	names := map[string]bool{}
	for _, f := range l.files {
		if !f.isTest {
			continue
		}
		for _, declaration := range f.syntax.Decls {
			if one, ok := declaration.(*ast.FuncDecl); ok && one.Recv == nil {
				names[one.Name.Name] = true
			}
		}
	}
	return names
}

// documents are the pages of a tree, by path from its root.
func documents(t testing.TB, root string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".md"):
			return nil
		}
		text, err := os.ReadFile(name)
		below, _ := filepath.Rel(root, name)
		pages[filepath.ToSlash(below)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// unknownTests are the places where a page names a test that the tree has not got.
func unknownTests(pages map[string]string, tests map[string]bool) (faults []string) {
	for page, text := range pages {
		for number, line := range strings.Split(text, "\n") {
			for _, found := range testName.FindAllStringSubmatch(line, -1) {
				if !tests[found[1]] {
					faults = append(faults, fmt.Sprintf("%s:%d: %s is no test of this repository", page, number+1, found[1]))
				}
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// rowsWithoutTest are the rows of the tables below a heading whose last column names no test. A row
// may say with "open" that there is none yet.
func rowsWithoutTest(page, text, heading string) (faults []string, rows int) {
	_, rest, isThere := strings.Cut(text, "\n"+heading+"\n")
	if !isThere {
		return []string{page + ": the heading " + heading + " is missing"}, 0
	}
	if at := strings.Index(rest, "\n#"); at >= 0 {
		rest = rest[:at]
	}
	lines := strings.Split(rest, "\n")
	for i, line := range lines {
		isHead := i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---")
		if !strings.HasPrefix(line, "| ") || isHead {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		last := cells[len(cells)-1]
		if !testName.MatchString(last) && !strings.HasPrefix(last, "open") {
			faults = append(faults, page+": the row names no test in its last column: "+line)
		}
	}
	return faults, rows
}

// Goal: each test that a document names exists, and each row of the tables of what a cluster
// survives has a test behind it.
func TestDocumentsNameTests(t *testing.T) {
	l := repository(t)
	pages := documents(t, l.root)
	tests := testsOf(l)
	for _, fault := range unknownTests(pages, tests) {
		t.Error(fault)
	}
	for page, heading := range map[string]string{
		"docs/cluster.md":       "## What it survives",
		"docs/cluster-tests.md": "## The fault table",
	} {
		faults, rows := rowsWithoutTest(page, pages[page], heading)
		for _, fault := range faults {
			t.Error(fault)
		}
		if rows < 15 {
			t.Errorf("%s: the table below %q has %d rows: it was not read", page, heading, rows)
		}
	}
}

// Goal: a test that is missing, and a row without one, are found.
func TestDocumentsNameTestsFinds(t *testing.T) {
	tests := map[string]bool{"TestHere": true}
	page := "# A\n\n## What\n\n| fault | shown by |\n|---|---|\n| a | `TestHere` |\n| b | `TestGone` |\n| c | nothing |\n" +
		"| d | open: later |\n\n## B\n"
	found := unknownTests(map[string]string{"a.md": page}, tests)
	if want := "a.md:8: TestGone is no test of this repository"; len(found) != 1 || found[0] != want {
		t.Errorf("found %q, want %q", found, want)
	}
	faults, rows := rowsWithoutTest("a.md", page, "## What")
	if rows != 4 || len(faults) != 1 || !strings.Contains(faults[0], "| c |") {
		t.Errorf("%d rows, found %q", rows, faults)
	}
	if faults, _ := rowsWithoutTest("a.md", page, "## Missing"); len(faults) != 1 {
		t.Errorf("a missing heading: found %q", faults)
	}
}
