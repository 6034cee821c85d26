package lint

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// checked is a tree whose names are resolved. Packages are checked without their tests, and then
// once more with the tests inside, and the tests outside. All share the parsed files, so a
// declaration is known by its position.
type checked struct {
	tree     *tree
	info     *types.Info               // of files that are no tests
	tests    map[string]*types.Info    // of the tests of a folder
	packages map[string]*types.Package // by folder, without tests
	external types.Importer
	failures []string
}

// checkedRepository is repository, checked once for all tests.
var checkedRepository = func() func(testing.TB) *checked {
	var once sync.Once
	var c *checked
	return func(t testing.TB) *checked {
		once.Do(func() { c = check(t, repository(t)) })
		if c == nil {
			t.Fatal("the repository could not be checked")
		}
		return c
	}
}()

// check resolves the names of l. Modules below it are left out.
func check(t testing.TB, l *tree) *checked {
	t.Helper()
	c := &checked{
		tree: l, info: newInfo(), tests: map[string]*types.Info{}, packages: map[string]*types.Package{},
		external: importer.ForCompiler(l.positions, "gc", exportData(t, l)),
	}
	folders := map[string]bool{}
	for _, f := range l.files {
		if !f.isOutside {
			folders[f.folder()] = true
		}
	}
	for folder := range folders {
		c.plain(folder)
	}
	if len(c.failures) > 0 {
		t.Fatalf("the tree does not compile:\n%s", strings.Join(c.failures, "\n"))
	}
	// What a test cannot resolve is of its own package: export_test.go, or a type that is there twice.
	for folder := range folders {
		c.tests[folder] = newInfo()
		inside, outside := c.sources(folder, true)
		if len(inside) > 0 {
			c.files(folder, append(c.plainSources(folder), inside...), c.tests[folder], func(error) {})
		}
		if len(outside) > 0 {
			c.files(folder+"_test", outside, c.tests[folder], func(error) {})
		}
	}
	return c
}

func newInfo() *types.Info {
	return &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
	}
}

// sources are the files of a folder in a build without tags: those of its package, and of the
// package of its outer tests.
func (c *checked) sources(folder string, tests bool) (inside, outside []*ast.File) {
	for _, f := range c.tree.files {
		switch {
		case f.folder() != folder || !f.isIn || f.isTest != tests:
		case f.isTest && strings.HasSuffix(f.syntax.Name.Name, "_test"):
			outside = append(outside, f.syntax)
		default:
			inside = append(inside, f.syntax)
		}
	}
	return inside, outside
}

func (c *checked) plainSources(folder string) []*ast.File {
	inside, _ := c.sources(folder, false)
	return slices.Clone(inside)
}

// plain checks a package without its tests, and before it what it imports.
func (c *checked) plain(folder string) *types.Package {
	if c.packages[folder] == nil {
		c.packages[folder] = c.files(folder, c.plainSources(folder), c.info, func(err error) {
			c.failures = append(c.failures, err.Error())
		})
	}
	return c.packages[folder]
}

func (c *checked) files(folder string, files []*ast.File, info *types.Info, failed func(error)) *types.Package {
	config := types.Config{Importer: c, Sizes: types.SizesFor("gc", runtime.GOARCH), Error: failed}
	p, _ := config.Check(path.Join(c.tree.module, folder), c.tree.positions, files, info)
	return p
}

// Import implements types.Importer.
func (c *checked) Import(importPath string) (*types.Package, error) {
	if folder, ok := c.tree.local(importPath); ok {
		return c.plain(folder), nil
	}
	return c.external.Import(importPath)
}

// exportData finds what the compiler knows of packages of other modules.
func exportData(t testing.TB, l *tree) importer.Lookup {
	t.Helper()
	wanted := map[string]bool{"fmt": true, "sort": true, "io": true, "flag": true}
	for _, f := range l.files {
		if f.isIn && !f.isOutside {
			f.imports(func(_ *ast.ImportSpec, importPath string) {
				if _, ok := l.local(importPath); !ok && importPath != "unsafe" && importPath != "C" {
					wanted[importPath] = true
				}
			})
		}
	}
	arguments := []string{"list", "-deps", "-export", "-f", "{{.ImportPath}} {{.Export}}"}
	for importPath := range wanted {
		arguments = append(arguments, importPath)
	}
	command := exec.Command("go", arguments...)
	command.Stderr = &bytes.Buffer{}
	output, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, command.Stderr)
	}
	exported := map[string]string{}
	for line := range strings.Lines(string(output)) {
		importPath, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		exported[importPath] = name
	}
	return func(importPath string) (io.ReadCloser, error) { return os.Open(exported[importPath]) }
}

// enclosing calls visit for each identifier of a file, with the top-level declaration around it.
func enclosing(f *ast.File, visit func(name *ast.Ident, within ast.Decl)) {
	for _, declaration := range f.Decls {
		ast.Inspect(declaration, func(node ast.Node) bool {
			if name, ok := node.(*ast.Ident); ok {
				visit(name, declaration)
			}
			return true
		})
	}
}
