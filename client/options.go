package client

import (
	"crypto/rand"
	"fmt"
	"time"

	"ledger/wire"
)

// Times of the protocol and of ours.
const (
	retryFirst       = 600 * time.Millisecond // fixed by the protocol: a first retry comes after this time
	retrySlackMax    = 9990 * time.Millisecond
	roundTripInitial = 300 * time.Millisecond
	roundTripMin     = 10 * time.Millisecond
	roundTripMax     = 60 * time.Second
	pingInterval     = 30 * time.Second
	reconnectMin     = 50 * time.Millisecond
	reconnectMax     = time.Second
	hedgeDefault     = 20 * time.Millisecond
	dialTimeout      = 5 * time.Second
)

// Options of a Session or Client.
type Options struct {
	// Addresses are those of the replicas, in their order: host:port each, 1 to 6. Names are resolved
	// at each connect.
	Addresses []string
	// Cluster is the cluster's id; another cluster's server closes the connection.
	Cluster wire.U128
	// ID is the client's id; zero, the usual case, means a random one. No two sessions may share one.
	ID wire.U128
	// HedgeDelay is the time to wait for the primary before a second replica gets the same request.
	// 0 means 20 ms; negative means at once, like official clients. It matters only in clusters.
	HedgeDelay time.Duration
	// Release is the client release that is announced. 0, the usual case, means the newest one that
	// both this package and the server speak: if a server refuses a release as too high, the
	// registration is repeated with an older one. See wire.Release.Older.
	Release wire.Release
}

// resolve checks the options and fills in what was left out.
func (o Options) resolve() (Options, error) {
	if count := len(o.Addresses); count < 1 || count > wire.ReplicasMax {
		return o, fmt.Errorf("client: %d addresses given, must be 1 to %d", count, wire.ReplicasMax)
	}
	if o.ID.IsZero() {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return o, fmt.Errorf("client: choosing an id: %w", err)
		}
		random[0] |= 1 // an id of zero is refused
		o.ID = wire.U128FromBytes(random[:])
	}
	if o.HedgeDelay == 0 {
		o.HedgeDelay = hedgeDefault
	}
	if o.Release == 0 {
		o.Release = wire.ReleaseCurrent
	}
	return o, nil
}
