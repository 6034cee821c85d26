package lint

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// file is one Go file of a tree.
type file struct {
	path   string // from the root, with slashes
	text   string
	syntax *ast.File
	isTest bool
	isIn   bool // a build without tags has it

	isOutside bool // it belongs to a module of its own, below this one
}

func (f *file) folder() string { return path.Dir(f.path) }
func (f *file) name() string   { return path.Base(f.path) }

// tree is all Go files below a root, but for those in folders named testdata.
type tree struct {
	root      string
	module    string // the import path of the root
	positions *token.FileSet
	files     []*file
}

// load reads and parses the Go files below root.
func load(t testing.TB, root, module string) *tree {
	t.Helper()
	loaded := &tree{root: root, module: module, positions: token.NewFileSet()}
	var outside []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != root && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.Name() == "go.mod" && filepath.Dir(name) != root:
			outside = append(outside, path.Dir(filepath.ToSlash(name))+"/")
			return nil
		case entry.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		f := &file{path: filepath.ToSlash(below), text: string(text), isTest: strings.HasSuffix(name, "_test.go")}
		if f.isIn, err = build.Default.MatchFile(filepath.Dir(name), filepath.Base(name)); err != nil {
			return err
		}
		f.syntax, err = parser.ParseFile(loaded.positions, f.path, text, parser.ParseComments|parser.SkipObjectResolution)
		loaded.files = append(loaded.files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range loaded.files {
		f.isOutside = slices.ContainsFunc(outside, func(folder string) bool {
			return strings.HasPrefix(path.Join(filepath.ToSlash(root), f.path), folder)
		})
	}
	return loaded
}

// repository is the tree of this module and of those below it.
func repository(t testing.TB) *tree { return load(t, filepath.Join("..", ".."), "ledger") }

// local is the folder of an import path of this tree.
func (l *tree) local(importPath string) (folder string, ok bool) {
	if importPath == l.module {
		return ".", true
	}
	return strings.CutPrefix(importPath, l.module+"/")
}

// at says where something is, and what is wrong with it.
func (l *tree) at(position token.Pos, format string, arguments ...any) string {
	place := l.positions.Position(position)
	return fmt.Sprintf("%s:%d: %s", place.Filename, place.Line, fmt.Sprintf(format, arguments...))
}

// imports calls visit for each import of f.
func (f *file) imports(visit func(spec *ast.ImportSpec, importPath string)) {
	for _, spec := range f.syntax.Imports {
		visit(spec, strings.Trim(spec.Path.Value, `"`))
	}
}

// holds fails the test unless a rule finds nothing in the repository.
func holds(t *testing.T, findings []string) {
	t.Helper()
	slices.Sort(findings)
	for _, finding := range findings {
		t.Error(finding)
	}
}

// finds fails the test unless a rule finds exactly what is there to be found in a tree of testdata.
// So the rule can fail, and it lets pass what it should.
func finds(t *testing.T, findings []string, want ...string) {
	t.Helper()
	slices.Sort(findings)
	slices.Sort(want)
	if !slices.Equal(findings, want) {
		t.Errorf("found:\n%s\nwant:\n%s", strings.Join(findings, "\n"), strings.Join(want, "\n"))
	}
}
