package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ledger/interop/server"
)

// The test binary is the tool too, when this variable is set: the client library ends the
// process on some faults of a server, and then only the corpus that met the fault must fail.
const toolVariable = "CONFORMANCE_TOOL"

func TestMain(m *testing.M) {
	if os.Getenv(toolVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestReplay holds the server under test to every recorded reply of the reference server. Each
// corpus gets a fresh server. CONFORMANCE_DIR names a folder with a folder corpus to use instead of
// testdata: it may have the big corpora that are not kept here.
func TestReplay(t *testing.T) {
	const serve = `"$LEDGER_UNDER_TEST" format --cluster=0 --replica=0 --replica-count=1 "$DATA/0_0.data" &&
		exec "$LEDGER_UNDER_TEST" start --addresses="$ADDRESS" --cache-grid=256MiB "$DATA/0_0.data"`
	for _, corpus := range corpora(t) {
		t.Run(nameOf(corpus), func(t *testing.T) { replayed(t, serve, corpus) })
	}
}

// killed are the corpora during which the primary is killed, each after so many requests: half of
// them.
var killed = map[string]int{"mixed": 2000, "two-phase": 350, "concurrent": 1500}

// TestReplayThree holds three replicas to the same replies. Each corpus gets a fresh cluster. In
// three of them the primary is killed in the middle: the client notices nothing but a pause.
func TestReplayThree(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster for each corpus takes some minutes")
	}
	const serve = `"$LEDGER_UNDER_TEST" format --cluster=0 --replica="$REPLICA" --replica-count="$REPLICAS" "$DATA/0.data" &&
		exec "$LEDGER_UNDER_TEST" start --addresses="$ADDRESSES" --cache-grid=256MiB "$DATA/0.data"`
	found := 0
	for _, corpus := range corpora(t) {
		name := nameOf(corpus)
		arguments := []string{"--replicas=3"}
		if after := killed[name]; after > 0 {
			found++
			arguments = append(arguments, fmt.Sprintf("--kill-primary-after=%d", after))
		}
		t.Run(name, func(t *testing.T) { replayed(t, serve, corpus, arguments...) })
	}
	if found != len(killed) && os.Getenv("CONFORMANCE_DIR") == "" {
		t.Errorf("%d of the %d corpora in which the primary is killed are there", found, len(killed))
	}
}

func nameOf(corpus string) string { return strings.TrimSuffix(filepath.Base(corpus), ".corpus.gz") }

// corpora are the files to replay.
func corpora(t *testing.T) []string {
	t.Helper()
	folder := "../testdata"
	if other := os.Getenv("CONFORMANCE_DIR"); other != "" {
		folder = other
	}
	files, err := filepath.Glob(filepath.Join(folder, "corpus", "*.corpus.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus in %s/corpus (%v)", folder, err)
	}
	return files
}

// replayed replays a corpus with the tool.
func replayed(t *testing.T, serve, corpus string, arguments ...string) {
	t.Helper()
	// 5 min for what takes seconds: a machine may be slow, but a hang must not last.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	arguments = append([]string{"replay", "--serve=" + serve, "--keep-going", "--mismatches=5"}, append(arguments, corpus)...)
	tool := exec.CommandContext(ctx, os.Args[0], arguments...)
	tool.Env = append(os.Environ(), toolVariable+"=1", "LEDGER_UNDER_TEST="+server.Binary(t))
	tool.WaitDelay = 10 * time.Second
	output, err := tool.CombinedOutput()
	lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
	if err != nil {
		t.Fatalf("%v\n%s", err, bytes.Join(lines[max(0, len(lines)-60):], []byte("\n")))
	}
	t.Logf("%s", lines[len(lines)-1])
}
