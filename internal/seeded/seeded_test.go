package seeded

import (
	"os"
	"path/filepath"
	"testing"
)

// Goal: one run is like the next unless somebody asks for another seed.
func TestFirst(t *testing.T) {
	t.Setenv(Environment, "")
	before := *seedFlag
	t.Cleanup(func() { *seedFlag = before })
	*seedFlag = 0
	if a, b := First(), First(); a != b || a == 0 {
		t.Errorf("seeds %d and %d, want the same one twice", a, b)
	}
	if a, b := Rand(t).Uint64(), Rand(t).Uint64(); a != b {
		t.Errorf("a test draws %d, and then %d", a, b)
	}
	tree := "040000 tree 1\tstages\n040000 tree 2\tdocs\n100644 blob 3\tREADME.md\n100644 blob 4\tgo.mod\n"
	if got := string(withoutDocuments([]byte(tree))); got != "040000 tree 1\tstages\n100644 blob 4\tgo.mod\n" {
		t.Errorf("the code of a commit is %q", got)
	}
	if a, b := fromText([]byte("one commit")), fromText([]byte("another")); a == b || a == 0 || b == 0 {
		t.Errorf("two commits have the seeds %d and %d", a, b)
	}
	*seedFlag = 77
	if got := First(); got != 77 {
		t.Errorf("seed %d, want 77: -seed goes first", got)
	}
	t.Setenv(Environment, "78")
	if got := First(); got != 77 {
		t.Errorf("seed %d, want 77: -seed goes before the environment", got)
	}
	*seedFlag = 0
	if got := First(); got != 78 {
		t.Errorf("seed %d, want 78, the one of the environment", got)
	}
	*seedFlag = 77
	t.Setenv(Environment, "clock")
	if got := First(); got != 77 {
		t.Errorf("seed %d, want 77: -seed goes before the clock", got)
	}
	*seedFlag = 0
	if a, b := First(), First(); a == b {
		t.Errorf("the clock gives seed %d twice", a)
	}
}

// Goal: a source archive, which is in no repository, has a seed as well: that of its go.mod.
func TestWithoutRepository(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "go.mod"), []byte("module x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(folder, "below"))
	if got, err := filepath.EvalSymlinks(moduleRoot()); err != nil || filepath.Base(got) != filepath.Base(folder) {
		t.Errorf("the module's root is %q, %v, want %q", got, err, folder)
	}
}
