// Package seeded gives tests their randomness: the same code draws the same numbers.
//
// A test's seed is, in this order, that of -seed=N, the number in LEDGER_SEED (hunts for planted
// bugs), the clock where LEDGER_SEED=clock is set (nightly runs), or a hash of what the commit has
// but documents. So a test which passes in one run passes in the next, and a commit that only
// writes down what was measured needs no new one. Without a repository (a source archive) the
// hash of go.mod stands for the commit.
//
// Only tests import this package; it adds the flag -seed to their binary.
package seeded

import (
	"bytes"
	"flag"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0: from the commit, or as LEDGER_SEED=N or LEDGER_SEED=clock says")

// Environment has the seed of a process that is not known to have the flag, or "clock": a new one
// in every run.
const Environment = "LEDGER_SEED"

// Seed returns the seed of a test and prints how to replay a failure.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := First()
	t.Cleanup(func() {
		if t.Failed() {
			name, _, _ := strings.Cut(t.Name(), "/")
			t.Logf("replay, in this folder: go test . -run '^%s$' -seed=%d", name, seed)
		}
	})
	return seed
}

// Rand returns a test's only source of randomness and prints how to replay a failure.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Seed(t), 0))
}

// First returns the seed of this run; it is never 0.
func First() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	given := os.Getenv(Environment)
	if given == "clock" {
		return uint64(time.Now().UnixNano())%1_000_000_000 + 1
	}
	if seed, err := strconv.ParseUint(given, 10, 64); err == nil && seed != 0 {
		return seed
	}
	return codeSeed()
}

// codeSeed asks git once per process.
var codeSeed = sync.OnceValue(func() uint64 {
	root := moduleRoot()
	command := exec.Command("git", "ls-tree", "--full-tree", "HEAD")
	command.Dir = root
	code, err := command.Output()
	if err != nil {
		code, _ = os.ReadFile(filepath.Join(root, "go.mod"))
	}
	return fromText(withoutDocuments(code))
})

// withoutDocuments leaves lines of a tree out: those of docs/, README.md and CHANGELOG.md.
func withoutDocuments(tree []byte) (code []byte) {
	for line := range bytes.Lines(tree) {
		_, name, _ := strings.Cut(strings.TrimSpace(string(line)), "\t")
		if name != "docs" && !strings.HasSuffix(name, ".md") {
			code = append(code, line...)
		}
	}
	return code
}

// fromText makes a seed of at most nine digits, which are easy to copy.
func fromText(text []byte) uint64 {
	hash := fnv.New64a()
	_, _ = hash.Write(text)
	return hash.Sum64()%1_000_000_000 + 1
}

// moduleRoot is the folder of go.mod above this test, or the test's own.
func moduleRoot() string {
	folder, err := os.Getwd()
	if err != nil {
		return "."
	}
	for at := folder; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return folder
		}
	}
}
