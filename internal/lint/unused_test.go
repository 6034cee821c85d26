package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// public are the packages whose users are not here: other modules import client, and the tests of
// sim are what it is for.
var public = []string{"client", "sim"}

// awaited are names that a change under way uses, each with the folder of its package.
var awaited = []string{
	"clock.State", "clock.Timestamp", "clock.WarnOffsetNs", // metrics and warnings of the cluster's time
	"vsr.NextNs",               // the timer of repair budgets
	"vsr.Entry", "vsr.Present", // what recovery says of an op
}

// unused finds exported names (of packages, methods and fields) that nothing uses but the tests of
// their own package. Mentions are texts that use names as well: templates, and sources that a test
// makes.
//
// A name is used by
//   - a file of any package, or a test of another one. A function does not use itself, nor a
//     receiver its type;
//   - a file that only a build tag brings in, and a mention: there any name behind a point counts;
//   - an interface that its type satisfies, for a method; in a program, the name Run, by which kong
//     calls a command;
//   - a tag, a literal without field names, its being embedded, or the name Reserved (it fills a
//     place in a record of the wire), for a field;
//   - another constant of its type in the same parentheses, for a constant: they are a list of
//     values.
//
// A field of a struct whose name ends in Options must be set by such a user: reading it is not
// enough.
func unused(c *checked, public []string, mentions []string) (findings []string) {
	used, set := map[token.Pos]bool{}, map[token.Pos]bool{}
	isMentioned := map[string]bool{}
	mention := func(text string) {
		for _, match := range behindPoint.FindAllStringSubmatch(text, -1) {
			isMentioned[match[1]] = true
		}
	}
	for _, text := range mentions {
		mention(text)
	}
	for _, f := range c.tree.files {
		if f.isOutside {
			continue
		}
		if !f.isIn {
			mention(f.text)
			continue
		}
		info := c.info
		if f.isTest {
			info = c.tests[f.folder()]
		}
		own := c.packages[f.folder()]
		counts := func(object types.Object) bool {
			return object != nil && (!f.isTest || object.Pkg() == nil || object.Pkg().Path() != own.Path())
		}
		use := func(object types.Object) {
			if counts(object) {
				used[object.Pos()] = true
			}
		}
		assigned(f.syntax, func(name *ast.Ident) {
			if object := info.Uses[name]; counts(object) {
				set[object.Pos()] = true
			}
		})
		skipped := receivers(f.syntax)
		enclosing(f.syntax, func(name *ast.Ident, within ast.Decl) {
			object := info.Uses[name]
			function, isFunction := within.(*ast.FuncDecl)
			if object == nil || skipped[name] || isFunction && function.Name.Pos() == object.Pos() {
				return
			}
			use(object)
		})
		ast.Inspect(f.syntax, func(node ast.Node) bool {
			literal, ok := node.(*ast.CompositeLit)
			if !ok || len(literal.Elts) == 0 {
				return true
			}
			if _, hasNames := literal.Elts[0].(*ast.KeyValueExpr); hasNames {
				return true
			}
			if of, ok := underlying(info.TypeOf(literal)).(*types.Struct); ok {
				for field := range of.Fields() {
					use(field)
					if counts(field) {
						set[field.Pos()] = true
					}
				}
			}
			return true
		})
	}
	interfaces := c.interfaces()
	for _, f := range c.tree.files {
		if f.isTest || f.isOutside || !f.isIn || slices.Contains(public, f.folder()) {
			continue
		}
		lists := constantLists(f.syntax, c.info, used)
		exempt, options := fields(f.syntax)
		enclosing(f.syntax, func(name *ast.Ident, _ ast.Decl) {
			object := c.info.Defs[name]
			isUsed := used[name.Pos()] && (!options[name] || set[name.Pos()])
			if object == nil || !name.IsExported() || isUsed || isMentioned[name.Name] ||
				slices.Contains(awaited, f.folder()+"."+name.Name) || lists[name] ||
				exempt[name] {
				return
			}
			what := "the name"
			switch object := object.(type) {
			case *types.Func:
				if receiver := object.Signature().Recv(); receiver != nil {
					if what = "the method"; satisfies(receiver.Type(), object, interfaces) {
						return
					}
				}
			case *types.Var:
				if object.IsField() {
					what = "the field"
				} else if object.Parent() != object.Pkg().Scope() {
					return
				}
			default:
				if object.Pkg() == nil || object.Parent() != object.Pkg().Scope() {
					return
				}
			}
			findings = append(findings, c.tree.at(name.Pos(), "nothing uses %s %s but perhaps tests of package %s: delete it",
				what, name.Name, f.folder()))
		})
	}
	return findings
}

// embedded matches the name of an embedded file, for example of a template, which calls methods.
var embedded = regexp.MustCompile(`(?m)^//go:embed (\S+)$`)

var behindPoint = regexp.MustCompile(`\.([A-Z]\w*)`)

func underlying(t types.Type) types.Type {
	if t == nil {
		return nil
	}
	if pointer, ok := t.Underlying().(*types.Pointer); ok {
		t = pointer.Elem() // in a list of pointers to structs the & may be left out
	}
	return t.Underlying()
}

// receivers has the identifiers in the receivers of methods.
func receivers(f *ast.File) map[*ast.Ident]bool {
	found := map[*ast.Ident]bool{}
	for _, declaration := range f.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv != nil {
			ast.Inspect(function.Recv, func(node ast.Node) bool {
				if name, ok := node.(*ast.Ident); ok {
					found[name] = true
				}
				return true
			})
		}
	}
	return found
}

