package repl

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what was got into the golden files")

// golden compares the cases of a file. A case is an input, a line of four dashes, and what is
// wanted, up to a line of four equals signs. A line of the input that ends in "$" ends before it.
func golden(t *testing.T, path string, get func(input string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for one := range strings.SplitSeq(strings.TrimSuffix(string(text), "====\n"), "====\n") {
		input, want, ok := strings.Cut(one, "----\n")
		if !ok {
			t.Fatalf("%s: a case without dashes:\n%s", path, one)
		}
		got := get(strings.ReplaceAll(strings.TrimSuffix(input, "\n"), "$", ""))
		if got != "" && !strings.HasSuffix(got, "\n") {
			got += "\n"
		}
		if got != want && !*rewrite {
			t.Errorf("%s: %s\ngot:\n%swant:\n%s", path, input, got, want)
		}
		fmt.Fprintf(&out, "%s----\n%s====\n", input, got)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
