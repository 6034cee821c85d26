package main

import (
	"bytes"
	"context"
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
	binary := server.Binary(t)
	folder := "../testdata"
	if other := os.Getenv("CONFORMANCE_DIR"); other != "" {
		folder = other
	}
	corpora, err := filepath.Glob(filepath.Join(folder, "corpus", "*.corpus.gz"))
	if err != nil || len(corpora) == 0 {
		t.Fatalf("no corpus in %s/corpus (%v)", folder, err)
	}
	const serve = `"$LEDGER_UNDER_TEST" format --cluster=0 --replica=0 --replica-count=1 "$DATA/0_0.data" &&
		exec "$LEDGER_UNDER_TEST" start --addresses="$ADDRESS" --cache-grid=256MiB "$DATA/0_0.data"`
	for _, corpus := range corpora {
		t.Run(strings.TrimSuffix(filepath.Base(corpus), ".corpus.gz"), func(t *testing.T) {
			// 5 min for what takes seconds: a machine may be slow, but a hang must not last.
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			tool := exec.CommandContext(ctx, os.Args[0], "replay", "--serve="+serve, "--keep-going", "--mismatches=5", corpus)
			tool.Env = append(os.Environ(), toolVariable+"=1", "LEDGER_UNDER_TEST="+binary)
			tool.WaitDelay = 10 * time.Second
			output, err := tool.CombinedOutput()
			lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
			if err != nil {
				t.Fatalf("%v\n%s", err, bytes.Join(lines[max(0, len(lines)-60):], []byte("\n")))
			}
			t.Logf("%s", lines[len(lines)-1])
		})
	}
}
