package repl

import (
	"fmt"
	"strings"
	"testing"
)

// Goal: what may stand at the cursor is found: verbs, fields that are not given yet, flags that are
// not set yet, topics. "|" in the file is no cursor: it is at the end of the input.
func TestComplete(t *testing.T) {
	p := newParser(verbs())
	golden(t, "testdata/complete.txt", func(input string) string {
		found := p.completeAt(input)
		if len(found.candidates) > 20 {
			return fmt.Sprintf("%d candidates at %d\n", len(found.candidates), found.start)
		}
		return fmt.Sprintf("%s at %d\n", strings.Join(found.candidates, "~"), found.start)
	})
}
