package net

import (
	"math/bits"

	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/internal/hashing"
	"ledger/wire"
)

// noConnection stands for no connection.
const noConnection = ^uint32(0)

// route is the connection for messages to a client.
type route struct {
	client    wire.U128 // zero: the place is free
	current   uint32    // the latest connection that brought a message of client
	confirmed uint32    // the connection on which client pinged last, or noConnection
	// registered: client has a session, as consensus has last told.
	registered bool
	// asksCount is how many requests of client are at consensus. Any reply or eviction makes it 0,
	// since a client has at most one request that counts; the rest are repetitions.
	asksCount uint32
}

// routes is a hash table with linear probing. A route exists while one of its connections is open,
// and a connection serves one client. So there are no more routes than connections.
type routes struct {
	key    hashing.Key // clients choose their ids
	places []route     // a power of two, at least half of them free
	count  int
}

func newRoutes(key *hashing.Key, connectionsMax uint32, memory *arena.Arena) routes {
	places := uint64(1) << bits.Len32(2*connectionsMax-1)
	return routes{key: *key, places: arena.Slice[route](memory, places, "client routes")}
}

func (r *routes) home(client wire.U128) int {
	return int(r.key.Hash(client.Lo, client.Hi)) & (len(r.places) - 1)
}

// at returns the place of client, or the free place where it would be put.
func (r *routes) at(client wire.U128) int {
	at := r.home(client)
	for !r.places[at].client.IsZero() && r.places[at].client != client {
		at = (at + 1) & (len(r.places) - 1)
	}
	return at
}

// of returns the route of client, or nil. It is valid until the next put or forget.
func (r *routes) of(client wire.U128) *route {
	if client.IsZero() {
		return nil
	}
	place := &r.places[r.at(client)]
	if place.client.IsZero() {
		return nil
	}
	return place
}

// put returns the route of client, and makes one if there is none. It is valid until the next put
// or forget.
func (r *routes) put(client wire.U128) *route {
	assert.That(!client.IsZero(), "a client with a route has an id")
	place := &r.places[r.at(client)]
	if place.client.IsZero() {
		*place = route{client: client, current: noConnection, confirmed: noConnection}
		r.count++
		assert.AtMost(2*r.count, len(r.places), "routes, one for each connection at most")
	}
	return place
}

// forget removes a connection from client's route. An older connection that the client has
// confirmed becomes the route again.
func (r *routes) forget(client wire.U128, index uint32) {
	if client.IsZero() {
		return
	}
	at := r.at(client)
	place := &r.places[at]
	if place.client.IsZero() {
		return
	}
	if place.confirmed == index {
		place.confirmed = noConnection
	}
	if place.current == index {
		place.current = place.confirmed
	}
	if place.current == noConnection {
		r.remove(at)
	}
}

// remove frees a place and moves the following routes up (backward shift).
func (r *routes) remove(at int) {
	mask := len(r.places) - 1
	r.count--
	for next := (at + 1) & mask; !r.places[next].client.IsZero(); next = (next + 1) & mask {
		// The route at next may move if its home is not between the gap and itself.
		if (next-r.home(r.places[next].client))&mask >= (next-at)&mask {
			r.places[at] = r.places[next]
			at = next
		}
	}
	r.places[at] = route{}
}
