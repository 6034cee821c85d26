package main

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openFilesLimited is the environment of a command with these limits on open files.
func openFilesLimited(soft, hard int) []string {
	return []string{fmt.Sprintf("%s=%d", openFilesSoft, soft), fmt.Sprintf("%s=%d", openFilesHard, hard)}
}

// Goal: a soft limit that is too low is raised to the hard one, and nothing is said.
func TestOpenFilesRaised(t *testing.T) {
	s := harnessIn(t, openFilesLimited(64, 1000), formatted(t))
	var limit unix.Rlimit
	if err := unix.Prlimit(s.Process.Pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur != 1000 {
		t.Errorf("the limit on open files is %d, want 1000", limit.Cur)
	}
	s.signal(t, syscall.SIGTERM)
	if status := wait(t, s.Cmd); status != exitDone || strings.Contains(s.stderr.String(), "open files") {
		t.Fatalf("status %d: %s", status, s.stderr)
	}
}

// Goal: a limit that leaves no connection for each session is refused, with both numbers. The
// number that the refusal names is enough: with it strangers that fill everything there is keep no
// client out, while the metrics endpoint has all its connections. The start warns that there are
// fewer connections, and with the number that the warning names there is no warning.
func TestOpenFilesTooFew(t *testing.T) {
	for _, kind := range []string{"uring", "posix"} {
		t.Run(kind, func(t *testing.T) {
			path, address := formatted(t), freeAddress(t)
			arguments := []string{"--io=" + kind, "--metrics-address=" + address}
			refused := append([]string{"start", "--addresses=0", "--development", path}, arguments...)
			status, _, stderr := ended(t, openFilesLimited(64, 64), refused...)
			least := named(t, stderr, `the limit on open files is 64, and the 64 sessions of the data file need at least (\d+): `)
			if status != exitRefused {
				t.Fatalf("status %d: %s", status, stderr)
			}
			s := harnessIn(t, openFilesLimited(least, least), path, arguments...)
			var held []net.Conn
			dial := func(address string, count int) {
				t.Helper()
				for range count {
					conn, err := net.Dial("tcp", address)
					if err != nil {
						t.Fatal(err)
					}
					held = append(held, conn)
				}
			}
			dial(address, 64)
			dial("127.0.0.1:"+s.port, 96+8) // as many as the table has with all descriptors
			for range 64 {
				connected(t, s.port) // stays until the end, in the place of a stranger
			}
			for _, conn := range held {
				conn.Close()
			}
			s.signal(t, syscall.SIGTERM)
			if status := wait(t, s.Cmd); status != exitDone {
				t.Fatalf("status %d: %s", status, s.stderr)
			}
			whole := named(t, s.stderr.String(), fmt.Sprintf(
				`the limit on open files is %d, and (\d+) are needed: the server holds 64 connections instead of 96, `+
					`for 64 sessions; raise the hard limit`, least))
			if whole != least+32 {
				t.Errorf("%d descriptors are enough for 96 connections, and %d for 64", whole, least)
			}
			s = harnessIn(t, openFilesLimited(whole, whole), path, arguments...)
			s.signal(t, syscall.SIGTERM)
			if status := wait(t, s.Cmd); status != exitDone || strings.Contains(s.stderr.String(), "open files") {
				t.Fatalf("status %d: %s", status, s.stderr)
			}
		})
	}
}

// named is the number that a text names in the place of a pattern's group.
func named(t *testing.T, text, pattern string) (number int) {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("want %s:\n%s", pattern, text)
	}
	if _, err := fmt.Sscan(match[1], &number); err != nil {
		t.Fatal(err)
	}
	return number
}
