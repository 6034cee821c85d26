package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// newKey is a line of a file of keys.
func newKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:])
	return hex.EncodeToString(key[:]) + "\n"
}

// writeKeys makes the file of keys that a start reads.
func writeKeys(t *testing.T, path string, keys ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(keys, "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// keyFile makes a key for all replicas of a cluster.
func keyFile(t *testing.T) (flag string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.key")
	writeKeys(t, path, newKey())
	return "--cluster-key-file=" + path
}

// rejected is how many messages and connections the replicas have found not to be a replica's.
func (g *group) rejected() (count uint64) {
	for i := range replicas {
		var values [replicas + 1]uint64
		wanted := map[string]*uint64{"ledger_peer_refused_connections": &values[replicas]}
		for j := range replicas {
			wanted[fmt.Sprintf("ledger_peer_forged_messages{peer=\"%d\"}", j)] = &values[j]
		}
		g.scrape(i, wanted)
		for _, value := range values {
			count += value
		}
	}
	return count
}

// handshake begins each connection between replicas.
var handshake = []byte("\xd7ledger peer\r\n\x1a\x9c")

// eavesdropper keeps the beginning of the last connection of a direction, and the last chunk.
type eavesdropper struct {
	mu           sync.Mutex
	first, older []byte
}

func (e *eavesdropper) hear(chunk []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if bytes.HasPrefix(chunk, handshake) {
		e.first = nil
	}
	if len(e.first) < 4<<10 {
		e.first = append(e.first, chunk...)
	}
	e.older = bytes.Clone(chunk)
}

func (e *eavesdropper) heard() (first, older []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.first), bytes.Clone(e.older)
}

// TestAttacker lets somebody who holds the network between three replicas, and has not their key,
// attack them under load: it changes, repeats, leaves out, reorders and sends back bytes, moves
// them from another connection, and repeats a whole recorded connection. Each attack is found and
// counted, the cluster goes on, and nothing is lost, doubled or changed.
func TestAttacker(t *testing.T) {
	random, seed := seeded(t)
	g := newGroup(t, options{args: []string{keyFile(t)}})
	p := newProbe(t, g)
	p.primary(g)
	pair := g.peers[2][1]
	var forth, back, other eavesdropper
	pair.forth.tampered(func(chunk []byte) []byte { forth.hear(chunk); return chunk })
	pair.back.tampered(func(chunk []byte) []byte { back.hear(chunk); return chunk })
	g.peers[1][0].forth.tampered(func(chunk []byte) []byte { other.hear(chunk); return chunk })
	l := newLoad(t, g, 4)
	h := newHistory(t, g, 4, seed)
	h.begin()
	l.begin(500, 20*time.Millisecond)
	l.awaitCalls(g, 20)

	var held []byte
	for _, attack := range []struct {
		name string
		do   func(chunk []byte) []byte // of replica 2's bytes to replica 1; and nil: not done yet
	}{
		{"turn a bit", func(chunk []byte) []byte { chunk[random.IntN(len(chunk))] ^= 1 << random.IntN(8); return chunk }},
		{"repeat", func(chunk []byte) []byte { return append(chunk, chunk...) }},
		{"leave out", func(chunk []byte) []byte { return chunk[:len(chunk)/2] }},
		{"reorder", func(chunk []byte) []byte {
			if held == nil {
				held = bytes.Clone(chunk)
				return nil
			}
			both := append(chunk, held...)
			held = nil
			return both
		}},
		{"repeat from the beginning", func(chunk []byte) []byte { first, _ := forth.heard(); return append(chunk, first...) }},
		{"send back", func(chunk []byte) []byte { _, older := back.heard(); return append(older, chunk...) }},
		{"from another connection", func(chunk []byte) []byte { _, older := other.heard(); return append(older, chunk...) }},
		{"garbage", func(chunk []byte) []byte { return append(bytes.Repeat([]byte{0xa5}, 320), chunk...) }},
	} {
		before := g.rejected()
		// A change of a message that the receiver has no room for anyway is no harm, and not found. So
		// the attack is done until one is found.
		pair.forth.tampered(func(chunk []byte) []byte { return attack.do(chunk) })
		g.await("the attack is found: "+attack.name, func() bool { g.alive(); return g.rejected() > before })
		pair.forth.tampered(func(chunk []byte) []byte { forth.hear(chunk); return chunk })
		l.awaitCalls(g, 10)
	}

	// A recorded connection again, straight to the port: the hello is repeated, so it is refused
	// beside the true connection or for want of a new confirmation.
	before := g.rejected()
	first, _ := forth.heard()
	if !bytes.HasPrefix(first, handshake) || len(first) < 1024 {
		t.Fatalf("%d bytes of a connection were heard", len(first))
	}
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.ports[1]))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := connection.Write(first[:256]); err != nil {
		t.Fatal(err)
	}
	// It is refused at once, or else answered with a new number, which the old confirmation lacks.
	_ = connection.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(connection, make([]byte, 256)); err != nil {
		t.Fatal(err)
	}
	_, _ = connection.Write(first[256:])
	g.await("a repeated connection is found", func() bool { return g.rejected() > before })

	l.end()
	h.end()
	for i := range replicas {
		g.awaitCaughtUp(i)
	}
	l.audit()
	g.settle(l)
	g.wantEqualDigests()
	t.Logf("%d messages and connections were rejected; %d transfers, %d calls judged: 0 lost, 0 doubled", g.rejected(), l.transfers(),
		h.judged)
}
