package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"ledger/config"
	"ledger/limits"
	"ledger/peer"
	"ledger/wire"
)

// noSlots takes no message: a replica that is refused gets none.
type noSlots struct{}

func (noSlots) Take(*peer.Envelope) (slot uint32, memory []byte, ok bool) { return 0, nil, false }

// refusedBy connects to replica 0 as replica 2 of cluster 7, with one thing changed, and returns
// why it is refused.
func refusedBy(t *testing.T, address string, key [config.ClusterKeyBytes]byte, change func(self *peer.Self)) (refusal peer.Refusal) {
	t.Helper()
	l := limits.Development()
	l.ReplicasCount = 3
	one := peer.Range{Min: 1, Max: 1}
	fixed := peer.FixedOf(&l, limits.Production().RequestBytesMax)
	self := &peer.Self{Cluster: wire.U128From(7), Index: 2, ReplicasCount: 3, Fixed: fixed, Incarnation: 1, Process: 1,
		Releases: one, Rules: one, BlockFormats: one, StorageBytesMax: l.StorageBytesMax, Keys: peer.NewKeys(key)}
	change(self)
	bounds := peer.NewBounds(&l, self.Cluster)
	hub := peer.NewHub(self, &bounds, [peer.SeedBytes]byte{1}, noSlots{}, make([]byte, 1024))
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(endsWithin))
	hub.Tick(1)
	for range 100 {
		actions := append([]peer.HubAction{}, hub.Actions...)
		hub.Reset()
		for _, a := range actions {
			switch a.Kind {
			case peer.HubResolve:
				hub.Resolved(a.Peer, a.Attempt, [18]byte{}, a.Peer == 0, 1)
			case peer.HubConnect:
				hub.Connected(a.Place, 1)
			case peer.HubSend:
				_, err := connection.Write(a.Buffer)
				hub.Sent(a.Place, err == nil, 1)
			case peer.HubReceive:
				count, err := connection.Read(a.Buffer)
				if err != nil {
					t.Fatalf("replica 0 says nothing: %v", err)
				}
				hub.Received(a.Place, int32(count), 1)
			case peer.HubRefused:
				return a.Refusal
			case peer.HubLive:
				t.Fatal("it is let in")
			}
		}
	}
	t.Fatal("it is not refused")
	return refusal
}

// Goal: a process refuses a replica of releases, rules or formats of blocks that do not overlap
// with its own, and both sides have the line with both ranges.
func TestClusterRefusesReleases(t *testing.T) {
	p := newProcesses(t, 3)
	key := newKey()
	p.start(0, nil, keyFile(t, t.TempDir()+"/cluster.key", key))
	p.replicas[0].said.await(t, "cluster key: ")
	other := peer.Range{Min: 90, Max: 99}
	for field, change := range map[string]func(self *peer.Self){
		"releases":           func(self *peer.Self) { self.Releases = other },
		"rules of execution": func(self *peer.Self) { self.Rules = other },
		"formats of blocks":  func(self *peer.Self) { self.BlockFormats = other },
	} {
		r := refusedBy(t, p.addresses[0], key, change)
		ours, theirs := r.Values()
		if r.Field() != field || !r.ByPeer || ours != "90 to 99" || !strings.HasPrefix(theirs, "1 to ") {
			t.Errorf("%s: %s", field, r.Error())
		}
		// Lines about one replica come once a second.
		want := field + ": ours is " + theirs + ", theirs is 90 to 99: upgrade the older replica"
		for deadline := time.Now().Add(endsWithin); !strings.Contains(p.replicas[0].said.String(), want); {
			if time.Now().After(deadline) {
				t.Fatalf("never: %q in\n%s", want, p.replicas[0].said)
			}
			refusedBy(t, p.addresses[0], key, change)
			time.Sleep(10 * time.Millisecond)
		}
	}
	// All is right but the key.
	r := refusedBy(t, p.addresses[0], newKey(), func(*peer.Self) {})
	if r.Reason != peer.ReasonKey || !r.ByPeer {
		t.Errorf("another key: %s", r.Error())
	}
}
