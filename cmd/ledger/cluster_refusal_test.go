package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ledger/limits"
	"ledger/peer"
	"ledger/wire"
)

// Goal: of each replica that does not belong to the cluster, both sides say in one line what
// differs, with both values, and what to do; and the cluster serves as before. Of two processes of
// one index the newer is refused. Of keys, the values are their prints.
func TestClusterRefusals(t *testing.T) {
	p := newProcesses(t, 3)
	ours, theirs := newKey(), newKey()
	folder := t.TempDir()
	key := keyFile(t, filepath.Join(folder, "ours"), ours)
	for i := range 3 {
		p.start(i, nil, key)
	}
	c := p.client()
	makeAccount(t, c, 1)
	free := freeAddresses(t, 3)
	const withoutKey = "without"
	member := func() string { return formattedOf(t, 2, 3) }
	for number, test := range []struct {
		name         string
		format       func() string // its data file, which takes a gigabyte: so one at a time
		addresses    []string
		field        string
		ours, theirs string // as the replicas of the cluster see it
		key          string // "": that of the cluster
	}{
		{"another cluster", func() string { return formattedIn(t, 8, 2, 3) },
			[]string{p.addresses[0], p.addresses[1], free[0]}, "cluster", "7", "8", ""},
		{"another number of replicas", func() string { return formattedOf(t, 1, 2) },
			[]string{p.addresses[0], free[0]}, "number of replicas", "3", "2", ""},
		{"another configuration", func() string { return formattedOf(t, 2, 3, "--clients-max=17") },
			[]string{p.addresses[0], p.addresses[1], free[0]}, "sessions",
			fmt.Sprint(limits.Production().SessionsMax), "17", ""},
		{"a wrong order of addresses", member, []string{p.addresses[1], p.addresses[0], free[0]}, "index of the receiver",
			"", "", ""},
		{"a second process of an index", member, []string{p.addresses[0], p.addresses[1], free[0]}, "process of this index",
			"", "", ""},
		{"another key", member, []string{p.addresses[0], p.addresses[1], free[0]}, "key of the cluster",
			fmt.Sprintf("%016x", peer.KeyPrint(ours)), fmt.Sprintf("%016x", peer.KeyPrint(theirs)),
			keyFile(t, filepath.Join(folder, "theirs"), theirs)},
		{"no key", member, []string{p.addresses[0], p.addresses[1], free[0]}, "use of a key (1: yes)",
			"1", "0", withoutKey},
	} {
		arguments := []string{"--log=json"}
		if test.key == "" {
			test.key = key
		}
		if test.key != withoutKey {
			arguments = append(arguments, test.key)
		}
		path := test.format()
		other := p.follow(path, test.addresses, nil, arguments...)
		other.said.await(t, `"event":"peer_refused"`)
		other.said.await(t, fmt.Sprintf(`"field":"%s"`, test.field))
		line := lineWith(other.said.String(), fmt.Sprintf(`"field":"%s"`, test.field))
		if test.ours != "" && !strings.Contains(line, fmt.Sprintf(`"ours":"%s","theirs":"%s"`, test.theirs, test.ours)) {
			t.Errorf("%s: the line has not both values: %s", test.name, line)
		}
		want := test.field + ": ours is "
		if test.ours != "" {
			want += test.ours + ", theirs is " + test.theirs + ": "
		}
		p.replicas[0].said.await(t, want)
		if strings.Contains(other.said.String(), "listening on") {
			t.Errorf("%s: it serves clients: %s", test.name, other.said)
		}
		_ = other.Process.Kill()
		_ = other.Wait()
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		makeAccount(t, c, uint64(number)+2)
	}
	for i := range 3 {
		p.awaitReady(i, true)
	}
}

// lineWith is the first line of text that has part.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// Goal: strangers that hold every connection of every replica, and send nothing, garbage, the
// beginning of a handshake, or half of a client's largest message, keep neither a replica nor a
// client out, with a key as well. Each kind is in the metrics.
func TestClusterStrangers(t *testing.T) {
	p := newProcesses(t, 3, "--clients-max=8")
	key := keyFile(t, filepath.Join(t.TempDir(), "cluster.key"), newKey())
	p.start(0, nil, key)
	p.start(1, nil, key)
	p.replicas[0].said.await(t, "info: listening on ")
	garbage := make([]byte, 300)
	_, _ = rand.Read(garbage)
	magic := append([]byte("\xd7ledger peer\r\n\x1a\x9c"), garbage...) // and more than a frame behind it
	half := make([]byte, 32<<10)                                       // of development
	wire.BuildRequest(wire.HeaderOf(half), &wire.RequestFields{Cluster: wire.U128From(7), Client: wire.U128From(99), Session: 1, Number: 1,
		Release: wire.ReleaseOf(0, 17, 0), Operation: wire.OperationCreateTransfers}, half[wire.HeaderBytes:])
	half = half[:20<<10]
	annoy := func() {
		for _, address := range p.addresses {
			for i := range 60 {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					continue // not started yet
				}
				t.Cleanup(func() { connection.Close() })
				_, _ = connection.Write([][]byte{nil, garbage, magic[:17], magic, half}[i%5])
			}
		}
	}
	annoy()
	p.start(2, nil, key)
	p.replicas[2].said.await(t, "info: listening on ")
	annoy()
	c := p.client()
	makeAccount(t, c, 1)
	p.kill(p.primary())
	annoy()
	makeAccount(t, c, 2)
	wantAccounts(t, c, 2)
	alive := p.primary()
	_, body := page(p.metrics[alive], "/metrics")
	for _, metric := range []string{`ledger_net_closed_connections{cause="header"}`, `ledger_net_unidentified_bytes`} {
		if value := strings.TrimSpace(lineWith(body, metric+" ")); value == "" || strings.HasSuffix(value, " 0") {
			t.Errorf("replica %d: %q", alive, value)
		}
	}
}