// constantLists has the constants that share parentheses and a type with one that is used.
func constantLists(f *ast.File, info *types.Info, used map[token.Pos]bool) map[*ast.Ident]bool {
	found := map[*ast.Ident]bool{}
	for _, declaration := range f.Decls {
		list, ok := declaration.(*ast.GenDecl)
		if !ok || list.Tok != token.CONST {
			continue
		}
		isUsed := map[types.Type]bool{}
		visit := func(see func(name *ast.Ident, of *types.Named)) {
			for _, spec := range list.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if object := info.Defs[name]; object != nil {
						if named, ok := object.Type().(*types.Named); ok {
							see(name, named)
						}
					}
				}
			}
		}
		visit(func(name *ast.Ident, of *types.Named) { isUsed[of] = isUsed[of] || used[name.Pos()] })
		visit(func(name *ast.Ident, of *types.Named) { found[name] = isUsed[of] })
	}
	return found
}

// fields has the fields that need no user, and those of structs that hold options.
func fields(f *ast.File) (exempt, options map[*ast.Ident]bool) {
	exempt, options = map[*ast.Ident]bool{}, map[*ast.Ident]bool{}
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.Field:
			for _, name := range node.Names {
				exempt[name] = node.Tag != nil || name.Name == "Reserved"
			}
		case *ast.TypeSpec:
			if of, ok := node.Type.(*ast.StructType); ok && strings.HasSuffix(node.Name.Name, "Options") {
				for _, field := range of.Fields.List {
					for _, name := range field.Names {
						options[name] = true
					}
				}
			}
		}
		return true
	})
	return exempt, options
}

// assigned calls visit for the names that a file assigns to, in statements and in literals, or
// whose address it takes.
func assigned(f *ast.File, visit func(name *ast.Ident)) {
	target := func(expression ast.Expr) {
		for {
			switch e := expression.(type) {
			case *ast.Ident:
				visit(e)
				return
			case *ast.SelectorExpr:
				visit(e.Sel)
				expression = e.X
			case *ast.IndexExpr:
				expression = e.X
			default:
				return
			}
		}
	}
	ast.Inspect(f, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.AssignStmt:
			for _, left := range node.Lhs {
				target(left)
			}
		case *ast.UnaryExpr:
			if node.Op == token.AND {
				target(node.X)
			}
		case *ast.KeyValueExpr:
			target(node.Key)
		}
		return true
	})
}

// interfaces are those of the tree, and of the packages that it imports.
func (c *checked) interfaces() (found []*types.Interface) {
	add := func(t types.Type) {
		if i, ok := t.Underlying().(*types.Interface); ok && i.NumMethods() > 0 {
			found = append(found, i)
		}
	}
	add(types.Universe.Lookup("error").Type())
	seen := map[*types.Package]bool{}
	scope := func(p *types.Package) {
		if seen[p] {
			return
		}
		seen[p] = true
		for _, name := range p.Scope().Names() {
			if named, ok := p.Scope().Lookup(name).(*types.TypeName); ok {
				add(named.Type())
			}
		}
	}
	for _, p := range c.packages {
		for _, imported := range p.Imports() {
			scope(imported)
		}
	}
	for _, importPath := range []string{"fmt", "sort", "io", "flag"} {
		if p, err := c.external.Import(importPath); err == nil {
			scope(p)
		}
	}
	for _, info := range append(slicesOf(c.tests), c.info) {
		for expression, of := range info.Types {
			if _, ok := expression.(*ast.InterfaceType); ok {
				add(of.Type)
			}
		}
	}
	return found
}

func slicesOf(infos map[string]*types.Info) (list []*types.Info) {
	for _, info := range infos {
		list = append(list, info)
	}
	return list
}

// satisfies tells whether an interface asks for the method. The package errors asks for Is, As and
// Unwrap within its functions.
func satisfies(receiver types.Type, method *types.Func, interfaces []*types.Interface) bool {
	if pointer, ok := receiver.(*types.Pointer); ok {
		receiver = pointer.Elem()
	}
	if types.IsInterface(receiver) {
		return false
	}
	if method.Pkg().Name() == "main" && method.Name() == "Run" {
		return true
	}
	named, _ := receiver.(*types.Named)
	pointer := types.NewPointer(receiver)
	for _, i := range interfaces {
		for wanted := range i.Methods() {
			isGeneric := named != nil && named.TypeParams().Len() > 0
			if wanted.Name() == method.Name() && (isGeneric || types.Implements(pointer, i)) {
				return true
			}
		}
	}
	return slices.Contains([]string{"Is", "As", "Unwrap"}, method.Name())
}

// Goal: the tree has nothing that nobody needs.
func TestUnused(t *testing.T) {
	c := checkedRepository(t)
	names := []string{"sim/testdata/bugs", "sim/testdata/races"}
	for _, f := range c.tree.files {
		for _, match := range embedded.FindAllStringSubmatch(f.text, -1) {
			names = append(names, f.folder()+"/"+match[1])
		}
	}
	var mentions []string
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(c.tree.root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		mentions = append(mentions, string(text))
	}
	holds(t, unused(c, public, mentions))
}

// Goal: TestUnused can fail.
func TestUnusedFinds(t *testing.T) {
	c := check(t, load(t, "testdata/unused", "example"))
	message := func(place, what string) string {
		return place + ": nothing uses " + what + " but perhaps tests of package library: delete it"
	}
	finds(t, unused(c, []string{"client"}, []string{"a planted bug calls library.Mentioned()"}),
		message("library/library.go:12", "the name ByItself"),
		message("library/library.go:13", "the name ByOwnTests"),
		message("library/library.go:18", "the name AloneType"),
		message("library/library.go:20", "the method AloneMethod"),
		message("library/library.go:34", "the name ListAlone"),
		message("library/library.go:43", "the field Alone"),
		message("library/library.go:51", "the field OnlyRead"),
		message("library/library.go:57", "the method Never"),
	)
}
