package peer

import "testing"

// Goal: a replica that has standbys lets in those with an address, and no others. A standby calls
// replicas, and lets nobody in.
func TestHandshakeStandby(t *testing.T) {
	with := func(index, standbys uint8) *Self {
		s := testSelf(index)
		s.StandbysCount = standbys
		return s
	}
	for _, c := range []struct {
		name                string
		connector, acceptor *Self
		called              uint8
		reason              Reason // of the acceptor
	}{
		{"a standby with an address", testSelf(3), with(0, 1), 0, ReasonNone},
		{"the last of six", testSelf(8), with(2, 6), 2, ReasonNone},
		{"a standby without an address", testSelf(4), with(0, 1), 0, ReasonStandby},
		{"no standby has an address", testSelf(3), with(0, 0), 0, ReasonStandby},
		{"a replica that knows of standbys, and one that does not", with(2, 1), with(0, 0), 0, ReasonNone},
		{"two standbys", testSelf(4), testSelf(3), 2, ReasonStandby},
	} {
		from, to := meet(c.connector, c.acceptor, c.called, nil)
		if to.refusal.Reason != c.reason || to.done() != (c.reason == ReasonNone) {
			t.Errorf("%s: done %v, %q, want %s", c.name, to.done(), to.refusal.Error(), c.reason)
		}
		if from.done() != (c.reason == ReasonNone) {
			t.Errorf("%s: the connector is done: %v, %q", c.name, from.done(), from.refusal.Error())
		}
	}
}

// Goal: a replica has places and lines for all of its standbys, and a standby for all replicas. One
// without standbys has as many as before.
func TestRoomForStandbys(t *testing.T) {
	for _, c := range []struct {
		self   *Self
		peers  uint8
		called uint8
	}{
		{testSelf(2), 2, 2},
		{&Self{Index: 0, ReplicasCount: 3, StandbysCount: 6}, 8, 0},
		{&Self{Index: 5, ReplicasCount: 6, StandbysCount: 6}, 11, 5},
		{testSelf(3), 3, 3},
		{&Self{Index: 11, ReplicasCount: 6}, 6, 6},
	} {
		if peers, called := c.self.peersCount(), c.self.calledCount(); peers != c.peers || called != c.called {
			t.Errorf("%+v: %d peers, calls %d, want %d and %d", c.self, peers, called, c.peers, c.called)
		}
	}
}

// Goal: of a standby, an envelope of any command that is not among its own is a fault. Each command
// is one that a standby sends, or takes, or neither; pings are both.
func TestEnvelopeOfStandby(t *testing.T) {
	b := testBounds()
	b.IndexesCount = 4
	sends, takes := 0, 0
	for command := CommandPing; command < commandsCount; command++ {
		least, _ := b.bodyBytes(command)
		e := Envelope{Command: command, Author: 3, Incarnation: 1, BodyBytes: least}
		e.BodyChecksum[0] = byte(min(least, 1))
		head := make([]byte, HeadBytes)
		e.Encode(head)
		var got Envelope
		fault := got.Decode(head, &b)
		if fault.Faulty() == command.OfStandby() || fault.Faulty() && fault.Field != "author" {
			t.Errorf("%s of a standby: %+v", command, fault)
		}
		e.Author = 4
		e.Encode(head)
		if fault := got.Decode(head, &b); fault.Field != "author" {
			t.Errorf("%s of an index without an address: %+v", command, fault)
		}
		isBoth := command == CommandPing || command == CommandPong
		if command.OfStandby() && command.ToStandby() != isBoth {
			t.Errorf("%s: a standby sends and takes it", command)
		}
		if command.OfStandby() {
			sends++
		}
		if command.ToStandby() {
			takes++
		}
	}
	if sends != 6 || takes != 10 {
		t.Errorf("a standby sends %d commands and takes %d", sends, takes)
	}
}
