package replica

import (
	"testing"

	"ledger/limits"
	"ledger/wire"
)

// Goal: clients above 0.17 are evicted with client_release_too_high, be it a register or a ping
// that they begin with, and all of 0.16.4 to 0.17 are served; --client-release-max moves the limit
// in either direction. Pongs and evictions announce 0.17.9, and a reply has the client's release. A
// whole server is asked, so that the option's way to consensus is in the test.
func TestClientReleases(t *testing.T) {
	l := shapes()["development"]
	for _, test := range []struct {
		name   string
		max    wire.Release // of the options
		served []wire.Release
		low    []wire.Release
		high   []wire.Release
	}{
		{"by default", 0,
			[]wire.Release{wire.ReleaseOf(0, 16, 4), wire.ReleaseOf(0, 16, 78), wire.ReleaseOf(0, 17, 9), wire.ReleaseOf(0, 17, 200),
				wire.ReleaseOf(0, 17, 255)},
			[]wire.Release{wire.ReleaseOf(0, 16, 3)},
			[]wire.Release{wire.ReleaseOf(0, 18, 0), wire.ReleaseOf(1, 0, 0), wire.ReleaseOf(9, 9, 0), wire.ReleaseOf(65535, 0, 0)}},
		{"with a larger limit", wire.ReleaseOf(1, 0, 0),
			[]wire.Release{wire.ReleaseOf(0, 16, 20), wire.ReleaseOf(0, 17, 200), wire.ReleaseOf(0, 18, 0), wire.ReleaseOf(1, 0, 0)},
			[]wire.Release{wire.ReleaseOf(0, 16, 3)},
			[]wire.Release{wire.ReleaseOf(1, 0, 1), wire.ReleaseOf(9, 9, 0)}},
		{"with a smaller limit", wire.ReleaseOf(0, 16, 78),
			[]wire.Release{wire.ReleaseOf(0, 16, 4), wire.ReleaseOf(0, 16, 78)},
			nil,
			[]wire.Release{wire.ReleaseOf(0, 16, 79), wire.ReleaseOf(0, 17, 9)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := servedReleases(t, l, test.max)
			client := uint64(0)
			for want, releases := range map[wire.EvictionReason][]wire.Release{
				wire.EvictionNone: test.served, wire.EvictionReleaseTooLow: test.low, wire.EvictionReleaseTooHigh: test.high,
			} {
				for _, release := range releases {
					client++
					c := dialed(t, s.address, client)
					c.release = release
					c.wantRegister(want)
					client++
					c = dialed(t, s.address, client)
					c.release = release
					c.wantPing(want)
				}
			}
		})
	}
}

// servedReleases is a server with that option.
func servedReleases(t *testing.T, l limits.Limits, releaseMax wire.Release) *running {
	t.Helper()
	r, err := openedWith(t, formatted(t, l), l, ServerOptions{IO: IOPosix, ReleaseClientMax: releaseMax})
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	return r
}

// wantRegister registers, and wants a session, or the eviction.
func (c *wireClient) wantRegister(want wire.EvictionReason) {
	c.t.Helper()
	if want == wire.EvictionNone {
		c.register()
		if got := wire.HeaderOf(c.reply).Release(); got != c.release {
			c.t.Errorf("release %s: the reply has release %s", c.release, got)
		}
		return
	}
	c.send(wire.OperationRegister, make([]byte, wire.RegisterBodyBytes))
	c.wantMessage(wire.CommandEviction, want)
}

// wantPing pings, and wants a pong, or the eviction.
func (c *wireClient) wantPing(want wire.EvictionReason) {
	c.t.Helper()
	c.request = make([]byte, wire.HeaderBytes)
	wire.BuildPing(wire.HeaderOf(c.request), &wire.PingFields{Client: c.id, TimestampNs: 1, Release: c.release})
	c.resend()
	if want == wire.EvictionNone {
		c.wantMessage(wire.CommandPongClient, want)
	} else {
		c.wantMessage(wire.CommandEviction, want)
	}
}

// wantMessage takes the next message, which must be of the server itself.
func (c *wireClient) wantMessage(command wire.Command, reason wire.EvictionReason) {
	c.t.Helper()
	h, _, err := c.receive()
	switch {
	case err != nil:
		c.t.Fatalf("release %s: %v", c.release, err)
	case h.Command() != command || command == wire.CommandEviction && h.EvictionReason() != reason:
		c.t.Errorf("release %s: command %d, want %d with reason %s", c.release, h.Command(), command, reason)
	case h.Release() != wire.ReleaseOf(0, 17, 9):
		c.t.Errorf("release %s: the server announces %s, want 0.17.9", c.release, h.Release())
	}
}
