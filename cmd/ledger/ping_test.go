package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"ledger/client"
	"ledger/probe"
)

// Goal: ping of a real server says that clients are served, and else why not, with a status and one
// line on stderr for each reason; no ping takes a session.
func TestPing(t *testing.T) {
	metrics := freeAddress(t)
	path := formatted(t, "--replica-count=1", "--clients-max=2")
	s := harness(t, path, "--metrics-address="+metrics)
	server := "127.0.0.1:" + s.port
	ping := func(more ...string) []string {
		arguments := []string{"ping", "--addresses=" + server, "--cluster=0"}
		if len(more) > 0 && strings.HasPrefix(more[0], "--addresses") {
			arguments = append(more[:1:1], "--cluster=0")
			arguments, more = append([]string{"ping"}, arguments...), more[1:]
		}
		for _, word := range more {
			if strings.HasPrefix(word, "--cluster=") {
				arguments = arguments[:len(arguments)-1]
			}
			arguments = append(arguments, word)
		}
		return arguments
	}
	check := func(name string, status int, want string, more ...string) string {
		t.Helper()
		got, stdout, stderr := ran(t, ping(more...)...)
		lines := 1
		if status == exitDone {
			lines = 0
		}
		if got != status || !strings.Contains(stdout+stderr, want) || strings.Count(stderr, "\n") != lines {
			t.Errorf("%s: status %d, want %d with %q:\n%s%s", name, got, status, want, stdout, stderr)
		}
		return stdout
	}
	for range 5 {
		check("served", exitDone, "served: "+server+" takes requests")
	}
	check("sessions", exitDone, "sessions: 0 of 2 are taken", "--metrics="+metrics)
	check("metrics that are none", exitDone, "nobody listens", "--metrics=127.0.0.1:1")
	check("another cluster", exitCluster, "it serves cluster 0", "--cluster=9")
	check("release", exitRelease, "client_release_too_high", "--release=0.18.0")
	check("nobody", exitNobody, "connection refused", "--addresses="+freeAddress(t))
	// A server of HTTP answers once it has read the end of a line. The checksum and the client in a
	// ping are random bytes, and only now and then is one of them a line feed. So both verdicts are
	// right.
	if status, stdout, stderr := ran(t, ping("--addresses="+metrics, "--timeout=300ms")...); !strings.Contains(stdout+stderr, map[int]string{
		exitSilent: "another service", exitNobody: "is no server of this protocol"}[status]) || status == exitDone {
		t.Errorf("metrics port: status %d:\n%s%s", status, stdout, stderr)
	}
	check("a cluster of which one is there", exitQuorum, "1 of 3 replicas answer", "--addresses="+server+","+freeAddress(t)+",127.0.0.1:1")
	check("register", exitDone, "a request holds 32512 bytes", "--register")

	var report pingReport
	if err := json.Unmarshal([]byte(check("json", exitDone, `"verdict":"served"`, "--json", "--metrics="+metrics)), &report); err != nil {
		t.Fatal(err)
	}
	if report.Verdict != probe.VerdictServed || len(report.Replicas) != 1 || report.Sessions == nil || report.Sessions.Taken != 1 {
		t.Errorf("%+v", report)
	}
	c, err := client.New(t.Context(), client.Options{Addresses: []string{server}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check("no session is left", exitSession, "all 2 sessions are taken", "--metrics="+metrics, "--register")

	s.signal(t, syscall.SIGSTOP)
	check("stopped", exitSilent, "does not answer within 500ms", "--timeout=500ms")
	s.signal(t, syscall.SIGCONT)
}

// Goal: while a start executes its log, ping names what the start is at, if it is told the metrics
// address.
func TestPingOfMetricsThatAreNotReady(t *testing.T) {
	report := pingReport{Report: &probe.Report{Verdict: probe.VerdictSilent}}
	report.learn([]answer{{err: errLog{}}})
	if len(report.Metrics) != 1 || !strings.Contains(report.Metrics[0], "310 of 895 ops") {
		t.Errorf("%+v", report)
	}
}

type errLog struct{}

func (errLog) Error() string { return "127.0.0.1:9: clients are not served: 310 of 895 ops" }
