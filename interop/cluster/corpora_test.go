package cluster

import (
	"bytes"
	"context"
	"flag"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var corporaFlag = flag.String("corpora", "two-phase", "corpora of testdata that TestCorpora replays, separated by commas, or all")

// killedCorpora are those in the middle of which the primary is killed as well.
var killedCorpora = map[string]bool{"mixed": true, "queries": true, "two-phase": true}

// TestCorpora holds three replicas to the recorded replies of the reference server, each corpus on
// a fresh cluster. Three of the corpora are replayed once more, and the primary is killed when half
// of the ops are committed.
func TestCorpora(t *testing.T) {
	_, source, _, _ := runtime.Caller(0)
	module := filepath.Dir(filepath.Dir(source))
	tool := filepath.Join(t.TempDir(), "conformance")
	build := exec.Command("go", "build", "-o", tool, "./conformance")
	build.Dir = module
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	names := strings.Split(*corporaFlag, ",")
	if *corporaFlag == "all" {
		names = nil
		paths, _ := filepath.Glob(filepath.Join(module, "testdata/corpus/*.corpus.gz"))
		for _, path := range paths {
			names = append(names, strings.TrimSuffix(filepath.Base(path), ".corpus.gz"))
		}
	}
	for _, name := range names {
		path := filepath.Join(module, "testdata/corpus", name+".corpus.gz")
		committed := uint64(0)
		t.Run(name, func(t *testing.T) { committed = replay(t, tool, path, 0) })
		if killedCorpora[name] && committed > 0 {
			t.Run(name+", the primary is killed", func(t *testing.T) { replay(t, tool, path, committed/2) })
		}
	}
}

// replay replays a corpus against a cluster, and kills the primary when op killAt is committed,
// unless it is 0. It returns the newest op.
func replay(t *testing.T, tool, path string, killAt uint64) (committed uint64) {
	g := newGroup(t, options{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, tool, "replay", "--addresses="+strings.Join(g.addresses(), ","), "--keep-going",
		"--mismatches=5", path)
	command.WaitDelay = 10 * time.Second
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	victim := -1
	for {
		select {
		case err := <-ended:
			lines := bytes.Split(bytes.TrimSpace(output.Bytes()), []byte("\n"))
			if err != nil {
				t.Fatalf("%v\n%s", err, bytes.Join(lines[max(0, len(lines)-60):], []byte("\n")))
			}
			if killAt > 0 && victim < 0 {
				t.Fatalf("the corpus ended before op %d", killAt)
			}
			t.Logf("%s; killed: replica %d; last op %d", lines[len(lines)-1], victim, g.newest().commit)
			return g.newest().commit
		case <-time.After(time.Millisecond):
		}
		if newest := g.newest(); killAt > 0 && victim < 0 && newest.commit >= killAt {
			victim = int(newest.view % replicas)
			g.kill(victim)
		}
	}
}
