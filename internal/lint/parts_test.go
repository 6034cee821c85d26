package lint

import (
	"go/ast"
	"go/types"
	"testing"
)

// joined are the packages of several parts: structs that only their own file knows from inside.
var joined = []string{"stages/consensus"}

// inside finds the uses of a struct's fields outside the file that declares it.
//
// A struct with methods is a part: other files call its methods. A struct without methods is a
// record: other files read and build it, and do not write to its fields. Exported structs are what
// the package shows to others, or join the parts. Other files read them, and write to their
// exported fields only.
func inside(c *checked, folders []string) (findings []string) {
	for _, folder := range folders {
		owner, isPart := map[types.Object]string{}, map[types.Object]bool{}
		scope := c.packages[folder].Scope()
		for _, name := range scope.Names() {
			named, ok := scope.Lookup(name).Type().(*types.Named)
			if !ok {
				continue
			}
			if of, ok := named.Underlying().(*types.Struct); ok {
				for field := range of.Fields() {
					if field.Pkg() == c.packages[folder] { // a type of another package's fields has them, too
						owner[field], isPart[field] = name, named.NumMethods() > 0 && !ast.IsExported(name)
					}
				}
			}
		}
		for _, f := range c.tree.files {
			if f.folder() != folder || f.isTest || !f.isIn {
				continue
			}
			isOwn := func(field types.Object) bool { return c.tree.positions.Position(field.Pos()).Filename == f.path }
			report := func(name *ast.Ident, what string) {
				field := c.info.Uses[name]
				findings = append(findings, c.tree.at(name.Pos(), "%s the field %s of %s, which another file declares: call a method of it",
					what, field.Name(), owner[field]))
			}
			written := func(target ast.Expr) {
				if selector, ok := target.(*ast.SelectorExpr); ok {
					field := c.info.Uses[selector.Sel]
					if owner[field] != "" && !isPart[field] && !isOwn(field) && !field.Exported() {
						report(selector.Sel, "writes to")
					}
				}
			}
			ast.Inspect(f.syntax, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.Ident:
					if field := c.info.Uses[node]; isPart[field] && !isOwn(field) {
						report(node, "uses")
					}
				case *ast.AssignStmt:
					for _, target := range node.Lhs {
						written(target)
					}
				case *ast.IncDecStmt:
					written(node.X)
				}
				return true
			})
		}
	}
	return findings
}

// Goal: no part of a package reaches into another one.
func TestParts(t *testing.T) {
	holds(t, inside(checkedRepository(t), joined))
}

// Goal: TestParts can fail.
func TestPartsFinds(t *testing.T) {
	finds(t, inside(check(t, load(t, "testdata/parts", "example")), []string{"joined"}),
		"joined/whole.go:11: uses the field count of part, which another file declares: call a method of it",
		"joined/whole.go:12: uses the field count of part, which another file declares: call a method of it",
		"joined/whole.go:12: writes to the field value of record, which another file declares: call a method of it",
		"joined/whole.go:14: writes to the field value of record, which another file declares: call a method of it",
		"joined/part.go:22: writes to the field last of Whole, which another file declares: call a method of it",
	)
}
