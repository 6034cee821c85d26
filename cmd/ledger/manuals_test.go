package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNetwork in the environment makes the test binary a shell that runs the script of that name. The
// test starts it in a network of its own, of which only the loopback interface has to be switched
// on. So the commands of the manuals can use the ports that are in the text.
const inNetwork = "LEDGER_TEST_IN_NETWORK"

func runInNetwork(script string) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		panic(err)
	}
	request, err := unix.NewIfreq("lo")
	if err != nil {
		panic(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		panic(err)
	}
	panic(unix.Exec("/bin/bash", []string{"bash", script}, append(os.Environ(), inNetwork+"=")))
}

// block is a fenced block of a manual.
type block struct {
	kind string // what stands behind the fence
	text string
	line int
}

// blocks of a manual, in order.
func blocks(page string) (list []block) {
	var open *block
	for i, line := range strings.Split(page, "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && open == nil:
			list = append(list, block{kind: strings.TrimPrefix(line, "```"), line: i + 1})
			open = &list[len(list)-1]
		case fence:
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	return list
}

// servers are the commands that serve until they are ended: the script goes on when they serve.
var servers = regexp.MustCompile(`^ledger (dev|start)\b`)

// Kinds of blocks. What changes the host (services, users, packages) is not run: it is only checked
// for its form, and for the commands and flags of ledger in it.
const (
	kindShell      = "sh"
	kindCluster    = "sh cluster" // servers that serve when all of the block run
	kindHost       = "sh host"
	kindStatements = "ledger"
	kindRows       = "json"
	kindText       = "text"
)

// script is a manual as one shell script. Each block prints its line first, so that a failure can
// be found. Statements are given to the shell of the server that runs.
func script(t *testing.T, list []block) string {
	var s strings.Builder
	s.WriteString(`set -euo pipefail
serving() { grep -c 'listening on' servers.log || true; }
await() { # until so many replicas more serve than before
	for _ in {1..600}; do
		[[ $(serving) -lt $1 ]] || return 0
		sleep 0.1
	done
	cat servers.log
	return 1
}
run() {
	"$@" >>servers.log 2>&1 &
	echo $! >>servers
}
serve() {
	local count=1
	[[ "$*" != *--replicas=3* ]] || count=3
	count=$(($(serving) + count))
	run "$@"
	await "$count"
}
cluster() {
	local count
	count=$(serving)
	while read -r line; do
		run $line
		count=$((count + 1))
	done
	await "$count"
}
trap 'xargs -r kill -9 <servers 2>/dev/null || true' EXIT
: >servers
: >servers.log
`)
	for i, b := range list {
		switch b.kind {
		case kindShell:
			fmt.Fprintf(&s, "echo '@@ %d'\n", b.line)
			for line := range strings.Lines(b.text) {
				if servers.MatchString(line) {
					line = "serve " + line
				}
				s.WriteString(line)
			}
		case kindCluster:
			fmt.Fprintf(&s, "echo '@@ %d'\ncluster <<'END'\n%sEND\n", b.line, b.text)
		case kindStatements:
			fmt.Fprintf(&s, "echo '@@ %d'\nledger repl --allow-refused --file=- --output=json <<'END'\n%sEND\n", b.line, b.text)
		case kindRows:
			if i == 0 || list[i-1].kind != kindStatements {
				t.Errorf("line %d: rows follow the statements that they answer", b.line)
			}
		case kindHost, kindText, "toml", "go":
		default:
			t.Errorf("line %d: a block of kind %q: say how it is to be read", b.line, b.kind)
		}
	}
	s.WriteString("echo '@@ 0'\n")
	return s.String()
}

// rows are the lines of an answer without its times.
func rows(text string) string {
	return strings.TrimSpace(stamps.ReplaceAllString(text, `${1}…"`))
}

// Goal: every command and statement of the manuals runs, from the first to the last, and statements
// are answered with the rows that the manual shows. What changes the host is checked for its form.
func TestManuals(t *testing.T) {
	pages, err := filepath.Glob("../../docs/manuals/*.md")
	if err != nil || len(pages) < 9 {
		t.Fatalf("%d manuals: %v", len(pages), err)
	}
	for _, path := range pages {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
			t.Parallel() // each has a network and a folder of its own
			page, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			list := blocks(string(page))
			checkHostBlocks(t, list)
			runManual(t, list)
		})
	}
}

// checkHostBlocks wants the blocks that are not run to be shell, and their ledger commands to
// exist.
func checkHostBlocks(t *testing.T, list []block) {
	for _, b := range list {
		if b.kind != kindHost {
			continue
		}
		command := exec.Command("bash", "-n")
		command.Stdin = strings.NewReader(b.text)
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("line %d: %v: %s", b.line, err, output)
		}
		for _, words := range regexp.MustCompile(`(?m)(?:^|\s)ledger ((?:[a-z]+ ?)+)((?:\s--[a-z-]+\S*)*)`).FindAllStringSubmatch(b.text, -1) {
			_, help, stderr := ran(t, append(strings.Fields(words[1]), "--help")...)
			for _, flag := range regexp.MustCompile(`--[a-z-]+`).FindAllString(words[2], -1) {
				if !strings.Contains(help, flag) {
					t.Errorf("line %d: ledger %s has no %s%s", b.line, words[1], flag, stderr)
				}
			}
		}
	}
}

func runManual(t *testing.T, list []block) {
	folder, programs := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec %q \"$@\"\n", asCommand, self)
	if err := os.WriteFile(filepath.Join(programs, "ledger"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(programs, "script")
	if err := os.WriteFile(file, []byte(script(t, list)), 0o644); err != nil {
		t.Fatal(err)
	}
	context, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(context, self)
	command.Dir = folder
	command.Env = append(os.Environ(), inNetwork+"="+file, "PATH="+programs+":"+os.Getenv("PATH"), "HOME="+folder)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if os.Getuid() != 0 {
		command.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	var output, said bytes.Buffer
	command.Stdout, command.Stderr = &output, &said
	if err := command.Start(); err != nil {
		without(t, "a network of its own", err)
	}
	failed := command.Wait()
	answers := map[int]string{}
	last := 0
	for line := range strings.Lines(output.String()) {
		if _, err := fmt.Sscanf(line, "@@ %d", &last); err != nil {
			answers[last] += line
		}
	}
	if failed != nil || last != 0 {
		t.Fatalf("the block at line %d: %v\n%s\n%s", last, failed, answers[last], said.String())
	}
	for i, b := range list {
		if b.kind == kindRows && rows(answers[list[i-1].line]) != rows(b.text) {
			t.Errorf("line %d: the answer is\n%s\nthe manual has\n%s", b.line, rows(answers[list[i-1].line]), rows(b.text))
		}
	}
}
